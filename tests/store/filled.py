"""A database with rows in every table, whatever tables there are, and all that it holds to compare."""

import random
import re
from collections.abc import Sequence
from contextlib import closing
from graphlib import TopologicalSorter
from typing import Any

from tidings.store.copying import APART
from tidings.store.places import PostgresPlace, SqlitePlace, Table

_CHOICE = re.compile(r"(\w+) (?:TEXT|BIGINT) NOT NULL(?: DEFAULT \S+)?\s+CHECK \(\w+ IN\s+\(([^)]*)\)")
# Of these exactly one is filled in, where a table has several.
_ONE_OF = ("form_id", "sequence_id", "tag_id")
TEXTS = (
    *("", "plain", "tab\there", "line\nbreak\r\n", "back\\slash \\N \\.", "Zoë 🎉"),
    *("'quoted' \"twice\"", "{}%s"),
)
BLOBS = (b"", b"\x00\xff\\x00", b"From: a\r\n\r\n\xe9" * 50)


def place(url: str) -> SqlitePlace | PostgresPlace:
    path = url.removeprefix("sqlite:///")
    return PostgresPlace(url) if path == url else SqlitePlace(path)


def fill(
    path: str, n: int = 3, texts: Sequence[str] = TEXTS, blobs: Sequence[bytes] = BLOBS, seed: int = 1
) -> None:
    """Put n rows into every table of an SQLite file; what varies is taken from the values given."""
    chance = random.Random(seed)
    with closing(SqlitePlace(path)) as there:
        tables = there.tables()
        schema = dict(there.fetch("SELECT name, sql FROM sqlite_master WHERE type = 'table'", {}))
        order = TopologicalSorter({name: one.parents - {name} for name, one in tables.items()}).static_order()
        there.begin()
        for name in order:
            if name != APART:
                notnull = {row[0] for row in there.fetch(_NOT_NULL, {"name": name})}
                rows = [
                    _row(tables[name], schema[name], notnull, at, chance, texts, blobs)
                    for at in range(1, n + 1)
                ]
                there.write(tables[name], rows)
        there.commit()


_NOT_NULL = 'SELECT name FROM pragma_table_info(:name) WHERE "notnull" = 1 OR pk > 0'


def _row(
    table: Table,
    schema: str,
    notnull: set[str],
    at: int,
    chance: random.Random,
    texts: Sequence[str],
    blobs: Sequence[bytes],
) -> tuple[Any, ...]:
    found_choices = _CHOICE.findall(schema)
    choices = {name: [one.strip(" '\n") for one in given.split(",")] for name, given in found_choices}
    whole = "account_id = 0" in schema
    found: list[Any] = []
    for column, kind in zip(table.columns, table.types, strict=True):
        value: Any
        if column == "account_id":
            # Accounts are as many as rows; all else belongs to the first.
            value = 0 if whole else at if table.key == ("account_id",) else 1
        elif column in _ONE_OF and "CASE WHEN" in schema and column not in notnull:
            value = at if column == "tag_id" else None
        elif column in choices:
            value = choices[column][at % len(choices[column])]
        elif kind in ("bigint", "integer"):
            value = at if column in notnull or chance.random() < 0.6 else None
        elif kind == "blob":
            value = chance.choice(blobs)
        elif column not in notnull and chance.random() < 0.4:
            value = None
        else:
            # Some texts are unique by their table.
            value = f"{at}{chance.choice(texts)}"
        found.append(value)
    return tuple(found)


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table but that of the migrations, columns and rows in a fixed order."""
    with closing(place(url)) as there:
        found = {}
        for name, one in there.tables().items():
            if name != APART:
                order = sorted(range(len(one.columns)), key=one.columns.__getitem__)
                found[name] = sorted((tuple(row[at] for at in order) for row in there.rows(one)), key=repr)
        return found
