"""A person's own page: their name, what is public, and the way out; without a script."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.asgi import Answer
from tests.web.doors import Rooms, ask, rooms
from tidings.core import preferences, sequences, signup, subscriptions, tags
from tidings.core.events import Origin
from tidings.core.preferences import Choice
from tidings.core.signup import Also
from tidings.core.subscribers import Subscriber
from tidings.core.subscribers import person as person_of
from tidings.store.tx import Rx
from tidings.web.public.door import Door

HOSTILE = "\"><script>alert(1)</script>&'"


class Chosen(Rooms):
    """A house where Bea is in one sequence and one tag of two each that are public, and in a secret tag."""

    def fill(self) -> None:
        form = self.form(confirmation="none")
        self.join("form", form.id)
        self.weekly: int = self.write(sequences.create, "Weekly")
        self.course: int = self.write(sequences.create, HOSTILE)
        self.garden, self.bread, self.secret = (
            one.id for one in self.write(tags.create, ["Garden", "Bread", "Secret"])
        )
        for kind, ref_id in (("sequence", self.weekly), ("tag", self.garden), ("tag", self.secret)):
            self.join(kind, ref_id)
        self.token = self.house.links.leave_token(self.account_id, self.who().id, 1)

    def public(self, _: Rx) -> list[Choice]:
        return [
            Choice("sequence", self.weekly, "Weekly"),
            Choice("sequence", self.course, HOSTILE),
            Choice("tag", self.garden, "Garden"),
            Choice("tag", self.bread, "Bread"),
        ]

    def join(self, kind: str, ref_id: int) -> None:
        self.write(
            signup.sign_up, kind, ref_id, person_of("bea@example.com", "Bea"), Also(), Origin(door="api")
        )

    def write(self, verb: Any, *args: Any, **options: Any) -> Any:
        return self.db.write_now(self.account_id, verb, *args, **options)

    def who(self) -> Subscriber:
        found = self.person("bea@example.com")
        assert found is not None
        return found

    def joined(self) -> set[tuple[str, int]]:
        every = [("sequence", self.weekly), ("sequence", self.course)]
        every += [("tag", one) for one in (self.garden, self.bread, self.secret)]
        found = {
            one: self.db.read_now(self.account_id, subscriptions.find, self.who().id, *one) for one in every
        }
        return {one for one, joined in found.items() if joined is not None and joined.ended_at is None}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chosen]:
    made = Chosen(tmp_path)
    made.fill()
    monkeypatch.setattr(preferences, "public", made.public)
    yield made
    made.db.close()


@pytest.fixture
def door(here: Chosen) -> Door:
    return Door(here.house)


def save(door: Door, here: Chosen, *chosen: tuple[str, int], first_name: str = "Bea") -> Answer:
    pairs = [f"{kind}s%5B%5D={one}" for kind, one in chosen]
    body = "&".join(["save=1", f"first_name={first_name}", *pairs]).encode()
    return ask(door, "POST", f"/p/{here.token}", body, {"content-type": "application/x-www-form-urlencoded"})


def checked(answer: Answer) -> dict[tuple[str, int], bool]:
    found = re.findall(r'name="(\w+)s\[\]" value="(\d+)"( checked)?', answer.text)
    return {(kind, int(one)): bool(is_checked) for kind, one, is_checked in found}


def test_a_look_shows_what_is_public_and_changes_nothing(here: Chosen, door: Door) -> None:
    before = here.dump()
    assert ask(door, "HEAD", f"/p/{here.token}").status == 200
    shown = ask(door, "GET", f"/p/{here.token}")
    assert shown.status == 200
    assert checked(shown) == {
        ("sequence", here.weekly): True,
        ("sequence", here.course): False,
        ("tag", here.garden): True,
        ("tag", here.bread): False,
    }
    assert 'value="Bea"' in shown.text
    assert "Secret" not in shown.text
    assert "bea@example.com" not in shown.text
    assert "<script" not in shown.text
    assert "http:" not in shown.text
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert shown.headers["cache-control"] == "no-store"
    assert "set-cookie" not in shown.headers
    assert here.dump() == before


def test_what_is_chosen_is_joined_and_the_rest_left_but_for_what_is_not_public(
    here: Chosen, door: Door
) -> None:
    wanted = {("sequence", here.course), ("tag", here.bread)}
    answer = save(door, here, *wanted, first_name="Beatrice")
    assert answer.status == 200
    assert "Saved." in answer.text
    assert {one for one, is_checked in checked(answer).items() if is_checked} == wanted
    assert here.joined() == wanted | {("tag", here.secret)}
    assert here.who().first_name == "Beatrice"
    assert here.who().state == "active"
    after = here.dump()
    assert save(door, here, *wanted, first_name="Beatrice") == answer
    assert here.dump() == after


def test_nobody_can_join_or_leave_what_is_not_public(here: Chosen, door: Door) -> None:
    (hidden,) = (one.id for one in here.write(tags.create, ["Hidden"]))
    kept = {("sequence", here.weekly), ("tag", here.garden)}
    save(door, here, *kept, ("tag", hidden), ("tag", 999), ("sequence", here.secret + 900))
    assert here.joined() == kept | {("tag", here.secret)}
    assert here.rows("SELECT COUNT(*) FROM subscriptions WHERE tag_id = :id", id=hidden) == [(0,)]


@pytest.mark.parametrize(
    "body", (b"", b"first_name=X", b"save=0", b"{", b"save[]=1", b"save=1&first_name[]=x", b"\xff")
)
def test_a_post_that_is_not_the_form_changes_nothing(here: Chosen, door: Door, body: bytes) -> None:
    before = here.dump()
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        assert ask(door, "POST", f"/p/{here.token}", body, {"content-type": kind}).status == 422
    assert here.dump() == before


def test_a_name_that_is_too_long_is_said_and_nothing_is_saved(here: Chosen, door: Door) -> None:
    before = here.dump()
    answer = save(door, here, first_name="x" * 300)
    assert answer.status == 422
    assert "too long" in answer.text
    assert here.dump() == before


def test_a_hostile_name_is_shown_as_text(here: Chosen, door: Door) -> None:
    answer = save(door, here, first_name="%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script" not in answer.text
    assert here.who().first_name == '"><script>alert(1)</script>'


def test_leave_all_is_a_form_of_the_page_and_leads_to_the_way_back(here: Chosen, door: Door) -> None:
    shown = ask(door, "GET", f"/p/{here.token}")
    assert f'action="/u/{here.token}"' in shown.text
    assert ask(door, "POST", f"/u/{here.token}", {"leave": "all"}).status == 200
    assert here.who().state == "cancelled"
    after = here.dump()
    later = ask(door, "GET", f"/p/{here.token}")
    assert "You are unsubscribed" in later.text
    assert "I pressed this by mistake" in later.text
    assert "You are unsubscribed" in save(door, here, ("tag", here.bread)).text
    assert here.dump() == after


def test_tokens_for_something_else_are_refused(here: Chosen, door: Door) -> None:
    token = here.token
    track = here.house.links.track_token(here.account_id, 1, here.who().id)
    before = here.dump()
    for one in (track, token[:-1] + ("A" if token[-1] != "A" else "B"), "x", "é"):
        here.token = one
        for answer in (ask(door, "GET", f"/p/{one}"), save(door, here)):
            assert answer.status == 404
            assert "Ada" not in answer.text
    assert here.dump() == before


def test_a_person_who_is_erased_has_no_preferences(here: Chosen, door: Door) -> None:
    here.token = here.house.links.leave_token(here.account_id, 999, 1)
    before = here.dump()
    for answer in (ask(door, "GET", f"/p/{here.token}"), save(door, here)):
        assert answer.status == 200
        assert "not kept here any more" in answer.text
    assert here.dump() == before


def test_other_methods_are_refused(here: Chosen, door: Door) -> None:
    before = here.dump()
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert ask(door, method, f"/p/{here.token}").status == 405
    assert here.dump() == before


def test_an_owner_marks_what_is_public(tmp_path: Path) -> None:
    with rooms(tmp_path) as plain:
        own = plain.account_id
        weekly = plain.db.write_now(own, sequences.create, "Weekly")
        garden, _ = plain.db.write_now(own, tags.create, ["Garden", "Bread"])
        assert plain.db.read_now(own, preferences.public) == []
        plain.db.write_now(own, sequences.set_public, weekly, public=True)
        plain.db.write_now(own, tags.set_public, garden.id, public=True)
        expected = [Choice("sequence", weekly, "Weekly"), Choice("tag", garden.id, "Garden")]
        assert plain.db.read_now(own, preferences.public) == expected
        plain.db.write_now(own, tags.set_public, garden.id, public=False)
        assert plain.db.read_now(own, preferences.public) == expected[:1]


def test_never_again_outlives_a_sign_up_by_somebody_else_and_can_be_taken_back(
    here: Chosen, door: Door
) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    page = ask(door, "POST", f"/p/{here.token}", b"never=1", form)
    assert (page.status, "You are unsubscribed" in page.text) == (200, True)
    assert ask(door, "POST", f"/p/{here.token}", b"never=1", form).status == 200
    here.join("sequence", here.weekly)
    assert here.who().state == "cancelled"
    here.write(preferences.undo, here.who().id, 1, Origin(door="link"))
    assert here.who().state == "active"
    here.write(signup.unsubscribe, "bea@example.com", Origin(door="api"))
    here.join("sequence", here.weekly)
    assert here.who().state == "active"
