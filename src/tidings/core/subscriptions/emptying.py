"""A deleted tag taken off people, slice by slice."""

from tidings.core import counters
from tidings.store.tx import Tx

# Rows of one slice: some 6 ms of SQLite's write lock at 2,000,000 subscriptions.
UNTAG_SLICE = 250


def untag_slice(tx: Tx, tag_id: int) -> int:
    """Take a deleted tag off some people, without an event; return how many.

    Whoever is being changed just now is left for the next slice.
    """
    rows = tx.all(
        "DELETE FROM subscriptions WHERE account_id = :account_id AND id IN (SELECT id FROM subscriptions"
        " WHERE account_id = :account_id AND tag_id = :tag_id ORDER BY subscriber_state, id"
        " LIMIT :limit {skip_locked})"
        " RETURNING id, subscriber_state",
        account_id=tx.account_id,
        tag_id=tag_id,
        limit=UNTAG_SLICE,
    )
    for row_id, state in rows:
        counters.count(tx, "tag", tag_id, state, row_id, -1)
    return len(rows)
