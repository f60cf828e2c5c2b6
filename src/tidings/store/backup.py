"""Backups: files that hold a whole database, made while it serves; and what is made of them again.

A backup is an SQLite database of the same schema, whichever database it comes from, so that it can be
restored into either. The master key is not in it.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import apsw
import psycopg

from tidings.errors import Conflict, Unavailable
from tidings.store import copying, health, migrate, snapshot
from tidings.store.copying import Counted, Progress
from tidings.store.db import Database

T = TypeVar("T")
_SQLITE = "sqlite:///"
_KNOWN = (_SQLITE, "postgresql://", "postgres://")
# A lock on each table that lets others read and nobody write (PostgreSQL 13.3.1).
_READ_ONLY = "LOCK TABLE {} IN EXCLUSIVE MODE"

Said = Callable[[Progress], None]


def back_up(
    url: str, file: str, said: Said = copying.quiet, *, replace: bool = False, pause_s: float = 0.0
) -> int:
    """Write the database as it is now to a new file of mode 0600; return its bytes.

    Nobody who writes waits for it. Raises `Conflict` where the file is there, unless `replace`.
    """
    try:
        with snapshot.whole(file, replace=replace) as part:
            if url.startswith(_SQLITE):
                snapshot.take(path_of(url), part, _in_pages(said), pause_s=pause_s)
            else:
                _migrated(part)
                copying.copy(url, _SQLITE + part, said)
    except (apsw.Error, psycopg.Error) as problem:
        if sentence := health.said(problem):
            raise Unavailable(sentence) from problem
        raise
    return os.path.getsize(file)


def restore(
    file: str, url: str, prepare: Callable[[Database], T], said: Said = copying.quiet
) -> tuple[T, list[Counted]]:
    """Make the database at `url`, where nothing is, from a backup; return what `prepare` said.

    `prepare` is called with the restored database before anybody can see it. Raises `Conflict` where
    something is there, `Newer` for a backup of a later version.
    """
    refuse_taken(url)
    if path := file_of(url):
        Path(path).resolve().parent.mkdir(parents=True, exist_ok=True)
        with snapshot.whole(path, replace=True) as part:
            return _opened(file, part, prepare, said), []
    # A scratch copy, so that a kill never leaves a database that was not prepared.
    with tempfile.TemporaryDirectory(prefix="tidings-restore-") as folder:
        scratch = os.path.join(folder, "scratch.db")
        Path(scratch).touch(mode=0o600)
        answer = _opened(file, scratch, prepare, copying.quiet)
        migrated(url)
        return answer, copying.copy(_SQLITE + scratch, url, said)


def transfer(source: str, target: str, said: Said = copying.quiet) -> list[Counted]:
    """Copy a database that nobody uses into an empty place; return the compared counts."""
    refuse_taken(target)
    if not target.startswith(_SQLITE):
        migrated(target)
        return copying.copy(source, target, said)
    Path(path_of(target)).resolve().parent.mkdir(parents=True, exist_ok=True)
    with snapshot.whole(path_of(target), replace=True) as part:
        _migrated(part)
        return copying.copy(source, _SQLITE + part, said)


def refuse_taken(url: str) -> None:
    """Raise `Conflict` unless nothing is at `url`: no file, or a database without a row that nobody uses."""
    if not url.startswith(_KNOWN):
        raise Conflict("the database must be sqlite:///FILE or postgresql://…")
    path = file_of(url)
    if path and not os.path.exists(path):
        left = [path + ending for ending in snapshot.BESIDE if os.path.exists(path + ending)]
        if left:
            raise Conflict(f"{left[0]} belongs to a database that was there; move it away first")
        return
    if in_use(url):
        raise Conflict("a server uses that database; stop it first")
    if path and not os.path.getsize(path):
        return
    with contextlib.closing(Database(url)) as db:
        session = db.session(writer=False)
        with contextlib.closing(session):
            empty = not session.has_table(copying.APART)
    if not empty and (full := copying.first_full(url)):
        raise Conflict(f"there is a database already: its table {full} has rows; move it away first")


def in_use(url: str) -> bool:
    """Whether any process of Tidings has the database open."""
    if url.startswith(_SQLITE):
        return snapshot.in_use(path_of(url))
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        found = connection.execute(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'tidings' AND pid <> pg_backend_pid()"
        ).fetchone()
    return bool(found and found[0])


@contextlib.contextmanager
def read_only(url: str) -> Iterator[None]:
    """Let nobody write to a database meanwhile; they wait, and give up in time."""
    with contextlib.closing(Database(url)) as db, contextlib.closing(db.session(writer=True)) as session:
        session.begin()
        if not url.startswith(_SQLITE):
            tables = ", ".join(sorted(copying.names(url)))
            session.fetch(_READ_ONLY.format(tables), {})
        try:
            yield
        finally:
            session.rollback()


def faults(url: str) -> list[str]:
    """Return a sentence for whatever is broken in the storage itself; reads the whole database."""
    if url.startswith(_SQLITE):
        connection = snapshot.reading(path_of(url))
        try:
            said = "\n".join(str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)"))
            found = [f"the file is damaged: {line}" for line in said.splitlines() if line != "ok"]
            for table, row_id, parent, _ in connection.execute("PRAGMA foreign_key_check"):
                found.append(f"row {row_id} of {table} refers to one of {parent} that is not there")
        except apsw.CorruptError as problem:
            found = [f"the file is damaged: {problem}"]
        finally:
            connection.close()
        return found
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as server:
        indexes = server.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        ).fetchall()
        loose = server.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE NOT convalidated"
        ).fetchall()
    return [f"the index {one} is not valid; rebuild it with REINDEX" for (one,) in indexes] + [
        f"the constraint {name} of {table} is not validated" for table, name in loose
    ]


def file_of(url: str) -> str:
    """Return the file of a database; empty for a server's, which keeps its own."""
    return path_of(url) if url.startswith(_SQLITE) else ""


def path_of(url: str) -> str:
    """Return the file of an SQLite database."""
    return url.removeprefix(_SQLITE)


def migrated(url: str) -> None:
    """Bring the database at a URL to this version."""
    with contextlib.closing(Database(url)) as db:
        migrate.migrate(db)


def _migrated(part: str) -> None:
    migrated(_SQLITE + part)


def _opened(file: str, part: str, prepare: Callable[[Database], T], said: Said) -> T:
    """Copy a backup to `part`, bring it to this version, and prepare it."""
    snapshot.take(file, part, _in_pages(said))
    with contextlib.closing(Database(_SQLITE + part)) as db:
        session = db.session(writer=False)
        with contextlib.closing(session):
            if not migrate.done(session):
                raise Conflict(f"{file} is not a backup of Tidings")
        migrate.migrate(db, keep=False)
        return prepare(db)


def _in_pages(said: Said) -> snapshot.Said:
    """Say how far a copy of pages is, as a copy of rows says it; it takes seconds, so no time is told."""

    def heard(done: int, total: int) -> None:
        said(Progress("pages", done, total, 0.0))

    return heard
