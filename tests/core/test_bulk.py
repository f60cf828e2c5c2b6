"""Bulk changes: everybody who was chosen, once, with the events that a single change has."""

import pytest

from tests.core.cast import Cast, Owner, join, names, rows
from tests.core.recount import recount
from tidings.core import bulk, erasure, subscribers
from tidings.core.bulk import Change, Chosen, choosing
from tidings.core.events import Origin
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.db import Database

API = Origin("api")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, db: Database) -> None:
    monkeypatch.setattr(bulk, "SLICE", 3)
    monkeypatch.setattr(choosing, "LOOKED", 4)
    db.pepper = b"p" * 32


@pytest.fixture
def people(db: Database, ada: Owner) -> list[int]:
    """Ten people, all active."""
    return [join(db, ada, "form", ada.plain, f"person{n}@example.com")[1].id for n in range(10)]


def ask(db: Database, owner: Owner, chosen: Chosen, act: str = "tag", tag_id: int | None = None) -> Change:
    expected = db.read_now(owner.id, bulk.count, chosen).n
    tag_id = tag_id if tag_id or act == "unsubscribe" else owner.vip
    return db.write_now(owner.id, bulk.ask, act, chosen, asked_by="ada", expected=expected, tag_id=tag_id)


def work(db: Database) -> int:
    """Do all that waits; return how many slices it took."""
    slices, after = 0, 0
    while change := db.read_now(0, bulk.due, after):
        after = change.account_id
        found = db.read_now(change.account_id, bulk.look, change)
        assert len(found.ids) <= bulk.SLICE
        assert db.write_now(change.account_id, bulk.do, found)
        slices += 1
        assert slices < 100
    return slices


def tagged(db: Database, owner: Owner, tag_id: int | None = None) -> set[int]:
    found = rows(db, "SELECT subscriber_id FROM subscriptions WHERE tag_id = :tag", tag=tag_id or owner.vip)
    return {int(str(row[0])) for row in found}


def test_everybody_of_a_filter_gets_the_tag_once_with_its_event(
    db: Database, ada: Owner, cast: Cast, people: list[int]
) -> None:
    asked = ask(db, ada, Chosen(state="active"))
    assert (asked.state, asked.expected) == ("waiting", 11)
    assert work(db) >= 4
    done = db.read_now(ada.id, bulk.find, asked.id)
    assert (done.state, done.matched, done.changed) == ("done", 11, 11)
    assert tagged(db, ada) == {*people, cast.bea}
    for who in people:
        assert names(db, ada, who).count("tag_add") == 1
    recount(db)
    again = ask(db, ada, Chosen(state="active"))
    work(db)
    assert db.read_now(ada.id, bulk.find, again.id).changed == 0
    assert names(db, ada, people[0]).count("tag_add") == 1


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    (
        (Chosen(), 13),
        (Chosen(state="bounced"), 1),
        (Chosen(kind="form", ref_id=-1), 12),
        (Chosen(kind="form", ref_id=-1, state="active"), 11),
        (Chosen(text="person"), 10),
        (Chosen(text="person", state="bounced"), 0),
        (Chosen(text="PERSON 3"), 1),
        (Chosen(text="person", kind="form", ref_id=-1), 10),
        (Chosen(text="bea", kind="form", ref_id=-1, state="active"), 1),
    ),
)
def test_the_count_before_is_who_is_met(
    db: Database, ada: Owner, people: list[int], chosen: Chosen, wanted: int
) -> None:
    if chosen.kind:
        chosen = Chosen(text=chosen.text, kind="form", ref_id=ada.plain, state=chosen.state)
    counted = db.read_now(ada.id, bulk.count, chosen)
    assert (counted.n, counted.exact) == (wanted, True)
    asked = ask(db, ada, chosen)
    work(db)
    assert db.read_now(ada.id, bulk.find, asked.id).matched == wanted == len(tagged(db, ada))


def test_the_tag_is_taken_off_and_people_are_unsubscribed(
    db: Database, ada: Owner, cast: Cast, people: list[int]
) -> None:
    six = ask(db, ada, Chosen(ids=people[:6]))
    assert work(db) == 2
    assert db.read_now(ada.id, bulk.find, six.id).matched == 6
    ask(db, ada, Chosen(ids=people[2:8]), "untag")
    work(db)
    assert tagged(db, ada) == set(people[:2])
    assert names(db, ada, people[3])[-1] == "tag_remove"
    asked = ask(db, ada, Chosen(kind="tag", ref_id=ada.vip), "unsubscribe")
    work(db)
    assert db.read_now(ada.id, bulk.find, asked.id).changed == 2
    assert db.read_now(ada.id, subscribers.get, people[0]).state == "cancelled"
    assert db.read_now(ada.id, subscribers.get, people[3]).state == "active"
    assert names(db, ada, people[0])[-1] == "subscriber_unsubscribe"
    recount(db)


def test_who_comes_after_the_asking_is_not_meant(db: Database, ada: Owner, people: list[int]) -> None:
    asked = ask(db, ada, Chosen(state="active"))
    later = join(db, ada, "form", ada.plain, "later@example.com")[1].id
    work(db)
    assert later not in tagged(db, ada)
    assert db.read_now(ada.id, bulk.find, asked.id).matched == 11


def test_a_slice_is_done_once_however_often_it_is_handed_in(
    db: Database, ada: Owner, people: list[int]
) -> None:
    asked = ask(db, ada, Chosen(state="active"))
    found = db.read_now(ada.id, bulk.look, asked)
    assert db.write_now(ada.id, bulk.do, found)
    assert not db.write_now(ada.id, bulk.do, found)
    assert db.read_now(ada.id, bulk.find, asked.id).matched == 3


def test_a_cancelled_change_stops_where_it_is(db: Database, ada: Owner, people: list[int]) -> None:
    asked = ask(db, ada, Chosen(state="active"))
    found = db.read_now(ada.id, bulk.look, asked)
    db.write_now(ada.id, bulk.do, found)
    second = db.read_now(ada.id, bulk.look, db.read_now(ada.id, bulk.find, asked.id))
    assert db.write_now(ada.id, bulk.cancel, asked.id).state == "cancelled"
    assert not db.write_now(ada.id, bulk.do, second)
    assert db.read_now(0, bulk.due) is None
    assert len(tagged(db, ada)) == 3
    work(db)
    assert db.write_now(ada.id, bulk.cancel, asked.id).state == "cancelled"


def test_who_was_erased_between_two_slices_is_left_out(db: Database, ada: Owner, people: list[int]) -> None:
    asked = ask(db, ada, Chosen(ids=people))
    found = db.read_now(ada.id, bulk.look, asked)
    db.write_now(ada.id, erasure.erase, found.ids[1], API)
    assert db.write_now(ada.id, bulk.do, found)
    assert db.read_now(ada.id, bulk.find, asked.id).matched == 2


def test_changes_of_two_accounts_take_turns_and_stay_apart(
    db: Database, ada: Owner, cast: Cast, people: list[int]
) -> None:
    eves = [join(db, cast.eve, "form", cast.eve.plain, f"person{n}@example.com")[1].id for n in range(8)]
    ask(db, ada, Chosen(ids=[*people, *eves]))
    ask(db, cast.eve, Chosen(ids=[*people, *eves]))
    first = db.read_now(0, bulk.due)
    assert first
    second = db.read_now(0, bulk.due, first.account_id)
    assert second
    assert second.account_id != first.account_id
    work(db)
    assert tagged(db, ada) == set(people)
    assert tagged(db, cast.eve) == set(eves)
    with pytest.raises(NotFound):
        db.read_now(cast.eve.id, bulk.find, first.id)


def test_what_cannot_be_meant_is_refused(db: Database, ada: Owner, cast: Cast) -> None:
    with pytest.raises(Invalid):
        ask(db, ada, Chosen(ids=[]))
    with pytest.raises(Invalid):
        ask(db, ada, Chosen(ids=list(range(1, choosing.IDS_MAX + 2))))
    with pytest.raises(Invalid):
        ask(db, ada, Chosen(text="b"))
    with pytest.raises(Invalid):
        ask(db, ada, Chosen(state="asleep"))
    with pytest.raises(NotFound):
        ask(db, ada, Chosen(kind="tag", ref_id=cast.eve.tag))
    with pytest.raises(NotFound):
        ask(db, ada, Chosen(kind="nothing", ref_id=1))
    with pytest.raises(NotFound):
        ask(db, ada, Chosen(), tag_id=cast.eve.tag)
    with pytest.raises(Invalid):
        ask(db, ada, Chosen(), "explode")
    with pytest.raises(Invalid):
        db.write_now(ada.id, bulk.ask, "tag", Chosen(), asked_by="ada", expected=0)
    assert db.read_now(ada.id, bulk.newest) == []


def test_too_many_waiting_changes_are_refused(db: Database, ada: Owner) -> None:
    for _ in range(bulk.WAITING_MAX):
        ask(db, ada, Chosen())
    with pytest.raises(Conflict):
        ask(db, ada, Chosen())
    assert len(db.read_now(ada.id, bulk.newest)) == bulk.LISTED


def test_a_count_that_would_compare_too_many_says_so(
    db: Database, ada: Owner, people: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "COUNTED_MAX", 5)
    monkeypatch.setattr("tidings.core.subscribers.walks.NAMED_MAX", 2)
    counted = db.read_now(ada.id, bulk.count, Chosen(text="person"))
    assert not counted.exact
    assert 0 < counted.n < 10
