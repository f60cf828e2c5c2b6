"""The first page: how the list grows, what goes out, and what to do next."""

from typing import Final

from tidings.web.dashboard import outbox, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.routing import VIEWER, Route
from tidings.web.http import Reply


async def show(asked: Asked) -> Reply:
    """GET /"""
    account, form = await asked.read(outbox.first_steps)
    first = outbox.first_call(asked.house, account, form)
    return pages.page(asked, 200, "home.html", here="home", account=account, first=first)


ROUTES: Final = (Route("GET", "/", VIEWER, show),)
