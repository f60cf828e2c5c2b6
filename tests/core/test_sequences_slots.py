"""When an email may go out: weekdays, hours, and clocks that jump."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.core import slots
from tidings.core.slots import ALL_DAYS, DAY_MS, HOUR_MS, LATE_MS, Slot, zone_of

BERLIN, LONDON, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/London"), ZoneInfo("America/New_York")
# It left out 30 December 2011 whole.
APIA = ZoneInfo("Pacific/Apia")
# Its summer begins at midnight: that hour does not exist.
CAIRO = ZoneInfo("Africa/Cairo")
# Half an hour of summer time.
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
MONDAY, SATURDAY, SUNDAY = 1, 1 << 5, 1 << 6
WORKDAYS = 0b001_1111

zones = st.sampled_from((UTC, BERLIN, LONDON, NEW_YORK, APIA, CAIRO, LORD_HOWE))
moments = st.integers(1_262_304_000_000, 1_893_456_000_000)
delays = st.one_of(
    st.integers(0, 9).map(lambda n: n * DAY_MS), st.integers(0, 200).map(lambda n: n * HOUR_MS)
)
hours = st.one_of(st.none(), st.integers(0, 23))
slots_ = st.builds(Slot, delays, st.integers(1, ALL_DAYS), hours, hours)


def ms(zone: tzinfo, *parts: int) -> int:
    return round(datetime(*parts, tzinfo=zone).timestamp() * 1_000)  # type: ignore[misc, arg-type]


def local(at: int, zone: tzinfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).astimezone(zone)


def first(slot: Slot, since: int, zone: tzinfo) -> str:
    """When it is due for somebody who is looked at right away, in local time."""
    return local(slot.due_at(since, since, zone), zone).strftime("%a %d %b %H:%M %z")


def test_a_delay_of_hours_counts_from_the_moment_also_with_a_default_hour() -> None:
    since = ms(BERLIN, 2026, 6, 1, 15, 20)
    assert first(Slot(3 * HOUR_MS, default_hour=9), since, BERLIN) == "Mon 01 Jun 18:20 +0200"
    assert first(Slot(36 * HOUR_MS, default_hour=9), since, BERLIN) == "Wed 03 Jun 03:20 +0200"
    assert first(Slot(0, default_hour=9), since, BERLIN) == "Mon 01 Jun 15:20 +0200"


def test_a_delay_of_days_goes_to_the_hour_of_that_day() -> None:
    late, early = ms(BERLIN, 2026, 6, 1, 23, 59), ms(BERLIN, 2026, 6, 1, 0, 1)
    for since in (late, early):
        assert first(Slot(DAY_MS, default_hour=9), since, BERLIN) == "Tue 02 Jun 09:00 +0200"
        assert first(Slot(7 * DAY_MS, default_hour=0), since, BERLIN) == "Mon 08 Jun 00:00 +0200"
    assert first(Slot(DAY_MS), late, BERLIN) == "Tue 02 Jun 23:59 +0200"


def test_an_hour_of_its_own_counts_whatever_the_delay() -> None:
    since = ms(BERLIN, 2026, 6, 1, 15, 20)
    assert first(Slot(0, hour=9), since, BERLIN) == "Tue 02 Jun 09:00 +0200"
    assert first(Slot(3 * HOUR_MS, hour=19), since, BERLIN) == "Mon 01 Jun 19:00 +0200"
    assert first(Slot(DAY_MS, hour=7, default_hour=9), since, BERLIN) == "Tue 02 Jun 07:00 +0200"


def test_a_day_that_is_not_allowed_moves_to_the_next_that_is() -> None:
    friday = ms(BERLIN, 2026, 6, 5, 15, 20)
    assert first(Slot(DAY_MS, WORKDAYS, default_hour=9), friday, BERLIN) == "Mon 08 Jun 09:00 +0200"
    assert first(Slot(DAY_MS, WORKDAYS), friday, BERLIN) == "Mon 08 Jun 15:20 +0200"
    assert first(Slot(12 * HOUR_MS, WORKDAYS, default_hour=9), friday, BERLIN) == "Mon 08 Jun 09:00 +0200"
    assert first(Slot(2 * HOUR_MS, WORKDAYS), friday, BERLIN) == "Fri 05 Jun 17:20 +0200"
    assert first(Slot(0, SATURDAY), ms(BERLIN, 2026, 6, 7, 1), BERLIN) == "Sat 13 Jun 01:00 +0200"


def test_the_same_moment_is_another_day_in_another_zone() -> None:
    since = ms(UTC, 2026, 6, 7, 23, 30)
    assert first(Slot(0, MONDAY), since, BERLIN) == "Mon 08 Jun 01:30 +0200"
    assert first(Slot(0, SUNDAY), since, NEW_YORK) == "Sun 07 Jun 19:30 -0400"


@pytest.mark.parametrize(
    ("zone", "slot", "since", "expected"),
    (
        # 02:00 to 03:00 does not exist.
        (BERLIN, Slot(DAY_MS, hour=2), (2026, 3, 28, 15), "Sun 29 Mar 03:00 +0200"),
        # 01:30 does not exist: moved from Saturday, with its minutes.
        (LONDON, Slot(0, SUNDAY), (2026, 3, 28, 1, 30), "Sun 29 Mar 02:30 +0100"),
        (CAIRO, Slot(DAY_MS, hour=0), (2026, 4, 23, 15), "Fri 24 Apr 01:00 +0300"),
        (LORD_HOWE, Slot(DAY_MS, hour=2), (2026, 10, 3, 15), "Sun 04 Oct 02:30 +1100"),
        # 02:00 to 03:00 is there twice: the first counts.
        (BERLIN, Slot(DAY_MS, hour=2), (2026, 10, 24, 15), "Sun 25 Oct 02:00 +0200"),
        (NEW_YORK, Slot(DAY_MS, hour=1), (2026, 10, 31, 15), "Sun 01 Nov 01:00 -0400"),
        # A Friday that the zone left out: its hour is Saturday's.
        (APIA, Slot(DAY_MS, hour=9), (2011, 12, 29, 15), "Sat 31 Dec 09:00 +1400"),
        (APIA, Slot(DAY_MS, 1 << 4, hour=9), (2011, 12, 29, 15), "Fri 06 Jan 09:00 +1400"),
    ),
)
def test_a_clock_that_jumps_moves_an_hour_forward_and_doubles_none(
    zone: tzinfo, slot: Slot, since: tuple[int, ...], expected: str
) -> None:
    assert first(slot, ms(zone, *since), zone) == expected


@given(zones, st.integers(0, 23), moments)
def test_a_daily_email_comes_once_on_every_day_that_the_zone_has(zone: tzinfo, hour: int, since: int) -> None:
    days = []
    for _ in range(400):
        since = Slot(DAY_MS, hour=hour).due_at(since, since, zone)
        days.append(local(since, zone).date())
    skipped = {one + timedelta(days=1) for one in days[:-1]} - set(days)
    assert len(set(days)) == len(days)
    assert all(zone is APIA and one.isoformat() == "2011-12-30" for one in skipped)


@given(slots_, zones, moments, st.integers(0, 30 * DAY_MS))
def test_what_is_due_is_never_before_its_delay_nor_on_a_forbidden_day_and_always_comes(
    slot: Slot, zone: tzinfo, since: int, later: int
) -> None:
    by_hour = slot.hour is not None or (
        slot.default_hour is not None and slot.delay_ms and not slot.delay_ms % DAY_MS
    )
    now, looks = since + later, 0
    while (due_at := slot.due_at(since, now, zone)) > now:
        assert slot.weekdays >> local(due_at, zone).weekday() & 1 or slot.weekdays == ALL_DAYS
        now, looks = due_at, looks + 1
    # The first look finds the slot, the second sends.
    assert looks <= 1
    days = slot.delay_ms // DAY_MS if by_hour and slot.delay_ms % DAY_MS == 0 else 0
    if days:
        assert local(now, zone).date() >= local(since, zone).date() + timedelta(days=days)
    else:
        assert now >= since + slot.delay_ms
    if by_hour:
        assert now - due_at <= LATE_MS
    else:
        assert slot.weekdays >> local(now, zone).weekday() & 1


def test_who_is_late_for_an_hour_by_a_little_is_due_and_by_more_waits_for_the_next() -> None:
    slot, since = Slot(DAY_MS, hour=9), ms(BERLIN, 2026, 6, 1, 15)
    nine = ms(BERLIN, 2026, 6, 2, 9)
    for late in (0, 1, LATE_MS):
        assert slot.due_at(since, nine + late, BERLIN) == nine
    assert slot.due_at(since, nine + LATE_MS + 1, BERLIN) == nine + DAY_MS
    assert slot.due_at(since, nine + 40 * DAY_MS, BERLIN) == nine + 40 * DAY_MS


def test_who_is_late_without_an_hour_is_due_on_any_allowed_day() -> None:
    slot, since = Slot(DAY_MS, WORKDAYS), ms(BERLIN, 2026, 6, 1, 15)
    assert slot.due_at(since, ms(BERLIN, 2026, 6, 4, 22), BERLIN) == since + DAY_MS
    saturday = ms(BERLIN, 2026, 6, 6, 12)
    assert slot.due_at(since, saturday, BERLIN) == ms(BERLIN, 2026, 6, 8, 15)


@pytest.mark.parametrize(
    "name", ("", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "America", "a\x00b", "x" * 10_000, ".")
)
def test_a_name_that_is_no_time_zone_is_not_known_and_read_as_the_next(name: str) -> None:
    assert not slots.known(name)
    assert zone_of(name, "Europe/Berlin") == BERLIN
    assert zone_of(None, name) == UTC
