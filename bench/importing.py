"""`python -m bench.importing [--rows N] [--database sqlite|postgresql …]`: a file in, and out again.

People with two custom fields and two tags in a shuffled order, beside three limits measured in the same
run: the file read alone, the same rows into one bare staging table, and the longest that a slice held
the writer. Then the export. Everything stays in a temporary folder. The CPU is that of the importing process
and of its reading one, without PostgreSQL's.
"""

import argparse
import csv
import io
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.setup import postgres
from tidings.core import accounts, importing
from tidings.moving import course, outward
from tidings.moving.course import Opened, Wishes
from tidings.moving.outward import Wanted
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Tx

STAGED = 2_000
REST = ("one, two", "Snow", "Bremen")
COLUMNS = ("n", "email", "first_name", "fields", "tags")
_STAGE = (
    "INSERT INTO staged (n, email, first_name, fields, tags) VALUES (:n, :email, :first_name, :fields, :tags)"
)
_TABLE = (
    "CREATE TEMP TABLE IF NOT EXISTS staged (n BIGINT, email TEXT, first_name TEXT, fields TEXT, tags TEXT)"
)


def main() -> int:
    """Print a line for each database."""
    parser = argparse.ArgumentParser(prog="bench.importing", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database", nargs="*", default=["sqlite", "postgresql"])
    chosen = parser.parse_args()
    print(
        "| database | rows | import | CPU a row: writing, reading | file read alone | bare staging |"
        " longest slice | export |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kind in chosen.database:
        with tempfile.TemporaryDirectory() as folder:
            _measure(kind, chosen.rows, Path(folder))
    return 0


def _measure(kind: str, rows: int, folder: Path) -> None:
    url = f"sqlite:///{folder}/bench.db"
    if kind != "sqlite":
        url = postgres.fresh_database(postgres.shared_server())
    path = folder / "people.csv"
    _write(path, rows)
    db = Database(url, pepper=b"bench" * 8)
    try:
        migrate.migrate(db)
        account = db.write_now(0, accounts.create, "Bench", "bench@example.com").account_id
        wishes = Wishes(create_fields=True)
        file = course.opened(str(path), wishes)
        read = _timed(lambda: course.trial(db, account, file, wishes, lambda *_: None))
        staged = _timed(lambda: _stage(db, account, rows))
        longest = [0.0]
        before = _cpu()
        took = _timed(lambda: _run(db, account, file, wishes, longest))
        spent = [1e6 * (now - then) / rows for now, then in zip(_cpu(), before, strict=True)]
        out = _timed(lambda: outward.as_csv(db, account, Wanted(), io.StringIO()))
    finally:
        db.close()
        if kind != "sqlite":
            postgres.drop_database(url)
    print(
        f"| {kind} | {rows:,} | {rows / took:,.0f}/s | {spent[0]:.1f}, {spent[1]:.1f} us |"
        f" {rows / read:,.0f}/s | {rows / staged:,.0f}/s |"
        f" {longest[0] * 1_000:.0f} ms | {rows / out:,.0f}/s |",
        flush=True,
    )


def _write(path: Path, rows: int) -> None:
    order = list(range(rows))
    random.Random(1).shuffle(order)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["email", "first_name", "created_at", "tags", "Last name", "City"])
        writer.writerows(
            (f"person{n}@example.com", "Person", f"{2015 + n % 10}-0{1 + n % 9}-11 10:00", *REST)
            for n in order
        )


def _run(db: Database, account: int, file: Opened, wishes: Wishes, longest: list[float]) -> None:
    take = importing.take

    def timed(*args: object, **options: object) -> object:
        began = time.perf_counter()
        try:
            return take(*args, **options)  # type: ignore[arg-type]
        finally:
            longest[0] = max(longest[0], time.perf_counter() - began)

    importing.take = timed  # type: ignore[assignment]
    try:
        course.run(db, account, file, wishes, lambda *_: None)
    finally:
        importing.take = take


def _stage(db: Database, account: int, rows: int) -> None:
    """Load the same number of rows of five columns into a temporary table, in slices."""

    def load(tx: Tx, at: int) -> None:
        tx.run(_TABLE)
        people = [
            (n, f"person{n}@example.com", "Person", '{"1":"Snow","2":"Bremen"}', "one, two")
            for n in range(at, min(at + STAGED, rows))
        ]
        tx.load(_STAGE, COLUMNS, people)

    for at in range(0, rows, STAGED):
        db.write_now(account, load, at)


def _cpu() -> tuple[float, float]:
    """Return the seconds of CPU that this process and its children that ended have had."""
    return tuple(  # type: ignore[return-value]
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
