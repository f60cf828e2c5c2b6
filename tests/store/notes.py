"""A table of the tests' own, and groups made on purpose: the store knows no noun."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from tidings.store.db import Database
from tidings.store.tx import Collected, Rx, Tx

NOTE = Collected("INSERT INTO notes (n, text) VALUES (:n, :text)", ("n", "text"))
TALLY = Collected(
    "INSERT INTO tallies (name, n) VALUES (:name, :n)"
    " ON CONFLICT (name) DO UPDATE SET n = tallies.n + excluded.n",
    ("name", "n"),
    merged=True,
)


def make_tables(db: Database) -> None:
    """Make the tables `notes` and `tallies`."""
    session = db.session(writer=True)
    session.script(
        "CREATE TABLE notes (n BIGINT PRIMARY KEY CHECK (n >= 0), text TEXT NOT NULL);"
        "CREATE TABLE tallies (name TEXT PRIMARY KEY, n BIGINT NOT NULL)"
    )
    session.close()


def note(tx: Tx, n: int, text: str = "") -> int:
    """Write a note at once and count it with the group."""
    tx.run("INSERT INTO notes (n, text) VALUES (:n, :text)", n=n, text=text)
    tx.append(TALLY, ("notes", 1))
    return n


def collect(tx: Tx, n: int) -> int:
    """Write a note with the group."""
    tx.append(NOTE, (n, "collected"))
    return n


def note_and_fail(tx: Tx, n: int, problem: Exception) -> None:
    """Write and collect, then raise."""
    note(tx, n)
    tx.append(NOTE, (n + 1_000, "collected"))
    raise problem


def fail(tx: Tx, problem: Exception) -> None:
    """Collect, then raise before the first write."""
    tx.append(NOTE, (999, "collected"))
    tx.append(TALLY, ("notes", 1))
    raise problem


def notes(db: Database) -> list[int]:
    """Return the numbers of all notes."""
    return [row[0] for row in db.read_now(0, lambda rx: rx.all("SELECT n FROM notes ORDER BY n"))]


def tally(db: Database, name: str = "notes") -> int:
    """Return a tally, 0 when it was never begun."""

    def ask(rx: Rx) -> int:
        row = rx.one("SELECT n FROM tallies WHERE name = :name", name=name)
        return row[0] if row else 0

    return db.read_now(0, ask)


@contextlib.asynccontextmanager
async def held(db: Database) -> AsyncIterator[None]:
    """Hold the writer: what is written inside waits and becomes one group (of up to GROUP_MAX)."""
    while db._busy:  # noqa: ASYNC110 (the driver has no event for its last turn)
        await asyncio.sleep(0)
    db._take_turn()
    try:
        yield
        await asyncio.sleep(0)
    finally:
        db._end_turn()


async def in_one_group(db: Database, *calls: tuple[Callable[..., Any], *tuple[Any, ...]]) -> list[Any]:
    """Let these verbs wait together, so that they are run as one group; errors come back as values."""
    async with held(db):
        waiting = [asyncio.ensure_future(db.write(0, verb, *args)) for verb, *args in calls]
    return list(await asyncio.gather(*waiting, return_exceptions=True))
