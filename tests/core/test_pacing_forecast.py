"""When a broadcast will be finished, as far as anybody can say."""

import pytest

from tests.core.cast import DAY, HOUR, SECOND, Cast, Clock
from tidings.core import broadcasts, deliveries, pacing
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import Draft, course
from tidings.core.pacing import Finishing, Limits
from tidings.errors import NotFound
from tidings.store.db import Database
from tidings.store.tx import Tx

MINUTE = 60 * SECOND
RAMP = Limits("mail.example:587", ramps=True)


def sending(db: Database, cast: Cast, clock: Clock, recipients: int, settled: int = 0) -> int:
    """Make a broadcast that has just begun to go to so many."""
    draft = Draft(subject="S", content="<p>x</p>", send_at=clock.now)
    made = db.write_now(cast.ada.id, broadcasts.create, draft, "ada@example.com").id

    def began(tx: Tx) -> None:
        tx.run(
            "UPDATE broadcasts SET status = 'sending', started_at = :now, fanned_at = :now,"
            " recipients = :recipients, settled = :settled WHERE id = :id",
            now=clock.now,
            recipients=recipients,
            settled=settled,
            id=made,
        )

        deliveries.queue_slice(tx, made, 0, cast.dee)

    db.write_now(cast.ada.id, began)
    return made


def ask(db: Database, cast: Cast, made: int, limits: Limits | None = None) -> Finishing:
    return db.read_now(cast.ada.id, pacing.finishing, made, limits)


def spend(db: Database, limits: Limits, n: int) -> int:
    def verb(tx: Tx) -> int:
        allowed = pacing.allow(tx, limits, n, lane="bulk")
        pacing.spend(tx, allowed, allowed.n)
        return allowed.n

    return db.write_now(INSTALLATION, verb)


def test_without_limits_it_goes_on_as_fast_as_so_far(db: Database, cast: Cast, clock: Clock) -> None:
    made = sending(db, cast, clock, 10_000, settled=2_500)
    clock.move(5 * SECOND)
    assert ask(db, cast, made) == Finishing(7_500, 500.0, clock.now + 15 * SECOND)


def test_what_has_hardly_begun_is_paused_or_done_has_no_time(db: Database, cast: Cast, clock: Clock) -> None:
    made = sending(db, cast, clock, 100)
    assert ask(db, cast, made) == Finishing(100, 0.0, None)
    db.write_now(cast.ada.id, course.pause, made)
    assert ask(db, cast, made, RAMP) == Finishing(100, 0.0, None)
    db.write_now(cast.ada.id, lambda tx: tx.run("UPDATE broadcasts SET settled = 100, paused_at = NULL"))
    db.write_now(cast.ada.id, course.finish, made)
    assert ask(db, cast, made) == Finishing(0, 0.0, clock.now)
    with pytest.raises(NotFound):
        db.read_now(cast.eve.id, pacing.finishing, made)


def test_a_rate_that_doubles_is_reckoned_with(db: Database, cast: Cast, clock: Clock) -> None:
    made = sending(db, cast, clock, 700)
    assert spend(db, RAMP, 320) == 10
    # 100, 200 and 400 mails in ten seconds each.
    assert ask(db, cast, made, RAMP).finish_at == clock.now + 30 * SECOND


def test_a_rate_that_the_machines_do_not_reach_is_not_believed(
    db: Database, cast: Cast, clock: Clock
) -> None:
    made = sending(db, cast, clock, 1_000)
    for _ in range(10):
        spend(db, RAMP, 5)
        clock.move(SECOND)
    assert ask(db, cast, made, RAMP).per_second == pytest.approx(5, rel=0.2)


def test_a_rate_that_was_just_raised_is_believed(db: Database, cast: Cast, clock: Clock) -> None:
    made = sending(db, cast, clock, 10_000)
    for _ in range(10):
        spend(db, RAMP, 320)
        clock.move(SECOND)
    before = ask(db, cast, made, RAMP).finish_at
    assert spend(db, RAMP, 320) == 20
    after = ask(db, cast, made, RAMP).finish_at
    assert before is not None
    assert after is not None
    assert abs(after - before) < 15 * SECOND


def test_the_owner_s_limits_are_reckoned_with(db: Database, cast: Cast, clock: Clock) -> None:
    made = sending(db, cast, clock, 2_500)
    daily = Limits("mail.example:25", per_day=1_000)
    assert spend(db, daily, 400) == 400
    # 600 today, and 1,000 on each of the next two days.
    assert ask(db, cast, made, daily).finish_at == clock.now + 2 * DAY
    hourly = Limits("other.example:25", per_hour=1_000, per_minute=500)
    spend(db, hourly, 1)
    assert ask(db, cast, made, hourly).finish_at == clock.now + 2 * HOUR


def test_broadcasts_that_go_at_once_share(db: Database, cast: Cast, clock: Clock) -> None:
    limits = Limits("mail.example:25", per_second=20, ramps=True)
    made = sending(db, cast, clock, 10_000)
    spend(db, limits, 1)
    alone = ask(db, cast, made, limits)
    sending(db, cast, clock, 10_000)
    shared = ask(db, cast, made, limits)
    assert alone.per_second == pytest.approx(20, rel=0.05)
    assert shared.per_second == pytest.approx(10, rel=0.05)
    assert shared.finish_at is not None
    assert shared.finish_at - clock.now > 15 * MINUTE


def test_an_audience_that_is_still_being_queued_is_reckoned_in_proportion(
    db: Database, cast: Cast, clock: Clock
) -> None:
    made = sending(db, cast, clock, 100, settled=50)
    sql = "UPDATE broadcasts SET fanned_at = NULL, cursor_id = 250, highest_id = 1000"
    db.write_now(cast.ada.id, lambda tx: tx.run(sql))
    clock.move(SECOND)
    assert ask(db, cast, made).left == 350
