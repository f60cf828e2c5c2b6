"""The pages of webhooks: listed, made, switched, deleted, tested, their secret, their log, posting again."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.doors import Rooms, rooms
from tests.web.signed_in import Browser, wrong_at
from tidings.core import automations, notices, sequences, tags, webhooks
from tidings.core.automations import Action, Trigger, Wish
from tidings.core.notices import Outcome, Share, Told
from tidings.core.webhooks import Webhook, keys
from tidings.web.dashboard.door import Door

TARGET = "https://shop.example.com/in"
EVIL = b"<script>alert(1)</script>"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def door(here: Rooms) -> Door:
    return Door(here.house)


@pytest.fixture
def owner(here: Rooms, door: Door) -> Browser:
    return Browser(here, door)


def hook(here: Rooms, account: int | None = None, target: str = TARGET) -> int:
    return here.db.write_now(account or here.account_id, webhooks.create, "purchase_create", target).id


def found(here: Rooms, hook_id: int) -> Webhook:
    return here.db.read_now(here.account_id, webhooks.find, hook_id)


def queue(here: Rooms, hook_id: int, *events: int) -> None:
    webhook = found(here, hook_id)

    def verb(tx: Any) -> None:
        for event in events:
            notices.queue(
                tx, webhook, "purchase_create", f'{{"n":{event}}}', event_id=event, subscriber_id=None
            )

    here.db.write_now(here.account_id, verb)


def post(here: Rooms, hook_id: int, told: Told, n: int = 10, state: str = "") -> int:
    """Let the notifier try what is due; return how many."""
    share = [Share(here.account_id, hook_id, n)]
    claimed = here.db.write_now(0, notices.claim, share, lease=here.now, lease_ms=60_000)
    outcomes = [notices.outcome(one, told, here.now, 0.5) for one in claimed]
    if state:
        outcomes = [Outcome(one, state, here.now, told) for one in claimed]
    return here.db.write_now(0, notices.settle, outcomes)


def states(here: Rooms) -> list[str]:
    return [row[0] for row in here.rows("SELECT state FROM notices ORDER BY id")]


def test_an_account_without_webhooks_is_told_what_they_are_for(owner: Browser) -> None:
    assert 'href="/webhooks/new"' in owner.text("/webhooks")


def test_webhooks_of_every_kind_of_event_are_made(here: Rooms, owner: Browser) -> None:
    tag = here.db.write_now(here.account_id, tags.create, ["customer"])[0].id
    course = here.db.write_now(here.account_id, sequences.create, "Onboarding")
    form = here.form().id
    for given, kept in (
        ({"event": "tag_add", "tag": str(tag)}, ("tag_add", "tag_id", tag, None)),
        ({"event": "course_complete", "sequence": str(course)},
         ("course_complete", "course_id", course, None)),
        ({"event": "form_subscribe", "form": str(form)}, ("form_subscribe", "form_id", form, None)),
        ({"event": "link_click", "url": "https://x.example/"}, ("link_click", "initiator_value", None, "https://x.example/")),
        ({"event": "product_purchase", "pid": "77"}, ("product_purchase", "product_id", 77, None)),
        ({"event": "product_purchase", "pid": "a-7"}, ("product_purchase", "product_id", None, "a-7")),
        ({"event": "subscriber_bounce"}, ("subscriber_bounce", None, None, None)),
    ):  # fmt: skip
        answer = owner.post("/webhooks", {**given, "target_url": f" {TARGET} ", "step": "save"})
        assert answer.status == 303, wrong_at(answer)
        made = here.db.read_now(here.account_id, webhooks.all_webhooks)[-1]
        assert (made.event, made.subject, made.subject_id, made.value) == kept
        assert made.target_url == TARGET
        assert answer.headers["location"] == f"/webhooks/{made.id}"
    listed = owner.text("/webhooks")
    for words in (
        'is tagged "customer"',
        'finishes the sequence "Onboarding"',
        'buys the product "77"',
        "bounces",
    ):
        assert words in listed


@pytest.mark.parametrize(
    ("given", "at"),
    (
        ({"event": "tag_add"}, "tag"),
        ({"event": "tag_add", "tag": "99"}, "tag"),
        ({"event": "nonsense"}, "event"),
        ({"event": "link_click", "url": ""}, "url"),
        ({"target_url": ""}, "target_url"),
        ({"target_url": "ftp://x.example"}, "target_url"),
        ({"target_url": "https://u:p@x.example/"}, "target_url"),
        ({"target_url": "https://x.example/" + "x" * 2_100}, "target_url"),
    ),
)
def test_what_is_wrong_stands_beside_its_field(
    here: Rooms, owner: Browser, given: dict[str, str], at: str
) -> None:
    answer = owner.post("/webhooks", {"event": "purchase_create", "target_url": TARGET, **given})
    assert answer.status == 422
    assert list(wrong_at(answer)) == [at]
    assert here.db.read_now(here.account_id, webhooks.all_webhooks) == []


def test_choosing_an_event_shows_what_it_needs_and_makes_nothing(here: Rooms, owner: Browser) -> None:
    before = here.dump()
    answer = owner.post("/webhooks", {"event": "tag_add", "step": "show"}, hx_request="true")
    assert answer.status == 200
    assert 'name="tag"' in answer.text
    assert "<html" not in answer.text
    assert 'name="form"' in owner.get("/webhooks/new").text
    assert here.dump() == before


def test_the_secret_is_shown_to_owners_on_demand_and_only_by_a_post(
    here: Rooms, door: Door, owner: Browser
) -> None:
    made = hook(here)
    secret = keys.shown(keys.secret(here.house.links.key, here.account_id, made, 1))
    for role in ("viewer", "editor"):
        assert Browser(here, door, role).post(f"/webhooks/{made}/secret").status == 403
    assert secret not in owner.text(f"/webhooks/{made}")
    assert owner.get(f"/webhooks/{made}/secret").status == 405
    answer = owner.post(f"/webhooks/{made}/secret")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert secret in answer.text
    assert here.rows("SELECT act FROM audit ORDER BY id DESC LIMIT 1") == [("webhook.secret",)]
    assert not any(secret in str(row) for row in here.rows("SELECT subject FROM audit"))


def test_a_fresh_secret_stands_beside_the_former_one(here: Rooms, owner: Browser) -> None:
    made = hook(here)
    answer = owner.post(f"/webhooks/{made}/rotate")
    for n in (1, 2):
        assert keys.shown(keys.secret(here.house.links.key, here.account_id, made, n)) in answer.text
    assert found(here, made).key_n == 2


def test_switching_off_says_why_and_on_again_forgets_it(here: Rooms, owner: Browser) -> None:
    made = hook(here)
    owner.post(f"/webhooks/{made}/switch", {"on": ""})
    assert found(here, made).disabled_why == "switched off in the dashboard"
    assert "switched off in the dashboard" in owner.text("/webhooks")
    assert owner.said(owner.post(f"/webhooks/{made}/test")).startswith("It is off")
    owner.post(f"/webhooks/{made}/switch", {"on": "1"})
    assert found(here, made).disabled_at is None


def test_a_test_posts_what_the_webhook_would_hear(here: Rooms, owner: Browser) -> None:
    here.house.payload = lambda event: f"about {event.name}"
    made = hook(here)
    assert owner.post(f"/webhooks/{made}/test").headers["location"] == f"/webhooks/{made}#log"
    assert here.rows("SELECT body, state FROM notices") == [("about purchase_create", "queued")]


def test_the_log_shows_every_try_and_hostile_answers_as_text(here: Rooms, owner: Browser) -> None:
    made = hook(here)
    queue(here, made, 1)
    post(here, made, Told(500, body=EVIL, took_ms=1_234))
    queue(here, made, 2)
    post(here, made, Told(200, body=b"fine", took_ms=5), n=1)
    post(here, made, Told(None, error="no such name"))
    page = owner.get(f"/webhooks/{made}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "1,234 ms" in page
    assert "fine" in page
    failed = owner.get(f"/webhooks/{made}?show=failed").text
    assert "&lt;script&gt;alert(1)" in failed
    assert ">fine<" not in failed
    notice = owner.get(f"/webhooks/{made}/notices/1")
    assert "{&#34;n&#34;:1}" in notice.text
    assert "<script>alert" not in notice.text


def test_a_long_log_has_pages(here: Rooms, owner: Browser) -> None:
    made = hook(here)
    queue(here, made, *range(1, 61))
    post(here, made, Told(500), n=100)
    first = owner.get(f"/webhooks/{made}?show=failed").text
    older = re.search(rf'href="(/webhooks/{made}\?show=failed&amp;before=\d+)#log"', first)
    assert older
    second = owner.get(older[1].replace("&amp;", "&")).text
    assert (first.count(">500<"), second.count(">500<")) == (50, 10)


def test_one_notice_is_posted_again(here: Rooms, owner: Browser) -> None:
    made = hook(here)
    queue(here, made, 1)
    post(here, made, Told(404), state="failed")
    answer = owner.post(f"/webhooks/{made}/notices/1/replay")
    assert owner.said(answer).startswith("It is posted again")
    assert states(here) == ["queued"]
    here.db.write_now(here.account_id, webhooks.disable, made, "x")
    assert "disabled" in owner.said(owner.post(f"/webhooks/{made}/notices/1/replay"))


def test_a_range_is_posted_again_in_the_accounts_zone(here: Rooms, owner: Browser) -> None:
    made = hook(here)
    for event in range(3):
        queue(here, made, event + 1)
        post(here, made, Told(404), state="failed")
        here.now += 3_600_000
    # 2025-10-09 08:53:20 UTC is when the house begins.
    given = {"since": "2025-10-09T09:30", "until": "2025-10-09T10:30"}
    answer = owner.post(f"/webhooks/{made}/replay", given)
    assert owner.said(answer).startswith("1 notice is posted again")
    assert states(here) == ["failed", "queued", "failed"]
    assert owner.said(owner.post(f"/webhooks/{made}/replay", {"since": "2025-10-01 00:00"})).startswith(
        "2 notices"
    )


@pytest.mark.parametrize(
    ("given", "at"),
    (
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "9999-99-99T99:99"}, "since"),
        ({"since": "2026-01-02T00:00", "until": "2026-01-01T00:00"}, "until"),
        ({"since": "2026-01-02T00:00", "until": "x"}, "until"),
    ),
)  # fmt: skip
def test_a_range_that_is_none_is_said_beside_its_field(
    here: Rooms, owner: Browser, given: dict[str, str], at: str
) -> None:
    answer = owner.post(f"/webhooks/{hook(here)}/replay", given)
    assert answer.status == 422
    assert list(wrong_at(answer)) == [at]


def test_deleting_asks_first_and_a_rules_webhook_goes_with_its_rule(here: Rooms, owner: Browser) -> None:
    made = hook(here)
    assert "cannot be taken back" in owner.text(f"/webhooks/{made}/delete")
    assert owner.post(f"/webhooks/{made}/delete").headers["location"] == "/webhooks"
    wish = Wish("Posts", Trigger("purchase_create"), (), (Action("post", value=TARGET),))
    rule = here.db.write_now(here.account_id, automations.create, wish)
    (theirs,) = here.db.read_now(here.account_id, webhooks.all_webhooks, of_rules=True)
    assert theirs.rule_id == rule.id
    listed, page = owner.text("/webhooks"), owner.text(f"/webhooks/{theirs.id}")
    assert "made by a rule" in listed
    assert f'href="/rules/{rule.id}"' in page
    assert owner.get(f"/webhooks/{theirs.id}/delete").status == 404
    assert owner.post(f"/webhooks/{theirs.id}/delete").status == 404
    assert found(here, theirs.id) == theirs


def test_a_notice_stands_under_its_own_webhook_alone(here: Rooms, owner: Browser) -> None:
    made, other = hook(here), hook(here)
    queue(here, made, 1)
    assert owner.get(f"/webhooks/{made}/notices/1").status == 200
    assert owner.get(f"/webhooks/{other}/notices/1").status == 404
    assert owner.post(f"/webhooks/{other}/notices/1/replay").status == 404


def test_another_accounts_webhook_is_as_good_as_missing(here: Rooms, owner: Browser) -> None:
    eves = here.account("Eve's", "eve@example.com")
    made = hook(here, eves)
    here.db.write_now(eves, notices.test, made, lambda event: "{}")
    mine = hook(here)
    before = here.dump()
    for ending in ("", "/delete", "/notices/1"):
        foreign, missing = owner.get(f"/webhooks/{made}{ending}"), owner.get(f"/webhooks/{made + 9}{ending}")
        assert foreign.status == missing.status == 404
        assert foreign.body == missing.body
    assert owner.get(f"/webhooks/{mine}/notices/1").status == 404
    for ending in ("/secret", "/rotate", "/switch", "/test", "/delete", "/replay", "/notices/1/replay"):
        assert owner.post(f"/webhooks/{made}{ending}", {"since": "2025-01-01T00:00"}).status == 404
    assert here.dump() == before


def test_a_viewer_changes_nothing_and_sees_no_button(here: Rooms, door: Door) -> None:
    made = hook(here)
    queue(here, made, 1)
    viewer, editor = Browser(here, door, "viewer"), Browser(here, door, "editor")
    before = here.dump()
    page = viewer.text(f"/webhooks/{made}")
    for button in ("/test", "/switch", "/secret", "/delete", "/replay"):
        assert f"/webhooks/{made}{button}" not in page
        assert viewer.post(f"/webhooks/{made}{button}").status == 403
    assert viewer.post("/webhooks", {"event": "purchase_create", "target_url": TARGET}).status == 403
    assert viewer.get("/webhooks/new").status == 403
    assert viewer.get(f"/webhooks/{made}/notices/1").status == 200
    assert here.dump() == before
    assert "/secret" not in editor.text(f"/webhooks/{made}")
    assert editor.post(f"/webhooks/{made}/test").status == 303
