"""The loop of notes to owners: handed over one by one, settled by what the provider says."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.core.cast import Cast, Clock, rows
from tidings.app.providers import OutboxProvider
from tidings.core import outbox, owner_notes
from tidings.core.deliveries import Letter, Outcome
from tidings.engine.owner_notes import OwnerNotes
from tidings.store.db import Database


def states(db: Database) -> list[tuple[object, ...]]:
    return rows(db, "SELECT state, attempts, reply FROM owner_notes ORDER BY id")


@pytest.mark.parametrize(
    ("said", "becomes"),
    (("sent", "sent"), ("failed", "failed"), ("deferred", "queued"), ("unknown", "queued")),
)
def test_a_note_ends_as_the_provider_says(db: Database, cast: Cast, said: str, becomes: str) -> None:
    handed: list[Letter] = []

    async def send(letters: Sequence[Letter]) -> list[Outcome]:
        handed.extend(letters)
        return [Outcome(one.delivery, said, "words") for one in letters]

    db.write_now(cast.ada.id, owner_notes.tell, "a", "Look here", "Words")
    loop = OwnerNotes(db, send)
    assert asyncio.run(loop.step()) == 1
    assert asyncio.run(loop.step()) == 0
    assert [(one.rcpt_to, one.subject) for one in handed] == [("ada@example.com", "Look here")]
    assert states(db) == [(becomes, 1, "words" if becomes != "queued" else None)]


def test_a_note_goes_again_with_the_same_message_id(db: Database, cast: Cast, clock: Clock) -> None:
    ids = []

    async def send(letters: Sequence[Letter]) -> list[Outcome]:
        (one,) = letters
        head = one.data.partition(b"\r\n\r\n")[0]
        ids.append(next(line for line in head.split(b"\r\n") if line.startswith(b"Message-ID")))
        return [Outcome(one.delivery, "deferred", "later")]

    db.write_now(cast.ada.id, owner_notes.tell, "a", "Look", "Words")
    loop = OwnerNotes(db, send)
    asyncio.run(loop.step())
    clock.move(owner_notes.WAITS_MS[0])
    asyncio.run(loop.step())
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_without_a_mail_server_a_note_is_kept_in_the_outbox(db: Database, cast: Cast) -> None:
    db.write_now(cast.ada.id, owner_notes.tell, "a", "Look", "Words")
    asyncio.run(OwnerNotes(db, OutboxProvider(db).send).step())
    (kept,) = db.read_now(cast.ada.id, outbox.newest)
    assert (kept.recipient, kept.subject) == ("ada@example.com", "Look")
    assert states(db) == [("sent", 1, "kept in the Outbox")]
