"""Claims: a notifier takes what is due of each webhook, committed before anything is posted."""

from collections.abc import Sequence

import msgspec

from tidings.core import webhooks
from tidings.core.notices.rows import Notice
from tidings.store.tx import Rx, Tx

# Webhooks that are looked at in one round, over all accounts.
WEBHOOKS_MOST = 20_000
# What of one webhook is claimed, dropped or taken back at once: some 10 ms of SQLite's write lock.
SLICE = 500

# A webhook after another by one index look each, however much waits for one of them. Scalar subqueries:
# neither database lets a recursive part hold a LIMIT or an aggregate of its own.
_WEBHOOKS = (
    "WITH RECURSIVE walk (webhook_id) AS ("
    "SELECT (SELECT webhook_id FROM notices WHERE account_id = :account_id AND state = 'queued'"
    " ORDER BY webhook_id LIMIT 1)"
    " UNION ALL SELECT (SELECT its.webhook_id FROM notices AS its WHERE its.account_id = :account_id"
    " AND its.state = 'queued' AND its.webhook_id > walk.webhook_id ORDER BY its.webhook_id LIMIT 1)"
    " FROM walk WHERE walk.webhook_id IS NOT NULL)"
    " SELECT webhook_id, (SELECT its.due_at FROM notices AS its WHERE its.account_id = :account_id"
    " AND its.webhook_id = walk.webhook_id AND its.state = 'queued' ORDER BY its.due_at LIMIT 1)"
    " FROM walk WHERE webhook_id IS NOT NULL LIMIT :limit"
)
# Chosen once and kept: as a plain subquery PostgreSQL may choose anew for every row, and claims all.
_CHOSEN = (
    "WITH chosen AS MATERIALIZED (SELECT id FROM notices WHERE account_id = :account_id"
    " AND webhook_id = :webhook_id AND state = 'queued' AND due_at <= :now ORDER BY due_at, id"
    " LIMIT :limit {skip_locked})"
)
_CLAIM = (
    f"{_CHOSEN} UPDATE notices SET state = 'claimed', lease = :lease, lease_until = :until"  # noqa: S608
    " WHERE account_id = :account_id AND id IN (SELECT id FROM chosen)"
    " RETURNING account_id, id, webhook_id, name, body, attempts, due_at, lease, created_at"
)
_DROP = (
    "WITH chosen AS MATERIALIZED (SELECT id FROM notices WHERE account_id = :account_id"
    " AND webhook_id = :webhook_id AND state = 'queued' ORDER BY due_at, id LIMIT :limit {skip_locked})"
    " UPDATE notices SET state = 'dropped', settled_at = :now"
    " WHERE account_id = :account_id AND id IN (SELECT id FROM chosen)"
)


class Due(msgspec.Struct, frozen=True):
    """A webhook for which something waits: its oldest due time (epoch ms).

    `url` is where it goes; empty for a webhook that is gone or disabled, whose notices are dropped.
    """

    account_id: int
    webhook_id: int
    due_at: int
    url: str


class Share(msgspec.Struct, frozen=True):
    """So many of a webhook's notices are to be claimed."""

    account_id: int
    webhook_id: int
    n: int


def waiting(rx: Rx) -> list[Due]:
    """Return every webhook for which something is queued, whenever it is due."""
    found: list[Due] = []
    after = -1
    while len(found) < WEBHOOKS_MOST:
        row = rx.one(
            "SELECT account_id FROM notices WHERE state = 'queued' AND account_id > :after"
            " ORDER BY account_id LIMIT 1",
            after=after,
        )
        if row is None:
            break
        after = int(row[0])
        own = rx.for_account(after)
        for webhook_id, due_at in rx.all(_WEBHOOKS, account_id=after, limit=WEBHOOKS_MOST - len(found)):
            # What was queued and is claimed between the two looks is due no more.
            if due_at is not None:
                found.append(Due(after, webhook_id, due_at, webhooks.target(own, webhook_id) or ""))
    return found


def claim(tx: Tx, shares: Sequence[Share], *, lease: int, lease_ms: int) -> list[Notice]:
    """Claim what is due of these webhooks, oldest first; of one that hears no more, drop what waits.

    The webhook itself is looked at here and not in memory: what is told now goes where it says now.
    """
    claimed: list[Notice] = []
    for share in sorted(shares, key=lambda one: (one.account_id, one.webhook_id)):
        own = tx.for_account(share.account_id)
        webhook = webhooks.seen(own, share.webhook_id)
        names = {"account_id": share.account_id, "webhook_id": share.webhook_id, "now": tx.now}
        if webhook is None or webhook.disabled_at is not None:
            tx.run(_DROP, limit=SLICE, **names)
            continue
        limit, until = min(share.n, SLICE), tx.now + lease_ms
        rows = tx.all(_CLAIM, limit=limit, lease=lease, until=until, **names)
        signers = webhook.signers(tx.now)
        since = webhook.failing_since_at
        notices = [
            Notice(*row, url=webhook.target_url, signers=signers, failing_since_at=since)  # type: ignore[misc]
            for row in rows
        ]
        claimed += sorted(notices, key=lambda one: (one.due_at, one.id))
    return claimed


def any_lapsed(rx: Rx) -> bool:
    """Say whether a silent notifier holds anything: one index look."""
    row = rx.one("SELECT 1 FROM notices WHERE state = 'claimed' AND lease_until <= :now LIMIT 1", now=rx.now)
    return row is not None


def release_lapsed(tx: Tx) -> int:
    """Queue again what silent notifiers hold, over all accounts; return how many.

    It may have been told: it is told again, with the same `webhook-id`. The try does not count.
    """
    return tx.run(
        "WITH chosen AS MATERIALIZED (SELECT account_id, id FROM notices WHERE state = 'claimed'"
        " AND lease_until <= :now ORDER BY lease_until LIMIT :limit {skip_locked})"
        " UPDATE notices SET state = 'queued', lease = NULL, lease_until = NULL"
        " WHERE state = 'claimed' AND lease_until <= :now"
        " AND (account_id, id) IN (SELECT account_id, id FROM chosen)",
        now=tx.now,
        limit=SLICE,
    )
