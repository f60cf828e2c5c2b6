"""The world of the outbound client: a scripted server, canaries that nobody may touch, a name server."""

import asyncio
import contextlib
import itertools
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult

from tidings.outbound.names import Names

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
# What a name server says to the name and the kind asked for (A, AAAA): addresses, [] for none of that
# kind, None for silence. NXDOMAIN is said by raising LookupError.
Says = Callable[[str, str], Sequence[str] | None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop.run(main())


def room_for_sockets() -> None:
    """Raise the soft limit of open files as far as it goes: some systems begin with 256."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 16_384 if hard == resource.RLIM_INFINITY else min(hard, 16_384)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Server:
    """An HTTP server that keeps to its script; counts connections and keeps the requests."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []


@contextlib.asynccontextmanager
async def serving(talk: Talk, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[Server]:
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        # A client that hangs up is what many of these tests are about; asyncio would log a cancelled script.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()
        tasks.discard(task)

    def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Coroutine[Any, Any, None]:
        reader.requests = server.requests  # type: ignore[attr-defined]
        return one(reader, writer)

    listening = await asyncio.start_server(noting, host, 0, backlog=2_048, **options)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> bytes:
    """Read one request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
    whole = head + await reader.readexactly(int(length))
    reader.requests.append(whole)  # type: ignore[attr-defined]
    return whole


def answers(*what: bytes) -> Talk:
    """A script: one answer for each request of a connection, the last for all further ones."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in itertools.chain(what, itertools.repeat(what[-1])):
            await request(reader)
            writer.write(answer)
            await writer.drain()

    return talk


def once(answer: bytes) -> Talk:
    """A script: one answer, then the end of the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)
        await writer.drain()

    return talk


def forever(before: bytes, again: bytes, pause_s: float = 0.0) -> Talk:
    """A script that does not end of its own."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(before)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return talk


class Canaries:
    """Listeners that nobody may reach: they count, and hang up."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.touched = 0

    async def count(self) -> int:
        """How often they were touched, when all that is under way has arrived."""
        await asyncio.sleep(0.05)
        return self.touched


@contextlib.asynccontextmanager
async def watching(
    addresses: Sequence[str] = ("0.0.0.0", "::"), ports: Sequence[int] = (0, 0, 0)
) -> AsyncIterator[Canaries]:
    """Listen at every address of this machine, in IPv4 and IPv6, at the same few ports."""
    canaries = Canaries()

    def touch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        canaries.touched += 1
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        for wanted in ports:
            port = wanted
            for address in addresses:
                server = await asyncio.start_server(touch, sock=_bound(address, port))
                stack.push_async_callback(_closed, server)
                port = server.sockets[0].getsockname()[1]
            canaries.ports.append(port)
        yield canaries


async def _closed(server: asyncio.Server) -> None:
    server.close()


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    return sock


def bindable(*addresses: str) -> list[str]:
    """Those that this machine has: macOS has of 127.0.0.0/8 only 127.0.0.1."""
    found = []
    for address in addresses:
        with contextlib.suppress(OSError):
            _bound(address, 0).close()
            found.append(address)
    return found


class _NameServer(asyncio.DatagramProtocol):
    def __init__(self, says: Says) -> None:
        self._says = says
        self.asked: list[tuple[str, str]] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        try:
            said = self._says(name, kind)
        except LookupError:
            said = []
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if said is None:
            return
        if said:
            reply.answer.append(dns.rrset.from_text(question.name, 0, "IN", kind, *said))
        self._transport.sendto(reply.to_wire(), addr)


class NameServer:
    """A name server on loopback, and the port it listens at."""

    def __init__(self, port: int, protocol: _NameServer) -> None:
        self.port = port
        self.asked = protocol.asked

    def names(self, allow: Sequence[Any] = (), **options: Any) -> Names:
        """The client's own look-up, asking here and knowing no hosts file."""
        return Names(allow, servers=("127.0.0.1",), port=self.port, **{"hosts": "/nowhere/hosts", **options})


@contextlib.asynccontextmanager
async def naming(says: Says) -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _NameServer(says), local_addr=("127.0.0.1", 0)
    )
    try:
        yield NameServer(transport.get_extra_info("sockname")[1], protocol)
    finally:
        transport.close()


class Credulous(AbstractResolver):
    """Takes every name for this machine and checks nothing."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)
            for address, kind in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))
        ]

    async def close(self) -> None:
        """Nothing to close."""
