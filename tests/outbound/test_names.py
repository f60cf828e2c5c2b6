"""Names become addresses without threads; a name server that is silent is nobody else's trouble."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.outbound.rig import OK, answers, naming, room_for_sockets, run, serving
from tidings.outbound import names
from tidings.outbound.client import Answer, Outbound
from tidings.outbound.names import Names
from tidings.outbound.target import Refused

HOME = [ip_network("127.0.0.0/8")]
STUCK = 1_000


def says(name: str, kind: str) -> Sequence[str] | None:
    if name.startswith("silent"):
        return None
    if name.startswith("nothing"):
        raise LookupError
    if name.startswith("half"):
        return ["127.0.0.1"] if kind == "A" else None
    if name.startswith("many"):
        return [f"127.0.0.{n}" for n in range(1, 200)] if kind == "A" else []
    if name.startswith("empty"):
        return []
    return ["127.0.0.1"] if kind == "A" else []


def looked_up(host: str, **options: object) -> list[str]:
    found: list[str] = []

    async def main() -> None:
        async with naming(says) as server:
            found.extend(one["host"] for one in await server.names(HOME, **options).resolve(host, 80))

    run(main)
    return found


def test_a_name_becomes_its_address() -> None:
    assert looked_up("good.test") == ["127.0.0.1"]


def test_only_a_few_of_many_addresses_are_tried() -> None:
    assert len(looked_up("many.test")) == names.ADDRESSES_MAX


def test_an_address_of_one_family_does_not_wait_for_a_server_that_is_silent_about_the_other() -> None:
    # Silence about AAAA would last 60 s.
    assert looked_up("half.test", lifetime_s=60.0) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "why"),
    (
        ("nothing.test", "no such name"),
        ("empty.test", "no address for this name"),
        ("silent.test", "did not answer"),
        ("a..test", "could not say"),
        ("a" * 64 + ".test", "could not say"),
    ),
)
def test_a_name_without_an_address_says_why(host: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        looked_up(host, lifetime_s=0.3)


def test_a_name_that_leads_inside_says_where() -> None:
    async def main() -> None:
        async with naming(says) as server:
            with pytest.raises(
                Refused, match=r"good.test leads to 127.0.0.1, which is not reached: loopback"
            ):
                await server.names().resolve("good.test", 80)

    run(main)


def test_a_rush_to_one_name_asks_once_and_the_answer_is_kept_only_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with naming(says) as server:
            kept = server.names(HOME)
            for _ in range(5):
                await kept.resolve("good.test", 80)
                await kept.resolve("GOOD.test.", 80)
            assert len(server.asked) == 2
            monkeypatch.setattr(names, "KEPT_S", 0.0)
            fresh = server.names(HOME)
            for _ in range(5):
                await fresh.resolve("good.test", 80)
            assert len(server.asked) == 12

    run(main)


def test_the_answers_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "KEPT_MAX", 3)

    async def main() -> None:
        async with naming(says) as server:
            kept = server.names(HOME)
            for n in range(10):
                await kept.resolve(f"n{n}.test", 80)
            asked = len(server.asked)
            await kept.resolve("n9.test", 80)
            assert len(server.asked) == asked
            await kept.resolve("n0.test", 80)
            assert len(server.asked) == asked + 2

    run(main)


def test_a_hosts_file_is_known_and_looked_at_again_when_it_changes(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("# mine\n127.0.0.7 shop Shop.Test # here\nnonsense\n::1%lo six\n\n")

    async def main() -> None:
        looking = Names(HOME, servers=("127.0.0.1",), port=1, hosts=str(hosts), lifetime_s=0.2)
        assert [one["host"] for one in await looking.resolve("SHOP.test.", 80)] == ["127.0.0.7"]
        with pytest.raises(Refused, match="loopback"):
            await looking.resolve("six", 80)
        hosts.write_text("127.0.0.8 shop.test\n")
        assert [one["host"] for one in await looking.resolve("shop.test", 80)] == ["127.0.0.8"]

    run(main)


@pytest.mark.parametrize("stuck", ("their server is silent", "their name server is silent"))
def test_a_thousand_stuck_endpoints_do_not_delay_a_good_one(stuck: str) -> None:
    room_for_sockets()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        note(f"connection {id(writer)}")
        await asyncio.sleep(300)

    def noting(name: str, kind: str) -> Sequence[str] | None:
        if name.startswith("silent"):
            note(name)
        return says(name, kind)

    def note(who: str) -> None:
        arrived.add(who)
        if len(arrived) == STUCK:
            all_stuck.set()

    arrived: set[str] = set()
    all_stuck = asyncio.Event()

    async def main() -> None:
        async with serving(silent) as bad, serving(answers(OK)) as good, naming(noting) as server:
            outbound = Outbound(allow=HOME, total_s=120.0, names=server.names(HOME, lifetime_s=120.0))
            word = "silent" if "name" in stuck else "n"
            waiting = []
            for n in range(STUCK):
                post = outbound.post(f"http://{word}{n}.test:{bad.port}/", b"{}", {})
                waiting.append(asyncio.create_task(post))
                # A burst of 2,000 datagrams would be lost on the way, and asked again a second later.
                await asyncio.sleep(0.01 if n % 20 == 0 else 0)
            async with asyncio.timeout(60):
                await all_stuck.wait()
            answer: Answer = await outbound.post(f"http://good.test:{good.port}/", b"{}", {})
            assert (answer.status, answer.error) == (200, "")
            assert answer.took_ms < 5_000
            assert not any(task.done() for task in waiting)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await outbound.close()

    run(main)
