"""The two kinds of database as something to copy from and to: its tables, their rows, their numbers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import psycopg

from tidings.errors import Conflict
from tidings.store import snapshot
from tidings.store.tx import Row

_NAME = re.compile(r"[a-z_][a-z_0-9]*")
_ESCAPED = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the schema has it; `parents` are those it refers to, `numbered` one with ids of its own."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    key: tuple[str, ...]
    parents: frozenset[str]

    @property
    def numbered(self) -> bool:
        return "id" in self.columns


class SqlitePlace:
    """An SQLite file. What is written to it must be thrown away unless `commit` ended well."""

    shared = False

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection = snapshot.reading(path)

    def pin(self) -> None:
        """See from now on what there is now."""
        self._connection.execute("BEGIN")
        self.fetch("SELECT COUNT(*) FROM sqlite_master", {})

    def fetch(self, sql: str, params: dict[str, Any]) -> list[Row]:
        return self._connection.execute(sql, params).fetchall()

    def has_table(self, name: str) -> bool:
        sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"
        return bool(self.fetch(sql, {"name": name}))

    def tables(self) -> dict[str, Table]:
        """Return every table but SQLite's own, by name."""
        found = {}
        for (name,) in self.fetch(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'", {}
        ):
            columns = self.fetch(_COLUMNS_OF_FILE, {"name": name})
            parents = self.fetch(_PARENTS_OF_FILE, {"name": name})
            key = sorted((pk, column) for column, _, pk in columns if pk)
            found[name] = _table(name, columns, [column for _, column in key], [one for (one,) in parents])
        return found

    def count(self, one: Table) -> int:
        table = one.name
        return int(self.fetch(f"SELECT COUNT(*) FROM {table}", {})[0][0])  # noqa: S608 (see _table)

    def rows(self, one: Table) -> Iterator[Row]:
        """Read a table from its beginning to its end."""
        table, columns = one.name, ", ".join(one.columns)
        try:
            yield from self._connection.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 (see _table)
        except UnicodeDecodeError as problem:
            raise Conflict(f"a text in {table} is not UTF-8; see: tidings check") from problem

    def highest(self, one: Table) -> int:
        """Return the highest id that was ever given."""
        found = self.fetch("SELECT seq FROM sqlite_sequence WHERE name = :name", {"name": one.name})
        return int(found[0][0]) if found else 0

    def begin(self) -> None:
        """Begin to write."""
        self._connection.close()
        self._connection = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READWRITE)
        run = self._connection.execute
        # The order is right, and the whole is looked at in the end; half a file is thrown away.
        run("PRAGMA foreign_keys = OFF")
        run("PRAGMA journal_mode = OFF").fetchall()
        run("PRAGMA synchronous = OFF")
        run("PRAGMA cache_size = -65536")
        run("BEGIN IMMEDIATE")

    def write(self, one: Table, rows: Sequence[Row]) -> None:
        table, columns = one.name, ", ".join(one.columns)
        marks = ", ".join("?" for _ in one.columns)
        self._connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608

    def move_past(self, one: Table, highest: int) -> None:
        """Let fresh ids come after `highest`."""
        names = {"name": one.name, "highest": highest}
        run = self._connection.execute
        run("UPDATE sqlite_sequence SET seq = max(seq, :highest) WHERE name = :name", names)
        if highest and not self._connection.changes():
            run("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :highest)", names)

    def commit(self) -> None:
        """End the writing; raises `Conflict` where a row refers to one that is not there."""
        broken = self._connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken:
            raise Conflict(f"a row of {broken[0]} refers to one of {broken[2]} that is not there")
        self._connection.execute("COMMIT")
        snapshot.seal(self._connection)

    def close(self) -> None:
        self._connection.close()


class PostgresPlace:
    """A PostgreSQL database: its current schema."""

    shared = True

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(
            dsn, autocommit=True, connect_timeout=10, application_name="tidings-copy"
        )

    def pin(self) -> None:
        """See from now on what there is now."""
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def fetch(self, sql: str, params: dict[str, Any]) -> list[Row]:
        return self._connection.execute(sql.encode(), params).fetchall()

    def has_table(self, name: str) -> bool:
        return self.fetch("SELECT to_regclass(%(name)s) IS NOT NULL", {"name": name})[0][0] is True

    def tables(self) -> dict[str, Table]:
        """Return every table of the schema, by name."""
        columns: dict[str, list[Row]] = {}
        for name, *column in self.fetch(_COLUMNS, {}):
            columns.setdefault(name, []).append(tuple(column))
        parents: dict[str, list[str]] = {}
        for name, parent in self.fetch(_PARENTS, {}):
            parents.setdefault(name, []).append(parent)
        keys: dict[str, list[str]] = {}
        for name, column in self.fetch(_KEYS, {}):
            keys.setdefault(name, []).append(column)
        return {
            name: _table(name, given, keys.get(name, []), parents.get(name, []))
            for name, given in columns.items()
            if _NAME.fullmatch(name)
        }

    def count(self, one: Table) -> int:
        table = one.name
        return int(self.fetch(f"SELECT COUNT(*) FROM {table}", {})[0][0])  # noqa: S608 (see _table)

    def rows(self, one: Table) -> Iterator[Row]:
        """Read a table from its beginning to its end, a row at a time."""
        table, columns = one.name, ", ".join(one.columns)
        order = f" ORDER BY {', '.join(one.key)}" if one.key else ""
        text = f"COPY (SELECT {columns} FROM {table}{order}) TO STDOUT (FORMAT BINARY)"  # noqa: S608
        with self._connection.cursor().copy(text.encode()) as copy:
            copy.set_types(list(one.types))
            yield from copy.rows()

    def highest(self, one: Table) -> int:
        """Return the highest id that was ever given."""
        return int(self.fetch(_HIGHEST, {"name": one.name})[0][0])

    def begin(self) -> None:
        """Begin to write."""
        self._connection.execute("BEGIN")

    def write(self, one: Table, rows: Sequence[Row]) -> None:
        table, columns = one.name, ", ".join(one.columns)
        cell = _cell if "blob" in one.types or "bytea" in one.types else _text_cell
        text = "".join(["\t".join(map(cell, row)) + "\n" for row in rows])
        if "\0" in text:
            raise Conflict(f"a text in {table} holds a NUL character, which PostgreSQL cannot keep")
        try:
            with self._connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                copy.write(text)
        except (psycopg.DataError, psycopg.IntegrityError) as problem:
            said = problem.diag.message_primary or type(problem).__name__
            raise Conflict(f"PostgreSQL refuses a row of {table}: {said}; see: tidings check") from problem

    def move_past(self, one: Table, highest: int) -> None:
        """Let fresh ids come after `highest`."""
        if highest:
            self.fetch(_MOVE, {"name": one.name, "highest": highest})

    def commit(self) -> None:
        """End the writing."""
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


def _table(name: str, columns: Sequence[Row], key: Sequence[str], parents: Sequence[str]) -> Table:
    """Build a table; its names go into SQL, so they must be plain."""
    names = tuple(str(row[0]) for row in columns)
    for one in (name, *names, *key):
        if not _NAME.fullmatch(one):
            raise Conflict("the database has a table that is none of ours")
    types = tuple(str(row[1]).lower() for row in columns)
    return Table(name, names, types, tuple(key), frozenset(parents))


def _text_cell(cell: object) -> str:
    """As `_cell`, where no column holds bytes."""
    if isinstance(cell, bytes):
        raise Conflict("a text in the database is kept as bytes; see: tidings check")
    return _cell(cell)


def _cell(cell: object) -> str:
    """Write a cell in the text format of COPY (PostgreSQL, "COPY", File Formats)."""
    if cell is None:
        return "\\N"
    if isinstance(cell, str):
        return cell.translate(_ESCAPED)
    if isinstance(cell, bytes):
        return "\\\\x" + cell.hex()
    return str(cell)


_COLUMNS_OF_FILE = "SELECT name, type, pk FROM pragma_table_info(:name) ORDER BY cid"
_PARENTS_OF_FILE = 'SELECT DISTINCT "table" FROM pragma_foreign_key_list(:name)'
_COLUMNS = (
    "SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_class AS c"
    " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname, a.attnum"
)
_PARENTS = (
    "SELECT DISTINCT c.relname, p.relname FROM pg_constraint AS f JOIN pg_class AS c ON c.oid = f.conrelid"
    " JOIN pg_class AS p ON p.oid = f.confrelid"
    " WHERE f.contype = 'f' AND c.relnamespace = current_schema()::regnamespace"
)
_KEYS = (
    "SELECT c.relname, a.attname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid"
    " CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)"
    " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum"
    " WHERE i.indisprimary AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname, k.place"
)
_SEQUENCE = "CAST(pg_get_serial_sequence(%(name)s, 'id') AS regclass)"
_HIGHEST = f"SELECT COALESCE(pg_sequence_last_value({_SEQUENCE}), 0)"
_MOVE = f"SELECT setval({_SEQUENCE}, GREATEST(%(highest)s, COALESCE(pg_sequence_last_value({_SEQUENCE}), 0)))"
