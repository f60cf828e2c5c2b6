"""How SQLite is driven: connections by apsw, the durability we promise, the turnstile.

WAL with `synchronous=FULL`: 200 simulated power cuts lost 3,926 of 21,044 acknowledged
commits with NORMAL, none with FULL.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import apsw

from tidings.errors import Unavailable
from tidings.store.aside import apart
from tidings.store.dialect import SQLITE, Dialect, in_order, values_of
from tidings.store.tx import Row
from tidings.store.waves import Asked

# Earlier versions have a race in the WAL that can corrupt a file which two connections
# write to (fixed in 3.51.3, sqlite.org/releaselog/3_51_3.html).
OLDEST = (3, 51, 3)
BUSY_MS = 20_000
# Pages kept by a connection: negative is KiB. The writer walks the hot ends of a dozen
# indexes; 16 MiB holds them at 1,000,000 subscribers.
CACHE_KIB = 16_384
READ_CACHE_KIB = 8_192
WAL_PAGES = 4_000
# Rows that one statement inserts: the text stays below 16 KB, above which apsw keeps none prepared.
LOADED = 100
# What a scrub waits for readers while nobody can write; it is tried again later.
SCRUB_WAIT_MS = 250


class TooOld(Exception):
    """The SQLite library is older than the one that is safe."""


def check_version(version: str) -> None:
    """Refuse an SQLite older than `OLDEST`."""
    numbers = tuple(int(part) for part in version.split(".")[:3])
    if numbers < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise TooOld(f"SQLite {version} can corrupt a database; {wanted} or later is needed")


class Turnstile:
    """Lets the writers of several processes take turns.

    With the busy time-out alone a second writer starved for 3.6 s; here it waits while the
    first finishes its group. Two locks: who waits holds the gate, so who has just finished
    cannot pass before them.
    """

    def __init__(self, path: str) -> None:
        self._gate = os.open(path + "-gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._turn = os.open(path + "-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_enter(self) -> bool:
        """Take the turn if nobody has it and nobody waits for it."""
        try:
            fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        return True

    def enter(self) -> None:
        """Wait for the turn."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def leave(self) -> None:
        fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._gate)
        os.close(self._turn)


class SqliteSession:
    """One connection. `savepoints` says that a verb can be undone alone within its group."""

    dialect: Dialect = SQLITE
    savepoints = True
    spares_reads = True

    def __init__(self, path: str, *, writer: bool, turnstile: Turnstile | None = None) -> None:
        check_version(apsw.sqlite_lib_version())
        self._turnstile = turnstile
        self._path = path
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOMUTEX
        self._connection = apsw.Connection(path, flags=flags, statementcachesize=300)
        self._connection.set_busy_timeout(BUSY_MS)
        self._cursor = self._connection.cursor()
        run = self._cursor.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        run("PRAGMA temp_store = MEMORY")
        run(f"PRAGMA cache_size = -{CACHE_KIB if writer else READ_CACHE_KIB}")
        run(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        if not writer:
            run("PRAGMA query_only = ON")
            return
        # Deleted content is overwritten with zeros, in free pages too: an erasure leaves nothing.
        run("PRAGMA secure_delete = ON")
        if turnstile:
            # From here on it waits in a thread, see `begin`.
            self._connection.set_busy_timeout(0)

    def fetch(self, sql: str, params: dict[str, Any]) -> list[Row]:
        statement = self.dialect.statement(sql)
        return self._cursor.execute(statement.text, statement.pick(params)).fetchall()

    def change(self, sql: str, params: dict[str, Any]) -> int:
        statement = self.dialect.statement(sql)
        self._cursor.execute(statement.text, statement.pick(params))
        return self._connection.changes()

    def wrote(self, sql: str) -> bool:
        return self.dialect.statement(sql).writes

    def batch(self, asked: Sequence[Asked]) -> None:
        """Run several statements, one after another: nothing is gained by more."""
        for one in asked:
            one.rows = self.fetch(one.sql, one.params)
            one.changed = self._connection.changes()

    def many(self, sql: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Run one statement for each row."""
        statement = self.dialect.statement(sql)
        given = rows
        if not in_order(sql, columns):
            given = (statement.pick(dict(zip(columns, row, strict=True))) for row in rows)  # type: ignore[misc]
        self._cursor.executemany(statement.text, given)

    def load(self, sql: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Insert many rows at once, `LOADED` by each statement: row by row it took twice as long."""
        whole = len(rows) - len(rows) % LOADED
        if whole:
            text = _rows_of(sql, tuple(columns))
            for at in range(0, whole, LOADED):
                self._cursor.execute(text, list(chain.from_iterable(rows[at : at + LOADED])))
        self.many(sql, columns, rows[whole:])

    def fresh_ids(self, table: str, n: int) -> Sequence[int]:
        """Return the next ids: the transaction has the database to itself, and rows with them follow."""
        rows = self.fetch("SELECT seq FROM sqlite_sequence WHERE name = :name", {"name": table})
        last = int(rows[0][0]) if rows else 0
        return range(last + 1, last + n + 1)

    def script(self, sql: str) -> None:
        """Run the statements of a migration."""
        self._cursor.execute(self.dialect.text(sql))

    def begin(self) -> None:
        if self._turnstile and not self._turnstile.try_enter():
            apart(self._turnstile.enter)
        try:
            try:
                self._cursor.execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                # Somebody who does not know the turnstile writes, a shell perhaps.
                apart(self._begin_patiently)
        except BaseException:
            if self._turnstile:
                self._turnstile.leave()
            raise

    def _begin_patiently(self) -> None:
        self._connection.set_busy_timeout(BUSY_MS)
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.set_busy_timeout(0)

    def commit(self) -> None:
        apart(self._commit)

    def _commit(self) -> None:
        self._cursor.execute("COMMIT")
        if self._turnstile:
            self._turnstile.leave()

    def rollback(self) -> None:
        try:
            # A full disk may have ended the transaction already.
            if self._connection.in_transaction:
                self._cursor.execute("ROLLBACK")
        finally:
            if self._turnstile:
                self._turnstile.leave()

    def save(self) -> None:
        self._cursor.execute("SAVEPOINT verb")

    def keep(self) -> None:
        self._cursor.execute("RELEASE verb")

    def undo(self) -> None:
        self._cursor.execute("ROLLBACK TO verb")
        self._cursor.execute("RELEASE verb")

    def reading(self, question: Callable[[], Any]) -> Any:
        """Ask under one snapshot."""
        self._cursor.execute("BEGIN")
        try:
            return question()
        finally:
            self._cursor.execute("COMMIT")

    def listen(self) -> "SqliteEar":
        return SqliteEar(self)

    def notify(self) -> None:
        """Nothing: other processes see the change of `PRAGMA data_version`."""

    def data_version(self) -> int:
        version: int = self._cursor.execute("PRAGMA data_version").fetchall()[0][0]  # type: ignore[assignment]
        return version

    def refresh_statistics(self) -> int:
        """Nothing: its plans here do not depend on how many rows there are."""
        return 0

    def scrub(self, tables: Sequence[str]) -> bool:  # noqa: ARG002 (the log is of all tables)
        """Empty the write-ahead log into the file; False while somebody reads what it holds."""
        # Of what the log holds most is moved here, while others write; only the rest keeps them waiting.
        self._cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        # Not the lock of the database's own writer: within a process, one would let the other pass.
        turnstile = Turnstile(self._path)
        turnstile.enter()
        try:
            self._connection.set_busy_timeout(SCRUB_WAIT_MS)
            busy = self._cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        finally:
            turnstile.leave()
            turnstile.close()
        return not busy

    def has_table(self, name: str) -> bool:
        sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"
        return bool(self.fetch(sql, {"name": name}))

    def version(self) -> str:
        return f"SQLite {apsw.sqlite_lib_version()}"

    @property
    def closed(self) -> bool:
        """Never: a file does not go away by itself."""
        return False

    def close(self) -> None:
        self._connection.close()

    def broken(self, problem: BaseException) -> Unavailable | None:
        """Return what a caller is told when the storage itself refuses, else None."""
        if isinstance(problem, apsw.FullError):
            return Unavailable("the disk is full; nothing was changed")
        kinds = (apsw.IOError, apsw.BusyError, apsw.LockedError, apsw.ReadOnlyError, apsw.CantOpenError,
                 apsw.CorruptError, apsw.NotADBError)  # fmt: skip
        if isinstance(problem, kinds):
            return Unavailable(f"the database cannot be written: {problem}; nothing was changed")
        return None

    def overtaken(self, problem: BaseException) -> bool:  # noqa: ARG002 (one writer at a time)
        """Never: whoever writes has the database to themselves."""
        return False


class SqliteEar:
    """Hears commits of other connections: the pragma costs 2.5 us, so it is polled."""

    poll_seconds = 0.02

    def __init__(self, session: SqliteSession) -> None:
        self._session = session
        self._last = session.data_version()

    def heard(self) -> bool:
        """Say whether anything was committed since the last call."""
        version = self._session.data_version()
        changed, self._last = version != self._last, version
        return changed

    def close(self) -> None:
        self._session.close()


@cache
def _rows_of(sql: str, columns: tuple[str, ...]) -> str:
    """Turn `INSERT … VALUES (:a, 0, :b)` into one of `LOADED` rows, whose parameters have no names."""
    parts = values_of(sql)
    if parts is None or parts[2] != columns:
        raise ValueError("rows are loaded by INSERT … VALUES with the names as the columns")
    row = re.sub(r":\w+", "?", parts[1])
    return parts[0] + "VALUES " + ", ".join([f"({row})"] * LOADED) + parts[3]


def prepare(path: str) -> None:
    """Make the folder of a database file."""
    Path(path).resolve().parent.mkdir(parents=True, exist_ok=True)
