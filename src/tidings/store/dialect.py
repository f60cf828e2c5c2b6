"""All that differs between SQLite and PostgreSQL, but for how each is driven.

SQL is written once, with `:name` parameters and a few marks in braces. `Dialect.text`
turns it into what the database takes; the result is kept, since the texts are constants.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import Any

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)")
_LITERAL = re.compile(r"('(?:[^']|'')*')")
_VALUES = re.compile(r"\bVALUES \(((?:[^()']|'[^']*')*)\)")
_CHANGES = re.compile(r"\b(?:INSERT|UPDATE|DELETE)\b")


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL text as the database takes it; `writes` is false for a plain SELECT.

    Where parameters are numbered, `pick` gives their values from those by name, in order.
    """

    text: str
    writes: bool
    pick: Callable[[dict[str, Any]], Sequence[Any]]


@dataclass(slots=True)
class Dialect:
    """`marks` are replaced in every text; `parameter` is `?` for numbered parameters, `%` for named.

    SQLite finds a name by going through all of them: 320 rows of six took 14 us a row, numbered 0.6.
    """

    name: str
    parameter: str
    marks: dict[str, str]
    _known: dict[str, Statement] = field(default_factory=dict)

    def statement(self, sql: str) -> Statement:
        """Return the statement for one SQL constant, translated at its first use."""
        known = self._known.get(sql)
        if known is None:
            text, names = self._translated(sql)
            known = self._known[sql] = Statement(text, _writes(sql), _picker(names))
        return known

    def text(self, sql: str) -> str:
        """Translate marks and parameters; literals in quotes are left alone."""
        return self._translated(sql)[0]

    def _translated(self, sql: str) -> tuple[str, tuple[str, ...]]:
        """Translate; the names are in the order of their first appearance."""
        for mark, meaning in self.marks.items():
            sql = sql.replace(mark, meaning)
        numbered = self.parameter == "?"
        parts = _LITERAL.split(sql if numbered else sql.replace("%", "%%"))
        numbers: dict[str, int] = {}

        def put(found: re.Match[str]) -> str:
            number = numbers.setdefault(found[1], len(numbers) + 1)
            return f"?{number}" if numbered else f"%({found[1]})s"

        for at in range(0, len(parts), 2):
            parts[at] = _PARAMETER.sub(put, parts[at])
        return "".join(parts), tuple(numbers)


@cache
def values_of(sql: str) -> tuple[str, str, tuple[str, ...], str] | None:
    """Cut `INSERT … VALUES (:a, 0, :b) …` into its start, the values, their names in order, its end.

    None for any other statement, such as an UPDATE.
    """
    found = _VALUES.search(sql)
    if found is None:
        return None
    return sql[: found.start()], found[1], tuple(_PARAMETER.findall(found[1])), sql[found.end() :]


def in_order(sql: str, columns: Sequence[str]) -> bool:
    """Whether it inserts values that are named in the order of the columns, as a set can be."""
    parts = values_of(sql)
    if parts is not None and parts[2] != tuple(columns):
        raise ValueError("the columns are not in the order of VALUES")
    return parts is not None


def set_of(sql: str, types: Mapping[str, str]) -> str:
    """Turn `INSERT … VALUES (:a, 0, :b) …` into one that takes an array for each name (PostgreSQL)."""
    parts = values_of(sql)
    assert parts is not None  # noqa: S101 (see in_order)
    start, values, names, end = parts
    arrays = ", ".join(f"%s::{types[name]}[]" for name in names)
    chosen = _PARAMETER.sub(r"given.\1", values)
    return "".join((start, "SELECT ", chosen, f" FROM unnest({arrays}) AS given ({', '.join(names)})", end))


def _picker(names: tuple[str, ...]) -> Callable[[dict[str, Any]], Sequence[Any]]:
    if len(names) > 1:
        return itemgetter(*names)
    return (lambda params: (params[names[0]],)) if names else (lambda _: ())


def _writes(sql: str) -> bool:
    text = sql.lstrip().upper()
    if text.startswith("WITH"):
        return _CHANGES.search(text) is not None
    return not text.startswith("SELECT")


# An id is one sequence per table over all accounts, 64 bit, never given twice: hence
# AUTOINCREMENT, without which SQLite gives the id of a deleted last row again.
SQLITE = Dialect(
    name="sqlite",
    parameter="?",
    marks={
        "{id}": "id INTEGER PRIMARY KEY AUTOINCREMENT",
        "{key}": "UNIQUE (account_id, id)",
        "{clustered}": "WITHOUT ROWID",
        "{blob}": "BLOB",
        "{unlogged}": "",
        "{for_update}": "",
        "{for_key_share}": "",
        "{skip_locked}": "",
        "{until_commit}": "",
        "{on_sqlite}": "",
        "{on_postgresql}": "--",
    },
)

POSTGRES = Dialect(
    name="postgresql",
    parameter="%",
    marks={
        "{id}": "id BIGINT GENERATED BY DEFAULT AS IDENTITY",
        "{key}": "PRIMARY KEY (account_id, id)",
        "{clustered}": "",
        "{blob}": "BYTEA",
        "{unlogged}": "UNLOGGED",
        "{for_update}": "FOR UPDATE",
        "{for_key_share}": "FOR KEY SHARE",
        "{skip_locked}": "FOR UPDATE SKIP LOCKED",
        "{until_commit}": "ON COMMIT DELETE ROWS",
        "{on_sqlite}": "--",
        "{on_postgresql}": "",
    },
)
