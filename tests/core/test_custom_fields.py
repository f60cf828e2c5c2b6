"""Custom fields: labels and keys, limits, and values that go at once when a field goes."""

import asyncio

import pytest

from tests.core.cast import DAY, Cast, Clock, Owner, join, rows
from tests.core.recount import recount
from tidings.core import custom_fields, subscribers
from tidings.core.custom_fields import FIELDS_MAX, CustomField, key_of
from tidings.core.subscribers import forgetting
from tidings.engine.upkeep import Upkeep
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database


def make(db: Database, owner: Owner, *labels: str) -> list[CustomField]:
    return db.write_now(owner.id, custom_fields.create, list(labels))


def fields(db: Database, owner: Owner) -> list[tuple[str, str]]:
    return [(one.key, one.label) for one in db.read_now(owner.id, custom_fields.all_fields)]


@pytest.mark.parametrize(
    ("label", "key"),
    (
        ("Discount Code", "discount_code"),
        ("  Last   name ", "last_name"),
        ("Größe (cm)", "grosse_cm"),
        ("Éclair au café", "eclair_au_cafe"),
        ("Ærø", "aero"),
        ("1st", "1st"),
        ("ﬁne", "fine"),
        ("__x__", "x"),
    ),
)
def test_a_key_is_ascii_lower_case_and_underscores(label: str, key: str) -> None:
    assert key_of(label) == key


def test_a_label_without_any_ascii_letter_is_refused(db: Database, ada: Owner) -> None:
    for label in ("漢字", "---", "🎉"):
        with pytest.raises(Invalid, match="at least one letter or digit"):
            make(db, ada, label)


@pytest.mark.parametrize("label", ("", "   ", "\x00", "\x1b\x07"))
def test_a_blank_label_is_refused(db: Database, ada: Owner, label: str) -> None:
    with pytest.raises(Invalid) as problem:
        make(db, ada, label)
    assert problem.value.message == "Label can't be blank"


@pytest.mark.parametrize("label", ("Last name", "last NAME", " Last name ", "last-name", "LAST_NAME", "city"))
def test_a_taken_label_or_key_is_refused_and_nothing_of_the_call_is_made(
    db: Database, ada: Owner, label: str
) -> None:
    with pytest.raises(Invalid) as problem:
        make(db, ada, "Country", label)
    assert problem.value.message == "Label has already been taken"
    assert fields(db, ada) == [("last_name", "Last name"), ("city", "City")]


def test_two_labels_of_one_call_that_give_one_key_are_refused(db: Database, ada: Owner) -> None:
    with pytest.raises(Invalid, match="taken"):
        make(db, ada, "Shoe size", "shoe-size")
    assert len(fields(db, ada)) == 2


def test_an_account_holds_125_fields_and_not_one_more(db: Database, ada: Owner) -> None:
    make(db, ada, *(f"Field {n}" for n in range(FIELDS_MAX - 2)))
    with pytest.raises(Invalid, match="at most 125"):
        make(db, ada, "One more")
    assert len(fields(db, ada)) == FIELDS_MAX


def test_renaming_keeps_key_and_name(db: Database, ada: Owner) -> None:
    db.write_now(ada.id, custom_fields.rename, ada.city, " Town ")
    assert fields(db, ada)[1] == ("city", "Town")
    field = db.read_now(ada.id, custom_fields.find, ada.city)
    assert field.name == f"ck_field_{ada.city}_city"
    _, who = join(db, ada, "form", ada.plain, "new@example.com", fields={"city": "Bern"})
    assert who.fields["city"] == "Bern"


def test_renaming_refuses_what_creating_refuses(db: Database, cast: Cast) -> None:
    for label, reason in (("", "blank"), ("last name", "taken"), ("last_name", "taken"), ("x" * 256, "long")):
        with pytest.raises(Invalid, match=reason):
            db.write_now(cast.ada.id, custom_fields.rename, cast.ada.city, label)
    db.write_now(cast.ada.id, custom_fields.rename, cast.ada.city, "CITY")
    for owner, field_id in ((cast.eve, cast.ada.city), (cast.ada, 2**62)):
        with pytest.raises(NotFound):
            db.write_now(owner.id, custom_fields.rename, field_id, "Mine")


def test_a_deleted_fields_values_are_hidden_at_once(db: Database, cast: Cast) -> None:
    ada = cast.ada
    _, who = join(
        db, ada, "form", ada.plain, "new@example.com", fields={"city": "Bern", "last_name": "Stark"}
    )
    assert db.read_now(ada.id, subscribers.get, who.id).fields == {"last_name": "Stark", "city": "Bern"}
    db.write_now(ada.id, custom_fields.delete, ada.city)
    assert db.read_now(ada.id, subscribers.get, who.id).fields == {"last_name": "Stark"}
    with pytest.raises(NotFound):
        db.write_now(ada.id, custom_fields.delete, ada.city)
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, custom_fields.delete, ada.last_name)
    # A field of the same label is another field: old values do not come back.
    make(db, ada, "City")
    assert db.read_now(ada.id, subscribers.get, who.id).fields == {"last_name": "Stark", "city": None}


def test_the_engine_removes_a_deleted_fields_values_from_every_row(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "ERASE_SLICE", 4)
    ada, eve = cast.ada, cast.eve
    for n in range(10):
        join(db, ada, "form", ada.plain, f"p{n}@example.com", fields={"city": f"City {n}", "last_name": "X"})
        join(db, eve, "form", eve.plain, f"p{n}@example.com", fields={"city": "kept"})
    join(db, ada, "form", ada.plain, "bea@example.com", fields={"city": "of the very first"})
    db.write_now(ada.id, custom_fields.delete, ada.city)
    db.write_now(ada.id, custom_fields.delete, ada.last_name)
    clock.move(DAY)
    upkeep = Upkeep(db)

    async def run() -> int:
        steps = 0
        while await upkeep.step():
            steps += 1
            assert steps < 100
        return steps

    # 13 people in slices of four, for two fields.
    assert asyncio.run(run()) == 8
    kept = rows(db, "SELECT DISTINCT account_id, fields FROM subscribers ORDER BY account_id")
    assert kept == [(ada.id, "{}"), (eve.id, f'{{"{eve.city}":"kept"}}')]
    assert rows(db, "SELECT COUNT(*) FROM field_erasures") == [(0,)]
    recount(db)


def test_a_value_that_only_looks_like_the_deleted_field_stays(db: Database, ada: Owner) -> None:
    text = f'{{"{ada.city}":"x"}}'
    _, who = join(db, ada, "form", ada.plain, "new@example.com", fields={"last_name": text, "city": "gone"})
    db.write_now(ada.id, custom_fields.delete, ada.city)
    asyncio.run(Upkeep(db).step())
    assert db.read_now(ada.id, subscribers.get, who.id).fields == {"last_name": text}
    assert b"gone" not in str(rows(db, "SELECT fields FROM subscribers WHERE id = :id", id=who.id)).encode()
