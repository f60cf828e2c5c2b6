"""Times as people fill them in: a date and an hour in the account's zone."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from tidings.core import slots
from tidings.web.dashboard.given import Given

_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2})(?::[0-9]{2})?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(given: Given, date_name: str, time_name: str, zone: str) -> int | None:
    """Return the moment (epoch ms) that two fields mean in a zone; None, with an error, where they mean none.

    An hour that the clock leaves out moves forward with it, one that it has twice is the first.
    """
    found = _DATE.fullmatch(given.text(date_name, "The date", needed=True, most=20))
    clock = _TIME.fullmatch(given.text(time_name, "The time", needed=True, most=20))
    try:
        if found is None:
            given.wrong(date_name, "The date must be like 2026-12-31.")
            return None
        day = date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        given.wrong(date_name, "There is no such day.")
        return None
    if clock is None or int(clock[1]) > 23 or int(clock[2]) > 59:
        given.wrong(time_name, "The time must be like 09:30.")
        return None
    wall = datetime(
        day.year, day.month, day.day, int(clock[1]), int(clock[2]), tzinfo=slots.zone_of(zone, "UTC")
    )
    try:
        return (wall.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
    except OverflowError:
        given.wrong(date_name, "There is no such day.")
        return None


def day_after(now: int, zone: str) -> str:
    """Return tomorrow's date in a zone, as a date field wants it."""
    local = _EPOCH + timedelta(milliseconds=now)
    return (local.astimezone(slots.zone_of(zone, "UTC")) + timedelta(days=1)).date().isoformat()


def wall_s(at: int, zone: str) -> int:
    """Return what clocks of a zone show at a moment, as seconds of a UTC that never was: for a plot."""
    offset = (_EPOCH + timedelta(milliseconds=at)).astimezone(slots.zone_of(zone, "UTC")).utcoffset()
    return at // 1_000 + (int(offset.total_seconds()) if offset else 0)


def clock_words(now: int, zone: str) -> str:
    """Return what a clock in the zone says now."""
    return (_EPOCH + timedelta(milliseconds=now)).astimezone(slots.zone_of(zone, "UTC")).strftime("%H:%M")
