"""The dashboard's door: who is signed in sees their pages, everybody else the way to sign in."""

import re
from collections.abc import Awaitable
from typing import Final

from starlette.types import Receive, Scope, Send

from tidings.core import accounts
from tidings.errors import Unavailable
from tidings.web import params
from tidings.web.dashboard import outbox, pages, session
from tidings.web.dashboard.session import Session
from tidings.web.house import House
from tidings.web.http import HTML_TYPE, Headers, Reply, header, normalise, read_body, send_reply

# A sign-out form has one field.
BODY_MAX: Final = 16_384

_MAIL: Final = re.compile(r"/outbox/([0-9]{1,19})(?:/(body|raw))?")
_TOKEN: Final = re.compile(r"/sign-in/([A-Za-z0-9_-]{16,128})")


class Door:
    """An ASGI application for `/`, `/outbox`, `/sign-in` and `/sign-out`; the rest is not found."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, headers = scope["method"], scope["headers"]
        path = normalise(scope["path"])
        try:
            if method in ("GET", "HEAD"):
                reply = await self._show(path, headers, scope["query_string"])
            elif method == "POST":
                reply = await self._do(path, headers, await read_body(receive, headers, limit=BODY_MAX))
            else:
                reply = _not_allowed(b"POST" if path == "/sign-out" else b"GET, HEAD")
        except Unavailable:
            reply = pages.message(503, "Not just now", "The database is busy. Please try again in a minute.")
        await send_reply(send, reply, method=method)

    async def _show(self, path: str, headers: Headers, query: bytes) -> Reply:
        who = await session.current(self._house, headers)
        if path == "/sign-in" or _TOKEN.fullmatch(path):
            return pages.page(200, "sign_in.html", token=path.removeprefix("/sign-in").strip("/"), used=False)
        if path.startswith("/sign-in/"):
            return _used_up()
        if path == "/sign-out":
            return _not_allowed(b"POST")
        if path not in ("/", "/outbox") and not path.startswith("/outbox/"):
            return _nowhere()
        if who is None:
            return _see(b"/sign-in")
        return await self._page(path, who, query)

    def _page(self, path: str, who: Session, query: bytes) -> Awaitable[Reply]:
        if path == "/":
            return outbox.home(self._house, who)
        if path == "/outbox":
            return outbox.show_list(self._house, who, _page_number(query))
        match = _MAIL.fullmatch(path)
        mail_id = params.integer(match[1]) if match else None
        if match is None or mail_id is None:
            return _missing(who)
        show = {"body": outbox.show_body, "raw": outbox.show_raw}.get(match[2], outbox.show_mail)
        return show(self._house, who, mail_id)

    async def _do(self, path: str, headers: Headers, body: bytes) -> Reply:
        if not session.from_our_page(self._house, headers):
            return _foreign()
        if path == "/sign-out":
            return await self._sign_out(headers, body)
        if not path.startswith("/sign-in/"):
            return _not_allowed(b"GET, HEAD")
        match = _TOKEN.fullmatch(path)
        if match is None:
            return _used_up()
        signed = await self._house.db.write(accounts.INSTALLATION, accounts.sign_in, match[1])
        if signed is None:
            return _used_up()
        return _see(b"/outbox", session.cookie(self._house, signed[1]))

    async def _sign_out(self, headers: Headers, body: bytes) -> Reply:
        who = await session.current(self._house, headers)
        if who is not None:
            try:
                kind = header(headers, b"content-type").decode("latin-1")
                seal = params.decode(b"", kind, body).get("seal")
            except params.BadBody:
                seal = None
            if not session.sealed(who, seal):
                return _foreign()
            await self._house.db.write(accounts.INSTALLATION, accounts.sign_out, who.secret)
        return _see(b"/sign-in", session.no_cookie(self._house))


def _page_number(query: bytes) -> object:
    try:
        return params.decode(query, "", b"").get("page")
    except params.BadBody:
        return None


async def _missing(who: Session) -> Reply:
    return outbox.missing(who)


def _see(place: bytes, *headers: tuple[bytes, bytes]) -> Reply:
    """Send the browser to another of our pages, by GET."""
    return Reply(303, b"", HTML_TYPE, [(b"location", place), (b"cache-control", b"no-store"), *headers])


def _used_up() -> Reply:
    return pages.page(403, "sign_in.html", token="", used=True)


def _foreign() -> Reply:
    said = "This request did not come from a page of this site, so nothing was done. Go back and try again."
    return pages.message(403, "Not done", said)


def _nowhere() -> Reply:
    return pages.message(404, "Not found", "There is nothing at this address.")


def _not_allowed(allow: bytes) -> Reply:
    reply = pages.message(405, "Not possible here", "This address does not take that kind of request.")
    reply.headers.append((b"allow", allow))
    return reply
