"""Snippets: named words, frozen with the mail that names them."""

import pytest

from tests.core.cast import Cast
from tidings.core import broadcasts, sending, snippets
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database


def put(db: Database, account_id: int, name: str, content: str) -> None:
    db.write_now(account_id, snippets.put, name, content)


def test_only_what_is_named_comes_along_with_what_it_names_itself(db: Database, cast: Cast) -> None:
    put(db, cast.ada.id, "sign", "Yours, {{ snippet.name }}")
    put(db, cast.ada.id, "name", "Ada")
    put(db, cast.ada.id, "other", "x")
    put(db, cast.eve.id, "eves", "x")
    found = db.read_now(cast.ada.id, snippets.named_in, "{{ snippet.sign }}{{ snippet.eves }}", None)
    assert dict(found) == {"sign": "Yours, {{ snippet.name }}", "name": "Ada"}


def test_a_name_is_one_snippet_and_the_last_content_counts(db: Database, cast: Cast) -> None:
    put(db, cast.ada.id, "a", "one")
    put(db, cast.ada.id, "a", "two")
    assert [one.content for one in db.read_now(cast.ada.id, snippets.all_snippets).values()] == ["two"]
    db.write_now(cast.ada.id, snippets.delete, "a")
    assert db.read_now(cast.ada.id, snippets.all_snippets) == {}
    with pytest.raises(NotFound):
        db.write_now(cast.ada.id, snippets.delete, "a")


@pytest.mark.parametrize(
    ("name", "content"),
    (("", "x"), ("a b", "x"), ("a" * 101, "x"), ("a", "{% if %}"), ("a", "x" * (snippets.CONTENT_MAX + 1))),
)
def test_what_no_mail_could_name_or_read_is_refused(
    db: Database, cast: Cast, name: str, content: str
) -> None:
    with pytest.raises(Invalid):
        put(db, cast.ada.id, name, content)


def test_a_broadcast_freezes_the_snippets_that_it_names(db: Database, cast: Cast) -> None:
    put(db, cast.ada.id, "sign", "Ada")
    draft = broadcasts.Draft(subject="Hi", content="<p>{{ snippet.sign }}</p>")
    one = db.write_now(cast.ada.id, broadcasts.create, draft, "ada@example.com")
    frozen = db.read_now(cast.ada.id, sending.freeze, one.id, outbox=True)
    assert frozen.content(track_opens=False, track_clicks=False).snippets == {"sign": "Ada"}
