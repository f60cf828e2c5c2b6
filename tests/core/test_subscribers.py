"""Subscribers: looked up, changed, never confused with somebody else's."""

import asyncio
from collections.abc import Callable

import pytest

from tests.core.cast import API, DAY, Cast, Clock, Owner, join, names, rows
from tests.core.recount import recount
from tidings.core import confirmations, signup, subscribers, subscriptions
from tidings.core.custom_fields import FIELDS_MAX
from tidings.core.subscribers import Subscriber
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database


def update(
    db: Database,
    owner: Owner,
    subscriber_id: int,
    *,
    email: str | None = None,
    first_name: str | None = None,
    fields: dict[str, object] | None = None,
) -> Subscriber:
    return db.write_now(
        owner.id, subscribers.update, subscriber_id, email=email, first_name=first_name, fields=fields or {}
    )


def updated_at(db: Database, subscriber_id: int) -> object:
    return rows(db, "SELECT updated_at FROM subscribers WHERE id = :id", id=subscriber_id)[0][0]


@pytest.mark.parametrize("spelling", ("bea@example.com", "BEA@EXAMPLE.COM", "  bea@example.com\r\n"))
def test_a_person_is_found_by_any_spelling_of_the_address(db: Database, cast: Cast, spelling: str) -> None:
    found = db.read_now(cast.ada.id, subscribers.find, spelling)
    assert found is not None
    assert found.id == cast.bea
    assert db.read_now(cast.eve.id, subscribers.find, spelling) is None


def test_international_spellings_are_one_person_and_plus_tags_are_two(db: Database, ada: Owner) -> None:
    _, first = join(db, ada, "form", ada.plain, "x@müller.example")
    _, same = join(db, ada, "form", ada.plain, "X@xn--mller-kva.example")
    assert (same.id, same.email) == (first.id, "x@müller.example")
    _, tagged = join(db, ada, "form", ada.plain, "x+1@müller.example")
    assert tagged.id != first.id
    recount(db)


@pytest.mark.parametrize(
    "email", ("", " ", "nobody", "a@b", "a b@example.com", "a@example.com,b@example.com", "＠")
)
def test_a_malformed_address_finds_nobody_and_cannot_be_made(db: Database, ada: Owner, email: str) -> None:
    assert db.read_now(ada.id, subscribers.find, email) is None
    with pytest.raises(Invalid) as problem:
        subscribers.person(email)
    assert problem.value.message == "Email address is invalid"


def test_an_update_changes_what_is_given_and_leaves_the_rest(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    clock.move(DAY)
    changed = update(db, ada, cast.bea, first_name="Beatrice", fields={"city": "Bern", "unknown": 1})
    assert (changed.first_name, changed.email, changed.state) == ("Beatrice", "bea@example.com", "active")
    assert changed.fields == {"city": "Bern", "last_name": None}
    assert updated_at(db, cast.bea) == clock.now
    clock.move(DAY)
    changed = update(db, ada, cast.bea, email="Bea.New@example.com", fields={"last_name": "Berg"})
    assert (changed.email, changed.first_name) == ("Bea.New@example.com", "Beatrice")
    assert changed.fields == {"city": "Bern", "last_name": "Berg"}
    assert updated_at(db, cast.bea) == clock.now
    assert db.read_now(ada.id, subscribers.get, cast.bea) == changed
    assert db.read_now(ada.id, subscribers.find, "bea@example.com") is None
    recount(db)


def test_an_update_that_changes_nothing_leaves_its_time(db: Database, cast: Cast, clock: Clock) -> None:
    before = updated_at(db, cast.bea)
    clock.move(DAY)
    for blank in (None, "", "  "):
        assert update(db, cast.ada, cast.bea, first_name=blank).first_name == "Bea"
    update(db, cast.ada, cast.bea, email="bea@example.com", first_name="Bea")
    join(db, cast.ada, "form", cast.ada.plain, "bea@example.com", "Bea")
    assert updated_at(db, cast.bea) == before


def test_a_field_given_as_none_is_cleared_by_an_update(db: Database, cast: Cast) -> None:
    update(db, cast.ada, cast.bea, fields={"city": "Bern", "last_name": "Berg"})
    assert update(db, cast.ada, cast.bea, fields={"city": None}).fields == {"city": None, "last_name": "Berg"}


def test_the_case_of_ones_own_address_may_change(db: Database, cast: Cast) -> None:
    assert update(db, cast.ada, cast.bea, email="Bea@Example.com").email == "Bea@Example.com"
    assert update(db, cast.ada, cast.bea, email="Bea@Example.com", first_name="B").email == "Bea@Example.com"
    recount(db)


@pytest.mark.parametrize(
    ("email", "reason"),
    (
        ("cal@example.com", "has already been taken"),
        ("CAL@Example.com", "has already been taken"),
        ("x", "is invalid"),
    ),
)
def test_anothers_address_and_a_malformed_one_are_refused_whole(
    db: Database, cast: Cast, email: str, reason: str
) -> None:
    before = db.read_now(cast.ada.id, subscribers.get, cast.bea)
    with pytest.raises(Invalid) as problem:
        update(db, cast.ada, cast.bea, email=email, first_name="Changed", fields={"city": "Bern"})
    assert problem.value.message == f"Email address {reason}"
    assert db.read_now(cast.ada.id, subscribers.get, cast.bea) == before
    recount(db)


def test_more_than_125_fields_in_one_update_are_refused(db: Database, cast: Cast) -> None:
    many: dict[str, object] = {f"field_{n}": "x" for n in range(FIELDS_MAX)}
    assert update(db, cast.ada, cast.bea, fields=many).first_name == "Bea"
    with pytest.raises(Invalid, match="at most 125"):
        update(db, cast.ada, cast.bea, fields={**many, "one_more": "x"})


def test_endless_names_and_values_are_refused(db: Database, cast: Cast) -> None:
    for first_name, fields in (("x" * 256, {}), (None, {"city": "x" * 65_536})):
        with pytest.raises(Invalid, match="too long"):
            update(db, cast.ada, cast.bea, first_name=first_name, fields=fields)  # type: ignore[arg-type]
    assert update(db, cast.ada, cast.bea, first_name="x" * 255, fields={"city": "x" * 65_535}).fields["city"]


def test_the_people_of_another_account_cannot_be_seen_or_changed(db: Database, cast: Cast) -> None:
    for subscriber_id in (cast.bea, 0, -1, 2**62):
        with pytest.raises(NotFound):
            db.read_now(cast.eve.id, subscribers.get, subscriber_id)
        with pytest.raises(NotFound):
            update(db, cast.eve, subscriber_id, first_name="Mine")
    assert db.read_now(cast.eve.id, subscribers.by_ids, [cast.bea, cast.cal]) == {}
    assert list(db.read_now(cast.ada.id, subscribers.by_ids, [cast.bea, cast.cal, 2**62])) == [
        cast.bea,
        cast.cal,
    ]


def test_one_address_wanted_by_many_at_once_goes_to_one(
    db: Database, ada: Owner, open_db: Callable[[], Database]
) -> None:
    ids = [join(db, ada, "form", ada.plain, f"p{n}@example.com")[1].id for n in range(10)]
    both = (db, open_db())

    async def check() -> None:
        calls = [
            both[n % 2].write(
                ada.id, subscribers.update, one, email="wanted@example.com", first_name=None, fields={}
            )
            for n, one in enumerate(ids)
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, Subscriber) for one in results) == 1
        refused = {str(one) for one in results if not isinstance(one, Subscriber)}
        assert refused == {"Email address has already been taken"}

    asyncio.run(check())
    recount(db)


def test_a_slip_in_a_confirmed_state_never_moves_bounced_people(
    db: Database, cast: Cast, clock: Clock
) -> None:
    """Nothing but feedback itself leads out of bounced: not signing up, leaving or confirming."""
    ada = cast.ada
    joined, _ = join(db, ada, "form", ada.double, "dee@example.com")
    join(db, ada, "sequence", ada.sequence, "dee@example.com", "Dee Dee")
    db.write_now(ada.id, signup.unsubscribe, "dee@example.com", API)
    db.write_now(ada.id, confirmations.confirm, joined.id, clock.now, API)
    update(db, ada, cast.dee, first_name="Delia")
    dee = db.read_now(ada.id, subscribers.get, cast.dee)
    assert (dee.state, dee.first_name) == ("bounced", "Delia")
    assert names(db, ada, cast.dee) == [
        "form_subscribe",
        "subscriber_activate",
        "form_subscribe",
        "name_change",
        "course_subscribe",
        "name_change",
    ]
    found = db.read_now(ada.id, subscriptions.find, cast.dee, "form", ada.plain)
    assert found is not None
    # They have left the form, as they wished; that the mailbox is gone stays known.
    assert (found.state, found.subscriber_state) == ("cancelled", "bounced")
    recount(db)
