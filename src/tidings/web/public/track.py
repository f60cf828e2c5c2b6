"""The pixel and the links of a mail: what readers, scanners and proxies fetch.

Everybody is answered alike; what a hit is worth is the core's to judge. An open is answered
at once and kept within a second; a click is answered after its commit.
"""

import re
from collections import OrderedDict
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.types import Scope, Send

from tidings.core import tracking
from tidings.core.tracking import Hit, Link, machines
from tidings.tokens import TRACK, read_pair, read_ref
from tidings.web import access
from tidings.web.house import House
from tidings.web.http import Headers, Reply
from tidings.web.public import pages
from tidings.web.public.waiting import Clicks, Opens

OPEN_PREFIX: Final = "/o/"
CLICK_PREFIX: Final = "/c/"
# One transparent point, as GIF89a.
GIF: Final = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
# Links of the mails that are being read just now, some 200 bytes each.
LINKS_KEPT: Final = 20_000

_GIF_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"image/gif"),
        (b"content-length", b"%d" % len(GIF)),
        (b"cache-control", b"no-store, private"),
        (b"x-content-type-options", b"nosniff"),
    ],
}
_REDIRECT: Final = (
    (b"cache-control", b"no-store, private"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex"),
)
_PURPOSES: Final = frozenset({b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"})
_NOT_PRINTED: Final = re.compile(r"[\x00-\x20\x7f-\x9f]")


class Tracker:
    """The pixel and the links, with what they remember: waiting opens and links in use."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._key = house.links.key
        self._links: OrderedDict[tuple[int, int], Link] = OrderedDict()
        self._clicks = Clicks(house)
        self.opens = Opens(house)

    async def pixel(self, scope: Scope, send: Send, name: str) -> None:
        """GET or HEAD: the same picture for everybody; only a token of ours makes it an open."""
        claim = read_pair(self._key, TRACK, name.removesuffix("/o.gif")) if name.endswith("/o.gif") else None
        if claim is not None:
            self.opens.add(claim[0], self._hit(scope, claim, None))
        # A copy: the edge adds its own headers to each.
        await send(_GIF_START.copy())
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else GIF})

    async def click(self, scope: Scope, name: str) -> Reply:
        """GET or HEAD: keep the click, then send on to where the link leads."""
        token, _, ref = name.partition("/")
        claim = read_pair(self._key, TRACK, token)
        link_id = read_ref(self._key, claim[0], ref) if claim else None
        if claim is None or link_id is None:
            return _unknown()
        link = await self._link(claim[0], link_id)
        if link is None:
            return _unknown()
        fits = await self._clicks.keep(claim[0], self._hit(scope, claim, link))
        target = location(link.url)
        if not fits or target is None:
            return _unknown()
        return Reply(302, b"", b"text/plain; charset=utf-8", [(b"location", target), *_REDIRECT])

    async def _link(self, account_id: int, link_id: int) -> Link | None:
        known = self._links.get((account_id, link_id))
        if known is None:
            known = await self._house.db.read(account_id, tracking.link, link_id)
            if known is not None:
                self._links[account_id, link_id] = known
                if len(self._links) > LINKS_KEPT:
                    self._links.popitem(last=False)
        return known

    def _hit(self, scope: Scope, claim: tuple[int, int, int], link: Link | None) -> Hit:
        client = scope.get("tidings.client", "")
        agent, purpose = _said(scope["headers"])
        _, delivery_id, subscriber_id = claim
        return Hit(
            delivery_id,
            subscriber_id,
            self._house.db.clock(),
            link,
            machines.reason(machines.Facts(scope["method"], agent, purpose, client)),
            agent,
            # The network is enough to tell proxies by; whole addresses are kept for consent only.
            access.shorten(client),
        )


def location(url: str) -> bytes | None:
    """Return where a link leads, fit for a header: http and https only, else None."""
    if _NOT_PRINTED.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    # What is beyond ASCII is escaped as UTF-8: browsers read it so (WHATWG URL, 3.5).
    return quote(url, safe="%/:?#[]@!$&'()*+,;=-._~", errors="replace").encode("ascii")


def _said(headers: Headers) -> tuple[str, str]:
    """Return what calls itself the agent, and what it fetches for."""
    agent = purpose = b""
    for name, value in headers:
        if name == b"user-agent":
            agent = value
        elif name in _PURPOSES:
            purpose += value + b" "
    return agent[: tracking.AGENT_MAX].decode("latin-1"), purpose[: tracking.AGENT_MAX].decode("latin-1")


def _unknown() -> Reply:
    return pages.message(
        404,
        "This link does not work",
        "It may have been cut off or changed on its way. Try to open it from the mail once more.",
        headers=[(b"x-robots-tag", b"noindex")],
    )
