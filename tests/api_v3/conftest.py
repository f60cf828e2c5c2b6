"""The two accounts of `world`, built once per session, as new for each test, on either database.

A new database costs PostgreSQL a third of a second, which a thousand tests cannot pay: each worker has
one, with a copy of the world beside the tables, and puts the rows back before each test.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.api_v3.client import Api
from tests.api_v3.world import START, build
from tests.core.cast import Clock
from tests.setup import postgres
from tidings.store.db import Database

KEPT = "world"


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture(scope="session")
def migrated_file(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that is not only migrated but holds the world."""
    path = tmp_path_factory.mktemp("world") / "world.db"
    shutil.copyfile(migrated_file, path)
    _build(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def putting_back(migrated_template: str) -> Iterator[tuple[str, str]]:
    """A PostgreSQL database with the world in it, and the SQL that puts its rows back."""
    dsn = postgres.fresh_database(postgres.shared_server(), template=migrated_template)
    _build(dsn)
    with psycopg.connect(dsn) as link:
        link.execute(f"CREATE SCHEMA {KEPT}")
        back = list(_keep(link))
    # Foreign keys are those of the rows that were kept: they have been checked.
    yield dsn, "; ".join(["SET session_replication_role = replica", *back])
    postgres.drop_database(dsn)


def _keep(link: psycopg.Connection) -> Iterator[str]:
    """Copy each table aside; yield what brings its rows, and the id after them, back."""
    tables = link.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    numbered = link.execute(
        "SELECT table_name, pg_get_serial_sequence(table_name, 'id') FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name = 'id' AND is_identity = 'YES'"
    ).fetchall()
    for (table,) in tables:
        link.execute(f"CREATE TABLE {KEPT}.{table} AS TABLE public.{table}")
        yield f"DELETE FROM public.{table}"  # noqa: S608 (our tables)
        yield f"INSERT INTO public.{table} SELECT * FROM {KEPT}.{table}"  # noqa: S608 (our tables)
    for table, sequence in numbered:
        yield (
            f"SELECT setval('{sequence}', (SELECT COALESCE(MAX(id), 0) + 1"  # noqa: S608 (our tables)
            f" FROM public.{table}), false)"
        )


@pytest.fixture
def postgres_url(putting_back: tuple[str, str]) -> str:
    dsn, back = putting_back
    with psycopg.connect(dsn) as link:
        link.execute(back)
    return dsn


def _build(url: str) -> None:
    clock = Clock(START)
    db = Database(url, clock=clock)
    try:
        build(db, clock)
    finally:
        db.close()


@pytest.fixture
def api(db: Database) -> Api:
    """The API without a rate limit, over a world of this test's own."""
    return Api(db)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the odd values on PostgreSQL, some 5 s for each call, to `make proof`."""
    for item in items:
        if item.name.startswith("test_odd_values_in_every_parameter") and "[postgres-" in item.name:
            item.add_marker(pytest.mark.long)
