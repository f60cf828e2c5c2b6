"""The HTTP server: uvicorn, with bounds on what a connection may cost before the application sees it.

uvicorn bounds neither the size of a header nor the time it takes, and answers bad requests in plain text.
`BoundedHttpProtocol` bounds both, refuses in the API's own format, never in the middle of another answer,
and reads on for a moment after a refusal so that the caller sees it instead of a reset connection.
"""

import asyncio
import logging
import resource
from asyncio import TimerHandle
from time import perf_counter
from typing import Any, Final

import httptools
import msgspec
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from tidings.web import access, http
from tidings.web.cork import Corked

# Twice what nginx and Apache take by default; browsers with many cookies stay under 16 KiB.
HEAD_MAX: Final = 32_768
# What nginx and Apache take by default; the longest known call has everything in its query, about 3 KB.
URL_MAX: Final = 8_192
# From the connection or the first byte of a request to the end of its head. A head is one packet or two.
HEAD_SECONDS: Final = 10.0
# From the head to the end of the body, and again for each further 1 MiB: 35 KB/s is slower than any client.
BODY_SECONDS: Final = 30.0
BODY_STEP: Final = 1_048_576
# Requests that may wait for the one before them. uvicorn queues without end: 180 MB of pipelined requests
# on one connection took 21 GB. No client in use pipelines at all; load generators send 16.
PIPELINE_MAX: Final = 100
# As uvicorn: how long a connection may idle between requests.
KEEP_ALIVE_SECONDS: Final = 5
# After an answer that did not wait for the body, and after a refusal, so much more is read and dropped.
DRAIN_MAX: Final = 4_194_304
DRAIN_SECONDS: Final = 5.0
LINGER_SECONDS: Final = 2.0
# A caller who takes none of our answer for so long is cut off. 64 KiB are buffered, so this is 2 KB/s.
WRITE_SECONDS: Final = 30.0
# Running requests may finish for so long after SIGTERM.
STOP_SECONDS: Final = 10
# A connection costs about 20 KB and a file descriptor; some descriptors stay for the database and mail.
CONNECTIONS_MAX: Final = 10_000
DESCRIPTORS_KEPT: Final = 128

_IDLE, _HEAD, _BODY = range(3)
# The chunk in which a head began is not counted towards it: what else it holds is not known.
_BEGUN: Final = -1
_REFUSALS: Final = {
    400: ("Bad Request", "The request is not well-formed HTTP"),
    408: ("Request Timeout", "The request did not arrive in time"),
    429: ("Too Many Requests", f"More than {PIPELINE_MAX} requests wait on this connection"),
    414: ("URI Too Long", f"The address is longer than {URL_MAX} bytes"),
    431: ("Request Header Fields Too Large", f"The header is longer than {HEAD_MAX} bytes"),
    503: ("Service Unavailable", "Too many connections are open"),
}


class _Refused(Exception):
    """Leaves a callback of the parser, which then gives up on the connection."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection; see the module. The bounds are class attributes so that `config` can set them."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    drain_seconds = DRAIN_SECONDS
    linger_seconds = LINGER_SECONDS
    write_seconds = WRITE_SECONDS
    connections_max = CONNECTIONS_MAX

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # The class above writes whole addresses, with their secrets, to any logger that has a handler.
        self.access_log = False
        self._phase = _IDLE
        # Bytes of the unfinished head in chunks before the current one, or _BEGUN; the current chunk.
        self._head_bytes, self._chunk = _BEGUN, 0
        # Requests handed to the application, or queued for it, whose answer is not complete.
        self._unanswered = 0
        # Bytes since the last byte of the body: chunk extensions and trailers, which the parser hoards.
        self._hidden = 0
        # Bytes of the body since its clock was set, and of what is dropped.
        self._came = self._drained = 0
        self._verdict, self._refused = 400, 0
        self._refusal_due = False
        self._began = 0.0
        # One clock at a time: for the head, the body, the drain, or for the end after a refusal.
        self._clock: TimerHandle | None = None
        self._write_clock: TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first head; refuse a connection too many."""
        self._corked = Corked(transport)
        super().connection_made(self._corked)  # type: ignore[arg-type]
        if len(self.connections) > self.connections_max:
            self._refuse(503)
        else:
            self._began = perf_counter()
            self._clock = self.loop.call_later(self.head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_clock()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Give a caller who does not read `write_seconds` to go on."""
        super().pause_writing()
        self._write_clock = self.loop.call_later(self.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The caller reads again."""
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; what it never reads is thrown away later."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.write_seconds, self.transport.abort)
        super().timeout_keep_alive_handler()

    def data_received(self, data: bytes) -> None:
        """Parse a chunk, at most 256 KiB, and look at what it leaves unfinished."""
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        if self._refused:
            self._drain(len(data))
            return
        self._chunk = size = len(data)
        cycle = self.cycle
        body_before = len(cycle.body) if self._phase == _BODY else -1
        while True:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # We never switch protocols (RFC 9110, 7.8 lets us): the rest is the next request.
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self._refuse(self._verdict)
                return
        if self._phase != _IDLE or not self._unanswered:
            self._look_at_rest(size, body_before if self.cycle is cycle else -1)

    # Callbacks of the parser

    def on_url(self, url: bytes) -> None:
        """A piece of the address: a head has begun."""
        self.url += url
        self._phase = _HEAD
        if len(self.url) > URL_MAX:
            self._verdict = 414
            raise _Refused

    def on_headers_complete(self) -> None:
        """The head is complete: measure it exactly if it may be large, and start the application."""
        if self._head_bytes != _BEGUN or self._chunk > HEAD_MAX:
            self._head_bytes = _BEGUN
            if self._known_head() > HEAD_MAX:
                self._verdict = 431
                raise _Refused
        if self._unanswered > PIPELINE_MAX:
            self._verdict = 429
            raise _Refused
        if self._clock is not None:
            self._stop_clock()
        HttpToolsProtocol.on_headers_complete(self)
        self._unanswered += 1
        self._phase = _BODY
        # Trailers come through the same callback; they must not reach the scope's headers.
        self.headers = []

    def on_message_complete(self) -> None:
        """The request is complete; if its answer was sent before, the connection may idle from here."""
        self._phase = _IDLE
        cycle = self.cycle
        if not cycle.response_complete:
            # As the class above does, without its two questions about upgrades, which cost 1 %.
            if self._clock is not None:
                self._stop_clock()
            cycle.more_body = False
            cycle.message_event.set()
        elif self._clock is not None:
            self._stop_clock()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """An answer is sent: a refusal that waited for it follows, or the rest of its body is dropped."""
        self._corked.flush()
        HttpToolsProtocol.on_response_complete(self)
        self._unanswered -= 1
        if self._phase != _IDLE or self.pipeline or self._refusal_due:
            self._look_at_next()

    # Bounds

    def _look_at_rest(self, size: int, body_before: int) -> None:
        """Count the chunk that ended within a request, and see that a clock runs."""
        if self._phase == _BODY:
            if self.cycle.response_complete:
                self._drain(size)
                return
            # A body that began in this chunk has -1 before.
            self._hidden = 0 if len(self.cycle.body) != body_before else self._hidden + size
            self._came += size
            if self._hidden > HEAD_MAX:
                self._refuse(431)
            elif self._clock is None:
                self._came, self._began = 0, perf_counter()
                self._clock = self.loop.call_later(self.body_seconds, self._body_is_late)
            return
        if self._phase == _HEAD:
            # A chunk that is not the head's first belongs to it as a whole.
            known = self._known_head()
            self._head_bytes = known if self._head_bytes == _BEGUN else max(known, self._head_bytes + size)
            if self._head_bytes > HEAD_MAX:
                self._refuse(431)
                return
        if self._clock is None and self.timeout_keep_alive_task is None:
            # Also for nothing but line ends, which the parser skips without a word.
            self._began = perf_counter()
            self._clock = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _look_at_next(self) -> None:
        """After an answer: its own body may still come, others may wait, a refusal may be due."""
        if self.transport.is_closing():
            return
        if self.pipeline:
            # The class above reads on after each answer, and so takes in faster than it answers.
            self.flow.pause_reading()
        if self._refusal_due and not self._unanswered:
            self._write_refusal()
        elif self._phase == _HEAD and self._clock is not None:
            # The next request has begun: its own clock runs, and the connection is not idle.
            self._unset_keepalive_if_required()
        elif self._phase == _BODY and self.cycle.response_complete and not self._refused:
            self._unset_keepalive_if_required()
            self._stop_clock()
            self._drained = 0
            self._clock = self.loop.call_later(self.drain_seconds, self.transport.close)

    def _known_head(self) -> int:
        """Bytes of the head that the parser has handed over: address and whole header lines."""
        if self._phase != _HEAD:
            return 0
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _head_is_late(self) -> None:
        self._clock = None
        if self.transport.is_closing():
            return
        if self._unanswered:
            # Reading may be paused until the answer before is sent, so the caller is not to blame.
            self._clock = self.loop.call_later(self.head_seconds, self._head_is_late)
        else:
            self._refuse(408)

    def _body_is_late(self) -> None:
        self._clock = None
        if self.transport.is_closing():
            return
        if self.pipeline or self.flow.read_paused or self._came >= BODY_STEP:
            # It waits behind another request, or for us to take what came: the caller is not to blame.
            self._came, self._clock = 0, self.loop.call_later(self.body_seconds, self._body_is_late)
        else:
            self._refuse(408)

    def _drain(self, size: int) -> None:
        self._drained += size
        if self._drained > DRAIN_MAX:
            self.transport.close()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    # Refusals

    def _refuse(self, status: int) -> None:
        """Answer with an error as soon as the answers before it are sent, then close."""
        self._refused = status
        self._drained = 0
        self._stop_clock()
        if self._phase == _BODY:
            # The request waits for its turn, or has reached the application, and its body is broken.
            if self.pipeline:
                self.pipeline.popleft()
            elif self.cycle.response_started:
                self.transport.close()
                return
            else:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self._unanswered -= 1
        if self._unanswered:
            self._refusal_due = True
        else:
            self._write_refusal()

    def _write_refusal(self) -> None:
        self._refusal_due = False
        self._unset_keepalive_if_required()
        error, message = _REFUSALS[self._refused]
        body = msgspec.json.encode({"error": error, "message": message})
        request_id = http.fresh_id()
        lines = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(
            b"%bcontent-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n%bx-request-id: %b\r\n"
            b"cache-control: no-cache\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[self._refused], len(body), b"".join(lines), request_id.encode(), body)
        )
        access.log_request(
            logging.getLogger("tidings.access"),
            request_id=request_id,
            method="-",
            path="-",
            query=b"",
            status=self._refused,
            seconds=perf_counter() - self._began if self._refused == 408 else 0.0,
            client=self.client[0] if self.client else "unknown",
        )
        if self._refused == 503 or not self.transport.can_write_eof():
            # Many such at once must not hold descriptors for the time of lingering.
            self.transport.close()
            return
        # RFC 9112, 9.6: close in stages, lest a reset overtakes the answer.
        self.flow.resume_reading()
        self.transport.write_eof()
        self._clock = self.loop.call_later(self.linger_seconds, self.transport.abort)


def config(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    fd: int | None = None,
    backlog: int = 2048,
    keep_alive_seconds: int = KEEP_ALIVE_SECONDS,
    head_seconds: float = HEAD_SECONDS,
    body_seconds: float = BODY_SECONDS,
    drain_seconds: float = DRAIN_SECONDS,
    connections_max: int = CONNECTIONS_MAX,
) -> uvicorn.Config:
    """The server's configuration, for `uvicorn.Server(config(...)).run()`; logging is left to the caller.

    `fd` is an open listening socket, used instead of host and port. Connections are also bounded by the
    file descriptors that the system allows.
    """
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        descriptors = connections_max + DESCRIPTORS_KEPT

    class Protocol(BoundedHttpProtocol): ...

    Protocol.head_seconds = head_seconds
    Protocol.body_seconds = body_seconds
    Protocol.drain_seconds = drain_seconds
    Protocol.connections_max = max(1, min(connections_max, descriptors - DESCRIPTORS_KEPT))
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        fd=fd,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        # Who is asking is `http.client_address`'s to say, by our own setting.
        proxy_headers=False,
        server_header=False,
        date_header=True,
        backlog=backlog,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
