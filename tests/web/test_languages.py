"""The pages behind links, the forms and the confirmation mail, in the language of the account."""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from tests.web.doors import Rooms, ask
from tidings.core import accounts, compose
from tidings.core.deliveries import Delivery
from tidings.errors import Invalid
from tidings.mail.phrases import LANGUAGES, phrase
from tidings.web.public.door import Door

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    made = Rooms(tmp_path)
    yield made
    made.db.close()


def speak(here: Rooms, language: str) -> None:
    here.db.write_now(here.account_id, accounts.set_language, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_behind_a_link_says_it_in_that_language(here: Rooms, language: str) -> None:
    speak(here, language)
    door = Door(here.house)
    form = here.form(confirmation="none")
    here.sign_up(form, "bea@example.com", "Bea")
    who = here.person("bea@example.com")
    assert who is not None
    token = here.house.links.leave_token(here.account_id, who.id, 1)
    for path, words in (
        (f"/f/{form.uid}", "Email address"),
        (f"/u/{token}", "Unsubscribe me"),
        (f"/p/{token}", "Never mail me again"),
    ):
        page = ask(door, "GET", path)
        assert (page.status, f'<html lang="{language}">' in page.text) == (200, True)
        assert phrase(language, words) in page.text
        assert re.search(r"[{}]", page.text) is None
    wrong = ask(door, "POST", f"/f/{form.uid}", b"email=nobody", FORM)
    assert phrase(language, "This does not look like an email address. Please check it.") in wrong.text
    gone = ask(door, "POST", f"/p/{token}", b"never=1", FORM)
    assert phrase(language, "I pressed this by mistake") in gone.text
    back = ask(door, "POST", f"/u/{token}", b"undo=mistake", FORM)
    assert phrase(language, "You are subscribed again") in back.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_confirmation_mail_and_its_page_speak_it_too(here: Rooms, language: str) -> None:
    speak(here, language)
    form = here.form()
    subscription = here.sign_up(form, "bea@example.com", "Bea")
    delivery = Delivery(here.account_id, 1, f"confirm:{subscription}:1", 1, 1, 1, here.now)
    letter = here.db.read_now(here.account_id, compose.letter, delivery, here.house.links)
    mail = message_from_bytes(letter.data, policy=default)
    assert mail["Subject"] == phrase(language, "Please confirm your subscription")
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr, attr-defined]
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr, attr-defined]
    assert text.startswith(phrase(language, "Hello") + " Bea,")
    assert phrase(language, "If the button does not work, open this address:") in html
    assert "{" not in text + html
    path = re.search(r"/confirm/\S+", text)
    assert path is not None
    page = ask(Door(here.house), "GET", path[0])
    assert phrase(language, "Confirm my subscription") in page.text


def test_an_unknown_language_is_refused(here: Rooms) -> None:
    with pytest.raises(Invalid, match="must be one of"):
        speak(here, "tlh")
