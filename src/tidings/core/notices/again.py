"""Asking for it: a notice or a range of them once more, and a test of a webhook."""

import msgspec

from tidings.core import webhooks
from tidings.core.events import Event
from tidings.core.notices.rows import Shape
from tidings.core.purchases import Product, Purchase
from tidings.core.subscribers import Subscriber
from tidings.core.webhooks import Webhook
from tidings.errors import Conflict, NotFound
from tidings.store.tx import Tx

# Notices of one slice of a range.
SLICE = 500
# By so much the order of ids and the order of times may differ: several processes give out ids.
APART_MS = 10 * 60_000

_AGAIN = "UPDATE notices SET state = 'queued', attempts = 0, due_at = :now, settled_at = NULL"


class Replayed(msgspec.Struct, frozen=True):
    """How many of a slice are told again; `last_id` is None behind the last slice."""

    n: int
    last_id: int | None


def replay(tx: Tx, notice_id: int) -> None:
    """Tell one notice again: the same `webhook-id`, a fresh timestamp, tries counted anew."""
    row = tx.one(
        "SELECT webhook_id, state FROM notices WHERE account_id = :account_id AND id = :id {for_update}",
        account_id=tx.account_id,
        id=notice_id,
    )
    if row is None:
        raise NotFound("notice")
    _enabled(tx, row[0])
    if row[1] == "claimed":
        raise Conflict("it is on its way at this moment")
    tx.run(
        f"{_AGAIN} WHERE account_id = :account_id AND id = :id AND state <> 'claimed'",
        now=tx.now,
        account_id=tx.account_id,
        id=notice_id,
    )
    tx.wake()


def replay_range(
    tx: Tx, webhook_id: int, since: int, until: int, *, after_id: int = 0, failed: bool = False
) -> Replayed:
    """Tell again a slice of what a webhook was to be told from `since` up to `until` (epoch ms).

    What still waits is left as it is; with `failed`, what was told too. Go on after `last_id`.
    """
    _enabled(tx, webhook_id)
    after_id = max(after_id, _before(tx, since))
    rows = tx.all(
        "SELECT id, created_at, state FROM notices WHERE account_id = :account_id"
        " AND webhook_id = :webhook_id AND id > :after_id ORDER BY id LIMIT :limit",
        account_id=tx.account_id,
        webhook_id=webhook_id,
        after_id=after_id,
        limit=SLICE,
    )
    wanted = ("failed", "dropped") if failed else ("told", "failed", "dropped")
    chosen = [row[0] for row in rows if since <= row[1] < until and row[2] in wanted]
    n = sum(
        tx.run(
            f"{_AGAIN} WHERE account_id = :account_id AND id = :id AND state NOT IN ('queued', 'claimed')",
            now=tx.now,
            account_id=tx.account_id,
            id=one,
        )
        for one in chosen
    )
    if n:
        tx.wake()
    goes_on = len(rows) == SLICE and rows[0][1] < until + APART_MS
    return Replayed(n, rows[-1][0] if goes_on else None)


def _before(tx: Tx, since: int) -> int:
    """Return an id before every notice that was made from `since` on: one look at an index."""
    row = tx.one(
        "SELECT id FROM notices WHERE created_at >= :since ORDER BY created_at, id LIMIT 1",
        since=since - APART_MS,
    )
    return int(row[0]) - 1 if row else 2**62


def test(tx: Tx, webhook_id: int, shape: Shape) -> int:
    """Queue a sample of what the webhook's event carries; return the notice's id."""
    webhook = _enabled(tx, webhook_id)
    event = sample(webhook, tx.account_id, tx.now)
    row = tx.one(
        "INSERT INTO notices (account_id, webhook_id, name, body, state, attempts, due_at, created_at)"
        " VALUES (:account_id, :webhook_id, :name, :body, 'queued', 0, :now, :now) RETURNING id",
        account_id=tx.account_id,
        webhook_id=webhook_id,
        name=webhook.event,
        body=shape(event),
        now=tx.now,
    )
    assert row is not None  # noqa: S101 (RETURNING)
    tx.wake()
    return int(row[0])


def sample(webhook: Webhook, account_id: int, now: int) -> Event:
    """Return an event as this webhook would hear it, about nobody."""
    who = Subscriber(0, "sample@example.com", "Sample", "active", now, {})
    pid = webhook.value or str(webhook.subject_id or 1)
    line = Product(pid, "1", "Sample product", "SAMPLE", "10.0", 1)
    bought = Purchase(
        0, "sample", 0, who.email, "paid", "USD", "10.0", "0.0", "0.0", "0.0", "10.0", now, None, [line]
    )
    return Event(
        id=0,
        name="tag_add" if webhook.event == webhooks.OF_RULE else webhook.event,
        subscriber_id=0,
        subject_id=webhook.subject_id,
        value=webhook.value,
        snapshot=msgspec.json.encode(who).decode(),
        cause='{"door":"command"}',
        created_at=now,
        detail=msgspec.json.encode(bought).decode(),
        account_id=account_id,
    )


def _enabled(tx: Tx, webhook_id: int) -> Webhook:
    webhook = webhooks.find(tx, webhook_id)
    if webhook.disabled_at is not None:
        raise Conflict("the webhook is disabled; enable it first")
    return webhook
