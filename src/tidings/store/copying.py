"""Copying: every table of one database into another, empty one, whichever they are.

The tables, their columns and their order come from the schema itself, so that none can be forgotten.
All is read in one snapshot and written in one transaction: a kill leaves the target empty, and the copy
can be begun again.
"""

import contextlib
import graphlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tidings.errors import Conflict
from tidings.store import migrate
from tidings.store.places import PostgresPlace, SqlitePlace, Table
from tidings.store.tx import Row

# A slice is written at once: so many rows, or so many bytes of text, whichever comes first.
ROWS = 2_000
BYTES = 4_000_000
# It says which version the schema has: both sides have theirs.
APART = "migrations"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: rows of all tables, and the seconds left as the speed has been so far."""

    table: str
    done: int
    total: int
    left_s: float


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of a table, here and there."""

    table: str
    source: int
    target: int


Said = Callable[[Progress], None]


def quiet(_: Progress) -> None:
    """Say nothing."""


def copy(source: str, target: str, said: Said = quiet) -> list[Counted]:
    """Copy every row of the database `source` into `target`, both URLs; return the compared counts.

    Both must be of this version, and the target empty. Raises `Conflict` where that is not so, or where
    a value cannot be kept there.
    """
    with contextlib.closing(_place(source)) as here, contextlib.closing(_place(target)) as there:
        here.pin()
        _refuse_other_versions(here, there)
        tables = _in_order(here, there)
        there.begin()
        for one in tables:
            if there.count(one):
                raise Conflict(f"the target is not empty: there are rows in {one.name}")
        _copy_rows(here, there, tables, said)
        counted = [Counted(one.name, here.count(one), there.count(one)) for one in tables]
        for each in counted:
            if each.source != each.target:
                raise Conflict(f"{each.table} has {each.source} rows and {each.target} arrived")
        there.commit()
    return counted


def names(url: str) -> frozenset[str]:
    """Return the tables of a database."""
    with contextlib.closing(_place(url)) as there:
        return frozenset(there.tables())


def first_full(url: str) -> str | None:
    """Return a table that has rows, but for the one of the migrations; None for an empty database."""
    with contextlib.closing(_place(url)) as there:
        for name, one in sorted(there.tables().items()):
            if name != APART and there.count(one):
                return name
    return None


def _place(url: str) -> SqlitePlace | PostgresPlace:
    if url.startswith("sqlite:///"):
        return SqlitePlace(url.removeprefix("sqlite:///"))
    return PostgresPlace(url)


def _refuse_other_versions(here: SqlitePlace | PostgresPlace, there: SqlitePlace | PostgresPlace) -> None:
    known = {one.number for one in migrate.known()}
    for one in (here, there):
        if migrate.done(one) != known:
            raise Conflict("both databases must be of this version first; run: tidings migrate")


def _in_order(here: SqlitePlace | PostgresPlace, there: SqlitePlace | PostgresPlace) -> list[Table]:
    """Return the tables, those that others refer to first."""
    ours, theirs = here.tables(), there.tables()
    # A server may hold tables of others beside ours; a file holds ours alone.
    if not here.shared and (missing := sorted(ours.keys() - theirs.keys())):
        raise Conflict(f"the target has no table {', '.join(missing)}")
    names = (ours.keys() & theirs.keys()) - {APART}
    for name in names:
        if set(ours[name].columns) != set(theirs[name].columns):
            raise Conflict(f"the table {name} has other columns in the target")
    graph = {name: sorted(theirs[name].parents & names - {name}) for name in sorted(names)}
    # With the source's columns, so that both are asked in the same order.
    return [ours[name] for name in graphlib.TopologicalSorter(graph).static_order()]


def _copy_rows(
    here: SqlitePlace | PostgresPlace,
    there: SqlitePlace | PostgresPlace,
    tables: Sequence[Table],
    said: Said,
) -> None:
    total = sum(here.count(one) for one in tables)
    began, done = time.monotonic(), 0
    for one in tables:
        for rows in slices(here.rows(one)):
            there.write(one, rows)
            done += len(rows)
            gone_s = time.monotonic() - began
            said(Progress(one.name, done, total, gone_s / done * max(total - done, 0)))
        if one.numbered:
            there.move_past(one, here.highest(one))


def slices(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Gather rows into slices that memory bounds: a mail may have megabytes, a tag has none."""
    some: list[Row] = []
    size = 0
    for row in rows:
        some.append(row)
        size += sum(len(cell) for cell in row if isinstance(cell, str | bytes))
        if len(some) >= ROWS or size >= BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some
