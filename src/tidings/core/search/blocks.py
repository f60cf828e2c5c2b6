"""Blocks: people in the order of their ids, some thousand together, and what the index says of each block.

A block is laid whole from what its people are at a moment: read without holding up anybody, then
written in one transaction, unless somebody was taken out meanwhile. What changed in between
stands in `search_changes`. Blocks touch: together they hold every id up to the cursor.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tidings.core import search
from tidings.core.search import Cursor, grams
from tidings.store.tx import Rx, Tx

# 80 ms to lay, 850 rows of some 270 kB in all; as many people are looked through in 10 ms.
BLOCK = 8_192
# A block that takes in latecomers may grow so far; what is more becomes a block of its own.
BLOCK_MOST = 12_288
# What was read so long ago is read again.
STALE_MS = 30_000
# On PostgreSQL ids become visible out of order: by then every transaction has ended.
SETTLE_MS = 120_000
# Changed people are looked at one by one in every search: some 2 us each.
CHANGES_MAX = 500
CHANGES_LATE_MS = 10 * 60_000
PAIRS_MAX = 16
WINDOW_MAX = 64
IDS_MAX = 16

_FIELDS = "first_id, last_id, n, built_at"
_PAIR_NAMES = ", ".join(f":pair{at}" for at in range(PAIRS_MAX))
# By CROSS JOIN the blocks come first: otherwise SQLite reads every pair of the account.
_PLACES = (
    "SELECT chosen.first_id, its.pair, its.places FROM (SELECT first_id FROM search_blocks"  # noqa: S608 (our names)
    " WHERE account_id = :account_id AND first_id < :before_id ORDER BY first_id DESC LIMIT :limit) AS chosen"
    " CROSS JOIN search_pairs AS its WHERE its.account_id = :account_id AND its.first_id = chosen.first_id"
    f" AND its.pair IN ({_PAIR_NAMES})"
)
_IDS = (
    "SELECT first_id, ids FROM search_blocks WHERE account_id = :account_id"  # noqa: S608 (our names)
    f" AND first_id IN ({', '.join(f':first{at}' for at in range(IDS_MAX))})"
)


class Block(msgspec.Struct, frozen=True):
    """One block: the people from `first_id` to `last_id`, of whom `n` are in it."""

    first_id: int
    last_id: int
    n: int
    built_at: int


class Laid(msgspec.Struct, frozen=True):
    """A block as it was read, to be kept; `changed` are those of its changes that it has in it.

    `over` is the block that it takes the place of.
    """

    first_id: int
    last_id: int
    ids: Sequence[int]
    pairs: Mapping[str, str]
    changed: Mapping[int, int]
    texts: Mapping[int, str]
    cursor: Cursor
    seen_at: int
    over: Block | None


def changes(rx: Rx, first_id: int, last_id: int) -> dict[int, int]:
    """Return who of these ids is noted as changed, and how often."""
    rows = rx.all(
        "SELECT subscriber_id, n FROM search_changes WHERE account_id = :account_id"
        " AND subscriber_id BETWEEN :first_id AND :last_id",
        account_id=rx.account_id,
        first_id=first_id,
        last_id=last_id,
    )
    return {row[0]: row[1] for row in rows}


def covering(rx: Rx, subscriber_id: int) -> Block | None:
    """Return the block that an id belongs to; None behind the cursor."""
    row = rx.one(
        f"SELECT {_FIELDS} FROM search_blocks WHERE account_id = :account_id AND first_id <= :id"  # noqa: S608
        " ORDER BY first_id DESC LIMIT 1",
        account_id=rx.account_id,
        id=subscriber_id,
    )
    return Block(*row) if row and row[1] >= subscriber_id else None


def unsettled(rx: Rx) -> Block | None:
    """Return a block that is to be counted again, now that all who have its ids can be seen."""
    row = rx.one(
        f"SELECT {_FIELDS} FROM search_blocks WHERE account_id = :account_id AND settled_at IS NULL"  # noqa: S608
        " AND built_at <= :before LIMIT 1",
        account_id=rx.account_id,
        before=rx.now - SETTLE_MS,
    )
    return Block(*row) if row else None


def settle(tx: Tx, block: Block) -> None:
    """Note that a block was seen to be whole."""
    tx.run(
        "UPDATE search_blocks SET settled_at = :now WHERE account_id = :account_id AND first_id = :first_id"
        " AND built_at = :built_at",
        now=tx.now,
        account_id=tx.account_id,
        first_id=block.first_id,
        built_at=block.built_at,
    )


def most_changed(rx: Rx) -> Block | None:
    """Return the block to be laid anew: where many are changed, or one has been for long."""
    until_id = search.cursor(rx).until_id
    row = rx.one(
        "SELECT COUNT(*), MIN(changed_at) FROM (SELECT changed_at FROM search_changes"
        " WHERE account_id = :account_id AND subscriber_id <= :until_id LIMIT :most) AS noted",
        account_id=rx.account_id,
        until_id=until_id,
        most=CHANGES_MAX * 10,
    )
    if row is None or not row[0] or (row[0] <= CHANGES_MAX and row[1] > rx.now - CHANGES_LATE_MS):
        return None
    row = rx.one(
        "SELECT subscriber_id FROM (SELECT subscriber_id, changed_at FROM search_changes"
        " WHERE account_id = :account_id AND subscriber_id <= :until_id LIMIT :most) AS noted"
        " ORDER BY changed_at LIMIT 1",
        account_id=rx.account_id,
        until_id=until_id,
        most=CHANGES_MAX * 10,
    )
    return covering(rx, row[0]) if row else None


def drop_unneeded(tx: Tx) -> int:
    """Remove notes of people behind the cursor, who are looked at anyway; return how many."""
    return tx.run(
        "DELETE FROM search_changes WHERE account_id = :account_id AND subscriber_id > :until_id"
        " AND changed_at <= :before",
        account_id=tx.account_id,
        until_id=search.lock(tx).until_id,
        before=tx.now - 2 * STALE_MS,
    )


def any_unneeded(rx: Rx) -> bool:
    """Say whether `drop_unneeded` has something to remove."""
    row = rx.one(
        "SELECT 1 FROM search_changes WHERE account_id = :account_id AND subscriber_id > :until_id"
        " AND changed_at <= :before LIMIT 1",
        account_id=rx.account_id,
        until_id=search.cursor(rx).until_id,
        before=rx.now - 2 * STALE_MS,
    )
    return row is not None


def keep(tx: Tx, laid: Laid) -> bool:
    """Write a block; False when the index or a person in it went on meanwhile, so that it is read again."""
    if search.lock(tx) != laid.cursor or not 0 <= tx.now - laid.seen_at <= STALE_MS:
        return False
    if laid.over is not None and covering(tx, laid.first_id) != laid.over:
        return False
    names = {"account_id": tx.account_id, "first_id": laid.first_id}
    if laid.over is not None:
        tx.run("DELETE FROM search_pairs WHERE account_id = :account_id AND first_id = :first_id", **names)
        tx.run("DELETE FROM search_blocks WHERE account_id = :account_id AND first_id = :first_id", **names)
        if laid.last_id < laid.over.last_id:
            # Empty, and so not whole: it is laid next.
            _insert(tx, laid.last_id + 1, laid.over.last_id, [], 0)
    else:
        tx.run(
            "UPDATE search_cursors SET until_id = :until_id WHERE account_id = :account_id",
            until_id=laid.last_id,
            account_id=tx.account_id,
        )
    _insert(tx, laid.first_id, laid.last_id, laid.ids, tx.now)
    if laid.pairs:
        tx.load(
            "INSERT INTO search_pairs (account_id, first_id, pair, places)"
            " VALUES (:account_id, :first_id, :pair, :places)",
            ("account_id", "first_id", "pair", "places"),
            [(tx.account_id, laid.first_id, pair, places) for pair, places in sorted(laid.pairs.items())],
        )
    _take_in(tx, laid)
    return True


def ids_of(rx: Rx, firsts: Sequence[int]) -> dict[int, list[int]]:
    """Return the ids of these blocks (at most `IDS_MAX`) by their places."""
    names = {f"first{at}": firsts[min(at, len(firsts) - 1)] for at in range(IDS_MAX)}
    return {row[0]: grams.unpack_ids(row[1]) for row in rx.all(_IDS, account_id=rx.account_id, **names)}


def firsts(rx: Rx, before_id: int, limit: int) -> list[int]:
    """Return where the next blocks below an id begin, newest first."""
    rows = rx.all(
        "SELECT first_id FROM search_blocks WHERE account_id = :account_id AND first_id < :before_id"
        " ORDER BY first_id DESC LIMIT :limit",
        account_id=rx.account_id,
        before_id=before_id,
        limit=min(limit, WINDOW_MAX),
    )
    return [row[0] for row in rows]


def places(rx: Rx, before_id: int, limit: int, pairs: Sequence[str]) -> dict[int, dict[str, str]]:
    """Return what the blocks of `firsts` have under these pairs (at most `PAIRS_MAX`), by block and pair."""
    names = {f"pair{at}": pairs[min(at, len(pairs) - 1)] for at in range(PAIRS_MAX)}
    found: dict[int, dict[str, str]] = {}
    for first_id, pair, packed in rx.all(
        _PLACES, account_id=rx.account_id, before_id=before_id, limit=min(limit, WINDOW_MAX), **names
    ):
        found.setdefault(first_id, {})[pair] = packed
    return found


def _insert(tx: Tx, first_id: int, last_id: int, ids: Sequence[int], built_at: int) -> None:
    tx.run(
        "INSERT INTO search_blocks (account_id, first_id, last_id, n, built_at, ids)"
        " VALUES (:account_id, :first_id, :last_id, :n, :built_at, :ids)",
        account_id=tx.account_id,
        first_id=first_id,
        last_id=last_id,
        n=len(ids),
        built_at=built_at,
        ids=grams.pack_ids(ids),
    )


def _take_in(tx: Tx, laid: Laid) -> None:
    """Forget the changes that the block has in it; of those changed again meanwhile, what it has."""
    for subscriber_id, n in laid.changed.items():
        names = {"account_id": tx.account_id, "id": subscriber_id}
        gone = tx.run(
            "DELETE FROM search_changes WHERE account_id = :account_id AND subscriber_id = :id AND n = :n",
            n=n,
            **names,
        )
        if not gone:
            tx.run(
                "UPDATE search_changes SET was = :was WHERE account_id = :account_id AND subscriber_id = :id",
                was=laid.texts.get(subscriber_id, ""),
                **names,
            )
