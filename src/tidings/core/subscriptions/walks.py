"""Walks: who is in a thing and what people are in, for lists and for changes of many."""

from tidings.core.subscribers import zones
from tidings.core.subscriptions import KINDS
from tidings.store.tx import Rx

_EVER = {
    (kind, size): (
        f"SELECT subscriber_id FROM subscriptions WHERE account_id = :account_id AND {kind}_id = :ref_id"  # noqa: S608
        f" AND subscriber_id IN ({', '.join(f':id{at}' for at in range(size))})"
    )
    for kind in KINDS
    for size in zones.SIZES
}
# Asked for tags alone, or in their order, SQLite takes the index of tags and reads a million.
_ALL = {
    size: (
        "SELECT id, subscriber_id, tag_id FROM subscriptions WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND subscriber_id IN ({', '.join(f':id{at}' for at in range(size))}) LIMIT :limit"
    )
    for size in zones.SIZES
}
_BEFORE = {
    kind: (
        f"SELECT subscriber_id FROM subscriptions WHERE account_id = :account_id AND {kind}_id = :ref_id"  # noqa: S608
        " AND subscriber_id < :before_id ORDER BY subscriber_id DESC LIMIT :limit"
    )
    for kind in KINDS
}
_AFTER = {
    kind: (
        "SELECT subscriber_id, subscriber_state FROM subscriptions"  # noqa: S608 (our names)
        f" WHERE account_id = :account_id AND {kind}_id = :ref_id AND subscriber_id > :after_id"
        " AND subscriber_id <= :until_id ORDER BY subscriber_id LIMIT :limit"
    )
    for kind in KINDS
}


def ever_in(rx: Rx, kind: str, ref_id: int, subscriber_ids: list[int]) -> set[int]:
    """Return who of these people (at most 500) is in a thing or was, as its counters count them."""
    if not subscriber_ids:
        return set()
    size, names = zones.named(subscriber_ids)
    rows = rx.all(_EVER[kind, size], account_id=rx.account_id, ref_id=ref_id, **names)
    return {row[0] for row in rows}


def joined_before(rx: Rx, kind: str, ref_id: int, before_id: int, limit: int) -> list[int]:
    """Return the newest people before an id who are in a thing or were, newest first."""
    rows = rx.all(_BEFORE[kind], account_id=rx.account_id, ref_id=ref_id, before_id=before_id, limit=limit)
    return [row[0] for row in rows]


def joined_after(
    rx: Rx, kind: str, ref_id: int, after_id: int, until_id: int, limit: int
) -> list[tuple[int, str]]:
    """Return the next people behind an id who are in a thing or were, each with their state."""
    rows = rx.all(
        _AFTER[kind],
        account_id=rx.account_id,
        ref_id=ref_id,
        after_id=after_id,
        until_id=until_id,
        limit=limit,
    )
    return [(row[0], row[1]) for row in rows]


def tags_of(rx: Rx, subscriber_ids: list[int], limit: int = 5_000) -> dict[int, list[int]]:
    """Return the tags of these people (at most 500), newest first; up to `limit` rows are read."""
    found: dict[int, list[int]] = {}
    if not subscriber_ids:
        return found
    size, names = zones.named(subscriber_ids)
    rows = rx.all(_ALL[size], account_id=rx.account_id, limit=limit, **names)
    for _, subscriber_id, tag_id in sorted(rows, reverse=True):
        if tag_id is not None:
            found.setdefault(subscriber_id, []).append(tag_id)
    return found
