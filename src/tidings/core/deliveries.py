"""Deliveries: one email to one subscriber, from queued to settled.

Owns `deliveries`. A delivery is unique by occasion and subscriber, so asking twice sends
once. A row that was claimed but not handed is certainly not sent; only `handed` is
ambiguous, and its lease tells when its owner is taken for dead.
"""

import msgspec

from tidings.core import subscribers
from tidings.errors import NotFound
from tidings.store.tx import Collected, Rx, Tx

# A claim lasts longer than any one conversation with a provider.
LEASE_MS = 5 * 60_000
RETRY_FIRST_MS = 5 * 60_000
RETRY_MOST_MS = 4 * 3_600_000
# A confirmation is worth nothing after its link has expired.
GIVE_UP_MS = 24 * 3_600_000
REPLY_MAX = 500

# Who may have which mail at the last look: a confirmation only asks who has not answered.
_MAY_HAVE = {"confirm": ("inactive",)}

_QUEUE = Collected(
    "INSERT INTO deliveries (account_id, occasion, subscriber_id, lane, state, attempts, due_at, created_at)"
    " VALUES (:account_id, :occasion, :subscriber_id, :lane, 'queued', 0, :due_at, :created_at)"
    " ON CONFLICT (account_id, occasion, subscriber_id) DO NOTHING",
    ("account_id", "occasion", "subscriber_id", "lane", "due_at", "created_at"),
)


class Delivery(msgspec.Struct, frozen=True):
    """One claimed delivery; `lease` is the fencing number its owner must show."""

    account_id: int
    id: int
    occasion: str
    subscriber_id: int
    attempts: int
    lease: int
    created_at: int


class Outcome(msgspec.Struct, frozen=True):
    """How a delivery ended: a state, what the provider said, and when to try again (epoch ms)."""

    delivery: Delivery
    state: str
    reply: str = ""
    due_at: int = 0


class Letter(msgspec.Struct, frozen=True):
    """A composed delivery, ready to be handed to a provider."""

    delivery: Delivery
    mail_from: str
    rcpt_to: str
    subject: str
    data: bytes
    smtputf8: bool = False


def queue(tx: Tx, occasion: str, subscriber_id: int, *, lane: str) -> None:
    """Queue one email; a second time for the same occasion and person changes nothing."""
    tx.append(_QUEUE, (tx.account_id, occasion, subscriber_id, lane, tx.now, tx.now))
    tx.wake()


def any_due(rx: Rx, *, lane: str) -> bool:
    """Say whether anything waits or is held too long, over all accounts: one look at two indexes."""
    row = rx.one(
        "SELECT 1 FROM deliveries WHERE lane = :lane AND state IN ('queued', 'deferred')"
        " AND due_at <= :now LIMIT 1",
        lane=lane,
        now=rx.now,
    )
    return row is not None or _any_lapsed(rx)


def claim_due(tx: Tx, *, lane: str, limit: int) -> list[Delivery]:
    """Claim what is due, over all accounts; committed before any connection is used."""
    due = tx.all(
        "SELECT account_id, id FROM deliveries WHERE lane = :lane AND state IN ('queued', 'deferred')"
        " AND due_at <= :now ORDER BY due_at, id LIMIT :limit {skip_locked}",
        lane=lane,
        now=tx.now,
        limit=limit,
    )
    claimed = []
    for account_id, delivery_id in due:
        row = tx.one(
            "UPDATE deliveries SET state = 'claimed', attempts = attempts + 1,"
            " lease = COALESCE(lease, 0) + 1, lease_until = :until"
            " WHERE account_id = :account_id AND id = :id AND state IN ('queued', 'deferred')"
            " RETURNING account_id, id, occasion, subscriber_id, attempts, lease, created_at",
            until=tx.now + LEASE_MS,
            account_id=account_id,
            id=delivery_id,
        )
        if row:
            claimed.append(Delivery(*row))
    return claimed


def hand(tx: Tx, delivery: Delivery) -> bool:
    """Take the last look at consent and mark a claimed delivery as about to go over the wire.

    False when it is no longer ours, or when its person may not have it any more: then it
    is settled as suppressed.
    """
    own = tx.for_account(delivery.account_id)
    try:
        state = subscribers.get(own, delivery.subscriber_id).state
    except NotFound:
        state = "gone"
    allowed = state in _MAY_HAVE.get(delivery.occasion.partition(":")[0], ())
    return bool(
        tx.run(
            "UPDATE deliveries SET state = :state, handed_at = :handed_at, settled_at = :settled_at,"
            " reply = :reply WHERE account_id = :account_id AND id = :id AND lease = :lease"
            " AND state = 'claimed'",
            state="handed" if allowed else "suppressed",
            handed_at=tx.now if allowed else None,
            settled_at=None if allowed else tx.now,
            reply=None if allowed else f"subscriber is {state}",
            account_id=delivery.account_id,
            id=delivery.id,
            lease=delivery.lease,
        )
        and allowed
    )


def settle(tx: Tx, outcomes: list[Outcome]) -> None:
    """Write how deliveries ended; a lapsed lease changes nothing."""
    for outcome in outcomes:
        tx.run(
            "UPDATE deliveries SET state = :state, reply = :reply, due_at = :due_at, lease_until = NULL,"
            " settled_at = CASE WHEN :state = 'deferred' THEN NULL ELSE :now END"
            " WHERE account_id = :account_id AND id = :id AND lease = :lease"
            " AND state IN ('claimed', 'handed')",
            state=outcome.state,
            # A provider's NUL must not keep what was sent from being settled: it would be sent again.
            reply=outcome.reply.replace("\0", "")[:REPLY_MAX],
            due_at=outcome.due_at,
            now=tx.now,
            account_id=outcome.delivery.account_id,
            id=outcome.delivery.id,
            lease=outcome.delivery.lease,
        )


def release_lapsed(tx: Tx) -> int:
    """Take back what a dead process held: claimed rows are queued again, as not sent.

    Handed ones may have arrived. Only confirmations exist yet, and those are sent again:
    twice is better than never for a mail somebody waits for.
    """
    return tx.run(
        "UPDATE deliveries SET state = 'queued', lease_until = NULL WHERE state IN ('claimed', 'handed')"
        " AND lease_until <= :now",
        now=tx.now,
    )


def _any_lapsed(rx: Rx) -> bool:
    row = rx.one(
        "SELECT 1 FROM deliveries WHERE state IN ('claimed', 'handed') AND lease_until <= :now LIMIT 1",
        now=rx.now,
    )
    return row is not None


def retry_at(now: int, delivery: Delivery) -> int | None:
    """Return when to try again after a passing failure, or None to give up."""
    wait = min(RETRY_FIRST_MS * 2 ** (delivery.attempts - 1), RETRY_MOST_MS)
    # Spread by the id, some 20 % either way: a provider that fails does so for many at once.
    spread = wait * ((delivery.id * 2_654_435_761) % 401 - 200) // 1_000
    return None if now + wait > delivery.created_at + GIVE_UP_MS else now + wait + spread
