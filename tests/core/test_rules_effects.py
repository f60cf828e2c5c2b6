"""What a rule's posts, notes and emails say, and how long its runs are kept."""

import pytest

from tests.core.cast import HOUR, Cast, Clock, join
from tests.core.ruled import URL, notes, posts, rule, runs, settle
from tidings.core import automations, letters, webhooks
from tidings.core.automations import Action, Trigger, Wish, rows
from tidings.core.letters import Unfit
from tidings.store.db import Database

MAIL = Action("send_email", subject="Hello", html="<p>Hello</p>")


def test_a_posted_person_is_as_the_actions_before_have_made_them(db: Database, cast: Cast) -> None:
    ada = cast.ada
    one = rule(
        db, ada, Trigger("tag_add", ada.tag), Action("set_field", ada.city, "Oslo"), Action("post", value=URL)
    )
    join(db, ada, "tag", ada.tag, "bea@example.com")
    settle(db)
    [posted] = posts(db, one)
    assert posted["subscriber"]["fields"]["city"] == "Oslo"


def test_an_address_that_is_switched_off_is_not_posted_to(db: Database, cast: Cast) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("tag_add", ada.tag), Action("post", value=URL))
    [hook] = db.read_now(ada.id, webhooks.all_webhooks, of_rules=True)
    assert db.read_now(ada.id, webhooks.all_webhooks) == []
    db.write_now(ada.id, webhooks.disable, hook.id, "410")
    join(db, ada, "tag", ada.tag, "bea@example.com")
    settle(db)
    assert runs(db, ada, one)[0].said == f"post to {URL}: skipped, the address is switched off"
    assert posts(db, one) == []


def test_the_owner_is_told_who_it_was_about(db: Database, cast: Cast) -> None:
    ada = cast.ada
    rule(
        db,
        ada,
        Trigger("tag_add", ada.tag),
        Action("tell_owner", subject="Look", text="Call them."),
        name="Calls",
    )
    join(db, ada, "tag", ada.tag, "bea@example.com")
    settle(db)
    assert notes(db) == [("Look", 'Call them.\n\nThe rule "Calls" ran for Bea <bea@example.com>.\n')]


def test_a_rule_s_email_has_its_words_and_a_rule_that_is_gone_has_none(db: Database, cast: Cast) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("tag_add", ada.tag), MAIL)
    words = db.read_now(ada.id, letters.words, f"rule-email:{one.id}")
    assert (words.content.subject, words.content.html) == ("Hello", "<p>Hello</p>")
    assert (words.content.from_address, words.content.layout) == ("ada@example.com", "text only")
    db.write_now(ada.id, automations.change, one.id, Wish("x", one.trigger, (), (Action("unsubscribe"),)))
    with pytest.raises(Unfit, match="sends no email any more"):
        db.read_now(ada.id, letters.words, f"rule-email:{one.id}")


def test_old_runs_are_folded_away_but_those_that_say_who_was_quiet(
    db: Database, cast: Cast, clock: Clock
) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("tag_add", ada.tag), MAIL)
    for n in range(3):
        join(db, ada, "tag", ada.tag, f"p{n}@example.com")
    settle(db)
    db.write_now(ada.id, lambda tx: rows.queue(tx, one.id, cast.bea, f"quiet:{one.id}:5"))
    settle(db)
    clock.move(HOUR)
    join(db, ada, "tag", ada.tag, "late@example.com")
    settle(db)
    assert db.write_now(ada.id, automations.fold, clock.now, 2) == 2
    assert db.write_now(ada.id, automations.fold, clock.now, 2) == 1
    assert db.write_now(ada.id, automations.fold, clock.now, 2) == 0
    assert [run.occasion[:6] for run in runs(db, ada, one)] == ["quiet:", "event:"]
