"""A TCP proxy that spoils a connection in one of eight ways, after Toxiproxy's toxics.

    async with Proxy(sink.port, "reset", random.Random(7)) as proxy:
        ...connect to proxy.port...

latency      every chunk waits
down         connections are closed at once, from a moment on
bandwidth    so many bytes a second and no more
slow close   the end arrives late
time-out     from a moment on nothing passes, in either direction
reset        the connection is reset at a moment
slicer       chunks come in small pieces
limit data   the connection closes after so many bytes

A moment is a number of bytes, drawn from the seed, so that the same seed spoils the same place.
"""

import asyncio
import contextlib
import random
import socket
import struct
from types import TracebackType

TOXICS = ("latency", "down", "bandwidth", "slow close", "time-out", "reset", "slicer", "limit data")
# Those that delay and take nothing away: every message must still arrive.
HARMLESS = frozenset({"latency", "bandwidth", "slow close", "slicer"})
# How many bytes, of both directions, pass before the moment of a connection.
MOMENT_MAX = 6_000


class Proxy:
    """One port in front of another on loopback; the first `spoilt` connections are spoilt."""

    def __init__(self, behind: int, toxic: str, seeded: random.Random, *, spoilt: int = 2) -> None:
        assert toxic in TOXICS
        self._behind = behind
        self._toxic = toxic
        self._seeded = seeded
        self._spoilt = spoilt
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        toxic = self._toxic if self._spoilt > 0 else ""
        self._spoilt -= 1
        far = None
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                far_reader, far = await asyncio.open_connection("127.0.0.1", self._behind)
                link = _Link(toxic, self._seeded, (writer, far))
                await asyncio.gather(link.pump(reader, far), link.pump(far_reader, writer))
        finally:
            for each in (writer, far):
                if each is not None:
                    each.close()
            self._tasks.discard(task)


class _Link:
    """One connection through the proxy, both directions; its moment counts the bytes of both."""

    def __init__(
        self, toxic: str, seeded: random.Random, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    ) -> None:
        self._toxic = toxic
        self._seeded = seeded
        self._ends = ends
        self._left = seeded.randrange(MOMENT_MAX)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction until its end, the way the toxic says."""
        while data := await reader.read(65_536):
            if self._toxic in ("down", "time-out", "reset", "limit data"):
                passed = data[: self._left]
                self._left -= len(passed)
                writer.write(passed)
                if len(passed) < len(data):
                    await self._strike()
                    return
            else:
                await self._carry(data, writer)
            await writer.drain()
        if self._toxic == "slow close":
            await asyncio.sleep(self._seeded.uniform(0.0, 0.05))
        if writer.can_write_eof():
            writer.write_eof()

    async def _carry(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self._toxic == "latency":
            await asyncio.sleep(self._seeded.uniform(0.0, 0.02))
            writer.write(data)
        elif self._toxic == "bandwidth":
            # 1 MB a second in pieces of 4 KB.
            for at in range(0, len(data), 4_096):
                writer.write(data[at : at + 4_096])
                await asyncio.sleep(0.004)
        elif self._toxic == "slicer":
            at = 0
            while at < len(data):
                size = self._seeded.randint(1, 400)
                writer.write(data[at : at + size])
                at += size
                await asyncio.sleep(0)
        else:
            writer.write(data)

    async def _strike(self) -> None:
        """Do the harm: nothing more passes, or both ends are closed, politely or by a reset."""
        if self._toxic == "time-out":
            await asyncio.sleep(3_600)
        for writer in self._ends:
            if self._toxic == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            elif self._toxic == "down":
                writer.transport.abort()
            else:
                writer.close()
