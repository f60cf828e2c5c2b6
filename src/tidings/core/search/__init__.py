"""Search: an index of names and addresses by three letters in a row, kept beside the writing of people.

Owns `search_cursors`, `search_blocks`, `search_pairs` and `search_changes`. No sign-up touches it:
people behind the cursor are looked through one by one until a block of them is laid (see `blocks`),
and whose name or address changes is noted in `search_changes` until their block is laid anew. What
the index answers are candidates; whoever asks compares them with the people themselves. Invariant: a
person up to the cursor is in their block as they are, or stands in `search_changes`.
"""

import msgspec

from tidings.core.search import grams
from tidings.store.tx import Rx, Tx


class Cursor(msgspec.Struct, frozen=True):
    """How far an index goes, and how many people were taken out of it."""

    until_id: int
    forgotten: int


_AT_ONCE = 20
_PACKED = (
    "SELECT pair, places FROM search_pairs WHERE account_id = :account_id AND first_id = :first_id"  # noqa: S608
    f" AND pair IN ({', '.join(f':pair{at}' for at in range(_AT_ONCE))})"
)


def note(tx: Tx, subscriber_id: int, email: str, first_name: str | None) -> None:
    """Note that a person's name or address is changed; what they were is what the index may have.

    Also for who is made with a given id, which may lie among those that are indexed already.
    """
    tx.run(
        "INSERT INTO search_changes (account_id, subscriber_id, was, n, changed_at)"
        " VALUES (:account_id, :subscriber_id, :was, 1, :now)"
        " ON CONFLICT (account_id, subscriber_id) DO UPDATE SET n = search_changes.n + 1,"
        " changed_at = excluded.changed_at",
        account_id=tx.account_id,
        subscriber_id=subscriber_id,
        was=grams.folded(email, first_name),
        now=tx.now,
    )


def forget(tx: Tx, subscriber_id: int, email: str, first_name: str | None) -> None:
    """Take a person out of the index, in the transaction that erases them."""
    there = lock(tx, forgetting=1)
    row = tx.one(
        "DELETE FROM search_changes WHERE account_id = :account_id AND subscriber_id = :id RETURNING was",
        account_id=tx.account_id,
        id=subscriber_id,
    )
    if subscriber_id > there.until_id:
        return
    block = tx.one(
        "SELECT first_id, last_id, ids FROM search_blocks WHERE account_id = :account_id"
        " AND first_id <= :id ORDER BY first_id DESC LIMIT 1",
        account_id=tx.account_id,
        id=subscriber_id,
    )
    if block is None or block[1] < subscriber_id:
        return
    ids = grams.unpack_ids(block[2])
    if subscriber_id not in ids:
        return
    texts = [grams.folded(email, first_name), *([row[0]] if row else [])]
    _take_out(tx, block[0], ids.index(subscriber_id), sorted(set().union(*map(grams.grams, texts))))
    tx.run(
        "UPDATE search_blocks SET n = n - 1 WHERE account_id = :account_id AND first_id = :first_id",
        account_id=tx.account_id,
        first_id=block[0],
    )


def lock(tx: Tx, *, forgetting: int = 0) -> Cursor:
    """Keep others from the account's index until the commit; return how far it goes."""
    row = tx.one(
        "INSERT INTO search_cursors (account_id, until_id, forgotten) VALUES (:account_id, 0, :more)"
        " ON CONFLICT (account_id) DO UPDATE SET forgotten = search_cursors.forgotten + :more"
        " RETURNING until_id, forgotten",
        account_id=tx.account_id,
        more=forgetting,
    )
    assert row is not None  # noqa: S101 (RETURNING)
    return Cursor(row[0], row[1])


def cursor(rx: Rx) -> Cursor:
    """Return how far the account's index goes."""
    row = rx.one(
        "SELECT until_id, forgotten FROM search_cursors WHERE account_id = :account_id",
        account_id=rx.account_id,
    )
    return Cursor(row[0], row[1]) if row else Cursor(0, 0)


def changed(rx: Rx, before_id: int, limit: int) -> list[int]:
    """Return who is to be looked at whatever the index says, newest first."""
    rows = rx.all(
        "SELECT subscriber_id FROM search_changes WHERE account_id = :account_id"
        " AND subscriber_id < :before_id ORDER BY subscriber_id DESC LIMIT :limit",
        account_id=rx.account_id,
        before_id=before_id,
        limit=limit,
    )
    return [row[0] for row in rows]


def _take_out(tx: Tx, first_id: int, place: int, wanted: list[str]) -> None:
    """Remove one place of a block from these grams."""
    by_pair: dict[str, list[str]] = {}
    for gram in wanted:
        by_pair.setdefault(gram[:2], []).append(gram[2])
    pairs = list(by_pair)
    for at in range(0, len(pairs), _AT_ONCE):
        some = pairs[at : at + _AT_ONCE]
        names = {f"pair{n}": some[min(n, len(some) - 1)] for n in range(_AT_ONCE)}
        for pair, packed in tx.all(_PACKED, account_id=tx.account_id, first_id=first_id, **names):
            left = packed
            for third in by_pair[pair]:
                left = grams.without(left, third, place)
            tx.run(
                "UPDATE search_pairs SET places = :places WHERE account_id = :account_id"
                " AND first_id = :first_id AND pair = :pair",
                places=left,
                account_id=tx.account_id,
                first_id=first_id,
                pair=pair,
            )
