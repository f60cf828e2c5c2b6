"""Tags: names without regard to case, all or none of a call."""

import asyncio
from collections.abc import Callable

import pytest

from tests.core.cast import API, Cast, Owner, join
from tests.core.recount import recount
from tidings.core import tags
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database


def make(db: Database, owner: Owner, *names: str) -> list[tags.Tag]:
    return db.write_now(owner.id, tags.create, list(names))


def listed(db: Database, owner: Owner) -> list[str]:
    return [one.name for one in db.read_now(owner.id, tags.all_tags).values()]


def test_tags_are_made_in_order_and_listed_by_name(db: Database, ada: Owner) -> None:
    made = make(db, ada, " zebra ", "Apple")
    assert [one.name for one in made] == ["zebra", "Apple"]
    assert made[0].id < made[1].id
    assert listed(db, ada) == ["Apple", "customer", "vip", "zebra"]
    assert db.read_now(ada.id, tags.find, made[0].id) == made[0]


@pytest.mark.parametrize("name", ("", "  ", "\x00", "\n\t"))
def test_a_blank_name_is_refused(db: Database, ada: Owner, name: str) -> None:
    with pytest.raises(Invalid) as problem:
        make(db, ada, "fine", name)
    assert problem.value.message == "Name can't be blank"
    assert listed(db, ada) == ["customer", "vip"]


@pytest.mark.parametrize("name", ("vip", "VIP", " Vip ", "v\x00ip"))
def test_a_taken_name_is_refused_and_nothing_of_the_call_is_made(db: Database, ada: Owner, name: str) -> None:
    with pytest.raises(Invalid) as problem:
        make(db, ada, "fine", name)
    assert problem.value.message == "Name has already been taken"
    assert listed(db, ada) == ["customer", "vip"]


def test_letters_that_only_look_composed_otherwise_are_the_same_name(db: Database, ada: Owner) -> None:
    make(db, ada, "café", "STRASSE")
    for same in ("cafe\u0301", "CAFÉ", "straße"):
        with pytest.raises(Invalid, match="taken"):
            make(db, ada, same)


def test_two_equal_names_of_one_call_and_too_long_ones_are_refused(db: Database, ada: Owner) -> None:
    for names in (("new", "NEW"), ("x" * 256,)):
        with pytest.raises(Invalid):
            make(db, ada, *names)
    assert make(db, ada, "x" * 255)


def test_one_name_at_once_from_many_callers_is_made_once(
    db: Database, ada: Owner, open_db: Callable[[], Database]
) -> None:
    other = open_db()

    async def check() -> None:
        calls = [(db, other)[n % 2].write(ada.id, tags.create, ["hot"]) for n in range(20)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, list) for one in results) == 1
        assert {str(one) for one in results if not isinstance(one, list)} == {"Name has already been taken"}

    asyncio.run(check())


def test_an_account_holds_so_many_tags_and_not_one_more(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "TAGS_MAX", 4)
    with pytest.raises(Invalid, match="at most 4"):
        make(db, ada, "a", "b", "c")
    make(db, ada, "a", "b")


def test_the_tags_and_people_of_another_account_do_not_exist(db: Database, cast: Cast) -> None:
    join(db, cast.ada, "tag", cast.ada.tag, "bea@example.com")
    found = db.read_now(cast.ada.id, tags.of_subscriber, cast.bea)
    assert [one.id for one in found] == [cast.ada.tag]
    with pytest.raises(NotFound):
        db.read_now(cast.eve.id, tags.find, cast.ada.tag)
    with pytest.raises(NotFound):
        db.read_now(cast.eve.id, tags.of_subscriber, cast.bea)
    for owner, tag_id, person_id, what in (
        (cast.eve, cast.eve.tag, cast.bea, "subscriber"),
        (cast.ada, cast.eve.tag, cast.bea, "tag"),
        (cast.ada, 2**62, cast.bea, "tag"),
        (cast.ada, cast.ada.tag, 2**62, "subscriber"),
    ):
        with pytest.raises(NotFound) as problem:
            db.write_now(owner.id, tags.remove, tag_id, person_id, API)
        assert problem.value.what == what
    # A tag that the person does not have is no mistake.
    assert db.write_now(cast.ada.id, tags.remove, cast.ada.vip, cast.bea, API).name == "vip"
    recount(db)
