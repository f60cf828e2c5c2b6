"""The loops: woken by a commit, stopped cleanly, never ended by a step that fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.cast import Cast, Clock, join, rows
from tidings.core import audit, automations, custom_fields, limits, notices, owner_notes, pacing, trials
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Letter, Outcome, Timing
from tidings.engine import loop, upkeep
from tidings.engine.desk import Desk
from tidings.engine.sender import Sender
from tidings.engine.upkeep import Upkeep
from tidings.store.db import Database
from tidings.tokens import Links

LINKS = Links("https://news.example", b"k" * 32)
# Longer than any test waits: who is woken must be woken by what is tested.
FOREVER = 3_600.0
PATIENCE = 30


async def wait_for(true: Callable[[], bool]) -> None:
    for _ in range(PATIENCE * 100):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came true")


def test_a_commit_of_another_process_wakes_the_sender(
    db: Database, cast: Cast, open_db: Callable[[], Database]
) -> None:
    web, sent = open_db(), []

    async def send(letters: Any) -> list[Outcome]:
        sent.extend(one.rcpt_to for one in letters)
        return [Outcome(one.delivery, "sent") for one in letters]

    async def check() -> None:
        heard, stop = asyncio.Event(), asyncio.Event()
        desk = Desk(db, LINKS)
        sender = Sender(db, desk, send, timing=Timing())
        running = asyncio.gather(
            loop.listen(db, [heard], stop),
            loop.run(sender.step, heard, stop, idle=FOREVER),
        )
        await wait_for(lambda: sent == ["cal@example.com"])
        for n in range(3):
            await asyncio.to_thread(join, web, cast.eve, "form", cast.eve.double, f"p{n}@example.com")
            await wait_for(lambda n=n: sent[-1] == f"p{n}@example.com")  # type: ignore[misc]
        stop.set()
        await asyncio.wait_for(running, PATIENCE)
        await sender.close()
        await desk.close()

    asyncio.run(check())
    assert len(sent) == 4


def test_a_failing_step_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "REST_SECONDS", 0.001)
    steps = []

    async def step() -> int:
        steps.append(1)
        if len(steps) < 4:
            raise RuntimeError("the step's own fault")
        stop.set()
        return 0

    stop = asyncio.Event()
    asyncio.run(asyncio.wait_for(loop.run(step, asyncio.Event(), stop, idle=FOREVER), PATIENCE))
    assert len(steps) == 4
    assert caplog.text.count("a step of the engine failed") == 3
    assert "the step's own fault" in caplog.text


def test_what_is_found_due_is_followed_by_another_look_at_once() -> None:
    left, stop = [3, 2, 1, 0], asyncio.Event()

    async def step() -> int:
        did = left.pop(0)
        if not left:
            stop.set()
        return did

    asyncio.run(asyncio.wait_for(loop.run(step, asyncio.Event(), stop, idle=FOREVER), PATIENCE))
    assert left == []


def test_an_idle_loop_looks_again_without_any_commit() -> None:
    looks, stop = [], asyncio.Event()

    async def step() -> int:
        looks.append(1)
        if len(looks) == 3:
            stop.set()
        return 0

    asyncio.run(asyncio.wait_for(loop.run(step, asyncio.Event(), stop, idle=0.001), PATIENCE))
    assert len(looks) == 3


def test_a_word_heard_during_a_step_is_not_lost() -> None:
    looks, heard, stop = [], asyncio.Event(), asyncio.Event()

    async def step() -> int:
        looks.append(1)
        if len(looks) == 1:
            # Committed after this step has looked, before it ends.
            heard.set()
        else:
            # And it is spent: the loop would never rest again.
            assert not heard.is_set()
            stop.set()
        return 0

    asyncio.run(asyncio.wait_for(loop.run(step, heard, stop, idle=FOREVER), PATIENCE))
    assert len(looks) == 2


def test_stopping_finishes_what_is_handed_and_starts_nothing_new(db: Database, cast: Cast) -> None:
    at_the_wire, may_go = asyncio.Event(), asyncio.Event()

    async def send(letters: list[Letter]) -> list[Outcome]:
        at_the_wire.set()
        await may_go.wait()
        return [Outcome(one.delivery, "sent") for one in letters]

    async def check() -> None:
        stop = asyncio.Event()
        desk = Desk(db, LINKS)
        sender = Sender(db, desk, send, timing=Timing())
        running = asyncio.ensure_future(loop.run(sender.step, asyncio.Event(), stop, idle=FOREVER))
        await at_the_wire.wait()
        stop.set()
        await asyncio.to_thread(join, db, cast.eve, "form", cast.eve.double, "late@example.com")
        may_go.set()
        await asyncio.wait_for(running, PATIENCE)
        await sender.close()
        await desk.close()

    asyncio.run(check())
    states = rows(db, "SELECT account_id, state FROM deliveries ORDER BY id")
    assert states == [(cast.ada.id, "sent"), (cast.eve.id, "queued")]


def test_a_lost_ear_is_replaced(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "REST_SECONDS", 0.001)
    ears: list[Any] = []
    opened = db.ear

    def open_ear() -> Any:
        if len(ears) == 1:
            ears.append(None)
            raise OSError("away")
        ears.append(opened())
        return ears[-1]

    async def check() -> None:
        heard, stop = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(db, "ear", open_ear)
        listening = asyncio.ensure_future(loop.listen(db, [heard], stop))
        await wait_for(lambda: len(ears) == 1)
        ears[0].close()
        await wait_for(lambda: len(ears) >= 3)
        heard.clear()
        await db.write(INSTALLATION, lambda tx: tx.wake() or limits.admit(tx, "key", 5))
        await asyncio.wait_for(heard.wait(), PATIENCE)
        stop.set()
        await asyncio.wait_for(listening, PATIENCE)

    asyncio.run(check())
    assert "cannot hear the database" in caplog.text


def test_upkeep_sweeps_now_and_then_and_is_otherwise_idle(db: Database, cast: Cast, clock: Clock) -> None:
    keeper, writes = Upkeep(db), []
    write = db.write

    async def counted(*args: Any, **options: Any) -> Any:
        writes.append(args[1])
        return await write(*args, **options)

    async def check() -> None:
        db.write = counted  # type: ignore[method-assign]
        for _ in range(3):
            assert await keeper.step() == 0
        clock.move(upkeep.SWEEP_MS + 1)
        assert await keeper.step() == 0

    asyncio.run(check())
    often = [limits.sweep, pacing.sweep, notices.fold, owner_notes.fold, trials.fold, audit.fold]
    assert writes == [*often, automations.fold, automations.fold, *often]


def test_an_erasure_goes_on_where_a_killed_engine_left_it(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidings.core.subscribers.forgetting.ERASE_SLICE", 3)
    for n in range(10):
        join(db, cast.ada, "form", cast.ada.plain, f"p{n}@example.com", fields={"city": f"City {n}"})
    db.write_now(cast.ada.id, custom_fields.delete, cast.ada.city)
    asyncio.run(Upkeep(db).step())
    assert rows(db, "SELECT COUNT(*) FROM subscribers WHERE fields <> '{}'") == [(10,)]
    asyncio.run(Upkeep(db).step())
    left = rows(db, "SELECT COUNT(*) FROM subscribers WHERE fields <> '{}'")[0][0]
    assert 0 < int(str(left)) < 10
    another = Upkeep(db)

    async def finish() -> None:
        while await another.step():
            pass

    asyncio.run(finish())
    assert rows(db, "SELECT COUNT(*) FROM subscribers WHERE fields <> '{}'") == [(0,)]
