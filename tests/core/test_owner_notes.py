"""Notes to the owner: each occasion once, tried again, bounded."""

from email import message_from_bytes
from email.policy import default

import pytest

from tests.core.cast import Cast, Clock, Owner
from tidings.core import owner_notes
from tidings.core.accounts import INSTALLATION
from tidings.core.owner_notes import Note
from tidings.store.db import Database


def claimed(db: Database) -> list[Note]:
    return db.write_now(INSTALLATION, owner_notes.claim)


def tell(db: Database, owner: Owner, occasion: str, subject: str = "Look", text: str = "Words") -> None:
    db.write_now(owner.id, owner_notes.tell, occasion, subject, text)


def settle(db: Database, note: Note, *, sent: bool, lasting: bool = False) -> None:
    db.write_now(note.account_id, owner_notes.settle, note, "250 ok", sent=sent, lasting=lasting)


def test_an_occasion_is_told_once_and_each_owner_has_their_own(db: Database, cast: Cast) -> None:
    for _ in range(2):
        tell(db, cast.ada, "webhook:1")
    tell(db, cast.eve, "webhook:1")
    found = claimed(db)
    assert sorted(one.account_id for one in found) == sorted((cast.ada.id, cast.eve.id))
    assert claimed(db) == []


def test_a_note_that_was_not_settled_goes_again_and_a_sent_one_does_not(
    db: Database, cast: Cast, clock: Clock
) -> None:
    tell(db, cast.ada, "a")
    tell(db, cast.ada, "b")
    first, second = claimed(db)
    settle(db, first, sent=True)
    clock.now += owner_notes.WAITS_MS[0]
    (again,) = claimed(db)
    assert (again.id, again.attempts) == (second.id, 1)


def test_it_is_given_up_after_the_last_wait(db: Database, cast: Cast, clock: Clock) -> None:
    tell(db, cast.ada, "a")
    tries = 0
    for _ in range(20):
        for note in claimed(db):
            tries += 1
            settle(db, note, sent=False)
        clock.now += owner_notes.DAY_MS
    assert tries == len(owner_notes.WAITS_MS) + 1


def test_a_refusal_that_lasts_ends_it_at_once(db: Database, cast: Cast, clock: Clock) -> None:
    tell(db, cast.ada, "a")
    (note,) = claimed(db)
    settle(db, note, sent=False, lasting=True)
    clock.now += owner_notes.DAY_MS
    assert claimed(db) == []


def test_an_owner_gets_no_more_than_the_day_allows(db: Database, cast: Cast, clock: Clock) -> None:
    def many(tx: object, count: int, name: str) -> None:
        for n in range(count):
            owner_notes.tell(tx, f"{name}{n}", "s", "t")  # type: ignore[arg-type]

    db.write_now(cast.ada.id, many, owner_notes.DAILY_MAX + 50, "x")
    found = 0
    while some := claimed(db):
        found += len(some)
        for note in some:
            settle(db, note, sent=True)
    assert found == owner_notes.DAILY_MAX
    clock.now += owner_notes.DAY_MS + 1
    tell(db, cast.ada, "tomorrow")
    assert any(one.subject == "Look" for one in claimed(db))


@pytest.mark.parametrize("subject", ("Hello\r\nBcc: eve@example.com", "=?utf-8?q?Bcc:?= x", "Grüße"))
def test_no_subject_changes_the_header_set(db: Database, cast: Cast, subject: str) -> None:
    tell(db, cast.ada, "a", subject, "Line\r\n.\r\nBcc: no")
    (note,) = claimed(db)
    made = owner_notes.posted(note, "Ada\r\nBcc: x@example.com", "ada@example.com")
    mail = message_from_bytes(made.data, policy=default)
    assert mail["Bcc"] is None
    assert str(mail["To"]).endswith("<ada@example.com>")
