"""Every page of the dashboard as an address to visit: each GET route with each of its samples."""

import http.client
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tests.dashboard import samples
from tests.dashboard.world import World
from tidings.web.dashboard.routes import ROUTES

HTML: Final = "text/html"


class Place(NamedTuple):
    """A page: its route's pattern, its path, whether one signs in for it."""

    pattern: str
    path: str
    signed_in: bool


def places(world: World, url: str, *, lenient: bool = False) -> list[Place]:
    """Return what an owner sees as a whole page: HTML, no redirect, no download, no frame's mail.

    `url` is where the world is served. `lenient` leaves out pages of things that the world has none of.
    """
    found = [place for place, whole in _answered(world, url, lenient=lenient) if whole]
    return [*found, Place("/nothing", "/nothing-is-here", signed_in=True)]


def downloads(world: World, url: str) -> list[Place]:
    """Return what else is answered: frames, parts and files."""
    return [place for place, whole in _answered(world, url, lenient=False) if not whole]


def _answered(world: World, url: str, *, lenient: bool) -> Iterator[tuple[Place, bool]]:
    """Yield what answers 200, and whether it is a whole page."""
    cookie = {"cookie": f"tidings={world.ada.secrets['owner']}"}
    for route in ROUTES:
        if route.method != "GET":
            continue
        signed_in = not route.pattern.startswith("/sign-in")
        try:
            paths = list(samples.fillings(world, route, world.ada.id))
        except samples.NoSample:
            if not lenient:
                raise
            paths = []
        statuses = []
        for path in paths:
            status, headers, body = _get(url, path, cookie if signed_in else {})
            statuses.append(status)
            html = headers.get("content-type", "").startswith(HTML) and b"</html>" in body
            framed = "sandbox" in headers.get("content-security-policy", "")
            if status == 200:
                whole = html and not framed and "content-disposition" not in headers
                yield Place(route.pattern, path, signed_in), whole
        if not lenient and 200 not in statuses:
            raise samples.NoSample(f"GET {route.pattern} shows nothing: {paths[:6]} answered {statuses[:6]}")


def _get(url: str, path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
    """Ask for a page over HTTP, and follow nothing."""
    place = urlsplit(url)
    line = http.client.HTTPConnection(place.hostname or "", place.port or 0, timeout=60)
    try:
        line.request("GET", path, headers=dict(headers))
        answer = line.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        line.close()
