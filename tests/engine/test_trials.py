"""The loop of trials: made and signed as any letter, settled by what the provider says."""

import asyncio
from collections.abc import Sequence
from email import message_from_bytes
from email.policy import default

import pytest

from tests.core import ledger
from tests.core.cast import Cast, rows
from tests.core.recount import recount
from tidings.app.providers import OutboxProvider
from tidings.core import outbox, signing, trials
from tidings.core.deliveries import Letter, Outcome
from tidings.engine.desk import Desk
from tidings.engine.trials import Trials
from tidings.mail.dkim import make_key
from tidings.store.db import Database
from tidings.tokens import Links

LINKS = Links("https://tidings.example", b"k" * 32)


def ask(db: Database, cast: Cast, **words: str) -> None:
    made = ledger.draft(db, cast.ada, **words)
    db.write_now(cast.ada.id, trials.ask, made, ["me@example.com"], cast.bea)


def states(db: Database) -> list[tuple[object, ...]]:
    return rows(db, "SELECT state, reply FROM trials ORDER BY id")


def run(db: Database, said: str = "sent") -> list[Letter]:
    handed: list[Letter] = []

    async def send(letters: Sequence[Letter]) -> list[Outcome]:
        handed.extend(letters)
        return [Outcome(one.delivery, said, "words") for one in letters]

    async def step() -> None:
        desk = Desk(db, LINKS)
        await Trials(db, desk, LINKS, send).step()
        await desk.close()

    asyncio.run(step())
    return handed


@pytest.mark.parametrize(
    ("said", "becomes"),
    (("sent", "sent"), ("failed", "failed"), ("deferred", "queued"), ("unknown", "queued")),
)
def test_a_trial_ends_as_the_provider_says(db: Database, cast: Cast, said: str, becomes: str) -> None:
    ask(db, cast)
    (letter,) = run(db, said)
    assert letter.rcpt_to == "me@example.com"
    assert states(db) == [(becomes, "words")]
    assert run(db) == []


@pytest.mark.parametrize("content", ("<p>Hi {{ subscriber.first_name }}</p>",
    "<p>{% for n in (1..2) %}Hi {{ subscriber.first_name | upcase }}{% endfor %}</p>"))  # fmt: skip
def test_it_is_the_letter_that_readers_get_and_nothing_of_it_is_counted(
    db: Database, cast: Cast, content: str
) -> None:
    db.write_now(cast.ada.id, signing.create, LINKS, "example.com", "tidings", make_key("ed25519"))
    ask(db, cast, content=content + '<a href="https://example.com/">x</a>')
    (letter,) = run(db)
    made = message_from_bytes(letter.data, policy=default)
    body = made.get_body(("html",))
    assert body is not None
    html = body.get_content()
    assert "hi bea" in html.lower()
    assert 'href="https://example.com/"' in html
    assert "/o/" not in html
    assert made["Subject"] == "[Test] Hello"
    assert made["DKIM-Signature"]
    assert rows(db, "SELECT id FROM links") == []
    recount(db)


def test_a_letter_that_cannot_be_made_says_why(db: Database, cast: Cast) -> None:
    ask(db, cast, content="<p>{% if x %}</p>")
    assert run(db) == []
    ((state, reply),) = states(db)
    assert state == "failed"
    assert "cannot be made into a mail" in str(reply)


def test_without_a_mail_server_it_is_kept_in_the_outbox(db: Database, cast: Cast) -> None:
    ask(db, cast)

    async def step() -> None:
        desk = Desk(db, LINKS)
        await Trials(db, desk, LINKS, OutboxProvider(db).send).step()
        await desk.close()

    asyncio.run(step())
    (kept,) = db.read_now(cast.ada.id, outbox.newest)
    assert (kept.recipient, kept.subject) == ("me@example.com", "[Test] Hello")
