"""The notifier: notices are posted, signed and settled, and a bad endpoint hurts only itself."""

import asyncio
import base64
import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.core.cast import DAY, HOUR, Clock, Owner, rows
from tests.core.test_notices import hook, queue, states, tries
from tests.engine.receivers import Receivers
from tidings.core import notices, webhooks
from tidings.core.notices import Told
from tidings.core.webhooks import Webhook, keys
from tidings.engine.notifier import Notifier, Post
from tidings.errors import Unavailable
from tidings.store.db import Database
from tidings.store.tx import Tx

KEY = b"k" * 32
# A retry is due in more than the 5 s for which a step stays awake.
LUCK = 0.9


def notifier(db: Database, post: Post, **options: Any) -> Notifier:
    return Notifier(db, post, KEY, luck=lambda: LUCK, **options)


def run(db: Database, receivers: Receivers, **options: Any) -> None:
    """Let a notifier work until nothing is due and nothing in its hands."""
    work(db, receivers.post, **options)


def work(db: Database, post: Post, **options: Any) -> None:
    async def until_done() -> None:
        one = notifier(db, post, **options)
        until = time.monotonic() + 60
        while await one.step() or rows(db, "SELECT 1 FROM notices WHERE state = 'claimed' LIMIT 1"):
            assert time.monotonic() < until, "it never ends"
            await asyncio.sleep(0)
        await one.close()

    asyncio.run(until_done())


async def work_until(one: Notifier, what: Callable[[], object]) -> None:
    """Step until something is so; the bound is for a rig that would otherwise hang."""
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until, "it never came"
        await one.step()
        await asyncio.sleep(0)


def log_of(db: Database, owner: Owner, webhook: Webhook) -> list[notices.Attempt]:
    return db.read_now(owner.id, notices.log, webhook.id, limit=5_000)


def test_a_notice_is_posted_as_it_was_queued_and_told(db: Database, ada: Owner) -> None:
    webhook, receivers = hook(db, ada), Receivers()
    (event_id,) = queue(db, ada, webhook)
    run(db, receivers)
    (one,) = receivers.posted
    assert (one.url, json.loads(one.body)) == (webhook.target_url, {"event": event_id})
    assert one.headers["content-type"] == "application/json"
    assert states(db) == {"told": 1}
    assert [entry.status for entry in log_of(db, ada, webhook)] == [200]


def test_a_thousand_payloads_are_verified_by_the_published_library(db: Database, ada: Owner) -> None:
    webhook, receivers = hook(db, ada), Receivers()
    luck = random.Random(4)
    signs = 'aé漢🎉"\\\n\u2028.<>& '

    def verb(tx: Tx) -> None:
        for at in range(1_000):
            text = "".join(luck.choice(signs) for _ in range(luck.randrange(60)))
            body = json.dumps({"at": at, "text": text}, ensure_ascii=bool(at % 2))
            notices.queue(tx, webhook, "tag_add", body, event_id=at + 1, subscriber_id=None)

    db.write_now(ada.id, verb)
    run(db, receivers)
    assert len(receivers.posted) == 1_000
    verifier = Verifier(keys.shown(keys.secret(KEY, ada.id, webhook.id, 1)))
    other = Verifier(keys.shown(keys.secret(KEY, ada.id, webhook.id, 2)))
    seen = {verifier.verify(one.body, dict(one.headers))["at"] for one in receivers.posted}
    assert seen == set(range(1_000))
    for one in receivers.posted[:20]:
        with pytest.raises(WebhookVerificationError):
            other.verify(one.body, dict(one.headers))
        with pytest.raises(WebhookVerificationError):
            verifier.verify(one.body + b" ", dict(one.headers))


def test_both_keys_sign_for_a_day_after_a_rotation(db: Database, ada: Owner, clock: Clock) -> None:
    webhook, receivers = hook(db, ada), Receivers()
    db.write_now(ada.id, webhooks.rotate, webhook.id)
    queue(db, ada, webhook)
    run(db, receivers)
    clock.move(DAY)
    queue(db, ada, webhook)
    run(db, receivers)
    first, second = receivers.posted
    new, old = (Verifier(keys.shown(keys.secret(KEY, ada.id, webhook.id, n))) for n in (2, 1))
    for verifier in (new, old):
        verifier.verify(first.body, dict(first.headers))
    new.verify(second.body, dict(second.headers))
    with pytest.raises(WebhookVerificationError):
        old.verify(second.body, dict(second.headers))


def test_the_id_stays_over_tries_and_processes_and_the_timestamp_is_of_each_try(
    db: Database, ada: Owner, clock: Clock
) -> None:
    webhook = hook(db, ada)
    receivers = Receivers(answer=lambda _, n: Told(200 if n > 3 else 503))
    queue(db, ada, webhook)
    wall = Clock(1_700_000_000_000)
    for _ in range(4):
        run(db, receivers, wall=wall)
        clock.move(3 * HOUR)
        wall.move(3 * HOUR)
    assert len({one.message_id for one in receivers.posted}) == 1
    stamps = [int(one.headers["webhook-timestamp"]) for one in receivers.posted]
    assert stamps == [1_700_000_000 + at * 10_800 for at in range(4)]
    assert states(db) == {"told": 1}
    assert [one.status for one in log_of(db, ada, webhook)] == [200, 503, 503, 503]


@pytest.mark.parametrize("status", (301, 302, 307, 400, 404, 500, None))
def test_whatever_is_no_success_is_tried_again(db: Database, ada: Owner, status: int | None) -> None:
    webhook = hook(db, ada)
    receivers = Receivers(answer=lambda *_: Told(status, "" if status else "the connection was refused"))
    queue(db, ada, webhook)
    run(db, receivers)
    assert states(db) == {"queued": 1}
    (entry,) = log_of(db, ada, webhook)
    assert (entry.status, bool(entry.error)) == (status, status is None)


def test_retry_after_is_heeded(db: Database, ada: Owner, clock: Clock) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook)
    run(db, Receivers(answer=lambda *_: Told(429, retry_after_s=3_600)))
    clock.move(HOUR - 10_000)
    receivers = Receivers()
    run(db, receivers)
    assert receivers.posted == []
    clock.move(10_000)
    run(db, receivers)
    assert len(receivers.posted) == 1
    assert states(db) == {"told": 1}


def test_a_410_is_the_last_that_a_webhook_is_sent(db: Database, ada: Owner) -> None:
    webhook = hook(db, ada)
    receivers = Receivers(answer=lambda *_: Told(410))
    queue(db, ada, webhook, 5)
    run(db, receivers)
    assert db.read_now(ada.id, webhooks.find, webhook.id).disabled_at is not None
    assert states(db).get("queued") is None
    assert len(receivers.posted) < 5


def test_nothing_due_costs_no_write(db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook)
    run(db, Receivers(answer=lambda *_: Told(500)))

    async def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an idle notifier wrote")

    monkeypatch.setattr(db, "write", refuse)
    run(db, Receivers())


def test_a_mistake_of_ours_counts_as_a_try_and_stops_nobody(db: Database, ada: Owner) -> None:
    bad, good = hook(db, ada, "https://bad.example/"), hook(db, ada, "https://good.example/")
    receivers = Receivers()

    async def post(url: str, body: bytes, headers: Any) -> Told:
        if "bad" in url:
            raise RuntimeError("planted")
        return await receivers.post(url, body, headers)

    queue(db, ada, bad, 2)
    queue(db, ada, good, 2)

    work(db, post)
    assert states(db) == {"queued": 2, "told": 2}
    assert {one.error for one in log_of(db, ada, bad)} == {"it could not be posted: an error of our own"}


def test_outcomes_that_cannot_be_written_yet_are_written_later(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidings.engine.notifier.SETTLE_AGAIN_S", 0.01)
    webhook, receivers = hook(db, ada), Receivers()
    queue(db, ada, webhook, 3)
    right, refused = db.write, []

    async def write(account_id: int, verb: Any, *args: Any, **options: Any) -> Any:
        if verb is notices.settle and len(refused) < 3:
            refused.append(1)
            raise Unavailable("the disk is full; nothing was changed")
        return await right(account_id, verb, *args, **options)

    monkeypatch.setattr(db, "write", write)
    run(db, receivers)
    assert len(refused) == 3
    assert states(db) == {"told": 3}
    assert len(receivers.posted) == 3


def test_a_notifier_that_closes_lets_what_is_on_the_wire_end_and_gives_back_the_rest(
    db: Database, ada: Owner
) -> None:
    webhook, receivers = hook(db, ada), Receivers(late=Told(200))
    queue(db, ada, webhook, 200)

    def sticks(host: str, n: int) -> Told:
        if n == 30:
            receivers.stuck.add(host)
        return Told(200)

    receivers.answer = sticks

    async def close_in_the_middle() -> None:
        one = notifier(db, receivers.post)
        await work_until(one, lambda: receivers.stuck)
        await one.step()
        closing = asyncio.create_task(one.close())
        while states(db).get("claimed", 0) > 8:  # noqa: ASYNC110 (a database wakes nobody here)
            await asyncio.sleep(0.01)
        assert not closing.done()
        receivers.free()
        await closing

    asyncio.run(close_in_the_middle())
    found = states(db)
    assert set(found) == {"told", "queued"}
    assert found["told"] == len(receivers.posted) == tries(db)
    assert rows(db, "SELECT MAX(attempts) FROM notices WHERE state = 'queued'") == [(0,)]
    receivers.stuck.clear()
    run(db, receivers)
    assert states(db) == {"told": 200}
    assert len({one.message_id for one in receivers.posted}) == len(receivers.posted) == 200


def test_a_process_that_was_stopped_for_half_its_lease_posts_nothing_it_has_in_hand(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, receivers = hook(db, ada), Receivers()
    queue(db, ada, webhook)
    slept = iter([0.0, 31.0])
    monkeypatch.setattr("tidings.engine.notifier.since_boot_s", lambda: next(slept, 100.0))

    async def once() -> None:
        one = notifier(db, receivers.post)
        await one.step()
        await one.close()

    asyncio.run(once())
    assert receivers.posted == []
    assert states(db) == {"queued": 1}
    assert tries(db) == 0


def test_a_secret_has_thirty_two_octets_as_receivers_are_shown_it() -> None:
    shown = keys.shown(keys.secret(KEY, 1, 1, 1))
    assert shown.startswith("whsec_")
    assert len(base64.b64decode(shown.removeprefix("whsec_"))) == 32
