"""The pace of a sender: what it claims keeps to the limits, and slow domains hold nobody up."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from tests.core.cast import API, HOUR, SECOND, Cast, Clock, rows
from tests.core.ledger import TIMING, people, started
from tidings.core import broadcasts, pacing, signup, subscribers
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Letter, Outcome
from tidings.core.pacing import Felt, Limits
from tidings.core.pacing.rests import PROBE_MS, REST_FIRST_MS
from tidings.core.signup import Also
from tidings.engine import pace as paces
from tidings.engine import room as rooms
from tidings.engine.desk import Desk
from tidings.engine.pace import Pace, domain_of
from tidings.engine.room import Room
from tidings.engine.sender import Sender
from tidings.store.db import Database
from tidings.store.tx import Tx
from tidings.tokens import Links

LINKS = Links("https://news.example", b"k" * 32)
REMOTE = Limits("mail.example:587", ramps=True)
Answer = Callable[[Letter], tuple[str, str]]


class Relay:
    """Answers as it is told, by state and reply, and keeps what it is given."""

    def __init__(self, db: Database, answer: Answer = lambda _: ("sent", "250 ok")) -> None:
        self.db = db
        self.answer = answer
        self.given: list[str] = []

    async def send(self, letters: Sequence[Letter]) -> list[Outcome]:
        self.given += [one.rcpt_to for one in letters]
        return [self._outcome(one) for one in letters]

    def _outcome(self, letter: Letter) -> Outcome:
        state, reply = self.answer(letter)
        at, untried = self.db.clock() + HOUR, state == "queued"
        return Outcome(letter.delivery, state, reply, at, untried=untried)


@pytest.fixture(autouse=True)
def awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of these tests stands: whoever waits for it to move would wait for ever."""
    monkeypatch.setattr(paces, "SLEEP_MOST_S", 0.0)
    monkeypatch.setattr(paces, "ASK_AGAIN_S", 0.0)


def work(relay: Relay, pace: Pace, *, lane: str = "bulk", steps: int = 8, width: int = 10) -> int:
    """Let a worker do so many steps and end; return how many mails were given to the relay."""

    async def some() -> int:
        before = len(relay.given)
        desk = Desk(relay.db, LINKS)
        sender = Sender(relay.db, desk, relay.send, timing=TIMING, lane=lane, width=width, pace=pace)
        for _ in range(steps):
            await sender.step()
        await sender.close()
        await desk.close()
        return len(relay.given) - before

    return asyncio.run(some())


def domains(db: Database, cast: Cast, **counts: int) -> None:
    """Sign up so many people at each domain, in turns."""

    def sign_up(tx: Tx) -> None:
        for n in range(max(counts.values())):
            for name, most in counts.items():
                if n < most:
                    person = subscribers.person(f"p{n}@{name}.example")
                    signup.sign_up(tx, "form", cast.ada.plain, person, Also(), API)

    db.write_now(cast.ada.id, sign_up)


def states(db: Database) -> dict[object, object]:
    found = rows(db, "SELECT state, COUNT(*) FROM deliveries WHERE broadcast_id IS NOT NULL GROUP BY state")
    return {state: n for state, n in found}  # noqa: C416 (rows are tuples of objects)


def taken(db: Database) -> int:
    """How many mails the provider's row has counted."""

    def ask(tx: Tx) -> int:
        return 10_000 - pacing.allow(tx, Limits("mail.example:25", per_day=10_000), 10**6, lane="now").n

    return db.write_now(INSTALLATION, ask)


def test_no_more_is_claimed_than_the_limits_allow_over_restarts(
    db: Database, cast: Cast, clock: Clock
) -> None:
    people(db, cast.ada, 60)
    started(db, cast.ada)
    limits = Limits("mail.example:25", per_minute=25)
    relay = Relay(db)
    assert work(relay, Pace(db, limits)) == 25
    assert states(db) == {"sent": 25, "queued": 36}
    assert work(relay, Pace(db, limits)) == 0
    clock.move(60 * SECOND)
    assert work(relay, Pace(db, limits)) == 25
    clock.move(60 * SECOND)
    assert work(relay, Pace(db, limits)) == 11
    assert len(set(relay.given)) == 61


def test_a_relay_that_is_free_of_limits_has_no_row(db: Database, cast: Cast) -> None:
    people(db, cast.ada, 40)
    started(db, cast.ada)
    assert work(Relay(db), Pace(db)) == 41
    assert work(Relay(db), Pace(db, Limits("localhost:25"), rests=True)) == 0
    assert rows(db, "SELECT COUNT(*) FROM paces") == [(0,)]


def test_limits_cut_a_batch_and_no_source_is_left_out(db: Database, cast: Cast) -> None:
    for owner in (cast.ada, cast.eve):
        people(db, owner, 30)
        started(db, owner)
    assert work(Relay(db), Pace(db, Limits("mail.example:25", per_hour=20)), steps=2) == 20
    counts = rows(db, "SELECT COUNT(*) FROM deliveries WHERE state = 'sent' GROUP BY account_id")
    assert counts == [(10,), (10,)]


@pytest.mark.parametrize("way", ("left", "never offered", "given back"))
def test_what_was_claimed_and_never_went_counts_for_nothing(
    db: Database, cast: Cast, clock: Clock, way: str
) -> None:
    ids = people(db, cast.ada, 20)
    started(db, cast.ada)
    limits = Limits("mail.example:25", per_day=10_000)
    relay = Relay(db)
    if way == "never offered":
        relay.answer = lambda _: ("queued", "connection refused")
        assert work(relay, Pace(db, limits), steps=1) > 0
        assert taken(db) == 0
        return

    async def some() -> None:
        desk, pace = Desk(db, LINKS), Pace(db, limits)
        sender = Sender(db, desk, relay.send, timing=TIMING, lane="bulk", width=1, pace=pace)
        claimed = await sender._prepare()
        assert claimed is not None
        assert taken(db) == len(claimed.letters)
        sender._ready = claimed
        if way == "left":
            for one in ids:
                gone = f"p{ids.index(one)}.{cast.ada.id}@example.com"
                await db.write(cast.ada.id, signup.unsubscribe, gone, API)
            await sender.step()
        await sender.close()
        await desk.close()

    asyncio.run(some())
    assert taken(db) == len(relay.given) == (1 if way == "left" else 0)


def test_what_is_given_back_is_given_back_once(db: Database, cast: Cast) -> None:
    people(db, cast.ada, 80)
    started(db, cast.ada)
    relay = Relay(db)

    async def some() -> None:
        desk, pace = Desk(db, LINKS), Pace(db, Limits("mail.example:25", per_day=30))
        sender = Sender(db, desk, relay.send, timing=TIMING, lane="bulk", width=1, pace=pace)
        sender._ready = await sender._prepare()
        for n in range(5):
            await db.write(cast.ada.id, signup.unsubscribe, f"p{n}.{cast.ada.id}@example.com", API)
        for _ in range(20):
            await sender.step()
        await sender.close()
        await desk.close()

    asyncio.run(some())
    assert rows(db, "SELECT COUNT(*) FROM deliveries WHERE state = 'suppressed'")[0][0] == 5
    assert len(relay.given) == 30


def test_single_mails_go_though_the_rate_of_bulk_is_used_up(db: Database, cast: Cast) -> None:
    people(db, cast.ada, 60)
    started(db, cast.ada)
    relay = Relay(db)
    assert work(relay, Pace(db, REMOTE)) == 10
    assert work(relay, Pace(db, REMOTE, lane="now"), lane="now") == 1
    assert relay.given[-1] == "cal@example.com"


def test_a_relay_that_throttles_is_given_half(db: Database, cast: Cast, clock: Clock) -> None:
    people(db, cast.ada, 60)
    started(db, cast.ada)
    relay = Relay(db, lambda _: ("deferred", "454 Throttling failure: Maximum sending rate exceeded."))
    pace = Pace(db, REMOTE)
    assert work(relay, pace) == 10
    clock.move(SECOND)
    assert work(relay, pace) == 5
    relay.answer = lambda _: ("sent", "250 ok")
    clock.move(SECOND)
    assert work(relay, pace) == 5
    # Ten seconds after the last deferral.
    clock.move(10 * SECOND)
    assert work(relay, pace) == 10


@pytest.mark.parametrize(
    ("deferred", "felt"),
    ((0, Felt.NOTHING), (1, Felt.DEFERRED), (2, Felt.DEFERRED), (3, Felt.THROTTLED)),
)
def test_a_few_deferrals_in_a_hundred_only_keep_the_rate_from_rising(
    db: Database, cast: Cast, deferred: int, felt: Felt, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(db, cast.ada, 99)
    started(db, cast.ada)
    told: list[Felt] = []
    real = pacing.allow

    def allow(*args: Any, **options: Any) -> pacing.Allowed:
        told.append(options["felt"])
        return real(*args, **options)

    monkeypatch.setattr(pacing, "allow", allow)
    late = {f"p{n}.{cast.ada.id}@example.com" for n in range(deferred)}
    relay = Relay(db, lambda one: ("deferred" if one.rcpt_to in late else "sent", "451 4.7.1 later"))
    assert work(relay, Pace(db, Limits("mail.example:25", per_hour=1_000)), width=50, steps=4) == 100
    assert max(told) == felt


def test_a_domain_that_puts_off_rests_and_the_rest_of_the_broadcast_flows(
    db: Database, cast: Cast, clock: Clock
) -> None:
    domains(db, cast, slow=60, quick=60)
    made = started(db, cast.ada)
    relay = Relay(
        db, lambda one: ("deferred", "451 4.7.1 later") if "@slow" in one.rcpt_to else ("sent", "250 ok")
    )
    pace = Pace(db, rests=True)
    work(relay, pace, steps=30, width=1)
    tried = [one for one in relay.given if "@slow" in one]
    assert 5 <= len(tried) < 40
    assert len([one for one in relay.given if "@quick" in one]) == 60
    assert states(db) == {"sent": 61, "deferred": 60}
    rested = rows(db, "SELECT attempts, due_at FROM deliveries WHERE state = 'deferred' AND attempts = 0")
    assert rested == [(0, clock.now + REST_FIRST_MS)] * (60 - len(tried))
    # At the end of the rest one is tried; it is taken, and the others follow.
    clock.move(REST_FIRST_MS)
    relay.answer = lambda _: ("sent", "250 ok")
    assert work(relay, pace, steps=1, width=1) == 1
    clock.move(PROBE_MS)
    assert work(relay, Pace(db, rests=True), steps=10, width=1) == 59 - len(tried)
    clock.move(HOUR)
    work(relay, pace, steps=10, width=1)
    assert states(db) == {"sent": 121}
    found = db.read_now(cast.ada.id, broadcasts.find, made)
    assert (found.settled, found.sent) == (121, 121)


@pytest.mark.parametrize("reply", ("451 4.3.0 try later", "451 try later"))
def test_a_relay_that_puts_off_everything_lets_no_domain_rest(db: Database, cast: Cast, reply: str) -> None:
    domains(db, cast, one=20, two=20, three=20)
    started(db, cast.ada)
    relay = Relay(db, lambda _: ("deferred", reply))
    assert work(relay, Pace(db, rests=True), width=4) == 61
    assert rows(db, "SELECT domain FROM domain_rests") == []


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_bulk_mail_waits_while_the_disk_is_nearly_full_and_single_mails_do_not(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    people(db, cast.ada, 5)
    started(db, cast.ada)
    free = [199_000_000]
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**10, 0, free[0]))
    monkeypatch.setattr(rooms, "LOOK_EVERY_S", 0.0)
    caplog.set_level(logging.WARNING, "tidings.engine")
    relay, room = Relay(db), Room("/somewhere", 200_000_000)
    assert work(relay, Pace(db, room=room)) == 0
    assert work(relay, Pace(db, lane="now", room=room), lane="now") == 1
    assert [one.message for one in caplog.records] == [
        "the disk is nearly full: bulk mail waits until there is room"
    ]
    free[0] = 200_000_000
    assert work(relay, Pace(db, room=room)) == 6
    assert "goes on" in caplog.records[-1].message


@pytest.mark.parametrize(
    ("total", "free", "least", "short"),
    (
        (10**9, 199_999_999, 200_000_000, True),
        (10**9, 200_000_000, 200_000_000, False),
        (50 * 10**9, 999_999_999, 200_000_000, True),
        (50 * 10**9, 10**9, 200_000_000, False),
        (10**13, 2 * 10**9 - 1, 200_000_000, True),
        (10**13, 2 * 10**9, 200_000_000, False),
        (10**9, 0, 0, False),
    ),
)
def test_how_much_must_be_free(
    monkeypatch: pytest.MonkeyPatch, total: int, free: int, least: int, short: bool
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(total, 0, free))

    async def ask() -> bool:
        return Room("/somewhere", least).short()

    assert asyncio.run(ask()) is short


def test_the_domain_of_an_address_is_compared_without_its_case() -> None:
    assert domain_of("Some.One@Example.COM.") == "example.com"
    assert domain_of('"a@b"@example.com') == "example.com"
