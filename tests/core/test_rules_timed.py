"""Triggers of time: a date that comes, a silence that lasts; each person once, slice by slice."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cast import API, DAY, HOUR, Cast, Clock, Owner, join, rows
from tests.core.ruled import do, rule, runs, settle, states, walk
from tidings.core import accounts, automations, events, signup, subscribers
from tidings.core.automations import Action, Trigger, Wish, walks
from tidings.store.db import Database
from tidings.store.tx import Tx


def date_of(clock: Clock, days: int = 0) -> str:
    at = datetime.fromtimestamp(clock.now / 1_000, UTC) + timedelta(days=days)
    return at.date().isoformat()


def give(db: Database, owner: Owner, who: int, value: str | None) -> None:
    names = {"email": None, "first_name": None, "fields": {"city": value}, "origin": API}
    db.write_now(owner.id, subscribers.update, who, **names)


def mailed(db: Database, owner: Owner, who: int, at: int, **marks: int) -> None:
    """A mail reached them at this time, and was opened or clicked."""
    names = {"opened_at": None, "clicked_at": None, **marks}

    def verb(tx: Tx) -> None:
        tx.run(
            "INSERT INTO deliveries (account_id, occasion, subscriber_id, lane, state, attempts, due_at,"
            " handed_at, settled_at, created_at, opened_at, clicked_at) VALUES (:account_id, :occasion, :id,"
            " 'bulk', 'sent', 1, 0, :at, :at, :at, CAST(:opened_at AS BIGINT), CAST(:clicked_at AS BIGINT))",
            account_id=owner.id,
            occasion=f"broadcast:{at}.{who}",
            id=who,
            at=at,
            **names,
        )

    db.write_now(owner.id, verb)


def started(db: Database, owner: Owner, one: automations.Rule) -> list[tuple[int, str]]:
    """Return whom a rule has started for, and why."""
    return [(run.subscriber_id, run.occasion) for run in runs(db, owner, one)]


# -- dates --------------------------------------------------------------------------


def test_a_date_starts_its_rule_at_its_hour_in_the_account_s_zone_and_once(
    db: Database, cast: Cast, clock: Clock
) -> None:
    ada = cast.ada
    db.write_now(ada.id, accounts.set_time_zone, "Asia/Tokyo")
    one = rule(db, ada, Trigger("date_arrives", ada.city, hour=9), Action("add_tag", ada.vip))
    # It is 21:00 in Tokyo: the hour of tomorrow comes in twelve hours.
    give(db, ada, cast.bea, date_of(clock, 1))
    settle(db)
    clock.move(12 * HOUR - 1)
    settle(db)
    assert started(db, ada, one) == []
    clock.move(1)
    for _ in range(3):
        settle(db)
    assert started(db, ada, one) == [(cast.bea, f"date:{one.id}:{date_of(clock)}")]
    for _ in range(4):
        clock.move(DAY)
        settle(db)
    assert states(db, ada, one) == ["done"]


def test_a_rule_made_after_the_hour_begins_on_the_next_day(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    give(db, ada, cast.bea, date_of(clock))
    one = rule(db, ada, Trigger("date_arrives", ada.city, hour=11), Action("add_tag", ada.vip))
    before = rule(db, ada, Trigger("date_arrives", ada.city, hour=12), Action("add_tag", ada.vip))
    settle(db)
    assert (states(db, ada, one), states(db, ada, before)) == ([], ["done"])
    give(db, ada, cast.bea, date_of(clock, 1))
    clock.move(DAY)
    settle(db)
    assert (states(db, ada, one), states(db, ada, before)) == (["done"], ["done", "done"])


@pytest.mark.parametrize(("offset", "value_days"), ((-3, 3), (5, -5), (0, 0)))
def test_days_before_and_after_a_date(
    db: Database, cast: Cast, clock: Clock, offset: int, value_days: int
) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("date_arrives", ada.city, days=offset, hour=12), Action("add_tag", ada.vip))
    give(db, ada, cast.bea, date_of(clock, value_days))
    settle(db)
    assert states(db, ada, one) == ["done"]


@pytest.mark.parametrize(
    ("born", "day", "comes"),
    (
        ("1990-08-01", "2026-08-01", True),
        ("1990-08-01", "2027-08-01", True),
        ("1990-08-02", "2026-08-01", False),
        ("2030-08-01", "2026-08-01", False),
        ("1992-02-29", "2027-02-28", True),
        ("1992-02-29", "2028-02-28", False),
        ("1992-02-29", "2028-02-29", True),
        ("1990-02-28", "2027-02-28", True),
        ("1990-08-01T23:30:00-05:00", "2026-08-02", True),
        ("1990-08-01T10:00", "2026-08-01", True),
        ("01.08.1990", "2026-08-01", False),
        ("soon", "2026-08-01", False),
        ("1990-13-45", "2026-08-01", False),
        ("1990-08-01" + "0" * 60_000, "2026-08-01", False),
    ),
)
def test_a_birthday_comes_round_every_year(
    db: Database, cast: Cast, clock: Clock, born: str, day: str, comes: bool
) -> None:
    ada = cast.ada
    clock.now = walks.moment(datetime.fromisoformat(day).date(), 0, UTC)
    give(db, ada, cast.bea, born)
    one = rule(db, ada, Trigger("date_arrives", ada.city, hour=9, yearly=True), Action("add_tag", ada.vip))
    clock.move(9 * HOUR)
    settle(db)
    assert states(db, ada, one) == (["done"] if comes else [])


def test_days_that_the_engine_slept_through_are_made_up_for_within_a_bound(
    db: Database, cast: Cast, clock: Clock
) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("date_arrives", ada.city, hour=12), Action("add_tag", ada.vip))
    settle(db)
    late = join(db, ada, "form", ada.plain, "late@example.com", fields={"city": date_of(clock, 8)})[1]
    join(db, ada, "form", ada.plain, "lost@example.com", fields={"city": date_of(clock, 6)})
    clock.move(10 * DAY)
    settle(db)
    assert [who for who, _ in started(db, ada, one)] == [late.id]


def test_a_walk_goes_slice_by_slice_and_two_engines_make_each_once(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    monkeypatch.setattr(walks, "SLICE", 4)
    people = [
        join(db, ada, "form", ada.plain, f"p{n}@example.com", fields={"city": date_of(clock)})[1].id
        for n in range(10)
    ]
    one = rule(db, ada, Trigger("date_arrives", ada.city, hour=12), Action("add_tag", ada.vip))
    [mine] = db.read_now(ada.id, walks.due)
    [theirs] = db.read_now(ada.id, walks.due)
    found = db.read_now(ada.id, walks.look, mine)
    assert db.write_now(ada.id, walks.keep, found)
    # The other engine has looked at the same slice and is late.
    assert not db.write_now(ada.id, walks.keep, db.read_now(ada.id, walks.look, theirs))
    # Bea is active too: eleven people are two slices more.
    assert walk(db) == 2
    assert walk(db) == 0
    do(db)
    assert sorted(who for who, _ in started(db, ada, one)) == people


def test_a_walk_ends_where_its_rule_is_switched_off_and_begins_anew(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    monkeypatch.setattr(walks, "SLICE", 1)
    join(db, ada, "form", ada.plain, "fay@example.com", fields={"city": date_of(clock)})
    one = rule(db, ada, Trigger("date_arrives", ada.city, hour=12), Action("add_tag", ada.vip))
    [begun] = db.read_now(ada.id, walks.due)
    assert db.write_now(ada.id, walks.keep, db.read_now(ada.id, walks.look, begun))
    [half] = db.read_now(ada.id, walks.due)
    db.write_now(ada.id, automations.switch, one.id, on=False)
    assert db.read_now(ada.id, walks.due) == []
    assert not db.write_now(ada.id, walks.keep, db.read_now(ada.id, walks.look, half))
    db.write_now(ada.id, automations.switch, one.id, on=True)
    settle(db)
    assert states(db, ada, one) == ["done"]


@given(st.dates(), st.sampled_from(("", "T10:00", " 23:59:59", "T00:00Z")))
def test_every_date_is_read(day: date, time: str) -> None:
    assert walks.day_of(f" {day.isoformat()}{time} ", UTC) == day


@given(st.text(max_size=60))
def test_what_is_no_date_is_none(value: str) -> None:
    found = walks.day_of(value, UTC)
    assert found is None or value.strip().startswith(found.isoformat())


# -- silence ------------------------------------------------------------------------


def test_who_was_mailed_and_showed_nothing_goes_quiet_once_for_each_silence(
    db: Database, cast: Cast, clock: Clock
) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("goes_quiet", days=7, hour=0), Action("add_tag", ada.vip))
    joined_at = clock.now
    settle(db)
    assert states(db, ada, one) == []
    for _ in range(9):
        clock.move(DAY)
        mailed(db, ada, cast.bea, clock.now)
        settle(db)
    assert started(db, ada, one) == [(cast.bea, f"quiet:{one.id}:{joined_at}")]
    # A sign of life, and a second silence.
    mailed(db, ada, cast.bea, clock.now - 2 * HOUR, opened_at=clock.now - HOUR)
    opened_at = clock.now - HOUR
    for _ in range(9):
        clock.move(DAY)
        mailed(db, ada, cast.bea, clock.now)
        settle(db)
    assert started(db, ada, one)[1:] == [(cast.bea, f"quiet:{one.id}:{opened_at}")]
    # The mails that were opened are folded away: an older sign is no new silence.
    db.write_now(ada.id, lambda tx: tx.run("DELETE FROM deliveries WHERE opened_at IS NOT NULL"))
    clock.move(DAY)
    mailed(db, ada, cast.bea, clock.now)
    settle(db)
    assert len(runs(db, ada, one)) == 2


@pytest.mark.parametrize("sign", ("open", "click", "subscribe", "buy", "left", "not mailed", "new"))
def test_who_shows_a_sign_of_life_is_not_quiet(db: Database, cast: Cast, clock: Clock, sign: str) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("goes_quiet", days=7, hour=0), Action("add_tag", ada.vip))
    clock.move(10 * DAY)
    who = cast.bea
    if sign == "new":
        who = join(db, ada, "form", ada.plain, "new@example.com")[1].id
    if sign != "not mailed":
        mailed(db, ada, who, clock.now - DAY)
    match sign:
        case "open":
            mailed(db, ada, who, clock.now - 9 * DAY, opened_at=clock.now - DAY)
        case "click":
            mailed(db, ada, who, clock.now - 9 * DAY, clicked_at=clock.now - DAY)
        case "subscribe":
            join(db, ada, "form", ada.double, "bea@example.com")
        case "buy":
            db.write_now(
                ada.id,
                lambda tx: events.record(
                    tx, "purchase_create", subscribers.get(tx, who), who, API, subject_id=1
                ),
            )
        case "left":
            db.write_now(ada.id, signup.unsubscribe, "bea@example.com", API)
        case "not mailed":
            mailed(db, ada, who, clock.now - 8 * DAY)
    settle(db)
    assert states(db, ada, one) == []


def test_what_a_rule_does_is_no_sign_of_life(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("goes_quiet", days=7, hour=0), Action("add_to_sequence", ada.sequence))
    joined_at = clock.now
    for _ in range(20):
        clock.move(DAY)
        mailed(db, ada, cast.bea, clock.now)
        settle(db)
    assert started(db, ada, one) == [(cast.bea, f"quiet:{one.id}:{joined_at}")]


def test_who_comes_back_before_the_run_is_left_alone(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("goes_quiet", days=7, hour=0), Action("unsubscribe"))
    clock.move(8 * DAY)
    mailed(db, ada, cast.bea, clock.now)
    walk(db)
    mailed(db, ada, cast.bea, clock.now - HOUR, opened_at=clock.now)
    assert do(db) == ["skipped"]
    assert runs(db, ada, one)[0].said == "they are not quiet any more"
    assert db.read_now(ada.id, subscribers.get, cast.bea).state == "active"


def test_a_changed_trigger_begins_anew(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("goes_quiet", days=7, hour=0), Action("add_tag", ada.vip))
    settle(db)
    assert rows(db, "SELECT scan_id FROM rules WHERE scan_day IS NOT NULL") == [(walks.ENDED,)]
    wish = Wish("x", Trigger("goes_quiet", days=8, hour=0), (), one.actions)
    changed = db.write_now(ada.id, automations.change, one.id, wish)
    assert (changed.trigger.days, len(db.read_now(ada.id, walks.due))) == (8, 1)
