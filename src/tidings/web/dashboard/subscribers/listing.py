"""The list of people: search as you type, states, forms, tags and sequences; fifty a page, newest first."""

from typing import Final

import msgspec

from tidings.core import bulk, finding, tags
from tidings.core.finding import Page
from tidings.core.subscribers import STATES
from tidings.core.subscriptions import walks as joined
from tidings.store.tx import Rx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.routing import VIEWER, Route
from tidings.web.dashboard.subscribers import filters
from tidings.web.dashboard.subscribers.filters import Filter, Thing
from tidings.web.http import Reply

# Tags beside a person; the rest is on their page.
TAGS_SHOWN: Final = 3


class Listed(msgspec.Struct, frozen=True):
    """What the list shows: a page, how many there are in each state, names of tags, what to filter by."""

    page: Page
    states: dict[str, int]
    tags: dict[int, list[str]]
    things: dict[str, list[Thing]]
    words: str
    anybody: bool
    changes: int


async def show(asked: Asked) -> Reply:
    """GET /subscribers; a script asks for the found people alone."""
    wanted, number = filters.of_address(asked), asked.page_number
    before_id = asked.asks_id("before")
    ask = asked.scan if wanted.query.words else asked.read
    listed = await ask(_listed, wanted, number, before_id)
    pages_of = -(-(listed.page.total or 0) // finding.PAGE)
    template = "subscribers/found.html" if asked.fragment else "subscribers/list.html"
    return pages.page(
        asked,
        200,
        template,
        here="subscribers",
        filter=wanted,
        listed=listed,
        states=STATES,
        searched=bool(wanted.query.words),
        too_short=bool(wanted.text) and not wanted.query.words,
        number=number,
        pages_of=pages_of,
        before_id=before_id,
        tags_shown=TAGS_SHOWN,
    )


def _listed(rx: Rx, wanted: Filter, number: int, before_id: int | None) -> Listed:
    query = wanted.query
    page = finding.page(rx, query, number=number, before_id=before_id)
    states = finding.by_state(rx, query)
    known = tags.all_tags(rx)
    of_people = joined.tags_of(rx, [one.id for one in page.people])
    named = {who: [known[one].name for one in theirs if one in known] for who, theirs in of_people.items()}
    anybody = bool(page.people) or bool(states) or finding.total(rx, finding.Query()) != 0
    return Listed(
        page,
        states,
        named,
        filters.things(rx, wanted.within),
        filters.words(rx, wanted),
        anybody,
        sum(one.state == "waiting" for one in bulk.newest(rx)),
    )


ROUTES: Final = (Route("GET", "/subscribers", VIEWER, show),)
