"""Claims: a worker takes what is due, committed before any connection is used.

A source is a broadcast or all other mail of an account; workers go round them, so that no account
starves another and the mail of a paused broadcast is not touched.
"""

import msgspec

from tidings.core.deliveries.rows import Delivery, Timing
from tidings.store.tx import Rx, Tx

# A row whose worker ended so often while it held it is set aside: once in a batch, and twice
# when it was claimed alone, as every row is that has seen a crash.
CRASHES_MOST = 3
# Accounts that are looked at in one round.
ACCOUNTS_MOST = 1_000
# For the table of broadcasts: one index look each.
BROADCAST_IS_DUE = (
    "EXISTS (SELECT 1 FROM deliveries AS its WHERE its.account_id = broadcasts.account_id"
    " AND its.broadcast_id = broadcasts.id AND its.state IN ('queued', 'deferred') AND its.due_at <= :now)"
)
BROADCAST_WAITS = (
    "EXISTS (SELECT 1 FROM deliveries AS its WHERE its.account_id = broadcasts.account_id"
    " AND its.broadcast_id = broadcasts.id AND its.state IN ('queued', 'deferred'))"
)

_RETURNED = (
    "RETURNING account_id, id, occasion, subscriber_id, attempts, lease, created_at, broadcast_id, ambiguous,"
    " crashes"
)
# Chosen once and kept: as a plain subquery PostgreSQL may choose anew for every row, and claims all.
_TAKE = "WITH chosen AS MATERIALIZED (SELECT id FROM deliveries WHERE account_id = :account_id"
_DUE = (
    " AND state IN ('queued', 'deferred') AND due_at <= :now AND {crashed} ORDER BY due_at, id"
    " LIMIT :limit {skip_locked})"
    " UPDATE deliveries SET state = 'claimed', attempts = attempts + 1, lease = :lease, lease_until = :until"
    " WHERE account_id = :account_id AND id IN (SELECT id FROM chosen) "
)
_OF_BROADCAST = {
    alone: _TAKE + " AND broadcast_id = :broadcast_id" + _DUE.replace("{crashed}", condition) + _RETURNED
    for alone, condition in ((False, "crashes = 0"), (True, "crashes > 0"))
}
_OF_ACCOUNT = {
    alone: _TAKE
    + " AND broadcast_id IS NULL AND lane = :lane"
    + _DUE.replace("{crashed}", condition)
    + _RETURNED
    for alone, condition in ((False, "crashes = 0"), (True, "crashes > 0"))
}


class Source(msgspec.Struct, frozen=True):
    """Where mail comes from: a broadcast, or (None) everything else of an account."""

    account_id: int
    broadcast_id: int | None = None


def due_sources(rx: Rx, *, lane: str) -> list[Source]:
    """Return the accounts that have mail due which belongs to no broadcast; one index look each."""
    found: list[Source] = []
    after = -1
    while len(found) < ACCOUNTS_MOST:
        row = rx.one(
            "SELECT account_id, due_at FROM deliveries WHERE lane = :lane AND state IN ('queued', 'deferred')"
            " AND broadcast_id IS NULL AND account_id > :after ORDER BY account_id, due_at LIMIT 1",
            lane=lane,
            after=after,
        )
        if row is None:
            break
        after = row[0]
        if row[1] <= rx.now:
            found.append(Source(after))
    return found


def claim(
    tx: Tx, source: Source, *, lane: str, limit: int, lease: int, timing: Timing, alone: bool = False
) -> list[Delivery]:
    """Claim what is due of a source, oldest first; `alone` takes one that has seen a crash."""
    names = {
        "account_id": source.account_id,
        "now": tx.now,
        "until": tx.now + timing.lease_ms,
        "limit": 1 if alone else limit,
        "lease": lease,
    }
    if source.broadcast_id is not None:
        rows = tx.all(_OF_BROADCAST[alone], broadcast_id=source.broadcast_id, **names)
    else:
        rows = tx.all(_OF_ACCOUNT[alone], lane=lane, **names)
    return sorted((Delivery(*row) for row in rows), key=lambda one: one.id)


def keep_lease(tx: Tx, leases: list[int], timing: Timing) -> None:
    """Renew what this worker still works on."""
    for lease in leases:
        tx.run(
            "UPDATE deliveries SET lease_until = :until WHERE lease = :lease"
            " AND state IN ('claimed', 'handed') AND lease_until IS NOT NULL",
            until=tx.now + timing.lease_ms,
            lease=lease,
        )


class Lapsed(msgspec.Struct, frozen=True):
    """A row whose owner has been silent past its lease."""

    account_id: int
    id: int
    state: str
    occasion: str
    crashes: int
    ambiguous: int
    broadcast_id: int | None
    subscriber_id: int
    lease: int
    attempts: int
    created_at: int

    @property
    def delivery(self) -> Delivery:
        """The row as its owner had it."""
        return Delivery(
            self.account_id, self.id, self.occasion, self.subscriber_id, self.attempts, self.lease,
            self.created_at, self.broadcast_id, self.ambiguous, self.crashes,
        )  # fmt: skip


def lapsed(tx: Tx) -> list[Lapsed]:
    """Lock and return what silent workers hold, over all accounts, at most 500 rows."""
    rows = tx.all(
        "SELECT account_id, id, state, occasion, crashes, ambiguous, broadcast_id, subscriber_id, lease,"
        " attempts, created_at FROM deliveries WHERE state IN ('claimed', 'handed') AND lease_until <= :now"
        " ORDER BY lease_until LIMIT 500 {skip_locked}",
        now=tx.now,
    )
    return [Lapsed(*row) for row in rows]


def any_lapsed(rx: Rx) -> bool:
    """Say whether a silent worker holds anything: one index look."""
    row = rx.one(
        "SELECT 1 FROM deliveries WHERE state IN ('claimed', 'handed') AND lease_until <= :now LIMIT 1",
        now=rx.now,
    )
    return row is not None


def release(tx: Tx, one: Lapsed) -> str:
    """Queue again a row that was claimed but not handed: it is certainly not sent.

    A row that has outlived three workers is set aside as failed. Returns its new state, or "" when
    somebody was faster.
    """
    poison = one.crashes + 1 >= CRASHES_MOST
    changed = tx.run(
        "UPDATE deliveries SET state = :state, lease = NULL, lease_until = NULL, crashes = crashes + 1,"
        " reply = :reply, settled_at = :settled_at WHERE account_id = :account_id AND id = :id"
        " AND state = 'claimed' AND lease = :lease AND lease_until <= :now",
        state="failed" if poison else "queued",
        reply="set aside: three workers ended while they made this mail" if poison else None,
        settled_at=tx.now if poison else None,
        account_id=one.account_id,
        id=one.id,
        lease=one.lease,
        now=tx.now,
    )
    return ("failed" if poison else "queued") if changed else ""


def unclaim(tx: Tx, account_id: int, ids: list[int], lease: int) -> None:
    """Give back what was claimed and not handed; the try does not count."""
    for row_id in ids:
        tx.run(
            "UPDATE deliveries SET state = 'queued', attempts = attempts - 1, lease = NULL,"
            " lease_until = NULL WHERE account_id = :account_id AND id = :id"
            " AND lease = :lease AND state = 'claimed'",
            account_id=account_id,
            id=row_id,
            lease=lease,
        )
