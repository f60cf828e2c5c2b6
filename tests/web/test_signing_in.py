"""The way in: passwords, the second factor, links by mail, and what guessing costs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from tests.web.asgi import Answer
from tests.web.doors import Rooms, ask, rooms
from tests.web.owners import OURS, Browser
from tidings.core import users
from tidings.core.users import sessions
from tidings.web.dashboard import signing_in
from tidings.web.dashboard.door import Door

PASSWORD = "correct horse battery"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def ada(here: Rooms) -> Browser:
    """The owner, with a password."""
    browser = Browser(here)
    answer = browser.post("/settings/you/password", {"password": PASSWORD, "again": PASSWORD})
    assert answer.status == 303, answer.text
    return browser


def enter(here: Rooms, path: str, values: dict[str, str], client: str = "192.0.2.7") -> Answer:
    return ask(Door(here.house), "POST", path, values, OURS, client)


def with_factor(ada: Browser) -> tuple[str, list[str]]:
    """Switch the second factor on; return its secret and the recovery codes."""
    offered = ada.post("/settings/you/factor", {"current_for_factor": PASSWORD}).text
    assert 'src="data:image/svg+xml' in offered
    found = re.search(r"<code>([A-Z2-7]{32})</code>", offered)
    assert found
    code = pyotp.TOTP(found[1]).at(ada.here.now // 1_000)
    done = ada.post("/settings/you/factor/confirm", {"code": code})
    listed = re.search(r'id="codes".*?<code>(.*?)</code>', done.text, re.DOTALL)
    assert listed, done.text
    return found[1], listed[1].split()


def test_a_password_signs_in_and_goes_on_to_the_page_that_was_asked_for(here: Rooms, ada: Browser) -> None:
    values = {"email": "ADA@example.com", "password": PASSWORD, "next": "/outbox"}
    answer = enter(here, "/sign-in", values)
    assert (answer.status, answer.headers["location"]) == (303, "/outbox")
    assert answer.headers["set-cookie"].startswith("tidings=")


@pytest.mark.parametrize(
    "place", ("//evil.example", "https://evil.example", "/\\evil", "javascript:alert(1)", "x")
)
def test_nobody_is_sent_elsewhere_after_signing_in(here: Rooms, ada: Browser, place: str) -> None:
    values = {"email": "ada@example.com", "password": PASSWORD, "next": place}
    assert enter(here, "/sign-in", values).headers["location"] == "/"


def test_a_wrong_password_an_unknown_user_and_one_without_a_password_get_one_answer(
    here: Rooms, ada: Browser
) -> None:
    here.db.write_now(here.account_id, users.admit, "fay@example.com", "viewer")
    texts = set()
    for email in ("ada@example.com", "nobody@example.com", "fay@example.com"):
        answer = enter(here, "/sign-in", {"email": email, "password": "wrong horse battery"})
        assert answer.status == 422
        assert "set-cookie" not in answer.headers
        texts.add(answer.text.replace(email, "…"))
    assert len(texts) == 1


def test_guessing_is_stopped_by_address_and_by_network(here: Rooms, ada: Browser) -> None:
    wrong = {"email": "ada@example.com", "password": "wrong"}
    for n in range(signing_in.TRIES_OF_ADDRESS):
        assert enter(here, "/sign-in", wrong, f"198.51.100.{n}").status == 422
    right = {"email": "ada@example.com", "password": PASSWORD}
    assert enter(here, "/sign-in", right, "198.51.100.200").status == 429
    for n in range(signing_in.TRIES_OF_NETWORK):
        given = {"email": f"n{n}@example.com", "password": "wrong"}
        assert enter(here, "/sign-in", given, "203.0.113.9").status == 422
    given = {"email": "other@example.com", "password": "wrong"}
    assert enter(here, "/sign-in", given, "203.0.113.9").status == 429
    assert enter(here, "/sign-in", given, "203.0.113.10").status == 422


def test_the_second_factor_is_asked_for_and_a_code_works_once(here: Rooms, ada: Browser) -> None:
    secret, _ = with_factor(ada)
    here.now += 60_000
    asked = enter(here, "/sign-in", {"email": "ada@example.com", "password": PASSWORD})
    assert asked.status == 200
    assert "set-cookie" not in asked.headers
    pending = re.search(r'name="pending" value="([^"]+)"', asked.text)
    assert pending
    code = pyotp.TOTP(secret).at(here.now // 1_000)
    wrong = {"pending": pending[1], "code": "000000" if code != "000000" else "111111"}
    assert enter(here, "/sign-in/code", wrong).status == 422
    right = {"pending": pending[1], "code": f"{code[:3]} {code[3:]}"}
    entered = enter(here, "/sign-in/code", right)
    assert (entered.status, entered.headers["location"]) == (303, "/")
    assert enter(here, "/sign-in/code", right).status == 422


def test_the_second_step_ends_and_cannot_be_made_up(here: Rooms, ada: Browser) -> None:
    secret, _ = with_factor(ada)
    asked = enter(here, "/sign-in", {"email": "ada@example.com", "password": PASSWORD})
    pending = re.search(r'name="pending" value="([^"]+)"', asked.text)
    assert pending
    here.now += signing_in.SECOND_STEP_MS + 1
    code = pyotp.TOTP(secret).at(here.now // 1_000)
    for made_up in (pending[1], pending[1][:-1], "", "x" * 55):
        answer = enter(here, "/sign-in/code", {"pending": made_up, "code": code})
        assert answer.status == 422
        assert "set-cookie" not in answer.headers


def test_a_recovery_code_signs_in_once(here: Rooms, ada: Browser) -> None:
    _, codes = with_factor(ada)
    asked = enter(here, "/sign-in", {"email": "ada@example.com", "password": PASSWORD})
    pending = re.search(r'name="pending" value="([^"]+)"', asked.text)
    assert pending
    given = {"pending": pending[1], "code": codes[0]}
    assert [enter(here, "/sign-in/code", given).status for _ in range(2)] == [303, 422]


def test_a_mailed_link_stops_at_the_second_factor_and_a_printed_one_does_not(
    here: Rooms, ada: Browser
) -> None:
    with_factor(ada)
    mailed = here.db.write_now(here.account_id, sessions.link, ada.user_id, "mail")
    answer = enter(here, f"/sign-in/{mailed}", {})
    assert answer.status == 200
    assert 'name="pending"' in answer.text
    printed = here.db.write_now(here.account_id, sessions.link, ada.user_id)
    assert enter(here, f"/sign-in/{printed}", {}).status == 303


def test_a_link_is_mailed_to_users_and_everybody_hears_the_same(here: Rooms, ada: Browser) -> None:
    here.house.sends_nothing = False
    known = enter(here, "/sign-in/link", {"email": "ada@example.com"})
    unknown = enter(here, "/sign-in/link", {"email": "nobody@example.com"})
    assert (known.status, known.body) == (unknown.status, unknown.body)
    notes = here.rows("SELECT recipient, text FROM owner_notes")
    assert [one[0] for one in notes] == ["ada@example.com"]
    link = re.search(r"http://tidings\.test(/sign-in/[\w-]+)", notes[0][1])
    assert link
    assert enter(here, link[1], {}).status == 303


def test_without_a_provider_no_link_is_mailed(here: Rooms, ada: Browser) -> None:
    assert enter(here, "/sign-in/link", {"email": "ada@example.com"}).status == 422
    assert here.rows("SELECT * FROM owner_notes") == []


def test_a_new_password_ends_the_other_sessions_and_needs_the_old_one(here: Rooms, ada: Browser) -> None:
    other = here.db.write_now(here.account_id, sessions.begin, ada.user_id)
    new = {"password": "battery staple horse", "again": "battery staple horse"}
    wrong = ada.post("/settings/you/password", {**new, "current": "wrong"})
    assert wrong.status == 422
    assert "This is not your password." in wrong.text
    assert here.db.read_now(0, sessions.current, other) is not None
    assert ada.post("/settings/you/password", {**new, "current": PASSWORD}).status == 303
    assert here.db.read_now(0, sessions.current, other) is None
    assert ada.get("/").status == 200


def test_neither_password_nor_codes_are_kept_in_clear(here: Rooms, ada: Browser) -> None:
    secret, codes = with_factor(ada)
    kept = str(here.dump())
    assert "$argon2id$" in kept
    for one in (PASSWORD, secret, *codes):
        assert one not in kept


def test_only_a_post_of_our_own_page_signs_in(here: Rooms, ada: Browser) -> None:
    values = {"email": "ada@example.com", "password": PASSWORD}
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = ask(Door(here.house), "POST", "/sign-in", values, headers)
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
