"""A load generator: so many kept connections to loopback, one request at a time on each.

Costs some 10 us a request, so that it is not what limits a server in Python on the other core.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import uvloop

Build = Callable[[int], bytes]


@dataclass(slots=True)
class Result:
    """What came back: requests, seconds, latencies in ms (sorted), answers by status."""

    requests: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


class _Connection(asyncio.Protocol):
    """Sends, waits for the whole answer, sends again, until there is nothing left to send."""

    def __init__(self, requests: Iterator[bytes], result: Result, ended: asyncio.Event) -> None:
        self._requests = requests
        self._result = result
        self.ended = ended
        self._got = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self.ended.set()
            return
        self._got = b""
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got = got = self._got + data if self._got else data
        head = got.find(b"\r\n\r\n")
        if head < 0:
            return
        at = got.find(b"content-length: ", 0, head)
        length = int(got[at + 16 : got.find(b"\r\n", at)]) if at >= 0 else 0
        if len(got) < head + 4 + length:
            return
        result = self._result
        result.latencies.append((time.perf_counter() - self._began) * 1_000)
        status = int(got[9:12])
        result.statuses[status] = result.statuses.get(status, 0) + 1
        result.requests += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (the protocol)
        self.ended.set()


async def _run(port: int, build: Build, *, connections: int, most: int, seconds: float) -> Result:
    result = Result()
    until = time.perf_counter() + seconds
    numbers = itertools.count()

    def requests() -> Iterator[bytes]:
        for number in numbers:
            if number >= most or time.perf_counter() > until:
                return
            yield build(number)

    source = requests()
    loop = asyncio.get_running_loop()
    ends = [asyncio.Event() for _ in range(connections)]
    began = time.perf_counter()
    for ended in ends:
        await loop.create_connection(lambda e=ended: _Connection(source, result, e), "127.0.0.1", port)
    await asyncio.gather(*(ended.wait() for ended in ends))
    result.seconds = time.perf_counter() - began
    result.latencies.sort()
    return result


def run(port: int, build: Build, *, connections: int = 32, most: int = 10**9, seconds: float = 4.0) -> Result:
    """Load the server on this port of loopback; bounded by requests and by time."""
    if sys.version_info >= (3, 12):
        return asyncio.run(
            _run(port, build, connections=connections, most=most, seconds=seconds),
            loop_factory=uvloop.new_event_loop,
        )
    uvloop.install()
    return asyncio.run(_run(port, build, connections=connections, most=most, seconds=seconds))


def get(path: str) -> bytes:
    """Return a GET as bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Return a POST of JSON as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
