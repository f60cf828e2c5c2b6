"""The pages of tags and fields: made, renamed, searched, made public, deleted once their name was typed."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.doors import Rooms, rooms
from tests.web.owners import Browser
from tests.web.test_forms_pages import wrong
from tidings.core import automations, custom_fields, subscriptions, tags
from tidings.core.automations import Action, Trigger, Wish
from tidings.core.events import Origin

HOSTILE = "<script>alert(1)</script>\"'{{ x }}"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def ada(here: Rooms) -> Browser:
    return Browser(here)


def tag(here: Rooms, name: str = "customer") -> int:
    return here.db.write_now(here.account_id, tags.create, [name])[0].id


def field(here: Rooms, label: str = "Last name") -> int:
    return here.db.write_now(here.account_id, custom_fields.create, [label])[0].id


def listed(here: Rooms) -> list[str]:
    return [one.name for one in here.db.read_now(here.account_id, tags.all_tags).values()]


def labels(here: Rooms) -> list[str]:
    return [one.label for one in here.db.read_now(here.account_id, custom_fields.all_fields)]


def test_an_account_without_tags_and_fields_is_told_what_they_are(ada: Browser) -> None:
    assert "No tags yet" in ada.get("/tags").text
    assert "No fields yet" in ada.get("/fields").text


def test_a_tag_is_made_and_a_taken_or_blank_name_is_refused_beside_the_field(
    ada: Browser, here: Rooms
) -> None:
    assert "The tag customer is there." in ada.follow(ada.post("/tags", {"name": " customer "}))
    for name, said in (
        ("Customer", "Name has already been taken."),
        (" ", "The name is needed."),
        ("x" * 256, ""),
    ):
        answer = ada.post("/tags", {"name": name})
        assert wrong(answer)["name"].startswith(said)
    assert listed(here) == ["customer"]


def test_tags_are_listed_with_their_people_searched_and_in_pages(ada: Browser, here: Rooms) -> None:
    form = here.form(confirmation="none")
    busy = tag(here, "busy")
    for n in range(2):
        here.sign_up(form, f"p{n}@example.com")
        who = here.person(f"p{n}@example.com")
        assert who is not None
        here.db.write_now(here.account_id, subscriptions.start, who, "tag", busy, Origin("api"))
    row = re.search(
        r'>busy</a>.*?data-label="People">(\d+)<.*?data-label="Active">(\d+)<',
        ada.get("/tags").text,
        re.DOTALL,
    )
    assert row
    assert row.groups() == ("2", "2")
    assert f'href="/subscribers?tag={busy}"' in ada.get("/tags").text
    here.db.write_now(here.account_id, tags.create, [f"t{n:03}" for n in range(60)])
    first, second = ada.get("/tags").text, ada.get("/tags?page=2").text
    assert len(re.findall(r'class="name"', first)) == 50
    assert len(re.findall(r'class="name"', second)) == 11
    found = ada.get("/tags?q=T00").text
    assert re.findall(r">(t\d+)</a>", found) == [f"t{n:03}" for n in range(10)]
    assert "No tag has “&lt;b&gt;” in its name" in ada.get("/tags?q=<b>").text
    assert 'href="/tags?q=t0&amp;page=2"' in ada.get("/tags?q=t0").text
    for page in ("0", "x", "9" * 30, "9"):
        assert ada.get(f"/tags?page={page}").status == 200


def test_a_tag_is_renamed_and_made_public(ada: Browser, here: Rooms) -> None:
    one = tag(here)
    assert "Saved." in ada.follow(ada.post(f"/tags/{one}", {"name": "buyer", "public": "1"}))
    assert listed(here) == ["buyer"]
    assert here.db.read_now(here.account_id, tags.public_names) == {one: "buyer"}
    assert '<span class="badge cool">public</span>' in ada.get("/tags").text
    ada.follow(ada.post(f"/tags/{one}", {"name": "buyer"}))
    assert here.db.read_now(here.account_id, tags.public_names) == {}
    tag(here, "other")
    assert wrong(ada.post(f"/tags/{one}", {"name": "OTHER"}))["name"] == "Name has already been taken."
    assert listed(here) == ["buyer", "other"]


def test_a_tag_is_deleted_once_its_name_was_typed(ada: Browser, here: Rooms) -> None:
    one = tag(here, "old  friends")
    here.db.write_now(here.account_id, tags.set_public, one, public=True)
    for typed in ("", "old", "OLD FRIENDS"):
        answer = ada.post(f"/tags/{one}/delete", {"typed": typed})
        assert wrong(answer) == {"typed": "This is not its name. Nothing was deleted."}
        # The other form of the page shows what is there.
        assert re.search(r'name="public" value="1" checked', answer.text)
    assert "is gone" in ada.follow(ada.post(f"/tags/{one}/delete", {"typed": " old friends "}))
    assert listed(here) == []
    assert ada.get(f"/tags/{one}").status == 404


def test_a_tag_and_a_field_in_use_say_what_uses_them(ada: Browser, here: Rooms) -> None:
    one, other, city = tag(here), tag(here, "other"), field(here, "City")
    for wish in (
        Wish(HOSTILE, Trigger("tag_add", one), (), (Action("add_tag", other),)),
        Wish("On city", Trigger("field_change", city), (), (Action("add_tag", other),)),
    ):
        here.db.write_now(here.account_id, automations.create, wish)
    page = ada.get(f"/tags/{one}").text
    assert "This tag is used." in page
    assert html.escape(HOSTILE).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in page
    assert 'name="typed"' not in page
    answer = ada.post(f"/tags/{one}/delete", {"typed": "customer"})
    assert answer.status == 422
    assert "This tag is still used" in answer.text
    assert "On city" in ada.get(f"/fields/{city}").text
    assert ada.post(f"/fields/{city}/delete", {"typed": "City"}).status == 422
    assert (listed(here), labels(here)) == (["customer", "other"], ["City"])


def test_a_field_is_made_shown_with_its_merge_name_renamed_and_deleted(ada: Browser, here: Rooms) -> None:
    assert "The field Last name is there." in ada.follow(ada.post("/fields", {"label": "Last name"}))
    page = html.unescape(ada.get("/fields").text)
    assert "{{ subscriber.last_name }}" in page
    assert "fields[last_name]" in page
    one = here.db.read_now(here.account_id, custom_fields.all_fields)[0].id
    for label, said in (
        ("LAST NAME", "Label has already been taken."),
        ("", "The label is needed."),
        ("!!!", "Label must"),
    ):
        assert wrong(ada.post("/fields", {"label": label}))["label"].startswith(said)
    ada.follow(ada.post(f"/fields/{one}", {"label": "Family name"}))
    assert "{{ subscriber.last_name }}" in html.unescape(ada.get("/fields").text)
    assert wrong(ada.post(f"/fields/{one}/delete", {"typed": "Last name"})) == {
        "typed": "This is not its label. Nothing was deleted."
    }
    assert labels(here) == ["Family name"]
    assert "is gone" in ada.follow(ada.post(f"/fields/{one}/delete", {"typed": "Family name"}))
    assert labels(here) == []


def test_hostile_names_stay_text(ada: Browser, here: Rooms) -> None:
    one = tag(here, HOSTILE)
    other = field(here, HOSTILE)
    for path in ("/tags", f"/tags/{one}", "/fields", f"/fields/{other}", f"/tags?q={HOSTILE}"):
        page = ada.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_what_is_done_stands_in_the_audit_log(ada: Browser, here: Rooms) -> None:
    one = tag(here)
    ada.post("/tags", {"name": "more"})
    ada.post(f"/tags/{one}/delete", {"typed": "customer"})
    assert here.rows("SELECT act, subject FROM audit ORDER BY id") == [
        ("tag.create", "more"),
        ("tag.delete", "customer"),
    ]


def test_a_viewer_sees_every_page_and_changes_nothing(here: Rooms) -> None:
    one, other = tag(here), field(here)
    viewer = Browser(here, "vic@example.com", "viewer")
    before = here.dump()
    for path in ("/tags", f"/tags/{one}", "/fields", f"/fields/{other}"):
        page = viewer.get(path)
        assert page.status == 200
        assert "Delete" not in page.text
        assert ">Save</button>" not in page.text
    for path in (
        "/tags",
        f"/tags/{one}",
        f"/tags/{one}/delete",
        "/fields",
        f"/fields/{other}",
        f"/fields/{other}/delete",
    ):
        assert viewer.post(path, {"name": "x", "label": "x", "typed": "customer"}).status == 403
    assert here.dump() == before


def test_another_accounts_tags_and_fields_are_as_good_as_missing(here: Rooms) -> None:
    one, other = tag(here), field(here)
    eve = Browser(here, account_id=here.account("Eve's", "eve@example.com"))
    for kind, ref in (("tags", one), ("fields", other)):
        foreign, missing = eve.get(f"/{kind}/{ref}"), eve.get(f"/{kind}/{2**62}")
        assert foreign.status == missing.status == 404
        assert foreign.body == missing.body
        for ending in ("", "/delete"):
            body = {"name": "x", "label": "x", "typed": "customer"}
            assert eve.post(f"/{kind}/{ref}{ending}", body).status == 404
    assert (listed(here), labels(here)) == (["customer"], ["Last name"])
