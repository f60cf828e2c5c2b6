"""`tidings rule …`, as it is typed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.typed import Run, refused
from tests.core.ruled import settle
from tidings.core import automations, signup, subscribers
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.store.db import Database

FILE = """
[[tags]]
id = 5
name = "customer"

[[tags]]
id = 6
name = "vip"

[[forms]]
id = 7
name = "Letter"
confirm = false

[[rules]]
id = 3
name = "Welcome"
when = { tag_add = "customer" }
if = [{ state = "active" }, { tag = "vip", not = true }]
then = [
  { add_tag = "vip" },
  { send_email = "Hello", html = "<p>Hello</p>" },
  { post = "https://shop.example.com/in" },
]
"""


@pytest.fixture
def db(run: Run, acme: dict[str, object], tmp_path: Path) -> Iterator[Database]:
    (tmp_path / "a.toml").write_text(FILE)
    assert run("apply", "a.toml").code == 0
    opened = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    yield opened
    opened.close()


def join(db: Database, email: str, *tags: int) -> None:
    person = subscribers.person(email)
    db.write_now(1, signup.sign_up, "form", 7, person, Also(tags=list(tags)), Origin("api"))


def test_the_list_says_what_each_rule_waits_for(run: Run, db: Database) -> None:
    assert run("rule", "list").out == '3  on  ran 0  Welcome  when somebody is tagged "customer"\n'
    [facts] = json.loads(run("rule", "list", "--json").out)
    assert (facts["id"], facts["state"], facts["when"]) == (3, "on", 'is tagged "customer"')


def test_a_rule_is_shown_with_what_it_did(run: Run, db: Database) -> None:
    join(db, "ann@example.com", 5)
    join(db, "vip@example.com", 6, 5)
    settle(db)
    out = run("rule", "show", "3").out
    assert out.startswith(
        'rule 3: Welcome (on)\nwhen somebody is tagged "customer"\n  if that person is active\n'
        '  if that person has not the tag "vip"\n  1. add the tag "vip"\n  2. send the email "Hello"\n'
        "  3. post to https://shop.example.com/in\nran 1 times, last at "
    )
    assert out.endswith("  done: 1\n  skipped: 1\n")
    facts = json.loads(run("rule", "show", "3", "--json").out)
    assert (facts["ran"], facts["runs"], len(facts["webhooks"])) == (1, {"done": 1, "skipped": 1}, 1)


def test_a_circle_is_reported(run: Run, db: Database, tmp_path: Path) -> None:
    circle = """
[[rules]]
name = "Off"
when = { tag_add = "vip" }
then = [{ remove_tag = "vip" }]
[[rules]]
name = "On"
when = { tag_remove = "vip" }
then = [{ add_tag = "vip" }]
"""
    (tmp_path / "b.toml").write_text(circle)
    assert run("apply", "b.toml").code == 0
    join(db, "ann@example.com", 6)
    settle(db)
    assert "on, with a problem" in run("rule", "list").out
    assert (
        "problem: cut: rules start one another in a circle, more than 8 deep" in run("rule", "show", "4").out
    )


def test_a_rule_is_switched_off_and_on(run: Run, db: Database) -> None:
    assert (
        run("rule", "off", "3").out == "rule 3 is off: it does nothing, also for whom it had still to act\n"
    )
    assert db.read_now(1, automations.find, 3).enabled_at is None
    join(db, "ann@example.com", 5)
    assert settle(db) == []
    assert run("rule", "on", "3").out == "rule 3 is on: it acts on what happens from now\n"
    assert settle(db) == []
    join(db, "bob@example.com", 5)
    assert settle(db) == ["done"]


def test_a_try_says_what_would_happen(run: Run, db: Database) -> None:
    join(db, "ann@example.com")
    join(db, "vip@example.com", 6)
    out = run("rule", "try", "3", "Ann@Example.com").out
    assert out == (
        'yes  is active\nyes  has not the tag "vip"\nthis would happen:\n  1. add the tag "vip"\n'
        '  2. send the email "Hello"\n  3. post to https://shop.example.com/in\n'
    )
    assert run("rule", "try", "3", "vip@example.com").out == (
        'yes  is active\nno   has not the tag "vip"\nnothing would happen: a condition does not hold\n'
    )
    run("rule", "off", "3")
    assert run("rule", "try", "3", "ann@example.com").out.endswith("the rule is switched off\n")
    facts = json.loads(run("rule", "try", "3", "ann@example.com", "--json").out)
    assert (facts["enabled"], facts["acts"], facts["actions"][0]["skipped"]) == (False, True, None)
    refused(run("rule", "try", "3", "nobody@example.com"), "nobody has the address nobody@example.com")


def test_runs_are_listed_page_by_page(run: Run, db: Database) -> None:
    assert run("rule", "runs", "3").out == "there is no run yet\n"
    for n in range(automations.PAGE + 2):
        join(db, f"p{n}@example.com", 5)
    settle(db)
    lines = run("rule", "runs", "3").out.splitlines()
    assert len(lines) == automations.PAGE + 1
    assert f"p{automations.PAGE + 1}@example.com" in lines[0]
    assert "done" in lines[0]
    before = lines[-1].removeprefix("more: --before ")
    rest = json.loads(run("rule", "runs", "3", "--before", before, "--json").out)
    assert [one["email_address"] for one in rest] == ["p1@example.com", "p0@example.com"]


def test_a_deleted_rule_is_gone(run: Run, db: Database) -> None:
    assert run("rule", "delete", "3").out == "rule 3 is deleted; what it did stays\n"
    assert run("rule", "list").out.startswith("there is no rule yet; declare one")


@pytest.mark.parametrize("words", (("show", "9"), ("on", "9"), ("off", "9"), ("runs", "9"), ("delete", "9")))
def test_a_rule_that_is_not_there_is_said(run: Run, db: Database, words: tuple[str, ...]) -> None:
    refused(run("rule", *words), "rule not found")
    refused(run("rule", "try", "9", "a@example.com"), "rule not found")
