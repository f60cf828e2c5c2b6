"""`tidings broadcast …`, as it is typed: sending, stopping, and what is shown of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.typed import Ended, Run, refused
from tests.core import ledger
from tidings.core import accounts, broadcasts, deliveries, signup, subscribers, tracking
from tidings.core.broadcasts import Broadcast, course
from tidings.core.deliveries import Delivery, Outcome
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.core.tracking import Hit
from tidings.store.db import Database

FILE = """
[account]
postal_address = "1 Main Street"

[[tags]]
id = 5
name = "vip"

[[forms]]
id = 6
name = "Letter"
confirm = false

[[sequences]]
id = 7
name = "Course"

[[broadcasts]]
id = 3
subject = "News"
html = "<p>Hello {{ subscriber.first_name }}, <a href='https://example.com/more'>more</a></p>"
"""
PEOPLE = {"ann@example.com": [5], "bob@example.com": [], "cy@example.com": [5]}


@pytest.fixture
def db(run: Run, acme: dict[str, object], tmp_path: Path) -> Iterator[Database]:
    """The database of the folder, with three people and a draft."""
    (tmp_path / "a.toml").write_text(FILE)
    assert run("apply", "a.toml").code == 0
    opened = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    for email, tags in PEOPLE.items():
        person = subscribers.person(email)
        opened.write_now(1, signup.sign_up, "form", 6, person, Also(tags=tags), Origin("api"))
    yield opened
    opened.close()


def held(db: Database) -> Broadcast:
    return db.read_now(1, broadcasts.find, 3)


def started(run: Run, db: Database) -> list[Delivery]:
    """Send the draft, and let an engine hand all its mail over."""
    assert run("broadcast", "send", "3").code == 0
    frozen = course.Frozen("News", "<p>x</p>", None, "", "Text only", "A", "a@x.de", None, "1 Main", "A")
    assert db.write_now(1, course.start, 3, frozen)
    while db.write_now(1, course.fan_out, 3):
        pass
    return ledger.hand(db, ledger.claim(db, limit=100))


def shown(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(run("broadcast", "show", "3", "--json").out)
    return facts


# -- sending and stopping ---------------------------------------------------------------


def test_a_draft_is_sent_at_once_and_says_to_how_many(run: Run, db: Database) -> None:
    assert run("broadcast", "send", "3") == Ended(
        0,
        "broadcast 3 goes out as soon as the engine runs, to 3 people\n"
        "No mail leaves this machine: it is kept in the Outbox, and not sent later either.\n",
        "",
    )
    one = held(db)
    assert (one.status, one.send_at is not None and one.send_at <= db.clock()) == ("scheduled", True)


@pytest.mark.parametrize(
    ("typed", "at"),
    (
        ("2099-12-01T09:00", "2099-12-01 09:00 UTC"),
        ("2099-12-01 09:00:00", "2099-12-01 09:00 UTC"),
        ("2099-12-01T09:00+02:00", "2099-12-01 07:00 UTC"),
        ("2099-12-01T09:00Z", "2099-12-01 09:00 UTC"),
    ),
)
def test_a_time_is_utc_unless_it_has_an_offset(run: Run, db: Database, typed: str, at: str) -> None:
    ended = run("broadcast", "send", "3", "--at", typed)
    assert f"broadcast 3 goes out at {at}, to 3 people as things stand\n" in ended.out
    assert f"scheduled for: {at}\n" in run("broadcast", "show", "3").out


@pytest.mark.parametrize("typed", ("tomorrow", "", "1969-12-31T23:00", "9999-99-99", "\x1b[31m", "2099"))
def test_a_time_that_is_none_is_refused(run: Run, db: Database, typed: str) -> None:
    ended = run("broadcast", "send", "3", "--at", typed)
    refused(ended, "argument --at: must be ", code=2)
    assert "\x1b" not in ended.err
    assert held(db).status == "draft"


def test_nothing_is_said_of_the_outbox_once_mail_goes_out(
    run: Run, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDINGS_SMTP_URL", "smtp://mail.example.com:25")
    assert "No mail leaves" not in run("broadcast", "send", "3").out
    assert "No mail leaves" not in run("broadcast", "show", "3").out


def test_without_a_postal_address_nothing_is_scheduled_by_smtp(
    run: Run, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.write_now(1, lambda tx: tx.run("UPDATE accounts SET postal_address = NULL"))
    db.write_now(1, accounts.describe, name="Acme")
    monkeypatch.setenv("TIDINGS_SMTP_URL", "smtp://mail.example.com:25")
    refused(run("broadcast", "send", "3"), "The account has no postal address")
    assert held(db).status == "draft"
    monkeypatch.delenv("TIDINGS_SMTP_URL")
    assert run("broadcast", "send", "3").code == 0


def test_a_name_that_nobody_has_is_said_before_it_is_sent(run: Run, db: Database) -> None:
    given = {"content": "<p>{{ subscriber.frist_name }} {{ subscriber.first_name }}</p>"}
    db.write_now(1, broadcasts.revise, 3, given, "you@example.com")
    ended = run("broadcast", "send", "3")
    assert ended.out.splitlines()[0] == (
        "note: nobody has {{ subscriber.frist_name }}: it will be empty in every mail"
    )
    assert held(db).status == "scheduled"


@pytest.mark.parametrize(
    ("given", "sentence"),
    (
        ({"subject": None}, "The broadcast has no subject"),
        ({"content": None}, "The broadcast has no content"),
        ({"content": "<p>{% if %}</p>"}, "the content cannot be made into a mail: "),
        ({"content": "{{ subscriber.first_name"}, "the content cannot be made into a mail: "),
    ),
)
def test_what_cannot_become_a_mail_is_refused_now_and_not_when_it_is_due(
    run: Run, db: Database, given: dict[str, object], sentence: str
) -> None:
    db.write_now(1, broadcasts.revise, 3, given, "you@example.com")
    refused(run("broadcast", "send", "3"), sentence)
    assert held(db).status == "draft"


def test_a_broadcast_is_paused_resumed_and_cancelled(run: Run, db: Database) -> None:
    refused(run("broadcast", "pause", "3"), "Broadcast is not being sent")
    refused(run("broadcast", "resume", "3"), "Broadcast is not paused")
    refused(run("broadcast", "cancel", "3"), "Broadcast is not being sent")
    run("broadcast", "send", "3", "--at", "2099-12-01T09:00")
    assert run("broadcast", "pause", "3").code == 0
    assert "status:        paused (scheduled): paused by hand\n" in run("broadcast", "show", "3").out
    assert run("broadcast", "resume", "3").out == "broadcast 3 goes on\n"
    assert held(db).paused_at is None
    assert run("broadcast", "cancel", "3").out == "broadcast 3 is a draft again\n"
    assert (held(db).status, held(db).send_at) == ("draft", None)


def test_a_broadcast_that_is_being_sent_is_cancelled_for_all_others(run: Run, db: Database) -> None:
    started(run, db)
    assert run("broadcast", "cancel", "3").out == "broadcast 3 is cancelled: nobody else gets it\n"
    assert shown(run)["standing"] == "cancelled"
    refused(run("broadcast", "send", "3"), "Broadcast can't be scheduled once it is being sent")


def test_only_who_failed_is_tried_again(run: Run, db: Database) -> None:
    refused(run("broadcast", "retry", "3"), "Only a broadcast that was sent can be tried again")
    states = ("failed", "sent", "uncertain")
    ledger.settle(db, *(Outcome(one, state) for one, state in zip(started(run, db), states, strict=True)))
    assert run("broadcast", "retry", "3").out == "tried again: 1 of broadcast 3\n"
    assert sorted(one.state for one in db.read_now(1, deliveries.of_broadcast, 3)) == [
        "queued", "sent", "uncertain",
    ]  # fmt: skip
    assert run("broadcast", "retry", "3").out == "tried again: 0 of broadcast 3\n"


def test_an_unknown_broadcast_and_that_of_another_account_are_not_there(run: Run, db: Database) -> None:
    run("account", "create", "--name", "B", "--email", "b@example.com")
    for words in (("show",), ("send",), ("pause",), ("resume",), ("cancel",), ("retry",), ("recipients",)):
        refused(run("broadcast", *words, "9", "--account", "1"), "broadcast not found")
        refused(run("broadcast", *words, "3", "--account", "2"), "broadcast not found")
    refused(run("broadcast", "audience", "3", "--account", "2"), "broadcast not found")
    refused(run("broadcast", "audience", "3", "--everyone", "--account", "2"), "broadcast not found")


# -- whom it goes to --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    (
        ((), "everybody active: 3 people"),
        (("--include", "tag:5"), "whoever is in tag 5 (vip): 2 people"),
        (("--include", "tag:vip"), "whoever is in tag 5 (vip): 2 people"),
        (("--include", "sequence:Course"), "whoever is in sequence 7 (Course): 0 people"),
        (("--include", "sequence:7, tag:5"), "whoever is in sequence 7 (Course), tag 5 (vip): 2 people"),
        (("--exclude", "tag:5"), "everybody active, but not in tag 5 (vip): 1 person"),
        (
            ("--include", "form:Letter", "--exclude", "tag:5"),
            "whoever is in form 6 (Letter), but not in tag 5 (vip): 1 person",
        ),
        (
            ("--include", "form:6", "--include", "tag:5,tag:vip"),
            "whoever is in form 6 (Letter), tag 5 (vip): 3 people",
        ),
    ),
)
def test_an_audience_is_chosen_and_said(run: Run, db: Database, words: tuple[str, ...], said: str) -> None:
    line = f"broadcast 3 goes to {said} as things stand\n"
    assert run("broadcast", "audience", "3", *words) == Ended(0, line, "")
    # Asked again, it has stayed.
    assert run("broadcast", "audience", "3").out == line


def test_everybody_can_be_chosen_again(run: Run, db: Database) -> None:
    run("broadcast", "audience", "3", "--include", "tag:5")
    assert "everybody active: 3 people" in run("broadcast", "audience", "3", "--everyone").out
    ended = run("broadcast", "audience", "3", "--everyone", "--include", "tag:5")
    refused(ended, "--everyone cannot stand beside --include and --exclude")


@pytest.mark.parametrize(
    ("word", "sentence", "code"),
    (
        ("tag:9", "the account has no tag with this id", 1),
        ("form:5", "the account has no form with this id", 1),
        ("tag:nobody", "the account has no tag of this name", 1),
        ("tag:", "must be such as tag:12 or form:Newsletter", 2),
        ("segment:1", "must be such as tag:12 or form:Newsletter", 2),
        ("5", "must be such as tag:12 or form:Newsletter", 2),
        ("tag:5,,", "must be such as tag:12 or form:Newsletter", 2),
        ("tag:99999999999999999999", "the account has no tag of this name", 1),
    ),
)
def test_a_part_that_is_not_there_is_refused(
    run: Run, db: Database, word: str, sentence: str, code: int
) -> None:
    run("broadcast", "audience", "3", "--include", "form:6")
    refused(run("broadcast", "audience", "3", "--include", word), sentence, code)
    assert "form 6 (Letter): 3 people" in run("broadcast", "audience", "3").out


def test_an_audience_cannot_be_changed_once_it_is_being_sent(run: Run, db: Database) -> None:
    started(run, db)
    refused(run("broadcast", "audience", "3", "--include", "tag:5"), "can't be changed once it is being sent")


# -- what is shown ----------------------------------------------------------------------


def test_broadcasts_are_listed_newest_first(run: Run, db: Database) -> None:
    db.write_now(1, broadcasts.create, broadcasts.Draft(), "you@example.com")
    run("broadcast", "send", "3", "--at", "2099-12-01T09:00")
    lines = run("broadcast", "list").out.splitlines()
    assert [line.split() for line in lines] == [["4", "draft", "(no", "subject)"], ["3", "scheduled", "News"]]
    listed = json.loads(run("broadcast", "list", "--json").out)
    assert [(one["id"], one["status"]) for one in listed] == [(4, "draft"), (3, "scheduled")]
    assert run("broadcast", "list", "--page", "2").out == "there is no broadcast on this page\n"


def test_an_account_without_broadcasts_says_so(run: Run, acme: dict[str, object]) -> None:
    assert run("broadcast", "list").out == "there is no broadcast yet\n"


def test_all_numbers_of_a_broadcast_are_shown(run: Run, db: Database) -> None:
    handed = started(run, db)
    first, second, third = handed
    ledger.settle(
        db,
        Outcome(first, "sent", "250 ok"),
        Outcome(second, "failed", "550 no such user", verdict="policy"),
        Outcome(third, "uncertain", "the connection was lost", ambiguous=True),
    )
    [link_id] = db.write_now(1, tracking.link_ids, "broadcast:3", ["https://example.com/more"])
    link = db.read_now(1, tracking.link, link_id)
    later = db.clock() + 60_000
    person = Hit(first.id, first.subscriber_id, later, link)
    db.write_now(1, tracking.record, [person, msgspec.structs.replace(person, at=later + 5_000)])
    said = run("broadcast", "show", "3").out
    for line in (
        "status:        sending", "audience:      everybody active", "recipients:    3",
        "sent:          1", "in the Outbox: 0", "failed:        1",
        "uncertain:     1 (nobody knows whether they arrived)", "suppressed:    0", "to come:       0",
        "clicked:       1 (33.3 %); by machines alone 0", "clicks:        2", "unsubscribed:  0 (0.0 %)",
        "         1        2        0  https://example.com/more",
    ):  # fmt: skip
        assert f"{line}\n" in said, said
    facts = shown(run)
    assert (facts["broadcast"]["clicks"], facts["links"][0]["unique_clicks"]) == (1, 1)


def test_mail_in_the_outbox_is_counted_apart(run: Run, db: Database) -> None:
    handed = started(run, db)
    ledger.settle(db, *(Outcome(one, "sent", "kept in the Outbox", kept=True) for one in handed))
    said = run("broadcast", "show", "3").out
    assert "sent:          0\n" in said
    assert "in the Outbox: 3 (did not leave this machine)\n" in said


def test_a_paused_broadcast_says_why(run: Run, db: Database) -> None:
    started(run, db)
    db.write_now(1, course.pause, 3, "the relay refuses \x1b[31meverything")
    assert "status:        paused (sending): the relay refuses ?[31meverything\n" in (
        run("broadcast", "show", "3").out
    )


def test_every_recipient_is_listed_with_its_history(run: Run, db: Database) -> None:
    ann, bob, cy = started(run, db)
    ledger.settle(
        db,
        Outcome(ann, "sent", "250 ok"),
        Outcome(bob, "deferred", "451 later", db.clock() + 3_600_000),
        Outcome(cy, "failed", "550 \x1b[31mno", verdict="policy"),
    )
    lines = run("broadcast", "recipients", "3").out.splitlines()
    assert [line.split()[1] for line in lines if "@" in line] == list(PEOPLE)
    assert lines[0].endswith(", 250 ok")
    assert ", 451 later" in lines[1]
    assert lines[2].strip().startswith("try 1, ")
    assert lines[4].endswith(": 550 ?[31mno")
    unsent = run("broadcast", "recipients", "3", "--unsent").out.splitlines()
    assert ["cy@example.com" in line for line in unsent] == [True, False]
    rows = json.loads(run("broadcast", "recipients", "3", "--json").out)
    assert [(one["state"], len(one["history"])) for one in rows] == [
        ("sent", 0), ("deferred", 1), ("failed", 1),
    ]  # fmt: skip


def test_recipients_come_in_pages(run: Run, db: Database) -> None:
    for at in range(60):
        person = subscribers.person(f"p{at}@example.com")
        db.write_now(1, signup.sign_up, "form", 6, person, Also(), Origin("api"))
    handed = started(run, db)
    ledger.settle(db, *(Outcome(one, "failed", "550 no", verdict="policy") for one in handed))
    for options in ((), ("--unsent",)):
        first = run("broadcast", "recipients", "3", *options).out.splitlines()
        assert first[-1].startswith("more: --after ")
        rest = run("broadcast", "recipients", "3", *options, *first[-1].split()[1:]).out.splitlines()
        seen = [line.split()[1] for line in first + rest if "@" in line]
        assert len(seen) == len(set(seen)) == len(handed)
    after = str(handed[-1].subscriber_id)
    assert run("broadcast", "recipients", "3", "--after", after).out == "there is nobody else\n"
