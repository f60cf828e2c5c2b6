"""Every recipient of a broadcast with what became of their mail."""

from typing import Final
from urllib.parse import urlencode

from tidings.core import broadcasts, deliveries, subscribers
from tidings.core.broadcasts import Broadcast
from tidings.core.deliveries import Attempt, Row, log
from tidings.core.subscribers import Subscriber
from tidings.store.tx import Rx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.broadcasts.spoken import named, standing
from tidings.web.dashboard.routing import VIEWER, Route
from tidings.web.http import Reply

# A fate as a person reads it, in the order of the choice.
FATES: Final = (
    ("all", "Everybody"),
    ("sent", "Sent"),
    ("opened", "Opened"),
    ("clicked", "Clicked"),
    ("unopened", "Sent, not opened"),
    ("waiting", "Still to come"),
    ("failed", "Failed"),
    ("uncertain", "Uncertain"),
    ("suppressed", "Kept back"),
)

_Line = tuple[Row, Subscriber | None, list[Attempt]]


async def show(asked: Asked) -> Reply:
    """GET /broadcasts/{id}/recipients?fate=…&after=…&q=…"""
    fate = asked.asks("fate") or "all"
    fate = fate if fate in log.FATES else "all"
    wanted = asked.asks("q")
    after = asked.asks_id("after") or 0
    one, lines, next_id = await asked.scan(_page, asked.id(), fate, after, wanted)
    kept = {"fate": fate} | ({"q": wanted} if wanted else {})
    return pages.page(
        asked,
        200,
        "broadcasts/recipients.html",
        here="broadcasts",
        one=one,
        named=named(one),
        standing=standing(one),
        fate=fate,
        fates=FATES,
        wanted=wanted,
        lines=lines,
        first=f"/broadcasts/{one.id}/recipients?{urlencode(kept)}" if after else "",
        further=f"/broadcasts/{one.id}/recipients?{urlencode({**kept, 'after': next_id})}" if next_id else "",
        looked=log.LOOKED_MOST,
    )


def _page(
    rx: Rx, broadcast_id: int, fate: str, after: int, wanted: str
) -> tuple[Broadcast, list[_Line], int | None]:
    one = broadcasts.find(rx, broadcast_id)
    if wanted:
        who = subscribers.find(rx, wanted)
        row = log.of_person(rx, broadcast_id, who.id) if who else None
        rows, next_id = [row] if row else [], None
    else:
        leaf = log.leaf(rx, broadcast_id, fate, after_id=after)
        rows, next_id = leaf.rows, leaf.next_id
    people = subscribers.by_ids(rx, [row.subscriber_id for row in rows])
    tries = deliveries.attempts_of_many(rx, [row.id for row in rows])
    return one, [(row, people.get(row.subscriber_id), tries.get(row.id, [])) for row in rows], next_id


ROUTES: Final = (Route("GET", "/broadcasts/{id}/recipients", VIEWER, show),)
