"""The log: every try of the last 30 days, and what is forgotten when."""

import msgspec

from tidings.store.tx import Rx, Tx

PAGE = 50
# Tries among which the failed ones are looked for: some 20 ms, whatever a webhook has been told.
LATELY = 10_000
KEEP_MS = 30 * 24 * 3_600_000
# Rows of one slice of forgetting: a few ms of SQLite's write lock.
SLICE = 1_000

_NOTICE = (
    "id, webhook_id, event_id, subscriber_id, name, body, state, attempts, due_at, created_at, settled_at"
)
_ATTEMPT = "a.id, a.notice_id, a.n, a.at, a.took_ms, a.status, a.error, a.answer, n.name, n.state"
_JOINED = (
    "FROM notice_attempts AS a LEFT JOIN notices AS n ON n.account_id = a.account_id AND n.id = a.notice_id"
)
_FAILED_LOG = (
    f"SELECT {_ATTEMPT} {_JOINED} WHERE a.account_id = :account_id AND a.id IN (SELECT id FROM"  # noqa: S608 (ours)
    " (SELECT id, status FROM notice_attempts WHERE account_id = :account_id AND webhook_id = :webhook_id"
    " AND id < :before_id ORDER BY id DESC LIMIT :lately) AS newest"
    " WHERE status IS NULL OR status NOT BETWEEN 200 AND 299 ORDER BY id DESC LIMIT :limit)"
    " ORDER BY a.id DESC"
)


class Kept(msgspec.Struct, frozen=True):
    """One notice as it stands; times in epoch ms."""

    id: int
    webhook_id: int
    event_id: int | None
    subscriber_id: int | None
    name: str
    body: str
    state: str
    attempts: int
    due_at: int
    created_at: int
    settled_at: int | None


class Attempt(msgspec.Struct, frozen=True):
    """One try: its number, when (epoch ms), how long, what came back.

    `name` and `state` are of its notice, None when that is forgotten.
    """

    id: int
    notice_id: int
    n: int
    at: int
    took_ms: int
    status: int | None
    error: str
    answer: str
    name: str | None
    state: str | None


def log(
    rx: Rx, webhook_id: int, *, before_id: int | None = None, failed: bool = False, limit: int = PAGE
) -> list[Attempt]:
    """Return a webhook's tries, newest first; `before_id` is the last id of the page before.

    With `failed` only what failed, and of each page at most so many as `LATELY` tries hold.
    """
    names = {
        "account_id": rx.account_id,
        "webhook_id": webhook_id,
        "before_id": _END if before_id is None else before_id,
        "limit": limit,
    }
    if failed:
        rows = rx.all(_FAILED_LOG, lately=LATELY, **names)
    else:
        rows = rx.all(
            f"SELECT {_ATTEMPT} {_JOINED} WHERE a.account_id = :account_id AND a.webhook_id = :webhook_id"
            " AND a.id < :before_id ORDER BY a.id DESC LIMIT :limit",
            **names,
        )
    return [Attempt(*row) for row in rows]


def attempts(rx: Rx, notice_id: int, limit: int = 1_000) -> list[Attempt]:
    """Return the tries of one notice, oldest first."""
    rows = rx.all(
        f"SELECT {_ATTEMPT} {_JOINED} WHERE a.account_id = :account_id AND a.notice_id = :notice_id"
        " ORDER BY a.id LIMIT :limit",
        account_id=rx.account_id,
        notice_id=notice_id,
        limit=limit,
    )
    return [Attempt(*row) for row in rows]


def get(rx: Rx, notice_id: int) -> Kept | None:
    """Return one notice; None when there is none of this id."""
    row = rx.one(
        f"SELECT {_NOTICE} FROM notices WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=notice_id,
    )
    return Kept(*row) if row else None


def queued(rx: Rx, webhook_id: int, most: int = 10_000) -> int:
    """Return how many notices wait for a webhook, `most` at most."""
    row = rx.one(
        "SELECT COUNT(*) FROM (SELECT 1 FROM notices WHERE account_id = :account_id"
        " AND webhook_id = :webhook_id AND state = 'queued' LIMIT :most) AS waiting",
        account_id=rx.account_id,
        webhook_id=webhook_id,
        most=most,
    )
    return int(row[0]) if row else 0


def fold(tx: Tx, before_at: int, limit: int = SLICE) -> int:
    """Forget tries and settled notices of all accounts from before a time, a slice; return how many."""
    names = {"before_at": before_at, "limit": limit}
    gone = tx.run(
        "DELETE FROM notice_attempts WHERE (account_id, id) IN (SELECT account_id, id FROM notice_attempts"
        " WHERE at < :before_at ORDER BY at LIMIT :limit)",
        **names,
    )
    return gone + tx.run(
        "DELETE FROM notices WHERE (account_id, id) IN (SELECT account_id, id FROM notices"
        " WHERE created_at < :before_at AND state IN ('told', 'failed', 'dropped')"
        " ORDER BY created_at LIMIT :limit)",
        **names,
    )


# Behind every id.
_END = 2**62
