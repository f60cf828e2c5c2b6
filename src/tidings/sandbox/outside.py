"""The way out of a sandbox: to loopback and nowhere else, with a record of what was posted."""

import socket
from collections import deque
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from tidings.core.notices import Told
from tidings.outbound.client import Outbound
from tidings.outbound.target import Refused, checked

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
NAME = "localhost"
# Posts that are remembered; each holds its body.
KEPT = 1_000
# Receivers of tests answer at once, and one that hangs must not hold a test suite for 15 s a post.
POST_S = 5.0


class Posted(msgspec.Struct, frozen=True):
    """One try to post: what was posted, and the answer or (`status` None) why there was none.

    `at` is epoch ms by the clock of the sandbox; `answer` the beginning of the answer's body.
    """

    at: int
    url: str
    headers: dict[str, str]
    body: str
    status: int | None
    error: str
    answer: str


class _Loopback(AbstractResolver):
    """Knows `localhost` (RFC 6761, 6.3) and asks nobody for any other name: a question would leave, too."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host.rstrip(".").lower() != NAME:
            raise Refused(_why(host))
        found = (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))
        return [
            ResolveResult(hostname=host, host=address, port=port, family=its, proto=0, flags=0)
            for address, its in found
            if family in (socket.AF_UNSPEC, its)
        ]

    async def close(self) -> None:
        """Nothing is open."""


class Outside:
    """Posts notices to this machine; `flying` are on their way."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._outbound = self._fresh()
        self.posted: deque[Posted] = deque(maxlen=KEPT)
        self.flying = 0

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Told:
        """Post to loopback and return what came of it; say of any other address that it is not reached."""
        self.flying += 1
        try:
            told = await self._told(url, body, headers)
        finally:
            self.flying -= 1
        self.posted.append(
            Posted(
                self._clock(),
                url,
                dict(headers),
                body.decode("utf-8", "replace"),
                told.status,
                told.error,
                told.body.decode("utf-8", "replace"),
            )
        )
        return told

    async def break_off(self) -> None:
        """Let what is on its way end without its answer."""
        outbound, self._outbound = self._outbound, self._fresh()
        await outbound.close()

    async def _told(self, url: str, body: bytes, headers: Mapping[str, str]) -> Told:
        try:
            # Read by the client's own eyes: what two parsers read differently would be a way out.
            host = checked(url, LOOPBACK).raw_host or ""
        except Refused as refused:
            return Told(None, str(refused))
        if not is_loopback(host):
            return Told(None, _why(host))
        said = await self._outbound.post(url, body, headers)
        return Told(said.status, said.error, said.body, said.retry_after_s, said.took_ms)

    @staticmethod
    def _fresh() -> Outbound:
        return Outbound(allow=LOOPBACK, total_s=POST_S, names=_Loopback())


def is_loopback(host: str) -> bool:
    """Say whether a host, a name or an address without brackets, is this machine and no other."""
    try:
        address: IPv4Address | IPv6Address = ip_address(host)
    except ValueError:
        return host.rstrip(".").lower() == NAME
    return any(address in network for network in LOOPBACK if network.version == address.version)


def _why(host: str) -> str:
    return f"{host[:100]} is not reached: a sandbox posts to 127.0.0.0/8, ::1 and localhost only"
