"""Hours: when people opened, clicked and left, for a plot. Reads `broadcast_hours`, which `count` writes.

A number is booked on the hour in which it was counted, so one that is taken back later (a burst of a
machine) lowers the hour of that moment. Invariant: over all hours they add up to the totals, for a
broadcast that began after the table was made.
"""

import msgspec

from tidings.core import broadcasts
from tidings.core.broadcasts import HOUR_MS, HOURLY
from tidings.store.tx import Rx

# What a plot shows: the first week by the hour. The tail of months is in the totals.
HOURS_MOST = 7 * 24


class Series(msgspec.Struct, frozen=True):
    """Numbers of hours in a row, from `first_at` (epoch ms) on; none for a broadcast without any."""

    first_at: int
    opens: list[int]
    clicks: list[int]
    unsubscribes: list[int]


def series(rx: Rx, broadcast_id: int, most: int = HOURS_MOST) -> Series:
    """Return the numbers of a broadcast by the hour, from its beginning to its last, `most` at most."""
    one = broadcasts.find(rx, broadcast_id)
    since = one.started_at - one.started_at % HOUR_MS if one.started_at else 0
    rows = rx.all(
        "SELECT kind, hour_at, n FROM broadcast_hours WHERE account_id = :account_id"
        " AND broadcast_id = :broadcast_id AND kind IN ('opens', 'clicks', 'unsubscribes')"
        " AND hour_at >= :since AND hour_at < :until LIMIT :rows",
        account_id=rx.account_id,
        broadcast_id=broadcast_id,
        since=since,
        until=since + most * HOUR_MS if since else 2**62,
        rows=most * len(HOURLY),
    )
    if not rows:
        return Series(since, [], [], [])
    moments = [int(row[1]) for row in rows]
    first = since or min(moments)
    hours = min((max(moments) - first) // HOUR_MS + 1, most)
    found = {kind: [0] * hours for kind in HOURLY}
    for kind, at, n in rows:
        place = (at - first) // HOUR_MS
        if place < hours:
            found[kind][place] = n
    return Series(first, found["opens"], found["clicks"], found["unsubscribes"])
