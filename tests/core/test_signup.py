"""Signing up and leaving: the rules of contract-v3 sections 3.3, 5 and 8."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from tests.core.cast import API, DAY, Cast, Clock, Owner, join, names, rows, told
from tests.core.recount import recount
from tidings.core import confirmations, signup, subscribers, subscriptions, tags
from tidings.core.signup import Also
from tidings.core.subscribers import Subscriber
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database
from tidings.store.tx import Tx

NEW = "new@example.com"


def things(owner: Owner) -> dict[str, tuple[str, int]]:
    """Return what can be joined, by a word for the tests."""
    return {
        "double": ("form", owner.double),
        "plain": ("form", owner.plain),
        "sequence": ("sequence", owner.sequence),
        "tag": ("tag", owner.tag),
    }


def leave_all(db: Database, owner: Owner, email: str) -> Subscriber:
    return db.write_now(owner.id, signup.unsubscribe, email, API)


def mail_waiting(db: Database, subscriber_id: int) -> int:
    found = rows(db, "SELECT COUNT(*) FROM deliveries WHERE subscriber_id = :id", id=subscriber_id)
    return int(str(found[0][0]))


EVENT = {"plain": "form_subscribe", "sequence": "course_subscribe", "tag": "tag_add"}


@pytest.mark.parametrize("thing", ("plain", "sequence", "tag"))
def test_somebody_new_is_active_where_no_confirmation_is_asked(db: Database, ada: Owner, thing: str) -> None:
    joined, who = join(db, ada, *things(ada)[thing], NEW, "Nia")
    assert who.state == joined.state == "active"
    assert (who.email, who.first_name) == (NEW, "Nia")
    assert (joined.kind, joined.ref_id) == things(ada)[thing]
    assert joined.subscriber_id == who.id
    assert sorted(names(db, ada, who.id)) == sorted([EVENT[thing], "subscriber_activate"])
    assert mail_waiting(db, who.id) == 0
    recount(db)


def test_somebody_new_waits_for_confirmation_where_the_form_asks_for_it(
    db: Database, ada: Owner, clock: Clock
) -> None:
    joined, who = join(db, ada, "form", ada.double, NEW)
    assert who.state == joined.state == "inactive"
    assert who.created_at == joined.created_at == clock.now
    assert names(db, ada, who.id) == ["form_subscribe"]
    assert rows(db, "SELECT occasion, lane, state FROM deliveries WHERE subscriber_id = :id", id=who.id) == [
        (f"confirm:{joined.id}:1", "now", "queued")
    ]
    recount(db)


def test_any_form_of_the_call_that_asks_for_confirmation_makes_a_newcomer_wait(
    db: Database, ada: Owner
) -> None:
    joined, who = join(db, ada, "tag", ada.tag, NEW, also=Also(forms=[ada.plain, ada.double]))
    assert (joined.kind, who.state) == ("tag", "inactive")
    asked = db.read_now(ada.id, subscriptions.find, who.id, "form", ada.double)
    assert asked is not None
    assert rows(db, "SELECT occasion FROM deliveries WHERE subscriber_id = :id", id=who.id) == [
        (f"confirm:{asked.id}:1",)
    ]
    recount(db)


@pytest.mark.parametrize("thing", ("double", "plain", "sequence", "tag"))
def test_signing_up_twice_gives_the_same_ids_and_no_second_event(
    db: Database, ada: Owner, thing: str, clock: Clock
) -> None:
    first, who = join(db, ada, *things(ada)[thing], NEW)
    before = names(db, ada, who.id)
    clock.move(DAY)
    again, same = join(db, ada, *things(ada)[thing], " NEW@Example.COM ")
    assert (again.id, same.id, same.state) == (first.id, who.id, who.state)
    assert again.created_at == first.created_at
    assert same.email == NEW
    assert names(db, ada, who.id) == before
    recount(db)


def test_a_known_address_uses_up_no_ids(db: Database, ada: Owner) -> None:
    joined, who = join(db, ada, "form", ada.plain, NEW)
    for _ in range(5):
        join(db, ada, "form", ada.plain, NEW)
    next_joined, next_who = join(db, ada, "form", ada.plain, "next@example.com")
    assert (next_joined.id, next_who.id) == (joined.id + 1, who.id + 1)


@pytest.mark.parametrize(
    ("thing", "becomes"),
    (("double", "inactive"), ("plain", "active"), ("sequence", "active"), ("tag", "cancelled")),
)
def test_who_cancelled_comes_back_by_a_form_or_sequence_never_by_a_tag(
    db: Database, ada: Owner, thing: str, becomes: str
) -> None:
    first, who = join(db, ada, "form", ada.plain, NEW)
    leave_all(db, ada, NEW)
    joined, back = join(db, ada, *things(ada)[thing], NEW)
    assert (back.id, back.state) == (who.id, becomes)
    assert joined.state == becomes
    assert mail_waiting(db, who.id) == (1 if thing == "double" else 0)
    activated = names(db, ada, who.id).count("subscriber_activate")
    assert activated == (2 if becomes == "active" else 1)
    if thing == "plain":
        assert joined.id == first.id
        assert names(db, ada, who.id).count("form_subscribe") == 2
    recount(db)


@pytest.mark.parametrize(
    ("thing", "becomes"),
    (("double", "inactive"), ("plain", "active"), ("sequence", "active"), ("tag", "inactive")),
)
def test_who_has_not_confirmed_is_activated_where_no_confirmation_is_asked(
    db: Database, cast: Cast, thing: str, becomes: str
) -> None:
    _, cal = join(db, cast.ada, *things(cast.ada)[thing], "cal@example.com")
    assert (cal.id, cal.state) == (cast.cal, becomes)
    assert ("subscriber_activate" in names(db, cast.ada, cal.id)) is (becomes == "active")
    recount(db)


def test_who_is_active_stays_so_at_a_form_that_asks_for_confirmation(db: Database, cast: Cast) -> None:
    _, bea = join(db, cast.ada, "form", cast.ada.double, "bea@example.com")
    assert bea.state == "active"
    assert mail_waiting(db, cast.bea) == 0
    assert names(db, cast.ada, cast.bea).count("subscriber_activate") == 1


@pytest.mark.parametrize("state", ("bounced", "complained"))
@pytest.mark.parametrize("thing", ("double", "plain", "sequence", "tag"))
def test_bounced_and_complained_are_never_revived(db: Database, ada: Owner, thing: str, state: str) -> None:
    _, who = join(db, ada, "tag", ada.vip, NEW)
    db.write_now(ada.id, subscriptions.turn, who, state)
    joined, same = join(db, ada, *things(ada)[thing], NEW)
    assert same.state == joined.state == state
    assert mail_waiting(db, who.id) == 0
    assert names(db, ada, who.id).count("subscriber_activate") == 1
    gone = leave_all(db, ada, NEW)
    assert gone.state == state
    assert "subscriber_unsubscribe" not in names(db, ada, who.id)
    recount(db)


def test_tags_forms_and_sequences_of_the_call_are_joined_too_each_once(db: Database, ada: Owner) -> None:
    also = Also(tags=[ada.tag, ada.vip, ada.tag], forms=[ada.plain], sequences=[ada.sequence])
    _, who = join(db, ada, "form", ada.plain, NEW, also=also)
    events = sorted((one.name, one.subject_id) for one in told(db, ada, who.id))
    assert events == sorted(
        [
            ("form_subscribe", ada.plain),
            ("course_subscribe", ada.sequence),
            ("tag_add", ada.tag),
            ("tag_add", ada.vip),
            ("subscriber_activate", None),
        ]
    )
    assert db.read_now(ada.id, subscriptions.tag_ids, who.id) == [ada.tag, ada.vip]
    recount(db)


def test_unknown_ids_and_those_of_another_account_are_ignored(db: Database, cast: Cast) -> None:
    ada, eve = cast.ada, cast.eve
    theirs = Also(tags=[eve.tag, 2**62], forms=[eve.plain, eve.double], sequences=[eve.sequence, 0, -1])
    also = Also([*theirs.tags, ada.vip], theirs.forms, theirs.sequences)
    _, who = join(db, ada, "form", ada.plain, NEW, also=also)
    assert who.state == "active"
    assert db.read_now(ada.id, subscriptions.tag_ids, who.id) == [ada.vip]
    found = rows(db, "SELECT COUNT(*) FROM subscriptions WHERE subscriber_id = :id", id=who.id)
    assert found == [(2,)]
    assert rows(db, "SELECT COUNT(*) FROM subscribers WHERE account_id = :id", id=eve.id) == [(0,)]
    recount(db)


@pytest.mark.parametrize("kind", ("form", "sequence", "tag"))
def test_an_unknown_thing_and_one_of_another_account_are_refused_alike(
    db: Database, cast: Cast, kind: str
) -> None:
    theirs = {"form": cast.eve.plain, "sequence": cast.eve.sequence, "tag": cast.eve.tag}[kind]
    for ref_id in (theirs, 2**62, 0, -1):
        with pytest.raises(NotFound) as problem:
            join(db, cast.ada, kind, ref_id, NEW)
        assert problem.value.what == kind
    assert db.read_now(cast.ada.id, subscribers.find, NEW) is None
    recount(db)


def test_one_address_is_two_people_in_two_accounts(db: Database, cast: Cast) -> None:
    _, hers = join(db, cast.ada, "form", cast.ada.plain, NEW)
    _, other = join(db, cast.eve, "form", cast.eve.plain, NEW)
    assert hers.id != other.id
    with pytest.raises(NotFound):
        db.read_now(cast.eve.id, subscribers.get, hers.id)
    recount(db)


def test_a_name_replaces_and_a_blank_one_leaves_the_old(db: Database, ada: Owner) -> None:
    join(db, ada, "form", ada.plain, NEW, "Nia")
    for blank in (None, "", "   ", "\x00\x07"):
        assert join(db, ada, "tag", ada.tag, NEW, blank)[1].first_name == "Nia"
    assert join(db, ada, "tag", ada.tag, NEW, " Nina\r\nBcc: x ")[1].first_name == "NinaBcc: x"
    recount(db)


def test_fields_replace_one_by_one_and_unknown_keys_are_dropped(db: Database, ada: Owner) -> None:
    _, who = join(db, ada, "form", ada.plain, NEW, fields={"last_name": "Stark", "shoe_size": 44})
    assert who.fields == {"last_name": "Stark", "city": None}
    _, who = join(db, ada, "form", ada.plain, NEW, fields={"city": 8000, "last_name": None})
    assert who.fields == {"last_name": "Stark", "city": "8000"}
    _, who = join(db, ada, "form", ada.plain, NEW, fields={f"ck_field_{ada.city}_city": "Bern"})
    assert who.fields == {"last_name": "Stark", "city": "Bern"}
    assert db.read_now(ada.id, subscribers.get, who.id) == who


@pytest.mark.parametrize("value", (["a"], {"a": 1}, ("a",)))
def test_a_field_that_is_no_text_is_refused_and_nothing_is_made(
    db: Database, ada: Owner, value: object
) -> None:
    with pytest.raises(Invalid):
        join(db, ada, "form", ada.plain, NEW, fields={"city": value})
    assert db.read_now(ada.id, subscribers.find, NEW) is None


def test_odd_values_of_a_field_become_text(db: Database, ada: Owner) -> None:
    for value, kept in (
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1.5, "1.5"),
        ("a\x00b\x1bc", "abc"),
        ("a\nb", "a\nb"),
        ("🎉", "🎉"),
        (2**64, str(2**64)),
        ("", ""),
    ):
        assert join(db, ada, "form", ada.plain, NEW, fields={"city": value})[1].fields["city"] == kept


def test_leaving_ends_forms_and_sequences_and_keeps_tags(db: Database, ada: Owner, clock: Clock) -> None:
    _, who = join(
        db, ada, "form", ada.plain, NEW, also=Also(tags=[ada.tag], sequences=[ada.sequence], forms=[])
    )
    clock.move(DAY)
    gone = leave_all(db, ada, "New@example.com")
    assert (gone.id, gone.state) == (who.id, "cancelled")
    for kind, ref_id, lasts in (
        ("form", ada.plain, False),
        ("sequence", ada.sequence, False),
        ("tag", ada.tag, True),
    ):
        found = db.read_now(ada.id, subscriptions.find, who.id, kind, ref_id)
        assert found is not None
        assert found.state == "cancelled"
        assert (found.ended_at is None) is lasts
    assert rows(db, "SELECT cancelled_at FROM subscribers WHERE id = :id", id=who.id) == [(clock.now,)]
    recount(db)


def test_leaving_twice_is_one_event(db: Database, ada: Owner, clock: Clock) -> None:
    _, who = join(db, ada, "form", ada.plain, NEW)
    leave_all(db, ada, NEW)
    left_at = clock.now
    clock.move(DAY)
    assert leave_all(db, ada, NEW).state == "cancelled"
    assert names(db, ada, who.id).count("subscriber_unsubscribe") == 1
    assert rows(db, "SELECT cancelled_at FROM subscribers WHERE id = :id", id=who.id) == [(left_at,)]
    recount(db)


def test_coming_back_restarts_only_what_is_joined_again(db: Database, ada: Owner) -> None:
    _, who = join(db, ada, "form", ada.plain, NEW, also=Also(sequences=[ada.sequence], forms=[ada.double]))
    db.write_now(ada.id, subscriptions.turn, who, "active")
    leave_all(db, ada, NEW)
    join(db, ada, "sequence", ada.sequence, NEW)
    states = {
        thing: found.state
        for thing in ("double", "plain", "sequence")
        if (found := db.read_now(ada.id, subscriptions.find, who.id, *things(ada)[thing]))
    }
    assert states == {"double": "cancelled", "plain": "cancelled", "sequence": "active"}
    assert names(db, ada, who.id).count("course_subscribe") == 2
    assert names(db, ada, who.id).count("form_subscribe") == 2
    recount(db)


@pytest.mark.parametrize("email", ("nobody@example.com", "no address", "", "a@b@c", "\x00", "\ud800@x.com"))
def test_nobody_and_a_malformed_address_cannot_be_unsubscribed(db: Database, ada: Owner, email: str) -> None:
    with pytest.raises(NotFound):
        leave_all(db, ada, email)
    for thing in ("double", "plain", "sequence", "tag"):
        db.write_now(ada.id, signup.leave, *things(ada)[thing], email, API)
    recount(db)


@pytest.mark.parametrize("thing", ("plain", "sequence"))
def test_leaving_one_thing_shows_cancelled_there_and_nowhere_else(
    db: Database, ada: Owner, thing: str
) -> None:
    _, who = join(db, ada, *things(ada)[thing], NEW, also=Also(tags=[ada.tag]))
    for _ in range(2):
        db.write_now(ada.id, signup.leave, *things(ada)[thing], NEW, API)
    found = db.read_now(ada.id, subscriptions.find, who.id, *things(ada)[thing])
    assert found is not None
    assert found.state == "cancelled"
    assert db.read_now(ada.id, subscribers.get, who.id).state == "active"
    again, _ = join(db, ada, *things(ada)[thing], NEW)
    assert (again.id, again.state) == (found.id, "active")
    recount(db)


def test_a_removed_tag_is_gone_and_told_once(db: Database, ada: Owner) -> None:
    first, who = join(db, ada, "tag", ada.tag, NEW)
    assert db.write_now(ada.id, tags.remove, ada.tag, who.id, API).id == ada.tag
    db.write_now(ada.id, tags.remove, ada.tag, who.id, API)
    db.write_now(ada.id, signup.leave, "tag", ada.tag, NEW, API)
    assert names(db, ada, who.id).count("tag_remove") == 1
    assert db.read_now(ada.id, tags.of_subscriber, who.id) == []
    again, _ = join(db, ada, "tag", ada.tag, NEW)
    assert again.id != first.id
    assert names(db, ada, who.id).count("tag_add") == 2
    recount(db)


def test_a_hundred_sign_ups_at_once_are_one_person_and_one_event(db: Database, ada: Owner) -> None:
    async def check() -> None:
        spellings = ("a.b@example.com", "A.B@example.com", "a.b@EXAMPLE.com")
        people = [subscribers.person(spellings[n % 3], f"Name {n}") for n in range(99)]
        calls = (
            db.write_sorted(
                f"{one.address.mailbox}\0{one.address.key}",
                ada.id,
                signup.sign_up,
                *things(ada)[("plain", "sequence", "tag")[n % 3]],
                one,
                Also(tags=[ada.vip]),
                API,
            )
            for n, one in enumerate(people)
        )
        ids = {(joined.id, who.id) for joined, who in await asyncio.gather(*calls)}
        assert len(ids) == 3
        assert len({who for _, who in ids}) == 1

    asyncio.run(check())
    who = db.read_now(ada.id, subscribers.find, "a.b@example.com")
    assert who is not None
    told_names = sorted(one for one in names(db, ada, who.id) if one != "name_change")
    assert told_names == ["course_subscribe", "form_subscribe", "subscriber_activate", "tag_add", "tag_add"]
    recount(db)


@pytest.mark.parametrize("verb", ("unsubscribe", "confirm"))
def test_two_processes_that_change_a_person_at_once_count_and_tell_it_once(
    db: Database, cast: Cast, open_db: Callable[[], Database], verb: str
) -> None:
    if not db.shared:
        pytest.skip("does not apply: on SQLite one process writes at a time")
    other, looked = open_db(), threading.Event()
    email, person_id = ("bea@example.com", cast.bea)
    if verb == "confirm":
        email, person_id = ("cal@example.com", cast.cal)
    asked = db.read_now(cast.ada.id, subscriptions.find, cast.cal, "form", cast.ada.double)
    assert asked is not None

    def change(tx: Tx) -> object:
        if verb == "unsubscribe":
            return signup.unsubscribe(tx, email, API)
        return confirmations.confirm(tx, asked.id, tx.now, API)

    def look_then_change(tx: Tx) -> object:
        if not looked.is_set():
            looked.set()
            who = subscribers.get(tx, person_id)
            other.write_now(cast.ada.id, change)
            if verb == "unsubscribe":
                return subscriptions.unsubscribe(tx, who, API)
            return subscriptions.turn(tx, who, "active")
        return change(tx)

    db.write_now(cast.ada.id, look_then_change)
    event = "subscriber_unsubscribe" if verb == "unsubscribe" else "subscriber_activate"
    assert names(db, cast.ada, person_id).count(event) == 1
    recount(db)
