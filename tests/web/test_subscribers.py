"""The pages about people: found, looked at, added, tagged, erased, and changed many at once."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.web.asgi import Answer
from tests.web.doors import Rooms, ask, rooms
from tidings.core import bulk, custom_fields, finding, sequences, subscribers, subscriptions, tags
from tidings.core.events import Origin
from tidings.core.users import sessions
from tidings.web.dashboard.door import Door

OURS = {"sec-fetch-site": "same-origin"}
SCRIPT = "<script>alert(1)</script>"


class Pages:
    """A browser of the owner, signed in."""

    def __init__(self, here: Rooms) -> None:
        self.here, self.door = here, Door(here.house)
        self.form = here.form(confirmation="none")
        token = here.db.write_now(here.account_id, sessions.link)
        answer = ask(self.door, "POST", f"/sign-in/{token}", headers=OURS)
        self.cookie = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        self.seal = re.search(r'name="seal" content="([0-9a-f]{64})"', self.get("/subscribers").text)[1]  # type: ignore[index]

    def get(self, path: str, **headers: str) -> Answer:
        return ask(self.door, "GET", path, headers={**self.cookie, **headers})

    def post(self, path: str, given: dict[str, str] | None = None, *, seal: str | None = None) -> Answer:
        body = {"seal": self.seal if seal is None else seal, **(given or {})}
        return ask(self.door, "POST", path, body, {**self.cookie, **OURS})

    def act(self, verb: Any, *args: Any, **options: Any) -> Any:
        return self.here.db.write_now(self.here.account_id, verb, *args, **options)

    def know(self, question: Any, *args: Any, **options: Any) -> Any:
        return self.here.db.read_now(self.here.account_id, question, *args, **options)

    def person(self, email: str, name: str | None = None) -> int:
        self.here.sign_up(self.form, email, name)
        who = self.here.person(email)
        assert who is not None
        return who.id

    def work(self) -> None:
        """Do the changes that wait, as the engine does."""
        while change := self.here.db.read_now(0, bulk.due):
            self.act(bulk.do, self.know(bulk.look, change))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Pages]:
    with rooms(tmp_path) as here:
        yield Pages(here)


def said(answer: Answer) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text)))


def test_an_empty_list_says_what_to_do_first(browser: Pages) -> None:
    answer = browser.get("/subscribers")
    assert answer.status == 200
    assert "Nobody is here yet" in answer.text
    assert 'href="/subscribers/add"' in answer.text
    assert 'id="q"' not in answer.text


def test_people_are_listed_newest_first_and_found_by_what_is_typed(browser: Pages) -> None:
    for n in range(3):
        browser.person(f"person{n}@example.com", f"Nr{n}")
    browser.person("bea@example.org", "Béa")
    text = browser.get("/subscribers").text
    assert re.findall(r'class="name" href="/subscribers/\d+">([^<]+)', text) == [
        "bea@example.org", "person2@example.com", "person1@example.com", "person0@example.com",
    ]  # fmt: skip
    assert "4 people" in text
    assert "person1@" not in browser.get("/subscribers?q=BEA").text
    assert "bea@example.org" in browser.get("/subscribers?q=B%C3%A9a").text
    assert "Nobody found" in browser.get("/subscribers?q=nobody").text
    assert "one letter more" in browser.get("/subscribers?q=b").text


def test_a_script_gets_the_found_people_alone(browser: Pages) -> None:
    browser.person("bea@example.org")
    part = browser.get("/subscribers?q=bea", **{"hx-request": "true"}).text
    assert "bea@example.org" in part
    assert "<html" not in part
    assert 'id="q"' not in part


def test_the_list_is_filtered_by_state_tag_form_and_sequence(browser: Pages) -> None:
    [vip] = browser.act(tags.create, ["vip"])
    course = browser.act(sequences.create, "Course")
    one, two = browser.person("one@example.com"), browser.person("two@example.com")
    browser.act(tags.put_on, vip.id, one, Origin("api"))
    browser.act(subscriptions.start, browser.know(subscribers.get, two), "sequence", course, Origin("api"))
    browser.act(subscriptions.unsubscribe, browser.know(subscribers.get, two), Origin("api"))
    shown = {
        f"?in=tag-{vip.id}": {"one"},
        f"?in=sequence-{course}": {"two"},
        f"?in=form-{browser.form.id}": {"one", "two"},
        "?state=cancelled": {"two"},
        f"?state=active&in=form-{browser.form.id}": {"one"},
        f"?state=active&in=sequence-{course}": set(),
        "?state=active&q=example": {"one"},
        f"?in=tag-{vip.id}&q=two": set(),
        "?state=asleep&in=tag-x": {"one", "two"},
    }
    for query, wanted in shown.items():
        text = browser.get(f"/subscribers{query}").text
        assert set(re.findall(r">(one|two)@example\.com</a>", text)) == wanted, query


def test_pages_of_a_list_and_of_a_search_reach_everybody(browser: Pages) -> None:
    for n in range(finding.PAGE + 3):
        browser.person(f"p{n:02}@example.com")
    for first in ("/subscribers", "/subscribers?q=example"):
        found: list[str] = []
        path = first
        while path:
            text = browser.get(path).text
            found += re.findall(r">(p\d\d)@example\.com</a>", text)
            older = re.search(r'rel="next" href="([^"]+)"', text)
            path = html.unescape(older[1]) if older else ""
        assert found == [f"p{n:02}" for n in range(finding.PAGE + 2, -1, -1)]
    assert "There are no people on this page" in said(browser.get("/subscribers?page=9"))
    assert browser.get("/subscribers?page=99999999999999999999&before=x").status == 200


def test_a_person_is_shown_with_history_tags_consent_and_mails(browser: Pages) -> None:
    [vip] = browser.act(tags.create, ["vip"])
    browser.act(custom_fields.create, ["City"])
    who = browser.person("bea@example.com", "Bea")
    browser.act(tags.put_on, vip.id, who, Origin("dashboard"))
    browser.act(
        subscribers.update, who, email=None, first_name=None, fields={"city": "Bern"}, origin=Origin("api")
    )
    answer = browser.get(f"/subscribers/{who}")
    assert answer.status == 200
    words = said(answer)
    for one in (
        "bea@example.com",
        "Got the tag vip",
        "by the dashboard",
        "Joined the form Letters",
        "Bern",
        "Bea",
    ):
        assert one in words
    mails = browser.get(f"/subscribers/{who}/mails")
    assert mails.status == 200
    assert "No mail yet" in mails.text
    assert browser.get("/subscribers/999999").status == 404
    assert browser.get(f"/subscribers/{who}?before=1.2").status == 200
    assert browser.get(f"/subscribers/{who}?before=999999999999999.9.999999999999999").status == 200


def test_a_person_is_changed_field_by_field(browser: Pages) -> None:
    browser.act(custom_fields.create, ["City", "Last name"])
    fields = {one.key: one.id for one in browser.know(custom_fields.all_fields)}
    who = browser.person("bea@example.com", "Bea")
    browser.person("taken@example.com")
    given = {"email": "bea@example.org", "first_name": "Beatrix", f"field-{fields['city']}": "Bern"}
    answer = browser.post(f"/subscribers/{who}/edit", given)
    assert (answer.status, answer.headers["location"]) == (303, f"/subscribers/{who}")
    one = browser.know(subscribers.get, who)
    assert (one.email, one.first_name, one.fields["city"]) == ("bea@example.org", "Beatrix", "Bern")
    for email, wrong in (
        ("taken@example.com", "already been taken"),
        ("no address", "is invalid"),
        ("", "needed"),
    ):
        answer = browser.post(f"/subscribers/{who}/edit", {**given, "email": email})
        assert answer.status == 422
        assert 'id="email-wrong">' in answer.text
        assert wrong in said(answer)
    browser.post(f"/subscribers/{who}/edit", {**given, f"field-{fields['city']}": ""})
    assert browser.know(subscribers.get, who).fields["city"] is None


def test_tags_are_put_on_and_taken_off(browser: Pages) -> None:
    [vip] = browser.act(tags.create, ["vip"])
    who = browser.person("bea@example.com")
    browser.post(f"/subscribers/{who}/tags", {"tag": str(vip.id)})
    browser.post(f"/subscribers/{who}/tags", {"name": "Fresh"})
    browser.post(f"/subscribers/{who}/tags", {"name": "fresh"})
    assert [one.name for one in browser.know(tags.of_subscriber, who)] == ["Fresh", "vip"] or {
        one.name for one in browser.know(tags.of_subscriber, who)
    } == {"Fresh", "vip"}
    assert len(browser.know(tags.all_tags)) == 2
    browser.post(f"/subscribers/{who}/tags/remove", {"tag": str(vip.id)})
    assert [one.name for one in browser.know(tags.of_subscriber, who)] == ["Fresh"]
    for wrong in ({}, {"tag": "x"}, {"tag": "999"}, {"name": "x" * 999}):
        assert browser.post(f"/subscribers/{who}/tags", wrong).status in (303, 404)
    assert browser.post("/subscribers/999/tags", {"name": "Other"}).status == 404
    assert len(browser.know(tags.all_tags)) == 2


def test_unsubscribing_ends_it_and_the_log_knows_no_address(browser: Pages) -> None:
    who = browser.person("bea@example.com")
    assert browser.post(f"/subscribers/{who}/unsubscribe").status == 303
    assert browser.know(subscribers.get, who).state == "cancelled"
    assert f'action="/subscribers/{who}/unsubscribe"' not in browser.get(f"/subscribers/{who}").text
    assert browser.here.rows("SELECT act, subject FROM audit ORDER BY id")[1:] == [
        ("subscriber.unsubscribe", f"subscriber {who}")
    ]


def test_erasing_needs_the_address_and_leaves_no_trace_in_the_log(browser: Pages) -> None:
    who = browser.person("bea@example.com")
    assert "cannot be taken back" in browser.get(f"/subscribers/{who}/erase").text
    for typed in ("", "other@example.com", str(who)):
        answer = browser.post(f"/subscribers/{who}/erase", {"email": typed})
        assert answer.status == 422
        assert browser.here.person("bea@example.com") is not None
    answer = browser.post(f"/subscribers/{who}/erase", {"email": " BEA@example.com "})
    assert (answer.status, answer.headers["location"]) == (303, "/subscribers")
    assert browser.here.person("bea@example.com") is None
    assert browser.get(f"/subscribers/{who}").status == 404
    assert "bea" not in str(browser.here.rows("SELECT * FROM audit"))


def test_a_person_is_added_only_with_their_consent(browser: Pages) -> None:
    double = browser.here.form("Double", confirmation="double")
    [vip] = browser.act(tags.create, ["vip"])
    given = {"email": "new@example.com", "first_name": "New", "consent": "met at the fair", "agreed": "1"}
    assert "Double" in browser.get("/subscribers/add?email=a@b.example").text
    for left_out, box in (("agreed", "agreed"), ("consent", "consent"), ("email", "email")):
        answer = browser.post("/subscribers/add", {**given, left_out: ""})
        assert answer.status == 422
        assert f'id="{box}-wrong"' in answer.text
    assert browser.here.person("new@example.com") is None
    answer = browser.post("/subscribers/add", {**given, "tag[]": str(vip.id)})
    who = browser.here.person("new@example.com")
    assert who is not None
    assert (answer.status, answer.headers["location"]) == (303, f"/subscribers/{who.id}")
    assert (who.state, who.first_name) == ("active", "New")
    assert "met at the fair" in browser.get(f"/subscribers/{who.id}").text
    again = browser.post("/subscribers/add", given)
    assert (again.status, "in the list already" in again.text) == (422, True)
    browser.post("/subscribers/add", {**given, "email": "wait@example.com", "form[]": str(double.id)})
    waiting = browser.here.person("wait@example.com")
    assert waiting is not None
    assert waiting.state == "inactive"
    assert browser.here.rows("SELECT COUNT(*) FROM deliveries") == [(1,)]
    assert browser.post("/subscribers/add", {**given, "email": "nobody"}).status == 422


def test_many_are_tagged_after_their_count_is_shown(browser: Pages) -> None:
    ids = [browser.person(f"p{n}@example.com") for n in range(5)]
    [vip] = browser.act(tags.create, ["vip"])
    page = browser.get("/subscribers/change?only=all&state=active")
    assert "5 active people" in said(page)
    answer = browser.post(
        "/subscribers/change", {"state": "active", "act": "tag", "tag": str(vip.id), "expected": "5"}
    )
    assert answer.status == 303
    place = answer.headers["location"]
    assert "every 1s" in browser.get(place, **{"hx-request": "true"}).text
    browser.work()
    part = browser.get(place, **{"hx-request": "true"}).text
    assert "every 1s" not in part
    assert "5 people looked at" in part
    assert all(browser.know(tags.of_subscriber, one) for one in ids)
    assert "Add the tag vip to active people" in browser.get("/subscribers/changes").text


def test_only_those_who_are_ticked_are_changed(browser: Pages) -> None:
    ids = [browser.person(f"p{n}@example.com") for n in range(4)]
    query = urlencode([("only", "ticked"), ("id[]", ids[0]), ("id[]", ids[2]), ("id[]", "x")])
    page = browser.get(f"/subscribers/change?{query}")
    assert "2 ticked people" in said(page)
    assert page.text.count('name="id[]"') == 2
    body = urlencode(
        [
            ("seal", browser.seal),
            ("id[]", ids[0]),
            ("id[]", ids[2]),
            ("act", "tag"),
            ("name", "fresh"),
            ("expected", "2"),
        ]
    )
    form = {**browser.cookie, **OURS, "content-type": "application/x-www-form-urlencoded"}
    assert ask(browser.door, "POST", "/subscribers/change", body.encode(), form).status == 303
    browser.work()
    assert [len(browser.know(tags.of_subscriber, one)) for one in ids] == [1, 0, 1, 0]
    nobody = browser.get("/subscribers/change?only=ticked&state=active")
    assert (nobody.status, nobody.headers["location"]) == (303, "/subscribers?state=active")


def test_unsubscribing_many_must_be_confirmed_and_can_be_stopped(browser: Pages) -> None:
    ids = [browser.person(f"p{n}@example.com") for n in range(3)]
    given = {"act": "unsubscribe", "expected": "3"}
    answer = browser.post("/subscribers/change", given)
    assert answer.status == 422
    assert 'id="sure-wrong"' in answer.text
    place = browser.post("/subscribers/change", {**given, "sure": "1"}).headers["location"]
    assert browser.post(f"{place}/cancel").status == 303
    browser.work()
    assert {browser.know(subscribers.get, one).state for one in ids} == {"active"}
    assert "Stopped after 0 people" in said(browser.get(place))
    place = browser.post("/subscribers/change", {**given, "sure": "1"}).headers["location"]
    browser.work()
    assert {browser.know(subscribers.get, one).state for one in ids} == {"cancelled"}


@pytest.mark.parametrize(
    "given",
    (
        {},
        {"act": "explode"},
        {"act": "tag"},
        {"act": "tag", "tag": "x"},
        {"act": "tag", "tag": "999999"},
        {"act": "untag", "name": "fresh"},
        {"act": "tag", "name": "x" * 300},
        {"act": "tag", "name": "fresh", "in": "tag-999"},
        {"act": "tag", "name": "fresh", "q": "b"},
    ),
)
def test_a_change_that_cannot_be_meant_is_refused(browser: Pages, given: dict[str, str]) -> None:
    browser.person("bea@example.com")
    assert browser.post("/subscribers/change", given).status == 422
    assert browser.know(bulk.newest) == []


def test_what_people_filled_in_is_never_run(browser: Pages) -> None:
    who = browser.person("bea@example.com", SCRIPT)
    browser.act(custom_fields.create, [SCRIPT])
    [tag] = browser.act(tags.create, [SCRIPT])
    browser.act(tags.put_on, tag.id, who, Origin("api", source=SCRIPT))
    for path in (
        "/subscribers", f"/subscribers?q={SCRIPT}", f"/subscribers?in=tag-{tag.id}", f"/subscribers/{who}",
        f"/subscribers/{who}/mails", f"/subscribers/{who}/edit", f"/subscribers/{who}/erase",
        f"/subscribers/add?email={SCRIPT}", f"/subscribers/change?only=all&in=tag-{tag.id}",
    ):  # fmt: skip
        answer = browser.get(path)
        assert answer.status == 200, path
        assert SCRIPT not in answer.text, path


def test_another_account_sees_and_changes_nobody(browser: Pages, tmp_path: Path) -> None:
    who = browser.person("bea@example.com")
    other = browser.here.account("Eve", "eve@example.com")
    token = browser.here.db.write_now(other, sessions.link)
    answer = ask(browser.door, "POST", f"/sign-in/{token}", headers=OURS)
    browser.cookie = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
    browser.seal = re.search(r'name="seal" content="([0-9a-f]{64})"', browser.get("/subscribers").text)[1]  # type: ignore[index]
    before = {name: rows for name, rows in browser.here.dump().items() if name != "audit"}
    assert "bea" not in browser.get("/subscribers?q=bea").text.replace('value="bea"', "").replace("“bea”", "")
    for path in ("", "/mails", "/edit", "/erase"):
        assert browser.get(f"/subscribers/{who}{path}").status == 404
    for path, given in (
        ("edit", {"email": "x@example.com"}), ("tags", {"tag": "1"}), ("tags/remove", {"tag": "1"}),
        ("unsubscribe", {}), ("erase", {"email": "bea@example.com"}),
    ):  # fmt: skip
        assert browser.post(f"/subscribers/{who}/{path}", given).status == 404, path
    assert {name: rows for name, rows in browser.here.dump().items() if name != "audit"} == before


def test_a_page_asks_as_many_questions_for_one_person_as_for_fifty(
    browser: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    session = browser.here.db._reading_session()
    fetch = session.fetch
    monkeypatch.setattr(session, "fetch", lambda sql, params: asked.append(sql) or fetch(sql, params))

    def questions(path: str) -> int:
        browser.get(path)
        asked.clear()
        assert browser.get(path).status == 200
        return len(asked)

    [vip] = browser.act(tags.create, ["vip"])
    browser.act(tags.put_on, vip.id, browser.person("first@example.com"), Origin("api"))
    few = questions("/subscribers")
    for n in range(finding.PAGE - 1):
        browser.act(tags.put_on, vip.id, browser.person(f"p{n}@example.com"), Origin("api"))
    assert questions("/subscribers") == few
    assert few <= 12
