"""The clock of a sandbox: the machine's, set forward by whoever tests."""

import re

from tidings.errors import Invalid
from tidings.store.db import wall_clock

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
# Forward in one call, and altogether: what is a year ahead still has four digits everywhere.
ADVANCE_MAX_MS = 366 * DAY_MS
AHEAD_MAX_MS = 100 * ADVANCE_MAX_MS
# Rounds of the engine in one turn of the clock: a month by the hour, in about a second.
ROUNDS_MOST = 31 * 24

_UNITS = {
    "second": 1_000, "sec": 1_000, "s": 1_000,
    "minute": MINUTE_MS, "min": MINUTE_MS, "m": MINUTE_MS,
    "hour": HOUR_MS, "h": HOUR_MS,
    "day": DAY_MS, "d": DAY_MS,
    "week": 7 * DAY_MS, "w": 7 * DAY_MS,
}  # fmt: skip
_PART = re.compile(r"\s*([0-9]{1,9})\s*([a-z]+)\s*,?")
_TEXT_MAX = 100


class Clock:
    """Epoch ms, like `wall_clock`, but `ahead_ms` later."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        """Return what time it is in the sandbox."""
        return wall_clock() + self.ahead_ms

    def advance(self, ms: int) -> None:
        """Set the clock forward."""
        self.ahead_ms += ms


def span_ms(said: str) -> int:
    """Read `3 days`, `90 minutes`, `1h 30m`; raise Invalid for anything else, and beyond 366 days."""
    text = said.lower()
    total, at = 0, 0
    while at < len(text) <= _TEXT_MAX:
        part = _PART.match(text, at)
        unit = part and (_UNITS.get(part[2]) or _UNITS.get(part[2].removesuffix("s")))
        if part is None or not unit:
            break
        total += int(part[1]) * unit
        at = part.end()
    if not total or at < len(text):
        raise Invalid("advance", 'must be a span of time such as "3 days", "90 minutes" or "1h 30m"')
    if total > ADVANCE_MAX_MS:
        raise Invalid("advance", "must be at most 366 days in one call")
    return total


def strides(ms: int) -> list[int]:
    """Divide a turn of the clock (ms) so that what falls due on the way is done near its time.

    By the minute up to an hour, by the hour up to 31 days, and in 744 parts beyond.
    """
    stride = MINUTE_MS if ms <= HOUR_MS else max(HOUR_MS, -(-ms // ROUNDS_MOST))
    whole, rest = divmod(ms, stride)
    return [stride] * whole + ([rest] if rest else [])
