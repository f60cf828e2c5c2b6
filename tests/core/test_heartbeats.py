"""Heartbeats: what was due while the engine was away waits for somebody to look."""

import pytest

from tests.core.cast import DAY, HOUR, Cast, Clock, Owner
from tests.core.ledger import draft, look, people, send, started
from tidings.core import heartbeats, sending
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import course
from tidings.core.deliveries import Source
from tidings.store.db import Database


@pytest.fixture
def ada(db: Database, cast: Cast) -> Owner:
    """Ada with some active people, and nothing else waiting."""
    send(db, lane="now")
    people(db, cast.ada, 3)
    return cast.ada


def wake(db: Database, instance: str = "here") -> int:
    return db.write_now(INSTALLATION, heartbeats.wake, "engine", instance)


@pytest.fixture
def overdue(db: Database, ada: Owner, clock: Clock) -> tuple[int, int, int]:
    """One being sent, one scheduled in an hour, and one in thirty days; the engine lives."""
    assert wake(db) == 0
    under_way, soon, later = started(db, ada), draft(db, ada), draft(db, ada)
    db.write_now(ada.id, course.schedule, soon, clock.now + HOUR)
    db.write_now(ada.id, course.schedule, later, clock.now + 30 * DAY)
    clock.move(1)
    return under_way, soon, later


@pytest.mark.parametrize("gap", (HOUR, 6 * HOUR, -6 * HOUR))
def test_after_a_short_gap_everything_goes_on(
    db: Database, overdue: tuple[int, int, int], clock: Clock, gap: int
) -> None:
    clock.move(gap - 1)
    assert wake(db) == 0
    assert wake(db) == 0


@pytest.mark.parametrize("gap", (6 * HOUR + 1, 8 * HOUR, 5 * DAY))
def test_after_a_long_gap_what_is_overdue_is_held_until_it_is_resumed(
    db: Database, ada: Owner, overdue: tuple[int, int, int], clock: Clock, gap: int
) -> None:
    under_way, soon, later = overdue
    clock.move(gap)
    assert wake(db) == 2
    assert wake(db) == 0
    assert db.read_now(INSTALLATION, course.due) == []
    assert db.read_now(INSTALLATION, sending.sources, lane="bulk") == []
    for made in (under_way, soon):
        assert "held" in str(look(db, ada, made).paused_why)
        db.write_now(ada.id, course.resume, made)
    assert look(db, ada, later).paused_at is None
    assert db.read_now(INSTALLATION, course.due) == [Source(ada.id, soon)]
    assert db.read_now(INSTALLATION, sending.sources, lane="bulk") == [Source(ada.id, under_way)]


def test_beside_another_installation_what_is_overdue_is_held(
    db: Database, overdue: tuple[int, int, int], clock: Clock
) -> None:
    clock.move(2 * HOUR)
    assert wake(db, "elsewhere") == 2


def test_a_clock_that_is_set_back_by_far_holds_what_is_under_way(
    db: Database, ada: Owner, overdue: tuple[int, int, int], clock: Clock
) -> None:
    clock.move(8 * HOUR)
    db.write_now(INSTALLATION, heartbeats.beat, "engine", "here")
    clock.move(-7 * HOUR)
    assert wake(db) == 2


def test_what_became_due_late_in_the_gap_is_held_too(db: Database, ada: Owner, clock: Clock) -> None:
    # Sent an hour ago, perhaps, by the installation that this old copy of the database knows nothing of.
    wake(db)
    made = draft(db, ada)
    db.write_now(ada.id, course.schedule, made, clock.now + 23 * HOUR)
    clock.move(24 * HOUR)
    assert wake(db) == 1
    assert db.read_now(INSTALLATION, course.due) == []
