"""Rehearsing a broadcast: what its owner should know before it is sent."""

from email import message_from_bytes
from email.policy import default

import pytest

from tests.core import ledger
from tests.core.cast import API, Owner
from tidings.core import (
    accounts,
    broadcasts,
    custom_fields,
    rehearsal,
    sending,
    subscribers,
    subscriptions,
    tracking,
)
from tidings.core.rehearsal import Rehearsal
from tidings.core.tracking import numbers
from tidings.errors import NotFound
from tidings.store.db import Database
from tidings.tokens import Links

LINKS = Links("https://tidings.example", b"k" * 32)


def rehearse(db: Database, owner: Owner, made: int, *, outbox: bool = False) -> Rehearsal:
    return db.read_now(owner.id, rehearsal.rehearse, made, LINKS, outbox=outbox)


def test_a_letter_that_is_well_has_no_remarks(db: Database, ada: Owner) -> None:
    db.write_now(ada.id, custom_fields.create, ["Home town"])
    words = (
        "<p>{{ subscriber.first_name | default: 'friend' }} {{ subscriber.home_town }} {{ unsubscribe_link }}"
        " {{ address }} <a href='https://example.com/a'>a</a></p>"
    )
    found = rehearse(db, ada, ledger.draft(db, ada, content=words))
    assert (found.unknown, found.remarks()) == ((), [])
    assert found.links == ("https://example.com/a",)


@pytest.mark.parametrize("where", ("subject", "content", "text"))
def test_names_that_nobody_has_are_found_in_every_part(db: Database, ada: Owner, where: str) -> None:
    made = ledger.draft(db, ada, **{where: "Hi {{ subscriber.frist_name }} {{ subscriber.first_name }}"})
    found = rehearse(db, ada, made)
    assert found.unknown == ("subscriber.frist_name",)
    assert found.remarks() == ["nobody has {{ subscriber.frist_name }}: it will be empty in every mail"]


def test_a_letter_that_gmail_clips_is_remarked(db: Database, ada: Owner) -> None:
    made = ledger.draft(db, ada, content="<p>word </p>" * 12_000)
    assert [one for one in rehearse(db, ada, made).remarks() if "Gmail shows 102 of them" in one]


def test_links_are_not_counted_where_the_account_keeps_no_clicks(db: Database, ada: Owner) -> None:
    made = ledger.draft(db, ada, content="<a href='https://example.com/a'>a</a>")
    db.write_now(ada.id, accounts.set_tracking, opens=True, clicks=False)
    assert rehearse(db, ada, made).links == ()


def test_what_is_missing_is_said(db: Database, ada: Owner) -> None:
    made = ledger.draft(db, ada)
    db.write_now(ada.id, accounts.describe, postal_address="")
    with pytest.raises(sending.NotReady, match="no postal address"):
        rehearse(db, ada, made)
    assert rehearse(db, ada, made, outbox=True).unknown == ()
    db.write_now(ada.id, broadcasts.revise, made, {"subject": None}, "ada@example.com")
    with pytest.raises(sending.NotReady, match="no subject"):
        rehearse(db, ada, made, outbox=True)
    with pytest.raises(NotFound):
        rehearse(db, ada, 10**9)


def test_a_letter_whose_liquid_is_broken_cannot_be_made(db: Database, ada: Owner) -> None:
    made = ledger.draft(db, ada, content="<p>{% if subscriber.first_name %}</p>")
    with pytest.raises(ValueError, match=r"."):
        rehearse(db, ada, made)


def test_rehearsing_writes_nothing(db: Database, ada: Owner) -> None:
    made = ledger.draft(db, ada, content="<a href='https://example.com/a'>a</a>")
    before = ledger.look(db, ada, made)
    rehearse(db, ada, made)
    assert ledger.look(db, ada, made) == before
    assert db.read_now(ada.id, numbers.of_owner, f"broadcast:{made}") == []


def test_links_are_listed_by_how_many_people_clicked_them_without_the_hidden_one(
    db: Database, ada: Owner
) -> None:
    urls = ["https://example.com/a", "https://example.com/b", tracking.HONEY_URL]
    ids = db.write_now(ada.id, tracking.link_ids, "broadcast:1", urls)
    db.write_now(ada.id, tracking.link_ids, "broadcast:2", ["https://example.com/c"])
    db.write_now(
        ada.id,
        lambda tx: tx.run("UPDATE links SET clicks = 5, unique_clicks = 2 WHERE id = :id", id=ids[1]),
    )
    found = db.read_now(ada.id, numbers.of_owner, "broadcast:1")
    assert [(one.url, one.clicks, one.unique_clicks, one.machine_clicks) for one in found] == [
        ("https://example.com/b", 5, 2, 0), ("https://example.com/a", 0, 0, 0),
    ]  # fmt: skip


def checks(db: Database, owner: Owner, made: int, *, outbox: bool = False) -> list[tuple[str, str]]:
    found = db.read_now(owner.id, rehearsal.checks, made, LINKS, outbox=outbox)
    assert rehearsal.may_go(found) == all(one.level != "stop" for one in found)
    return [(one.level, one.about) for one in found]


def test_a_letter_that_is_well_passes_every_check(db: Database, ada: Owner) -> None:
    made = ledger.draft(db, ada, content="<p>Hi</p>", preheader="What is new")
    assert checks(db, ada, made) == [("fine", "unsubscribe"), ("fine", "address"), ("fine", "size")]


def test_everything_that_is_wrong_is_said_at_once(db: Database, ada: Owner) -> None:
    words = '<p>{{ subscriber.nick }} <a href="example.com">x</a> <img src="https://example.com/a.png"></p>'
    made = ledger.draft(db, ada, subject="", content=words)
    db.write_now(ada.id, accounts.describe, postal_address="")
    found = checks(db, ada, made)
    assert found[:2] == [("stop", "subject"), ("stop", "address")]
    assert set(found[2:-2]) == {
        ("look", "preheader"), ("look", "content"), ("look", "link"), ("look", "image"),
    }  # fmt: skip
    assert ("look", "address") in checks(db, ada, made, outbox=True)


def test_an_empty_letter_and_broken_liquid_may_not_go(db: Database, ada: Owner) -> None:
    assert ("stop", "content") in checks(db, ada, ledger.draft(db, ada, content=""))
    assert ("stop", "content") in checks(db, ada, ledger.draft(db, ada, content="<p>{% if x %}</p>"))


def test_a_letter_prints_for_a_chosen_person_or_the_first(db: Database, ada: Owner) -> None:
    made = ledger.draft(db, ada, subject="", content="<p>Hi {{ subscriber.first_name | default: 'you' }}</p>")
    first = db.read_now(ada.id, rehearsal.letter, made, LINKS)
    assert (first.subscriber_id, first.recipient.first_name) == (1, "Bea")
    db.write_now(ada.id, lambda tx: subscriptions.unsubscribe(tx, subscribers.get(tx, 1), API))
    nobody = db.read_now(ada.id, rehearsal.letter, made, LINKS)
    assert (nobody.subscriber_id, nobody.recipient.first_name) == (None, None)
    _, second = ledger.people(db, ada, 2)
    chosen = db.read_now(ada.id, rehearsal.letter, made, LINKS, second)
    assert chosen.recipient.email.startswith("p1.")
    printed = message_from_bytes(chosen.source.compile().message(chosen.recipient), policy=default)
    body = printed.get_body(("html",))
    assert body is not None
    assert "Hi you" in body.get_content()
    with pytest.raises(NotFound):
        db.read_now(ada.id, rehearsal.letter, made, LINKS, 10**9)
