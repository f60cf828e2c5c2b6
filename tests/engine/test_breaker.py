"""The breaker: a provider that refuses us stops a broadcast; one that takes nothing is left alone."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.core.cast import Cast, Owner
from tests.core.ledger import begin, look, people, started
from tidings.core.deliveries import Delivery, Outcome
from tidings.engine.breaker import LEAST, WINDOW, Breaker
from tidings.store.db import Database


def said(owner: Owner, made: int, states: Sequence[str], verdict: str = "") -> list[Outcome]:
    return [
        Outcome(
            Delivery(owner.id, at, f"broadcast:{made}", at, 1, 1, 0, made),
            state,
            f"{state} {verdict}",
            verdict=verdict,
        )
        for at, state in enumerate(states)
    ]


def look_at(db: Database, *batches: list[Outcome]) -> None:
    async def all_of_them() -> None:
        one = Breaker(db)
        for batch in batches:
            await one.look(batch)

    asyncio.run(all_of_them())


@pytest.fixture
def made(db: Database, cast: Cast) -> int:
    people(db, cast.eve, 2)
    return started(db, cast.eve)


@pytest.mark.parametrize("verdict", ("policy", "relay"))
def test_a_provider_that_refuses_us_pauses_the_broadcast_and_says_why(
    db: Database, cast: Cast, made: int, verdict: str
) -> None:
    refusals = said(cast.eve, made, ["failed"] * LEAST, verdict)
    look_at(db, said(cast.eve, made, ["sent"] * 150), refusals[:-1])
    assert look(db, cast.eve, made).paused_at is None
    look_at(db, said(cast.eve, made, ["sent"] * 150), refusals[:-1], refusals[-1:])
    found = look(db, cast.eve, made)
    assert found.paused_at is not None
    assert f"failed {verdict}" in str(found.paused_why)


def test_one_refusal_in_twenty_is_borne(db: Database, cast: Cast, made: int) -> None:
    batch = said(cast.eve, made, ["sent"] * 19) + said(cast.eve, made, ["failed"], "policy")
    look_at(db, *[batch] * 40)
    assert look(db, cast.eve, made).paused_at is None
    look_at(db, *[batch] * 10, said(cast.eve, made, ["failed"], "policy"))
    assert look(db, cast.eve, made).paused_at is not None


def test_only_the_last_two_hundred_count(db: Database, cast: Cast, made: int) -> None:
    old = said(cast.eve, made, ["failed"] * (LEAST - 1), "policy")
    new = said(cast.eve, made, ["sent"] * WINDOW)
    look_at(db, old, new, old)
    assert look(db, cast.eve, made).paused_at is None


@pytest.mark.parametrize("verdict", ("mailbox", "soft", "mailbox-full", "temporary", ""))
def test_refusals_about_the_recipients_pause_nothing(
    db: Database, cast: Cast, made: int, verdict: str
) -> None:
    look_at(db, said(cast.eve, made, ["failed"] * WINDOW, verdict))
    assert look(db, cast.eve, made).paused_at is None


def test_nobody_reads_what_a_provider_said_to_another_account(db: Database, cast: Cast, made: int) -> None:
    hers = begin(db, cast.ada)
    mine = said(cast.eve, made, ["failed"] * LEAST, "policy")
    theirs = said(cast.ada, hers, ["failed"], "relay")
    look_at(db, mine + theirs)
    assert "failed policy" in str(look(db, cast.eve, made).paused_why)


def test_a_broadcast_that_is_paused_by_hand_meanwhile_is_no_fault(db: Database, cast: Cast) -> None:
    look_at(db, said(cast.eve, 2**40, ["failed"] * LEAST, "policy"))


def test_a_provider_that_takes_nothing_is_left_alone_ever_longer(
    db: Database, cast: Cast, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    untried = [
        Outcome(one.delivery, "queued", "no connection", untried=True)
        for one in said(cast.eve, made, ["queued"] * 3)
    ]

    async def check() -> list[float]:
        now = [0.0]
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
        one, rests = Breaker(db), []
        for _ in range(8):
            await one.look(untried)
            rests.append(_rest(one, now))
            assert await one.resting()
            now[0] += rests[-1]
            assert not await one.resting()
        await one.look(said(cast.eve, made, ["sent"]))
        await one.look(untried)
        rests.append(_rest(one, now))
        return rests

    rests = asyncio.run(check())
    assert rests == [5, 10, 20, 40, 80, 160, 300, 300, 5]
    assert look(db, cast.eve, made).paused_at is None


def _rest(one: Breaker, now: list[float]) -> float:
    return one._until - now[0]


def test_a_batch_that_was_tried_in_part_does_not_rest(db: Database, cast: Cast, made: int) -> None:
    batch = said(cast.eve, made, ["sent"]) + [
        Outcome(one.delivery, "queued", untried=True) for one in said(cast.eve, made, ["queued"] * 9)
    ]

    async def check() -> bool:
        one = Breaker(db)
        await one.look(batch)
        await one.look([])
        return await one.resting()

    assert not asyncio.run(check())


def test_windows_of_broadcasts_long_past_are_forgotten(db: Database, cast: Cast) -> None:
    async def check() -> int:
        one = Breaker(db)
        for made in range(1, 1_200):
            await one.look(said(cast.eve, made, ["sent"]))
        return len(one._windows)

    assert asyncio.run(check()) <= 1_000
