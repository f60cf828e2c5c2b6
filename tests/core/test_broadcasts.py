"""Broadcasts: drafted, scheduled, changed until they are sent, listed by page."""

from typing import Any

import pytest

from tests.core.cast import DAY, Cast, Clock, Owner, rows
from tests.core.recount import recount
from tidings.core import broadcasts
from tidings.core.broadcasts import Broadcast, Draft
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.db import Database

SENDER = "ada@example.com"


def create(db: Database, owner: Owner, status: str | None = None, **words: Any) -> Broadcast:
    return db.write_now(owner.id, broadcasts.create, Draft(**words), SENDER, status=status)


def update(db: Database, owner: Owner, broadcast_id: int, **words: Any) -> Broadcast:
    return db.write_now(owner.id, broadcasts.update, broadcast_id, Draft(**words), SENDER)


def test_an_empty_draft_has_the_defaults(db: Database, ada: Owner, clock: Clock) -> None:
    made = create(db, ada)
    assert (made.status, made.subject, made.content, made.send_at) == ("draft", None, None, None)
    assert (made.email_address, made.email_layout_template) == (SENDER, broadcasts.LAYOUT)
    assert (made.visibility, made.published_at, made.created_at) == ("private", clock.now, clock.now)
    assert (made.recipients, made.opens, made.clicks, made.settled) == (0, 0, 0, 0)
    assert db.read_now(ada.id, broadcasts.find, made.id) == made
    recount(db)


@pytest.mark.parametrize("offset", (-DAY, 0, DAY))
def test_a_time_to_send_schedules_even_when_it_is_past(
    db: Database, ada: Owner, clock: Clock, offset: int
) -> None:
    made = create(db, ada, send_at=clock.now + offset)
    assert (made.status, made.send_at) == ("scheduled", clock.now + offset)
    assert update(db, ada, made.id, subject="Now a draft").status == "draft"


def test_control_characters_never_reach_the_rows(db: Database, ada: Owner) -> None:
    made = create(db, ada, subject="Hi\r\nBcc: x\x00", content="<p>a\x00b</p>", description="\x00")
    assert made.subject == "Hi  Bcc: x"
    assert (made.content, made.description) == ("<p>ab</p>", "")


def test_a_foreign_sender_and_an_endless_subject_are_refused(db: Database, ada: Owner) -> None:
    for words in ({"email_address": "eve@example.com"}, {"subject": "x" * 999}):
        with pytest.raises(Invalid):
            create(db, ada, **words)
    assert create(db, ada, email_address="ADA@example.com", subject="x" * 998).email_address == SENDER
    recount(db)


@pytest.mark.parametrize("status", ("sending", "completed"))
def test_what_is_sent_can_be_changed_no_more(db: Database, ada: Owner, status: str) -> None:
    made = create(db, ada, status=status, subject="Sent")
    with pytest.raises(Conflict):
        update(db, ada, made.id, subject="Late")
    assert db.read_now(ada.id, broadcasts.find, made.id).subject == "Sent"


def test_all_but_what_is_being_sent_can_be_deleted_once(db: Database, ada: Owner) -> None:
    sending = create(db, ada, status="sending")
    with pytest.raises(Conflict):
        db.write_now(ada.id, broadcasts.delete, sending.id)
    for status in ("draft", "scheduled", "completed"):
        made = create(db, ada, status=status)
        db.write_now(ada.id, broadcasts.delete, made.id)
        with pytest.raises(NotFound):
            db.write_now(ada.id, broadcasts.delete, made.id)
        recount(db)
    assert rows(db, "SELECT id FROM broadcasts") == [(sending.id,)]


def test_broadcasts_of_another_account_do_not_exist(db: Database, cast: Cast) -> None:
    made = create(db, cast.ada, subject="Hers")
    for broadcast_id in (made.id, 2**62, 0):
        with pytest.raises(NotFound):
            db.read_now(cast.eve.id, broadcasts.find, broadcast_id)
        with pytest.raises(NotFound):
            update(db, cast.eve, broadcast_id, subject="Mine")
        with pytest.raises(NotFound):
            db.write_now(cast.eve.id, broadcasts.delete, broadcast_id)
    assert db.read_now(cast.eve.id, broadcasts.page, newest_first=False, number=1) == []
    assert db.read_now(cast.ada.id, broadcasts.find, made.id).subject == "Hers"
