"""The loop that mails the owners of accounts what they must know."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from tidings.core import accounts, owner_notes
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Delivery, Letter, Outcome
from tidings.core.owner_notes import Note
from tidings.store.db import Database

log = logging.getLogger("tidings.engine")

Send = Callable[[Sequence[Letter]], Awaitable[list[Outcome]]]


class OwnerNotes:
    """Hands notes over one after another; `send` is the provider of single mails."""

    def __init__(self, db: Database, send: Send) -> None:
        self._db = db
        self._send = send

    async def step(self) -> int:
        """Send what is due; return how many were tried."""
        if not await self._db.read(INSTALLATION, owner_notes.any_due):
            return 0
        claimed = await self._db.write(INSTALLATION, owner_notes.claim)
        for note in claimed:
            await self._post(note)
        return len(claimed)

    async def _post(self, note: Note) -> None:
        account = await self._db.read(note.account_id, accounts.get)
        made = owner_notes.posted(note, account.name, account.primary_email)
        # A note is no delivery of a subscriber: its number is negative, so that it meets none of theirs.
        stands_for = Delivery(
            note.account_id, -note.id, f"note:{note.id}", 0, note.attempts, 0, note.created_at
        )
        letter = Letter(stands_for, made.mail_from, made.rcpt_to, note.subject, made.data, made.smtputf8)
        (said,) = await self._send([letter])
        await self._db.write(
            note.account_id,
            owner_notes.settle,
            note,
            said.reply,
            sent=said.state == "sent",
            lasting=said.state == "failed",
        )
        if said.state != "sent":
            log.warning("a note to an owner was not sent", extra={"account": note.account_id})
