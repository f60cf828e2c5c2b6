"""People of an import whom the account knows already: what the file adds to them, and what it must not.

A file never makes anybody active who cancelled, bounced or complained; it may say that they did.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tidings.core import counters, entries, search, subscribers, subscriptions, suppressions
from tidings.core.importing import newcomers, staging
from tidings.core.importing.newcomers import BY_STATE, Told
from tidings.core.importing.rows import CHANGES_MAX, Incoming, Slice, Tally, next_state
from tidings.store.tx import Row, Rx, Tx

# How many are asked for at once: one of these sizes, so that few statements serve all.
_SIZES = (10, 100, 500)
_NAMED = {size: ", ".join(f":one{at}" for at in range(size)) for size in _SIZES}
_COLUMNS = "id, email, first_name, state, created_at, fields, updated_at"
_BY_ID = {
    size: f"SELECT {_COLUMNS} FROM subscribers WHERE account_id = :account_id AND id IN ({names})"  # noqa: S608
    for size, names in _NAMED.items()
}
_BY_KEY = {
    size: (
        f"SELECT {_COLUMNS}, email_key FROM subscribers WHERE account_id = :account_id"  # noqa: S608
        f" AND email_key IN ({names})"
    )
    for size, names in _NAMED.items()
}
_THERE = {
    size: (
        "SELECT subscriber_id, tag_id, form_id, sequence_id FROM subscriptions WHERE account_id = :account_id"  # noqa: S608
        f" AND subscriber_id IN ({names})"
    )
    for size, names in _NAMED.items()
}
# Whoever joins something stays until this is committed.
_STAYING = {
    size: f"SELECT id FROM subscribers WHERE account_id = :account_id AND id IN ({names})"  # noqa: S608
    " ORDER BY id {for_key_share}"
    for size, names in _NAMED.items()
}
# As an unsubscribing does: tags stay.
_END = (
    "UPDATE subscriptions SET ended_at = :now WHERE account_id = :account_id AND subscriber_id = :id"
    " AND tag_id IS NULL AND ended_at IS NULL"
)
_HELD = {
    size: f"SELECT digest FROM suppressions WHERE account_id = :account_id AND digest IN ({names})"  # noqa: S608
    for size, names in _NAMED.items()
}
_EVENTS = ("account_id", "name", "subscriber_id", "snapshot", "cause", "created_at", "told_at")
_INSERT_EVENTS = (
    "INSERT INTO events (account_id, name, subscriber_id, snapshot, cause, created_at, told_at)"
    " VALUES (:account_id, :name, :subscriber_id, :snapshot, :cause, :created_at, :told_at)"
)
_FIELDS = msgspec.json.Decoder(dict[str, str])


class Known(msgspec.Struct, frozen=True):
    """Somebody of the file whom the account has: their row, their place in the slice, what the file says."""

    id: int
    email: str
    first_name: str | None
    state: str
    created_at: int
    fields: dict[str, str]
    updated_at: int
    n: int
    said: Incoming

    @property
    def next_state(self) -> str:
        """The state that they have afterwards."""
        return next_state(self.state, self.said.state)

    @property
    def next_name(self) -> str | None:
        """Their name afterwards; what the file leaves blank stays."""
        return self.said.first_name or self.first_name

    @property
    def next_fields(self) -> dict[str, str]:
        """Their values afterwards; what the file leaves blank stays."""
        return (
            self.fields if self.said.fields == "{}" else {**self.fields, **_FIELDS.decode(self.said.fields)}
        )

    @property
    def differs(self) -> bool:
        """Whether the file says anything new of them, but for what they join."""
        return (self.next_state, self.next_name, self.next_fields) != (
            self.state,
            self.first_name,
            self.fields,
        )

    @property
    def stays(self) -> bool:
        """Whether they have a state that the file cannot better."""
        return self.next_state == self.state != self.said.state and self.state != "inactive"


def find(tx: Tx, people: Sequence[Incoming], ids: Mapping[int, int]) -> list[Known]:
    """Return those at these places of the slice, whose ids are given, in the order of their places."""
    rows = {row[0]: row for row in _each(tx, _BY_ID, sorted(ids.values()))}
    return [_known(rows[row_id], n, people[n]) for n, row_id in sorted(ids.items()) if row_id in rows]


def by_key(rx: Rx, people: Sequence[Incoming]) -> list[Known]:
    """Return those of the people whom the account knows, without any lock: what a trial run asks."""
    places = {one.key: n for n, one in enumerate(people)}
    rows = _each(rx, _BY_KEY, list(places))
    return [_known(row, places[row[7]], people[places[row[7]]]) for row in rows]


def held(rx: Rx, people: Sequence[Incoming]) -> set[int]:
    """Return the places of those whose mailbox is suppressed; asks nothing where the account has none."""
    sql = "SELECT 1 FROM suppressions WHERE account_id = :account_id LIMIT 1"
    if rx.one(sql, account_id=rx.account_id) is None:
        return set()
    digests = [suppressions.digest(rx, one.mailbox) for one in people]
    found = {row[0] for row in _each(rx, _HELD, digests)}
    return {n for n, digest in enumerate(digests) if digest in found}


def renew(tx: Tx, known: Sequence[Known], given: Slice, told: Told, tally: Tally) -> int | None:
    """Bring known people to what the file says of them; return the place to stop before.

    None when all are done: else more of them change than one slice may hold.
    """
    done: list[Known] = []
    changed: set[int] = set()
    stop = None
    turned: list[Row] = []
    for one in known:
        if len(changed) >= CHANGES_MAX:
            stop = one.n
            break
        if one.next_state != one.state:
            turned += _turn(tx, one, told)
        if one.differs:
            _say(tx, one)
            changed.add(one.id)
        done.append(one)
    if turned:
        tx.load(_INSERT_EVENTS, _EVENTS, turned)
    changed |= _join(tx, done, given, told)
    kept = {one.id for one in done if one.stays}
    tally.changed += len(changed)
    tally.kept += len(kept - changed)
    tally.same += len(done) - len(changed | kept)
    return stop


def joining(rx: Rx, known: Sequence[Known], given: Slice) -> dict[int, list[tuple[str, int]]]:
    """Return what known people would join that they are not in yet, by their ids.

    Who has left a form or a sequence stays out: their ended subscription is there.
    """
    wanted = {one.id: given.combos[given.things[one.n]] for one in known if given.combos[given.things[one.n]]}
    if not wanted:
        return {}
    there: set[tuple[int, str, int]] = set()
    for row_id, *refs in _each(rx, _THERE, list(wanted)):
        there.update((row_id, kind, ref) for kind, ref in zip(_KINDS, refs, strict=True) if ref is not None)
    left = {one.id for one in known if one.next_state == "cancelled"}
    new = {
        row_id: [
            (kind, ref)
            for kind, ref in things
            if (row_id, kind, ref) not in there and (kind == "tag" or row_id not in left)
        ]
        for row_id, things in wanted.items()
    }
    return {row_id: things for row_id, things in new.items() if things}


_KINDS = ("tag", "form", "sequence")


def _turn(tx: Tx, one: Known, told: Told) -> list[Row]:
    """Put a known person into the state that the file says; return the events of it."""
    state = one.next_state
    who = subscribers.get(tx, one.id)
    subscriptions.turn(tx, who, state)
    if state == "cancelled":
        tx.run(_END, now=tx.now, account_id=tx.account_id, id=one.id)
        entries.leave_all(tx, one.id)
    name = BY_STATE[state]
    snapshot = f'{{"id":{one.id},{one.said.said}'
    cause = told.begun + one.said.cause
    return [(tx.account_id, name, one.id, snapshot, cause, tx.now, told.told_at(name, tx.now))]


def _say(tx: Tx, one: Known) -> None:
    """Write a name and values that differ."""
    if (one.next_name, one.next_fields) == (one.first_name, one.fields):
        return
    if one.next_name != one.first_name:
        search.note(tx, one.id, one.email, one.first_name)
    row = tx.one(
        "SELECT updated_at FROM subscribers WHERE account_id = :account_id AND id = :id {for_update}",
        account_id=tx.account_id,
        id=one.id,
    )
    tx.run(
        "UPDATE subscribers SET first_name = :name, fields = :fields, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        name=one.next_name,
        fields=msgspec.json.encode(one.next_fields).decode(),
        now=tx.now,
        account_id=tx.account_id,
        id=one.id,
    )
    if row is not None:
        counters.count_dated(tx, "subscribers.updated", one.next_state, one.id, row[0], -1)
        counters.count_dated(tx, "subscribers.updated", one.next_state, one.id, tx.now, +1)


def _join(tx: Tx, known: Sequence[Known], given: Slice, told: Told) -> set[int]:
    """Let known people join what they are not in yet; return who does."""
    new = joining(tx, known, given)
    if not new:
        return set()
    # Held first and asked again: nobody joins twice, and nobody joins who is erased meanwhile.
    staying = {row[0] for row in _each(tx, _STAYING, sorted(new))}
    new = joining(tx, [one for one in known if one.id in staying and one.id in new], given)
    people = [one for one in known if one.id in new]
    numbers: dict[tuple[tuple[str, int], ...], int] = {}
    things = [numbers.setdefault(tuple(new[one.id]), len(numbers)) for one in people]
    staged = staging.stage(
        tx,
        [one.said for one in people],
        things,
        list(numbers),
        ids=[one.id for one in people],
        states=[one.next_state for one in people],
    )
    newcomers.join(tx, staged, told)
    return set(new)


def _known(row: Row, n: int, said: Incoming) -> Known:
    return Known(row[0], row[1], row[2], row[3], row[4], _FIELDS.decode(row[5]), row[6], n, said)


def _each(rx: Rx, statements: Mapping[int, str], wanted: Sequence[object]) -> list[Row]:
    """Ask for many, some hundred at a time."""
    found: list[Row] = []
    at = 0
    while at < len(wanted):
        size = next((size for size in _SIZES if len(wanted) - at <= size), _SIZES[-1])
        some = list(wanted[at : at + size])
        names = {f"one{n}": one for n, one in enumerate(some + some[-1:] * (size - len(some)))}
        found += rx.all(statements[size], account_id=rx.account_id, **names)
        at += size
    return found
