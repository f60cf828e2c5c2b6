"""Forward-only migrations: `migrations/NNNN_name.sql`, one text for both databases.

Owns the table `migrations`. Each file runs in one transaction with its line in the
table, so a kill leaves it done or not begun; a lock keeps two processes from migrating
at once; running twice changes nothing.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tidings.store import postgres, snapshot
from tidings.store.db import Database

_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
# The key of the advisory lock on PostgreSQL: "tidings" has no other meaning for it.
LOCK = 7_413_460


class Newer(Exception):
    """The database was written by a later version of Tidings."""


class Behind(Exception):
    """The database has not been migrated to this version yet."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, its SQL."""

    number: int
    name: str
    sql: str


def known() -> list[Migration]:
    """Return the migrations of this version, in order."""
    found = []
    for entry in resources.files("tidings.store").joinpath("migrations").iterdir():
        match = _NAME.fullmatch(entry.name)
        if match:
            found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda one: one.number)


def check(db: Database) -> None:
    """Raise `Behind` or `Newer` unless the database is exactly of this version."""
    session = db.session(writer=False)
    try:
        found = done(session)
    finally:
        session.close()
    _refuse_newer(found)
    if found != {one.number for one in known()}:
        raise Behind("the database is not migrated yet; run: tidings migrate")


def migrate(db: Database, said: Callable[[str], None] = lambda _: None, *, keep: bool = True) -> int:
    """Bring the database to this version; return how many migrations ran.

    An SQLite file that holds something is copied first, to FILE.before-NNNN beside it, unless told
    not to `keep` it.
    """
    session = db.session(writer=True)
    path = db.url.removeprefix("sqlite:///") if keep and not db.shared else ""
    try:
        if isinstance(session, postgres.PostgresSession):
            session.lock(LOCK)
        return _run(session, path, said)
    finally:
        session.close()


def _run(session: Any, path: str, said: Callable[[str], None]) -> int:
    ran, kept = 0, ""
    path = path if done(session) else ""
    for one in known():
        # Each is looked at again under the write lock: another process may have done it.
        session.begin()
        try:
            found = done(session)
            _refuse_newer(found)
            if one.number in found:
                session.rollback()
                continue
            if path and not kept:
                kept = _keep(path, one.number)
            if not found:
                session.script(
                    "CREATE TABLE IF NOT EXISTS migrations"
                    " (number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
                )
            session.script(one.sql)
            session.change(
                "INSERT INTO migrations (number, name, applied_at) VALUES (:number, :name, :at)",
                {"number": one.number, "name": one.name, "at": time.time_ns() // 1_000_000},
            )
            session.commit()
        except BaseException:
            session.rollback()
            raise
        said(f"{one.number:04d} {one.name}")
        ran += 1
    if kept and ran:
        said(f"the database as it was before is {kept}")
    return ran


def _keep(path: str, number: int) -> str:
    """Copy the file as it is before its first migration, while nobody else can write; return where to."""
    file = f"{path}.before-{number:04d}"
    with snapshot.whole(file, replace=True) as part:
        snapshot.take(path, part)
    return file


def done(session: Any) -> set[int]:
    """Return the numbers of the migrations that ran; `session` has `has_table` and `fetch`."""
    if not session.has_table("migrations"):
        return set()
    return {row[0] for row in session.fetch("SELECT number FROM migrations", {})}


def _refuse_newer(done: set[int]) -> None:
    newest = max((one.number for one in known()), default=0)
    if done and max(done) > newest:
        raise Newer(
            f"this database was written by a later version of Tidings (its migration {max(done)}, "
            f"this version knows {newest}); install that version or later"
        )
