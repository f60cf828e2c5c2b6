"""Subscribers: the people of an account, one row for each address.

Owns `subscribers`. An address is one person whatever its case or the spelling of its
domain (`email_key`). Invariant: bounced and complained are never left by anything here.
"""

import re
from collections.abc import Mapping

import msgspec

from tidings.core import counters, custom_fields, events, search, suppressions
from tidings.core.events import Origin
from tidings.errors import Invalid, NotFound, Unavailable
from tidings.mail import address
from tidings.store.tx import Rx, Tx

STATES = ("active", "inactive", "cancelled", "bounced", "complained")
NAME_MAX = 255
PAGE = 50

# Where a change came from whose caller does not say.
_COMMAND = Origin("command")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_COLUMNS = "id, email, first_name, state, created_at, fields"


class Person(msgspec.Struct, frozen=True):
    """Who is meant, as a door understood it: a checked address and what is said of them."""

    address: address.Address
    first_name: str | None = None
    fields: Mapping[str, object] = {}


class Subscriber(msgspec.Struct, frozen=True):
    """One person; `fields` has every custom field of the account by key, None when unset."""

    id: int
    email: str
    first_name: str | None
    state: str
    created_at: int
    fields: dict[str, str | None]


def person(email: str, first_name: str | None = None, fields: Mapping[str, object] | None = None) -> Person:
    """Check what a door was given; raise Invalid for a malformed address."""
    try:
        parsed = address.parse(email)
    except ValueError as problem:
        raise Invalid("Email address", "is invalid") from problem
    return Person(parsed, clean_name(first_name), fields or {})


def sort_key(email: str) -> str:
    """Return by what a verb about this address is sorted in its group: the mailbox, then the key."""
    try:
        parsed = address.parse(email)
    except ValueError:
        return ""
    return f"{parsed.mailbox}\0{parsed.key}"


def clean_name(name: str | None) -> str | None:
    """Return a first name without control characters; blank is None."""
    if name is None:
        return None
    clean = _CONTROL.sub("", name).strip()
    if len(clean) > NAME_MAX:
        raise Invalid("First name", f"is too long (maximum is {NAME_MAX} characters)")
    return clean or None


def get(rx: Rx, subscriber_id: int) -> Subscriber:
    """Return one person, or raise NotFound."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM subscribers WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=subscriber_id,
    )
    if row is None:
        raise NotFound("subscriber")
    return of_row(rx, row)


def find(rx: Rx, email: str) -> Subscriber | None:
    """Return who has this address; None for nobody and for a malformed address."""
    try:
        key = address.parse(email).key
    except ValueError:
        return None
    row = rx.one(
        f"SELECT {_COLUMNS} FROM subscribers WHERE account_id = :account_id AND email_key = :key",  # noqa: S608
        account_id=rx.account_id,
        key=key,
    )
    return of_row(rx, row) if row else None


def taken(rx: Rx, subscriber_id: int) -> bool:
    """Say whether a subscriber of any account has this id: ids are one row of numbers over all accounts."""
    return rx.one("SELECT 1 FROM subscribers WHERE id = :id", id=subscriber_id) is not None


def by_ids(rx: Rx, ids: list[int]) -> dict[int, Subscriber]:
    """Return these people by id; at most a page of them is asked for."""
    if not ids:
        return {}
    names = {f"id{at}": one for at, one in enumerate(_padded(ids))}
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM subscribers WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND id IN ({', '.join(':' + name for name in names)})",
        account_id=rx.account_id,
        **names,
    )
    return {one.id: one for one in of_rows(rx, rows)}


def meet(
    tx: Tx, person: Person, state: str, origin: Origin = _COMMAND, *, given_id: int | None = None
) -> tuple[Subscriber, bool]:
    """Return who has this address, made in `state` when nobody had it; and whether they are new.

    A name and fields that are given replace the old ones, and each change is an event; so are the
    first fields of somebody new where a rule waits for them.
    """
    if state == "active" and suppressions.holds(tx, person.address.mailbox):
        state = "inactive"
    values = custom_fields.clean_values(tx, person.fields)
    kept: dict[str, str | None] = {key: value for key, value in values.items() if value is not None}
    names = {
        "account_id": tx.account_id,
        "email": person.address.email,
        "key": person.address.key,
        "first_name": person.first_name,
        "state": state,
        "fields": pack(kept),
        "now": tx.now,
        "active": tx.now if state == "active" else None,
    }
    row = tx.one(_INSERT_GIVEN, id=given_id, **names) if given_id else tx.one(_INSERT, **names)
    if row is not None:
        made = Subscriber(row[0], person.address.email, person.first_name, state, tx.now, _keyed(tx, kept))
        _count(tx, made.id, state, tx.now, tx.now, +1)
        if given_id:
            search.note(tx, made.id, "", None)
        if kept and "field_change" in events.listened(tx):
            _tell_fields(tx, made, kept, origin)
        return made, True
    found = tx.one(
        f"SELECT {_COLUMNS}, updated_at FROM subscribers WHERE account_id = :account_id"  # noqa: S608
        " AND email_key = :key {for_update}",
        account_id=tx.account_id,
        key=person.address.key,
    )
    if found is None:
        # Erased by another process since the insert met this row: run again, nobody has the address.
        raise Unavailable("this person was erased at the same moment; try again")
    return _overwrite(tx, found, person.first_name, kept, origin), False


def update(
    tx: Tx,
    subscriber_id: int,
    *,
    email: str | None,
    first_name: str | None,
    fields: Mapping[str, object],
    origin: Origin = _COMMAND,
) -> Subscriber:
    """Change a person's name, address or fields, each an event; a field given as None is cleared."""
    if len(fields) > custom_fields.FIELDS_MAX:
        raise Invalid("fields", f"are too many: a request can update at most {custom_fields.FIELDS_MAX}")
    row = tx.one(
        f"SELECT {_COLUMNS}, updated_at FROM subscribers WHERE account_id = :account_id"  # noqa: S608
        " AND id = :id {for_update}",
        account_id=tx.account_id,
        id=subscriber_id,
    )
    if row is None:
        raise NotFound("subscriber")
    parsed = person(email).address if email is not None else None
    values = custom_fields.clean_values(tx, fields)
    if parsed is not None and parsed.email != row[1]:
        search.note(tx, subscriber_id, row[1], row[2])
        _readdress(tx, subscriber_id, parsed)
        row = (row[0], parsed.email, *row[2:])
        _touch(tx, row)
        row = (*row[:6], tx.now)
        who = of_row(tx, row)
        events.record(tx, "address_change", who, who.id, origin, value=who.email)
    return _overwrite(tx, row, clean_name(first_name), values, origin)


def turn(tx: Tx, who: Subscriber, state: str) -> Subscriber:
    """Put a person into another state and count them there.

    Their subscriptions must follow: callers use `subscriptions.turn`.
    """
    row = tx.one(
        "UPDATE subscribers SET state = :state, updated_at = :now,"
        " activated_at = CASE WHEN :state = 'active' THEN :now ELSE activated_at END,"
        " cancelled_at = CASE WHEN :state = 'cancelled' THEN :now ELSE NULL END,"
        " bounced_at = CASE WHEN :state = 'bounced' THEN :now ELSE bounced_at END,"
        " complained_at = CASE WHEN :state = 'complained' THEN :now ELSE complained_at END"
        " WHERE account_id = :account_id AND id = :id AND state = :before RETURNING id",
        state=state,
        now=tx.now,
        account_id=tx.account_id,
        id=who.id,
        before=who.state,
    )
    if row is None:
        # Another process was faster: as after a deadlock, the verb is run again and sees it.
        raise Unavailable("this person was changed at the same moment; try again")
    return msgspec.structs.replace(who, state=state)


def times(tx: Tx, subscriber_id: int) -> tuple[int, int, int | None]:
    """Return when a person was made, last updated and cancelled; locks the row."""
    row = tx.one(
        "SELECT created_at, updated_at, cancelled_at FROM subscribers"
        " WHERE account_id = :account_id AND id = :id {for_update}",
        account_id=tx.account_id,
        id=subscriber_id,
    )
    if row is None:
        raise NotFound("subscriber")
    return row[0], row[1], row[2]


def recount(tx: Tx, who: Subscriber, old: str, times_before: tuple[int, int, int | None], new: str) -> None:
    """Move a person from one state's counters to another's."""
    created_at, updated_at, cancelled_at = times_before
    _count(tx, who.id, old, created_at, updated_at, -1)
    _count(tx, who.id, new, created_at, tx.now, +1)
    if old == "cancelled" and cancelled_at is not None:
        counters.count_by_day(tx, "subscribers.cancelled", cancelled_at, -1)
    if new == "cancelled":
        counters.count_by_day(tx, "subscribers.cancelled", tx.now, +1)


_INSERT_COLUMNS = (
    "account_id, email, email_key, first_name, state, fields, created_at, updated_at, activated_at"
)
_INSERT_VALUES = (
    ":account_id, :email, :key, CAST(:first_name AS TEXT), :state, :fields, :now, :now,"
    " CAST(:active AS BIGINT)"
)
# The look before the insert keeps a known address from using up an id; only the conflict
# clause answers whether the person is new.
_UNLESS_KNOWN = (
    " WHERE NOT EXISTS (SELECT 1 FROM subscribers WHERE account_id = :account_id AND email_key = :key)"
    " ON CONFLICT (account_id, email_key) DO NOTHING RETURNING id"
)
_INSERT = f"INSERT INTO subscribers ({_INSERT_COLUMNS}) SELECT {_INSERT_VALUES}{_UNLESS_KNOWN}"
_INSERT_GIVEN = f"INSERT INTO subscribers (id, {_INSERT_COLUMNS}) SELECT :id, {_INSERT_VALUES}{_UNLESS_KNOWN}"


def _overwrite(
    tx: Tx, row: tuple[object, ...], name: str | None, values: dict[str, str | None], origin: Origin
) -> Subscriber:
    """Write a name and fields over what the row has, where they differ, and record each difference."""
    stored = unpack(row[5])
    merged = {**stored, **values}
    packed = {key: value for key, value in merged.items() if value is not None}
    first_name = name or row[2]
    if first_name != row[2] or packed != stored:
        tx.run(
            "UPDATE subscribers SET first_name = :first_name, fields = :fields"
            " WHERE account_id = :account_id AND id = :id",
            first_name=first_name,
            fields=pack(packed),
            account_id=tx.account_id,
            id=row[0],
        )
        _touch(tx, row)
    if first_name != row[2]:
        search.note(tx, row[0], row[1], row[2])  # type: ignore[arg-type]
    who = of_row(tx, (row[0], row[1], first_name, row[3], row[4], pack(packed)))
    if first_name != row[2]:
        events.record(tx, "name_change", who, who.id, origin, value=who.first_name)
    if packed != stored:
        changed = {key: value for key, value in values.items() if stored.get(key) != value}
        _tell_fields(tx, who, changed, origin)
    return who


def _tell_fields(tx: Tx, who: Subscriber, values: Mapping[str, str | None], origin: Origin) -> None:
    """Record new values, by the ids of their fields."""
    for key, value in values.items():
        events.record(tx, "field_change", who, who.id, origin, subject_id=int(key), value=value)


def _touch(tx: Tx, row: tuple[object, ...]) -> None:
    """Note that a row (`_COLUMNS`, updated_at) was changed now, and count it on this day."""
    row_id, state, updated_at = row[0], row[3], row[6]
    assert isinstance(row_id, int) and isinstance(state, str) and isinstance(updated_at, int)  # noqa: S101, PT018
    tx.run(
        "UPDATE subscribers SET updated_at = :now WHERE account_id = :account_id AND id = :id",
        now=tx.now,
        account_id=tx.account_id,
        id=row_id,
    )
    counters.count_dated(tx, "subscribers.updated", state, row_id, updated_at, -1)
    counters.count_dated(tx, "subscribers.updated", state, row_id, tx.now, +1)


def _readdress(tx: Tx, subscriber_id: int, to: address.Address) -> None:
    taken = tx.one(
        "SELECT id FROM subscribers WHERE account_id = :account_id AND email_key = :key AND id <> :id",
        account_id=tx.account_id,
        key=to.key,
        id=subscriber_id,
    )
    if taken:
        raise Invalid("Email address", "has already been taken")
    if suppressions.holds(tx, to.mailbox):
        raise Invalid("Email address", "was erased: only a sign-up that its owner confirms brings it back")
    tx.run(
        "UPDATE subscribers SET email = :email, email_key = :key WHERE account_id = :account_id AND id = :id",
        email=to.email,
        key=to.key,
        account_id=tx.account_id,
        id=subscriber_id,
    )


def _count(tx: Tx, row_id: int, state: str, created_at: int, updated_at: int, n: int) -> None:
    counters.count(tx, "subscribers", 0, state, row_id, n)
    counters.count_dated(tx, "subscribers.created", state, row_id, created_at, n)
    counters.count_dated(tx, "subscribers.updated", state, row_id, updated_at, n)


def of_row(rx: Rx, row: tuple[object, ...]) -> Subscriber:
    """Return the person of a row: id, email, first_name, state, created_at, fields."""
    row_id, email, first_name, state, created_at, packed = row[:6]
    return Subscriber(row_id, email, first_name, state, created_at, _keyed(rx, unpack(packed)))  # type: ignore[arg-type]


def of_rows(rx: Rx, rows: list[tuple[object, ...]]) -> list[Subscriber]:
    """Return the people of many rows, as `of_row` does of one."""
    known = [(field.key, str(field.id)) for field in custom_fields.all_fields(rx)]
    people = []
    for row_id, email, first_name, state, created_at, packed in rows:
        values = unpack(packed)
        fields = {key: values.get(name) for key, name in known}
        people.append(Subscriber(row_id, email, first_name, state, created_at, fields))  # type: ignore[arg-type]
    return people


def _keyed(rx: Rx, values: Mapping[str, str | None]) -> dict[str, str | None]:
    return {field.key: values.get(str(field.id)) for field in custom_fields.all_fields(rx)}


def pack(values: Mapping[str, str | None]) -> str:
    """Write a person's fields as their row keeps them, by the ids of the fields."""
    return msgspec.json.encode(values).decode() if values else "{}"


def unpack(packed: object) -> dict[str, str | None]:
    """Read what `pack` wrote."""
    if packed == "{}":
        return {}
    assert isinstance(packed, str)  # noqa: S101 (a column of ours)
    values: dict[str, str | None] = msgspec.json.decode(packed)
    return values


def _padded(ids: list[int]) -> list[int]:
    """Round the number of names up, so that a handful of statements serve every page."""
    size = next((size for size in (1, 10, PAGE) if len(ids) <= size), len(ids))
    return ids + [ids[-1]] * (size - len(ids))
