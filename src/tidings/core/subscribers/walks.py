"""Walks over the people of an account, in the order of their ids."""

from collections.abc import Mapping

import msgspec

from tidings.store.tx import Rx


class Walked(msgspec.Struct, frozen=True):
    """One active person: since when, and their fields by the id of the field, as text."""

    id: int
    since_at: int
    fields: Mapping[str, str]


_FIELDS = msgspec.json.Decoder(dict[str, str])


def active_after(rx: Rx, after_id: int, limit: int) -> list[Walked]:
    """Return the active people behind an id, in the order of their ids: one index, slice by slice."""
    rows = rx.all(
        "SELECT id, COALESCE(activated_at, created_at), fields FROM subscribers"
        " WHERE account_id = :account_id AND state = 'active' AND id > :after_id ORDER BY id LIMIT :limit",
        account_id=rx.account_id,
        after_id=after_id,
        limit=limit,
    )
    return [Walked(row[0], row[1], {} if row[2] == "{}" else _FIELDS.decode(row[2])) for row in rows]


class Named(msgspec.Struct, frozen=True):
    """What a person is called and found by."""

    id: int
    email: str
    first_name: str | None
    state: str


_NAMED = "SELECT id, email, first_name, state FROM subscribers WHERE account_id = :account_id"
# Few sizes, so that few statements serve all.
_SIZES = (50, 500)
_OF_IDS = {size: f"{_NAMED} AND id IN ({', '.join(f':id{at}' for at in range(size))})" for size in _SIZES}
_AFTER = " AND id > :after_id AND id <= :until_id ORDER BY id LIMIT :limit"
_IDS = f"SELECT id FROM subscribers WHERE account_id = :account_id{_AFTER}"  # noqa: S608 (a constant)
_IDS_IN_STATE = f"SELECT id FROM subscribers WHERE account_id = :account_id AND state = :state{_AFTER}"  # noqa: S608
NAMED_MAX = _SIZES[-1]


def named_between(rx: Rx, first_id: int, last_id: int, limit: int) -> list[Named]:
    """Return people of these ids, both included, in the order of their ids."""
    rows = rx.all(
        f"{_NAMED} AND id BETWEEN :first_id AND :last_id ORDER BY id LIMIT :limit",
        account_id=rx.account_id,
        first_id=first_id,
        last_id=last_id,
        limit=limit,
    )
    return [Named(*row) for row in rows]


def named_before(rx: Rx, after_id: int, before_id: int, limit: int) -> list[Named]:
    """Return the newest people between two ids, neither included, newest first."""
    rows = rx.all(
        f"{_NAMED} AND id > :after_id AND id < :before_id ORDER BY id DESC LIMIT :limit",
        account_id=rx.account_id,
        after_id=after_id,
        before_id=before_id,
        limit=limit,
    )
    return [Named(*row) for row in rows]


def named_in_state(rx: Rx, state: str, before_id: int, limit: int) -> list[Named]:
    """Return the newest people of a state before an id, newest first."""
    rows = rx.all(
        f"{_NAMED} AND state = :state AND id < :before_id ORDER BY id DESC LIMIT :limit",
        account_id=rx.account_id,
        state=state,
        before_id=before_id,
        limit=limit,
    )
    return [Named(*row) for row in rows]


def ids_after(rx: Rx, state: str | None, after_id: int, until_id: int, limit: int) -> list[int]:
    """Return the next ids of people, of one state or any, in their order."""
    rows = rx.all(
        _IDS_IN_STATE if state else _IDS,
        account_id=rx.account_id,
        after_id=after_id,
        until_id=until_id,
        limit=limit,
        **({"state": state} if state else {}),
    )
    return [row[0] for row in rows]


def named(rx: Rx, ids: list[int]) -> list[Named]:
    """Return these people (at most `NAMED_MAX`), newest first."""
    if not ids:
        return []
    size = next(size for size in _SIZES if len(ids) <= size)
    names = {f"id{at}": one for at, one in enumerate(ids + ids[-1:] * (size - len(ids)))}
    rows = rx.all(_OF_IDS[size], account_id=rx.account_id, **names)
    return [Named(*row) for row in sorted(rows, reverse=True)]


def nth_after(rx: Rx, after_id: int, n: int) -> int | None:
    """Return the id of the n-th person behind an id; None where there are fewer."""
    row = rx.one(
        "SELECT id FROM subscribers WHERE account_id = :account_id AND id > :after_id ORDER BY id"
        " LIMIT 1 OFFSET :skip",
        account_id=rx.account_id,
        after_id=after_id,
        skip=n - 1,
    )
    return int(row[0]) if row else None


def number_between(rx: Rx, first_id: int, last_id: int) -> int:
    """Return how many people have these ids, both included: 1 ms for ten thousand."""
    row = rx.one(
        "SELECT COUNT(*) FROM subscribers WHERE account_id = :account_id"
        " AND id BETWEEN :first_id AND :last_id",
        account_id=rx.account_id,
        first_id=first_id,
        last_id=last_id,
    )
    return int(row[0]) if row else 0
