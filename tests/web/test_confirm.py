"""The confirmation link: a look changes nothing, its button does, and no other token works."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.doors import Rooms, ask, rooms
from tidings.core import confirmations, events, subscriptions
from tidings.core.events import Origin
from tidings.tokens import Claim, sign
from tidings.web.public.door import Door


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def door(here: Rooms) -> Door:
    return Door(here.house)


def link(here: Rooms, subscription_id: int) -> str:
    return here.house.links.confirm(here.account_id, subscription_id, here.now).removeprefix(
        "http://tidings.test"
    )


def test_a_look_at_the_link_changes_nothing_and_its_button_confirms_once(here: Rooms, door: Door) -> None:
    joined = here.sign_up(here.form(), "bea@example.com")
    path = link(here, joined)
    before = here.dump()
    assert ask(door, "HEAD", path).status == 200
    shown = ask(door, "GET", path)
    assert shown.status == 200
    assert '<meta name="robots" content="noindex">' in shown.text
    assert "Confirm my subscription" in shown.text
    assert here.dump() == before
    first = ask(door, "POST", path)
    after = here.dump()
    assert ask(door, "POST", path) == first
    assert here.dump() == after
    assert first.status == 200
    who = here.person("bea@example.com")
    assert who is not None
    assert who.state == "active"
    named = [one.name for one in here.db.read_now(here.account_id, events.of_subscriber, who.id)]
    assert named == ["form_subscribe", "subscriber_activate"]


def test_an_expired_link_is_gone_and_says_how_to_go_on(here: Rooms, door: Door) -> None:
    path = link(here, here.sign_up(here.form(), "bea@example.com"))
    here.now += confirmations.LINK_MS + 1
    for method in ("GET", "POST"):
        answer = ask(door, method, path)
        assert answer.status == 410
        assert "older than 7 days" in answer.text
    who = here.person("bea@example.com")
    assert who is not None
    assert who.state == "inactive"


def test_somebody_who_left_is_told_how_to_come_back(here: Rooms, door: Door) -> None:
    joined = here.sign_up(here.form(), "bea@example.com")
    who = here.person("bea@example.com")
    assert who is not None
    here.db.write_now(here.account_id, subscriptions.unsubscribe, who, Origin(door="api"))
    before = here.dump()
    answer = ask(door, "POST", link(here, joined))
    assert answer.status == 200
    assert "unsubscribed" in answer.text
    assert "subscribe again" in answer.text
    assert here.dump()["subscribers"] == before["subscribers"]


def test_a_token_with_any_bit_flipped_is_refused(here: Rooms, door: Door) -> None:
    joined = here.sign_up(here.form(), "bea@example.com")
    token = link(here, joined).rpartition("/")[2]
    before = here.dump()
    for at, sign_ in enumerate(token):
        flipped = "A" if sign_ != "A" else "B"
        path = f"/confirm/{token[:at]}{flipped}{token[at + 1 :]}"
        answer = ask(door, "POST", path)
        assert answer.status == 404, at
        assert "Ada" not in answer.text
    assert here.dump() == before


def test_tokens_for_something_else_are_refused(here: Rooms, door: Door) -> None:
    joined = here.sign_up(here.form(), "bea@example.com")
    other = here.account("Eve's", "eve@example.com")
    claims = (Claim(other, joined, here.now), Claim(here.account_id, 999, here.now), Claim(0, 0, here.now))
    key = here.house.links.key
    tokens = [sign(key, "unsubscribe", Claim(here.account_id, joined, here.now)), "", "x", "%00", "é" * 55]
    tokens += [sign(key, "confirm", claim) for claim in claims]
    before = here.dump()
    for token in tokens:
        for method in ("GET", "POST"):
            answer = ask(door, method, f"/confirm/{token}")
            assert answer.status == 404
            assert "Ada" not in answer.text
            assert "Eve" not in answer.text
    assert here.dump() == before
