"""Never reaches inside: hostile URLs, hostile name servers, redirects; nobody touches a canary."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import aiohttp
import pytest
import uvloop
from yarl import URL

from tests.outbound.hostile import urls
from tests.outbound.rig import (
    OK,
    Credulous,
    NameServer,
    answers,
    bindable,
    naming,
    once,
    run,
    serving,
    watching,
)
from tidings.outbound import names
from tidings.outbound.client import Answer, Outbound

RACES = 1_000
HEADERS = {"Content-Type": "application/json"}


def test_four_hundred_hostile_urls_touch_no_canary() -> None:
    async def main() -> None:
        async with watching() as canaries, naming(inside) as server:
            outbound = Outbound(names=server.names())
            asked = [url.replace("{port}", str(port)) for url in urls() for port in canaries.ports]
            told = await posted(outbound, asked)
            assert await canaries.count() == 0
            assert [one for one in told if one.status is not None or not 0 < len(one.error) <= 200] == []
            await outbound.close()

    assert len(urls()) >= 400
    run(main)


class GateAlone(Outbound):
    """Believes every URL and every name: what is left is the check where the socket is made."""

    def __init__(self) -> None:
        super().__init__(names=Credulous())
        self._checked = URL  # type: ignore[assignment]


@pytest.mark.parametrize("running", (uvloop.run, asyncio.run))
def test_the_gate_alone_keeps_every_hostile_url_from_the_canaries(
    running: Callable[[Coroutine[object, object, None]], None],
) -> None:
    async def main() -> None:
        async with watching() as canaries:
            outbound = GateAlone()
            told = await posted(outbound, [url.replace("{port}", str(canaries.ports[0])) for url in urls()])
            assert await canaries.count() == 0
            stopped = sum("is not reached" in one.error for one in told)
            assert stopped > 200
            await outbound.close()

    running(main())


def test_a_client_without_the_gate_touches_the_canaries_with_the_same_urls() -> None:
    async def main() -> None:
        async with watching() as canaries:
            connector = aiohttp.TCPConnector(resolver=Credulous(), use_dns_cache=False)
            waits = aiohttp.ClientTimeout(total=2)
            async with aiohttp.ClientSession(connector=connector, timeout=waits) as session:

                async def careless(url: str) -> None:
                    with pytest.raises((aiohttp.ClientError, OSError, ValueError)):
                        await session.post(url, allow_redirects=False)

                asked = [url.replace("{port}", str(canaries.ports[0])) for url in urls()]
                # Only what leads to this machine: no packet leaves it.
                await asyncio.gather(*(careless(url) for url in asked if here(url)))
            assert await canaries.count() > 100

    run(main)


def test_a_name_that_changes_its_mind_is_followed_to_no_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "KEPT_S", 0.0)

    async def main() -> None:
        async with naming(Rebinding()) as server:
            outbound = Outbound(allow=OUTSIDE, names=server.names(OUTSIDE))
            touched, first, second = await races(outbound, RACES)
            assert touched == 0
            assert [one.status for one in first] == [200] * RACES
            assert [one.status for one in second] == [None] * RACES
            assert all("is not reached" in one.error for one in second)
            await outbound.close()

    run(main)


def test_a_client_that_checks_the_first_answer_and_connects_by_name_is_seen_at_the_canary() -> None:
    class Careless(Outbound):
        """Checks what a name means, then lets the system look it up once more."""

        def __init__(self, server: NameServer) -> None:
            super().__init__(allow=EVERYWHERE, names=server.names(EVERYWHERE))
            self._first = server.names(OUTSIDE)

        async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
            try:
                await self._first.resolve(URL(url).host or "")
            except OSError as refused:
                return Answer(None, str(refused), b"", None, 0)
            return await super().post(url, body, headers)

    async def main() -> None:
        async with naming(Rebinding()) as server:
            outbound = Careless(server)
            touched, _, _ = await races(outbound, 20)
            assert touched > 0
            await outbound.close()

    run(main)


def test_an_answer_with_one_good_address_leads_only_there() -> None:
    def says(name: str, kind: str) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1", "10.0.0.1"] if kind == "A" else ["::1", "::ffff:127.0.0.2"]

    async def main() -> None:
        async with (
            serving(answers(OK)) as good,
            naming(says) as server,
            watching(elsewhere(), [good.port]) as canaries,
        ):
            outbound = Outbound(allow=OUTSIDE, names=server.names(OUTSIDE))
            for n in range(20):
                told = await outbound.post(f"http://n{n}.test:{good.port}/", b"{}", HEADERS)
                assert told.status == 200
            assert await canaries.count() == 0
            await outbound.close()

    run(main)


@pytest.mark.parametrize("status", (300, 301, 302, 303, 305, 307, 308))
def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    async def main() -> None:
        async with watching() as canaries:
            for place in (
                f"http://127.0.0.1:{canaries.ports[0]}/",
                f"//localhost:{canaries.ports[0]}/",
                "/on",
            ):
                head = f"HTTP/1.1 {status} See\r\nLocation: {place}\r\nRefresh: 0; url={place}\r\n"
                async with serving(once(f"{head}Content-Length: 0\r\n\r\n".encode())) as server:
                    outbound = Outbound(allow=OUTSIDE)
                    told = await outbound.post(f"http://127.0.0.1:{server.port}/", b"{}", HEADERS)
                    assert (told.status, told.error) == (status, "")
                    assert len(server.requests) == 1
                    await outbound.close()
            assert await canaries.count() == 0

    run(main)


def test_an_allowed_network_is_reached_by_address_and_by_name_and_its_neighbour_is_not() -> None:
    def says(name: str, kind: str) -> Sequence[str]:
        return {"good": ["127.0.0.1"], "bad": ["127.0.0.2"]}[name.partition(".")[0]] if kind == "A" else []

    async def main() -> None:
        async with (
            serving(answers(OK)) as good,
            naming(says) as server,
            watching(elsewhere(), [good.port]) as canaries,
        ):
            outbound = Outbound(allow=OUTSIDE, names=server.names(OUTSIDE))
            for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "good.test"):
                told = await outbound.post(f"http://{host}:{good.port}/", b"{}", HEADERS)
                assert (told.status, told.error) == (200, ""), host
            for host in ("127.0.0.2", "[::ffff:127.0.0.2]", "bad.test", "[::1]"):
                told = await outbound.post(f"http://{host}:{good.port}/", b"{}", HEADERS)
                assert told.status is None, host
                assert "is not reached: loopback" in told.error
            assert await canaries.count() == 0
            await outbound.close()

    run(main)


def test_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ada password secret\n")

    async def main() -> None:
        async with watching() as canaries, serving(answers(OK)) as server:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{canaries.ports[0]}")
            monkeypatch.setenv("NETRC", str(netrc))
            outbound = Outbound(allow=OUTSIDE)
            told = await outbound.post(f"http://127.0.0.1:{server.port}/", b"{}", HEADERS)
            assert told.status == 200
            assert b"authorization" not in server.requests[0].lower()
            assert await canaries.count() == 0
            await outbound.close()

    run(main)


OUTSIDE = [ip_network("127.0.0.1/32")]
EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def inside(name: str, kind: str) -> Sequence[str]:
    """A name server for which every name is this machine."""
    return ["127.0.0.1", "0.0.0.0"] if kind == "A" else ["::1", "::ffff:127.0.0.1", "::"]


class Rebinding:
    """Says of every name first what may be reached, and from then on the canary's address."""

    def __init__(self) -> None:
        self._asked: set[tuple[str, str]] = set()

    def __call__(self, name: str, kind: str) -> Sequence[str]:
        first = (name, kind) not in self._asked
        self._asked.add((name, kind))
        if first:
            return ["127.0.0.1"] if kind == "A" else []
        return elsewhere(v6=False) or ["127.0.0.2"] if kind == "A" else ["::1"]


def elsewhere(*, v6: bool = True) -> list[str]:
    """Addresses of this machine that are not 127.0.0.1."""
    return bindable("127.0.0.2", "::1") if v6 else bindable("127.0.0.2")


async def races(outbound: Outbound, count: int) -> tuple[int, list[Answer], list[Answer]]:
    """Post twice to each of `count` names; return how often a canary was touched, and both answers."""
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    async with serving(once(closing)) as good, watching(elsewhere(), [good.port]) as canaries:
        asked = [f"http://n{n}.rebind.test:{good.port}/" for n in range(count)]
        first = await posted(outbound, asked)
        second = await posted(outbound, asked)
        return await canaries.count(), first, second


async def posted(outbound: Outbound, asked: Sequence[str]) -> list[Answer]:
    """Post to all of them, 50 at a time."""
    turn = asyncio.Semaphore(50)

    async def one(url: str) -> Answer:
        async with turn:
            return await outbound.post(url, b"{}", HEADERS)

    return await asyncio.gather(*(one(url) for url in asked))


def here(url: str) -> bool:
    """Tell whether a careless client stays on this machine with it: by name, or by a loopback address."""
    try:
        host = URL(url).host or ""
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return True
    return address.is_loopback or address.is_unspecified
