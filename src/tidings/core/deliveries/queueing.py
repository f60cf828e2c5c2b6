"""Queueing: how deliveries come into being, and how they are kept back again."""

from tidings.core import audience
from tidings.store.tx import Collected, Tx

_QUEUE = Collected(
    "INSERT INTO deliveries (account_id, occasion, subscriber_id, lane, state, attempts, due_at, created_at)"
    " VALUES (:account_id, :occasion, :subscriber_id, :lane, 'queued', 0, :due_at, :created_at)"
    " ON CONFLICT (account_id, occasion, subscriber_id) DO NOTHING",
    ("account_id", "occasion", "subscriber_id", "lane", "due_at", "created_at"),
)


def queue(tx: Tx, occasion: str, subscriber_id: int, *, lane: str) -> None:
    """Queue one email; a second time for the same occasion and person changes nothing."""
    tx.append(_QUEUE, (tx.account_id, occasion, subscriber_id, lane, tx.now, tx.now))
    tx.wake()


def queue_slice(tx: Tx, broadcast_id: int, after_id: int, until_id: int) -> int:
    """Queue a broadcast for its audience among the people of these ids; return how many are new."""
    # Due whatever the clock says: one that is set back would hold up the rest for as long.
    return tx.run(
        "INSERT INTO deliveries (account_id, occasion, subscriber_id, broadcast_id, lane, state, attempts,"
        " due_at, created_at) SELECT :account_id, :occasion, person.id, :broadcast_id, 'bulk', 'queued', 0,"
        f" 0, :now {audience.OF_BROADCAST} AND person.id > :after_id AND person.id <= :until_id"
        " ON CONFLICT (account_id, occasion, subscriber_id) DO NOTHING",
        account_id=tx.account_id,
        occasion=f"broadcast:{broadcast_id}",
        broadcast_id=broadcast_id,
        now=tx.now,
        after_id=after_id,
        until_id=until_id,
    )


def suppress_slice(tx: Tx, broadcast_id: int, why: str, limit: int) -> int:
    """Keep back some of what a broadcast has waiting; return how many."""
    return tx.run(
        "UPDATE deliveries SET state = 'suppressed', settled_at = :now, lease_until = NULL, reply = :why"
        " WHERE account_id = :account_id AND state IN ('queued', 'deferred') AND id IN (SELECT id"
        " FROM deliveries WHERE account_id = :account_id AND broadcast_id = :broadcast_id"
        " AND state IN ('queued', 'deferred') ORDER BY due_at, id LIMIT :limit)",
        now=tx.now,
        why=why,
        account_id=tx.account_id,
        broadcast_id=broadcast_id,
        limit=limit,
    )


# So many occasions are looked for at once; few sizes, so that few statements serve all.
_OCCASIONS = (1, 10, 100)


def suppress_queued(tx: Tx, subscriber_id: int, occasions: list[str], why: str) -> int:
    """Keep what is not handed yet of these occasions from one person; return how many mails it was."""
    done = 0
    for at in range(0, len(occasions), _OCCASIONS[-1]):
        some = occasions[at : at + _OCCASIONS[-1]]
        size = next(size for size in _OCCASIONS if len(some) <= size)
        names = {f"occasion{n}": one for n, one in enumerate(some + some[-1:] * (size - len(some)))}
        done += tx.run(
            "UPDATE deliveries SET state = 'suppressed', settled_at = :now, lease_until = NULL, reply = :why"  # noqa: S608 (our names)
            " WHERE account_id = :account_id AND subscriber_id = :subscriber_id"
            f" AND occasion IN ({', '.join(':' + name for name in names)})"
            " AND state IN ('queued', 'claimed', 'deferred')",
            now=tx.now,
            why=why,
            account_id=tx.account_id,
            subscriber_id=subscriber_id,
            **names,
        )
    return done
