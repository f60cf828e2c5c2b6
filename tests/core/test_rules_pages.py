"""What pages ask of rules: pages of them, how each ended lately, and who may start whom."""

import pytest

from tests.core.cast import Cast, Clock, join
from tests.core.ruled import rule, runs, settle
from tidings.core import automations
from tidings.core.automations import Action, Condition, Trigger, rows
from tidings.errors import Conflict
from tidings.store.db import Database


def test_rules_are_listed_by_name_a_page_at_a_time(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automations.definitions, "LISTED", 2)
    for name in ("c", "A", "b"):
        rule(db, cast.ada, Trigger("purchase_create"), Action("unsubscribe"), name=name)
    rule(db, cast.eve, Trigger("purchase_create"), Action("unsubscribe"), name="a")
    found = [[one.rule.name for one in db.read_now(cast.ada.id, automations.listed, n)] for n in (1, 2, 3)]
    assert found == [["A", "b"], ["c"], []]


def test_the_newest_run_and_the_ends_of_the_newest_runs_are_known(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    tags = rule(db, ada, Trigger("tag_add", ada.tag), Action("add_tag", ada.vip))
    never = rule(
        db, ada, Trigger("tag_add", ada.tag), Action("unsubscribe"), conditions=(Condition("bought"),)
    )
    quiet = rule(db, ada, Trigger("purchase_create"), Action("unsubscribe"))
    for name in ("x", "y", "z"):
        join(db, ada, "tag", ada.tag, f"{name}@example.com")
    settle(db)
    latest = db.read_now(ada.id, automations.latest, [tags.id, never.id, quiet.id])
    assert latest == {tags.id: runs(db, ada, tags)[-1], never.id: runs(db, ada, never)[-1]}
    assert db.read_now(cast.eve.id, automations.latest, [tags.id]) == {}
    assert db.read_now(ada.id, automations.latest, []) == {}
    assert db.read_now(ada.id, automations.lately, tags.id) == {"done": 3}
    assert db.read_now(ada.id, automations.lately, never.id) == {"skipped": 3}
    monkeypatch.setattr(rows, "LATELY", 2)
    assert db.read_now(ada.id, automations.lately, tags.id) == {"done": 2}


def test_a_chain_tells_who_may_start_whom_and_where_it_comes_round(db: Database, cast: Cast) -> None:
    ada = cast.ada
    first = rule(db, ada, Trigger("tag_add", ada.tag), Action("set_field", ada.city, "Bonn"), name="first")
    second = rule(db, ada, Trigger("field_change", ada.city), Action("add_to_form", ada.plain), name="second")
    third = rule(db, ada, Trigger("form_subscribe", ada.plain), Action("add_tag", ada.tag), name="third")
    aside = rule(db, ada, Trigger("tag_remove", ada.tag), Action("unsubscribe"), name="aside")

    def names(rule_id: int) -> tuple[list[str], list[str], bool]:
        found = db.read_now(ada.id, automations.chain, rule_id)
        return [one.name for one in found.starts], [one.name for one in found.started_by], found.circles

    assert names(first.id) == (["second"], ["third"], True)
    assert names(aside.id) == ([], [], False)
    # A circle with a rule in it that is off does not come round.
    db.write_now(ada.id, automations.switch, second.id, on=False)
    assert names(first.id) == (["second"], ["third"], False)
    assert names(third.id)[2] is False


def test_a_change_of_what_was_changed_meanwhile_is_refused(db: Database, cast: Cast, clock: Clock) -> None:
    made = rule(db, cast.ada, Trigger("purchase_create"), Action("unsubscribe"), name="A")
    seen_at = db.read_now(cast.ada.id, automations.show, made.id).updated_at
    clock.move(1)
    db.write_now(cast.ada.id, automations.change, made.id, made.wish, seen_at=seen_at)
    with pytest.raises(Conflict):
        db.write_now(cast.ada.id, automations.change, made.id, made.wish, seen_at=seen_at)
    db.write_now(cast.ada.id, automations.change, made.id, made.wish)
