"""A person's history: one timeline of everything, and all of it as data."""

import msgspec
import pytest

from tests.core.cast import Cast, Clock, Owner, join, rows
from tests.core.erased import PEPPER, WORDS, live
from tidings.core import custom_fields, history, subscribers
from tidings.core.events import Origin
from tidings.core.history import Moment, sources
from tidings.errors import NotFound
from tidings.store.db import Database
from tidings.store.tx import Tx


@pytest.fixture(autouse=True)
def pepper(db: Database) -> None:
    db.pepper = PEPPER


def timeline(db: Database, owner: Owner, subscriber_id: int, limit: int = 100) -> list[Moment]:
    return db.read_now(owner.id, history.of, subscriber_id, limit=limit)


def test_a_life_is_one_timeline_newest_first_with_the_cause_of_each(
    db: Database, ada: Owner, clock: Clock
) -> None:
    who = live(db, ada, clock)
    found = timeline(db, ada, who)
    assert [one.at for one in found] == sorted((one.at for one in found), reverse=True)
    assert {one.kind for one in found} == {
        "consent", "event", "mail", "open", "click", "purchase", "notice", "rule", "leave",
    }  # fmt: skip
    said = {(one.kind, one.title, one.cause) for one in found}
    assert {
        ("consent", "joined the form Double", "a form"),
        ("consent", "joined the sequence Onboarding", "a form"),
        ("event", "got the tag customer", "a form"),
        ("consent", "became active", "a link in a mail"),
        ("mail", "mail that asks for a confirmation", ""),
        ("event", "has a new name", "a command"),
        ("event", "unsubscribed from everything", "a form"),
        ("purchase", "bought for 12.5 USD", ""),
        ("click", "clicked https://example.com/a", ""),
        ("leave", "left by the page", "a link in a mail"),
        ("rule", "rule 1 (gone): done", "rule:1"),
        ("notice", "tag_add told to 1 (gone)", ""),
    } <= said


def test_a_consent_shows_its_proof(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)
    # The newer one is of the unsubscribe that was taken back.
    [_, joined] = [one for one in timeline(db, ada, who) if one.title == "joined the form Double"]
    proof = f"from {WORDS['ip']}, source {WORDS['source']}, referrer {WORDS['referrer']}, words of the form "
    assert joined.detail == f"{proof}textversion"


def test_a_mail_shows_every_try(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)
    [mail] = [one for one in timeline(db, ada, who) if one.kind == "mail"]
    reply = WORDS["reply"]
    assert mail.detail.endswith(f", sent; {reply}; try 1: deferred, {reply}")


def test_what_a_machine_did_says_so(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)
    db.write_now(ada.id, lambda tx: tx.run("UPDATE hits SET machine = 'burst' WHERE link_id IS NOT NULL"))
    causes = {one.kind: one.cause for one in timeline(db, ada, who) if one.kind in ("open", "click")}
    assert causes == {"open": "", "click": "a machine (burst)"}


def test_what_a_rule_did_names_the_rule(db: Database, ada: Owner) -> None:
    _, who = join(db, ada, "form", ada.plain, "rule@example.com")
    rule = db.write_now(
        ada.id,
        lambda tx: tx.one(
            "INSERT INTO rules (account_id, name, name_key, trigger, conditions, actions, created_at,"
            " updated_at) VALUES (:account_id, 'Welcome', 'welcome', 'tag_add', '[]', '[]', 0, 0)"
            " RETURNING id",
            account_id=tx.account_id,
        ),
    )
    assert rule is not None
    origin = Origin("rule", source=f"rule:{rule[0]}", depth=1, event=5)
    db.write_now(
        ada.id,
        lambda tx: subscribers.update(tx, who.id, email=None, first_name="Ruby", fields={}, origin=origin),
    )
    assert timeline(db, ada, who.id)[0].cause == f"rule:{rule[0]} (Welcome)"


def _run(tx: Tx, sql: str, subscriber_id: int) -> None:
    tx.run(sql, id=subscriber_id)


@pytest.mark.parametrize("same", (False, True), ids=("as it was", "all in one millisecond"))
def test_pages_leave_nothing_out_and_repeat_nothing(
    db: Database, ada: Owner, clock: Clock, same: bool
) -> None:
    who = live(db, ada, clock)
    for table, columns in TIMES.items() if same else ():
        sets = ", ".join(f"{column} = 5" for column in columns)
        sql = f"UPDATE {table} SET {sets} WHERE subscriber_id = :id"  # noqa: S608 (our tables)
        db.write_now(ada.id, _run, sql, who)
    whole = timeline(db, ada, who)
    assert len(whole) > 12
    for limit in range(1, len(whole) + 2):
        paged: list[Moment] = []
        place = None
        while True:
            one = db.read_now(ada.id, history.page, who, before=place, limit=limit)
            assert len(one.moments) <= limit
            paged += one.moments
            place = one.older
            if place is None:
                break
        assert paged == whole


TIMES = {
    "events": ("created_at",),
    "deliveries": ("settled_at", "handed_at", "created_at"),
    "hits": ("at",),
    "purchases": ("transaction_at",),
    "notices": ("created_at",),
    "rule_runs": ("created_at",),
    "leaves": ("created_at",),
}


def test_nobody_sees_a_person_of_another_account(db: Database, cast: Cast) -> None:
    for question in (history.of, history.export, history.person):
        with pytest.raises(NotFound):
            db.read_now(cast.eve.id, question, cast.bea)
    for part in history.PARTS:
        assert db.read_now(cast.eve.id, history.export_slice, cast.bea, part, 0) == []


def test_an_export_holds_every_word_that_is_kept(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)
    whole = db.read_now(ada.id, history.export, who)
    text = msgspec.json.encode(whole).decode().casefold()
    # What the owner was told is about the account, and not part of what is kept of a person.
    assert [word for name, word in WORDS.items() if word.casefold() not in text and name != "note"] == []
    assert whole["subscriber"]["state"] == "active"
    assert whole["subscriber"]["fields"]["city"] == {"label": "City", "value": WORDS["field"]}
    assert whole["suppressed_since"] is None
    assert len(whole["confirmations_sent"]) == 1
    assert all(whole[part] for part in history.PARTS)


def test_an_export_goes_on_where_a_slice_ended(
    db: Database, ada: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = live(db, ada, clock)
    whole = db.read_now(ada.id, history.export, who)
    monkeypatch.setattr(history.exporting, "SLICE", 1)
    assert db.read_now(ada.id, history.export, who) == whole


def test_every_source_is_found_by_an_index_of_its_person(db: Database, cast: Cast) -> None:
    for source in sources.SOURCES:
        plan = rows(
            db,
            f"EXPLAIN {'' if db.shared else 'QUERY PLAN '}{source.sql}",
            account_id=cast.ada.id,
            subscriber_id=cast.bea,
            at=2**60,
            before_id=2**60,
            limit=10,
        )
        text = "\n".join(str(row[-1]) for row in plan)
        assert "Seq Scan" not in text, f"{source.name}: {text}"
        assert "SCAN" not in text, f"{source.name}: {text}"


def test_a_deleted_field_is_named_by_its_number(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)
    db.write_now(
        ada.id, lambda tx: subscribers.update(tx, who, email=None, first_name=None, fields={"city": "Rome"})
    )
    db.write_now(ada.id, custom_fields.delete, ada.city)
    titles = [one.title for one in timeline(db, ada, who)]
    assert f"has a new value in the field {ada.city} (gone)" in titles
    assert "has a new value in the field City" not in titles
