"""Settings: the account, keys, users and their roles, the audit log."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.doors import Rooms, rooms
from tests.web.owners import Browser
from tidings.core import accounts, audit, users

ACCOUNT = {
    "name": "Ada's letters", "primary_email": "ada@example.com", "postal_address": "1 Road\nTown",
    "time_zone": "Europe/Berlin", "language": "de", "opens": "1", "ambiguity": "hold",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def ada(here: Rooms) -> Browser:
    return Browser(here)


def test_an_owner_changes_the_account_and_times_follow_the_zone(here: Rooms, ada: Browser) -> None:
    page = ada.follow(ada.post("/settings", ACCOUNT))
    assert "Saved." in page
    assert "Times are in Europe/Berlin." in page
    read = here.db.read_now
    assert read(here.account_id, accounts.time_zone) == "Europe/Berlin"
    assert read(here.account_id, accounts.language) == "de"
    assert read(here.account_id, accounts.tracking) == (True, False)
    assert read(here.account_id, accounts.ambiguity) == "hold"
    assert read(here.account_id, accounts.get).postal_address == "1 Road\nTown"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    (
        ("time_zone", "Mars/Olympus", "is not a time zone"),
        ("primary_email", "nobody", "is not an email address"),
        ("name", " ", "Name is needed."),
        ("language", "tlh", "Choose one of the options."),
        ("ambiguity", "perhaps", "Choose one of the options."),
        ("postal_address", "x" * 501, "must have at most 500 characters"),
    ),
)
def test_a_wrong_value_is_told_beside_its_field_and_nothing_is_saved(
    here: Rooms, ada: Browser, name: str, value: str, said: str
) -> None:
    ada.get("/settings")
    before = here.dump()
    answer = ada.post("/settings", {**ACCOUNT, name: value})
    assert answer.status == 422
    wrong = re.search(rf'id="{name}-wrong">(.*?)</p>', answer.text)
    assert wrong
    assert said in wrong[1]
    assert here.dump() == before


def test_a_fresh_secret_is_shown_once_and_opens_the_api(here: Rooms, ada: Browser) -> None:
    shown = ada.post("/settings/keys/secret")
    found = re.search(r'id="fresh".*?<code>([\w-]+)</code>', shown.text, re.DOTALL)
    assert found
    assert here.db.read_now(0, accounts.opened_by, found[1]) is not None
    assert found[1] not in ada.get("/settings/keys").text
    assert found[1] not in str(here.dump())


def test_a_replaced_key_works_on_until_it_is_ended(here: Rooms, ada: Browser) -> None:
    old = here.db.read_now(here.account_id, accounts.get).api_key
    ada.follow(ada.post("/settings/keys/key"))
    new = here.db.read_now(here.account_id, accounts.get).api_key
    assert new != old
    assert here.db.read_now(0, accounts.opened_by, old) is not None
    assert "Ended: 1 key from before." in ada.follow(ada.post("/settings/keys/end", {"kind": "key"}))
    assert here.db.read_now(0, accounts.opened_by, old) is None
    assert here.db.read_now(0, accounts.opened_by, new) is not None


def test_an_invitation_signs_in_with_its_role(here: Rooms, ada: Browser) -> None:
    shown = ada.post("/settings/users", {"email": "fay@example.com", "role": "viewer"}).text
    link = re.search(r"http://tidings\.test(/sign-in/[\w-]+)", shown)
    assert link
    entered = ada.post(link[1])
    assert entered.status == 303
    again = ada.post("/settings/users", {"email": "fay@example.com", "role": "viewer"})
    assert "is already a user of this account" in again.text


def test_roles_change_and_the_last_owner_stays(here: Rooms, ada: Browser) -> None:
    fay = Browser(here, "fay@example.com", "viewer")
    said = ada.follow(ada.post(f"/settings/users/{fay.user_id}", {"role": "editor"}))
    assert "fay@example.com is editor now." in said
    said = ada.follow(ada.post(f"/settings/users/{ada.user_id}", {"role": "viewer"}))
    assert "needs an owner" in said
    ada.follow(ada.post(f"/settings/users/{fay.user_id}/dismiss"))
    assert fay.get("/").headers["location"] == "/sign-in"


@pytest.mark.parametrize(
    "path",
    ("/settings", "/settings/keys/secret", "/settings/keys/key", "/settings/keys/end", "/settings/users"),
)
@pytest.mark.parametrize("role", ("viewer", "editor"))
def test_what_owners_do_others_cannot(here: Rooms, ada: Browser, role: str, path: str) -> None:
    fay = Browser(here, "fay@example.com", role)
    seal = fay.seal
    before = here.dump()
    answer = fay.post(path, {**ACCOUNT, "email": "eve@example.com", "role": "owner"}, seal=seal)
    assert answer.status == 403
    assert here.dump() == before


def test_users_of_another_account_are_not_found(here: Rooms, ada: Browser) -> None:
    eve = here.account("Eve's", "eve@example.com")
    theirs = here.db.write_now(eve, users.owner_of).id
    for path in (
        f"/settings/users/{theirs}",
        f"/settings/users/{theirs}/dismiss",
        f"/settings/users/{theirs}/link",
    ):
        assert ada.post(path, {"role": "viewer"}).status == 404
    assert ada.post(f"/accounts/{eve}").status == 404


def test_somebody_with_two_accounts_switches_between_them(here: Rooms, ada: Browser) -> None:
    eve = here.account("Eve's letters", "eve@example.com")
    here.db.write_now(eve, users.admit, "ada@example.com", "editor")
    assert "Eve's letters" in ada.follow(ada.post(f"/accounts/{eve}"))
    assert ada.post("/settings", ACCOUNT).status == 403


def test_sessions_are_listed_and_ended_by_their_user_alone(here: Rooms, ada: Browser) -> None:
    fay = Browser(here, "fay@example.com", "editor")
    (session_id,) = here.rows("SELECT id FROM sessions WHERE user_id = :id", id=fay.user_id)[0]
    assert ada.post(f"/settings/you/sessions/{session_id}").status == 404
    assert "Firefox" in fay.get("/settings/you").text
    assert fay.post(f"/settings/you/sessions/{session_id}").status == 303
    assert fay.get("/").status == 303


def test_what_is_done_stands_in_the_audit_log_without_secrets(here: Rooms, ada: Browser) -> None:
    ada.post("/settings", ACCOUNT)
    secret = re.search(
        r'id="fresh".*?<code>([\w-]+)</code>', ada.post("/settings/keys/secret").text, re.DOTALL
    )
    noted = here.db.read_now(here.account_id, audit.newest)
    assert [one.act for one in noted] == ["secret.rotate", "account.change"]
    page = ada.get("/settings/audit").text
    assert "account: change" in page
    assert secret
    assert secret[1] not in str(here.rows("SELECT * FROM audit"))


def test_names_are_shown_as_text(here: Rooms, ada: Browser) -> None:
    bad = '<script>alert(1)</script>"'
    ada.post("/settings", {**ACCOUNT, "name": bad})
    ada.post("/settings/you", {"name": bad, "email": "ada@example.com"})
    for path in ("/", "/settings", "/settings/you", "/settings/users", "/settings/audit", "/settings/keys"):
        assert "<script>alert" not in ada.get(path).text
