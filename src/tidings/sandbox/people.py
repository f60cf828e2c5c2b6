"""What the world does to a person, done at once: they confirm, their mailbox bounces, they complain."""

import msgspec

from tidings.core import confirmations, events, forms, subscribers, subscriptions
from tidings.core.events import Origin
from tidings.core.subscribers import Subscriber
from tidings.errors import Conflict, NotFound
from tidings.store.tx import Rx, Tx

ORIGIN = Origin(door="command", source="sandbox")
_EVENTS = {"bounced": "subscriber_bounce", "complained": "subscriber_complain"}


class Shown(msgspec.Struct, frozen=True):
    """A person as the control address shows them."""

    id: int
    email_address: str
    state: str


def confirm(tx: Tx, email: str) -> Shown:
    """Confirm as the link in the mail would; raise Conflict for who was asked by no form."""
    who = _known(tx, email)
    for form in forms.all_forms(tx).values():
        joined = subscriptions.find(tx, who.id, "form", form.id)
        if joined is not None and joined.ended_at is None and form.confirmation == "double":
            _, who = confirmations.confirm(tx, joined.id, tx.now, ORIGIN)
            return _shown(who)
    raise Conflict("this person is in no form that asks for a confirmation")


def bounce(tx: Tx, email: str) -> Shown:
    """Have a mailbox refuse all mail for good."""
    return _turn(tx, email, "bounced")


def complain(tx: Tx, email: str) -> Shown:
    """Have a person report a mail as spam."""
    return _turn(tx, email, "complained")


def _turn(tx: Tx, email: str, state: str) -> Shown:
    who = _known(tx, email)
    # Neither is ever left, not for the other either.
    if who.state in _EVENTS:
        return _shown(who)
    gone = subscriptions.turn(tx, who, state)
    events.record(tx, _EVENTS[state], gone, gone.id, ORIGIN)
    return _shown(gone)


def _known(rx: Rx, email: str) -> Subscriber:
    who = subscribers.find(rx, email)
    if who is None:
        raise NotFound("subscriber")
    return who


def _shown(who: Subscriber) -> Shown:
    return Shown(who.id, who.email, who.state)
