"""Forms and sequences: what an owner decides, kept, checked, and of one account only."""

from typing import Any

import pytest

from tests.core.cast import Cast, Clock, Owner
from tidings.core import forms, sequences
from tidings.core.forms import FormSettings
from tidings.core.sequences import SequenceEmail
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database


def test_a_form_is_kept_as_it_was_given(db: Database, ada: Owner, clock: Clock) -> None:
    given = FormSettings(
        name="Landing",
        type="hosted",
        format="slide in",
        title="Hello",
        description="About it",
        sign_up_button_text="Go",
        success_message="Fine",
        redirect_url="https://example.com/thanks",
        confirmation="none",
        confirmation_subject="Sure?",
        confirmation_html="<p>x</p>",
        archived_at=5,
    )
    form_id = db.write_now(ada.id, forms.create, given)
    form = db.read_now(ada.id, forms.find, form_id)
    assert {name: getattr(form, name) for name in given.__struct_fields__} == {
        name: getattr(given, name) for name in given.__struct_fields__
    }
    assert (form.id, form.created_at) == (form_id, clock.now)
    assert db.read_now(0, forms.account_of, form.uid) == (ada.id, form_id)
    assert db.read_now(0, forms.account_of_id, form_id) == ada.id


def test_a_form_without_a_title_has_its_name_and_asks_for_confirmation(db: Database, ada: Owner) -> None:
    form = db.read_now(ada.id, forms.find, ada.double)
    assert (form.title, form.confirmation, form.type) == ("Double", "double", "embed")
    assert form.success_message == forms.SUCCESS


def test_what_an_owner_may_not_decide_is_refused(db: Database, ada: Owner) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"name": " "},
        {"name": "x", "type": "popup"},
        {"name": "x", "format": "y"},
    )
    for one in wrong:
        with pytest.raises(Invalid):
            db.write_now(ada.id, forms.create, FormSettings(**one))
        with pytest.raises(Invalid):
            db.write_now(ada.id, forms.update, ada.plain, FormSettings(**one))
    assert list(db.read_now(ada.id, forms.all_forms)) == [ada.double, ada.plain]


def test_an_updated_form_is_read_at_once_and_keeps_its_public_name(db: Database, ada: Owner) -> None:
    before = db.read_now(ada.id, forms.find, ada.plain)
    db.write_now(ada.id, forms.update, ada.plain, FormSettings(name="Other", description="New words"))
    after = db.read_now(ada.id, forms.find, ada.plain)
    assert (after.uid, after.created_at) == (before.uid, before.created_at)
    assert (after.name, after.confirmation) == ("Other", "double")
    assert after.text_version != before.text_version


def test_the_proof_of_the_words_changes_with_each_of_them(db: Database, ada: Owner) -> None:
    versions = set()
    for words in (("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("", "a", "bc"), ("a", "b", "d")):
        title, description, button = words
        settings = FormSettings(name="x", title=title, description=description, sign_up_button_text=button)
        form_id = db.write_now(ada.id, forms.create, settings)
        versions.add(db.read_now(ada.id, forms.find, form_id).text_version)
    assert len(versions) == 5


@pytest.mark.parametrize("uid", ("", "nobody", "a\x00b", "x" * 10_000, "'; --"))
def test_an_unknown_public_name_is_not_found(db: Database, ada: Owner, uid: str) -> None:
    with pytest.raises(NotFound):
        db.read_now(0, forms.account_of, uid)


def test_forms_and_sequences_of_another_account_do_not_exist(db: Database, cast: Cast) -> None:
    ada, eve = cast.ada, cast.eve
    for question, theirs in ((forms.find, ada.plain), (sequences.find, ada.sequence)):
        for ref_id in (theirs, 2**62, 0, -1):
            with pytest.raises(NotFound):
                db.read_now(eve.id, question, ref_id)
    with pytest.raises(NotFound):
        db.write_now(eve.id, forms.update, ada.plain, FormSettings(name="Mine"))
    assert db.read_now(ada.id, forms.find, ada.plain).name == "Plain"
    with pytest.raises(NotFound):
        db.read_now(0, forms.account_of_id, 2**62)


def test_a_sequence_keeps_its_manner_and_its_emails_in_order(db: Database, ada: Owner) -> None:
    sequence_id = db.write_now(ada.id, sequences.create, " Course ", hold=True, repeat=True)
    found = db.read_now(ada.id, sequences.find, sequence_id)
    assert (found.name, found.at_end, found.entry) == ("Course", "hold", "repeat")
    db.write_now(ada.id, sequences.update, sequence_id, name="Lessons", hold=False, repeat=False)
    found = db.read_now(ada.id, sequences.find, sequence_id)
    assert (found.name, found.at_end, found.entry) == ("Lessons", "leave", "once")
    for count in (3, 5, 2, 0, 4):
        wanted = [SequenceEmail(f"Subject {count}.{n}", f"<p>{n}</p>", n * 1_000) for n in range(count)]
        db.write_now(ada.id, sequences.set_emails, sequence_id, wanted)
        assert db.read_now(ada.id, sequences.emails, sequence_id) == wanted
    with pytest.raises(Invalid):
        db.write_now(ada.id, sequences.create, "  ")
