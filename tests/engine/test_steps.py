"""The loop of sequences: what is due becomes rows, and an idle step writes nothing."""

import asyncio
from typing import Any

import pytest

from tests.core.cast import DAY, Cast, Clock, join, rows
from tidings.core import sequences
from tidings.core.sequences import SequenceEmail
from tidings.engine.steps import Steps
from tidings.store.db import Database


def run(steps: Steps) -> int:
    """Let the loop work until nothing is due; return how often it did something."""

    async def until_done() -> int:
        times = 0
        while await steps.step():
            times += 1
            assert times < 1_000
        return times

    return asyncio.run(until_done())


def test_a_sequence_of_three_emails_runs(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    words = [SequenceEmail(f"Email {n}", "<p>x</p>", n * DAY) for n in range(3)]
    db.write_now(ada.id, sequences.set_emails, ada.sequence, words)
    people = [join(db, ada, "sequence", ada.sequence, f"p{n}@example.com")[1].id for n in range(12)]
    for day in range(4):
        assert run(Steps(db, limit=5)) > 0 or day == 2
        clock.move(DAY)
    counts = rows(
        db,
        "SELECT subscriber_id, COUNT(*) FROM deliveries WHERE occasion LIKE 'sequence-email:%'"
        " GROUP BY subscriber_id ORDER BY subscriber_id",
    )
    assert counts == [(who, 3) for who in people]


def test_an_idle_step_writes_nothing(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    db.write_now(ada.id, sequences.set_emails, ada.sequence, [SequenceEmail("S", "<p>x</p>", DAY)])
    join(db, ada, "sequence", ada.sequence, "nia@example.com")
    assert run(Steps(db)) > 0

    async def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an idle step wrote")

    monkeypatch.setattr(db, "write", refuse)
    assert run(Steps(db)) == 0


def test_two_engines_step_at_once_and_nobody_is_mailed_twice(
    db: Database, cast: Cast, open_db: Any, clock: Clock
) -> None:
    ada = cast.ada
    words = [SequenceEmail("S", "<p>x</p>", 0), SequenceEmail("T", "<p>y</p>", 0)]
    db.write_now(ada.id, sequences.set_emails, ada.sequence, words)
    for n in range(60):
        join(db, ada, "sequence", ada.sequence, f"p{n}@example.com")
    other = open_db()

    async def both() -> None:
        async def work(steps: Steps) -> None:
            for _ in range(60):
                await steps.step()

        await asyncio.gather(work(Steps(db, limit=7)), work(Steps(other, limit=7)))

    asyncio.run(both())
    run(Steps(db))
    people = "SELECT COUNT(*), COUNT(DISTINCT subscriber_id) FROM deliveries WHERE lane = 'bulk'"
    assert rows(db, people) == [(120, 60)]
    told = "SELECT COUNT(*), COUNT(DISTINCT subscriber_id) FROM events WHERE name = 'course_complete'"
    assert rows(db, told) == [(60, 60)]
