"""`tidings person`: a history, an export, an erasure."""

import json
import stat
from pathlib import Path

import pytest

from tests.cli.typed import Run, refused
from tests.core.cast import rows
from tidings.core import forms, signup, subscribers
from tidings.core.events import Origin
from tidings.core.forms import FormSettings
from tidings.core.signup import Also
from tidings.store.db import Database

EMAIL = "bea@example.com"


@pytest.fixture
def bea(run: Run, acme: dict[str, object], tmp_path: Path) -> str:
    """Somebody who signed up with a control character in their referrer."""
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    form_id = db.write_now(1, forms.create, FormSettings(name="News", confirmation="none"))
    origin = Origin("form", "203.0.113.7", "form page", "https://example.com/\x1b[2J", "0123456789abcdef")
    person = subscribers.person(EMAIL, "Bea")
    db.write_now(1, signup.sign_up, "form", form_id, person, Also(), origin)
    db.close()
    return EMAIL


def test_a_history_is_shown_with_the_proof_of_a_consent(run: Run, bea: str) -> None:
    shown = run("person", "show", bea)
    assert shown.code == 0
    assert shown.out.startswith("subscriber 1: bea@example.com, Bea, active\n")
    assert "joined the form News: from 203.0.113.7, source form page" in shown.out
    assert "words of the form 0123456789abcdef (by a form)" in shown.out
    assert "\x1b" not in shown.out


def test_a_history_goes_on_where_its_page_ended(run: Run, bea: str) -> None:
    found = json.loads(run("person", "show", bea, "--json").out)
    assert (len(found["moments"]), found["older"]) == (2, None)
    newest = found["moments"][0]
    older = json.loads(run("person", "show", bea, "--before", f"{newest['at']}.7.2", "--json").out)
    assert older["moments"] == found["moments"][1:]
    refused(run("person", "show", bea, "--before", "x"), "--before must be what the page before ends with")


def test_an_export_is_json_whole_and_private(run: Run, bea: str, tmp_path: Path) -> None:
    whole = json.loads(run("person", "export", bea).out)
    assert whole["subscriber"]["email"] == EMAIL
    assert [one["name"] for one in whole["events"]] == ["form_subscribe", "subscriber_activate"]
    written = run("person", "export", bea, "bea.json")
    assert written.code == 0
    file = tmp_path / "bea.json"
    assert json.loads(file.read_text()) == whole
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    refused(run("person", "export", bea, "bea.json"), "bea.json is there already")


def test_nobody_is_erased_without_a_yes(run: Run, bea: str) -> None:
    refused(run("person", "erase", bea), "add --yes")
    assert run("person", "show", bea).code == 0


def test_who_was_erased_is_nowhere_and_stays_away(run: Run, bea: str, tmp_path: Path) -> None:
    erased = run("person", "erase", bea, "--yes")
    assert erased.code == 0
    assert "subscriber 1 is erased" in erased.out
    refused(run("person", "show", bea), "nobody has the address bea@example.com")
    for file in (tmp_path / "data").iterdir():
        assert b"bea@example" not in file.read_bytes(), file
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    assert rows(db, "SELECT COUNT(*) FROM suppressions") == [(1,)]
    db.close()


def test_nobody_of_that_address_is_a_refusal(run: Run, acme: dict[str, object]) -> None:
    for command in (["show"], ["export"], ["erase", "--yes"]):
        refused(run("person", command[0], "eve@example.com", *command[1:]), "nobody has the address")
