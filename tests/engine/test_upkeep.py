"""Upkeep: old rows go in small slices, once a day, and what is forgotten goes too."""

import asyncio
from typing import Any

import pytest

from tests.core.cast import DAY, Cast, Clock, rows
from tests.core.ledger import people, started
from tidings.core import notices, pacing
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import folding
from tidings.engine import upkeep
from tidings.engine.upkeep import Upkeep
from tidings.store.db import Database
from tidings.store.tx import Tx


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PAUSE_S", 0.0)
    monkeypatch.setattr(folding.next_slice, "__defaults__", (7,))


def run(work: Upkeep) -> int:
    """Let it work until it has nothing to do; return how many slices it did."""

    async def until_done() -> int:
        times = 0
        while await work.step():
            times += 1
            assert times < 1_000
        return times

    return asyncio.run(until_done())


def sent(db: Database, cast: Cast, clock: Clock, n: int) -> None:
    """Send a broadcast of each account to n people, each of whom opened it."""
    for owner in (cast.ada, cast.eve):
        people(db, owner, n)
        started(db, owner)

    def settle(tx: Tx) -> None:
        tx.run("UPDATE deliveries SET state = 'sent', settled_at = :now", now=tx.now)
        tx.run(
            "INSERT INTO hits (account_id, delivery_id, subscriber_id, at, agent, address)"
            " SELECT account_id, id, subscriber_id, :now, '', '' FROM deliveries",
            now=tx.now,
        )

    db.write_now(INSTALLATION, settle)


def counted(db: Database) -> list[object]:
    return [rows(db, f"SELECT COUNT(*) FROM {one}")[0][0] for one in ("deliveries", "hits")]  # noqa: S608


def test_mail_is_folded_away_once_it_is_older_than_it_is_kept(db: Database, cast: Cast, clock: Clock) -> None:
    sent(db, cast, clock, 30)
    before = counted(db)
    assert before[0] == before[1]
    work = Upkeep(db, keep_days=100)
    clock.move(100 * DAY)
    run(work)
    assert counted(db) == before
    clock.move(DAY)
    assert run(work) > 8
    # Opens are kept some days longer than the mail, which says whether they are the first.
    assert counted(db) == [0, before[1]]
    clock.move(5 * DAY)
    run(work)
    assert counted(db) == [0, 0]


def test_nothing_is_folded_where_all_is_kept_for_ever(db: Database, cast: Cast, clock: Clock) -> None:
    sent(db, cast, clock, 3)
    before = counted(db)
    clock.move(10_000 * DAY)
    run(Upkeep(db, keep_days=0))
    assert counted(db) == before


def test_a_pass_is_made_once_a_day_and_an_idle_step_writes_nothing(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Upkeep(db, keep_days=100)
    run(work)

    async def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an idle step wrote")

    with monkeypatch.context() as idle:
        idle.setattr(db, "write", refuse)
        assert run(work) == 0
    clock.move(DAY)
    assert run(work) > 0
    clock.move(-10 * DAY)
    assert run(work) > 0


def test_two_engines_fold_at_once_and_each_row_goes_once(
    db: Database, cast: Cast, clock: Clock, open_db: Any
) -> None:
    sent(db, cast, clock, 40)
    clock.move(200 * DAY)

    async def both() -> None:
        async def work(one: Upkeep) -> None:
            for _ in range(100):
                await one.step()

        await asyncio.gather(work(Upkeep(db, keep_days=100)), work(Upkeep(open_db(), keep_days=100)))

    asyncio.run(both())
    assert counted(db) == [0, 0]


def test_domains_that_put_us_off_long_ago_are_forgotten(db: Database, clock: Clock) -> None:
    db.write_now(INSTALLATION, pacing.learn, set(), {"slow.example": 9})
    work = Upkeep(db)
    run(work)
    assert len(db.read_now(INSTALLATION, pacing.resting)) == 1
    clock.move(2 * DAY)
    run(work)
    assert db.read_now(INSTALLATION, pacing.resting) == {}


def test_what_was_told_is_forgotten_after_a_month_and_what_waits_is_not(
    db: Database, cast: Cast, clock: Clock
) -> None:
    def fill(tx: Tx) -> None:
        for n in range(1_200):
            tx.run(
                "INSERT INTO owner_notes (account_id, occasion, subject, text, state, attempts, due_at,"
                " created_at, settled_at) VALUES (:id, :occasion, '', '', :state, 1, 0, 0, :now)",
                id=tx.account_id,
                occasion=f"n{n}",
                state="queued" if n == 7 else "sent",
                now=tx.now,
            )

    db.write_now(cast.ada.id, fill)
    assert run(Upkeep(db)) == 0
    clock.move(notices.KEEP_MS + 1)
    assert run(Upkeep(db)) == 3
    assert rows(db, "SELECT occasion FROM owner_notes") == [("n7",)]
