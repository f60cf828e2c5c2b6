"""Tests of a sequence's email and of a form's confirmation go the way of every trial, and count nowhere."""

from email import message_from_bytes
from email.policy import default

import pytest

from tests.core.cast import Cast, rows
from tests.core.recount import recount
from tests.core.test_sequences import write
from tests.engine.test_trials import run, states
from tidings.core import forms, sequences, trials
from tidings.core.forms import FormSettings
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database


def test_an_email_of_a_sequence_is_tried_as_one_person_gets_it(db: Database, cast: Cast) -> None:
    ada = cast.ada
    (email,) = write(db, ada, 0)
    seen = db.read_now(ada.id, sequences.emails_by_id, ada.sequence)[email]
    words = sequences.SequenceEmail(
        "Hi {{ subscriber.first_name }}", "<p>Dear {{ subscriber.first_name }}</p>", 0
    )
    assert seen != words
    db.write_now(ada.id, sequences.change_email, email, words)
    db.write_now(ada.id, trials.ask_of_email, email, ["me@example.com"], cast.bea)
    (letter,) = run(db)
    message = message_from_bytes(letter.data, policy=default)
    assert (letter.rcpt_to, str(message["Subject"])) == ("me@example.com", "[Test] Hi Bea")
    body = message.get_body(("html",))
    assert body is not None
    assert "Dear Bea" in body.get_content()
    assert states(db) == [("sent", "words")]
    (one,) = db.read_now(ada.id, trials.of_email, email)
    assert (one.state, one.form_id) == ("sent", None)
    assert rows(db, "SELECT * FROM sequence_numbers") == []
    assert rows(db, "SELECT id FROM deliveries WHERE occasion LIKE 'sequence-email%'") == []
    recount(db)


def test_a_confirmation_is_tried_with_a_link_that_confirms_nobody(db: Database, cast: Cast) -> None:
    ada = cast.ada
    own = FormSettings(name="Own", confirmation_subject="Sure, {{ subscriber.first_name }}?", title="T")
    form_id = db.write_now(ada.id, forms.create, own)
    db.write_now(ada.id, trials.ask_of_form, form_id, ["me@example.com"])
    (letter,) = run(db)
    message = message_from_bytes(letter.data, policy=default)
    assert (letter.rcpt_to, str(message["Subject"])) == ("me@example.com", "[Test] Sure, Ada?")
    text = message.get_body(("plain",))
    assert text is not None
    assert "/confirm/" in text.get_content()
    (one,) = db.read_now(ada.id, trials.of_form, form_id)
    assert (one.state, one.form_id) == ("sent", form_id)
    assert db.read_now(ada.id, trials.of_form, ada.plain) == []
    recount(db)


def test_a_confirmation_that_cannot_be_made_any_more_fails_with_the_reason(db: Database, cast: Cast) -> None:
    ada = cast.ada
    db.write_now(ada.id, trials.ask_of_form, ada.double, ["me@example.com"])
    db.write_now(ada.id, forms.update, ada.double, FormSettings(name="x", confirmation_html="{% if %}"))
    assert run(db) == []
    ((state, why),) = states(db)
    assert state == "failed"
    assert "cannot be read" in str(why)


def test_what_is_not_there_or_empty_is_not_tried(db: Database, cast: Cast) -> None:
    ada, eve = cast.ada, cast.eve
    (email,) = write(db, ada, 0)
    with pytest.raises(NotFound):
        db.write_now(eve.id, trials.ask_of_email, email, ["me@example.com"])
    with pytest.raises(NotFound):
        db.write_now(eve.id, trials.ask_of_form, ada.plain, ["me@example.com"])
    db.write_now(ada.id, sequences.change_email, email, sequences.SequenceEmail("Empty", "", 0))
    with pytest.raises(Invalid):
        db.write_now(ada.id, trials.ask_of_email, email, ["me@example.com"])
    assert states(db) == []
