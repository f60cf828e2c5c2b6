"""Reports: every recipient's row with its history, and the second chance of those that failed."""

import msgspec

from tidings.store.tx import Rx, Tx

PAGE = 50
# Rows of one slice of a retry: some 10 ms of SQLite's write lock.
RETRY_SLICE = 1_000

COLUMNS = (
    "id, subscriber_id, occasion, state, attempts, reply,"
    # A broadcast's mail is due from the first (0), whatever the clock says.
    " CASE WHEN due_at = 0 THEN created_at ELSE due_at END, handed_at, settled_at, opened_at,"
    " clicked_at, created_at"
)


class Row(msgspec.Struct, frozen=True):
    """One recipient's delivery; times in epoch ms."""

    id: int
    subscriber_id: int
    occasion: str
    state: str
    attempts: int
    reply: str | None
    due_at: int
    handed_at: int | None
    settled_at: int | None
    opened_at: int | None
    clicked_at: int | None
    created_at: int


class Attempt(msgspec.Struct, frozen=True):
    """One try that did not simply succeed."""

    n: int
    state: str
    verdict: str
    reply: str
    at: int


def of_broadcast(
    rx: Rx, broadcast_id: int, *, after_id: int = 0, unsent: bool = False, limit: int = PAGE
) -> list[Row]:
    """Return recipients of a broadcast by subscriber; `unsent`: by id, who failed or is uncertain."""
    if unsent:
        rows = rx.all(
            f"SELECT {COLUMNS} FROM deliveries WHERE account_id = :account_id"  # noqa: S608 (our columns)
            " AND broadcast_id = :broadcast_id AND state IN ('failed', 'uncertain') AND id > :after_id"
            " ORDER BY id LIMIT :limit",
            account_id=rx.account_id,
            broadcast_id=broadcast_id,
            after_id=after_id,
            limit=limit,
        )
    else:
        rows = rx.all(
            f"SELECT {COLUMNS} FROM deliveries WHERE account_id = :account_id AND occasion = :occasion"  # noqa: S608 (our columns)
            " AND subscriber_id > :after_id ORDER BY subscriber_id LIMIT :limit",
            account_id=rx.account_id,
            occasion=f"broadcast:{broadcast_id}",
            after_id=after_id,
            limit=limit,
        )
    return [Row(*row) for row in rows]


def of_subscriber(rx: Rx, subscriber_id: int, *, before_id: int = 2**62, limit: int = PAGE) -> list[Row]:
    """Return a person's mails, newest first."""
    rows = rx.all(
        f"SELECT {COLUMNS} FROM deliveries WHERE account_id = :account_id"  # noqa: S608 (our columns)
        " AND subscriber_id = :subscriber_id AND id < :before_id ORDER BY id DESC LIMIT :limit",
        account_id=rx.account_id,
        subscriber_id=subscriber_id,
        before_id=before_id,
        limit=limit,
    )
    return [Row(*row) for row in rows]


def attempts_of(rx: Rx, delivery_id: int) -> list[Attempt]:
    """Return the tries of a delivery that did not simply succeed, oldest first."""
    rows = rx.all(
        "SELECT n, state, verdict, reply, at FROM attempts WHERE account_id = :account_id"
        " AND delivery_id = :delivery_id ORDER BY id LIMIT 200",
        account_id=rx.account_id,
        delivery_id=delivery_id,
    )
    return [Attempt(*row) for row in rows]


def attempts_of_many(rx: Rx, delivery_ids: list[int]) -> dict[int, list[Attempt]]:
    """Return the same for a page of deliveries at once, by delivery; who has none is left out."""
    if not delivery_ids:
        return {}
    names = {f"id{at}": one for at, one in enumerate((delivery_ids + delivery_ids[-1:] * PAGE)[:PAGE])}
    rows = rx.all(
        "SELECT delivery_id, n, state, verdict, reply, at FROM attempts WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND delivery_id IN ({', '.join(':' + name for name in names)}) LIMIT :most",
        account_id=rx.account_id,
        most=PAGE * 20,
        **names,
    )
    found: dict[int, list[Attempt]] = {}
    for row in sorted(rows, key=lambda row: row[1]):
        found.setdefault(row[0], []).append(Attempt(*row[1:]))
    return found


def origins(rx: Rx, ids: list[int]) -> dict[int, tuple[str, int]]:
    """Return why and for whom these deliveries were made, a page of them; who is folded away is left out."""
    if not ids:
        return {}
    names = {f"id{at}": one for at, one in enumerate((ids + ids[-1:] * PAGE)[:PAGE])}
    rows = rx.all(
        "SELECT id, occasion, subscriber_id FROM deliveries WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND id IN ({', '.join(':' + name for name in names)})",
        account_id=rx.account_id,
        **names,
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def soft_refusals(rx: Rx, subscriber_id: int, since_at: int, *, besides: int) -> tuple[int, int]:
    """Return how many mails but this one a mailbox refused softly and for good since a time.

    The second value is when the first was refused, 0 for none.
    """
    row = rx.one(
        "SELECT COUNT(DISTINCT delivery_id), COALESCE(MIN(at), 0) FROM attempts"
        " WHERE account_id = :account_id AND subscriber_id = :subscriber_id"
        " AND verdict IN ('soft', 'mailbox-full') AND state = 'failed' AND at >= :since_at"
        " AND delivery_id <> :besides",
        account_id=rx.account_id,
        subscriber_id=subscriber_id,
        since_at=since_at,
        besides=besides,
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


def retry_failed(tx: Tx, broadcast_id: int) -> int:
    """Queue again a slice of what failed for good, not what is uncertain; return how many."""
    return tx.run(
        "UPDATE deliveries SET state = 'queued', due_at = :now, settled_at = NULL, crashes = 0,"
        " attempts = 0 WHERE account_id = :account_id AND id IN (SELECT id FROM deliveries"
        " WHERE account_id = :account_id AND broadcast_id = :broadcast_id"
        " AND state IN ('failed', 'uncertain') AND state = 'failed' ORDER BY id LIMIT :limit)",
        now=tx.now,
        account_id=tx.account_id,
        broadcast_id=broadcast_id,
        limit=RETRY_SLICE,
    )
