"""How PostgreSQL is driven: psycopg 3, synchronous, prepared statements."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg.waiting import Ready, Wait

from tidings.errors import Unavailable
from tidings.store import aside
from tidings.store.dialect import POSTGRES, Dialect, in_order, set_of
from tidings.store.tx import Row
from tidings.store.waves import Asked

OLDEST = 130_000
CHANNEL = "tidings_work"
_SIMPLE_NAME = re.compile(r"[a-z_]+")
_TABLE = re.compile(r"INSERT INTO ([a-z_]+)")
# The name is looked up once: for each number it took longer than the number. OFFSET keeps it apart.
_TAKEN = (
    "SELECT nextval(series.name) AS number FROM (SELECT CAST(pg_get_serial_sequence(CAST(:name AS TEXT),"
    " 'id') AS regclass) AS name OFFSET 0) AS series, generate_series(1, CAST(:n AS BIGINT))"
)
_ENDS = f"SELECT MIN(number), MAX(number) FROM ({_TAKEN}) AS taken"  # noqa: S608 (a constant)
# Rows that go to COPY in one piece: some 100 kB.
_COPIED = 500
_ESCAPED = (
    ("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\1", "\t"), ("\2", "\n"),
    ("\3", "\\N"),
)  # fmt: skip


class Unsafe(Exception):
    """The server is configured so that acknowledged writes can be lost."""


class _Connection(psycopg.Connection[Any]):
    """A connection that waits for its socket in the event loop, where one drives us (see `aside`)."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None or not aside.driven():
            return super().wait(gen, interval=interval, timeout=timeout)
        fd = self.pgconn.socket
        try:
            wanted = next(gen)
            if wanted & Wait.W:
                # There is nearly always room to write: asking the loop first would be a turn of it.
                wanted = gen.send(Ready.W)
            while True:
                ready = aside.until_ready(fd, write=bool(wanted & Wait.W))
                wanted = gen.send(Ready.R if ready == "read" else Ready.W)
        except StopIteration as end:
            return end.value


class PostgresSession:
    """One connection. A verb cannot be undone alone: its group is run again without it."""

    dialect: Dialect = POSTGRES
    savepoints = False
    spares_reads = False

    def __init__(self, dsn: str, *, writer: bool) -> None:
        self._connection = _Connection.connect(
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
        self._sets: dict[str, str] = {}
        # Statements that nobody waits for, sent with the next that somebody does.
        self._due: list[tuple[str, list[str] | dict[str, Any] | None]] = []
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
        asked = Asked(sql, params)
        self.batch([asked])
        return asked.rows or []

    def change(self, sql: str, params: dict[str, Any]) -> int:
        asked = Asked(sql, params)
        self.batch([asked])
        return asked.changed

    def wrote(self, sql: str) -> bool:
        return self.dialect.statement(sql).writes

    def batch(self, asked: Sequence[Asked]) -> None:
        """Run several statements in one round trip; any failure fails them all."""
        while len(self._cursors) < len(asked):
            self._cursors.append(self._connection.cursor(binary=True))
        cursors = self._cursors[: len(asked)]
        if len(asked) == 1 and not self._due:
            cursors[0].execute(self.dialect.statement(asked[0].sql).text, asked[0].params)
        else:
            due, self._due = self._due, []
            with self._connection.pipeline():
                for text, params in due:
                    self._cursor.execute(text, params)
                for cursor, one in zip(cursors, asked, strict=True):
                    cursor.execute(self.dialect.statement(one.sql).text, one.params)
        for cursor, one in zip(cursors, asked, strict=True):
            one.rows = cursor.fetchall() if cursor.description else []
            one.changed = max(cursor.rowcount, 0)

    def many(self, sql: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert the rows by one statement, with the next round trip: 2 us a row, not 30."""
        if not in_order(sql, columns):
            one = self.dialect.statement(sql).text
            self._due += [(one, dict(zip(columns, row, strict=True))) for row in rows]
            return
        text = self._sets.get(sql)
        if text is None:
            text = self._sets[sql] = self._set(sql)
        self._due.append((text, [_array(column) for column in zip(*rows, strict=True)]))

    def load(self, sql: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Insert many rows at once by COPY, after what is due."""
        found = _TABLE.search(sql)
        if found is None:
            raise ValueError("rows are loaded by INSERT INTO")
        self.batch([])
        text = f"COPY {found[1]} ({', '.join(columns)}) FROM STDIN"
        with self._cursor.copy(text.encode()) as copy:
            for at in range(0, len(rows), _COPIED):
                copy.write(_copied(rows[at : at + _COPIED]))

    def fresh_ids(self, table: str, n: int) -> Sequence[int]:
        """Take so many numbers of the table's sequence, which gives none of them again."""
        ((first, last),) = self.fetch(_ENDS, {"name": table, "n": n})
        if last - first + 1 == n:
            return range(first, last + 1)
        # Somebody took numbers in between: those are given up.
        return sorted(row[0] for row in self.fetch(_TAKEN, {"name": table, "n": n}))

    def _set(self, sql: str) -> str:
        """Turn `INSERT … VALUES (:a, :b) …` into one that takes an array for each column."""
        found = _TABLE.search(sql)
        assert found is not None  # noqa: S101 (in_order has looked)
        types = dict(
            self._connection.execute(
                "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
                " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
                (found[1],),
            ).fetchall()
        )
        return set_of(sql, types)

    def script(self, sql: str) -> None:
        """Run the statements of a migration."""
        self.batch([])
        self._connection.execute(self.dialect.text(sql).replace("%%", "%").encode())

    def begin(self) -> None:
        """Begin with the next round trip."""
        if self._connection.closed:
            raise psycopg.OperationalError("the connection is closed")
        self._due = [("BEGIN", None)]

    def commit(self) -> None:
        """Send what is due and commit, in one round trip; a failure leaves the COMMIT undone."""
        due, self._due = self._due, []
        if len(due) == 1 and due[0][0] == "BEGIN":
            return
        if not due:
            self._cursor.execute("COMMIT")
            return
        with self._connection.pipeline():
            for text, params in [*due, ("COMMIT", None)]:
                self._cursor.execute(text, params)

    def rollback(self) -> None:
        self._due = []
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
        """Announce the group's commit, with the next round trip."""
        self._due.append((f"NOTIFY {CHANNEL}", None))

    def refresh_statistics(self) -> int:
        """Count the rows of grown tables for the planner (ANALYZE); returns how many tables."""
        grown = [
            row[0]
            for row in self._connection.execute(
                "SELECT relname FROM pg_stat_user_tables WHERE schemaname = current_schema()"
                " AND n_mod_since_analyze > 500 + 0.5 * n_live_tup"
            ).fetchall()
            if _SIMPLE_NAME.fullmatch(row[0])
        ]
        for table in grown:
            self._connection.execute(f"ANALYZE {table}".encode())
        return len(grown)

    def scrub(self, tables: Sequence[str]) -> bool:
        """Remove dead rows, and count anew: the planner's notes hold values, such as whole addresses.

        Always True: what an older snapshot still sees is left to the server's own vacuum.
        """
        for table in tables:
            if not _SIMPLE_NAME.fullmatch(table):
                raise ValueError("a table's name is lower-case letters and underscores")
            self._connection.execute(f"VACUUM (ANALYZE) {table}".encode())
        return True

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
        """Whether another process made or erased a row meanwhile: run again, the verb sees it."""
        return isinstance(problem, psycopg.errors.UniqueViolation | psycopg.errors.ForeignKeyViolation)


def _copied(rows: Sequence[Row]) -> str:
    """Write rows of integers and texts in the text format of COPY (PostgreSQL, "COPY").

    Signs that no text here holds stand for the separators until the rest is escaped, all at once: cell by
    cell it took twice as long.
    """
    text = "\2".join(
        "\1".join(["\3" if cell is None else cell if type(cell) is str else str(cell) for cell in row])
        for row in rows
    )
    if text.count("\1") != len(rows) * (len(rows[0]) - 1) or text.count("\2") != len(rows) - 1:
        raise ValueError("a text to be loaded holds U+0001 or U+0002")
    for sign, written in _ESCAPED:
        text = text.replace(sign, written)
    return text + "\n"


def _array(column: tuple[Any, ...]) -> str:
    """Write a column of integers or texts as an array literal (PostgreSQL 8.15.6)."""
    return "{" + ",".join(map(_element, column)) + "}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"a collected value is text or a whole number, not {type(value).__name__}")


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
