"""The guarded client: posts to addresses that strangers chose, gets from such, and never reaches inside.

The gate is where sockets are made: whatever a URL or a name server says, the address that is about
to be connected to is checked, and the connection goes to that very address. Redirects are answers.
Nothing of the environment (proxies, .netrc) is used, no cookie is kept, nothing is decompressed.
"""

import asyncio
import functools
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime

import aiohttp
import certifi
import msgspec
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from tidings import __version__
from tidings.outbound.addresses import Network, refusal
from tidings.outbound.connection import ANSWER_MAX, Bounded, Count
from tidings.outbound.names import Names
from tidings.outbound.target import Refused, checked

USER_AGENT = f"Tidings/{__version__}"
# What is read of an answer, and what of it is kept for the log.
BODY_READ, BODY_KEPT = 65_536, 1_024
# To check a URL costs 20 us, a fifth of a whole post; an endpoint's comes again and again.
URLS_KEPT = 1_000
# Our own requests: a snapshot of one subscriber or purchase has some 2 KiB, a huge purchase 100.
REQUEST_MAX = 1_048_576
# Shorter than the 5 s after which Node and uvicorn close, so that we seldom write to a closing connection.
KEPT_S = 3.0
# A pause that the other side asks for is honoured up to a day.
PAUSE_MAX_S = 86_400
ERROR_MAX = 200

# Ours to set; a caller's would make a request that says two things.
_OURS = frozenset(
    (
        "accept", "accept-encoding", "connection", "content-length", "cookie", "expect", "host", "te",
        "trailer", "transfer-encoding", "upgrade", "user-agent",
    )
)  # fmt: skip
# RFC 9110, 5.1 and 5.5, without the octets beyond ASCII that nobody agrees on.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
# All that the other side, the network and the name servers can make happen. uvloop says RuntimeError
# where a connection ends while it is being set up.
_FAILURES = (aiohttp.ClientError, OSError, ValueError, RuntimeError)


class Answer(msgspec.Struct, frozen=True):
    """What came of one request.

    `status` is None when no answer came, and `error` then says why in plain words. A `status` with an
    `error` is an answer whose body broke off or did not end in time. `body` is the first 1,024 octets of an
    answer to a post; `retry_after_s` is between 0 and a day.
    """

    status: int | None
    error: str
    body: bytes
    retry_after_s: int | None
    took_ms: int


class _Heard:
    """What has arrived of an answer so far: it counts even when the rest never comes."""

    status: int | None = None
    body = b""
    most = BODY_READ
    retry_after_s: int | None = None


class Outbound:
    """Asks over HTTP; at most `connections` requests at once, `total_s` for all of each.

    `allow` holds the networks that may be reached although they are private. `roots` is a file of
    certificates (PEM) to trust beside the system's and certifi's; `names` looks hosts up instead of
    `Names`: the gate holds with any. An answer has at most `answer_max` octets.
    """

    def __init__(
        self,
        *,
        allow: Sequence[Network] = (),
        total_s: float = 15.0,
        connections: int = 2_000,
        roots: str | None = None,
        names: AbstractResolver | None = None,
        answer_max: int = ANSWER_MAX,
    ) -> None:
        self._allow = tuple(allow)
        self._total_s = total_s
        self._connections = connections
        self._answer_max = answer_max
        self._names = names or Names(self._allow)
        # A machine without a system's list (slim containers) has certifi's; an owner's own authority,
        # which the system knows, counts as well.
        self._tls = ssl.create_default_context()
        self._tls.load_verify_locations(cafile=certifi.where())
        if roots is not None:
            self._tls.load_verify_locations(cafile=roots)
        self._session: aiohttp.ClientSession | None = None
        self._checked = functools.lru_cache(URLS_KEPT)(functools.partial(checked, allow=self._allow))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post `body` and return what came of it, whatever the other side does.

        Raise ValueError for a header that is ours to set or cannot be sent: a mistake of the caller.
        """
        heard = _Heard()
        answer = await self._told("POST", url, body, _sent(headers), heard)
        return msgspec.structs.replace(answer, body=answer.body[:BODY_KEPT])

    async def get(self, url: str) -> Answer:
        """Ask for what is at an address; of its body there is all, up to `answer_max`."""
        heard = _Heard()
        heard.most = self._answer_max
        return await self._told("GET", url, b"", _sent({}), heard)

    async def _told(
        self, method: str, url: str, body: bytes, headers: dict[str, str], heard: _Heard
    ) -> Answer:
        """Ask, and return what came of it, whatever the other side does."""
        began = time.monotonic()
        error = ""
        try:
            if len(body) > REQUEST_MAX:
                raise Refused(f"more than {REQUEST_MAX:,} octets are not posted")
            async with asyncio.timeout(self._total_s):
                await self._ask(method, self._checked(url), body, headers, heard)
        except TimeoutError as late:
            # The system's own word for a peer that does not answer is the same class, with a number.
            error = f"no whole answer within {self._total_s:g} s" if late.errno is None else _in_words(late)
        except _FAILURES as failure:
            error = _in_words(failure)
        took_ms = round((time.monotonic() - began) * 1_000)
        return Answer(heard.status, error, heard.body, heard.retry_after_s, took_ms)

    async def close(self) -> None:
        """Close the kept connections; those in use break off."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(
        self, method: str, target: URL, body: bytes, headers: dict[str, str], heard: _Heard
    ) -> None:
        session = self._session or self._open()
        data = body if method == "POST" else None
        response = await session.request(method, target, data=data, headers=headers, allow_redirects=False)
        try:
            heard.status = response.status
            heard.retry_after_s = retry_after_s(response.headers.get("Retry-After", ""), time.time())
            while len(heard.body) < heard.most and (chunk := await response.content.readany()):
                heard.body += chunk
        finally:
            # A connection whose answer came to its end has gone back already; any other is closed.
            response.close()

    def _open(self) -> aiohttp.ClientSession:
        """Make the session; not before the first request, because it belongs to the running loop."""
        connector = aiohttp.TCPConnector(
            resolver=self._names,
            use_dns_cache=False,
            limit=self._connections,
            keepalive_timeout=KEPT_S,
            ssl=self._tls,
            socket_factory=self._gate,
        )
        # aiohttp offers no public way to bound what a connection receives; a test holds this one.
        count = Count(self._connections // 2)
        make: Callable[..., ResponseHandler] = Bounded
        connector._factory = functools.partial(make, asyncio.get_running_loop(), count, self._answer_max)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            # No body of ours is guessed to be octet-stream; the other automatic headers are in `_sent`.
            skip_auto_headers=("Content-Type",),
            auto_decompress=False,
            trust_env=False,
        )
        return self._session

    def _gate(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for this address, if it is one that may be connected to."""
        family, kind, protocol, _, address = info
        if why := refusal(str(address[0]), self._allow):
            raise Refused(f"{address[0]} is not reached: {why}")
        return socket.socket(family, kind, protocol)


def retry_after_s(text: str, now: float) -> int | None:
    """Read a Retry-After (RFC 9110, 10.2.3): seconds or a date; None for neither. At most a day.

    `now` is in seconds since 1970.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        # More digits than a day has are a day: nobody's number is too long to read.
        return min(int(text[:9]), PAUSE_MAX_S) if len(text) <= 9 else PAUSE_MAX_S
    try:
        until = parsedate_to_datetime(text[:64]).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
    return int(min(max(until - now, 0), PAUSE_MAX_S))


def _sent(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"{name!r} is no header for a caller to set")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} cannot be sent")
    return {**headers, "User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}


def _in_words(failure: Exception) -> str:
    """Say what went wrong, in words for the owner of the webhook; nothing long, nothing unprintable."""
    said = _words(failure)
    return "".join(c if c.isprintable() else "?" for c in said[:ERROR_MAX])


def _words(failure: BaseException) -> str:
    if isinstance(failure, aiohttp.ClientConnectorCertificateError):
        return f"the certificate is not trusted: {failure.certificate_error}"
    if isinstance(failure, aiohttp.ClientConnectorError):
        # What happened beneath: our own refusal, a failure of TLS, or the system's number.
        return _words(failure.os_error)
    if isinstance(failure, ssl.SSLError):
        return f"TLS failed: {failure.reason or 'no reason was given'}".replace("_", " ").lower()
    if isinstance(failure, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    if isinstance(failure, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(failure, aiohttp.ClientResponseError):
        # The parser's further lines are a picture of the octets.
        return f"the answer is not HTTP: {failure.message.partition(chr(10))[0].rstrip(':')}"
    if isinstance(failure, OSError):
        return (
            os.strerror(failure.errno).lower() if failure.errno else str(failure) or "the connection failed"
        )
    return f"the request failed: {type(failure).__name__}"
