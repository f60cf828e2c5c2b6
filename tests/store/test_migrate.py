"""Migrations: once, by one process, wholly or not at all, and never over a newer database."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.migrate import Behind, Migration, Newer

ROOT = Path(__file__).parents[2]
# Migrates, after a line; `slow` plants a second migration that makes a table and then takes long.
MIGRATE = """
import sys
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.migrate import Migration

url, slow = sys.argv[1], sys.argv[2]
if slow:
    known = migrate.known()
    migrate.known = lambda: [*known, Migration(known[-1].number + 1, "slow", slow)]
db = Database(url)
print("begins", flush=True)
migrate.migrate(db, lambda line: print(line, flush=True))
print("done", flush=True)
"""
SLOW = {
    True: "CREATE TABLE half (n BIGINT);\nINSERT INTO half (n) WITH RECURSIVE c (n) AS"
    " (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c WHERE n < 0",
    False: "CREATE TABLE half (n BIGINT);\nSELECT pg_sleep(600)",
}


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    with closing(Database(empty_url)) as db:
        yield db


def tables(db: Database) -> list[str]:
    session = db.session(writer=False)
    with closing(session):
        return [name for name in ("migrations", "subscribers", "counters", "half") if session.has_table(name)]


def done(db: Database) -> list[int]:
    return [row[0] for row in db.read_now(0, lambda rx: rx.all("SELECT number FROM migrations ORDER BY 1"))]


def start(url: str, slow: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MIGRATE, url, slow],
        cwd=ROOT / "src",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_migrating_twice_changes_nothing(empty: Database) -> None:
    said: list[str] = []
    assert migrate.migrate(empty, said.append) == len(migrate.known())
    assert said[0] == "0001 core"
    assert tables(empty) == ["migrations", "subscribers", "counters"]
    assert migrate.migrate(empty, said.append) == 0
    assert len(said) == len(migrate.known())
    migrate.check(empty)


def test_an_empty_database_is_behind(empty: Database) -> None:
    with pytest.raises(Behind, match=r"^the database is not migrated yet; run: tidings migrate$"):
        migrate.check(empty)


def test_a_database_without_the_newest_migration_is_behind(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.migrate(empty)
    monkeypatch.setattr(migrate, "known", with_one_more("CREATE TABLE half (n BIGINT)"))
    with pytest.raises(Behind):
        migrate.check(empty)
    assert migrate.migrate(empty) == 1
    migrate.check(empty)


def with_one_more(sql: str) -> Callable[[], list[Migration]]:
    known = migrate.known()
    more = Migration(known[-1].number + 1, "more", sql)
    return lambda: [*known, more]


def test_a_newer_database_is_refused_in_plain_words(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    number = migrate.known()[-1].number
    with monkeypatch.context() as later:
        later.setattr(migrate, "known", with_one_more("CREATE TABLE half (n BIGINT)"))
        migrate.migrate(empty)
    words = (
        f"this database was written by a later version of Tidings (its migration {number + 1}, "
        f"this version knows {number}); install that version or later"
    )
    for refused in (migrate.check, migrate.migrate):
        with pytest.raises(Newer) as problem:
            refused(empty)
        assert str(problem.value) == words


def test_a_migration_that_fails_leaves_nothing_behind(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.migrate(empty)
    with monkeypatch.context() as broken:
        broken.setattr(
            migrate, "known", with_one_more("CREATE TABLE half (n BIGINT);\nINSERT INTO nowhere VALUES (1)")
        )
        with pytest.raises(Exception, match="nowhere"):
            migrate.migrate(empty)
    assert "half" not in tables(empty)
    assert done(empty) == [one.number for one in migrate.known()]
    migrate.check(empty)


def test_two_processes_migrate_one_database_once(empty: Database, empty_url: str) -> None:
    both = [start(empty_url), start(empty_url)]
    ends = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], ends
    said = [line for out, _ in ends for line in out.splitlines() if line[:4].isdigit()]
    # They may share them between each other; each runs once.
    assert sorted(said) == [f"{one.number:04d} {one.name}" for one in migrate.known()]
    migrate.check(empty)


@pytest.mark.long
def test_a_killed_migration_is_as_if_not_begun_and_can_be_run_again(empty: Database, empty_url: str) -> None:
    migrate.migrate(empty)
    killed = start(empty_url, SLOW[not empty.shared])
    assert killed.stdout is not None
    assert killed.stdout.readline() == "begins\n"
    wait_until_it_holds_the_lock(empty)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    if empty.shared:
        end_sleepers(empty)
    assert "half" not in tables(empty)
    assert done(empty) == [one.number for one in migrate.known()]
    again = start(empty_url, "CREATE TABLE half (n BIGINT)")
    out, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert out.splitlines()[1].endswith(" slow")
    assert "half" in tables(empty)


def wait_until_it_holds_the_lock(db: Database) -> None:
    waits = threading.Event()
    for _ in range(600):
        if _is_migrating(db):
            return
        waits.wait(0.05)
    pytest.fail("the migration did not begin")


def _is_migrating(db: Database) -> bool:
    session = db.session(writer=not db.shared)
    with closing(session):
        if db.shared:
            busy = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%'"
            return bool(session.fetch(busy + " AND pid <> pg_backend_pid()", {})[0][0])
        # The file's write lock is free or taken; asked past the turnstile, without waiting.
        session._turnstile = None
        session._connection.set_busy_timeout(0)
        try:
            session.begin()
        except Exception as problem:
            if session.broken(problem):
                return True
            raise
        session.rollback()
        return False


def end_sleepers(db: Database) -> None:
    """The server notices a client's death at its next word: let it be said now."""
    session = db.session(writer=False)
    with closing(session):
        session.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%'"
            " AND pid <> pg_backend_pid()",
            {},
        )
        while session.fetch(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
            {},
        ):
            threading.Event().wait(0.05)


def test_migrations_are_numbered_without_gaps() -> None:
    assert [one.number for one in migrate.known()] == list(range(1, len(migrate.known()) + 1))
