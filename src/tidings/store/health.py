"""What a person should know of a database: is it there, can it be reached, does it keep what it is given?"""

from dataclasses import dataclass
from pathlib import Path

import apsw
import psycopg

from tidings.store import postgres, sqlite
from tidings.store.db import Database

# The values of `PRAGMA synchronous`, sqlite.org/pragma.html.
_SYNCHRONOUS = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
FULL = 2


class CannotOpen(Exception):
    """The database cannot be opened; the text says why, without any password."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that durability rests on: its name, its value, whether it is as it must be."""

    name: str
    value: str
    fine: bool


def absent(url: str) -> str | None:
    """Return the file of a database that is not there yet; None for one that is, and for a server's."""
    path = url.removeprefix("sqlite:///")
    return path if path not in (url, "") and not Path(path).exists() else None


def opened(url: str) -> Database:
    """Open a database, or raise `CannotOpen`; its owner closes it."""
    try:
        return Database(url)
    except ValueError as problem:
        raise CannotOpen(str(problem)) from problem
    except OSError as problem:
        where = f": {problem.filename}" if problem.filename else ""
        raise CannotOpen(f"the database file cannot be used: {problem.strerror}{where}") from problem
    except Exception as problem:
        sentence = said(problem)
        if sentence is None:
            raise
        raise CannotOpen(sentence) from problem


def is_empty(db: Database) -> bool:
    """Say whether no migration ever ran."""
    session = db.session(writer=False)
    try:
        return not session.has_table("migrations")
    finally:
        session.close()


def durability(db: Database) -> list[Fact]:
    """Return what the promise rests on that an acknowledged write outlives a power cut."""
    session = db.session(writer=False)
    try:
        if isinstance(session, postgres.PostgresSession):
            return [_shown(session, name) for name in ("fsync", "synchronous_commit", "full_page_writes")]
        journal = str(session.fetch("PRAGMA journal_mode", {})[0][0]).lower()
        synchronous = int(session.fetch("PRAGMA synchronous", {})[0][0])
        return [
            Fact("journal_mode", journal, journal == "wal"),
            Fact("synchronous", _SYNCHRONOUS.get(synchronous, str(synchronous)), synchronous >= FULL),
        ]
    finally:
        session.close()


def said(problem: BaseException) -> str | None:
    """Return in one sentence what a driver raised because of the world; None for a mistake of ours."""
    if isinstance(problem, sqlite.TooOld | postgres.Unsafe):
        return str(problem)
    if isinstance(problem, apsw.NotADBError):
        return "the database file is not an SQLite database"
    if isinstance(problem, apsw.CantOpenError | apsw.ReadOnlyError | apsw.IOError | apsw.FullError):
        return f"the database file cannot be used: {_first_line(problem)}"
    if isinstance(problem, apsw.CorruptError | apsw.BusyError | apsw.LockedError):
        return f"the database file cannot be used: {_first_line(problem)}"
    if isinstance(problem, psycopg.OperationalError | psycopg.InterfaceError):
        return f"the database cannot be reached: {_first_line(problem)}"
    if isinstance(problem, psycopg.ProgrammingError) and problem.sqlstate is None:
        # Raised before anything is sent: the address itself cannot be read. It may hold a
        # password, so it is not repeated.
        return "the address of the database cannot be read; it must be postgresql://user:password@host/name"
    if isinstance(problem, psycopg.errors.InsufficientPrivilege):
        return f"the database refuses: {_first_line(problem)}"
    return None


def _shown(session: postgres.PostgresSession, name: str) -> Fact:
    value = str(session.fetch("SELECT current_setting(:name)", {"name": name})[0][0])
    return Fact(name, value, value != "off")


def _first_line(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__
