"""The dashboard's door: finds the page of an address, and lets in only who may see or do it."""

import contextlib
from typing import Final

from starlette.types import Receive, Scope, Send

from tidings.core import accounts, users
from tidings.errors import Forbidden, NotFound, Problem, TooMany, Unavailable
from tidings.store.tx import Rx
from tidings.web import params
from tidings.web.dashboard import pages, session
from tidings.web.dashboard.asked import NO_STORE, Asked, Shell, Streamed
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routes import ROUTES
from tidings.web.dashboard.routing import ANYBODY, RANKS, UNREAD, Route, Routes
from tidings.web.house import House
from tidings.web.http import HTML_TYPE, Reply, header, normalise, read_body, send_reply

_SEAL_HEADER: Final = b"x-seal"
_FOREIGN: Final = (
    "This request did not come from a page of this site, so nothing was done. Go back, reload the page and"
    " try again."
)
_LOOK_ONLY: Final = {
    "viewer": "You may look at everything in this account, but change nothing. An owner can give you more.",
    "editor": "This is for owners of the account. Ask one of them.",
}


class Door:
    """An ASGI application for every address that no other door has."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._routes = Routes(ROUTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        reply = await self._answer(scope, receive, method)
        if isinstance(reply, Streamed):
            await _stream(send, reply, method)
        else:
            await send_reply(send, reply, method=method)

    async def _answer(self, scope: Scope, receive: Receive, method: str) -> Reply | Streamed:
        path = normalise(scope["path"])
        found = self._routes.find(method, path)
        if found is None:
            return pages.message(404, "Not found", "There is nothing at this address.")
        if found.route is None:
            return _not_allowed(found.allow)
        headers = scope["headers"]
        asked = Asked(
            self._house, method, path, headers, {}, Given(), found.holes,
            scope.get("tidings.client", ""), receive,
        )  # fmt: skip
        try:
            asked.query = params.decode(scope["query_string"], "", b"")
        except params.BadBody:
            asked.query = {}
        try:
            if method == "POST":
                await self._take(asked, found.route)
            refused = await self._refusal(asked, found.route)
            return refused if refused is not None else await found.route.page(asked)
        except params.BadBody as problem:
            return pages.message(400, "This could not be read", f"{problem.message}.")
        except Problem as problem:
            return self._said(asked, problem)

    async def _take(self, asked: Asked, route: Route) -> None:
        """Read the posted form, before anything is answered: a body left unread would be the next request."""
        if route.body_max == UNREAD:
            return
        body = await read_body(asked.receive, asked.headers, limit=route.body_max)
        kind = header(asked.headers, b"content-type").decode("latin-1")
        asked.given = Given(params.decode(b"", kind, body))

    async def _refusal(self, asked: Asked, route: Route) -> Reply | None:
        """Return why the page is not shown, or not done; fills in who asks."""
        posts = asked.method not in ("GET", "HEAD")
        if posts and not session.from_our_page(self._house, asked.headers):
            return _foreign()
        if route.needs == ANYBODY:
            return None
        signed = await session.current(self._house, asked.headers)
        if signed is None:
            return _to_sign_in(asked)
        asked.who, asked.secret, asked.seal = signed
        if posts and route.body_max != UNREAD and not session.sealed(signed.seal, _given_seal(asked)):
            return _foreign()
        asked.shell = await self._house.db.read(asked.account_id, _shell, signed.who.user_id)
        if RANKS[signed.who.role] < RANKS[route.needs]:
            raise Forbidden(_LOOK_ONLY.get(signed.who.role, ""))
        return None

    def _said(self, asked: Asked, problem: Problem) -> Reply:
        """Say a refusal that no page has said better, as a page of its own."""
        match problem:
            case Unavailable():
                status, title = 503, "Not just now"
                words = "The database is busy, and nothing was changed. Please try again in a minute."
            case NotFound():
                status, title = 404, "Not found"
                words = "There is nothing at this address, or it is not in this account."
            case Forbidden():
                status, title, words = 403, "Not allowed", problem.message
            case TooMany():
                status, title = 429, "Too many tries"
                words = f"Please wait {problem.retry_after} seconds, then try again."
            case _:
                status, title = 422, "This was not done"
                words = (
                    problem.message[:1].upper() + problem.message[1:].rstrip(".") + ". Go back and try again."
                )
        return pages.message(status, title, words, asked=asked if asked.shell else None)


def _shell(rx: Rx, user_id: int) -> Shell:
    """Return what stands around every page: the account, its zone, and the user's other accounts."""
    mine = [accounts.get(rx.for_account(one)) for one in users.account_ids(rx, user_id)]
    named = [(one.id, one.name or one.primary_email) for one in mine]
    return Shell(accounts.get(rx).name or "Tidings", accounts.time_zone(rx), named)


def _given_seal(asked: Asked) -> object:
    return asked.given.values.get("seal") or header(asked.headers, _SEAL_HEADER).decode("latin-1")


def _to_sign_in(asked: Asked) -> Reply:
    """Send who is not signed in to the way in, and back afterwards."""
    if asked.fragment:
        return Reply(401, b"", HTML_TYPE, [(b"hx-redirect", b"/sign-in"), NO_STORE])
    if asked.method == "POST" or asked.path == "/":
        return asked.see("/sign-in")
    return asked.see(f"/sign-in?next={asked.path}")


def _foreign() -> Reply:
    return pages.message(403, "Not done", _FOREIGN)


def _not_allowed(allow: bytes) -> Reply:
    reply = pages.message(405, "Not possible here", "This address does not take that kind of request.")
    reply.headers.append((b"allow", allow))
    return reply


async def _stream(send: Send, reply: Streamed, method: str) -> None:
    """Send an answer piece by piece; its length is not known before."""
    headers = [*reply.headers, (b"content-type", reply.content_type), (b"x-content-type-options", b"nosniff")]
    async with contextlib.aclosing(reply.pieces) as pieces:  # type: ignore[type-var]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if method != "HEAD":
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
