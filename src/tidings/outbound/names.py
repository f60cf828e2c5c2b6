"""From a host's name to the addresses that may be connected to.

Asked without threads: a name whose server is silent holds two UDP sockets of its own and nobody
else's place in a queue. Names of /etc/hosts are known; what the system's libraries know besides
(mDNS, NIS) is not.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
from aiohttp.abc import AbstractResolver, ResolveResult

from tidings.outbound.addresses import Address, Network, refusal
from tidings.outbound.target import Refused

# All tries of one question together. A resolver that asks far away needs up to 5 s; 15 s are all there are,
# and each try of a thousand silent names costs us half a second of one core.
LIFETIME_S = 6.0
# One try: a datagram that was lost in a rush is sent again this soon.
TRY_S = 1.0
# How long known addresses of one family wait for the other's (RFC 8305, 3, says 50 ms; a resolver that
# was just asked for both rarely needs more).
OTHER_FAMILY_S = 0.2
# Of each family: more are only a way to make us knock at many doors.
ADDRESSES_MAX = 4
# An answer is used again so long: a rush to one endpoint asks once, and a move is noticed soon.
KEPT_S = 10.0
KEPT_MAX = 1_000
# A hosts file for blocking advertisements has 10 MB; nobody needs one here.
HOSTS_MAX = 1_048_576


class Names(AbstractResolver):
    """Looks names up; gives out only addresses that are allowed.

    `servers` are name servers to ask instead of the system's, at `port`.
    """

    def __init__(
        self,
        allow: Sequence[Network] = (),
        *,
        servers: Sequence[str] = (),
        port: int = 53,
        hosts: str = "/etc/hosts",
        lifetime_s: float = LIFETIME_S,
    ) -> None:
        self._allow = tuple(allow)
        self._servers = tuple(servers)
        self._port = port
        self._lifetime_s = lifetime_s
        self._hosts = _Watched(hosts)
        self._named: dict[str, list[Address]] = {}
        self._configuration = _Watched("/etc/resolv.conf")
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._kept: dict[str, tuple[float, list[Address]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host` that may be connected to; raise `Refused` if there are none."""
        name = host.rstrip(".").lower()
        found = self._hosts_say(name) or self._known(name)
        if not found:
            found = await self._ask(host)
            self._keep(name, found)
        good = [address for address in found if not refusal(address, self._allow)]
        if not good:
            why = refusal(found[0], self._allow)
            raise Refused(f"{name[:100]} leads to {found[0]}, which is not reached: {why}")
        return [
            one for one in (_result(host, address, port) for address in good) if family in (0, one["family"])
        ]

    async def close(self) -> None:
        """Nothing is held between two questions."""

    def _hosts_say(self, name: str) -> list[Address]:
        if self._hosts.changed():
            self._named = _read_hosts(self._hosts.path)
        return self._named.get(name, [])

    def _known(self, name: str) -> list[Address]:
        until, found = self._kept.get(name, (0.0, []))
        return found if time.monotonic() < until else []

    def _keep(self, name: str, found: list[Address]) -> None:
        self._kept.pop(name, None)
        if len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[name] = (time.monotonic() + KEPT_S, found)

    async def _ask(self, host: str) -> list[Address]:
        """Ask for both families at once; an address of one does not wait long for the other."""
        resolver = self._current()
        asked = [
            asyncio.create_task(_addresses(resolver, host, kind))
            for kind in (dns.rdatatype.AAAA, dns.rdatatype.A)
        ]
        try:
            done, rest = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            if rest:
                heard = any(task.result()[0] for task in done)
                await asyncio.wait(rest, timeout=OTHER_FAMILY_S if heard else None)
            answers = [task.result() for task in asked if task.done()]
        finally:
            for task in asked:
                task.cancel()
        found = [address for addresses, _ in answers for address in addresses]
        if not found:
            raise Refused(f"{host[:100]}: {max(why for _, why in answers)}")
        return found

    def _current(self) -> dns.asyncresolver.Resolver:
        """The resolver as the system is configured now: a laptop changes its network."""
        if self._resolver is None or (not self._servers and self._configuration.changed()):
            resolver = dns.asyncresolver.Resolver(configure=False)
            if not self._servers:
                with contextlib.suppress(dns.exception.DNSException, OSError):
                    resolver.read_resolv_conf(self._configuration.path)
            # Without a configuration the system's own libraries ask this machine (resolv.conf(5)).
            resolver.nameservers = list(self._servers or resolver.nameservers or ("127.0.0.1",))
            resolver.port = self._port
            resolver.lifetime, resolver.timeout = self._lifetime_s, TRY_S
            self._resolver = resolver
        return self._resolver


class _Watched:
    """A file that is looked at again when it has changed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None

    def changed(self) -> bool:
        """Tell whether the file is another than at the last call; true at the first."""
        try:
            about = os.stat(self.path)
            now = (about.st_mtime_ns, about.st_size)
        except OSError:
            now = (0, 0)
        before, self._seen = self._seen, now
        return now != before


async def _addresses(
    resolver: dns.asyncresolver.Resolver, host: str, kind: dns.rdatatype.RdataType
) -> tuple[list[Address], str]:
    """The addresses of one family; without any, why. The graver reason sorts later."""
    try:
        answer = await resolver.resolve(host, kind, search=True, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return [], "no such name"
    except dns.exception.Timeout:
        return [], "the name server did not answer"
    except (dns.exception.DNSException, OSError, ValueError):
        return [], "the name server could not say"
    found = [ip_address(record.address) for record in answer.rrset or ()][:ADDRESSES_MAX]
    return found, "" if found else "no address for this name"


def _read_hosts(path: str) -> dict[str, list[Address]]:
    """The names of a hosts file (hosts(5)); a line that is not understood is passed over."""
    named: dict[str, list[Address]] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(HOSTS_MAX)
    except OSError:
        return named
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        try:
            address = ip_address(words[0].partition("%")[0]) if words else None
        except ValueError:
            continue
        if address is not None:
            for name in words[1:]:
                named.setdefault(name.rstrip(".").lower(), []).append(address)
    return named


def _result(host: str, address: Address, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=str(address),
        port=port,
        family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
