"""Notices: one event told to one webhook, from queued to settled, with a log of every try.

Owns `notices` and `notice_attempts`. A notice is unique by webhook and event, so asking twice tells
once. Queued, claimed by a notifier (committed before it is posted, held by a lease), then told, failed
after ten tries, or dropped because its webhook was deleted or disabled. At least once: what was posted
when a process died is posted again under the same `webhook-id`. No order is promised.
"""

from tidings.core.notices.again import Replayed, replay, replay_range, sample, test
from tidings.core.notices.claims import Due, Share, any_lapsed, claim, release_lapsed, waiting
from tidings.core.notices.log import (
    KEEP_MS,
    Attempt,
    Kept,
    attempts,
    fold,
    get,
    log,
    queued,
)
from tidings.core.notices.rows import FINAL, Notice, Outcome, Shape, Told
from tidings.core.notices.schedule import TRIES, WAITS_MS, given_back, outcome, wait_ms
from tidings.core.notices.settling import FAILING_MOST_MS, settle
from tidings.core.webhooks import Webhook
from tidings.store.tx import Collected, Tx

__all__ = [
    "FAILING_MOST_MS",
    "FINAL",
    "KEEP_MS",
    "TRIES",
    "WAITS_MS",
    "Attempt",
    "Due",
    "Kept",
    "Notice",
    "Outcome",
    "Replayed",
    "Shape",
    "Share",
    "Told",
    "any_lapsed",
    "attempts",
    "claim",
    "fold",
    "get",
    "given_back",
    "log",
    "outcome",
    "queue",
    "queued",
    "release_lapsed",
    "replay",
    "replay_range",
    "sample",
    "settle",
    "test",
    "wait_ms",
    "waiting",
]

_QUEUE = Collected(
    "INSERT INTO notices (account_id, webhook_id, event_id, subscriber_id, name, body, state, attempts,"
    " due_at, created_at) VALUES (:account_id, :webhook_id, :event_id, :subscriber_id, :name, :body,"
    " 'queued', 0, :due_at, :created_at) ON CONFLICT (account_id, webhook_id, event_id) DO NOTHING",
    (
        "account_id",
        "webhook_id",
        "event_id",
        "subscriber_id",
        "name",
        "body",
        "due_at",
        "created_at",
    ),
)


def queue(
    tx: Tx, webhook: Webhook, name: str, body: str, *, event_id: int | None, subscriber_id: int | None
) -> None:
    """Have an event told to a webhook at once; the same event a second time changes nothing.

    `body` is what is posted, and never changes. Collected: nobody in this group sees the row.
    """
    row = (tx.account_id, webhook.id, event_id, subscriber_id, name, body, tx.now, tx.now)
    tx.append(_QUEUE, row)
    tx.wake()
