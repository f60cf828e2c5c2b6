"""Faults on demand: answers of 429, 500 and 503, and slow ones, as a client will meet them one day."""

import asyncio
import contextlib

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidings import errors
from tidings.errors import Invalid
from tidings.web.api_v3 import shapes
from tidings.web.http import Reply, header, normalise, read_body, send_reply

STATUSES = (429, 500, 502, 503, 504)
DELAY_MAX_S = 60.0
RETRY_MAX_S = 86_400
TIMES_MAX = 1_000_000
FAULTS_MOST = 100
PATH_MAX = 500
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
_GATEWAY = {502: "Bad Gateway", 504: "Gateway Timeout"}


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault as it is asked for.

    It meets requests whose path begins with `path`, of one `method` or any: the next `times`, or a
    `share` of all. They wait `delay` seconds, and get `status` instead of their answer, if one is given.
    `carried_out`: the request does its work all the same, and only the answer is lost.
    """

    status: int | None = None
    delay: float = 0.0
    times: int | None = None
    share: float | None = None
    path: str = "/v3/"
    method: str | None = None
    retry_after: int = 1
    carried_out: bool = False


class Shown(msgspec.Struct, frozen=True):
    """A fault that is in force: what was asked for, how often it may come yet and how often it came."""

    fault: Wanted
    left: int | None
    met: int


class _Fault:
    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.left = wanted.times if wanted.share is not None else wanted.times or 1
        self.met = 0
        self._owed = 0.0

    def meets(self, method: str, path: str) -> bool:
        """Say whether it is this request's turn; counted out, not drawn, so that a test repeats itself."""
        wanted = self.wanted
        if not path.startswith(wanted.path) or wanted.method not in (None, method):
            return False
        if wanted.share is not None:
            self._owed += wanted.share
            # Ten times a tenth is a little less than one.
            if self._owed < 1 - 1e-9:
                return False
            self._owed -= 1
        self.met += 1
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    """Those in force; the oldest that meets a request is the one that it gets."""

    def __init__(self) -> None:
        self._faults: list[_Fault] = []
        self._over = asyncio.Event()

    def add(self, wanted: Wanted) -> None:
        """Put one in force; raise Invalid for what makes no sense."""
        _check(wanted)
        if len(self._faults) >= FAULTS_MOST:
            raise Invalid("faults", f"are at most {FAULTS_MOST} at once; DELETE /sandbox/faults ends them")
        self._faults.append(_Fault(wanted))

    def clear(self) -> None:
        """End all of them; whoever is kept waiting goes on at once."""
        self._faults.clear()
        over, self._over = self._over, asyncio.Event()
        over.set()

    def shown(self) -> list[Shown]:
        """Return those in force, oldest first."""
        return [Shown(one.wanted, one.left, one.met) for one in self._faults]

    def take(self, method: str, path: str) -> Wanted | None:
        """Return what a request gets, if it gets any."""
        for one in self._faults:
            if one.meets(method, path):
                if one.left == 0:
                    self._faults.remove(one)
                return one.wanted
        return None

    def around(self, inner: ASGIApp) -> ASGIApp:
        """Return the application with the faults before it."""

        async def met(scope: Scope, receive: Receive, send: Send) -> None:
            wanted = None
            if scope["type"] == "http":
                path = normalise(scope["path"])
                # Under either of its names a path gets the same.
                path = path.removeprefix("/api") if path.startswith("/api/v") else path
                wanted = self.take(scope["method"], path)
            if wanted is None:
                await inner(scope, receive, send)
                return
            if wanted.delay:
                await self._wait(wanted.delay)
            if wanted.status is None:
                await inner(scope, receive, send)
                return
            if wanted.carried_out:
                await inner(scope, receive, _lost)
            elif scope["method"] not in ("GET", "HEAD"):
                # Read to its end, so that the connection can be used again.
                await read_body(receive, scope["headers"])
            await send_reply(send, _reply(wanted), method=scope["method"])

        return met

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


async def _lost(_message: Message) -> None:
    """Send to nobody."""


def _check(wanted: Wanted) -> None:
    if wanted.status is None and not wanted.delay:
        raise Invalid("status", "or delay must be given: a fault is an answer, a wait, or both")
    if wanted.status is not None and wanted.status not in STATUSES:
        raise Invalid("status", f"must be one of {', '.join(map(str, STATUSES))}")
    # Written so that NaN, which JSON has not but some writers do, is outside.
    if not 0 <= wanted.delay <= DELAY_MAX_S:
        raise Invalid("delay", f"must be between 0 and {DELAY_MAX_S:g} seconds")
    if wanted.times is not None and not 1 <= wanted.times <= TIMES_MAX:
        raise Invalid("times", f"must be between 1 and {TIMES_MAX:,}")
    if wanted.share is not None and not 0 < wanted.share <= 1:
        raise Invalid("share", "must be more than 0 and at most 1")
    if not wanted.path.startswith("/") or len(wanted.path) > PATH_MAX:
        raise Invalid("path", f"must be the beginning of a path such as /v3/tags, of at most {PATH_MAX}")
    if wanted.method is not None and wanted.method not in _METHODS:
        raise Invalid("method", f"must be one of {', '.join(_METHODS)}")
    if not 0 <= wanted.retry_after <= RETRY_MAX_S:
        raise Invalid("retry_after", f"must be between 0 and {RETRY_MAX_S:,} seconds")


def _reply(wanted: Wanted) -> Reply:
    """Return the answer as v3 gives it."""
    match wanted.status:
        case 429:
            reply = shapes.problem(errors.TooMany(wanted.retry_after), subscribing=False, missing="")
        case 503:
            reply = shapes.problem(
                errors.Unavailable("as the sandbox was asked"), subscribing=False, missing=""
            )
        case 502 | 504:
            # A gateway's word, which is no JSON.
            title = _GATEWAY[wanted.status].encode()
            return Reply(wanted.status, b"<html><h1>%b</h1></html>" % title, b"text/html")
        case _:
            reply = shapes.error(500, "Internal Server Error", "as the sandbox was asked")
    if header(reply.headers, b"retry-after"):
        reply.headers = [one for one in reply.headers if one[0] != b"retry-after"]
        reply.headers.append((b"retry-after", str(wanted.retry_after).encode()))
    return reply
