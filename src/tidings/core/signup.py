"""Signing up: a person joins a form, a sequence or a tag, with all that follows.

Owns no table. Every door and every kind of subscribable comes through `sign_up`.
"""

from collections.abc import Mapping

import msgspec

from tidings.core import (
    confirmations,
    events,
    forms,
    sequences,
    subscribers,
    subscriptions,
    suppressions,
    tags,
)
from tidings.core.events import Origin
from tidings.core.subscribers import Person, Subscriber
from tidings.core.subscriptions import Subscription
from tidings.errors import Invalid, NotFound
from tidings.store.tx import Rx, Tx

# Ids in one call; a client with more has mixed something up.
ALSO_MAX = 100


class Also(msgspec.Struct, frozen=True):
    """What else a call subscribes to; ids that are unknown to the account are ignored."""

    tags: list[int] = []
    forms: list[int] = []
    sequences: list[int] = []


def sign_up(
    tx: Tx, kind: str, ref_id: int, person: Person, also: Also, origin: Origin
) -> tuple[Subscription, Subscriber]:
    """Subscribe a person to one thing and to what else the call names.

    A new person waits for confirmation if any of the forms asks for it, else is active. A
    cancelled one comes back through a form or a sequence, never by a tag alone; bounced
    and complained stay as they are. Whose mailbox was erased is active only once they confirm.
    """
    wanted = _wanted(tx, kind, ref_id, also)
    confirms = any(one[0] == "form" and _confirms(tx, one[1]) for one in wanted)
    state = "inactive" if confirms else "active"
    who, is_new = subscribers.meet(tx, person, state, origin)
    newcomer = is_new
    becomes = who.state if is_new else _becomes(who.state, wanted, confirms)
    if becomes == "active" != who.state and suppressions.holds(tx, person.address.mailbox):
        becomes = who.state
    if becomes != who.state:
        who = subscriptions.turn(tx, who, becomes)
        is_new = True
    asks = confirms and who.state == "inactive" and confirmations.admit(tx, person.address.mailbox)
    asking = next(one for one in wanted if one[0] == "form" and _confirms(tx, one[1])) if asks else None
    joined = []
    for one in wanted:
        first = 1 if newcomer and one == asking else 0
        again = one[0] == "sequence" and sequences.repeats(tx, one[1])
        joined.append(subscriptions.start(tx, who, *one, origin, newcomer=newcomer, asked=first, again=again))
        if one == asking:
            confirmations.queue(tx, joined[-1], first or subscriptions.next_confirmation(tx, joined[-1].id))
    if is_new and who.state == "active":
        events.record(tx, "subscriber_activate", who, who.id, origin)
    return joined[0], who


def add(tx: Tx, person: Person, also: Also, origin: Origin) -> Subscriber:
    """Take in somebody new by hand, into what `also` names or into nothing; raise Invalid for who is here.

    As by `sign_up`: a form that asks for a confirmation has them confirm first.
    """
    if subscribers.find(tx, person.address.email) is not None:
        raise Invalid("Email address", "is in the list already")
    wanted = [("form", one) for one in also.forms] + [("sequence", one) for one in also.sequences]
    wanted += [("tag", one) for one in also.tags]
    if wanted:
        return sign_up(tx, *wanted[0], person, also, origin)[1]
    who, is_new = subscribers.meet(tx, person, "active", origin)
    if is_new and who.state == "active":
        events.record(tx, "subscriber_activate", who, who.id, origin)
    return who


def unsubscribe_by_id(tx: Tx, subscriber_id: int, origin: Origin) -> Subscriber:
    """Unsubscribe a person from everything; raise NotFound for nobody."""
    return subscriptions.unsubscribe(tx, subscribers.get(tx, subscriber_id), origin)


def _becomes(state: str, wanted: list[tuple[str, int]], confirms: bool) -> str:
    """Return the state of somebody known who signs up for these."""
    only_tags = all(kind == "tag" for kind, _ in wanted)
    if only_tags or state not in ("cancelled", "inactive"):
        return state
    return "inactive" if confirms else "active"


def _wanted(rx: Rx, kind: str, ref_id: int, also: Also) -> list[tuple[str, int]]:
    """Return what a call subscribes to, the thing it is about first, each once."""
    _find(rx, kind, ref_id)
    wanted = [(kind, ref_id)]
    if also.forms or also.sequences or also.tags:
        known: dict[str, Mapping[int, object]] = {
            "form": forms.all_forms(rx),
            "sequence": sequences.all_sequences(rx),
            "tag": tags.all_tags(rx),
        }
        more = [("form", one) for one in also.forms[:ALSO_MAX]]
        more += [("sequence", one) for one in also.sequences[:ALSO_MAX]]
        more += [("tag", one) for one in also.tags[:ALSO_MAX]]
        wanted += [one for one in more if one[1] in known[one[0]]]
    return list(dict.fromkeys(wanted))


def _find(rx: Rx, kind: str, ref_id: int) -> None:
    if kind == "form":
        there = ref_id in forms.all_forms(rx)
    elif kind == "sequence":
        there = ref_id in sequences.all_sequences(rx)
    else:
        there = ref_id in tags.all_tags(rx)
    if not there:
        raise NotFound(kind)


def _confirms(rx: Rx, form_id: int) -> bool:
    return forms.find(rx, form_id).confirmation == "double"


def leave(tx: Tx, kind: str, ref_id: int, email: str, origin: Origin) -> None:
    """Take who has this address out of one thing; nobody and a malformed address change nothing."""
    _find(tx, kind, ref_id)
    who = subscribers.find(tx, email)
    if who is not None:
        subscriptions.leave(tx, who, kind, ref_id, origin)


def unsubscribe(tx: Tx, email: str, origin: Origin) -> Subscriber:
    """Unsubscribe who has this address from everything; raise NotFound for nobody."""
    who = subscribers.find(tx, email)
    if who is None:
        raise NotFound("subscriber")
    return subscriptions.unsubscribe(tx, who, origin)


def check(rx: Rx, kind: str, ref_id: int) -> None:
    """Raise NotFound when the account has no such thing to subscribe to."""
    _find(rx, kind, ref_id)
