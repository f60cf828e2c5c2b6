"""Pace: never more than the owner's limits in any window, and as fast as the provider takes it."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cast import DAY, HOUR, SECOND, Clock, rows
from tidings.core import pacing
from tidings.core.accounts import INSTALLATION
from tidings.core.pacing import Felt, Limits
from tidings.core.pacing.paces import AWAITED_MS, RATE_FIRST
from tidings.core.pacing.windows import LENGTHS_MS
from tidings.mail import provider
from tidings.store.db import Database
from tidings.store.tx import Tx

MINUTE = 60 * SECOND
REMOTE = Limits("mail.example:587", ramps=True)
names = (f"relay-{n}.example:25" for n in itertools.count())


def _take(
    tx: Tx, limits: Limits, wanted: int, lane: str, felt: Felt, unused: int, due: int
) -> tuple[int, int]:
    allowed = pacing.allow(tx, limits, wanted, lane=lane, felt=felt, unused=unused)
    claimed = min(allowed.n, due)
    pacing.spend(tx, allowed, claimed)
    return claimed, allowed.wait_ms


def take(
    db: Database,
    limits: Limits,
    wanted: int = 1_000,
    *,
    lane: str = "bulk",
    felt: Felt = Felt.NOTHING,
    unused: int = 0,
    due: int = 10**9,
) -> tuple[int, int]:
    """Ask for tokens, claim as many mails as are due; return how many that were, and the wait."""
    return db.write_now(INSTALLATION, _take, limits, wanted, lane, felt, unused, due)


def rate(db: Database) -> object:
    return rows(db, "SELECT rate FROM paces")[0][0]


GAPS = st.one_of(st.integers(0, 20), st.integers(0, 1_500), st.sampled_from((999, 1_000, 59_999, 60_000)))
ASKED = st.tuples(GAPS, st.integers(1, 40), st.sampled_from(("now", "bulk")), st.booleans())


def test_no_window_ever_holds_more_than_its_limit_and_none_is_refused_for_long(
    db: Database, open_db: Callable[[], Database], clock: Clock
) -> None:
    both = (db, open_db())

    @given(st.lists(ASKED, max_size=40), st.integers(1, 30), st.integers(1, 60))
    def check(asked: list[tuple[int, int, str, bool]], second: int, minute: int) -> None:
        limits = Limits(next(names), per_second=second, per_minute=minute)
        given_at: list[tuple[int, int]] = []
        for gap, wanted, lane, other in asked:
            clock.move(gap)
            n, wait = take(both[other], limits, wanted, lane=lane)
            assert (n == 0) == (wait > 0)
            assert wait <= LENGTHS_MS["minute"]
            given_at.append((clock.now, n))
            for name, most in (("second", second), ("minute", minute)):
                length = LENGTHS_MS[name]
                assert sum(n for at, n in given_at if clock.now - at < length) <= most
        # Whoever waits as long as they were told gets something.
        n, wait = take(db, limits, 1, lane="now")
        if not n:
            clock.move(wait)
            assert take(db, limits, 1, lane="now")[0] == 1

    check()


@pytest.mark.parametrize("name", LENGTHS_MS)
def test_each_limit_holds_to_the_last_mail_and_over_a_restart(
    name: str, db: Database, open_db: Callable[[], Database], clock: Clock
) -> None:
    limits = Limits("mail.example:25", **{f"per_{name}": 50})  # type: ignore[arg-type]
    assert take(db, limits, 40)[0] == 40
    clock.move(LENGTHS_MS[name] // 2)
    again = open_db()
    assert take(again, limits)[0] == 10
    assert take(again, limits) == (0, LENGTHS_MS[name] - LENGTHS_MS[name] // 2)
    clock.move(LENGTHS_MS[name] - LENGTHS_MS[name] // 2 - 1)
    assert take(again, limits)[0] == 0
    clock.move(1)
    assert take(again, limits)[0] == 40


def test_mails_taken_shortly_after_one_another_age_with_the_last(db: Database, clock: Clock) -> None:
    limits = Limits("mail.example:25", per_second=10)
    for _ in range(2):
        assert take(db, limits, 5)[0] == 5
        clock.move(10)
    clock.move(980)
    assert take(db, limits) == (0, 10)
    clock.move(10)
    assert take(db, limits)[0] == 10


def test_many_processes_together_keep_to_the_limit(open_db: Callable[[], Database]) -> None:
    limits = Limits("mail.example:25", per_hour=500)

    def work(db: Database, chance: Random) -> int:
        return sum(take(db, limits, chance.randint(1, 30))[0] for _ in range(60))

    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(work, open_db(), Random(n)) for n in range(3)]
        total = sum(one.result() for one in done)
    assert total <= 500
    rest = take(open_db(), limits)[0]
    assert total + rest == 500


def test_what_was_claimed_and_not_sent_may_be_claimed_again(db: Database) -> None:
    limits = Limits("mail.example:25", per_day=100)
    assert take(db, limits, 90)[0] == 90
    assert take(db, limits, 90, due=4)[0] == 4
    assert take(db, limits, unused=30)[0] == 36
    assert take(db, limits)[0] == 0
    assert take(db, limits, unused=1_000)[0] == 100


@pytest.mark.parametrize("jump", (-DAY, 5 * DAY, -5 * HOUR))
def test_a_clock_that_jumps_neither_breaks_a_limit_nor_stops_the_mail(
    db: Database, clock: Clock, jump: int
) -> None:
    limits = Limits("mail.example:25", per_hour=10, ramps=True)
    assert take(db, limits)[0] == 10
    clock.move(jump)
    assert take(db, limits)[0] == (10 if jump > 0 else 0)
    clock.move(HOUR)
    assert take(db, limits)[0] == 10
    assert take(db, limits, felt=Felt.THROTTLED)[0] == 0
    assert rate(db) == RATE_FIRST // 2


def steadily(db: Database, clock: Clock, seconds: int, felt: Felt = Felt.NOTHING) -> list[int]:
    """Ask every 100 ms for as much as there is; return how many went in each second."""
    went = []
    for _ in range(seconds):
        n = 0
        for _ in range(10):
            n += take(db, REMOTE, 320, felt=felt)[0]
            felt = Felt.NOTHING
            clock.move(100)
        went.append(n)
    return went


def test_a_remote_relay_begins_at_10_a_second_and_doubles_every_ten_seconds(
    db: Database, clock: Clock
) -> None:
    went = steadily(db, clock, 40)
    assert went[:10] == [10] * 10
    for n, expected in enumerate((10, 20, 40, 80)):
        assert expected * 9 <= sum(went[n * 10 : n * 10 + 10]) <= expected * 10.5


def test_the_rate_and_its_ten_seconds_survive_a_restart(
    db: Database, open_db: Callable[[], Database], clock: Clock
) -> None:
    steadily(db, clock, 25)
    assert rate(db) == 40
    again = open_db()
    assert sum(steadily(again, clock, 5)) <= 5 * 40
    assert rate(again) == 40
    steadily(again, clock, 1)
    assert rate(again) == 80


def test_nothing_is_raised_while_something_is_deferred(db: Database, clock: Clock) -> None:
    for _ in range(5):
        steadily(db, clock, 8, felt=Felt.DEFERRED)
    assert rate(db) == 10
    steadily(db, clock, 4)
    assert rate(db) == 20


def test_a_provider_that_throttles_gets_half_once_in_ten_seconds_and_never_nothing(
    db: Database, clock: Clock
) -> None:
    steadily(db, clock, 31)
    assert rate(db) == 80
    expected = [40, 20, 10, 5, 2, 1, 1]
    for half in expected:
        for _ in range(4):
            take(db, REMOTE, felt=Felt.THROTTLED)
            clock.move(2_500)
        assert rate(db) == half
    steadily(db, clock, 11)
    assert rate(db) == 2


def test_a_rate_that_is_not_used_is_not_raised(db: Database, clock: Clock) -> None:
    for _ in range(600):
        take(db, REMOTE, 5)
        clock.move(SECOND)
    assert rate(db) == 10


def test_the_owner_s_limit_ends_the_raising(db: Database, clock: Clock) -> None:
    limits = Limits("mail.example:587", per_second=25, ramps=True)
    for _ in range(600):
        take(db, limits, 320)
        clock.move(100)
    assert rate(db) == 25
    assert take(db, limits, 320)[0] <= 25


def test_single_mails_are_held_up_by_the_owner_alone_and_count_for_all(db: Database, clock: Clock) -> None:
    limits = Limits("mail.example:587", per_minute=60, ramps=True)
    assert take(db, limits, 50, lane="now")[0] == 50
    assert take(db, limits, 50)[0] == 0
    clock.move(SECOND)
    assert take(db, limits, 50)[0] == 10
    assert take(db, limits, 5, lane="now")[0] == 0
    assert rate(db) == 10


def test_bulk_mail_leaves_room_for_single_mails_that_wait(db: Database, clock: Clock) -> None:
    limits = Limits("mail.example:587", per_second=10)
    for _ in range(20):
        assert take(db, limits, 320)[0] in (2, 10)
        # Two confirmations come: full now, but they are the first in the next second.
        assert take(db, limits, 64, lane="now", due=2)[0] == 0
        clock.move(SECOND)
        assert take(db, limits, 320)[0] == 2
        assert take(db, limits, 64, lane="now", due=2)[0] == 2
        assert take(db, limits, 320)[0] == 6
        clock.move(SECOND)
    # Who waits no longer holds nobody up.
    take(db, limits, 320)
    take(db, limits, 64, lane="now")
    clock.move(AWAITED_MS)
    assert take(db, limits, 320)[0] == 10


def test_asking_for_nothing_new_writes_nothing(db: Database, clock: Clock) -> None:
    limits = Limits("mail.example:25", per_hour=10)
    take(db, limits)

    def ask(tx: Tx) -> bool:
        # Reading with a lock is no write of ours: only what `spend` does counts.
        allowed = pacing.allow(tx, limits, 320, lane="bulk")
        tx.wrote = False
        pacing.spend(tx, allowed, 0)
        return tx.wrote

    assert not db.write_now(INSTALLATION, ask)


@pytest.mark.parametrize(
    ("url", "expected"),
    (
        ("smtp://localhost", Limits("localhost:25")),
        ("smtp://127.0.0.1:2525?connections=4", Limits("127.0.0.1:2525")),
        ("smtp://u:p@Mail.Example:587", Limits("mail.example:587", ramps=True)),
        (
            "smtps://u:p@mail.example?per_second=14&per_minute=0&per_hour=2000&per_day=50000",
            Limits("mail.example:465", per_second=14, per_hour=2_000, per_day=50_000, ramps=True),
        ),
    ),
)
def test_limits_are_read_from_the_url(url: str, expected: Limits) -> None:
    limits = pacing.limits_of(provider.Settings.from_url(url))
    assert limits == expected
    assert limits.free is not (expected.ramps or expected.per_hour > 0)


@pytest.mark.parametrize("value", ("-1", "x", "1.5", "", "1000000000", "10/s", "%31%30%00"))
def test_a_limit_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="per_day is a whole number"):
        provider.Settings.from_url(f"smtp://mail.example?per_day={value}")


@pytest.mark.parametrize(
    ("reply", "provider_s", "domain_s"),
    (
        ("421 4.7.0 too many connections", True, False),
        ("the server answered 421 busy", True, False),
        ("given up: 451 4.7.1 slow down", True, True),
        ("454 Throttling failure: Maximum sending rate exceeded.", True, True),
        ("452 4.3.1 insufficient system storage", True, False),
        ("450 4.1.1 unknown for now", False, False),
        ("452 4.2.2 mailbox full", False, False),
        ("451 4.4.1 no answer from host", False, True),
        ("450 4.7.1.9 not a code", True, True),
        ("550 5.1.1 unknown", False, False),
        ("250 4.7.1 fine", False, False),
        ("connection refused", False, False),
        ("", False, False),
    ),
)
def test_a_passing_refusal_speaks_of_the_provider_or_the_domain(
    reply: str, provider_s: bool, domain_s: bool
) -> None:
    assert pacing.blame(reply) == (provider_s, domain_s)
