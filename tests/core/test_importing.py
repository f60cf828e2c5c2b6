"""Imports: people in sets, states that never get better, a place that is kept with its slice."""

from collections.abc import Sequence

import pytest

from tests.core.cast import HOUR, NOON, Cast, Owner, names, rows, told
from tests.core.recount import recount
from tidings.core import erasure, importing, subscribers, subscriptions, webhooks
from tidings.core.events import Origin
from tidings.core.importing import Incoming, Place, Slice, Taken, Tally
from tidings.errors import Conflict
from tidings.mail import address
from tidings.moving.people import packed
from tidings.store.db import Database

BEFORE = NOON - 400 * 24 * HOUR


@pytest.fixture(autouse=True)
def pepper(db: Database) -> None:
    db.pepper = b"k" * 32


def one(
    record: int,
    email: str,
    state: str = "active",
    *,
    first_name: str | None = None,
    fields: dict[str, str] | None = None,
    **origin: str,
) -> Incoming:
    """Return somebody of a file."""
    who = address.parse(email)
    return Incoming(
        record, record + 1, who.email, who.key, who.mailbox, first_name, state, packed(fields or {}), BEFORE,
        BEFORE + HOUR, importing.said(who.email, first_name, state, BEFORE, {}),
        importing.cause(record + 1, **origin),
    )  # fmt: skip


def bring(
    db: Database,
    owner: Owner,
    *people: Incoming,
    combos: Sequence[Sequence[tuple[str, int]]] = ((),),
    things: Sequence[int] = (),
    aloud: bool = False,
) -> Taken:
    """Bring people in as one slice of an import of their own; it does what a trial had said."""
    begun = db.write_now(owner.id, importing.begin, "people.csv", str(people), "{}")
    given = Slice(list(people), things or [0] * len(people), combos, people[-1].record)
    said = db.read_now(owner.id, importing.weigh, given)
    taken = db.write_now(owner.id, importing.take, begun.id, begun.place, given, aloud=aloud)
    assert taken.tally == said
    return taken


def state(db: Database, owner: Owner, email: str) -> str | None:
    who = db.read_now(owner.id, subscribers.find, email)
    return who.state if who else None


def test_newcomers_are_whole_and_counted(db: Database, ada: Owner) -> None:
    every = [one(n, f"{said}@new.example", said) for n, said in enumerate(subscribers.STATES, 1)]
    every[0] = one(1, "Ann@New.example", "active", first_name="Ann", fields={str(ada.city): 'a "b"\n\\c'})
    combos = [[], [("tag", ada.tag), ("form", ada.plain)]]
    taken = bring(db, ada, *every, combos=combos, things=[1, 0, 1, 0, 1])
    assert taken == Taken(Place(5), 5, Tally(made=5))
    ann = db.read_now(ada.id, subscribers.find, "ann@new.example")
    assert ann is not None
    assert (ann.email, ann.first_name, ann.state, ann.created_at) == (
        "Ann@New.example",
        "Ann",
        "active",
        BEFORE,
    )
    assert ann.fields == {"last_name": None, "city": 'a "b"\n\\c'}
    assert db.read_now(ada.id, subscriptions.tag_ids, ann.id) == [ada.tag]
    assert [state(db, ada, f"{said}@new.example") for said in subscribers.STATES[1:]] == list(
        subscribers.STATES[1:]
    )
    recount(db)


def test_who_comes_active_has_a_proof_and_is_told_to_nobody(db: Database, ada: Owner) -> None:
    for name in ("subscriber_activate", "tag_add"):
        about = {"subject": "tag_id", "subject_id": ada.tag} if name == "tag_add" else {}
        db.write_now(ada.id, webhooks.create, name, "https://example.com/", **about)  # type: ignore[arg-type]
    person = one(7, "ann@new.example", proof="confirmed 2020", address="203.0.113.9")
    bring(db, ada, person, combos=[[("tag", ada.tag)]])
    ann = db.read_now(ada.id, subscribers.find, "ann@new.example")
    assert ann is not None
    (event,) = told(db, ada, ann.id)
    assert (event.name, event.origin.address) == ("subscriber_activate", "203.0.113.9")
    assert event.origin.source == "import 1 of people.csv, line 8; confirmed 2020"
    assert rows(db, "SELECT COUNT(*) FROM events WHERE told_at IS NULL") == [(0,)]


def test_aloud_an_import_tells_whoever_listens(db: Database, ada: Owner) -> None:
    about = {"subject": "tag_id", "subject_id": ada.tag}
    db.write_now(ada.id, webhooks.create, "tag_add", "https://example.com/", **about)  # type: ignore[arg-type]
    bring(db, ada, one(1, "ann@new.example"), combos=[[("tag", ada.tag)]], aloud=True)
    assert rows(db, "SELECT name FROM events WHERE told_at IS NULL") == [("tag_add",)]


@pytest.mark.parametrize("there", ("cancelled", "bounced", "complained"))
def test_nobody_is_revived(db: Database, cast: Cast, there: str) -> None:
    ada = cast.ada
    bea = db.read_now(ada.id, subscribers.get, cast.bea)
    db.write_now(ada.id, subscriptions.turn, bea, there)
    taken = bring(db, ada, one(1, "BEA@example.com", "active"), one(2, "ann@new.example"))
    assert taken.tally == Tally(made=1, kept=1)
    assert state(db, ada, "bea@example.com") == there
    recount(db)


def test_a_file_that_says_that_somebody_left_is_believed(db: Database, cast: Cast) -> None:
    taken = bring(
        db, cast.ada, one(1, "bea@example.com", "cancelled"), one(2, "dee@example.com", "cancelled")
    )
    assert taken.tally == Tally(changed=1, kept=1)
    assert state(db, cast.ada, "bea@example.com") == "cancelled"
    assert state(db, cast.ada, "dee@example.com") == "bounced"
    assert names(db, cast.ada, cast.bea)[-1] == "subscriber_unsubscribe"
    left = db.read_now(cast.ada.id, subscriptions.find, cast.bea, "form", cast.ada.plain)
    assert left is not None
    assert left.ended_at == NOON
    recount(db)


def test_who_waits_for_a_confirmation_becomes_active_when_the_file_says_so(db: Database, cast: Cast) -> None:
    assert bring(db, cast.ada, one(1, "cal@example.com")).tally == Tally(changed=1)
    assert state(db, cast.ada, "cal@example.com") == "active"


def test_who_was_erased_does_not_come_back(db: Database, cast: Cast) -> None:
    db.write_now(cast.ada.id, erasure.erase, cast.bea, Origin("command"))
    people = [one(1, "Bea+new@example.com"), one(2, "ann@new.example")]
    held = db.write_now(cast.ada.id, importing.held, people)
    assert [person.record for person in held] == [1]
    assert bring(db, cast.ada, *people).tally == Tally(made=1, rejected=1)
    assert state(db, cast.ada, "bea+new@example.com") is None


def test_known_people_get_what_is_new_and_keep_what_the_file_leaves_blank(db: Database, cast: Cast) -> None:
    ada = cast.ada
    said = {"fields": {str(ada.city): "Bremen"}}
    assert bring(db, ada, one(1, "bea@example.com", **said), combos=[[("tag", ada.vip)]]).tally.changed == 1  # type: ignore[arg-type]
    bea = db.read_now(ada.id, subscribers.get, cast.bea)
    assert (bea.first_name, bea.fields["city"]) == ("Bea", "Bremen")
    assert db.read_now(ada.id, subscriptions.tag_ids, cast.bea) == [ada.vip]
    again = bring(db, ada, one(2, "bea@example.com", **said), combos=[[("tag", ada.vip)]])  # type: ignore[arg-type]
    assert again.tally == Tally(same=1)
    recount(db)


def test_who_has_left_a_form_stays_out_of_it(db: Database, cast: Cast) -> None:
    ada = cast.ada
    bea = db.read_now(ada.id, subscribers.get, cast.bea)
    db.write_now(ada.id, subscriptions.leave, bea, "form", ada.plain, Origin("api"))
    assert bring(db, ada, one(1, "bea@example.com"), combos=[[("form", ada.plain)]]).tally == Tally(same=1)
    left = db.read_now(ada.id, subscriptions.find, cast.bea, "form", ada.plain)
    assert left is not None
    assert left.state == "cancelled"


def test_a_sequence_mails_nothing_to_who_is_imported_into_it(db: Database, ada: Owner) -> None:
    bring(db, ada, one(1, "ann@new.example"), combos=[[("sequence", ada.sequence)]])
    assert rows(db, "SELECT state, next_at FROM entries") == [("ended", None)]
    assert rows(db, "SELECT COUNT(*) FROM deliveries WHERE created_at >= 0 AND lane = 'bulk'") == [(0,)]


def test_a_slice_that_is_done_cannot_be_done_again(db: Database, ada: Owner) -> None:
    begun = db.write_now(ada.id, importing.begin, "people.csv", "d", "{}")
    given = Slice([one(1, "ann@new.example")], [0], [[]], 3, rejected=1, repeated=1)
    taken = db.write_now(ada.id, importing.take, begun.id, Place(), given)
    assert taken == Taken(Place(3), 1, Tally(made=1, rejected=1, same=1))
    with pytest.raises(Conflict):
        db.write_now(ada.id, importing.take, begun.id, Place(), given)
    goes_on = db.write_now(ada.id, importing.begin, "people.csv", "d", "{}")
    assert (goes_on.id, goes_on.place, goes_on.tally) == (begun.id, Place(3), taken.tally)
    db.write_now(ada.id, importing.finish, begun.id)
    assert db.write_now(ada.id, importing.begin, "people.csv", "d", "{}").id != begun.id


def test_more_changes_than_a_slice_may_hold_are_left_for_the_next(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidings.core.importing.known.CHANGES_MAX", 2)
    bring(db, ada, *(one(n, f"p{n}@new.example") for n in range(1, 6)))
    begun = db.write_now(ada.id, importing.begin, "left.csv", "e", "{}")
    people = [one(n, f"p{n}@new.example", "cancelled") for n in range(1, 6)] + [one(6, "p6@new.example")]
    place, steps = Place(), []
    while place.record < 6:
        rest = people[place.within :]
        given = Slice(rest, [0] * len(rest), [[]], 6, rejected=1)
        taken = db.write_now(ada.id, importing.take, begun.id, place, given)
        place = taken.place
        steps.append((place, taken.done))
    assert steps == [(Place(0, 2), 2), (Place(0, 4), 2), (Place(6), 2)]
    found = db.read_now(ada.id, importing.find, begun.id)
    assert found.tally == Tally(changed=5, made=1, rejected=1)
    recount(db)


def test_an_account_sees_its_own_imports_and_people_alone(db: Database, cast: Cast) -> None:
    bring(db, cast.eve, one(1, "bea@example.com", "cancelled"))
    assert state(db, cast.ada, "bea@example.com") == "active"
    assert db.read_now(cast.ada.id, importing.latest) == []
    assert len(db.read_now(cast.eve.id, importing.latest)) == 1
