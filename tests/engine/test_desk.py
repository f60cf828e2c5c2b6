"""The desk: what cannot be made into mail just now waits for whoever can mend it, and fails for nobody."""

import asyncio
from typing import Any

import pytest

from tests.core.cast import Cast, rows
from tests.core.ledger import claim, people, started
from tidings.core import accounts, broadcasts, letters, sequences, signing, signup, subscribers
from tidings.core.deliveries import Delivery, Letter, Outcome
from tidings.core.events import Origin
from tidings.core.sequences import SequenceEmail
from tidings.core.signup import Also
from tidings.engine.desk import LATER_MS, Desk
from tidings.engine.steps import Steps
from tidings.errors import Unavailable
from tidings.mail.dkim import make_key
from tidings.store.db import Database
from tidings.tokens import Links

LINKS = Links("https://news.example", b"k" * 32)


def made(db: Database, claimed: list[Delivery], *, outbox: bool) -> tuple[list[Letter], list[Outcome]]:
    """Make letters of a batch, at a desk of its own."""

    async def make() -> tuple[list[Letter], list[Outcome]]:
        desk = Desk(db, LINKS, outbox=outbox)
        try:
            return await desk.letters(claimed)
        finally:
            await desk.close()

    return asyncio.run(make())


def in_sequence(db: Database, cast: Cast) -> list[Delivery]:
    """Let somebody's first email of a sequence be due, and claim it."""
    eve = cast.eve
    course = db.write_now(eve.id, sequences.create, "Course")
    db.write_now(eve.id, sequences.set_emails, course, [SequenceEmail("Hi", "<p>Hi</p>", 0)])
    person = subscribers.person("pupil@example.com")
    db.write_now(eve.id, signup.sign_up, "sequence", course, person, Also(), Origin("api"))
    asyncio.run(Steps(db).step())
    return claim(db)


def test_a_database_that_is_away_fails_no_mail(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(db, cast.eve, 3)
    started(db, cast.eve)
    claimed, read = claim(db), db.read

    async def away(account_id: int, question: Any, *args: Any, **options: Any) -> Any:
        if question is letters.recipients:
            raise Unavailable("gone for a moment")
        return await read(account_id, question, *args, **options)

    monkeypatch.setattr(db, "read", away)
    with pytest.raises(Unavailable):
        made(db, claimed, outbox=True)


def test_a_sequences_mail_waits_for_the_postal_address_where_mail_leaves(db: Database, cast: Cast) -> None:
    claimed = in_sequence(db, cast)
    assert len(claimed) == 1
    assert len(made(db, claimed, outbox=True)[0]) == 1
    mails, put_off = made(db, claimed, outbox=False)
    assert mails == []
    assert [(one.state, one.untried, one.due_at) for one in put_off] == [
        ("deferred", True, db.clock() + LATER_MS)
    ]
    assert "postal address" in put_off[0].reply
    db.write_now(cast.eve.id, accounts.describe, postal_address="1 Main Street, Bern")
    assert len(made(db, claimed, outbox=False)[0]) == 1


def test_a_key_of_another_master_key_pauses_the_broadcast_and_loses_nobody(db: Database, cast: Cast) -> None:
    eve = cast.eve
    domain = db.read_now(eve.id, accounts.get).primary_email.partition("@")[2]
    other = Links("https://news.example", b"x" * 32)
    db.write_now(eve.id, signing.create, other, domain, "tidings", make_key("ed25519"))
    people(db, eve, 2)
    one = started(db, eve)
    mails, put_off = made(db, claim(db), outbox=True)
    assert mails == []
    assert [(each.state, each.untried) for each in put_off] == [("queued", True)] * len(put_off)
    assert len(put_off) >= 2
    paused = db.read_now(eve.id, broadcasts.find, one)
    assert paused.paused_at is not None
    assert "master key" in str(paused.paused_why)


def test_mail_is_signed_by_the_key_of_its_domain(db: Database, cast: Cast) -> None:
    eve = cast.eve
    domain = db.read_now(eve.id, accounts.get).primary_email.partition("@")[2]
    db.write_now(eve.id, signing.create, LINKS, domain, "tidings", make_key("ed25519"))
    people(db, eve, 2)
    started(db, eve)
    mails, unfit = made(db, claim(db), outbox=True)
    assert unfit == []
    assert all(one.data.startswith(b"DKIM-Signature: v=1; a=ed25519-sha256;") for one in mails)
    assert f"d={domain}".encode() in mails[0].data
    assert rows(db, "SELECT COUNT(*) FROM signing_keys WHERE sealed LIKE '%PRIVATE%'") == [(0,)]
