"""Deleting tags and fields: refused while something needs them, then gone at once, off people in slices."""

from collections.abc import Callable

import pytest

from tests.core.cast import API, Cast, Clock, Owner, join, names, rows
from tests.core.recount import recount
from tidings.core import (
    automations,
    broadcasts,
    counters,
    custom_fields,
    history,
    preferences,
    retiring,
    sequences,
    signup,
    subscriptions,
    tags,
)
from tidings.core.automations import Action, Condition, Trigger, Wish
from tidings.core.broadcasts import course
from tidings.core.sequences import Exclusions
from tidings.core.subscriptions import emptying
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.db import Database


def empty_all(db: Database) -> int:
    """Take deleted tags off everybody, as the engine does; return how many slices it took."""
    slices = 0
    while (waiting := db.read_now(0, tags.next_to_empty)) is not None:
        if not db.write_now(waiting[0], tags.empty, waiting[1]):
            break
        slices += 1
    return slices


def test_a_deleted_tag_is_nowhere_at_once_and_its_name_is_free(db: Database, cast: Cast) -> None:
    ada = cast.ada
    join(db, ada, "tag", ada.tag, "bea@example.com")
    db.write_now(ada.id, tags.set_public, ada.tag, public=True)
    db.write_now(ada.id, retiring.delete_tag, ada.tag)
    assert [one.id for one in db.read_now(ada.id, tags.all_tags).values()] == [ada.vip]
    assert db.read_now(ada.id, tags.public_names) == {}
    assert db.read_now(ada.id, preferences.public) == []
    assert db.read_now(ada.id, tags.of_subscriber, cast.bea) == []
    for verb in (tags.find,):
        with pytest.raises(NotFound):
            db.read_now(ada.id, verb, ada.tag)
    with pytest.raises(NotFound):
        join(db, ada, "tag", ada.tag, "cal@example.com")
    for change in (
        lambda tx: tags.rename(tx, ada.tag, "again"),
        lambda tx: tags.set_public(tx, ada.tag, public=True),
        lambda tx: tags.delete(tx, ada.tag),
        lambda tx: retiring.delete_tag(tx, ada.tag),
        lambda tx: tags.remove(tx, ada.tag, cast.bea, API),
    ):
        with pytest.raises(NotFound):
            db.write_now(ada.id, change)
    (again,) = db.write_now(ada.id, tags.create, ["customer"])
    assert again.id != ada.tag
    assert db.read_now(ada.id, tags.taken, ada.tag)
    # What happened with it can still be told.
    told = [one.title for one in db.read_now(ada.id, history.page, cast.bea).moments]
    assert "got the tag customer (deleted)" in told


def test_a_deleted_tag_is_taken_off_in_slices_that_keep_the_counters_and_tell_nobody(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    monkeypatch.setattr(emptying, "UNTAG_SLICE", 2)
    people = [join(db, ada, "tag", ada.tag, f"p{n}@example.com")[1] for n in range(5)]
    join(db, ada, "tag", ada.vip, "p0@example.com")
    before = names(db, ada, people[0].id)
    db.write_now(ada.id, retiring.delete_tag, ada.tag)
    assert empty_all(db) == 3
    assert rows(db, "SELECT COUNT(*) FROM subscriptions WHERE tag_id = :id", id=ada.tag) == [(0,)]
    assert db.read_now(ada.id, counters.total, "tag", ada.tag) == 0
    assert db.read_now(ada.id, counters.total, "tag", ada.vip) == 1
    assert names(db, ada, people[0].id) == before
    recount(db)
    # Another process may not have heard of it yet: it is looked at for a minute.
    assert db.read_now(0, tags.next_to_empty) == (ada.id, ada.tag)
    clock.move(tags.SETTLED_MS)
    assert empty_all(db) == 0
    assert db.read_now(0, tags.next_to_empty) is None


def test_who_puts_the_tag_on_somebody_in_the_same_moment_has_it_taken_off_too(
    db: Database, cast: Cast, open_db: Callable[[], Database]
) -> None:
    ada = cast.ada
    other = open_db()
    other.read_now(ada.id, tags.all_tags)
    db.write_now(ada.id, retiring.delete_tag, ada.tag)
    db.write_now(ada.id, lambda tx: subscriptions.start(tx, _bea(db, cast), "tag", ada.tag, API))
    assert empty_all(db) == 1
    recount(db)


def _bea(db: Database, cast: Cast) -> signup.Subscriber:
    return db.read_now(cast.ada.id, signup.subscribers.get, cast.bea)


def uses(db: Database, owner: Owner, tag_id: int) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in db.read_now(owner.id, retiring.uses_of_tag, tag_id)]


def test_a_tag_that_something_needs_is_not_deleted_and_what_needs_it_is_said(
    db: Database, cast: Cast
) -> None:
    ada = cast.ada
    assert uses(db, ada, ada.tag) == []
    add = Action("add_tag", ada.tag)
    other = Action("add_tag", ada.vip)
    for wish in (
        Wish("As trigger", Trigger("tag_add", ada.tag), (), (other,)),
        Wish("As condition", Trigger("subscriber_activate"), (Condition("tag", ada.tag),), (other,)),
        Wish("As action", Trigger("subscriber_activate"), (), (add,)),
        Wish("Not at all", Trigger("tag_add", ada.vip), (), (other,)),
        # The same number, of another kind of thing.
        Wish("A form", Trigger("form_subscribe", ada.plain), (), (other,)),
    ):
        db.write_now(ada.id, automations.create, wish)
    db.write_now(ada.id, sequences.set_exclusions, ada.sequence, Exclusions([ada.tag], []))
    draft = db.write_now(ada.id, broadcasts.create, broadcasts.Draft(subject="News"), "ada@example.com")
    done = db.write_now(ada.id, broadcasts.create, broadcasts.Draft(subject="Old"), "ada@example.com")
    for one in (draft, done):
        db.write_now(ada.id, course.set_audience, one.id, [course.Part("tag", ada.tag, excluded=True)])
    db.write_now(
        ada.id, lambda tx: tx.run("UPDATE broadcasts SET status = 'completed' WHERE id = :id", id=done.id)
    )
    assert uses(db, ada, ada.tag) == [
        ("rule", "As action"), ("rule", "As condition"), ("rule", "As trigger"),
        ("sequence", "Onboarding"), ("broadcast", "News"),
    ]  # fmt: skip
    with pytest.raises(Conflict):
        db.write_now(ada.id, retiring.delete_tag, ada.tag)
    assert db.read_now(ada.id, tags.find, ada.tag).name == "customer"
    assert uses(db, cast.eve, cast.eve.tag) == []


def test_a_field_that_a_rule_needs_is_not_deleted(db: Database, cast: Cast) -> None:
    ada = cast.ada
    wish = Wish("City", Trigger("field_change", ada.city), (), (Action("unsubscribe"),))
    rule = db.write_now(ada.id, automations.create, wish)
    with pytest.raises(Conflict):
        db.write_now(ada.id, retiring.delete_field, ada.city)
    db.write_now(ada.id, retiring.delete_field, ada.last_name)
    db.write_now(ada.id, automations.delete, rule.id)
    db.write_now(ada.id, retiring.delete_field, ada.city)
    assert db.read_now(ada.id, custom_fields.all_fields) == ()
    with pytest.raises(NotFound):
        db.write_now(ada.id, retiring.delete_field, ada.city)


def test_nobody_deletes_the_tag_of_another_account(db: Database, cast: Cast) -> None:
    for verb in (retiring.delete_tag, tags.delete):
        with pytest.raises(NotFound):
            db.write_now(cast.eve.id, verb, cast.ada.tag)
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, retiring.delete_field, cast.ada.city)
    assert db.write_now(cast.eve.id, tags.empty, cast.ada.tag) == 0
    assert db.write_now(cast.ada.id, tags.empty, cast.ada.tag) == 0


def test_deleted_tags_leave_room_for_new_ones(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "TAGS_MAX", 2)
    with pytest.raises(Invalid):
        db.write_now(ada.id, tags.create, ["more"])
    db.write_now(ada.id, tags.delete, ada.vip)
    db.write_now(ada.id, tags.create, ["more"])


def test_totals_of_many_lists_are_those_of_each(db: Database, cast: Cast) -> None:
    ada = cast.ada
    for n in range(3):
        join(db, ada, "tag", ada.tag, f"p{n}@example.com")
    db.write_now(ada.id, subscriptions.turn, _bea(db, cast), "cancelled")
    join(db, ada, "tag", ada.tag, "bea@example.com")
    found = db.read_now(ada.id, counters.totals, "tag", [ada.tag, ada.vip, *range(10_000, 10_080)])
    assert found[ada.tag] == {"active": 3, "cancelled": 1}
    assert found[ada.vip] == {}
    assert len(found) == 82
    assert sum(found[ada.tag].values()) == db.read_now(ada.id, counters.total, "tag", ada.tag)
    assert db.read_now(cast.eve.id, counters.totals, "tag", [ada.tag]) == {ada.tag: {}}


def test_joined_since_counts_the_newest_up_to_a_bound(db: Database, ada: Owner, clock: Clock) -> None:
    for n in range(4):
        join(db, ada, "form", ada.double, f"p{n}@example.com")
        clock.move(1_000)

    def since(ms: int, most: int) -> int:
        return db.read_now(ada.id, subscriptions.joined_since, "form", ada.double, clock.now - ms, most)

    # Cal joined with the cast, at the same moment as the first.
    assert [since(ms, 100) for ms in (0, 1_000, 2_000, 4_000)] == [0, 1, 2, 5]
    assert since(4_000, 3) == 3
