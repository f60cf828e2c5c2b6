"""Forecast: when a broadcast will be finished, from what is left and how fast it goes."""

import msgspec

from tidings.core import broadcasts
from tidings.core.broadcasts import Broadcast, course
from tidings.core.pacing import paces
from tidings.core.pacing.paces import CHANGE_MS, Limits, Pace
from tidings.core.pacing.windows import LENGTHS_MS, MEASURED
from tidings.store.tx import Rx

# Below this rate, per second, a relay is taken to go on doubling; most take as much.
SUPPOSED = 100
# A measurement over less than this says little.
MEASURED_LEAST_MS = 5_000
# With less than this part of the rate, it is not the rate that holds the mail up.
NEAR = 0.7


class Finishing(msgspec.Struct, frozen=True):
    """How many mails are left, how many go a second on average, and when the last one goes (epoch ms).

    `finish_at` is None for a broadcast that is not being sent, is paused, or has hardly begun.
    """

    left: int
    per_second: float
    finish_at: int | None


def finishing(rx: Rx, broadcast_id: int, limits: Limits | None = None) -> Finishing:
    """Estimate when a broadcast of the account is finished; raise NotFound for one that is not there.

    `limits` are the provider's, for one that has any. Broadcasts that are sent at once share.
    """
    found = broadcasts.find(rx, broadcast_id)
    left = max(_everybody(found) - found.settled, 0)
    if found.status != "sending" or found.paused_at is not None or found.started_at is None:
        return Finishing(left if found.status != "completed" else 0, 0.0, found.completed_at)
    pace = None if limits is None or limits.free else paces.look(rx, limits)
    if pace is None or limits is None:
        # Nothing holds it up but the machines: as fast as so far.
        spent_ms = max(rx.now - found.started_at, 1)
        if not found.settled:
            return Finishing(left, 0.0, None)
        needed_ms = left * spent_ms / found.settled
    else:
        others = max(len(course.sending(rx)), 1)
        needed_ms = _needed_ms(pace, limits, left * others, rx.now)
    per_second = left * 1_000 / needed_ms if needed_ms else 0.0
    return Finishing(left, per_second, rx.now + round(needed_ms))


def _everybody(found: Broadcast) -> int:
    """Return how many it goes to; while the audience still gets its deliveries, in proportion."""
    if found.fanned_at is None and found.cursor_id and found.highest_id:
        return round(found.recipients * found.highest_id / found.cursor_id)
    return found.recipients


def _needed_ms(pace: Pace, limits: Limits, left: int, now: int) -> float:
    needed = _at_rate_ms(pace, limits, left, now)
    for name, most in limits.windows().items():
        beyond = left - max(most - pace.windows[name].taken, 0)
        if beyond > 0:
            needed = max(needed, -(-beyond // most) * LENGTHS_MS[name])
    return needed


def _at_rate_ms(pace: Pace, limits: Limits, left: int, now: int) -> float:
    """Return how long it takes at the rate that doubles, or at what was measured where that is less."""
    if not limits.ramps:
        return 0.0
    rate = float(min(pace.rate, limits.per_second or pace.rate))
    most = max(float(limits.per_second or SUPPOSED), rate)
    real = _measured(pace, now)
    if real is not None and real < rate * NEAR:
        # Not the rate holds it up, but the machines: it does not get faster.
        rate = most = real
    needed = 0.0
    while rate < most and left > rate * CHANGE_MS / 1_000:
        left -= round(rate * CHANGE_MS / 1_000)
        needed += CHANGE_MS
        rate = min(rate * 2, most)
    return needed + left * 1_000 / rate


def _measured(pace: Pace, now: int) -> float | None:
    """Return how many mails a second were taken since the rate was changed; None for too short a time."""
    changed_at = max(pace.raised_at, pace.slowed_at)
    since = [one for one in pace.windows[MEASURED].entries if one.first_at >= changed_at]
    span_ms = now - since[0].first_at if since else 0
    return sum(one.n for one in since) * 1_000 / span_ms if span_ms >= MEASURED_LEAST_MS else None
