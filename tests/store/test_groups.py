"""Group commit: answered after the commit, undone alone, all or nothing on a bad disk."""

import asyncio
import threading
from collections import Counter
from typing import Any

import apsw
import psycopg
import pytest

from tests.store.notes import collect, fail, in_one_group, make_tables, note, note_and_fail, notes, tally
from tidings.errors import Invalid, Problem, Unavailable
from tidings.store.aside import apart
from tidings.store.db import GROUP_MAX, Database
from tidings.store.tx import Tx


@pytest.fixture(autouse=True)
def _tables(db: Database) -> None:
    make_tables(db)


def writing_session(db: Database) -> Any:
    return db._writer._writer


def is_sqlite(db: Database) -> bool:
    return not db.shared


class Commits:
    """Counts the commits of a database's writer."""

    def __init__(self, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        session = writing_session(db)
        commit = session.commit

        def counted() -> None:
            commit()
            self.count += 1

        monkeypatch.setattr(session, "commit", counted)


def test_a_caller_is_answered_only_after_the_commit(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    session, at_commit, may_commit = writing_session(db), threading.Event(), threading.Event()
    commit = session.commit

    def slow_commit() -> None:
        at_commit.set()
        assert apart(lambda: may_commit.wait(30))
        commit()

    monkeypatch.setattr(session, "commit", slow_commit)

    async def check() -> None:
        waiting = asyncio.ensure_future(db.write(0, note, 1))
        await asyncio.to_thread(at_commit.wait, 30)
        # The verb has long run; many turns of the loop later its caller still waits.
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert notes(db) == []
        may_commit.set()
        assert await waiting == 1
        assert notes(db) == [1]

    asyncio.run(check())


def test_verbs_that_wait_together_share_one_commit(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = Commits(db, monkeypatch)
    results = asyncio.run(in_one_group(db, *((note, n) for n in range(GROUP_MAX))))
    assert results == list(range(GROUP_MAX))
    assert notes(db) == list(range(GROUP_MAX))
    assert tally(db) == GROUP_MAX
    assert commits.count == 1


@pytest.mark.parametrize("problem", (Invalid("n", "is odd"), ZeroDivisionError("ours")))
def test_a_verb_that_raises_after_writing_is_undone_alone_with_what_it_collected(
    db: Database, problem: Exception
) -> None:
    results = asyncio.run(in_one_group(db, (note, 1), (note_and_fail, 2, problem), (collect, 3), (note, 4)))
    assert results[0] == 1
    assert results[1] is problem
    assert results[2:] == [3, 4]
    assert notes(db) == [1, 3, 4]
    assert tally(db) == 2


@pytest.mark.parametrize("problem", (Invalid("n", "is odd"), ZeroDivisionError("ours")))
def test_a_verb_that_raises_before_writing_loses_what_it_collected(db: Database, problem: Exception) -> None:
    results = asyncio.run(in_one_group(db, (note, 1), (fail, problem), (note, 2)))
    assert results == [1, problem, 2]
    assert notes(db) == [1, 2]
    assert tally(db) == 2


def test_a_refusal_before_the_first_write_leaves_its_group_standing(db: Database) -> None:
    runs: Counter[str] = Counter()

    def counted(tx: Tx, name: str, problem: Exception | None) -> None:
        runs[name] += 1
        if problem is not None:
            raise problem
        note(tx, runs.total())

    asyncio.run(in_one_group(db, (counted, "good", None), (counted, "refused", Problem("no"))))
    assert runs == {"good": 1, "refused": 1}
    assert len(notes(db)) == 1


def test_any_other_error_makes_the_members_run_again(db: Database) -> None:
    runs: Counter[str] = Counter()

    def counted(tx: Tx, name: str, n: int, problem: Exception | None) -> None:
        runs[name] += 1
        note(tx, n)
        if problem is not None:
            raise problem

    results = asyncio.run(in_one_group(db, (counted, "good", 1, None), (counted, "bad", 2, KeyError("ours"))))
    assert [type(one) for one in results] == [type(None), KeyError]
    assert notes(db) == [1]
    assert runs == {"good": 2, "bad": 2}


def test_a_row_that_cannot_be_written_with_the_group_fails_its_own_verb_only(db: Database) -> None:
    results = asyncio.run(in_one_group(db, (note, 1), (collect, -5), (note, 2)))
    assert results[0] == 1
    assert isinstance(results[1], apsw.ConstraintError | psycopg.IntegrityError)
    assert results[2] == 2
    assert notes(db) == [1, 2]
    assert tally(db) == 2


def test_hundreds_of_writers_at_once_all_get_their_own_answer(db: Database) -> None:
    def raise_tally(tx: Tx, n: int) -> int:
        row = tx.one(
            "INSERT INTO tallies (name, n) VALUES ('all', 1)"
            " ON CONFLICT (name) DO UPDATE SET n = tallies.n + 1 RETURNING n"
        )
        assert row is not None
        if n % 10 == 0:
            raise Invalid("n", str(n))
        return n

    async def check() -> None:
        calls = [db.write(0, raise_tally, n) for n in range(600)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for n, answer in enumerate(answers):
            assert (str(answer) == f"n {n}") if n % 10 == 0 else answer == n

    asyncio.run(check())
    assert tally(db, "all") == 540


def test_a_caller_who_left_does_not_keep_the_others_from_their_answers(db: Database) -> None:
    async def check() -> None:
        leaving = asyncio.ensure_future(db.write(0, note, 1))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await db.write(0, note, 2) == 2

    asyncio.run(check())
    assert notes(db) == [1, 2]


def test_a_loop_that_was_closed_does_not_keep_its_write_from_being_made(db: Database) -> None:
    loop = asyncio.new_event_loop()
    db._take_turn()
    task = loop.create_task(db.write(0, note, 1))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    db._end_turn()
    db.write_now(0, note, 2)
    db.close()
    reopened = Database(db.url)
    try:
        assert notes(reopened) == [1, 2]
    finally:
        reopened.close()


def disk_full(db: Database) -> Exception:
    return apsw.FullError("database or disk is full") if is_sqlite(db) else psycopg.errors.DiskFull()


def test_a_full_disk_at_the_commit_fails_everybody_and_changes_nothing(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:

        def refuse() -> None:
            raise disk_full(db)

        broken.setattr(writing_session(db), "commit", refuse)
        results = asyncio.run(at_once(db, (note, 1), (collect, 2), (note, 3)))
        assert [type(one) for one in results] == [Unavailable] * 3
        assert "disk is full" in str(results[0])
    assert notes(db) == []
    assert tally(db) == 0
    assert db.write_now(0, note, 4) == 4
    assert notes(db) == [4]


async def at_once(db: Database, *calls: Any) -> list[Any]:
    return list(await asyncio.gather(*(db.write(0, *call) for call in calls), return_exceptions=True))


def test_a_disk_that_fills_while_a_verb_writes_fails_its_whole_group(db: Database) -> None:
    if not is_sqlite(db):
        pytest.skip("does not apply: only SQLite can be given a small disk from inside")
    session = writing_session(db)
    pages = session.fetch("PRAGMA page_count", {})[0][0]
    session.fetch(f"PRAGMA max_page_count = {pages + 2}", {})
    results = asyncio.run(in_one_group(db, (note, 1), (note, 2, "x" * 1_000_000), (note, 3)))
    assert [type(one) for one in results] == [Unavailable] * 3
    assert notes(db) == []
    session.fetch("PRAGMA max_page_count = 1000000", {})
    assert db.write_now(0, note, 2, "x" * 1_000_000) == 2
    assert notes(db) == [2]


def test_what_waits_when_the_database_is_closed_is_still_written(db: Database) -> None:
    async def check() -> None:
        waiting = [asyncio.ensure_future(db.write(0, note, n)) for n in range(50)]
        await asyncio.sleep(0)
        await asyncio.to_thread(db.close)
        assert await asyncio.gather(*waiting) == list(range(50))

    asyncio.run(check())


def test_a_write_after_the_close_is_refused_and_does_not_wait_for_ever(db: Database) -> None:
    async def check() -> None:
        await db.write(0, note, 1)
        await asyncio.to_thread(db.close)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(db.write(0, note, 2), 10)

    asyncio.run(check())


def test_more_waiting_writes_than_the_limit_are_refused(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidings.store.db.WAITING_MAX", 3)
    results = asyncio.run(in_one_group(db, *((note, n) for n in range(5))))
    assert results[:3] == [0, 1, 2]
    assert [type(one) for one in results[3:]] == [Unavailable] * 2
    assert notes(db) == [0, 1, 2]
