"""The first page: how the list grows, what goes out now and next, what to do first, what wants an eye."""

from time import monotonic
from typing import Final

from tidings.core import overview, users
from tidings.core.accounts import INSTALLATION
from tidings.web.dashboard import outbox, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.routing import VIEWER, Route
from tidings.web.http import Reply

# Days of the plot that may be asked for.
SPANS: Final = (30, 90, 365)


async def show(asked: Asked) -> Reply:
    """GET /"""
    span = asked.asks_id("days")
    days = span if span in SPANS else SPANS[0]
    found = await asked.read(overview.overview)
    growth = await asked.scan(overview.growth, days)
    user = await asked.house.db.read(INSTALLATION, users.find, asked.signed.user_id)
    account, form = await asked.read(outbox.first_steps)
    now = asked.house.db.clock()
    # An engine that starts beside this process takes some seconds to say so.
    young = monotonic() - asked.house.began_s < overview.SILENT_MS / 1_000
    silent = not young and (found.engine_at is None or now - found.engine_at > overview.SILENT_MS)
    return pages.page(
        asked,
        200,
        "home.html",
        here="home",
        found=found,
        growth=growth,
        days=days,
        spans=SPANS,
        total=sum(found.people.values()),
        grown=sum(one.net for one in growth),
        came=sum(one.new for one in growth),
        left=sum(one.left for one in growth),
        has_password=user.password_at is not None,
        silent=silent,
        first=outbox.first_call(asked.house, account, form),
    )


ROUTES: Final = (Route("GET", "/", VIEWER, show),)
