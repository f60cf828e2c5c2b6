"""The schedule of Standard Webhooks 1.0: ten tries within 75 h 35 min, each wait ±20 %."""

from tidings.core.notices.rows import Notice, Outcome, Told

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
# Between a try and the next; the first is made at once.
WAITS_MS = (
    5 * SECOND_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
)
TRIES = len(WAITS_MS) + 1
JITTER = 0.2
# A `Retry-After` puts off by a day at most, and never makes a try come earlier.
RETRY_AFTER_MOST_MS = 24 * HOUR_MS
# RFC 9110 15.5.11: gone, and likely for good.
GONE = 410


def wait_ms(tries: int, luck: float, retry_after_s: int | None = None) -> int | None:
    """Return how long to wait after so many failed tries; None when there is no further one.

    `luck` is a random number from 0 up to 1.
    """
    if tries >= TRIES:
        return None
    wait = round(WAITS_MS[tries - 1] * (1 + JITTER * (2 * luck - 1)))
    asked = min(max(retry_after_s or 0, 0) * SECOND_MS, RETRY_AFTER_MOST_MS)
    return max(wait, asked)


def outcome(notice: Notice, told: Told, now: int, luck: float) -> Outcome:
    """Say what follows from what came back."""
    if told.fine:
        return Outcome(notice, "told", now, told)
    wait = None if told.status == GONE else wait_ms(notice.attempts + 1, luck, told.retry_after_s)
    if wait is None:
        return Outcome(notice, "failed", now, told)
    return Outcome(notice, "queued", now + wait, told)


def given_back(notice: Notice) -> Outcome:
    """Return what was claimed and never tried."""
    return Outcome(notice, "queued", notice.due_at)
