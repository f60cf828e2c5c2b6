"""Preferences: what people decide by the links in their mails: to leave, to stay in some, their name.

Owns `leaves`: who unsubscribed by a link, and by which mail. An unsubscribe from any mail is
from everything of the account. The token in the link is the person's credential, and works
for ever: also when the delivery is folded away.
"""

import msgspec

from tidings.core import (
    broadcasts,
    deliveries,
    events,
    forms,
    sequences,
    subscribers,
    subscriptions,
    suppressions,
    tags,
    tracking,
)
from tidings.core.deliveries import Mark
from tidings.core.events import Origin
from tidings.core.sequences import numbers
from tidings.core.subscribers import Subscriber
from tidings.errors import Conflict, Invalid
from tidings.mail import address
from tidings.store.tx import Rx, Tx

# Who pressed a button by mistake notices on the same day.
UNDO_MS = 24 * 3_600_000
PAGE = "page"
ONE_CLICK = "one-click"
WAYS = (PAGE, ONE_CLICK)
# States in which mail may come, or may come once it is confirmed.
_WITHIN = ("active", "inactive")


class Choice(msgspec.Struct, frozen=True):
    """One sequence or tag that people may join and leave by themselves; `kind` is sequence or tag."""

    kind: str
    id: int
    name: str
    joined: bool = False


class _Leave(msgspec.Struct, frozen=True):
    id: int
    delivery_id: int
    way: str
    state_before: str
    created_at: int
    undone_at: int | None


def leave_all(tx: Tx, subscriber_id: int, delivery_id: int, way: str, origin: Origin) -> Subscriber:
    """Unsubscribe a person from everything, at once; a second time changes nothing."""
    assert way in WAYS, way  # noqa: S101 (our own mistake)
    who = subscribers.get(tx, subscriber_id)
    gone = subscriptions.unsubscribe(tx, who, origin)
    if who.state not in _WITHIN:
        return gone
    tx.run(
        "INSERT INTO leaves (account_id, subscriber_id, delivery_id, way, state_before, created_at)"
        " VALUES (:account_id, :subscriber_id, :delivery_id, :way, :state, :now)",
        account_id=tx.account_id,
        subscriber_id=subscriber_id,
        delivery_id=delivery_id,
        way=way,
        state=who.state,
        now=tx.now,
    )
    _count(tx, subscriber_id, delivery_id, +1)
    return gone


def never(tx: Tx, subscriber_id: int, delivery_id: int, origin: Origin) -> Subscriber:
    """Unsubscribe a person from everything, and hold their mailbox.

    Whoever signs their address up again, they get nothing until they confirm it by the link in a mail.
    """
    gone = leave_all(tx, subscriber_id, delivery_id, PAGE, origin)
    suppressions.add(tx, address.parse(gone.email).mailbox, "asked never to be mailed again")
    return gone


def hold(tx: Tx, email: str, origin: Origin) -> Subscriber | None:
    """Let an address get nothing any more, because the account says so; return whom it unsubscribed.

    Raises Invalid for what is no address.
    """
    try:
        mailbox = address.parse(email).mailbox
    except ValueError as problem:
        raise Invalid("email", f"is not an email address: {problem}") from problem
    suppressions.add(tx, mailbox, suppressions.BY_OWNER)
    who = subscribers.find(tx, email)
    if who is None or who.state not in _WITHIN:
        return None
    return subscriptions.unsubscribe(tx, who, origin)


def may_undo(rx: Rx, who: Subscriber, delivery_id: int) -> bool:
    """Say whether this mail's link may take its own unsubscribe back: by its page, within a day."""
    last = _last(rx, who.id)
    return (
        who.state == "cancelled"
        and last is not None
        and last.undone_at is None
        and last.way == PAGE
        and last.delivery_id == delivery_id
        and rx.now - last.created_at <= UNDO_MS
    )


def undo(tx: Tx, subscriber_id: int, delivery_id: int, origin: Origin) -> Subscriber:
    """Take an unsubscribe back with all that it ended; raise Conflict where `may_undo` says no."""
    who = subscribers.get(tx, subscriber_id)
    if who.state in _WITHIN:
        return who
    last = _last(tx, subscriber_id)
    if last is None or not may_undo(tx, who, delivery_id) or not _cancelled_by(tx, who, last):
        raise Conflict("this cannot be taken back any more")
    suppressions.lift(tx, address.parse(who.email).mailbox)
    back = subscriptions.turn(tx, who, last.state_before)
    if back.state == "active":
        events.record(tx, "subscriber_activate", back, back.id, origin)
    tx.run(
        "UPDATE leaves SET undone_at = :now WHERE account_id = :account_id AND id = :id",
        now=tx.now,
        account_id=tx.account_id,
        id=last.id,
    )
    for kind, known in (("form", forms.all_forms(tx)), ("sequence", sequences.all_sequences(tx))):
        for ref_id in known:
            joined = subscriptions.find(tx, subscriber_id, kind, ref_id)
            if joined is not None and joined.ended_at == last.created_at:
                subscriptions.start(tx, back, kind, ref_id, origin)
    _count(tx, subscriber_id, delivery_id, -1)
    return back


def public(rx: Rx) -> list[Choice]:
    """Return what the account lets people join and leave by themselves, sequences first."""
    return [
        *(
            Choice("sequence", one, name)
            for one, name in sequences.public_names(rx).items()
            if _open(rx, one)
        ),
        *(Choice("tag", one, name) for one, name in tags.public_names(rx).items()),
    ]


def choices(rx: Rx, who: Subscriber, public: list[Choice]) -> list[Choice]:
    """Return what a person may choose from, with what they have joined."""
    found = []
    for one in public:
        joined = subscriptions.find(rx, who.id, one.kind, one.id)
        found.append(msgspec.structs.replace(one, joined=joined is not None and joined.ended_at is None))
    return found


def choose(
    tx: Tx,
    subscriber_id: int,
    public: list[Choice],
    wanted: set[tuple[str, int]],
    first_name: str | None,
    origin: Origin,
) -> Subscriber:
    """Let a person join and leave what is public, and set their name; all else stays.

    Who is not active chooses nothing: an unsubscribe is taken back by signing up again.
    """
    who = subscribers.get(tx, subscriber_id)
    if who.state not in _WITHIN:
        return who
    if (first_name or None) != who.first_name:
        who = subscribers.update(
            tx, subscriber_id, email=None, first_name=first_name, fields={}, origin=origin
        )
    for one in choices(tx, who, public):
        wants = (one.kind, one.id) in wanted
        if wants and not one.joined:
            subscriptions.start(tx, who, one.kind, one.id, origin)
        elif one.joined and not wants:
            subscriptions.leave(tx, who, one.kind, one.id, origin)
    return who


def _last(rx: Rx, subscriber_id: int) -> _Leave | None:
    row = rx.one(
        "SELECT id, delivery_id, way, state_before, created_at, undone_at FROM leaves"
        " WHERE account_id = :account_id AND subscriber_id = :subscriber_id ORDER BY id DESC LIMIT 1",
        account_id=rx.account_id,
        subscriber_id=subscriber_id,
    )
    return _Leave(*row) if row else None


def _cancelled_by(tx: Tx, who: Subscriber, last: _Leave) -> bool:
    """Say whether it was this leave that cancelled the person, and no later one by another door."""
    _, _, cancelled_at = subscribers.times(tx, who.id)
    return cancelled_at == last.created_at


def _count(tx: Tx, subscriber_id: int, delivery_id: int, n: int) -> None:
    """Count an unsubscribe for what the mail was of that brought it about."""
    mark = Mark(delivery_id, subscriber_id, tx.now)
    deliveries.mark_opened(tx, [mark], keep=False)
    if mark.reached is None:
        return
    kind, _, ref = tracking.owner_of(mark.reached.occasion).partition(":")
    if kind == "broadcast" and ref.isdecimal():
        broadcasts.count(tx, int(ref), unsubscribes=n)
    else:
        numbers.count(tx, mark.reached.occasion, unsubscribes=n)


def _open(rx: Rx, sequence_id: int) -> bool:
    return sequences.find(rx, sequence_id).archived_at is None
