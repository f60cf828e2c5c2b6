"""Fairness of the notifier: a bad endpoint hurts only itself, however many there are."""

import asyncio
import time
from typing import Any

import pytest

from tests.core.cast import Cast, Clock, Owner, engage, rows
from tests.core.test_notices import hook, queue, queueing, states, tries
from tests.engine.receivers import Receivers
from tests.engine.test_notifier import notifier, run, work, work_until
from tidings.core import notices, webhooks
from tidings.core.accounts import INSTALLATION
from tidings.core.notices import Told
from tidings.engine import endpoints
from tidings.store.db import Database
from tidings.store.tx import Tx


def test_at_most_eight_are_on_the_wire_to_an_endpoint_over_all_accounts(db: Database, cast: Cast) -> None:
    receivers = Receivers(turns=20)
    for owner in (cast.ada, cast.eve):
        for path in ("a", "b"):
            queue(db, owner, hook(db, owner, f"https://shop.example/{path}"), 60)
    run(db, receivers)
    assert receivers.most["shop.example"] == 8
    assert states(db) == {"told": 240}


def test_an_endpoint_that_fails_gets_one_at_a_time(db: Database, ada: Owner) -> None:
    receivers = Receivers(answer=lambda *_: Told(503), turns=20)
    for path in "abc":
        queue(db, ada, hook(db, ada, f"https://down.example/{path}"), 20)
    run(db, receivers)
    assert receivers.most["down.example"] == 1
    assert len(receivers.posted) == 60


def test_what_was_claimed_for_an_endpoint_that_turns_bad_is_given_back_untried(
    db: Database, ada: Owner
) -> None:
    webhook = hook(db, ada)
    receivers = Receivers(answer=lambda _, n: Told(200 if n < 100 else None, took_ms=1))
    queue(db, ada, webhook, 400)

    async def until_bad() -> None:
        one = notifier(db, receivers.post)
        await work_until(one, lambda: len(receivers.posted) >= 120)
        await one.close()

    asyncio.run(until_bad())
    assert tries(db) == len(receivers.posted)
    found = rows(db, "SELECT SUM(attempts) FROM notices")
    assert found == [(len(receivers.posted),)]
    assert states(db)["told"] == 99


def test_a_404_of_one_address_does_not_slow_its_endpoint_down(db: Database, ada: Owner) -> None:
    receivers = Receivers(answer=lambda *_: Told(404), turns=20)
    good = Receivers()

    async def post(url: str, body: bytes, headers: Any) -> Told:
        told = await receivers.post(url, body, headers)
        return told if url.endswith("gone") else await good.post(url, body, headers)

    queue(db, ada, hook(db, ada, "https://hooks.example/gone"), 30)
    queue(db, ada, hook(db, ada, "https://hooks.example/fine"), 200)

    work(db, post)
    assert receivers.most["hooks.example"] == 8
    assert states(db) == {"queued": 30, "told": 200}


def test_an_endpoint_with_thousands_waiting_hurts_nobody(db: Database, cast: Cast) -> None:
    receivers = Receivers(turns=50)
    crowd = hook(db, cast.ada, "https://crowd.example/")
    for _ in range(5):
        queue(db, cast.ada, crowd, 1_000)
    few = [hook(db, owner, f"https://few{at}.example/") for at, owner in enumerate((cast.ada, cast.eve))]
    for owner, webhook in zip((cast.ada, cast.eve), few, strict=True):
        queue(db, owner, webhook, 5)

    async def until_few_are_told() -> None:
        one = notifier(db, receivers.post)
        await work_until(one, lambda: receivers.asked["few0.example"] == receivers.asked["few1.example"] == 5)
        await one.close()

    asyncio.run(until_few_are_told())
    assert receivers.asked["crowd.example"] < 1_000


def stuck(tx: Tx, n: int) -> set[str]:
    """Make so many webhooks with three notices each, at endpoints of their own; return their hosts."""
    hosts = {f"stuck{at}.example" for at in range(n)}
    for host in sorted(hosts):
        webhook = webhooks.create(tx, "purchase_create", f"https://{host}/")
        for at in range(3):
            notices.queue(tx, webhook, "purchase_create", "{}", event_id=at + 1, subscriber_id=None)
    return hosts


def good_beside_stuck(db: Database, cast: Cast, n: int, **options: Any) -> tuple[bool, Receivers]:
    """Let a good endpoint be told beside so many stuck ones; say whether it was while all of them hung."""

    async def beside() -> tuple[bool, Receivers]:
        receivers = Receivers(stuck=await db.write(cast.ada.id, stuck, n))
        good = await db.write(cast.eve.id, webhooks.create, "purchase_create", "https://good.example/")
        one = notifier(db, receivers.post, **options)
        patience = time.monotonic() + 60
        while receivers.flying.total() < n and time.monotonic() < patience:
            await one.step()
        await db.write(cast.eve.id, queueing(good, 20))
        told = False
        for _ in range(200):
            await one.step()
            told = len(receivers.to("good.example")) == 20
            if told:
                break
        receivers.free()
        await one.close()
        return told, receivers

    return asyncio.run(beside())


def test_a_thousand_stuck_endpoints_hold_a_good_one_up_not_at_all(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "WEBHOOKS_MAX", 2_000)
    told, receivers = good_beside_stuck(db, cast, 1_000)
    assert told
    assert max(receivers.most[host] for host in receivers.stuck) == 1
    assert receivers.most_at_once > 1_000


def test_the_rig_sees_a_notifier_that_waits_for_the_stuck_ones(
    sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: connections are given out to whoever comes first."""
    monkeypatch.setattr(endpoints.Endpoints, "_may_begin", lambda self, _, flying: flying < self._at_once)
    monkeypatch.setattr("tidings.engine.notifier.FULL_S", 0.001)
    assert not _crowded(sqlite_url, clock)


def test_more_stuck_endpoints_than_connections_leave_room_for_one_that_is_well(
    sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidings.engine.notifier.FULL_S", 0.001)
    assert _crowded(sqlite_url, clock)


def _crowded(url: str, clock: Clock) -> bool:
    """Whether an endpoint known to be well is told while 60 stuck ones want all 40 connections."""
    db = Database(url, clock=clock)
    try:
        cast = db.write_now(INSTALLATION, engage)

        async def crowded() -> bool:
            receivers = Receivers()
            good = await db.write(cast.eve.id, webhooks.create, "purchase_create", "https://good.example/")
            await db.write(cast.eve.id, queueing(good))
            one = notifier(db, receivers.post, at_once=40)
            await work_until(one, lambda: states(db) == {"told": 1})
            receivers.stuck = await db.write(cast.ada.id, stuck, 60)
            for _ in range(20):
                await one.step()
            await db.write(cast.eve.id, queueing(good, 3))
            for _ in range(100):
                await one.step()
            receivers.free()
            found = len(receivers.to("good.example")) == 4
            await one.close()
            return found

        return asyncio.run(crowded())
    finally:
        db.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    (("https://a.example/x", "https://A.example:443/y", True),
     ("http://a.example/", "https://a.example/", False),
     ("http://a.example/", "http://a.example.:80/", True), ("https://[::1]/", "https://[::1]:443/", True),
     ("https://a.example:8443/", "https://a.example/", False)),
)  # fmt: skip
def test_an_endpoint_is_a_host_and_a_port(one: str, other: str, same: bool) -> None:
    assert (endpoints.name_of(one) == endpoints.name_of(other)) == same


def test_endpoints_long_unused_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "KNOWN_MOST", 10)
    known = endpoints.Endpoints(100, 8)
    busy = known.of("https://busy.example/")
    known.began(busy)
    for at in range(50):
        known.of(f"https://h{at}.example/")
    assert len(known._known) <= 10
    assert known.of("https://busy.example/") is busy
