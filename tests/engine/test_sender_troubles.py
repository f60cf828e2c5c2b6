"""The sender in trouble: connections that stall, databases that are away, machines that sleep."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.core.cast import API, Cast, Clock, Owner, rows
from tests.core.ledger import TIMING, people, release, send, started, states
from tests.core.recount import recount
from tests.engine.test_sender import LINKS, Provider, run
from tidings.core import sending, signup
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Letter, Outcome
from tidings.engine import sender
from tidings.engine.desk import Desk
from tidings.engine.heart import Heart
from tidings.engine.sender import CHUNK, Sender
from tidings.errors import Unavailable
from tidings.store.db import Database

PEOPLE = 4 * CHUNK
PATIENCE_S = 60


@pytest.fixture
def eve(db: Database, cast: Cast) -> Owner:
    send(db, lane="now")
    people(db, cast.eve, PEOPLE)
    return cast.eve


@pytest.fixture
def made(db: Database, eve: Owner) -> int:
    """A broadcast to four chunks of people."""
    return started(db, eve)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "STALLED_S", 0.05)
    monkeypatch.setattr(sender, "SETTLE_AGAIN_S", 0.01)
    monkeypatch.setattr(sender, "CHUNK_FIRST", CHUNK)
    # However slow this machine is: chunks keep their size.
    monkeypatch.setattr(sender, "CHUNK_S", 1_000_000.0)


def work(db: Database, send: Any, check: Callable[[Sender], Awaitable[None]], *, width: int = 2) -> None:
    """Let a worker of the lane `bulk` live through a check."""

    async def live() -> None:
        desk = Desk(db, LINKS)
        one = Sender(db, desk, send, timing=TIMING, lane="bulk", width=width)
        try:
            # A failed check may leave a connection stalled for ever.
            async with asyncio.timeout(PATIENCE_S):
                await check(one)
                await one.close()
        finally:
            await desk.close()

    asyncio.run(live())


def test_everybody_gets_the_broadcast_once_and_each_their_own(db: Database, eve: Owner, made: int) -> None:
    provider = Provider()
    assert run(db, provider.send, lane="bulk", width=2) == PEOPLE
    assert max(Counter(one.rcpt_to for one in provider.letters).values()) == 1
    assert len({one.data for one in provider.letters}) == PEOPLE
    assert max(provider.batches) <= CHUNK
    assert states(db, made) == {"sent": PEOPLE}
    recount(db)


def test_who_unsubscribes_after_the_claim_gets_nothing(db: Database, eve: Owner, made: int) -> None:
    provider, gone = Provider(), f"p{PEOPLE - 1}.{eve.id}@example.com"

    async def check(one: Sender) -> None:
        await one.step()
        await db.write(eve.id, signup.unsubscribe, gone, API)
        while await one.step():
            pass

    work(db, provider.send, check, width=1)
    assert provider.to(gone) == []
    assert states(db, made) == {"sent": PEOPLE - 1, "suppressed": 1}


def test_a_stalled_connection_does_not_hold_up_the_others(db: Database, made: int) -> None:
    provider, go_on = Provider(), asyncio.Event()

    async def stall(letters: Sequence[Letter]) -> list[Outcome]:
        if not provider.batches:
            provider.batches.append(0)
            await go_on.wait()
        return await provider.send(letters)

    async def check(one: Sender) -> None:
        for _ in range(12):
            await one.step()
        assert states(db, made) == {"sent": PEOPLE - CHUNK, "handed": CHUNK}
        # It is on the wire still, so it is renewed.
        assert len(one.leases) == 1
        go_on.set()
        await asyncio.wait(one._stalled)
        assert one.leases == []

    work(db, stall, check)
    assert states(db, made) == {"sent": PEOPLE}


def test_no_more_is_handed_than_the_connections_hold(db: Database, made: int) -> None:
    go_on, open_now, most = asyncio.Event(), [0], [0]

    async def stall(letters: Sequence[Letter]) -> list[Outcome]:
        open_now[0] += 1
        most[0] = max(most[0], open_now[0])
        await go_on.wait()
        open_now[0] -= 1
        return [Outcome(one.delivery, "sent") for one in letters]

    async def check(one: Sender) -> None:
        for _ in range(8):
            await one.step()
        assert states(db, made)["handed"] == 2 * CHUNK
        go_on.set()

    work(db, stall, check)
    assert most == [2]


def test_closing_gives_back_what_was_not_handed(db: Database, made: int) -> None:
    provider = Provider()

    async def check(one: Sender) -> None:
        await one.step()
        assert states(db, made)["claimed"] > 0

    work(db, provider.send, check, width=1)
    assert states(db, made) == {"sent": len(provider.letters), "queued": PEOPLE - len(provider.letters)}
    found = rows(db, "SELECT DISTINCT attempts FROM deliveries WHERE state = 'queued'")
    assert found == [(0,)]


def test_a_machine_that_slept_between_commit_and_wire_sends_nothing(
    db: Database, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    since_boot = iter((0.0, TIMING.lease_ms / 1_000))
    monkeypatch.setattr(sender, "since_boot_s", lambda: next(since_boot))
    provider = Provider()

    async def check(one: Sender) -> None:
        await one.step()

    work(db, provider.send, check, width=1)
    assert provider.letters == []
    assert states(db, made) == {"queued": PEOPLE}
    assert rows(db, "SELECT DISTINCT attempts FROM deliveries WHERE broadcast_id > 0") == [(0,)]


@pytest.mark.parametrize(("verb", "left_in"), ((sending.hand, "handed"), (sending.claim, "claimed")))
def test_a_database_that_is_away_leaves_no_lease_behind_that_is_renewed_for_ever(
    db: Database, made: int, clock: Clock, monkeypatch: pytest.MonkeyPatch, verb: Any, left_in: str
) -> None:
    write, provider = db.write, Provider()

    async def away(account_id: int, asked: Any, *args: Any, **options: Any) -> Any:
        done = await write(account_id, asked, *args, **options)
        if broken and (asked is verb or verb in args or verb.__name__ in asked.__name__):
            raise Unavailable("the answer was lost")
        return done

    async def check(one: Sender) -> None:
        with pytest.raises(Unavailable):
            await one.step()
        lost = rows(db, "SELECT DISTINCT lease FROM deliveries WHERE state = :state", state=left_in)
        assert len(lost) == 1
        assert lost[0][0] not in one.leases
        broken.clear()

    broken = [True]
    monkeypatch.setattr(db, "write", away)
    work(db, provider.send, check, width=1)
    assert provider.letters == []
    clock.move(TIMING.lease_ms)
    release(db)
    clock.move(TIMING.uncertain_ms)
    run(db, provider.send, lane="bulk")
    assert states(db, made) == {"sent": PEOPLE}
    assert max(Counter(one.rcpt_to for one in provider.letters).values()) == 1


def test_a_250_is_written_as_soon_as_the_database_is_back(
    db: Database, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, provider, refused = db.write, Provider(), []

    async def away(account_id: int, asked: Any, *args: Any, **options: Any) -> Any:
        if asked is sending.settle and len(refused) < 3:
            refused.append(asked)
            raise Unavailable("no space left")
        return await write(account_id, asked, *args, **options)

    monkeypatch.setattr(db, "write", away)
    assert run(db, provider.send, lane="bulk") == PEOPLE
    assert len(refused) == 3
    assert states(db, made) == {"sent": PEOPLE}


def test_one_connection_that_breaks_down_leaves_the_others_settled(
    db: Database, made: int, caplog: pytest.LogCaptureFixture
) -> None:
    provider, broken = Provider(), [True]

    async def break_down(letters: Sequence[Letter]) -> list[Outcome]:
        if broken:
            broken.clear()
            raise OSError("the cable")
        return await provider.send(letters)

    run(db, break_down, lane="bulk", width=2)
    assert "the cable" in caplog.text
    assert states(db, made) == {"sent": PEOPLE - CHUNK, "handed": CHUNK}


def test_the_heart_renews_what_is_in_hands_and_nothing_else(db: Database, made: int, clock: Clock) -> None:
    go_on = asyncio.Event()

    async def stall(letters: Sequence[Letter]) -> list[Outcome]:
        await go_on.wait()
        return [Outcome(one.delivery, "sent") for one in letters]

    async def check(one: Sender) -> None:
        heart = Heart(db, [one], "here", TIMING)
        assert heart.pause_s * 3_000 < TIMING.lease_ms
        for _ in range(3):
            await one.step()
        for _ in range(4):
            clock.move(TIMING.lease_ms - 1)
            assert await heart.step() == 0
        assert await db.write(INSTALLATION, sending.release, TIMING) == 0
        go_on.set()

    work(db, stall, check, width=1)
    clock.move(TIMING.lease_ms)
    assert release(db) == 0
    assert states(db, made) == {"sent": CHUNK, "queued": PEOPLE - CHUNK}
