"""Rate limits: at most N in any 60 seconds, never fewer refused than must be, both ways of counting."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cast import HOUR, Clock, rows
from tidings.core import limits
from tidings.core.accounts import INSTALLATION
from tidings.core.limits import WINDOW_MS, Windows
from tidings.store.db import Database

Admit = Callable[[str, int], int]
NAMES = ("key a", "key b")
# Gaps around the window's edges are where a wrong comparison shows.
GAPS = st.one_of(st.integers(0, 3), st.integers(0, 15_000), st.sampled_from((59_999, 60_000, 60_001)))
SCHEDULES = st.lists(st.tuples(GAPS, st.sampled_from(NAMES)), max_size=60)


@pytest.fixture(params=("in memory", "in rows"))
def admit(
    request: pytest.FixtureRequest, db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Admit:
    """Both ways of counting, with the clock of the test."""
    if request.param == "in rows":
        return lambda name, limit: db.write_now(INSTALLATION, limits.admit, name, limit)
    if db.shared:
        pytest.skip("does not apply: memory is the same beside any database")
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic_ns=lambda: clock.now * 1_000_000))
    return Windows().admit


def test_never_more_than_the_limit_in_a_minute_and_never_a_refusal_below_it(
    admit: Admit, clock: Clock
) -> None:
    runs = iter(range(10**9))

    @given(SCHEDULES, st.integers(1, 6))
    def check(schedule: list[tuple[int, str]], limit: int) -> None:
        run = next(runs)
        admitted: dict[str, list[int]] = {name: [] for name in NAMES}
        for gap, name in schedule:
            clock.move(gap)
            within = [at for at in admitted[name] if clock.now - at < WINDOW_MS]
            wait = admit(f"{name} {run}", limit)
            if len(within) < limit:
                assert wait == 0
                admitted[name].append(clock.now)
            else:
                # Just as long as until the oldest one leaves the window: it is admitted then.
                assert wait == within[-limit] + WINDOW_MS - clock.now
        for times in admitted.values():
            for at, first in enumerate(times):
                assert sum(first <= one < first + WINDOW_MS for one in times[at:]) <= limit

    check()


def test_a_refused_request_costs_nothing(admit: Admit, clock: Clock) -> None:
    for _ in range(3):
        assert admit("key", 3) == 0
        clock.move(10_000)
    for _ in range(50):
        assert admit("key", 3) == 30_000
    clock.move(29_999)
    assert admit("key", 3) == 1
    clock.move(1)
    assert admit("key", 3) == 0
    assert admit("key", 3) == 10_000


def test_a_lower_limit_counts_what_was_admitted_under_a_higher_one(admit: Admit, clock: Clock) -> None:
    for _ in range(5):
        assert admit("key", 5) == 0
        clock.move(1_000)
    wait = admit("key", 2)
    assert wait > 0
    clock.move(wait - 1)
    assert admit("key", 2) == 1
    clock.move(1)
    assert admit("key", 2) == 0


def test_two_processes_share_one_count(db: Database, open_db: Callable[[], Database]) -> None:
    if not db.shared:
        pytest.skip("does not apply: one web process serves from SQLite")
    both = (db, open_db())
    answers: list[int] = []

    def hurry(one: Database) -> None:
        answers.extend(one.write_now(INSTALLATION, limits.admit, "key", 30) for _ in range(40))

    threads = [threading.Thread(target=hurry, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert answers.count(0) == 30


def test_a_refusal_is_remembered_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(1_000_000)
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic_ns=lambda: clock.now * 1_000_000))
    windows = Windows()
    assert windows.still_refused("key") == 0
    windows.refuse("key", 700)
    assert windows.still_refused("key") == 700
    assert windows.still_refused("other") == 0
    clock.move(699)
    assert windows.still_refused("key") == 1
    clock.move(1)
    assert windows.still_refused("key") == 0


def test_the_memory_for_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NAMES_KEPT", 10)
    windows = Windows()
    for n in range(100):
        assert windows.admit(f"key {n}", 1) == 0
        windows.refuse(f"key {n}", 1_000)
    assert len(windows._stamps) == len(windows._refused) == 10
    # The newest are still counted.
    assert windows.admit("key 99", 1) > 0


def test_names_that_fell_silent_are_swept(db: Database, clock: Clock) -> None:
    db.write_now(INSTALLATION, limits.admit, "old", 5)
    clock.move(HOUR)
    db.write_now(INSTALLATION, limits.admit, "new", 5)
    assert db.write_now(INSTALLATION, limits.sweep) == 0
    clock.move(1)
    assert db.write_now(INSTALLATION, limits.sweep) == 1
    assert rows(db, "SELECT name FROM rate_windows") == [("new",)]
