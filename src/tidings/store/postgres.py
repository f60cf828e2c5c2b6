"""How PostgreSQL is driven: psycopg 3, synchronous, prepared statements."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from tidings.errors import Unavailable
from tidings.store.dialect import POSTGRES, Dialect
from tidings.store.tx import Row
from tidings.store.waves import Asked

OLDEST = 130_000
CHANNEL = "tidings_work"
_SIMPLE_NAME = re.compile(r"[a-z_]+")


class Unsafe(Exception):
    """The server is configured so that acknowledged writes can be lost."""


class PostgresSession:
    """One connection. A verb cannot be undone alone: its group is run again without it."""

    dialect: Dialect = POSTGRES
    savepoints = False
    spares_reads = False

    def __init__(self, dsn: str, *, writer: bool) -> None:
        self._connection = psycopg.connect(
            dsn, autocommit=True, prepare_threshold=1, connect_timeout=10, application_name="tidings"
        )
        # Every integer travels as int8: psycopg would choose int2, int4 or int8 by the
        # value, and each choice would be another prepared statement.
        self._connection.adapters.register_dumper(int, Int8Dumper)
        self._connection.adapters.register_dumper(int, Int8BinaryDumper)
        self._connection.prepared_max = 500
        # A statement prepared while its table is small keeps the plan made then, a sequential
        # scan, until the next ANALYZE: 1,000 sign-ups/s became 250. Every hot query has its index.
        self._connection.execute("SET enable_seqscan = off")
        self._cursor = self._connection.cursor(binary=True)
        self._cursors: list[psycopg.Cursor[Any]] = []
        if writer:
            self._check_durability()
        else:
            self._connection.execute("SET default_transaction_read_only = on")

    def _check_durability(self) -> None:
        if self._connection.info.server_version < OLDEST:
            raise Unsafe(f"PostgreSQL 13 or later is needed; this is {self.version()}")
        row = self._connection.execute("SHOW fsync").fetchone()
        if row and row[0] == "off":
            raise Unsafe(
                "this PostgreSQL runs with fsync=off and would lose acknowledged writes; switch it on"
            )

    def fetch(self, sql: str, params: dict[str, Any]) -> list[Row]:
        return self._cursor.execute(self.dialect.statement(sql).text, params).fetchall()

    def change(self, sql: str, params: dict[str, Any]) -> int:
        self._cursor.execute(self.dialect.statement(sql).text, params)
        return max(self._cursor.rowcount, 0)

    def wrote(self, sql: str) -> bool:
        return self.dialect.statement(sql).writes

    def batch(self, asked: Sequence[Asked]) -> None:
        """Run several statements in one round trip; any failure fails them all."""
        while len(self._cursors) < len(asked):
            self._cursors.append(self._connection.cursor(binary=True))
        cursors = self._cursors[: len(asked)]
        with self._connection.pipeline():
            for cursor, one in zip(cursors, asked, strict=True):
                cursor.execute(self.dialect.statement(one.sql).text, one.params)
        for cursor, one in zip(cursors, asked, strict=True):
            one.rows = cursor.fetchall() if cursor.description else []
            one.changed = max(cursor.rowcount, 0)

    def many(self, sql: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Run one statement for each row, in one round trip."""
        text = self.dialect.statement(sql).text
        self._cursor.executemany(text, [dict(zip(columns, row, strict=True)) for row in rows])

    def script(self, sql: str) -> None:
        """Run the statements of a migration."""
        self._connection.execute(self.dialect.text(sql).replace("%%", "%").encode())

    def begin(self) -> None:
        if self._connection.closed:
            raise psycopg.OperationalError("the connection is closed")
        self._cursor.execute("BEGIN")

    def commit(self) -> None:
        self._cursor.execute("COMMIT")

    def rollback(self) -> None:
        if not self._connection.closed:
            self._connection.rollback()

    def save(self) -> None:
        """No savepoints: each would cost two round trips, about 100 us."""

    def keep(self) -> None:
        """See `save`."""

    def undo(self) -> None:
        """See `save`."""

    def reading(self, question: Callable[[], Any]) -> Any:
        """Ask without a transaction: BEGIN and COMMIT would be two more round trips."""
        return question()

    def listen(self) -> "PostgresEar":
        return PostgresEar(self._connection)

    def notify(self) -> None:
        self._cursor.execute(f"NOTIFY {CHANNEL}")

    def move_sequence(self, table: str) -> None:
        """Move a table's id sequence past the largest id in it."""
        if not _SIMPLE_NAME.fullmatch(table):
            raise ValueError(table)
        self._cursor.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "  # noqa: S608 (a table of ours)
            f"GREATEST((SELECT MAX(id) FROM {table}), (SELECT last_value FROM {table}_id_seq)))"
        )

    def has_table(self, name: str) -> bool:
        return self.fetch("SELECT to_regclass(:name) IS NOT NULL", {"name": name})[0][0] is True

    def version(self) -> str:
        number = self._connection.info.server_version
        return f"PostgreSQL {number // 10_000}.{number % 10_000}"

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._connection.closed

    def lock(self, number: int) -> None:
        """Take an advisory lock that ends with the session."""
        self._connection.execute("SELECT pg_advisory_lock(%s)", (number,))

    def unlock(self, number: int) -> None:
        self._connection.execute("SELECT pg_advisory_unlock(%s)", (number,))

    def close(self) -> None:
        self._connection.close()

    def broken(self, problem: BaseException) -> Unavailable | None:
        """Return what a caller is told when the storage itself refuses, else None."""
        if isinstance(problem, psycopg.errors.DiskFull):
            return Unavailable("the disk is full; nothing was changed")
        if isinstance(problem, psycopg.OperationalError | psycopg.InterfaceError):
            return Unavailable("the database cannot be reached; try again shortly")
        return None

    def overtaken(self, problem: BaseException) -> bool:
        """Whether another process made the same row meanwhile: run again, the verb sees it."""
        return isinstance(problem, psycopg.errors.UniqueViolation)


class PostgresEar:
    """Hears NOTIFY on a connection of its own."""

    poll_seconds = 0.02

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection
        connection.execute(f"LISTEN {CHANNEL}")

    def heard(self) -> bool:
        """Say whether anything was announced since the last call."""
        return bool(list(self._connection.notifies(timeout=0)))

    def close(self) -> None:
        self._connection.close()
