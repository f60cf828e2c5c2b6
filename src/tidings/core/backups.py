"""Backups that somebody asked for, until the engine has made them. Owns `backups`.

They belong to the installation, for a backup holds every account. What files there are the folder says,
not this table: the engine makes some by itself, and the oldest go.
"""

import msgspec

from tidings.errors import NotFound
from tidings.store.tx import Row, Rx, Tx

# A request that no engine has taken so long, say of a restored copy, is none any more.
ASKED_MS = 3_600_000
BY_MAX = 200
LISTED = 20
# So many rows are kept.
KEPT = 100
_COLUMNS = "id, state, asked_by, name, bytes, done, total, said, created_at, updated_at"


class Asked(msgspec.Struct, frozen=True):
    """One backup that was asked for: `asked`, `done` as the file `name`, or `failed` for what is `said`."""

    id: int
    state: str
    asked_by: str
    name: str | None
    bytes: int | None
    done: int
    total: int
    said: str | None
    created_at: int
    updated_at: int


def ask(tx: Tx, by: str) -> Asked:
    """Have the engine make a backup; while one is on its way that one is meant."""
    one = waiting(tx)
    if one is not None:
        return one
    made = tx.one(
        "INSERT INTO backups (account_id, state, asked_by, done, total, created_at, updated_at)"  # noqa: S608
        f" VALUES (:account_id, 'asked', :by, 0, 0, :now, :now) RETURNING {_COLUMNS}",
        account_id=tx.account_id,
        by=by[:BY_MAX],
        now=tx.now,
    )
    assert made is not None  # noqa: S101 (RETURNING)
    tx.run(
        "DELETE FROM backups WHERE account_id = :account_id AND id <= :old",
        account_id=tx.account_id,
        old=made[0] - KEPT,
    )
    tx.wake()
    return _asked(made)


def waiting(rx: Rx) -> Asked | None:
    """Return the backup that is being made, or waits to be."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM backups WHERE account_id = :account_id AND state = 'asked'"  # noqa: S608
        " AND updated_at > :since ORDER BY id LIMIT 1",
        account_id=rx.account_id,
        since=rx.now - ASKED_MS,
    )
    return _asked(row) if row else None


def note(tx: Tx, backup_id: int, done: int, total: int) -> None:
    """Note how far a backup is, in pages or rows."""
    tx.run(
        "UPDATE backups SET done = :done, total = :total, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id AND state = 'asked'",
        done=done,
        total=total,
        now=tx.now,
        account_id=tx.account_id,
        id=backup_id,
    )


def made(tx: Tx, backup_id: int, name: str, size: int) -> None:
    """Note that a backup is there."""
    tx.run(
        "UPDATE backups SET state = 'done', name = :name, bytes = :size, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        name=name,
        size=size,
        now=tx.now,
        account_id=tx.account_id,
        id=backup_id,
    )


def failed(tx: Tx, backup_id: int, said: str) -> None:
    """Note that a backup could not be made, and why."""
    tx.run(
        "UPDATE backups SET state = 'failed', said = :said, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        said=said[:500],
        now=tx.now,
        account_id=tx.account_id,
        id=backup_id,
    )


def find(rx: Rx, backup_id: int) -> Asked:
    """Return one backup that was asked for, or raise NotFound."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM backups WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=backup_id,
    )
    if row is None:
        raise NotFound("backup")
    return _asked(row)


def latest(rx: Rx) -> list[Asked]:
    """Return those that were asked for, newest first."""
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM backups WHERE account_id = :account_id ORDER BY id DESC LIMIT :limit",  # noqa: S608
        account_id=rx.account_id,
        limit=LISTED,
    )
    return [_asked(row) for row in rows]


def _asked(row: Row) -> Asked:
    return Asked(*row)
