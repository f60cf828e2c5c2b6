"""The Outbox: mail that is kept, and what is shown of it."""

import pytest

from tests.core.cast import Owner
from tidings.core import outbox
from tidings.mail import headers
from tidings.store.db import Database

LONG = "Hallö Bea " * 12 + "Ende"


@pytest.mark.parametrize(
    ("template", "field", "shown"),
    (
        ("Hi {{ x }}", b"", "Hi {{ x }}"),
        ("News", headers.text_field("Subject", "Other"), "News"),
        ("Hi {{ subscriber.first_name }}", headers.text_field("Subject", "Hi Bea"), "Hi Bea"),
        ("Hi {{ subscriber.first_name }}", headers.text_field("Subject", LONG), LONG),
        ("Hi {{ x }}", b"Subject: =?nonsense?q?a?=\r\n", "Hi {{ x }}"),
        ("Hi {{ x }}", b"Subject: =?utf-8?b?AGE=?=\r\n", "a"),
        ("Hi {{ x }}", b"Subject: \xff\xfe\r\n", "\ufffd\ufffd"),
    ),
)
def test_a_subject_is_shown_as_the_person_got_it(
    db: Database, ada: Owner, template: str, field: bytes, shown: str
) -> None:
    raw = b"From: a@example.com\r\n" + field + b"\r\nSubject: of the body\r\n"
    db.write_now(ada.id, outbox.keep_all, [(1, "bea@example.com", template, raw)])
    [kept] = db.read_now(ada.id, outbox.newest)
    assert (kept.subject, kept.delivery_id) == (shown, 1)
