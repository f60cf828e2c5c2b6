"""What every door needs of HTTP: paths, bodies, replies, who asks, and the edge around it all.

Works on ASGI messages, knows no route and no noun. `Edge` is the outermost application: it names each
request, writes one line of log for it, and answers what escapes the doors.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from os import urandom
from time import perf_counter
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidings.web import access

Headers = Iterable[tuple[bytes, bytes]]
Networks = Sequence[IPv4Network | IPv6Network]

# A purchase of 1,000 products is 200 KiB, a newsletter with inlined styles 300 KiB.
BODY_MAX: Final = 1_048_576
# Hops of X-Forwarded-For that are looked at, from the right: no real chain has more proxies.
HOPS_MAX: Final = 20

JSON_TYPE: Final = b"application/json; charset=utf-8"
HTML_TYPE: Final = b"text/html; charset=utf-8"
# No script at all, nothing from elsewhere; a page that needs more passes its own.
CONTENT_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# What nginx logs for a caller who left before the answer; never sent.
CLIENT_CLOSED_REQUEST: Final = 499

_CLOSE: Final = (b"connection", b"close")
_NO_CACHE: Final = (b"cache-control", b"no-cache")
_REVALIDATE: Final = (b"cache-control", b"max-age=0, private, must-revalidate")
_SLASHES: Final = re.compile("/{2,}")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{8,64}")
_encode_json = msgspec.json.Encoder().encode


class TooLarge(Exception):
    """The body is larger than allowed; the rest of it is not read."""


class ClientGone(Exception):
    """The caller closed the connection before the whole body came; nobody waits for an answer."""


@dataclass(slots=True)
class Reply:
    """An answer: status, body, and headers beside those that `send_reply` adds."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON_TYPE
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


# (status, error, message) in a door's own format; and the door of a path.
ErrorReply = Callable[[int, str, str], Reply]
ErrorReplyOf = Callable[[str], ErrorReply]


def normalise(path: str) -> str:
    """Collapse doubled slashes and strip trailing ones, for routing without redirects; `/` stays."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    return path.rstrip("/") or "/"


def header(headers: Headers, name: bytes) -> bytes:
    """The first value of a header (`name` in lower case), or empty."""
    for key, value in headers:
        if key == name:
            return value
    return b""


async def read_body(receive: Receive, headers: Headers, *, limit: int = BODY_MAX) -> bytes:
    """The whole body; raises `TooLarge` (before reading, where it is announced), or `ClientGone`.

    The server bounds the time that a body may take (`server.BODY_SECONDS`).
    """
    expected = False
    for name, value in headers:
        if name == b"content-length":
            # 18 digits are more than any limit; int() of thousands would raise.
            if len(value) > 18 or (value.isdigit() and int(value) > limit):
                raise TooLarge
            expected = value != b"0"
        elif name == b"transfer-encoding":
            expected = True
    # RFC 9112, 6.3: a request with neither header has no body.
    return await _gather(receive, limit) if expected else b""


async def _gather(receive: Receive, limit: int) -> bytes:
    gathered = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        if len(gathered) + len(piece) > limit:
            raise TooLarge
        if not message.get("more_body", False):
            return bytes(gathered) + piece if gathered else piece
        gathered += piece


def json_reply(status: int, value: object, headers: Headers = ()) -> Reply:
    """A reply with compact JSON."""
    return Reply(status, _encode_json(value), JSON_TYPE, list(headers))


def html_reply(status: int, html: str, *, policy: str = CONTENT_POLICY, headers: Headers = ()) -> Reply:
    """A page that no script runs in, no other site frames and no cache keeps; `policy` is its CSP."""
    guards = [
        (b"content-security-policy", policy.encode("ascii")),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
    ]
    return Reply(status, html.encode("utf-8", "replace"), HTML_TYPE, [*guards, *headers])


async def send_reply(send: Send, reply: Reply, *, method: str, if_none_match: bytes = b"") -> None:
    """Send a reply with its length, cache and validator headers; answers 304 where the caller has it already.

    204 and 304 carry neither body nor length (RFC 9110, 8.6 and 15.4.5); HEAD gets the headers of GET.
    """
    status, body = reply.status, reply.body
    headers = reply.headers.copy()
    if status == 204:
        body = b""
        headers.append(_NO_CACHE)
    else:
        if reply.content_type == JSON_TYPE and not (headers and header(headers, b"cache-control")):
            if status in (200, 201):
                etag = b'W/"%b"' % md5(body, usedforsecurity=False).hexdigest().encode()
                headers += ((b"etag", etag), _REVALIDATE)
                fresh = status == 200 and method in ("GET", "HEAD") and _has(if_none_match, etag)
                if fresh:
                    status, body = 304, b""
            else:
                headers.append(_NO_CACHE)
        if status != 304:
            headers += ((b"content-type", reply.content_type), (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


def _has(if_none_match: bytes, etag: bytes) -> bool:
    """Compare weakly, RFC 9110, 13.1.2."""
    if not if_none_match:
        return False
    tags = [tag.strip() for tag in if_none_match.split(b",")]
    return b"*" in tags or etag in tags or etag.removeprefix(b"W/") in tags


def request_id(headers: Headers) -> str:
    """The caller's X-Request-Id if it is 8 to 64 plain characters, else a new UUID."""
    given = header(headers, b"x-request-id")
    if given and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return fresh_id()


def fresh_id() -> str:
    """A random UUID (RFC 9562, 5.4) as text; the uuid module takes 4 us for it, this 1."""
    octets = bytearray(urandom(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def client_address(scope: Scope, trusted: Networks) -> str:
    """Who asks: the peer, or what trusted proxies say in X-Forwarded-For, read from the right.

    A hop that is no address spoils the chain: then the peer counts. All hops trusted: the furthest one.
    "unknown" where the peer has no address (a Unix socket).
    """
    peer = scope.get("client")
    if not peer:
        return "unknown"
    host: str = peer[0]
    if not trusted:
        return host.removeprefix("::ffff:")
    address = access.parse_address(host)
    if address is None or not _within(address, trusted):
        return host.removeprefix("::ffff:")
    nearest = furthest = str(address)
    chain = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    if not chain:
        return nearest
    for hop in reversed(chain.decode("latin-1").rsplit(",", HOPS_MAX)[-HOPS_MAX:]):
        address = access.parse_address(hop)
        if address is None:
            return nearest
        furthest = str(address)
        if not _within(address, trusted):
            break
    return furthest


def _within(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


class Edge:
    """The outermost ASGI application; see the module.

    Sets `scope["tidings.request_id"]` and `scope["tidings.client"]`. `error_reply` gives, for a path, the
    door's way to say an error; `count` is told the status and the seconds of each request. A door may
    let `TooLarge` and `ClientGone` pass to here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        log: logging.Logger,
        trusted_proxies: Networks,
        error_reply: ErrorReplyOf,
        client_shown_as: Callable[[str], str] | None = None,
        count: Callable[[int, float], None] | None = None,
    ) -> None:
        self._app = app
        self._log = log
        self._trusted = tuple(trusted_proxies)
        self._error_reply = error_reply
        self._client_shown_as = client_shown_as
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of scope (lifespan) go through as they are."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        name = scope["tidings.request_id"] = request_id(scope["headers"])
        client = scope["tidings.client"] = client_address(scope, self._trusted)
        status = 0

        async def outward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = (
                    (b"x-request-id", name.encode("ascii")),
                    (b"x-runtime", b"%.6f" % (perf_counter() - began)),
                )
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        try:
            status = await self._guarded(scope, receive, outward, lambda: status)
        finally:
            if self._count is not None:
                self._count(status, perf_counter() - began)
            access.log_request(
                self._log,
                request_id=name,
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"],
                status=status,
                seconds=perf_counter() - began,
                client=client,
                shown_as=self._client_shown_as,
            )

    async def _guarded(
        self, scope: Scope, receive: Receive, send: Send, status_sent: Callable[[], int]
    ) -> int:
        """Run the application and answer for it if it fails; returns the status for the log."""
        answer: tuple[int, str, str] | None = None
        try:
            await self._app(scope, receive, send)
            if not status_sent():
                raise RuntimeError("the application gave no answer")
        except ClientGone:
            return status_sent() or CLIENT_CLOSED_REQUEST
        except TooLarge:
            answer = (413, "Payload Too Large", "The body is larger than allowed")
        except asyncio.CancelledError:
            # The server stops and its patience for running requests is over.
            if not status_sent():
                await self._answer(scope, send, 503, "Service Unavailable", "The server is stopping")
            raise
        except Exception as problem:  # noqa: BLE001 - the top of a request
            access.log_crash(self._log, scope["tidings.request_id"], problem)
            answer = (500, "Internal Server Error", "Something went wrong on our side; it has been logged")
        if answer and not status_sent():
            await self._answer(scope, send, *answer)
        return status_sent()

    async def _answer(self, scope: Scope, send: Send, status: int, error: str, message: str) -> None:
        reply = self._error_reply(scope["path"])(status, error, message)
        if status == 503:
            reply.headers.append(_CLOSE)
        await send_reply(send, reply, method=scope["method"])
