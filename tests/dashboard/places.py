"""Every page of the dashboard as an address to visit: each GET route with each of its samples."""

from collections.abc import Iterator
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


def places(world: World, *, lenient: bool = False) -> list[Place]:
    """Return what an owner sees as a whole page: HTML, no redirect, no download, no frame's mail.

    `lenient` leaves out pages of things that the world has none of.
    """
    found = [place for place, whole in _answered(world, lenient=lenient) if whole]
    return [*found, Place("/nothing", "/nothing-is-here", signed_in=True)]


def downloads(world: World) -> list[Place]:
    """Return what else is answered: frames, parts and files."""
    return [place for place, whole in _answered(world, lenient=False) if not whole]


def _answered(world: World, *, lenient: bool) -> Iterator[tuple[Place, bool]]:
    """Yield what answers 200, and whether it is a whole page."""
    with Asking(world) as asking:
        for route in ROUTES:
            if route.method != "GET":
                continue
            who = asking.who("owner" if not route.pattern.startswith("/sign-in") else "nobody")
            try:
                paths = list(samples.fillings(world, route, world.ada.id))
            except samples.NoSample:
                if not lenient:
                    raise
                paths = []
            statuses = []
            for path in paths:
                answer = asking.ask("GET", path, who)
                html = answer.headers.get("content-type", "").startswith(HTML)
                framed = "sandbox" in answer.headers.get("content-security-policy", "")
                whole = html and not framed and "content-disposition" not in answer.headers
                statuses.append(answer.status)
                if answer.status == 200:
                    whole = whole and b"</html>" in answer.body
                    yield Place(route.pattern, path, bool(who.secret)), whole
            if not lenient and 200 not in statuses:
                raise samples.NoSample(f"GET {route.pattern} shows nothing: {paths} answered {statuses}")
