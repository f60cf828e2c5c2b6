"""Subscriptions: one person in one form, sequence or tag.

Owns `subscriptions`. A person has at most one for each subscribable. Unsubscribing ends
those of forms and sequences, which then show as cancelled; a removed tag is gone.
Invariants: `subscriber_state` equals the subscriber's state; person and thing are there. No foreign key
says so (decision 0013): the rows of forms, sequences and tags are never deleted, and who writes a
subscription holds the person's row.
"""

import msgspec

from tidings.core import counters, entries, events, subscribers
from tidings.core.events import Origin
from tidings.core.subscribers import STATES, Subscriber, forgetting, zones
from tidings.errors import NotFound
from tidings.store.tx import Rx, Tx

KINDS = ("form", "sequence", "tag")
PAGE = 50
_JOINED = {"form": "form_subscribe", "sequence": "course_subscribe", "tag": "tag_add"}

_COLUMNS = (
    "id, subscriber_id, form_id, sequence_id, tag_id, subscriber_state, source, referrer,"
    " created_at, ended_at"
)


class Subscription(msgspec.Struct, frozen=True):
    """One subscription; `kind` is form, sequence or tag, `ref_id` the id of that thing."""

    id: int
    subscriber_id: int
    kind: str
    ref_id: int
    subscriber_state: str
    source: str | None
    referrer: str | None
    created_at: int
    ended_at: int | None = None

    @property
    def state(self) -> str:
        """What it shows: cancelled once ended, else the subscriber's state."""
        return "cancelled" if self.ended_at is not None else self.subscriber_state


# How one thing of a person is found: by the index of what they are in, which has these in this order.
ONE = {
    "tag": "COALESCE(tag_id, 0) = :ref_id",
    "form": "COALESCE(tag_id, 0) = 0 AND COALESCE(form_id, 0) = :ref_id",
    "sequence": (
        "COALESCE(tag_id, 0) = 0 AND COALESCE(form_id, 0) = 0 AND COALESCE(sequence_id, 0) = :ref_id"
    ),
}
# One text for each kind: the names come from KINDS, never from outside.
_START = {
    kind: (
        f"INSERT INTO subscriptions (account_id, subscriber_id, {kind}_id, subscriber_state, source,"  # noqa: S608
        " referrer, confirmations, created_at) VALUES (:account_id, :subscriber_id, :ref_id, :state,"
        " :source, :referrer, :asked, :now)"
        " ON CONFLICT (account_id, subscriber_id, COALESCE(tag_id, 0), COALESCE(form_id, 0),"
        " COALESCE(sequence_id, 0)) DO NOTHING RETURNING id"
    )
    for kind in KINDS
}
_FIND = {
    kind: (
        f"SELECT {_COLUMNS} FROM subscriptions WHERE account_id = :account_id"  # noqa: S608
        f" AND subscriber_id = :subscriber_id AND {ONE[kind]}"
    )
    for kind in KINDS
}
_END = {
    kind: (
        "UPDATE subscriptions SET ended_at = :now WHERE account_id = :account_id"  # noqa: S608
        f" AND subscriber_id = :subscriber_id AND {ONE[kind]} AND ended_at IS NULL"
    )
    for kind in KINDS
}
# The index by state serves the list of any state too: the first of each are put in one order. An arm without
# a limit had PostgreSQL sort the whole list.
_ARM = (
    "SELECT id FROM (SELECT id FROM subscriptions WHERE account_id = :account_id AND {}_id = :ref_id"
    " AND subscriber_state = '{}' AND id {} :edge ORDER BY id{} LIMIT :until) AS chosen"
)
_ORDERS = {False: (">=", ""), True: ("<=", " DESC")}
_PAGE = {
    (kind, newest_first): (
        f"SELECT {_COLUMNS} FROM subscriptions WHERE account_id = :account_id AND {kind}_id = :ref_id"  # noqa: S608
        f" AND subscriber_state = :state AND id {order[0]} :edge ORDER BY id{order[1]}"
        " LIMIT :limit OFFSET :skip"
    )
    for kind in KINDS
    for newest_first, order in _ORDERS.items()
}
# The rows are looked up from the ids (CROSS JOIN), not the other way round.
_PAGE_OF_ANY_STATE = {
    (kind, newest_first): (
        f"SELECT {_COLUMNS} FROM (SELECT id AS chosen_id FROM ("  # noqa: S608
        + " UNION ALL ".join(_ARM.format(kind, state, *order) for state in STATES)
        + f" ORDER BY id{order[1]} LIMIT :limit OFFSET :skip) AS chosen) AS chosen CROSS JOIN subscriptions"
        " WHERE account_id = :account_id AND id = chosen_id"
    )
    for kind in KINDS
    for newest_first, order in _ORDERS.items()
}

_NEWEST = {
    kind: (
        "SELECT COUNT(*) FROM (SELECT created_at FROM subscriptions WHERE account_id = :account_id"  # noqa: S608
        f" AND {kind}_id = :ref_id ORDER BY id DESC LIMIT :most) AS newest WHERE created_at >= :since_at"
    )
    for kind in KINDS
}
_HAVING = {
    (kind, size): (
        f"SELECT subscriber_id FROM subscriptions WHERE account_id = :account_id AND {ONE[kind]}"  # noqa: S608
        f" AND ended_at IS NULL AND subscriber_id IN ({', '.join(f':id{at}' for at in range(size))})"
    )
    for kind in KINDS
    for size in zones.SIZES
}


def start(
    tx: Tx,
    who: Subscriber,
    kind: str,
    ref_id: int,
    origin: Origin,
    *,
    newcomer: bool = False,
    asked: int = 0,
    again: bool = False,
) -> Subscription:
    """Let a person join; record it only when it is new or begins again.

    Who joins a sequence begins to go through it; with `again`, also who has been through.

    For a `newcomer`, who has just been made, nothing is looked up first. Otherwise the
    look keeps a known subscription from using up an id with each call. `asked` is how many
    confirmations are being asked for with it.
    """
    known = None if newcomer else find(tx, who.id, kind, ref_id)
    if known is not None:
        return _restart(tx, who, known, origin, again=again)
    if not newcomer:
        forgetting.hold_off(tx, who.id)
    source, referrer = origin.source or None, origin.referrer or None
    row = tx.one(
        _START[kind],
        account_id=tx.account_id,
        subscriber_id=who.id,
        ref_id=ref_id,
        state=who.state,
        source=source,
        referrer=referrer,
        asked=asked,
        now=tx.now,
    )
    if row is not None:
        counters.count(tx, kind, ref_id, who.state, row[0], +1)
        joined = Subscription(row[0], who.id, kind, ref_id, who.state, source, referrer, tx.now)
        events.record(tx, _JOINED[kind], who, who.id, origin, subject_id=ref_id)
        if kind == "sequence":
            entries.enter(tx, who, ref_id, newcomer=True)
        return joined
    known = find(tx, who.id, kind, ref_id)
    assert known is not None  # noqa: S101 (the insert met this row)
    return _restart(tx, who, known, origin, again=again)


def _restart(tx: Tx, who: Subscriber, known: Subscription, origin: Origin, *, again: bool) -> Subscription:
    """Let a subscription that was ended begin again; one that lasts stays as it is."""
    if known.kind == "sequence":
        entries.enter(tx, who, known.ref_id, again=again)
    if known.ended_at is None:
        return known
    restarted = tx.run(
        "UPDATE subscriptions SET ended_at = NULL WHERE account_id = :account_id AND id = :id"
        " AND ended_at IS NOT NULL",
        account_id=tx.account_id,
        id=known.id,
    )
    if restarted:
        events.record(tx, _JOINED[known.kind], who, who.id, origin, subject_id=known.ref_id)
    return msgspec.structs.replace(known, ended_at=None)


def find(rx: Rx, subscriber_id: int, kind: str, ref_id: int) -> Subscription | None:
    """Return a person's subscription to one thing, if there is one."""
    row = rx.one(_FIND[kind], account_id=rx.account_id, subscriber_id=subscriber_id, ref_id=ref_id)
    return _subscription(row) if row else None


def get(rx: Rx, subscription_id: int) -> Subscription:
    """Return one subscription, or raise NotFound."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM subscriptions WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=subscription_id,
    )
    if row is None:
        raise NotFound("subscription")
    return _subscription(row)


def about(rx: Rx, ids: list[int]) -> dict[int, tuple[str, int]]:
    """Return what these subscriptions, a page of them, are to: kind and id by their own ids."""
    if not ids:
        return {}
    names = {f"id{at}": one for at, one in enumerate((ids + ids[-1:] * PAGE)[:PAGE])}
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM subscriptions WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND id IN ({', '.join(':' + name for name in names)})",
        account_id=rx.account_id,
        **names,
    )
    found = [_subscription(row) for row in rows]
    return {one.id: (one.kind, one.ref_id) for one in found}


def turn(tx: Tx, who: Subscriber, state: str) -> Subscriber:
    """Put a person and all their subscriptions into another state, with every counter."""
    before = subscribers.times(tx, who.id)
    turned = subscribers.turn(tx, who, state)
    subscribers.recount(tx, who, who.state, before, state)
    rows = tx.all(
        "UPDATE subscriptions SET subscriber_state = :state WHERE account_id = :account_id"
        " AND subscriber_id = :id RETURNING id, form_id, sequence_id, tag_id",
        state=state,
        account_id=tx.account_id,
        id=who.id,
    )
    for row_id, *refs in rows:
        kind, ref_id = _which(refs)
        counters.count(tx, kind, ref_id, who.state, row_id, -1)
        counters.count(tx, kind, ref_id, state, row_id, +1)
    if any(sequence_id for _, _, sequence_id, _ in rows):
        entries.turned(tx, who.id, active=state == "active")
    return turned


def unsubscribe(tx: Tx, who: Subscriber, origin: Origin) -> Subscriber:
    """End every form and sequence subscription of a person; tags stay. Twice changes nothing.

    Who is bounced or complained stays so: that a mailbox is gone is not undone by leaving.
    """
    leaves = who.state in ("active", "inactive")
    gone = turn(tx, who, "cancelled") if leaves else who
    tx.run(
        "UPDATE subscriptions SET ended_at = :now WHERE account_id = :account_id AND subscriber_id = :id"
        " AND tag_id IS NULL AND ended_at IS NULL",
        now=tx.now,
        account_id=tx.account_id,
        id=who.id,
    )
    entries.leave_all(tx, who.id)
    if leaves:
        events.record(tx, "subscriber_unsubscribe", gone, who.id, origin)
    return gone


def leave(tx: Tx, who: Subscriber, kind: str, ref_id: int, origin: Origin) -> bool:
    """Take a person out of one thing; return whether they were in it.

    A tag's subscription is removed, a form's or sequence's is ended.
    """
    if kind == "sequence":
        entries.leave(tx, who.id, ref_id)
    if kind != "tag":
        return bool(
            tx.run(
                _END[kind],
                now=tx.now,
                account_id=tx.account_id,
                ref_id=ref_id,
                subscriber_id=who.id,
            )
        )
    row = tx.one(
        "DELETE FROM subscriptions WHERE account_id = :account_id AND subscriber_id = :subscriber_id"  # noqa: S608
        f" AND {ONE['tag']} RETURNING id, subscriber_state",
        account_id=tx.account_id,
        ref_id=ref_id,
        subscriber_id=who.id,
    )
    if row is None:
        return False
    counters.count(tx, "tag", ref_id, row[1], row[0], -1)
    events.record(tx, "tag_remove", who, who.id, origin, subject_id=ref_id)
    return True


def confirmed(tx: Tx, subscription_id: int) -> None:
    """Note the first confirmation of a subscription."""
    tx.run(
        "UPDATE subscriptions SET confirmed_at = :now WHERE account_id = :account_id AND id = :id"
        " AND confirmed_at IS NULL",
        now=tx.now,
        account_id=tx.account_id,
        id=subscription_id,
    )


def next_confirmation(tx: Tx, subscription_id: int) -> int:
    """Raise and return how many confirmations were asked for a subscription."""
    row = tx.one(
        "UPDATE subscriptions SET confirmations = confirmations + 1 WHERE account_id = :account_id"
        " AND id = :id RETURNING confirmations",
        account_id=tx.account_id,
        id=subscription_id,
    )
    if row is None:
        raise NotFound("subscription")
    return int(row[0])


def page(
    rx: Rx, kind: str, ref_id: int, *, state: str | None, newest_first: bool, number: int
) -> tuple[int, list[tuple[Subscription, Subscriber]]]:
    """Return how many subscriptions a thing has, and one page of them with their people."""
    wanted = state or counters.ANY
    total = counters.total(rx, kind, ref_id, wanted)
    offset = (number - 1) * PAGE
    if offset >= total:
        return total, []
    place = counters.locate(rx, kind, ref_id, wanted, offset, newest_first=newest_first)
    if place is None:
        return total, []
    edge = counters.edge(place, newest_first=newest_first)
    names: dict[str, object] = {"account_id": rx.account_id, "ref_id": ref_id, "edge": edge}
    names |= {"limit": PAGE, "skip": place[1]}
    if state:
        rows = rx.all(_PAGE[kind, newest_first], state=state, **names)
    else:
        found = rx.all(_PAGE_OF_ANY_STATE[kind, newest_first], until=PAGE + place[1], **names)
        rows = sorted(found, reverse=newest_first)
    listed = [_subscription(row) for row in rows]
    people = subscribers.by_ids(rx, [one.subscriber_id for one in listed])
    return total, [(one, people[one.subscriber_id]) for one in listed if one.subscriber_id in people]


def tag_ids(rx: Rx, subscriber_id: int) -> list[int]:
    """Return the ids of a person's tags, in the order they were given."""
    rows = rx.all(
        "SELECT id, tag_id FROM subscriptions WHERE account_id = :account_id AND subscriber_id = :id"
        " AND tag_id IS NOT NULL",
        account_id=rx.account_id,
        id=subscriber_id,
    )
    return [tag_id for _, tag_id in sorted(rows)]


def joined_since(rx: Rx, kind: str, ref_id: int, since_at: int, most: int) -> int:
    """Return how many of the newest `most` who joined a thing did so since a time."""
    row = rx.one(_NEWEST[kind], account_id=rx.account_id, ref_id=ref_id, most=most, since_at=since_at)
    return int(row[0]) if row else 0


def having(rx: Rx, kind: str, ref_ids: list[int], subscriber_ids: list[int]) -> set[int]:
    """Return who of these people (at most 500) is in one of these things."""
    found: set[int] = set()
    for ref_id in ref_ids if subscriber_ids else []:
        size, names = zones.named(subscriber_ids)
        found.update(
            row[0] for row in rx.all(_HAVING[kind, size], account_id=rx.account_id, ref_id=ref_id, **names)
        )
    return found


def _subscription(row: tuple[object, ...]) -> Subscription:
    row_id, subscriber_id, form_id, sequence_id, tag_id, *rest = row
    kind, ref_id = _which([form_id, sequence_id, tag_id])
    return Subscription(row_id, subscriber_id, kind, ref_id, *rest)  # type: ignore[arg-type]


def _which(refs: list[object]) -> tuple[str, int]:
    """Return the kind and id of the one reference that is filled."""
    for kind, ref_id in zip(KINDS, refs, strict=True):
        if isinstance(ref_id, int):
            return kind, ref_id
    raise AssertionError("a subscription without a subscribable")
