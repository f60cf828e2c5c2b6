"""Folding: what has come to its end long ago is deleted; the numbers that it left behind stay.

Each account's rows are gone through by id, from the oldest on: no index of times is kept up with every
mail for what is done once a day. Links and unsubscribes of a folded mail work on: their tokens name
all they need.
"""

from tidings.store.tx import Rx, Tx

# Rows of one slice: with its commit 4.5 ms of SQLite's write lock, 60 ms at worst (600,000 rows).
SLICE = 1_000

_OLD = (
    "account_id = :account_id AND id > :after_id AND id <= :until_id AND settled_at < :before_at"
    " AND state IN ('sent', 'failed', 'uncertain', 'suppressed')"
)


def next_account(rx: Rx, after_account_id: int) -> int | None:
    """Return the next account that has deliveries, by id; None behind the last."""
    row = rx.one(
        "SELECT account_id FROM deliveries WHERE account_id > :after ORDER BY account_id LIMIT 1",
        after=after_account_id,
    )
    return int(row[0]) if row else None


def next_slice(rx: Rx, after_id: int, before_at: int, size: int = SLICE) -> int | None:
    """Return the last id of the account's next slice; None when all behind `after_id` is younger."""
    rows = rx.all(
        "SELECT id, created_at FROM deliveries WHERE account_id = :account_id AND id > :after_id"
        " ORDER BY id LIMIT :size",
        account_id=rx.account_id,
        after_id=after_id,
        size=size,
    )
    # Nothing comes to its end before it was made.
    return int(rows[-1][0]) if rows and rows[0][1] < before_at else None


def fold(tx: Tx, after_id: int, until_id: int, before_at: int) -> int:
    """Delete what of the account lies behind `after_id` up to `until_id` and ended before a time.

    Their attempts go too; hits are tracking's. Returns how many deliveries were deleted.
    """
    names = {
        "account_id": tx.account_id,
        "after_id": after_id,
        "until_id": until_id,
        "before_at": before_at,
    }
    tx.run(
        "DELETE FROM attempts WHERE account_id = :account_id AND delivery_id > :after_id"  # noqa: S608 (constants)
        f" AND delivery_id <= :until_id AND delivery_id IN (SELECT id FROM deliveries WHERE {_OLD})",
        **names,
    )
    return tx.run(f"DELETE FROM deliveries WHERE {_OLD}", **names)  # noqa: S608 (constants)
