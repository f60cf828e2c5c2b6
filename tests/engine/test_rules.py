"""The loop of rules: what is due is done, what fails holds nobody up, an idle step writes nothing."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.cast import Cast, Clock, Owner, join, rows
from tests.core.ruled import URL, event_shape, mails, posts, rule, runs, shape, shown, states, tell
from tidings.core import subscribers
from tidings.core.automations import Action, Trigger, walks
from tidings.core.subscribers import Subscriber
from tidings.engine.rules import AGAIN_MS, TRIES, WALKS_EVERY_MS, Rules
from tidings.engine.teller import Teller
from tidings.errors import Invalid, Unavailable
from tidings.store.db import Database
from tidings.web.api_v3 import payloads

MAIL = Action("send_email", subject="Hello", html="<p>Hello</p>")


def until_idle(*steps: Callable[[], Any]) -> int:
    """Let loops work until none of them finds anything; return how often one did."""

    async def work() -> int:
        times = 0
        while any([await step() for step in steps]):
            times += 1
            assert times < 1_000
        return times

    return asyncio.run(work())


def tagged(db: Database, owner: Owner, *emails: str) -> list[int]:
    """Tag people, and let that be told."""
    found = [join(db, owner, "tag", owner.tag, email)[1].id for email in emails]
    tell(db)
    return found


def test_an_event_becomes_all_that_follows_from_it(db: Database, cast: Cast) -> None:
    ada = cast.ada
    first = rule(
        db,
        ada,
        Trigger("tag_add", ada.tag),
        Action("add_to_sequence", ada.sequence),
        Action("post", value=URL),
    )
    second = rule(db, ada, Trigger("course_subscribe", ada.sequence), MAIL)
    people = [join(db, ada, "tag", ada.tag, f"p{n}@example.com")[1] for n in range(20)]

    until_idle(Teller(db, payloads.of_event).step, Rules(db, payloads.of_subscriber, batch=7).step)

    assert (shown(db, ada, first).ran, shown(db, ada, second).ran) == (20, 20)
    # In which order is nobody's promise.
    assert sorted(row[0] for row in mails(db, "rule-email:")) == [one.id for one in people]
    posted = sorted((one["subscriber"] for one in posts(db, first)), key=lambda one: one["id"])
    assert posted == [json.loads(payloads.of_subscriber(one))["subscriber"] for one in people]


def test_an_idle_step_writes_nothing_and_walks_are_looked_for_once_a_minute(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    rule(db, ada, Trigger("goes_quiet", days=3), MAIL)
    loop = Rules(db, shape)
    assert until_idle(loop.step) == 1

    async def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an idle step wrote, or looked at the people")

    monkeypatch.setattr(db, "write", refuse)
    monkeypatch.setattr(db, "scan", refuse)
    assert until_idle(loop.step) == 0
    monkeypatch.undo()
    looked: list[int] = []
    sound = walks.due
    monkeypatch.setattr(walks, "due", lambda rx: looked.append(rx.now) or sound(rx))
    for wait in (WALKS_EVERY_MS - 1, 1, 0):
        clock.move(wait)
        until_idle(loop.step)
    assert len(looked) == 1


def test_a_run_that_is_refused_fails_with_the_words_and_the_others_are_done(db: Database, cast: Cast) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("tag_add", ada.tag), Action("add_tag", ada.vip), Action("post", value=URL))
    tagged(db, ada, *(f"p{n}@example.com" for n in range(5)))

    def refuse(who: Subscriber) -> str:
        if who.email == "p2@example.com":
            raise Invalid("fields", "cannot be posted")
        return shape(who)

    until_idle(Rules(db, refuse).step)
    assert states(db, ada, one) == ["done", "done", "failed", "done", "done"]
    assert runs(db, ada, one)[2].said == "fields cannot be posted"
    assert shown(db, ada, one).problem == "a run failed: fields cannot be posted"
    failed = db.read_now(ada.id, subscribers.find, "p2@example.com")
    assert failed is not None
    assert len(rows(db, "SELECT 1 FROM subscriptions WHERE tag_id = :tag", tag=ada.vip)) == 4


def test_a_fault_of_ours_is_tried_three_times_and_holds_nobody_up(
    db: Database, cast: Cast, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("tag_add", ada.tag), Action("add_tag", ada.vip), Action("post", value=URL))
    bad, *_ = tagged(db, ada, "bad@example.com", "p1@example.com", "p2@example.com")
    tried: list[int] = []

    def breaks(who: Subscriber) -> str:
        if who.id == bad:
            tried.append(clock.now)
            raise KeyError("not ours to catch")
        return shape(who)

    loop = Rules(db, breaks)
    until_idle(loop.step)
    assert states(db, ada, one) == ["due", "done", "done"]
    for _ in range(TRIES + 1):
        clock.move(AGAIN_MS)
        until_idle(loop.step)
    assert states(db, ada, one) == ["failed", "done", "done"]
    assert runs(db, ada, one)[0].said == "a fault in Tidings (KeyError); see the log"
    # A group that fails is run again, now each alone: a run is tried at most twice at a time.
    assert len(set(tried)) == TRIES
    assert "a run of a rule failed" in caplog.text


def test_what_the_storage_refuses_is_tried_until_it_takes_it(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("tag_add", ada.tag), Action("post", value=URL))
    tagged(db, ada, "p@example.com")
    refusals = iter(range(1_000))

    def busy(who: Subscriber) -> str:
        if next(refusals) < 30:
            raise Unavailable("somebody was faster")
        return shape(who)

    loop = Rules(db, busy)
    for _ in range(60):
        until_idle(loop.step)
        clock.move(AGAIN_MS)
    assert states(db, ada, one) == ["done"]


def test_two_engines_do_each_run_once(db: Database, cast: Cast, open_db: Callable[[], Database]) -> None:
    ada = cast.ada
    rule(db, ada, Trigger("tag_add", ada.tag), MAIL, Action("post", value=URL), Action("remove_tag", ada.tag))
    tagged(db, ada, *(f"p{n}@example.com" for n in range(40)))
    other = open_db()

    async def both() -> None:
        mine, theirs = Rules(db, shape, batch=16), Rules(other, shape, batch=16)
        while any(await asyncio.gather(mine.step(), theirs.step())):
            pass

    asyncio.run(both())
    assert len(mails(db, "rule-email:")) == 40
    assert rows(db, "SELECT COUNT(*) FROM notices") == [(40,)]
    assert rows(db, "SELECT state, COUNT(*) FROM rule_runs GROUP BY state") == [("done", 40)]
    assert rows(db, "SELECT ran FROM rules") == [(40,)]


def test_a_walk_over_many_people_is_made_by_the_loop(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    monkeypatch.setattr(walks, "SLICE", 3)
    for n in range(10):
        join(db, ada, "form", ada.plain, f"p{n}@example.com", fields={"city": "2026-08-01"})
    one = rule(db, ada, Trigger("date_arrives", ada.city, hour=12), MAIL)
    until_idle(Teller(db, event_shape).step, Rules(db, shape).step)
    assert states(db, ada, one) == ["done"] * 10
