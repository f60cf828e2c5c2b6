"""Slots: when an email may go out, on which days and at which hour of somebody's time zone.

Owns no table. All times are epoch ms, UTC; local times come from the system's time zone
data (`zoneinfo`). Invariant: what is due at an hour has one slot a day, what is moved lands
on an allowed day. A local hour that does not exist (the clock goes forward) moves forward with the
clock, one that exists twice counts the first time (PEP 495, fold=0).
"""

import functools
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

import msgspec

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# A bit for each day, Monday = 1.
ALL_DAYS = 0b111_1111
# An engine that was stopped over the hour still keeps to it for so long; whoever is later
# than that waits for the hour's next coming, instead of being mailed in the night.
LATE_MS = 3 * HOUR_MS
# Somewhere in so many days lies every allowed weekday, even where a zone leaves one out.
_DAYS_LOOKED_AT = 16


class Slot(msgspec.Struct, frozen=True):
    """When one email may go out.

    `delay_ms` counts from the email before. `hour` (0 to 23) is the hour of the day it goes
    out at, whatever the delay; `default_hour` only counts for delays of whole days.
    """

    delay_ms: int
    weekdays: int = ALL_DAYS
    hour: int | None = None
    default_hour: int | None = None

    def due_at(self, since: int, now: int, zone: tzinfo) -> int:
        """Return when the email is due: at or before `now` to go out, else the moment to wait for.

        A delay of hours counts from the moment `since`, a delay of whole days to the hour
        of that day. An allowed slot that has passed is still due on an allowed day; at a
        given hour, only until `LATE_MS` after it.
        """
        days, rest = divmod(self.delay_ms, DAY_MS)
        by_day = days > 0 and rest == 0
        hour = self.hour if self.hour is not None else self.default_hour
        if hour is None or (self.hour is None and not by_day):
            return self._from_the_moment(since + self.delay_ms, now, zone, hour)
        first = since + self.delay_ms
        if by_day:
            start = _local(since, zone).date() + timedelta(days=days)
            first = _moment(start, 0, zone)
        return self._next(max(first, now - LATE_MS), hour * HOUR_MS, zone)

    def _from_the_moment(self, at: int, now: int, zone: tzinfo, hour: int | None) -> int:
        """Return the moment itself, or where a day that is not allowed moves it to."""
        if self.weekdays & ALL_DAYS == ALL_DAYS or _allowed(at, self.weekdays, zone):
            first = at
        else:
            first = self._next(at, self._time_of_day(at, zone, hour), zone)
        if first > now or self.weekdays & ALL_DAYS == ALL_DAYS or _allowed(now, self.weekdays, zone):
            return first
        return self._next(now, self._time_of_day(at, zone, hour), zone)

    def _next(self, earliest: int, time_ms: int, zone: tzinfo) -> int:
        """Return the first moment from `earliest` on that has this time of day on an allowed day."""
        for day in _days(_local(earliest, zone).date() - timedelta(days=1)):
            at = _moment(day, time_ms, zone)
            if at >= earliest and _allowed(at, self.weekdays, zone):
                return at
        raise AssertionError("no weekday is allowed")

    @staticmethod
    def _time_of_day(at: int, zone: tzinfo, hour: int | None) -> int:
        if hour is not None:
            return hour * HOUR_MS
        local = _local(at, zone)
        return (local.hour * 3_600 + local.minute * 60 + local.second) * 1_000 + local.microsecond // 1_000


def zone_of(*names: str | None) -> tzinfo:
    """Return the first of these zones that this system knows, else UTC."""
    for name in names:
        if name:
            zone = _zone(name)
            if zone is not None:
                return zone
    return UTC


def known(name: str) -> bool:
    """Say whether this system has time zone data under a name such as Europe/Berlin."""
    return name == "UTC" or name in _names()


@functools.lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    # Some 15 ms of looking through folders, and the only check that no path gets past.
    return frozenset(zoneinfo.available_timezones())


@functools.lru_cache(maxsize=1_024)
def _zone(name: str) -> tzinfo | None:
    return (UTC if name == "UTC" else zoneinfo.ZoneInfo(name)) if known(name) else None


def _days(first: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range(_DAYS_LOOKED_AT))


def _local(at: int, zone: tzinfo) -> datetime:
    # Not fromtimestamp(): a float of seconds loses milliseconds.
    return (_EPOCH + timedelta(milliseconds=at)).astimezone(zone)


def _moment(day: date, time_ms: int, zone: tzinfo) -> int:
    wall = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(milliseconds=time_ms)
    return (wall.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


def _allowed(at: int, weekdays: int, zone: tzinfo) -> bool:
    return bool(weekdays >> _local(at, zone).weekday() & 1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
