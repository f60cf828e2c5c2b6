"""What every test may ask for: a database of each kind, a clock that stands, the cast.

A fresh database is a copy of one that was migrated once per session: a file on SQLite, a
template on PostgreSQL.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.core.cast import Cast, Clock, Owner, engage
from tests.setup import postgres, profiles
from tests.setup.strict_skips import pytest_make_collect_report, pytest_runtest_makereport
from tidings.core import accounts
from tidings.store import migrate
from tidings.store.db import Database

__all__ = ["profiles", "pytest_make_collect_report", "pytest_runtest_makereport"]

KINDS = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "migrated.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_template() -> Iterator[str]:
    dsn = postgres.fresh_database(postgres.shared_server())
    _migrate(dsn)
    yield postgres.database_name(dsn)
    postgres.drop_database(dsn)


def _migrate(url: str) -> None:
    db = Database(url)
    try:
        migrate.migrate(db)
    finally:
        db.close()


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_file: Path) -> str:
    """A migrated SQLite file of this test's own."""
    path = tmp_path / "tidings.db"
    shutil.copyfile(migrated_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(migrated_template: str) -> Iterator[str]:
    """A migrated PostgreSQL database of this test's own."""
    dsn = postgres.fresh_database(postgres.shared_server(), template=migrated_template)
    yield dsn
    postgres.drop_database(dsn)


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> str:
    """A migrated database, once of each kind."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tidings.db'}"
        return
    dsn = postgres.fresh_database(postgres.shared_server())
    yield dsn
    postgres.drop_database(dsn)


@pytest.fixture
def open_db(url: str, clock: Clock) -> Iterator[Callable[[], Database]]:
    """Open one more `Database` on this test's database, as another process would."""
    opened: list[Database] = []

    def another() -> Database:
        opened.append(Database(url, clock=clock))
        return opened[-1]

    yield another
    for one in opened:
        one.close()


@pytest.fixture
def db(open_db: Callable[[], Database]) -> Database:
    """A migrated, empty database with the clock of `clock`, once of each kind."""
    return open_db()


@pytest.fixture
def cast(db: Database) -> Cast:
    return db.write_now(accounts.INSTALLATION, engage)


@pytest.fixture
def ada(cast: Cast) -> Owner:
    return cast.ada
