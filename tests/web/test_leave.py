"""Unsubscribing: at once by the mail program's button, by a page's button, and back by mistake."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.asgi import Answer
from tests.web.doors import KEY, Rooms, ask
from tidings.core import broadcasts, deliveries, events, forms, sequences, signup, subscriptions
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.core.subscribers import Subscriber
from tidings.core.subscribers import person as person_of
from tidings.tokens import LEAVE, TRACK, Claim, sign, sign_pair
from tidings.web.public.door import Door

DAY = 24 * 3_600_000
ONE_CLICK = b"List-Unsubscribe=One-Click"
# As RFC 8058, section 5, prints it.
MULTIPART = (
    b"-----------------------------9051914041544843365972754266\r\n"
    b'Content-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n'
    b"-----------------------------9051914041544843365972754266--\r\n"
)
KINDS = {
    "urlencoded": ("application/x-www-form-urlencoded", ONE_CLICK),
    "multipart": (
        "multipart/form-data; boundary=---------------------------9051914041544843365972754266",
        MULTIPART,
    ),
}


class Mailed(Rooms):
    """A house where Bea is in a form and a sequence, and had a broadcast."""

    def mail(self) -> None:
        self.letters: forms.Form = self.form(confirmation="none")
        self.sequence: int = self.write(sequences.create, "Onboarding")
        self.join("form", self.letters.id)
        self.join("sequence", self.sequence)
        self.bea = self.who().id
        draft = broadcasts.Draft(subject="News")
        self.broadcast = self.write(broadcasts.create, draft, "ada@example.com").id
        self.write(deliveries.queue, f"broadcast:{self.broadcast}", self.bea, lane="bulk")
        self.delivery = int(self.rows("SELECT id FROM deliveries WHERE lane = 'bulk'")[0][0])
        self.token = self.house.links.leave_token(self.account_id, self.bea, self.delivery)
        self.now += DAY

    def join(self, kind: str, ref_id: int) -> None:
        self.write(
            signup.sign_up, kind, ref_id, person_of("bea@example.com", "Bea"), Also(), Origin(door="api")
        )

    def who(self) -> Subscriber:
        found = self.person("bea@example.com")
        assert found is not None
        return found

    def write(self, verb: Any, *args: Any, **options: Any) -> Any:
        return self.db.write_now(self.account_id, verb, *args, **options)

    def joined(self, kind: str, ref_id: int) -> bool:
        found = self.db.read_now(self.account_id, subscriptions.find, self.bea, kind, ref_id)
        return found is not None and found.ended_at is None

    def named(self) -> list[str]:
        return [one.name for one in self.db.read_now(self.account_id, events.of_subscriber, self.bea)]

    def unsubscribes(self) -> int:
        return int(self.rows("SELECT unsubscribes FROM broadcasts")[0][0])


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Mailed]:
    made = Mailed(tmp_path)
    made.mail()
    yield made
    made.db.close()


@pytest.fixture
def door(here: Mailed) -> Door:
    return Door(here.house)


def post(door: Door, here: Mailed, body: bytes, kind: str = KINDS["urlencoded"][0]) -> Answer:
    return ask(door, "POST", f"/u/{here.token}", body, {"content-type": kind})


def press(door: Door, here: Mailed, **pairs: str) -> Answer:
    return ask(door, "POST", f"/u/{here.token}", pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_one_click_unsubscribes_at_once_and_twice_changes_nothing(
    here: Mailed, door: Door, kind: str
) -> None:
    content_type, body = KINDS[kind]
    answer = post(door, here, body, content_type)
    assert answer.status == 200
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert "You are unsubscribed" in answer.text
    assert here.who().state == "cancelled"
    assert not here.joined("form", here.letters.id)
    assert not here.joined("sequence", here.sequence)
    assert here.unsubscribes() == 1
    assert here.named().count("subscriber_unsubscribe") == 1
    after = here.dump()
    assert post(door, here, body, content_type) == answer
    assert here.dump() == after


def test_one_click_needs_no_cookie_and_no_origin(here: Mailed, door: Door) -> None:
    headers = {"content-type": KINDS["urlencoded"][0], "origin": "https://evil.example", "cookie": "x=y"}
    assert ask(door, "POST", f"/u/{here.token}", ONE_CLICK, headers).status == 200
    assert here.who().state == "cancelled"


def test_the_proof_of_an_unsubscribe_says_who_and_how(here: Mailed, door: Door) -> None:
    post(door, here, ONE_CLICK)
    event = here.db.read_now(here.account_id, events.of_subscriber, here.bea)[-1]
    assert event.name == "subscriber_unsubscribe"
    assert '"door":"link"' in event.cause
    assert '"address":"192.0.2.7"' in event.cause
    assert "one-click" in event.cause


def test_a_look_asks_and_changes_nothing(here: Mailed, door: Door) -> None:
    before = here.dump()
    assert ask(door, "HEAD", f"/u/{here.token}").status == 200
    shown = ask(door, "GET", f"/u/{here.token}")
    assert shown.status == 200
    assert "Unsubscribe me" in shown.text
    assert "b…@example.com" in shown.text
    assert "bea@example.com" not in shown.text
    assert "Ada&#39;s letters" in shown.text
    assert "<script" not in shown.text
    assert "http:" not in shown.text
    assert "https:" not in shown.text
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert shown.headers["cache-control"] == "no-store"
    assert here.dump() == before


def test_the_button_unsubscribes_and_a_later_look_says_so(here: Mailed, door: Door) -> None:
    answer = press(door, here, leave="all")
    assert answer.status == 200
    assert here.who().state == "cancelled"
    assert "I pressed this by mistake" in answer.text
    after = here.dump()
    shown = ask(door, "GET", f"/u/{here.token}")
    assert "You are unsubscribed" in shown.text
    assert "Unsubscribe me" not in shown.text
    assert here.dump() == after


def test_who_pressed_by_mistake_gets_everything_back(here: Mailed, door: Door) -> None:
    press(door, here, leave="all")
    here.now += 60_000
    answer = press(door, here, undo="mistake")
    assert answer.status == 200
    assert "You are subscribed again" in answer.text
    assert here.who().state == "active"
    assert here.joined("form", here.letters.id)
    assert here.joined("sequence", here.sequence)
    assert here.unsubscribes() == 0
    after = here.dump()
    assert press(door, here, undo="mistake") == answer
    assert here.dump() == after
    assert press(door, here, leave="all").status == 200
    assert (here.who().state, here.unsubscribes()) == ("cancelled", 1)


def test_what_had_ended_before_stays_ended_after_a_mistake(here: Mailed, door: Door) -> None:
    here.write(subscriptions.leave, here.who(), "sequence", here.sequence, Origin(door="api"))
    here.now += 60_000
    press(door, here, leave="all")
    press(door, here, undo="mistake")
    assert here.joined("form", here.letters.id)
    assert not here.joined("sequence", here.sequence)


def test_somebody_unconfirmed_is_unconfirmed_again_after_a_mistake(here: Mailed, door: Door) -> None:
    here.write(subscriptions.turn, here.who(), "inactive")
    press(door, here, leave="all")
    assert here.who().state == "cancelled"
    assert "All is as it was" in press(door, here, undo="mistake").text
    assert here.who().state == "inactive"


@pytest.mark.parametrize("after_ms", (DAY, DAY + 1))
def test_a_mistake_can_be_taken_back_for_a_day(here: Mailed, door: Door, after_ms: int) -> None:
    press(door, here, leave="all")
    here.now += after_ms
    late = after_ms > DAY
    assert ("by mistake" in ask(door, "GET", f"/u/{here.token}").text) is not late
    assert press(door, here, undo="mistake").status == (409 if late else 200)
    assert here.who().state == ("cancelled" if late else "active")


def test_only_an_unsubscribe_by_this_page_of_this_mail_can_be_taken_back(here: Mailed, door: Door) -> None:
    assert press(door, here, undo="mistake").status == 200
    post(door, here, ONE_CLICK)
    assert "by mistake" not in ask(door, "GET", f"/u/{here.token}").text
    assert press(door, here, undo="mistake").status == 409
    here.join("form", here.letters.id)
    press(door, here, leave="all")
    own, here.token = here.token, here.house.links.leave_token(here.account_id, here.bea, here.delivery + 1)
    assert "by mistake" not in ask(door, "GET", f"/u/{here.token}").text
    assert press(door, here, undo="mistake").status == 409
    here.token = own
    here.join("form", here.letters.id)
    here.now += 60_000
    here.write(subscriptions.unsubscribe, here.who(), Origin(door="api"))
    assert press(door, here, undo="mistake").status == 409
    assert here.who().state == "cancelled"


@pytest.mark.parametrize("state", ("bounced", "complained"))
def test_a_bounced_or_complained_address_stays_so(here: Mailed, door: Door, state: str) -> None:
    here.write(subscriptions.turn, here.who(), state)
    assert post(door, here, ONE_CLICK).status == 200
    assert (here.who().state, here.unsubscribes()) == (state, 0)
    assert here.rows("SELECT id FROM subscriptions WHERE ended_at IS NULL") == []
    before = here.dump()
    assert post(door, here, b"leave=all").status == 200
    assert post(door, here, b"undo=mistake").status == 409
    assert here.dump() == before


def test_the_link_works_when_its_delivery_is_folded_away(here: Mailed, door: Door) -> None:
    here.write(lambda tx: tx.run("DELETE FROM deliveries"))
    here.now += 3_000 * DAY
    assert post(door, here, ONE_CLICK).status == 200
    assert here.who().state == "cancelled"
    assert here.unsubscribes() == 0


def test_an_unsubscribe_by_another_s_delivery_is_not_counted_for_it(here: Mailed, door: Door) -> None:
    here.sign_up(here.letters, "cal@example.com")
    cal = here.person("cal@example.com")
    assert cal is not None
    here.token = here.house.links.leave_token(here.account_id, cal.id, here.delivery)
    assert post(door, here, ONE_CLICK).status == 200
    assert here.unsubscribes() == 0
    assert here.who().state == "active"


def test_a_person_who_is_erased_is_told_that_nothing_is_sent(here: Mailed, door: Door) -> None:
    here.token = here.house.links.leave_token(here.account_id, 999, here.delivery)
    before = here.dump()
    for answer in (ask(door, "GET", f"/u/{here.token}"), post(door, here, ONE_CLICK)):
        assert answer.status == 200
        assert "You are unsubscribed" in answer.text
    assert here.dump() == before


@pytest.mark.parametrize(
    "body", (b"", b"x=1", b"List-Unsubscribe=Two", b"leave=some", b"{", b"[1]", b"\xff\xfe", b"leave[]=all")
)
def test_any_other_post_asks_and_changes_nothing(here: Mailed, door: Door, body: bytes) -> None:
    before = here.dump()
    for kind in (KINDS["urlencoded"][0], "multipart/form-data", "application/json", "text/plain"):
        answer = post(door, here, body, kind)
        assert answer.status == 400
        assert "Unsubscribe me" in answer.text
    assert here.dump() == before


def test_tokens_for_something_else_are_refused(here: Mailed, door: Door) -> None:
    other = here.account("Eve's", "eve@example.com")
    token = here.token
    tokens = [
        here.house.links.track_token(here.account_id, here.delivery, here.bea),
        sign_pair(KEY, TRACK, here.account_id, here.bea, here.delivery),
        sign(KEY, LEAVE, Claim(here.account_id, here.bea, here.delivery)),
        sign(KEY, "confirm", Claim(here.account_id, here.bea, here.now)),
        sign_pair(b"another key of at least 32 octets", LEAVE, here.account_id, here.bea, here.delivery),
        *(token[:at] + ("A" if one != "A" else "B") + token[at + 1 :] for at, one in enumerate(token)),
        "x", "%00", "é" * 55, "A" * 9_000,
    ]  # fmt: skip
    before = here.dump()
    for one in tokens:
        here.token = one
        for answer in (ask(door, "GET", f"/u/{one}"), post(door, here, ONE_CLICK)):
            assert answer.status == 404
            assert "Ada" not in answer.text
    here.token = here.house.links.leave_token(other, here.bea, here.delivery)
    assert post(door, here, ONE_CLICK).status == 200
    assert here.dump() == before


def test_other_methods_are_refused(here: Mailed, door: Door) -> None:
    before = here.dump()
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = ask(door, method, f"/u/{here.token}", ONE_CLICK)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert here.dump() == before
