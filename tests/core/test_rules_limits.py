"""What rules must not do: go on for ever, do a thing twice, mail the wrong people, act on what is gone."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from tests.core.cast import API, Cast, Clock, join, rows
from tests.core.ruled import (
    URL,
    do,
    mails,
    rule,
    runs,
    settle,
    shape,
    shown,
    states,
    tell,
)
from tidings.core import (
    automations,
    custom_fields,
    events,
    signup,
    subscribers,
    subscriptions,
    webhooks,
)
from tidings.core.automations import DEPTH_MAX, Action, Condition, Trigger, Wish
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database

MAIL = Action("send_email", subject="Hello", html="<p>Hello</p>")


def test_two_rules_that_undo_each_other_end_and_both_say_so(db: Database, cast: Cast) -> None:
    ada = cast.ada
    adds = rule(db, ada, Trigger("tag_remove", ada.tag), Action("add_tag", ada.tag))
    removes = rule(db, ada, Trigger("tag_add", ada.tag), Action("remove_tag", ada.tag))
    join(db, ada, "tag", ada.tag, "bea@example.com")

    ended = settle(db)

    assert ended == ["done"] * DEPTH_MAX + ["cut"]
    assert [run.depth for run in runs(db, ada, removes)] == [1, 3, 5, 7, 9]
    # The owner sees it at the rule that was cut; the other one only came before it.
    assert "more than 8 deep" in (shown(db, ada, removes).problem or "")
    assert shown(db, ada, adds).problem is None
    db.write_now(ada.id, automations.switch, removes.id, on=False)
    db.write_now(ada.id, automations.switch, removes.id, on=True)
    assert shown(db, ada, removes).problem is None


def test_many_rules_that_start_one_another_are_cut_by_their_number(db: Database, cast: Cast) -> None:
    ada = cast.ada
    both = (Action("remove_tag", ada.tag), Action("add_tag", ada.tag))
    more = (Action("remove_tag", ada.vip), Action("add_tag", ada.vip))
    for tag in (ada.tag, ada.vip):
        for kind in ("tag_add", "tag_remove"):
            rule(db, ada, Trigger(kind, tag), *both, *more)
    join(db, ada, "tag", ada.tag, "bea@example.com")

    counts = Counter(settle(db))

    # 4^8 would be 65,536.
    assert counts["done"] <= automations.CHAINED_MOST + 1
    assert counts["cut"] > 0
    problems = [one.problem or "" for one in db.read_now(ada.id, automations.all_rules)]
    assert any("more than 200 times" in problem for problem in problems)


def test_what_a_rule_does_names_the_rule_and_the_event_that_caused_it(db: Database, cast: Cast) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("tag_add", ada.tag), Action("add_tag", ada.vip))
    join(db, ada, "tag", ada.tag, "bea@example.com")
    settle(db)
    first, second = db.read_now(ada.id, events.of_subscriber, cast.bea)[-2:]
    assert (first.name, first.subject_id, first.origin.door) == ("tag_add", ada.tag, "api")
    assert (second.name, second.subject_id) == ("tag_add", ada.vip)
    assert second.origin == events.Origin("rule", source=f"rule:{one.id}", depth=1, event=first.id)


def test_a_rule_knows_nothing_of_what_was_before_it_was_on(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    # A webhook has the event wait to be told.
    db.write_now(ada.id, webhooks.create, "tag_add", URL, subject="tag_id", subject_id=ada.tag)
    off = rule(db, ada, Trigger("tag_add", ada.tag), MAIL, enabled=False)
    join(db, ada, "tag", ada.tag, "bea@example.com")
    clock.move(1)
    late = rule(db, ada, Trigger("tag_add", ada.tag), MAIL)
    db.write_now(ada.id, automations.switch, off.id, on=True)

    assert tell(db) == 1
    assert (states(db, ada, off), states(db, ada, late)) == ([], [])

    join(db, ada, "tag", ada.tag, "cal@example.com")
    settle(db)
    assert (states(db, ada, off), states(db, ada, late)) == (["done"], ["done"])


def test_what_is_not_new_starts_nothing(db: Database, cast: Cast) -> None:
    ada = cast.ada
    tagged = rule(db, ada, Trigger("tag_add", ada.tag), MAIL)
    joined = rule(db, ada, Trigger("form_subscribe", ada.plain), MAIL)
    moved = rule(db, ada, Trigger("field_change", ada.city, "Berlin"), MAIL)
    for _ in range(3):
        join(db, ada, "tag", ada.tag, "bea@example.com", fields={"city": "Berlin"})
        join(db, ada, "form", ada.plain, "bea@example.com")
        settle(db)
    assert (states(db, ada, tagged), states(db, ada, moved)) == (["done"], ["done"])
    # Bea has been in the form since the cast was made.
    assert states(db, ada, joined) == []


@pytest.mark.parametrize("state", ("inactive", "cancelled", "bounced", "complained"))
def test_a_rule_mails_only_who_is_active_and_brings_nobody_back(db: Database, cast: Cast, state: str) -> None:
    ada = cast.ada
    who = db.read_now(ada.id, subscribers.get, cast.bea)
    if state == "cancelled":
        db.write_now(ada.id, signup.unsubscribe, who.email, API)
    else:
        db.write_now(ada.id, subscriptions.turn, who, state)
    one = rule(
        db,
        ada,
        Trigger("tag_add", ada.tag),
        MAIL,
        Action("add_to_form", ada.double),
        Action("add_to_sequence", ada.sequence),
    )
    join(db, ada, "tag", ada.tag, who.email)
    assert settle(db) == ["done"]

    assert mails(db, "rule-email:") == []
    [run] = runs(db, ada, one)
    assert f'send the email "Hello": skipped, they are {state}, not active' in run.said
    assert db.read_now(ada.id, subscribers.get, who.id).state == state
    joined = db.read_now(ada.id, subscriptions.find, who.id, "sequence", ada.sequence)
    assert (joined is not None) == (state == "inactive")
    # Nobody is asked to confirm anything by a rule.
    assert mails(db, "confirm:") == [(cast.cal, "queued", "now")]


def test_who_left_between_the_event_and_the_run_is_not_mailed(db: Database, cast: Cast) -> None:
    ada = cast.ada
    rule(db, ada, Trigger("tag_add", ada.tag), MAIL)
    join(db, ada, "tag", ada.tag, "bea@example.com")
    tell(db)
    db.write_now(ada.id, signup.unsubscribe, "bea@example.com", API)
    assert do(db) == ["done"]
    assert mails(db, "rule-email:") == []


def test_another_account_s_rules_hear_nothing(db: Database, cast: Cast) -> None:
    ours = rule(db, cast.ada, Trigger("purchase_create"), MAIL)
    theirs = rule(db, cast.eve, Trigger("subscriber_activate"), MAIL)
    join(db, cast.ada, "form", cast.ada.plain, "new@example.com")
    settle(db)
    assert (states(db, cast.ada, ours), states(db, cast.eve, theirs)) == ([], [])
    with pytest.raises(NotFound):
        db.read_now(cast.eve.id, automations.show, ours.id)
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, automations.switch, ours.id, on=False)
    assert db.read_now(cast.eve.id, automations.page, ours.id) == []


def test_what_is_gone_is_passed_over_and_said(db: Database, cast: Cast) -> None:
    ada = cast.ada
    sets = rule(db, ada, Trigger("tag_add", ada.tag), Action("set_field", ada.city, "x"), MAIL)
    asks = rule(
        db,
        ada,
        Trigger("tag_add", ada.tag),
        MAIL,
        conditions=(Condition("field", ada.city, how="set", negated=True),),
    )
    db.write_now(ada.id, custom_fields.delete, ada.city)
    join(db, ada, "tag", ada.tag, "bea@example.com")
    settle(db)
    [set_run], [ask_run] = runs(db, ada, sets), runs(db, ada, asks)
    assert set_run.state == "done"
    assert set_run.said.startswith(
        f'set the field "#{ada.city}" to "x": skipped, there is no such field any more'
    )
    assert ask_run.state == "skipped"
    assert "there is no such field any more" in ask_run.said
    assert [row[0] for row in mails(db, "rule-email:")] == [cast.bea]


def test_a_rule_switched_off_or_deleted_does_nothing_any_more(db: Database, cast: Cast) -> None:
    ada = cast.ada
    off = rule(db, ada, Trigger("tag_add", ada.tag), MAIL)
    gone = rule(db, ada, Trigger("tag_add", ada.tag), MAIL, Action("post", value=URL))
    join(db, ada, "tag", ada.tag, "bea@example.com")
    tell(db)
    db.write_now(ada.id, automations.switch, off.id, on=False)
    db.write_now(ada.id, automations.delete, gone.id)
    do(db)
    assert [run.said for run in runs(db, ada, off)] == ["the rule is switched off"]
    assert [run.said for run in runs(db, ada, gone)] == ["the rule is gone"]
    assert mails(db, "rule-email:") == []
    assert db.read_now(ada.id, webhooks.all_webhooks, of_rules=True) == []
    assert db.read_now(ada.id, events.listened) == frozenset()


def test_listeners_are_those_that_are_on(db: Database, cast: Cast) -> None:
    ada = cast.ada

    def listened() -> set[str]:
        return set(db.read_now(ada.id, events.listened))

    one = rule(db, ada, Trigger("tag_add", ada.tag), MAIL)
    two = rule(db, ada, Trigger("tag_add", ada.vip), MAIL, enabled=False)
    timed = rule(db, ada, Trigger("goes_quiet", days=3), MAIL)
    assert listened() == {"tag_add"}
    for on in (True, True, False, False):
        db.write_now(ada.id, automations.switch, two.id, on=on)
    assert listened() == {"tag_add"}
    db.write_now(ada.id, automations.change, one.id, Wish("One", Trigger("purchase_create"), (), (MAIL,)))
    assert listened() == {"purchase_create"}
    db.write_now(ada.id, automations.change, timed.id, Wish("T", Trigger("tag_remove", ada.tag), (), (MAIL,)))
    assert listened() == {"purchase_create", "tag_remove"}
    for each in (one, two, timed):
        db.write_now(ada.id, automations.delete, each.id)
    assert rows(db, "SELECT DISTINCT n FROM listeners WHERE account_id = :id", id=ada.id) == [(0,)]


def test_a_try_says_what_a_run_then_does_and_changes_nothing(db: Database, cast: Cast) -> None:
    ada = cast.ada
    one = rule(
        db,
        ada,
        Trigger("tag_add", ada.tag),
        Action("add_tag", ada.vip),
        Action("add_tag", ada.vip),
        Action("set_field", ada.city, "Berlin"),
        Action("add_to_sequence", ada.sequence),
        Action("unsubscribe"),
        Action("remove_from_sequence", ada.sequence),
        Action("add_to_form", ada.double),
        MAIL,
        Action("remove_tag", ada.vip),
        Action("tell_owner", subject="Look"),
        conditions=(Condition("state", value="active"),),
    )
    tables = ("subscribers", "subscriptions", "events", "deliveries", "entries", "rule_runs", "owner_notes")

    def everything() -> list[object]:
        return [rows(db, f"SELECT * FROM {table} ORDER BY account_id, id") for table in tables]  # noqa: S608

    before = everything()
    foreseen = db.read_now(ada.id, automations.would, one.id, cast.bea)
    assert everything() == before
    assert (foreseen.enabled, foreseen.acts) == (True, True)
    assert [bool(step.skipped) for step in foreseen.steps] == [
        False, True, False, False, False, True, True, True, False, False,
    ]  # fmt: skip
    join(db, ada, "tag", ada.tag, "bea@example.com")
    assert settle(db) == ["done"]
    assert runs(db, ada, one)[0].said == "; ".join(step.line for step in foreseen.steps)
    assert not db.read_now(ada.id, automations.would, one.id, cast.bea).acts


def test_a_run_that_cannot_be_done_leaves_nothing_behind(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    one = rule(db, ada, Trigger("tag_add", ada.tag), Action("add_tag", ada.vip), Action("post", value=URL))
    join(db, ada, "tag", ada.tag, "bea@example.com")
    tell(db)
    [due] = db.read_now(ada.id, automations.due, 10)

    def refuse(_: object) -> str:
        raise Invalid("body", "is wrong")

    with pytest.raises(Invalid):
        db.write_now(ada.id, automations.do, due.id, refuse)
    assert states(db, ada, one) == ["due"]
    assert db.read_now(ada.id, subscriptions.tag_ids, cast.bea) == [ada.tag]
    assert db.write_now(ada.id, automations.fail, due.id, "body is wrong")
    assert not db.write_now(ada.id, automations.fail, due.id, "body is wrong")
    assert [(run.state, run.said) for run in runs(db, ada, one)] == [("failed", "body is wrong")]
    assert (shown(db, ada, one).ran, shown(db, ada, one).problem) == (0, "a run failed: body is wrong")


def test_two_workers_never_do_a_run_twice(
    db: Database, cast: Cast, open_db: Callable[[], Database], clock: Clock
) -> None:
    ada, people = cast.ada, 60
    rule(db, ada, Trigger("tag_add", ada.tag), MAIL, Action("post", value=URL), Action("add_tag", ada.vip))
    for n in range(people):
        join(db, ada, "tag", ada.tag, f"p{n}@example.com")
    tell(db)
    due = db.read_now(ada.id, automations.due, 1_000)
    assert len(due) == people
    start, ended, failed = threading.Barrier(2), [], []

    def hurry(own: Database, mine: list[automations.Due]) -> None:
        start.wait(10)
        try:
            ended.extend(own.write_now(ada.id, automations.do, one.id, shape) for one in mine)
        except Exception as problem:  # noqa: BLE001 - told below, where the test fails of it
            failed.append(problem)

    workers = [threading.Thread(target=hurry, args=(open_db(), mine)) for mine in (due, due[::-1])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert failed == []
    assert Counter(ended) == {"done": people, "": people}
    assert len(mails(db, "rule-email:")) == people
    assert rows(db, "SELECT COUNT(*) FROM notices") == [(people,)]
    assert rows(db, "SELECT ran FROM rules") == [(people,)]


def test_an_account_with_much_to_do_does_not_hold_up_another(db: Database, cast: Cast, clock: Clock) -> None:
    ada, eve = cast.ada, cast.eve
    rule(db, ada, Trigger("tag_add", ada.tag), MAIL)
    rule(db, eve, Trigger("tag_add", eve.tag), MAIL)
    for n in range(12):
        join(db, ada, "tag", ada.tag, f"p{n}@example.com")
    clock.move(1)
    join(db, eve, "tag", eve.tag, "fay@example.com")
    tell(db)
    accounts = [one.account_id for one in db.read_now(ada.id, automations.due, 4)]
    assert Counter(accounts) == {ada.id: 2, eve.id: 1}
    assert [one.account_id for one in db.read_now(ada.id, automations.due, 1)] == [ada.id]
    assert [one.account_id for one in db.read_now(ada.id, automations.due, 1, after=ada.id)] == [eve.id]
