"""Entries: who is inside a sequence, how far they are, and when to look at them next.

Owns `entries`. An entry is one time through one sequence, from the subscribing to the end
or the leaving: inside, held (had everything, waits for more), ended or left. Invariant: a
person has at most one entry in a sequence that is inside or held, and an entry has each
email at most once (`had`).
"""

from collections.abc import Sequence

import msgspec

from tidings.core import deliveries
from tidings.core.subscribers import Subscriber
from tidings.store.tx import Rx, Tx

OCCASION = "sequence-email"
# Who is at work on a person when their entry is due; such work takes milliseconds.
AGAIN_MS = 1_000
# Sequences or emails asked for at once; one text serves every number.
_ASKED = 50
_NOTHING = -1
_REFS = ", ".join(f"(CAST(:ref{at} AS BIGINT))" for at in range(_ASKED))
_COUNTS = (
    "SELECT one.column1, state.column1, (SELECT COUNT(*) FROM (SELECT 1 FROM entries"  # noqa: S608 (our names)
    " WHERE account_id = :account_id AND sequence_id = one.column1 AND entries.state = state.column1"
    f" LIMIT :most) AS few) FROM (VALUES {_REFS}) AS one,"
    " (VALUES ('inside'), ('held'), ('ended'), ('left')) AS state"
)
_BEHIND_NONE = (
    "SELECT COUNT(*) FROM (SELECT 1 FROM entries WHERE account_id = :account_id"
    " AND sequence_id = :sequence_id AND email_id IS NULL AND state IN ('inside', 'held') LIMIT :most) AS few"
)
_BEHIND = (
    "SELECT one.column1, (SELECT COUNT(*) FROM (SELECT 1 FROM entries WHERE account_id = :account_id"  # noqa: S608 (our names)
    " AND sequence_id = :sequence_id AND email_id = one.column1"
    f" AND state IN ('inside', 'held') LIMIT :most) AS few) FROM (VALUES {_REFS}) AS one"
)


class Entry(msgspec.Struct, frozen=True):
    """One entry; `had` are the ids of the emails it was given, with commas between."""

    account_id: int
    id: int
    sequence_id: int
    subscriber_id: int
    n: int
    email_id: int | None
    position: int
    had: str
    since_at: int
    next_at: int | None
    state: str
    completed_at: int | None
    ended_at: int | None

    def has_had(self, email_id: int) -> bool:
        """Say whether this entry was given an email already."""
        return f",{email_id}," in f",{self.had},"

    def given(self, email_id: int, position: int, at: int) -> "Entry":
        """Return the entry after it was given this email."""
        had = f"{self.had},{email_id}" if self.had else str(email_id)
        return msgspec.structs.replace(self, email_id=email_id, position=position, had=had, since_at=at)


_COLUMNS = ", ".join(Entry.__struct_fields__)

# What a look changes. Rows of one statement: a few texts serve every number of rows.
_MOVED = ("email_id", "position", "had", "since_at", "next_at", "state", "completed_at", "ended_at")
_MOVE_SIZES = (100, 10, 1)


def _values(size: int) -> str:
    """Return as many rows of named parameters: id0, email_id0, … id1 …"""
    return ", ".join(f"({', '.join(f':{name}{at}' for name in ('id', *_MOVED))})" for at in range(size))


# On PostgreSQL a column of parameters that are all NULL is text: hence the casts.
_MOVE = {
    size: (
        "UPDATE entries SET email_id = CAST(moved.column2 AS BIGINT), position = moved.column3,"  # noqa: S608
        " had = moved.column4, since_at = moved.column5, next_at = CAST(moved.column6 AS BIGINT),"
        " state = moved.column7, completed_at = CAST(moved.column8 AS BIGINT),"
        " ended_at = CAST(moved.column9 AS BIGINT), updated_at = :now"
        f" FROM (VALUES {_values(size)}) AS moved"
        " WHERE entries.account_id = :account_id AND entries.id = moved.column1"
        " AND entries.state IN ('inside', 'held')"
    )
    for size in _MOVE_SIZES
}


def enter(tx: Tx, who: Subscriber, sequence_id: int, *, again: bool = False, newcomer: bool = False) -> None:
    """Let a person begin a sequence; who is inside stays where they are.

    Who left takes up where they were, and with `again` (the sequence repeats) begins anew;
    who has had it all begins anew only with `again`. A `newcomer` to the sequence is not
    looked for first. Who is not active waits until they are.
    """
    latest = None if newcomer else _latest(tx, who.id, sequence_id)
    if latest is None or (again and latest.state in ("left", "ended")):
        tx.run(
            "INSERT INTO entries (account_id, sequence_id, subscriber_id, n, position, had, since_at,"
            " next_at, state, created_at, updated_at) VALUES (:account_id, :sequence_id, :subscriber_id,"
            " :n, 0, '', :now, :next_at, 'inside', :now, :now)"
            " ON CONFLICT (account_id, sequence_id, subscriber_id, n) DO NOTHING",
            account_id=tx.account_id,
            sequence_id=sequence_id,
            subscriber_id=who.id,
            n=latest.n + 1 if latest else 1,
            now=tx.now,
            next_at=_when(tx, who),
        )
    elif latest.state == "left":
        tx.run(
            "UPDATE entries SET state = 'inside', since_at = :now, next_at = :next_at, ended_at = NULL,"
            " updated_at = :now WHERE account_id = :account_id AND id = :id AND state = 'left'",
            now=tx.now,
            next_at=_when(tx, who),
            account_id=tx.account_id,
            id=latest.id,
        )
    tx.wake()


def turned(tx: Tx, subscriber_id: int, *, active: bool) -> None:
    """Let a person's entries go on now that they are active, or wait now that they are not."""
    if active:
        # Nothing is to be had from before they were active: that is when a sequence begins.
        tx.run(
            "UPDATE entries SET next_at = :now, state = 'inside', updated_at = :now,"
            " since_at = CASE WHEN email_id IS NULL THEN :now ELSE since_at END"
            " WHERE account_id = :account_id AND subscriber_id = :id AND state IN ('inside', 'held')"
            " AND next_at IS NULL",
            now=tx.now,
            account_id=tx.account_id,
            id=subscriber_id,
        )
        tx.wake()
        return
    tx.run(
        "UPDATE entries SET next_at = NULL, updated_at = :now WHERE account_id = :account_id"
        " AND subscriber_id = :id AND state = 'inside' AND next_at IS NOT NULL",
        now=tx.now,
        account_id=tx.account_id,
        id=subscriber_id,
    )


def leave(tx: Tx, subscriber_id: int, sequence_id: int) -> bool:
    """Take a person out of a sequence, with what is queued of it; return whether they were in it."""
    rows = tx.all(
        f"{_LEAVE} AND subscriber_id = :subscriber_id AND sequence_id = :sequence_id RETURNING {_COLUMNS}",
        now=tx.now,
        account_id=tx.account_id,
        subscriber_id=subscriber_id,
        sequence_id=sequence_id,
    )
    return _suppress(tx, rows)


def leave_all(tx: Tx, subscriber_id: int) -> bool:
    """Take a person out of every sequence; return whether they were in any."""
    rows = tx.all(
        f"{_LEAVE} AND subscriber_id = :subscriber_id RETURNING {_COLUMNS}",
        now=tx.now,
        account_id=tx.account_id,
        subscriber_id=subscriber_id,
    )
    return _suppress(tx, rows)


def occasion(email_id: int, entry_id: int) -> str:
    """Return why somebody gets an email of a sequence: each at most once for an entry."""
    return f"{OCCASION}:{email_id}:{entry_id}"


def may_have(rx: Rx, entry_id: int) -> bool:
    """Say whether what is queued for an entry may still go out: the last look before the wire."""
    row = rx.one(
        "SELECT 1 FROM entries WHERE account_id = :account_id AND id = :id AND state <> 'left'",
        account_id=rx.account_id,
        id=entry_id,
    )
    return row is not None


def of_subscriber(rx: Rx, subscriber_id: int, limit: int = 1_000) -> list[Entry]:
    """Return a person's entries, oldest first."""
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM entries WHERE account_id = :account_id"  # noqa: S608 (constants)
        " AND subscriber_id = :subscriber_id ORDER BY id LIMIT :limit",
        account_id=rx.account_id,
        subscriber_id=subscriber_id,
        limit=limit,
    )
    return [Entry(*row) for row in rows]


def counts(rx: Rx, sequence_ids: Sequence[int], most: int) -> dict[int, dict[str, int]]:
    """Return how many entries of these sequences are in each state; no more than `most` of one."""
    found: dict[int, dict[str, int]] = {one: {} for one in sequence_ids}
    for at in range(0, len(sequence_ids), _ASKED):
        names = _named(sequence_ids[at : at + _ASKED])
        for sequence_id, state, n in rx.all(_COUNTS, account_id=rx.account_id, most=most, **names):
            if sequence_id != _NOTHING:
                found[sequence_id][state] = int(n)
    return found


def behind(rx: Rx, sequence_id: int, email_ids: Sequence[int], most: int) -> dict[int, int]:
    """Return how many are inside or held behind each of these emails, and under 0 who has had none yet.

    No more than `most` of one; 50,000 in all take some 10 ms at 1,000,000 entries.
    """
    options = {"account_id": rx.account_id, "sequence_id": sequence_id, "most": most}
    none = rx.one(_BEHIND_NONE, **options)
    found = {0: int(none[0]) if none else 0}
    for at in range(0, len(email_ids), _ASKED):
        names = _named(email_ids[at : at + _ASKED])
        rows = rx.all(_BEHIND, **options, **names)
        found |= {row[0]: int(row[1]) for row in rows if row[0] != _NOTHING}
    return found


def any_due(rx: Rx) -> bool:
    """Say whether anybody is due, over all accounts: one look at one index."""
    row = rx.one("SELECT 1 FROM entries WHERE state = 'inside' AND next_at <= :now LIMIT 1", now=rx.now)
    return row is not None


def claim_due(tx: Tx, limit: int) -> list[Entry]:
    """Take entries that are due, over all accounts; what somebody else has in hand is left to them.

    Only locked, not marked: a row that is written twice in a transaction has its foreign
    keys checked again on PostgreSQL, and waiting for a person's row there is a deadlock.
    """
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM entries WHERE state = 'inside' AND next_at <= :now"  # noqa: S608 (constants)
        " ORDER BY next_at, id LIMIT :limit {skip_locked}",
        now=tx.now,
        limit=limit,
    )
    return [Entry(*row) for row in rows]


def claim_after(tx: Tx, sequence_id: int, after_id: int, limit: int) -> list[Entry]:
    """Take the next entries of a sequence by id, whenever they are due; who is held too.

    What somebody else has in hand is waited for: they may not know yet what has changed.
    """
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM entries WHERE account_id = :account_id"  # noqa: S608 (constants)
        " AND sequence_id = :sequence_id AND state IN ('inside', 'held') AND id > :after_id"
        " ORDER BY id LIMIT :limit {for_update}",
        account_id=tx.account_id,
        sequence_id=sequence_id,
        after_id=after_id,
        limit=limit,
    )
    return [Entry(*row) for row in rows]


def move(tx: Tx, moved: list[Entry]) -> None:
    """Write where claimed entries of one account are now.

    Not collected: a second look within the same transaction must find them there.
    """
    at = 0
    while at < len(moved):
        size = next(size for size in _MOVE_SIZES if size <= len(moved) - at)
        names = {
            f"{name}{n}": getattr(one, name)
            for n, one in enumerate(moved[at : at + size])
            for name in ("id", *_MOVED)
        }
        tx.run(_MOVE[size], now=tx.now, account_id=tx.account_id, **names)
        at += size


def shift(tx: Tx, sequence_id: int, first: int, by: int) -> None:
    """Let every place in a sequence from rank `first` on lie `by` further back."""
    tx.run(
        "UPDATE entries SET position = position + :by WHERE account_id = :account_id"
        " AND sequence_id = :sequence_id AND position >= :first",
        by=by,
        account_id=tx.account_id,
        sequence_id=sequence_id,
        first=first,
    )


def _named(ids: Sequence[int]) -> dict[str, int]:
    # -1 is nothing's id: filling up with a real one would count it fifty times.
    return {f"ref{at}": one for at, one in enumerate([*ids, *[_NOTHING] * (_ASKED - len(ids))])}


_LEAVE = (
    "UPDATE entries SET state = 'left', next_at = NULL, ended_at = :now, updated_at = :now"
    " WHERE account_id = :account_id AND state IN ('inside', 'held')"
)


def _latest(tx: Tx, subscriber_id: int, sequence_id: int) -> Entry | None:
    row = tx.one(
        f"SELECT {_COLUMNS} FROM entries WHERE account_id = :account_id"  # noqa: S608 (constants)
        " AND sequence_id = :sequence_id AND subscriber_id = :subscriber_id ORDER BY n DESC LIMIT 1"
        " {for_update}",
        account_id=tx.account_id,
        sequence_id=sequence_id,
        subscriber_id=subscriber_id,
    )
    return Entry(*row) if row else None


def _when(tx: Tx, who: Subscriber) -> int | None:
    """Return when to look at a new entry: at once, which finds out when its first email is due."""
    return tx.now if who.state == "active" else None


def _suppress(tx: Tx, rows: list[tuple[object, ...]]) -> bool:
    for one in (Entry(*row) for row in rows):  # type: ignore[arg-type]
        if one.had:
            occasions = [occasion(int(email_id), one.id) for email_id in one.had.split(",")]
            deliveries.suppress_queued(tx, one.subscriber_id, occasions, "left the sequence")
    return bool(rows)
