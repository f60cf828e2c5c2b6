"""`tidings account show` and `update`, as they are typed."""

import json
from pathlib import Path

import pytest

from tests.cli.typed import Ended, Run, refused
from tidings.core import accounts
from tidings.store.db import Database


def shown(run: Run, *words: str) -> dict[str, object]:
    facts: dict[str, object] = json.loads(run("account", "show", "--json", *words).out)
    return facts


def test_an_account_is_shown_with_what_holds_for_its_mail(run: Run, acme: dict[str, object]) -> None:
    assert shown(run) == {
        "account": 1, "name": "Acme", "email": "you@example.com", "plan": "creator",
        "api_key": acme["api_key"], "postal_address": None, "time_zone": "UTC", "language": "en",
        "ambiguity": "retry-once", "track_opens": True, "track_clicks": True,
    }  # fmt: skip
    said = run("account", "show").out
    assert "account:        1\n" in said
    assert "postal address: none\n" in said
    assert "track opens:    on\n" in said
    assert "Without a postal address no broadcast is sent by SMTP" in said
    assert str(acme["api_secret"]) not in said


def test_each_thing_can_be_changed_and_the_rest_stays(run: Run, acme: dict[str, object]) -> None:
    before = shown(run)
    for words, name, value in (
        (("--name", " Acme Corp. "), "name", "Acme Corp."),
        (("--email", "news@example.com"), "email", "news@example.com"),
        (("--address", " Acme\n1 Main Street \n"), "postal_address", "Acme\n1 Main Street"),
        (("--time-zone", "Europe/Berlin"), "time_zone", "Europe/Berlin"),
        (("--language", "de"), "language", "de"),
        (("--ambiguity", "hold"), "ambiguity", "hold"),
        (("--track-opens", "off"), "track_opens", False),
        (("--track-clicks", "off"), "track_clicks", False),
        (("--track-opens", "on"), "track_opens", True),
    ):
        assert run("account", "update", *words).code == 0
        before[name] = value
        assert shown(run) == before
    assert "postal address: Acme, 1 Main Street\n" in run("account", "show").out


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    (
        ((), "say what is to change: --name, --email, --address", 1),
        (("--email", "nobody"), "primary_email is not an email address", 1),
        (("--time-zone", "Mars/Olympus"), "there is no time zone Mars/Olympus", 1),
        (("--time-zone", "../../etc/passwd"), "there is no time zone", 1),
        (("--ambiguity", "maybe"), "invalid choice: 'maybe'", 2),
        (("--track-opens", "yes"), "invalid choice: 'yes'", 2),
        (("--address", " \n "), "the postal address must be 1 to 500 printable characters", 1),
        (("--address", "x" * 501), "the postal address must be 1 to 500 printable characters", 1),
        (("--address", "1 Main\x1b[31m"), "the postal address must be 1 to 500 printable characters", 1),
        (("--name", "a\nb"), "the name must be one line", 1),
        (("--account", "9", "--name", "x"), "there is no account 9", 1),
    ),
)
def test_what_cannot_be_is_refused_in_one_line(
    run: Run, acme: dict[str, object], words: tuple[str, ...], sentence: str, code: int
) -> None:
    before = shown(run)
    refused(run("account", "update", *words), sentence, code)
    assert shown(run) == before


def test_a_refused_change_changes_nothing_else_either(run: Run, acme: dict[str, object]) -> None:
    before = shown(run)
    refused(run("account", "update", "--name", "New", "--email", "nobody"), "is not an email address")
    assert shown(run) == before


def test_a_change_is_one_of_the_account_that_was_named(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    run("account", "create", "--name", "B", "--email", "b@example.com")
    assert run("account", "update", "--account", "2", "--ambiguity", "hold") == Ended(
        0, "account 2 is changed; what is being sent keeps the name and address that it began with\n", ""
    )
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    assert [db.read_now(one, accounts.ambiguity) for one in (1, 2)] == ["retry-once", "hold"]
    db.close()
