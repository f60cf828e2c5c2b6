"""The control address `/sandbox`: JSON, from this machine alone, without credentials.

No page in a browser may use it but one of this machine: whoever develops against a sandbox also
visits other sites, and those can post to 127.0.0.1.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from starlette.types import Receive, Scope, Send

from tidings import __version__
from tidings.core import limits
from tidings.errors import Conflict, Invalid, NotFound, Problem
from tidings.sandbox import mails, people, world
from tidings.sandbox.clock import AHEAD_MAX_MS, Clock, span_ms
from tidings.sandbox.faults import Faults, Wanted
from tidings.sandbox.outside import Outside, is_loopback
from tidings.sandbox.world import API_KEY, API_SECRET, World
from tidings.store.tx import Tx
from tidings.web.http import (
    BODY_MAX,
    ClientGone,
    Reply,
    TooLarge,
    header,
    json_reply,
    normalise,
    read_body,
    send_reply,
)

log = logging.getLogger("tidings.sandbox")

PREFIX = "/sandbox"
TEXT_MAX = 1_000
T = TypeVar("T")
Person = Callable[[Tx, str], people.Shown]


class Controlled(Protocol):
    """What there is to control: a sandbox."""

    base_url: str
    clock: Clock
    faults: Faults
    outside: Outside
    resets: int

    @property
    def world(self) -> World: ...
    async def reset(self) -> None: ...


class _Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    advance: str


class _Who(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    email_address: str


class _Refused(Exception):
    """An answer that is no 200."""

    def __init__(self, status: int, title: str, message: str) -> None:
        super().__init__(message)
        self.reply = json_reply(status, {"error": title, "message": message})


class Control:
    """The door. What changes something is done one after another; looking waits until all is quiet."""

    def __init__(self, sandbox: Controlled) -> None:
        self._sandbox = sandbox
        self._turn = asyncio.Lock()
        self._routes: dict[str, dict[str, Callable[[dict[str, str], bytes], Awaitable[object]]]] = {
            PREFIX: {"GET": self._state},
            f"{PREFIX}/clock": {"GET": self._time, "POST": self._advance},
            f"{PREFIX}/faults": {"GET": self._faults, "POST": self._add_fault, "DELETE": self._end_faults},
            f"{PREFIX}/confirm": {"POST": self._turning(people.confirm)},
            f"{PREFIX}/bounce": {"POST": self._turning(people.bounce)},
            f"{PREFIX}/complain": {"POST": self._turning(people.complain)},
            f"{PREFIX}/mails": {"GET": self._mails},
            f"{PREFIX}/webhooks": {"GET": self._webhooks},
            f"{PREFIX}/reset": {"POST": self._reset},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            reply = await self._answer(scope, receive)
        except _Refused as refused:
            reply = refused.reply
        except ClientGone:
            return
        except Exception:
            log.exception("the control address failed")
            reply = json_reply(500, {"error": "Internal Server Error", "message": "A fault in Tidings"})
        reply.headers.append((b"cache-control", b"no-store"))
        await send_reply(send, reply, method=scope["method"])

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        _refuse_strangers(scope)
        methods = self._routes.get(normalise(scope["path"]))
        if methods is None:
            known = ", ".join(self._routes)
            raise _Refused(404, "Not Found", f"There is {known}")
        called = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if called is None:
            raise _Refused(405, "Method Not Allowed", f"This address answers {', '.join(methods)}")
        try:
            body = await read_body(receive, scope["headers"])
        except TooLarge:
            raise _Refused(413, "Payload Too Large", f"At most {BODY_MAX:,} octets") from None
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        try:
            async with self._turn:
                return json_reply(200, await called({name: one[-1] for name, one in query.items()}, body))
        except Invalid as problem:
            raise _Refused(400, "Bad Request", problem.message) from problem
        except NotFound as problem:
            raise _Refused(404, "Not Found", problem.message) from problem
        except Conflict as problem:
            raise _Refused(409, "Conflict", problem.message) from problem
        except Problem as problem:
            raise _Refused(503, "Service Unavailable", problem.message) from problem

    async def _state(self, query: dict[str, str], _body: bytes) -> object:
        quiet = await self._quiet(query)
        its, sandbox = self._sandbox.world, self._sandbox
        there = await its.db.scan(its.account_id, world.state)
        return {
            "version": __version__,
            "base_url": sandbox.base_url,
            "api_key": API_KEY,
            "api_secret": API_SECRET,
            **self._when(),
            "quiet": quiet,
            "resets": sandbox.resets,
            **msgspec.to_builtins(there),
            "mails": await its.db.scan(its.account_id, mails.count, its.seed_mail_id),
            "webhooks": len(sandbox.outside.posted),
            "faults": self._shown(),
        }

    async def _time(self, _query: dict[str, str], _body: bytes) -> object:
        return self._when()

    async def _advance(self, _query: dict[str, str], body: bytes) -> object:
        ms = span_ms(_read(body, _Advance, '{"advance": "3 days"}').advance)
        if self._sandbox.clock.ahead_ms + ms > AHEAD_MAX_MS:
            raise Invalid("advance", "leads more than 100 years ahead; reset the sandbox first")
        quiet = await self._sandbox.world.engine.advance(ms)
        if ms >= limits.WINDOW_MS:
            self._sandbox.world.forget_requests()
        return {**self._when(), "quiet": quiet}

    async def _faults(self, _query: dict[str, str], _body: bytes) -> object:
        return {"faults": self._shown()}

    async def _add_fault(self, _query: dict[str, str], body: bytes) -> object:
        self._sandbox.faults.add(_read(body, Wanted, '{"status": 503, "times": 2}'))
        return {"faults": self._shown()}

    async def _end_faults(self, _query: dict[str, str], _body: bytes) -> object:
        self._sandbox.faults.clear()
        return {"faults": []}

    async def _mails(self, query: dict[str, str], _body: bytes) -> object:
        quiet = await self._quiet(query)
        its = self._sandbox.world
        sent = await its.db.scan(its.account_id, mails.listed, its.seed_mail_id, query.get("to"))
        return {
            "quiet": quiet,
            "mails": [{**msgspec.to_builtins(one), "sent_at": _iso(one.sent_at)} for one in sent],
        }

    async def _webhooks(self, query: dict[str, str], _body: bytes) -> object:
        quiet = await self._quiet(query)
        posted = self._sandbox.outside.posted
        return {
            "quiet": quiet,
            "webhooks": [{**msgspec.to_builtins(one), "at": _iso(one.at)} for one in posted],
        }

    async def _reset(self, _query: dict[str, str], _body: bytes) -> object:
        await self._sandbox.reset()
        return {**self._when(), "resets": self._sandbox.resets}

    def _turning(self, verb: Person) -> Callable[[dict[str, str], bytes], Awaitable[object]]:
        async def turned(_query: dict[str, str], body: bytes) -> object:
            email = _read(body, _Who, '{"email_address": "arya@example.com"}').email_address
            if not email or len(email) > TEXT_MAX:
                raise Invalid("email_address", f"must have 1 to {TEXT_MAX:,} characters")
            its = self._sandbox.world
            who = await its.db.write(its.account_id, verb, email)
            its.engine.wake()
            return {"subscriber": msgspec.to_builtins(who)}

        return turned

    async def _quiet(self, query: dict[str, str]) -> bool:
        """Let all that is due be done first, so that a test needs no sleep; `?wait=0` looks at once."""
        if query.get("wait") == "0":
            return False
        return await self._sandbox.world.engine.quiet()

    def _when(self) -> dict[str, object]:
        clock = self._sandbox.clock
        return {"now": _iso(clock()), "ahead_seconds": clock.ahead_ms // 1_000}

    def _shown(self) -> list[object]:
        return [
            {**msgspec.to_builtins(one.fault), "left": one.left, "met": one.met}
            for one in self._sandbox.faults.shown()
        ]


def _refuse_strangers(scope: Scope) -> None:
    """Refuse who is not this machine, and pages of other sites that a browser of this machine shows."""
    client = scope.get("client")
    if not client or not is_loopback(client[0].removeprefix("::ffff:")):
        raise _Refused(403, "Forbidden", "The control address answers this machine alone")
    headers = scope["headers"]
    # A name of somebody else's that leads here (DNS rebinding) stands in Host.
    if not _is_here("//" + header(headers, b"host").decode("latin-1")):
        raise _Refused(403, "Forbidden", "The control address is asked as 127.0.0.1 or localhost")
    origin = header(headers, b"origin").decode("latin-1")
    if origin and not _is_here(origin):
        raise _Refused(403, "Forbidden", "The control address answers no page of another site")


def _is_here(address: str) -> bool:
    try:
        return is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return False


def _read(body: bytes, shape: type[T], example: str) -> T:
    """Read a body as JSON; raise Invalid, in words, for anything else."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as problem:
        raise Invalid("The body", f"is not such as {example}: {problem}") from problem
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid("The body", f"is not JSON such as {example}: {problem}") from problem


def _iso(at: int) -> str:
    """Return a time in epoch ms as RFC 3339 has it."""
    return datetime.fromtimestamp(at / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
