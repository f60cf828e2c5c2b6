"""One SMTP connection as bytes: replies in, commands out, each wait bounded (RFC 5321 4.2, 4.5.3)."""

import asyncio
import re
import ssl
from dataclasses import dataclass
from typing import cast

# RFC 5321 4.5.3.1.5 says 512; servers that explain a refusal write more.
LINE_MAX = 4_096
LINES_MAX = 100
# All that may wait unread: a server that floods is cut off.
UNREAD_MAX = 256 * 1024
_BLOCK = 128 * 1024
_REPLY = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r\n]*))?\Z")
_UNSHOWN = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]+")


class Lost(Exception):
    """The connection is of no more use; the message says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply. `lines` are the texts after the code; `text` is all of it, printable."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The reply on one line, at most 500 characters, fit for a log and a page."""
        return _UNSHOWN.sub(" ", " ".join(self.lines)).strip()[:500]


class Wire(asyncio.Protocol):
    """The bytes of one connection. Any fault raises `Lost` at the next use."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._gone = ""
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; with no buffer wanted, a finished write is with the system."""
        # A stream's transport always writes; uvloop's is no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Keep what came for `reply`."""
        self._unread += data
        if len(self._unread) > UNREAD_MAX:
            self.abort("the server sent too much")
        self._wake()

    def eof_received(self) -> None:
        """Note the other side's end; the transport then closes itself."""
        self._gone = self._gone or "the server closed the connection"
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end and its cause."""
        why = f"the connection broke: {exc}" if exc else "the server closed the connection"
        self._gone = self._gone or why
        self._paused = False
        self._wake()

    def pause_writing(self) -> None:
        """Note that bytes wait in the transport."""
        self._paused = True

    def resume_writing(self) -> None:
        """Note that all bytes are with the system."""
        self._paused = False
        self._wake()

    # What a conversation calls.

    @property
    def usable(self) -> bool:
        """Whether the connection stands and nothing unasked for has come."""
        closing = self._transport is None or self._transport.is_closing()
        return not (self._gone or closing or self._unread)

    @property
    def peer(self) -> str:
        """The address connected to."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        return str(name[0]) if isinstance(name, tuple) else ""

    async def reply(self, wait_s: float) -> Reply:
        """Read one complete reply of at most 100 lines."""
        try:
            async with asyncio.timeout(wait_s):
                return await self._reply()
        except TimeoutError:
            raise Lost(f"no complete reply within {wait_s:g} s") from None

    async def command(self, line: str, wait_s: float) -> Reply:
        """Send one command and read its reply; `Lost` if the server spoke before it was asked."""
        self.hand(line.encode() + b"\r\n")
        return await self.reply(wait_s)

    async def write(self, data: bytes, block_s: float) -> None:
        """Write all of `data`, each block within `block_s`; returns when the system has it."""
        view = memoryview(data)
        for at in range(0, len(view), _BLOCK):
            self.hand(view[at : at + _BLOCK])
            try:
                async with asyncio.timeout(block_s):
                    while self._paused and not self._gone:
                        await self._news()
            except TimeoutError:
                raise Lost(f"no block was taken within {block_s:g} s") from None

    def hand(self, data: bytes | memoryview) -> None:
        """Give `data` to the socket now; raises `Lost`, with nothing given, on a dead connection."""
        if self._transport is None or not self.usable:
            early = "the server spoke out of turn: " + self._glimpse() if self._unread else ""
            raise Lost(early or self._gone or "the connection is closed")
        self._transport.write(data)

    async def start_tls(self, context: ssl.SSLContext, host: str, wait_s: float) -> None:
        """Go over to TLS, dropping what came in clear after the 220 (RFC 3207 5, CVE-2021-38371)."""
        if self._transport is None or self._gone:
            raise Lost(self._gone or "the connection is closed")
        self._unread.clear()
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                self._transport, self, context, server_hostname=host, ssl_handshake_timeout=wait_s
            )
        except OSError as problem:
            self.abort("TLS failed")
            raise Lost(f"TLS failed: {problem}") from problem
        if secured is None:
            raise Lost("the connection closed during TLS")
        self._transport = secured
        self._transport.set_write_buffer_limits(high=0)

    def abort(self, why: str = "closed by us") -> None:
        """End the connection at once."""
        self._gone = self._gone or why
        if self._transport is not None:
            self._transport.abort()

    async def _reply(self) -> Reply:
        lines: list[str] = []
        first = b""
        while len(lines) < LINES_MAX:
            found = _REPLY.match(await self._line())
            if found is None or (first and found[1] != first):
                self.abort("the server sent what is no SMTP reply")
                raise Lost("the server sent what is no SMTP reply")
            first = found[1]
            lines.append((found[3] or b"").decode("utf-8", "replace"))
            if found[2] != b"-":
                return Reply(int(first), tuple(lines))
        self.abort("a reply had too many lines")
        raise Lost(f"a reply had more than {LINES_MAX} lines")

    async def _line(self) -> bytes:
        """Take one line off the buffer, without its end."""
        while True:
            end = self._unread.find(b"\n", 0, LINE_MAX)
            if end >= 0:
                line = bytes(self._unread[:end])
                del self._unread[: end + 1]
                return line.removesuffix(b"\r")
            if len(self._unread) >= LINE_MAX:
                self.abort("a reply line was too long")
                raise Lost(f"a reply line had more than {LINE_MAX} octets")
            if self._gone:
                raise Lost(self._gone + (" in the middle of a reply" if self._unread else ""))
            await self._news()

    async def _news(self) -> None:
        """Wait until anything happens; one coroutine at a time uses a wire."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _glimpse(self) -> str:
        """Show the start of what came unasked."""
        return _UNSHOWN.sub(" ", bytes(self._unread[:200]).decode("utf-8", "replace")).strip()
