"""The public door: what strangers reach, in browsers and in frames of other sites."""

import re
from collections.abc import Awaitable
from typing import Final

from starlette.types import Receive, Scope, Send

from tidings.core import accounts
from tidings.errors import NotFound, Unavailable
from tidings.web import params
from tidings.web.house import House
from tidings.web.http import Reply, header, json_reply, normalise, read_body, send_reply
from tidings.web.public import confirm, embed, form_page, leave, pages, preferences, static, track
from tidings.web.public.form_page import ANY_ORIGIN, Asked

_UID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EMBED: Final = re.compile(r"/v3/forms/([0-9]{1,19})\.(js|html)")
_OF_MAILS: Final = (track.OPEN_PREFIX, track.CLICK_PREFIX, leave.PREFIX, preferences.PREFIX)
_NO_ENTITY: Final = {"error": "Not Found", "message": "The entity you were trying to find doesn't exist"}
_GONE: Final = ("This form is closed", "It does not take sign-ups any more.")
_NO_FORM: Final = ("There is no form here", "Please check the address, or ask whoever gave it to you.")
_PREFLIGHT: Final = (
    ANY_ORIGIN,
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"Content-Type, Accept, X-Requested-With"),
    (b"access-control-max-age", b"86400"),
)


class Door:
    """An ASGI application for `/f/`, `/confirm/`, `/static/`, and the embeds of forms below `/v3/forms/`;
    and for what is in every mail: `/o/` and `/c/` (hits), `/u/` (unsubscribing), `/p/` (preferences).

    `close` must be called before the database is closed: opens wait up to a second.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._tracker = track.Tracker(house)

    async def close(self) -> None:
        """Write the opens that wait."""
        await self._tracker.opens.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        path = normalise(scope["path"])
        if path.startswith("/api/"):
            path = path.removeprefix("/api")
        if path.startswith(_OF_MAILS):
            # Tokens never expire and stand in the path: what is logged of it is this.
            scope["path"] = f"{path[:3]}*"
            if path.startswith(track.OPEN_PREFIX) and method in ("GET", "HEAD"):
                await self._tracker.pixel(scope, send, path.removeprefix(track.OPEN_PREFIX))
                return
        try:
            reply = await self._answer(scope, receive, method, path)
        except Unavailable:
            said = "This could not be saved. Please try again in a minute."
            reply = pages.message(503, "Not just now", said)
        await send_reply(send, reply, method=method)

    def _answer(self, scope: Scope, receive: Receive, method: str, path: str) -> Awaitable[Reply]:
        if path.startswith(form_page.PREFIX):
            return self._form(scope, receive, method, path.removeprefix(form_page.PREFIX))
        if path.startswith(confirm.PREFIX):
            return self._confirm(scope, method, path.removeprefix(confirm.PREFIX))
        if path.startswith(_OF_MAILS):
            return self._of_mail(scope, receive, method, path[:3], path[3:])
        if path.startswith(static.PREFIX):
            return self._static(scope, method, path.removeprefix(static.PREFIX))
        if path.startswith("/v3/"):
            return self._embed(method, path)
        return self._nowhere()

    async def _form(self, scope: Scope, receive: Receive, method: str, uid: str) -> Reply:
        headers = scope["headers"]
        if method == "OPTIONS":
            return Reply(204, headers=[*_PREFLIGHT, (b"allow", b"GET, HEAD, OPTIONS, POST")])
        if method not in ("GET", "HEAD", "POST"):
            return _not_allowed(b"GET, HEAD, OPTIONS, POST")
        accept = header(headers, b"accept").lower()
        asked = Asked(
            framed=b"frame=1" in scope["query_string"].split(b"&"),
            json=method == "POST" and b"application/json" in accept and b"text/html" not in accept,
        )
        # Read before anything is answered: a body left on the wire would be taken for the next request.
        body = await read_body(receive, headers) if method == "POST" else b""
        try:
            if not _UID.fullmatch(uid):
                raise NotFound("form")
            found = await form_page.find(self._house, uid)
        except NotFound:
            return form_page.refuse(404, *_NO_FORM, asked)
        if found[1].archived_at is not None:
            return form_page.refuse(410, *_GONE, asked)
        if method != "POST":
            lang = await self._house.db.read(found[0], accounts.language)
            return form_page.show(found[1], asked, lang=lang)
        try:
            given = params.decode(b"", header(headers, b"content-type").decode("latin-1"), body)
        except params.BadBody as problem:
            return form_page.refuse(400, "This could not be read", f"{problem.message}.", asked)
        return await form_page.submit(self._house, found, given, asked, scope.get("tidings.client", ""))

    async def _confirm(self, scope: Scope, method: str, token: str) -> Reply:
        if method in ("GET", "HEAD"):
            return await confirm.show(self._house, token)
        if method == "POST":
            return await confirm.confirm(self._house, token, scope.get("tidings.client", ""))
        return _not_allowed(b"GET, HEAD, POST")

    async def _of_mail(self, scope: Scope, receive: Receive, method: str, prefix: str, name: str) -> Reply:
        if prefix in (track.OPEN_PREFIX, track.CLICK_PREFIX):
            if prefix == track.CLICK_PREFIX and method in ("GET", "HEAD"):
                return await self._tracker.click(scope, name)
            return _not_allowed(b"GET, HEAD")
        mine = prefix == leave.PREFIX
        if method in ("GET", "HEAD"):
            return await (leave.show if mine else preferences.show)(self._house, name)
        if method != "POST":
            return _not_allowed(b"GET, HEAD, POST")
        headers = scope["headers"]
        limit = leave.BODY_MAX if mine else preferences.BODY_MAX
        body = await read_body(receive, headers, limit=limit)
        kind = header(headers, b"content-type").decode("latin-1")
        client = scope.get("tidings.client", "")
        return await (leave.answer if mine else preferences.answer)(self._house, name, kind, body, client)

    async def _static(self, scope: Scope, method: str, name: str) -> Reply:
        if method not in ("GET", "HEAD"):
            return _not_allowed(b"GET, HEAD")
        return static.serve(name, scope["query_string"], scope["headers"])

    async def _embed(self, method: str, path: str) -> Reply:
        if method not in ("GET", "HEAD"):
            said = {"error": "Method Not Allowed", "message": "This address answers GET, HEAD"}
            return json_reply(405, said, [ANY_ORIGIN, (b"allow", b"GET, HEAD")])
        match = _EMBED.fullmatch(path)
        form_id = params.integer(match[1]) if match else None
        try:
            if match is None or form_id is None:
                raise NotFound("form")
            account_id, form = await form_page.find_by_id(self._house, form_id)
        except NotFound:
            return json_reply(404, _NO_ENTITY, [ANY_ORIGIN])
        if match[2] == "js":
            return embed.script(form, self._house.links)
        lang = await self._house.db.read(account_id, accounts.language)
        return form_page.show(form, Asked(framed=True), lang=lang)

    async def _nowhere(self) -> Reply:
        return pages.message(404, "Not found", "There is nothing at this address.")


def _not_allowed(allow: bytes) -> Reply:
    said = "This address does not take that kind of request."
    return pages.message(405, "Not possible here", said, headers=[(b"allow", allow)])
