"""Forgetting: a person's own row, emptied or gone, with every counter that it was in; values of a field."""

from tidings.core import counters
from tidings.core.subscribers import pack, unpack
from tidings.errors import Unavailable
from tidings.store.tx import Tx

# Rows of one slice of an erasure: some 20 ms of SQLite's write lock.
ERASE_SLICE = 500


def forget(tx: Tx, subscriber_id: int) -> bool:
    """Delete a person's row, to which nothing may point any more; return whether it was there."""
    row = tx.one(
        "DELETE FROM subscribers WHERE account_id = :account_id AND id = :id"
        " RETURNING state, created_at, updated_at, cancelled_at",
        account_id=tx.account_id,
        id=subscriber_id,
    )
    if row is None:
        return False
    state, created_at, updated_at, cancelled_at = row
    counters.count(tx, "subscribers", 0, state, subscriber_id, -1)
    counters.count_dated(tx, "subscribers.created", state, subscriber_id, created_at, -1)
    counters.count_dated(tx, "subscribers.updated", state, subscriber_id, updated_at, -1)
    if cancelled_at is not None:
        counters.count_by_day(tx, "subscribers.cancelled", cancelled_at, -1)
    return True


def hollow(tx: Tx, subscriber_id: int) -> None:
    """Empty a person's row, until all that points at it has gone: only its times are left."""
    tx.run(
        "UPDATE subscribers SET email = '', email_key = :key, first_name = NULL, fields = '{}',"
        " time_zone = NULL WHERE account_id = :account_id AND id = :id",
        # No address has a space.
        key=f"erased {subscriber_id}",
        account_id=tx.account_id,
        id=subscriber_id,
    )


def erase_field(tx: Tx, field_id: int, after_id: int) -> int | None:
    """Remove a deleted field's values from the next slice of people.

    Return the last id looked at, or None when there is nobody after it.
    """
    rows = tx.all(
        "SELECT id, fields FROM subscribers WHERE account_id = :account_id AND id > :after_id"
        " ORDER BY id LIMIT :limit",
        account_id=tx.account_id,
        after_id=after_id,
        limit=ERASE_SLICE,
    )
    for row_id, _ in (row for row in rows if f'"{field_id}":' in row[1]):
        current = tx.one(
            "SELECT fields FROM subscribers WHERE account_id = :account_id AND id = :id {for_update}",
            account_id=tx.account_id,
            id=row_id,
        )
        values = unpack(current[0]) if current else {}
        if values.pop(str(field_id), None) is not None:
            tx.run(
                "UPDATE subscribers SET fields = :fields WHERE account_id = :account_id AND id = :id",
                fields=pack(values),
                account_id=tx.account_id,
                id=row_id,
            )
    return rows[-1][0] if len(rows) == ERASE_SLICE else None


def hold_off(tx: Tx, subscriber_id: int) -> None:
    """Keep a person from being erased until this is committed; raise Unavailable when they were."""
    row = tx.one(
        "SELECT id FROM subscribers WHERE account_id = :account_id AND id = :id {for_key_share}",
        account_id=tx.account_id,
        id=subscriber_id,
    )
    if row is None:
        # By another process, at this moment: run again, the verb finds nobody.
        raise Unavailable("this person was erased at the same moment; try again")
