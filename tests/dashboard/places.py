"""Every page of the dashboard as an address to visit: each GET route with each of its samples."""

from typing import Final, NamedTuple

from tests.dashboard import samples
from tests.dashboard.asking import Asking
from tests.dashboard.world import World
from tidings.web.dashboard.routes import ROUTES

HTML: Final = "text/html"


class Place(NamedTuple):
    """A page: its route's pattern, its path, whether one signs in for it."""

    pattern: str
    path: str
    signed_in: bool


def places(world: World) -> list[Place]:
    """Return what an owner sees as a whole page: HTML, no redirect, no download, no frame's mail."""
    found = []
    with Asking(world) as asking:
        for route in ROUTES:
            if route.method != "GET":
                continue
            who = asking.who("owner" if not route.pattern.startswith("/sign-in") else "nobody")
            for path in samples.fillings(world, route, world.ada.id):
                answer = asking.ask("GET", path, who)
                whole = answer.status == 200 and answer.headers.get("content-type", "").startswith(HTML)
                framed = "sandbox" in answer.headers.get("content-security-policy", "")
                if whole and not framed and "content-disposition" not in answer.headers:
                    found.append(Place(route.pattern, path, bool(who.secret)))
    found.append(Place("/nothing", "/nothing-is-here", signed_in=True))
    return found
