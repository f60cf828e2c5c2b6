"""The scheduler: broadcasts begin when due, everybody gets a row, the finished ones are completed."""

import asyncio
from collections.abc import Callable

import pytest

from tests.core.cast import DAY, HOUR, Cast, Clock, Owner
from tests.core.ledger import TIMING, claim, draft, hand, look, people, send, settle, states
from tests.core.recount import recount
from tests.engine.test_sender import LINKS
from tidings.core import accounts, broadcasts
from tidings.core.broadcasts import Draft, course
from tidings.core.deliveries import Outcome
from tidings.engine import scheduler
from tidings.engine.desk import Desk
from tidings.engine.scheduler import Scheduler
from tidings.store.db import Database

PEOPLE = 4


@pytest.fixture
def ada(db: Database, cast: Cast) -> Owner:
    """Ada with Bea and three more active people, and nothing else waiting."""
    send(db, lane="now")
    people(db, cast.ada, PEOPLE - 1)
    return cast.ada


def steps(
    db: Database, n: int = 0, *, outbox: bool = False, asleep: Callable[[int], None] | None = None
) -> int:
    """Do so many steps of one scheduler, or (0) until nothing is left to do; return what they did."""

    async def work() -> int:
        desk = Desk(db, LINKS)
        one, done, did = Scheduler(db, desk, TIMING, outbox=outbox), 0, 0
        try:
            for at in range(n or 100):
                if asleep:
                    asleep(at)
                did = await one.step()
                done += did
                if not did and not n:
                    break
            else:
                assert n, "the scheduler never rests"
        finally:
            await desk.close()
        return done

    return asyncio.run(work())


def schedule(db: Database, owner: Owner, at: int | None = None, **words: str) -> int:
    made = draft(db, owner, **words)
    db.write_now(owner.id, course.schedule, made, at)
    return made


def test_a_broadcast_runs_from_its_time_to_its_end(db: Database, ada: Owner, clock: Clock) -> None:
    made = schedule(db, ada, clock.now + HOUR)
    assert steps(db) == 0
    assert look(db, ada, made).status == "scheduled"
    clock.move(HOUR)
    assert steps(db) > 0
    assert (look(db, ada, made).status, states(db, made)) == ("sending", {"queued": PEOPLE})
    send(db)
    assert steps(db) > 0
    assert look(db, ada, made).status == "completed"
    assert steps(db) == 0
    recount(db)


def test_an_idle_step_writes_nothing(db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule(db, ada, db.clock() + DAY)

    async def refuse(*_: object, **__: object) -> None:
        pytest.fail("an idle scheduler wrote")

    monkeypatch.setattr(db, "write", refuse)
    assert steps(db, 1) == 0


@pytest.mark.parametrize(
    ("words", "why"),
    (
        ({"subject": ""}, "no subject"),
        ({"content": ""}, "no content"),
        ({"content": "{% if x %}never closed"}, ""),
    ),
)
def test_what_cannot_be_sent_is_paused_with_the_reason_and_stops_nobody_else(
    db: Database, ada: Owner, words: dict[str, str], why: str
) -> None:
    broken, fine = schedule(db, ada, **words), schedule(db, ada)
    steps(db)
    found = look(db, ada, broken)
    assert found.paused_at is not None
    assert found.paused_why
    assert why in found.paused_why
    assert states(db, fine) == {"queued": PEOPLE}
    assert send(db) == PEOPLE
    steps(db)
    assert look(db, ada, fine).status == "completed"


def test_without_a_postal_address_it_waits_for_one(db: Database, cast: Cast) -> None:
    eve = cast.eve
    people(db, eve, 1)
    written = Draft(subject="Hello", content="<p>Hi</p>", send_at=db.clock())
    made = db.write_now(eve.id, broadcasts.create, written, "eve@example.com").id
    steps(db)
    assert "postal address" in str(look(db, eve, made).paused_why)
    db.write_now(eve.id, accounts.describe, postal_address="1 Main Street, Bern")
    db.write_now(eve.id, course.resume, made)
    steps(db)
    assert states(db, made) == {"queued": 1}


def test_what_silent_workers_held_is_taken_back(db: Database, ada: Owner, clock: Clock) -> None:
    made = schedule(db, ada)
    steps(db)
    hand(db, claim(db, limit=1))
    claim(db, limit=1)
    clock.move(TIMING.lease_ms)
    steps(db)
    assert states(db, made) == {"queued": PEOPLE - 1, "deferred": 1}


def test_a_cancelled_broadcast_comes_to_its_end_by_itself(
    db: Database, ada: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "SLICE", 2)
    made = schedule(db, ada)
    steps(db)
    going = hand(db, claim(db, limit=1))
    settle(db, Outcome(going[0], "deferred", "451", clock.now + HOUR))
    db.write_now(ada.id, course.cancel, made)
    steps(db)
    assert states(db, made) == {"suppressed": PEOPLE}
    assert look(db, ada, made).status == "completed"


def test_a_killed_scheduler_is_followed_by_one_that_goes_on(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "SLICE", 1)
    monkeypatch.setattr(course.fan_out, "__defaults__", (1,))
    made = schedule(db, ada)
    for n in range(1, 20):
        steps(db, 1)
        assert states(db, made).total() <= n
    assert states(db, made) == {"queued": PEOPLE}
    assert look(db, ada, made).recipients == PEOPLE


def test_a_machine_that_slept_holds_what_was_due_meanwhile(
    db: Database, ada: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = schedule(db, ada)
    steps(db)
    soon = schedule(db, ada, clock.now + HOUR)
    since_boot = [1_000.0]
    monkeypatch.setattr(scheduler, "since_boot_s", lambda: since_boot[0])

    def sleep(at: int) -> None:
        if at == 1:
            clock.move(8 * HOUR)
            since_boot[0] += 8 * 3_600

    steps(db, 3, asleep=sleep)
    assert "held" in str(look(db, ada, soon).paused_why)
    assert look(db, ada, running).paused_at is not None


def test_a_short_sleep_is_nothing_to_speak_of(
    db: Database, ada: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = schedule(db, ada, clock.now + HOUR)
    since_boot = [1_000.0]
    monkeypatch.setattr(scheduler, "since_boot_s", lambda: since_boot[0])

    def sleep(at: int) -> None:
        if at == 1:
            clock.move(5 * HOUR)
            since_boot[0] += 5 * 3_600

    steps(db, 3, asleep=sleep)
    assert states(db, soon) == {"queued": PEOPLE}
