"""The pages of rules: listed, told in words, made and changed by form, switched, deleted."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.ruled import do, tell
from tests.web.doors import Rooms, rooms
from tests.web.signed_in import Browser, wrong_at
from tidings.core import automations, custom_fields, sequences, subscriptions, tags
from tidings.core.automations import Action, Condition, Shown, Trigger, Wish
from tidings.core.events import Origin
from tidings.web.dashboard.door import Door

EVIL = "<script>alert(1)</script>\"'"


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


def tag(here: Rooms, name: str = "customer") -> int:
    return here.db.write_now(here.account_id, tags.create, [name])[0].id


def rule(here: Rooms, name: str = "Customers", *actions: Action, account: int | None = None) -> int:
    wish = Wish(name, Trigger("purchase_create"), (), actions or (Action("unsubscribe"),))
    return here.db.write_now(account or here.account_id, automations.create, wish).id


def shown(here: Rooms, rule_id: int) -> Shown:
    return here.db.read_now(here.account_id, automations.show, rule_id)


def only(here: Rooms) -> Shown:
    (one,) = here.db.read_now(here.account_id, automations.all_rules)
    return one


def fields_of(text: str) -> dict[str, str]:
    """What a browser would post of a form as it stands, without its buttons."""
    found = {}
    for attributes in re.findall(r"<input ([^>]*)>", text):
        named = dict(re.findall(r'([\w-]+)="([^"]*)"', attributes))
        if named.get("type") == "checkbox" and " checked" not in attributes:
            continue
        found[named["name"]] = named.get("value", "")
    for name, body in re.findall(r'<select id="[\w-]+" name="([\w-]+)".*?>(.*?)</select>', text, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', body)
        first = re.search(r'<option value="([^"]*)"', body)
        found[name] = chosen[1] if chosen else first[1] if first else ""
    areas = re.findall(r'<textarea id="[\w-]+" name="([\w-]+)"[^>]*>\n(.*?)</textarea>', text, re.DOTALL)
    return found | dict(areas)


def test_an_account_without_rules_is_told_what_to_do_first(owner: Browser) -> None:
    assert 'href="/rules/new"' in owner.text("/rules")


def test_a_rule_of_every_part_is_made_by_form_alone(here: Rooms, owner: Browser) -> None:
    customer, vip = tag(here), tag(here, "vip")
    form, course = here.form().id, here.db.write_now(here.account_id, sequences.create, "Onboarding")
    city = here.db.write_now(here.account_id, custom_fields.create, ["City"])[0].id
    given = {
        "name": "Everything",
        "when_kind": "form_subscribe",
        "when_form": str(form),
        "on": "1",
        "if1_kind": "tag",
        "if1_tag": str(customer),
        "if1_not": "1",
        "if2_kind": "field",
        "if2_field": str(city),
        "if2_how": "contains",
        "if2_value": "burg",
        "if3_kind": "state",
        "if3_state": "active",
        "if4_kind": "bought",
        "if4_pid": "",
        "if5_kind": "sequence",
        "if5_sequence": str(course),
        "if6_kind": "form",
        "if6_form": str(form),
        "then1_kind": "add_tag",
        "then1_tag": str(vip),
        "then2_kind": "set_field",
        "then2_field": str(city),
        "then2_value": "Bonn",
        "then3_kind": "add_to_sequence",
        "then3_sequence": str(course),
        "then4_kind": "send_email",
        "then4_subject": "Hello",
        "then4_html": "<p>Hi</p>",
        "then5_kind": "post",
        "then5_url": "https://shop.example.com/in",
        "then6_kind": "tell_owner",
        "then6_subject": "Look",
        "then7_kind": "unsubscribe",
        "then8_kind": "remove_from_form",
        "then8_form": str(form),
        "step": "save",
    }

    answer = owner.post("/rules", given)

    assert answer.status == 303, wrong_at(answer)
    made = only(here).rule
    assert made.enabled_at is not None
    assert made.wish == Wish(
        "Everything",
        Trigger("form_subscribe", form),
        (
            Condition("tag", customer, negated=True),
            Condition("field", city, "burg", "contains"),
            Condition("state", value="active"),
            Condition("bought"),
            Condition("sequence", course),
            Condition("form", form),
        ),
        (
            Action("add_tag", vip),
            Action("set_field", city, "Bonn"),
            Action("add_to_sequence", course),
            Action("send_email", subject="Hello", html="<p>Hi</p>"),
            Action("post", value="https://shop.example.com/in"),
            Action("tell_owner", subject="Look"),
            Action("unsubscribe"),
            Action("remove_from_form", form),
        ),
    )
    assert 'has not the tag "customer"' in owner.text(f"/rules/{made.id}")


@pytest.mark.parametrize(
    ("given", "trigger"),
    (
        ({"when_kind": "link_click", "when_url": "https://x.example/a"}, Trigger("link_click", None, "https://x.example/a")),
        ({"when_kind": "product_purchase", "when_pid": "77"}, Trigger("product_purchase", None, "77")),
        ({"when_kind": "goes_quiet", "when_days": "30", "when_hour": ""}, Trigger("goes_quiet", days=30)),
        ({"when_kind": "subscriber_activate"}, Trigger("subscriber_activate")),
    ),
)  # fmt: skip
def test_triggers_are_read_from_their_fields(
    here: Rooms, owner: Browser, given: dict[str, str], trigger: Trigger
) -> None:
    answer = owner.post("/rules", {"name": "A", "then1_kind": "unsubscribe", **given})
    assert answer.status == 303, wrong_at(answer)
    assert only(here).rule.trigger == trigger
    assert only(here).rule.enabled_at is None


def test_a_date_before_and_every_year(here: Rooms, owner: Browser) -> None:
    field = here.db.write_now(here.account_id, custom_fields.create, ["Birthday"])[0].id
    given = {"when_days": "3", "when_side": "before", "when_hour": "7", "when_yearly": "1"}
    owner.post(
        "/rules",
        {
            "name": "A",
            "when_kind": "date_arrives",
            "when_field": str(field),
            "then1_kind": "unsubscribe",
            **given,
        },
    )
    made = only(here)
    assert made.rule.trigger == Trigger("date_arrives", field, None, -3, 7, yearly=True)
    # What the form shows of it makes the same rule again.
    edit = owner.get(f"/rules/{made.rule.id}/edit").text
    here.now += 1
    assert owner.post(f"/rules/{made.rule.id}", fields_of(edit)).status == 303
    assert only(here).rule.trigger == made.rule.trigger
    assert only(here).updated_at == here.now


@pytest.mark.parametrize(
    ("given", "at"),
    (
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"when_kind": "nonsense"}, "when_kind"),
        ({"when_kind": "tag_add"}, "when_tag"),
        ({"when_kind": "tag_add", "when_tag": "999"}, "when_tag"),
        ({"when_kind": "link_click", "when_url": " "}, "when_url"),
        ({"when_kind": "goes_quiet", "when_days": "0"}, "when_days"),
        ({"when_kind": "goes_quiet", "when_days": "x"}, "when_days"),
        ({"when_kind": "goes_quiet", "when_days": "5", "when_hour": "24"}, "when_hour"),
        ({"if1_kind": "tag"}, "if1_tag"),
        ({"if1_kind": "state", "if1_state": "asleep"}, "if1_state"),
        ({"if1_kind": "evil"}, "if1_kind"),
        ({"then2_kind": "add_tag", "then2_tag": "x"}, "then2_tag"),
        ({"then2_kind": "post", "then2_url": "ftp://x"}, "then2_url"),
        ({"then2_kind": "post", "then2_url": "https://u:p@x.example/"}, "then2_url"),
        ({"then2_kind": "send_email", "then2_html": "x"}, "then2_subject"),
        ({"then2_kind": "send_email", "then2_subject": "x"}, "then2_html"),
        ({"then2_kind": "nonsense"}, "then2_kind"),
    ),
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_made(
    here: Rooms, owner: Browser, given: dict[str, str], at: str
) -> None:
    fine = {"name": "A", "when_kind": "purchase_create", "then1_kind": "unsubscribe"}
    answer = owner.post("/rules", {**fine, **given})
    assert answer.status == 422
    assert list(wrong_at(answer)) == [at]
    assert here.db.read_now(here.account_id, automations.all_rules) == []


def test_a_rule_needs_an_action_and_a_name_of_its_own(here: Rooms, owner: Browser) -> None:
    none = owner.post("/rules", {"name": "A", "when_kind": "purchase_create"})
    assert "does at least one thing" in none.text
    rule(here, "Taken")
    twice = owner.post(
        "/rules", {"name": "taken", "when_kind": "purchase_create", "then1_kind": "unsubscribe"}
    )
    assert (none.status, twice.status) == (422, 422)
    assert "already been taken" in wrong_at(twice)["name"]


def test_the_buttons_of_the_form_add_remove_and_move_rows_and_save_nothing(
    here: Rooms, owner: Browser
) -> None:
    before = here.dump()
    given = {"name": "A", "when_kind": "purchase_create", "then1_kind": "unsubscribe", "then1_tag": ""}

    def press(step: str) -> dict[str, str]:
        answer = owner.post("/rules", {**given, "step": step})
        assert answer.status == 200
        return fields_of(answer.text)

    given = press("add-then")
    assert (given["then1_kind"], given["then2_kind"]) == ("unsubscribe", "add_tag")
    given = press("up-then-2")
    assert (given["then1_kind"], given["then2_kind"]) == ("add_tag", "unsubscribe")
    assert press("up-then-1") == given
    given["then1_kind"] = "send_email"
    given = press("show")
    assert {"then1_subject", "then1_html", "then1_text"} <= given.keys()
    given["then1_html"] = EVIL
    given = press("drop-then-2")
    assert "then2_kind" not in given
    for junk in ("drop-then-9", "up-then-x", "drop-if-1", "add-nothing", "drop-then-99999999999999", "é"):
        assert press(junk)["then1_kind"] == "send_email"
    assert here.dump() == before


def test_more_rows_than_a_rule_may_have_are_not_added(owner: Browser) -> None:
    given = {f"then{n}_kind": "unsubscribe" for n in range(1, 21)}
    answer = owner.post("/rules", {"name": "A", "when_kind": "purchase_create", **given, "step": "add-then"})
    assert answer.text.count("Remove action") == 20


def test_a_script_gets_the_parts_of_the_form_alone(owner: Browser) -> None:
    answer = owner.post("/rules", {"name": "A", "when_kind": "tag_add", "step": "show"}, hx_request="true")
    assert answer.status == 200
    assert "<html" not in answer.text
    assert 'name="when_tag"' in answer.text


def test_who_changes_what_somebody_else_has_changed_is_told(here: Rooms, owner: Browser) -> None:
    made = rule(here)
    mine, theirs = (fields_of(owner.get(f"/rules/{made}/edit").text) for _ in range(2))
    here.now += 1
    assert owner.post(f"/rules/{made}", {**theirs, "name": "Theirs"}).status == 303
    here.now += 1
    answer = owner.post(f"/rules/{made}", {**mine, "name": "Mine"})
    assert answer.status == 422
    assert "Somebody else has changed this rule" in answer.text
    assert 'value="Mine"' in answer.text
    assert shown(here, made).rule.name == "Theirs"


def test_a_rule_is_switched_and_the_audit_log_says_by_whom(here: Rooms, owner: Browser) -> None:
    made = rule(here)
    answer = owner.post(f"/rules/{made}/switch", {"on": ""})
    assert owner.said(answer).endswith("is off: it does nothing any more.")
    assert shown(here, made).rule.enabled_at is None
    owner.post(f"/rules/{made}/switch", {"on": "1"})
    assert shown(here, made).rule.enabled_at == here.now
    acts = [row[0] for row in here.rows("SELECT act FROM audit WHERE act LIKE 'rule.%' ORDER BY id")]
    assert acts == ["rule.off", "rule.on"]


def test_a_rule_is_deleted_after_a_question(here: Rooms, owner: Browser) -> None:
    made = rule(here)
    assert "cannot be taken back" in owner.text(f"/rules/{made}/delete")
    assert shown(here, made).rule.id == made
    assert owner.post(f"/rules/{made}/delete").headers["location"] == "/rules"
    assert here.db.read_now(here.account_id, automations.all_rules) == []


def test_the_page_tells_what_it_did_and_for_whom(here: Rooms, owner: Browser) -> None:
    customer = tag(here)
    wish = Wish(
        "Round",
        Trigger("tag_add", customer),
        (),
        (Action("remove_tag", customer), Action("add_tag", customer)),
    )
    made = here.db.write_now(here.account_id, automations.create, wish).id
    here.sign_up(here.form(confirmation="none"), "bea@example.com")
    bea = here.person("bea@example.com")
    assert bea
    origin = Origin("command")
    here.db.write_now(here.account_id, subscriptions.start, bea, "tag", customer, origin)
    while tell(here.db) or do(here.db):
        pass
    page = owner.text(f"/rules/{made}")
    assert f'href="/subscribers/{bea.id}"' in page
    assert "more than 8 deep" in page
    assert "may start itself again" in page
    assert "Started by another rule" in page
    listed = owner.text("/rules")
    assert "problem" in listed
    assert '">cut</span>' in listed


def test_a_try_says_what_would_happen_and_does_nothing(here: Rooms, owner: Browser) -> None:
    customer = tag(here)
    made = rule(here, "A", Action("add_tag", customer), Action("send_email", subject="Hi", html="x"))
    here.sign_up(here.form(), "bea@example.com")
    before = here.dump()
    page = owner.text(f"/rules/{made}?try=bea@example.com")
    assert 'add the tag "customer"' in page
    assert "passed over: they are inactive, not active" in page
    assert "Nobody in this account" in owner.text(f"/rules/{made}?try=eve@example.com")
    assert here.dump() == before


@pytest.mark.parametrize("page", ("/rules", "/rules/{}", "/rules/{}/edit", "/rules/{}/delete"))
def test_hostile_names_are_shown_and_never_run(here: Rooms, owner: Browser, page: str) -> None:
    customer = tag(here, EVIL)
    made = rule(here, EVIL, Action("add_tag", customer), Action("tell_owner", subject=EVIL, text=EVIL))
    answer = owner.get(page.format(made))
    assert answer.status == 200
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


def test_another_accounts_rule_is_as_good_as_missing(here: Rooms, door: Door, owner: Browser) -> None:
    eves = rule(here, account=here.account("Eve's", "eve@example.com"))
    before = here.dump()
    for ending in ("", "/edit", "/delete"):
        foreign, missing = owner.get(f"/rules/{eves}{ending}"), owner.get(f"/rules/{eves + 9}{ending}")
        assert foreign.status == missing.status == 404
        assert foreign.body == missing.body
    given = {"name": "A", "when_kind": "purchase_create", "then1_kind": "unsubscribe"}
    for ending in ("", "/switch", "/delete"):
        assert owner.post(f"/rules/{eves}{ending}", given).status == 404
    assert here.dump() == before


def test_a_viewer_sees_rules_and_changes_none_an_editor_does(here: Rooms, door: Door) -> None:
    made = rule(here)
    viewer, editor = Browser(here, door, "viewer"), Browser(here, door, "editor")
    before = here.dump()
    assert "/switch" not in viewer.text("/rules")
    assert "/switch" not in viewer.text(f"/rules/{made}")
    for path in ("/rules", f"/rules/{made}", f"/rules/{made}/switch", f"/rules/{made}/delete"):
        assert viewer.post(path, {"name": "A"}).status == 403
    for path in ("/rules/new", f"/rules/{made}/edit", f"/rules/{made}/delete"):
        assert viewer.get(path).status == 403
    assert here.dump() == before
    assert editor.post(f"/rules/{made}/switch").status == 303


def test_where_there_are_very_many_tags_one_types_the_name(here: Rooms, owner: Browser) -> None:
    here.db.write_now(here.account_id, tags.create, [f"tag {n}" for n in range(400)])
    page = owner.get("/rules/new").text
    assert 'list="suggested-tag"' in page
    given = {"name": "A", "when_kind": "tag_add", "when_tag": "Tag 7", "then1_kind": "unsubscribe"}
    assert owner.post("/rules", given).status == 303
    assert only(here).rule.trigger.ref_id == here.rows("SELECT id FROM tags WHERE name = 'tag 7'")[0][0]
    assert 'value="tag 7"' in owner.get(f"/rules/{only(here).rule.id}/edit").text
    assert wrong_at(owner.post("/rules", {**given, "when_tag": "none"}))["when_tag"]


def test_long_lists_have_pages(here: Rooms, owner: Browser) -> None:
    def many(tx: Any) -> None:
        for n in range(automations.LISTED + 1):
            automations.create(
                tx, Wish(f"Rule {n:03}", Trigger("purchase_create"), (), (Action("unsubscribe"),))
            )

    here.db.write_now(here.account_id, many)
    first, second = owner.text("/rules"), owner.text("/rules?page=2")
    assert "Rule 049" in first
    assert "Rule 050" not in first
    assert "Rule 050" in second
    assert owner.get("/rules?page=999999").status == 200
