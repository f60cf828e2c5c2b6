"""Broadcasts of the v3 API while they are written, sent and counted. Contract 3.7."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.api_v3.client import JSON, Api, read, said
from tests.api_v3.world import ADA, dump
from tests.core import ledger
from tests.core.cast import DAY, Clock, rows
from tests.core.recount import recount
from tests.web.asgi import call
from tidings.core import accounts, broadcasts, deliveries, subscribers, subscriptions, tracking
from tidings.core.broadcasts import course
from tidings.core.deliveries import Delivery, Outcome
from tidings.core.tracking import Hit
from tidings.store.db import Database
from tidings.store.tx import Tx

S = ADA.secret
EXTRA = {"text": "As text", "preheader": "In short", "from_name": "Ada", "reply_to": "re@example.com"}


def stats(api: Api, broadcast_id: int) -> dict[str, Any]:
    found: dict[str, Any] = read(api.ask("GET", f"/v3/broadcasts/{broadcast_id}/stats", S))["broadcast"][
        "stats"
    ]
    return found


def started(api: Api) -> list[Delivery]:
    """Post a broadcast to four people that is due, begin it and hand all its mail over."""
    for name in ("uma", "vic", "wyn"):
        api.ask("POST", f"/v3/forms/{ADA.plain}/subscribe", {**S, "email": f"{name}@example.com"})
    given = {**S, "subject": "Hi", "content": "<p>Hi</p>", "send_at": "2001-01-01 00:00:00"}
    made = read(api.ask("POST", "/v3/broadcasts", given), 201)["broadcast"]["id"]
    frozen = course.Frozen("Hi", "<p>Hi</p>", None, "", "Text only", "A", "a@x.de", None, "1 Main", "A")
    assert api.db.write_now(1, course.start, made, frozen)
    while api.db.write_now(1, course.fan_out, made):
        pass
    return ledger.hand(api.db, ledger.claim(api.db))


# -- writing ----------------------------------------------------------------------------


@pytest.mark.parametrize("send_at", ("2001-01-01 00:00:00", "2023-06-17T11:06:40Z"), ids=("past", "now"))
def test_a_broadcast_whose_moment_has_come_waits_for_nothing_but_the_engine(api: Api, send_at: str) -> None:
    given = {**S, "subject": "Hi", "content": "<p>Hi</p>", "send_at": send_at}
    made = read(api.ask("POST", "/v3/broadcasts", given), 201)["broadcast"]["id"]
    due = [(one.account_id, one.broadcast_id) for one in api.db.read_now(0, course.due)]
    assert (1, made) in due


def test_a_broadcast_of_the_future_is_not_due_before(api: Api, clock: Clock) -> None:
    given = {**S, "subject": "Hi", "send_at": "2023-06-18T11:06:40Z"}
    made = read(api.ask("POST", "/v3/broadcasts", given), 201)["broadcast"]["id"]
    assert made not in [one.broadcast_id for one in api.db.read_now(0, course.due)]
    clock.move(DAY)
    assert made in [one.broadcast_id for one in api.db.read_now(0, course.due)]


def test_what_the_api_does_not_know_stays_when_it_changes_the_rest(api: Api) -> None:
    api.db.write_now(1, broadcasts.revise, ADA.draft, EXTRA, "ada@example.com")
    changed = read(api.ask("PUT", f"/v3/broadcasts/{ADA.draft}", {**S, "subject": "Other"}))["broadcast"]
    assert changed["subject"] == "Other"
    held = api.db.read_now(1, broadcasts.find, ADA.draft)
    assert {name: getattr(held, name) for name in EXTRA} == EXTRA


def test_each_value_can_be_changed_alone(api: Api) -> None:
    path = f"/v3/broadcasts/{ADA.scheduled}"
    for name, given, answered in (
        ("subject", "New", "New"),
        ("description", "About", "About"),
        ("content", "<p>1</p>", "<p>1</p>"),
        ("public", True, True),
        ("published_at", "2023-01-02 03:04:05", "2023-01-02T03:04:05.000Z"),
        ("thumbnail_alt", "A cat", "A cat"),
        ("thumbnail_url", "https://example.com/cat.png", "https://example.com/cat.png"),
        ("email_layout_template", "Modern", "Modern"),
        ("send_at", "2030-01-01 00:00:00", "2030-01-01T00:00:00.000Z"),
        ("description", "", None),
        ("send_at", "", None),
    ):
        before = read(api.ask("GET", path, S))["broadcast"]
        changed = read(api.ask("PUT", path, {**S, name: given}))["broadcast"]
        assert changed == {**before, name: answered}
        assert read(api.ask("GET", path, S))["broadcast"] == changed


def test_an_emptied_moment_makes_it_a_draft_again(api: Api) -> None:
    api.ask("PUT", f"/v3/broadcasts/{ADA.scheduled}", {**S, "send_at": ""})
    assert stats(api, ADA.scheduled)["status"] == "draft"


def test_two_changes_at_once_both_count(api: Api) -> None:
    async def both() -> None:
        await asyncio.gather(
            *(
                call(
                    api.app,
                    "PUT",
                    f"/v3/broadcasts/{ADA.draft}",
                    {"content-type": JSON},
                    json.dumps({**S, **given}).encode(),
                )
                for given in ({"subject": "New"}, {"content": "<p>New</p>"}, {"description": "New"})
            )
        )

    asyncio.run(both())
    one = read(api.ask("GET", f"/v3/broadcasts/{ADA.draft}", S))["broadcast"]
    assert (one["subject"], one["content"], one["description"]) == ("New", "<p>New</p>", "New")


def test_two_processes_that_change_it_at_once_both_count(
    api: Api, url: str, open_db: Callable[[], Database]
) -> None:
    other = open_db()
    changed, waited = threading.Event(), threading.Event()

    def slowly(tx: Tx) -> None:
        broadcasts.revise(tx, ADA.draft, {"subject": "New"}, "ada@example.com")
        changed.set()
        # Long enough for the other to have looked; what it sees then is what counts.
        waited.wait(0.3)

    first = threading.Thread(target=api.db.write_now, args=(1, slowly))
    first.start()
    assert changed.wait(10)
    other.write_now(1, broadcasts.revise, ADA.draft, {"content": "<p>New</p>"}, "ada@example.com")
    first.join()
    held = api.db.read_now(1, broadcasts.find, ADA.draft)
    assert (held.subject, held.content) == ("New", "<p>New</p>")


def test_another_account_changes_nothing(api: Api) -> None:
    before = dump(api.db)
    eve = {"api_secret": "nobody's"}
    assert api.ask("PUT", f"/v3/broadcasts/{ADA.draft}", {**eve, "subject": "x"}).status == 401
    assert dump(api.db) == before


def test_a_broadcast_that_is_being_sent_is_neither_changed_nor_deleted(api: Api) -> None:
    sending = started(api)[0].broadcast_id
    for method, message in (
        ("PUT", "Broadcast can't be changed once it is being sent"),
        ("DELETE", "Broadcast can't be deleted while it is being sent"),
    ):
        answer = api.ask(method, f"/v3/broadcasts/{sending}", {**S, "subject": "x"})
        assert said(answer) == (422, "Unprocessable Entity", message)


# -- numbers ----------------------------------------------------------------------------


def test_the_status_and_progress_go_from_draft_to_completed(api: Api) -> None:
    assert (stats(api, ADA.draft)["status"], stats(api, ADA.draft)["progress"]) == ("draft", 0.0)
    assert (stats(api, ADA.scheduled)["status"], stats(api, ADA.scheduled)["progress"]) == ("scheduled", 0.0)
    handed = started(api)
    made = handed[0].broadcast_id
    assert made is not None
    assert (stats(api, made)["recipients"], stats(api, made)["progress"]) == (4, 0.0)
    ledger.settle(api.db, Outcome(handed[0], "sent", "250 ok"))
    assert (stats(api, made)["status"], stats(api, made)["progress"]) == ("sending", 25.0)
    ledger.settle(api.db, *(Outcome(one, "sent", "250 ok") for one in handed[1:]))
    # All is sent, but it is completed only when the scheduler says so.
    assert (stats(api, made)["status"], stats(api, made)["progress"]) == ("sending", 99.9)
    assert api.db.write_now(1, course.finish, made)
    assert (stats(api, made)["status"], stats(api, made)["progress"]) == ("completed", 100.0)


def test_progress_does_not_run_ahead_while_the_audience_still_gets_its_deliveries(api: Api) -> None:
    made = read(api.ask("POST", "/v3/broadcasts", {**S, "subject": "Hi", "content": "x"}), 201)["broadcast"][
        "id"
    ]
    api.db.write_now(
        1,
        lambda tx: tx.run(
            "UPDATE broadcasts SET status = 'sending', recipients = 100, settled = 100, cursor_id = 250,"
            " highest_id = 1000 WHERE id = :id",
            id=made,
        ),
    )
    assert stats(api, made)["progress"] == 25.0


def test_a_paused_and_a_cancelled_broadcast_have_a_status_of_v3(api: Api) -> None:
    handed = started(api)
    made = handed[0].broadcast_id
    assert made is not None
    api.db.write_now(1, course.pause, made)
    assert stats(api, made)["status"] == "sending"
    api.db.write_now(1, course.cancel, made)
    assert stats(api, made)["status"] == "sending"
    ledger.settle(api.db, *(Outcome(one, "sent", "250 ok") for one in handed))
    api.db.write_now(1, course.finish, made)
    assert stats(api, made)["status"] == "completed"


def test_rates_are_of_recipients_and_machines_are_in_none(api: Api, clock: Clock) -> None:
    handed = started(api)
    made = handed[0].broadcast_id
    assert made is not None
    ledger.settle(api.db, *(Outcome(one, "sent", "250 ok") for one in handed))
    clock.move(60_000)
    [link_id] = api.db.write_now(1, tracking.link_ids, f"broadcast:{made}", ["https://example.com/"])
    link = api.db.read_now(1, tracking.link, link_id)
    person = Hit(handed[0].id, handed[0].subscriber_id, clock.now, link)
    machine = Hit(handed[1].id, handed[1].subscriber_id, clock.now, machine="prefetch")
    reader = Hit(handed[2].id, handed[2].subscriber_id, clock.now)
    again = msgspec.structs.replace(person, at=clock.now + 60_000)
    api.db.write_now(1, tracking.record, [person, machine, reader, reader])
    api.db.write_now(1, tracking.record, [again])
    shown = stats(api, made)
    assert (shown["emails_clicked"], shown["click_rate"], shown["total_clicks"]) == (1, 25.0, 2)
    assert (shown["emails_opened"], shown["open_rate"]) == (1, 25.0)
    assert api.db.read_now(1, broadcasts.find, made).machine_opens == 1
    assert shown["show_total_clicks"] is False
    assert (shown["unsubscribes"], shown["unsubscribe_rate"]) == (0, 0.0)


@pytest.mark.parametrize(("opens", "clicks"), ((True, True), (False, True), (True, False), (False, False)))
def test_what_the_account_does_not_keep_is_said_to_be_disabled(api: Api, opens: bool, clicks: bool) -> None:
    api.db.write_now(1, accounts.set_tracking, opens=opens, clicks=clicks)
    shown = stats(api, ADA.sent)
    assert (shown["open_tracking_disabled"], shown["click_tracking_disabled"]) == (not opens, not clicks)
    assert api.db.read_now(2, accounts.tracking) == (True, True)


# -- leaving ----------------------------------------------------------------------------


@pytest.mark.parametrize("state", ("bounced", "complained"))
def test_unsubscribing_ends_what_a_bounced_person_is_in_and_the_state_stays(api: Api, state: str) -> None:
    who = api.db.read_now(1, subscribers.get, ADA.bea)
    api.db.write_now(1, subscriptions.turn, who, state)
    events = rows(api.db, "SELECT COUNT(*) FROM events")
    answer = read(api.ask("PUT", "/v3/unsubscribe", {**S, "email": who.email}))["subscriber"]
    assert (answer["id"], answer["state"]) == (ADA.bea, state)
    question = "SELECT tag_id IS NOT NULL FROM subscriptions WHERE subscriber_id = :id AND ended_at IS NULL"
    assert {bool(row[0]) for row in rows(api.db, question, id=ADA.bea)} == {True}
    inside = "SELECT id FROM entries WHERE subscriber_id = :id AND state IN ('inside', 'held')"
    assert rows(api.db, inside, id=ADA.bea) == []
    for kind, one in (("forms", ADA.plain), ("sequences", ADA.sequence)):
        listed = read(api.ask("GET", f"/v3/{kind}/{one}/subscriptions", S))["subscriptions"]
        assert [it["state"] for it in listed if it["subscriber"]["id"] == ADA.bea] == ["cancelled"]
    # It is told of no unsubscribe: the state did not change.
    assert rows(api.db, "SELECT COUNT(*) FROM events") == events
    recount(api.db)
    before = dump(api.db)
    read(api.ask("PUT", "/v3/unsubscribe", {**S, "email": who.email}))
    assert dump(api.db) == before


def test_why_a_mail_was_made_is_told_to_its_own_account_alone(api: Api) -> None:
    handed = started(api)
    made = handed[0].broadcast_id
    assert made is not None
    listed = api.db.read_now(1, deliveries.of_broadcast, made)
    told = api.db.read_now(1, deliveries.origins, [one.id for one in listed])
    assert {row_id: why for row_id, (why, _) in told.items()} == {
        one.id: f"broadcast:{made}" for one in listed
    }
    assert api.db.read_now(2, deliveries.origins, [one.id for one in listed]) == {}
