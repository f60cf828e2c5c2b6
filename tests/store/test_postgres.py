"""What only PostgreSQL has: lost connections that are ridden out, waves, NOTIFY, unsafe servers."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.core.cast import Clock
from tests.setup import postgres as server
from tests.store.notes import in_one_group, make_tables, note, notes
from tidings.errors import Unavailable
from tidings.store.db import Database
from tidings.store.postgres import Unsafe
from tidings.store.tx import Tx

pytestmark = pytest.mark.postgres


@pytest.fixture
def db(postgres_url: str, clock: Clock) -> Iterator[Database]:
    with closing(Database(postgres_url, clock=clock)) as db:
        make_tables(db)
        yield db


def terminate(db: Database) -> int:
    """End every connection of this database but the one that asks."""
    with psycopg.connect(db.url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return len(found)


def test_a_write_rides_out_a_lost_connection(db: Database) -> None:
    assert db.write_now(0, note, 1) == 1
    assert terminate(db) >= 1
    assert db.write_now(0, note, 2) == 2
    assert notes(db) == [1, 2]


def test_a_whole_group_rides_out_a_lost_connection(db: Database) -> None:
    async def check() -> None:
        await db.write(0, note, 0)
        terminate(db)
        assert await asyncio.gather(*(db.write(0, note, n) for n in range(1, 40))) == list(range(1, 40))

    asyncio.run(check())
    assert notes(db) == list(range(40))


def test_a_verb_whose_connection_is_lost_in_its_middle_is_run_again(db: Database) -> None:
    runs: list[int] = []

    def lose(tx: Tx, n: int) -> int:
        note(tx, n)
        runs.append(n)
        if len(runs) == 1:
            terminate(db)
        return note(tx, n + 100) - 100

    assert asyncio.run(in_one_group(db, (note, 1), (lose, 2), (note, 3))) == [1, 2, 3]
    assert notes(db) == [1, 2, 3, 102]
    assert runs == [2, 2]


def test_reads_ride_out_a_lost_connection(db: Database) -> None:
    async def ask() -> list[int]:
        return [row[0] for row in await db.read(0, lambda rx: rx.all("SELECT n FROM notes"))]

    db.write_now(0, note, 1)
    assert notes(db) == [1]
    assert asyncio.run(ask()) == [1]
    terminate(db)
    assert notes(db) == [1]
    terminate(db)
    assert asyncio.run(ask()) == [1]


def test_while_the_database_is_away_everybody_is_told_so(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[bool] = []
    opened = db.session

    def refuse(*, writer: bool) -> object:
        tries.append(writer)
        raise psycopg.OperationalError("connection refused")

    async def check() -> None:
        await db.write(0, note, 0)
        with monkeypatch.context() as away:
            away.setattr(db, "session", refuse)
            terminate(db)
            results = await asyncio.gather(
                *(db.write(0, note, n) for n in range(1, 30)), return_exceptions=True
            )
            assert {type(one) for one in results} == {Unavailable}
            with pytest.raises(Unavailable):
                await db.read(0, lambda rx: rx.one("SELECT 1"))
        assert db.session == opened
        assert await db.write(0, note, 100) == 100

    asyncio.run(check())
    assert notes(db) == [0, 100]
    # A group does not try anew for each of its members: callers would wait for hours.
    assert tries.count(True) < 10


def test_a_server_that_may_lose_writes_is_refused() -> None:
    directory = Path(tempfile.mkdtemp(prefix="tidings-unsafe-", dir="/tmp"))
    unsafe = server.Server(directory)
    try:
        unsafe.start(fsync="off")
        with pytest.raises(Unsafe, match="fsync=off"):
            Database(unsafe.dsn)
    finally:
        unsafe.stop("immediate")
        shutil.rmtree(directory)


def test_a_server_that_is_too_old_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidings.store.postgres.OLDEST", 10_000_000)
    with pytest.raises(Unsafe, match="13 or later is needed"):
        Database(postgres_url)


def test_an_ear_hears_what_another_connection_announces(db: Database) -> None:
    with closing(db.ear()) as ear:
        assert not ear.heard()
        db.write_now(0, note, 1)
        assert not ear.heard()

        def note_and_wake(tx: Tx) -> None:
            note(tx, 2)
            tx.wake()

        db.write_now(0, note_and_wake)
        heard = False
        while not heard:
            heard = ear.heard()
        assert not ear.heard()


def wait_for_the_other(tx: Tx, n: int) -> int:
    """Ask several times, so that the verbs of a wave take turns."""
    for _ in range(3):
        row = tx.one("SELECT CAST(:n AS BIGINT)", n=n)
        assert row is not None
        assert row[0] == n
    return note(tx, n)


def test_the_verbs_of_a_wave_get_their_own_answers(db: Database) -> None:
    async def check() -> None:
        calls = (db.write_sorted(f"key{n % 37}", 0, wait_for_the_other, n) for n in range(100))
        assert await asyncio.gather(*calls) == list(range(100))

    asyncio.run(check())
    assert notes(db) == list(range(100))


def test_a_verb_that_fails_in_a_wave_fails_alone(db: Database) -> None:
    def ask_and_fail(tx: Tx, n: int) -> int:
        wait_for_the_other(tx, n)
        if n % 5 == 0:
            raise KeyError(n)
        # Every tenth number is already there: the database itself refuses.
        return note(tx, n - n % 10 + 1) if n % 10 == 3 else n

    async def check() -> None:
        calls = [db.write_sorted(f"key{n}", 0, ask_and_fail, n) for n in range(40)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        for n, result in enumerate(results):
            if n % 5 == 0:
                assert isinstance(result, KeyError)
            elif n % 10 == 3:
                assert isinstance(result, psycopg.errors.UniqueViolation)
            else:
                assert result == n

    asyncio.run(check())
    assert notes(db) == [n for n in range(40) if n % 5 and n % 10 != 3]
