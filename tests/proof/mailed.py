"""Runs one engine for the rigs, with a planted bug when asked: `mailed.py [BUG]`.

`TIDINGS_RIG_CLOCK` may name a file that holds by how many milliseconds the engine's clock is wrong, and
`TIDINGS_RIG_FULL` one whose being there makes the disk full for SQLite. Each bug is one that a rig must see;
a rig that has never been red proves nothing.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from tidings import app, settings
from tidings.core import audience, sending
from tidings.core.deliveries import Delivery, Lapsed, Outcome, Source, Timing, settling
from tidings.engine import sender
from tidings.errors import Unavailable
from tidings.mail.conversation import Conversation
from tidings.mail.outcome import Envelope, NotTaken
from tidings.mail.outcome import Outcome as Said
from tidings.mail.smtp import Smtp
from tidings.settings import Settings
from tidings.store.db import Database, wall_clock
from tidings.store.sqlite import SqliteSession
from tidings.store.tx import Rx, Tx


def early() -> None:
    """Mark as sent what is about to go over the wire."""
    right = sending.hand

    def hand(tx: Tx, claimed: list[Delivery]) -> list[Delivery]:
        handed = right(tx, claimed)
        sending.settle(tx, [Outcome(one, "sent") for one in handed], Timing())
        return handed

    sending.hand = hand


def cursor() -> None:
    """Go on after what was claimed, as if a claimed row were a sent one."""

    def release(tx: Tx, one: Lapsed) -> str:
        return "sent" if settling.settle(tx, [Outcome(one.delivery, "sent")]) else ""

    right = sending.release

    def release_all(tx: Tx, timing: Timing) -> int:
        for one in sending.deliveries.lapsed(tx):
            if one.state == "claimed" and release(tx, one):
                sending._tally(tx.for_account(one.account_id), [_settled(one)])
        return right(tx, timing)

    sending.release = release_all


def _settled(one: Lapsed) -> settling.Settled:
    return settling.Settled(one.account_id, one.broadcast_id, "sent")


def careless() -> None:
    """Send again at once, and as often as it takes, what a dead worker had handed."""

    def after_ambiguity(delivery: Delivery, reply: str, now: int, **_: object) -> Outcome:
        return Outcome(delivery, "queued", reply, now)

    sending.deliveries.after_ambiguity = after_ambiguity


def hasty() -> None:
    """Look at consent when a row is claimed, and not again."""
    for size, text in settling._HAND.items():
        assert audience.IS_IN_STATE in text
        settling._HAND[size] = text.replace(audience.IS_IN_STATE, "CAST(:wanted AS TEXT) <> ''")
    sending.course.standing = lambda *_: "go"


def farewell() -> None:
    """Believe that nothing was taken when the server does not take leave as it should."""
    right = Smtp.send

    async def send(self: Smtp, envelopes: Sequence[Envelope]) -> list[Said]:
        said = await right(self, envelopes)
        while self._idle:
            conversation: Conversation = self._idle.pop()
            try:
                reply = await conversation._wire.command("QUIT", 2)
                fine = reply.code == 221
            except Exception:  # noqa: BLE001 - this is the bug
                fine = False
            conversation.abort()
            if not fine:
                return [NotTaken(one.key, "no farewell") for one in said]
        return said

    Smtp.send = send  # type: ignore[method-assign]


def crowd() -> None:
    """Hand over as many at once as ever, however long each takes."""
    sender.CHUNK_FIRST = sender.CHUNK
    sender.CHUNK_S = 1e9


def pretend() -> None:
    """Say that a commit was made for which there was no room."""
    right = SqliteSession.commit

    def commit(self: SqliteSession) -> None:
        try:
            right(self)
        except apsw.FullError:
            self.rollback()

    SqliteSession.commit = commit  # type: ignore[method-assign]


def forgetful() -> None:
    """Give up what the provider said when it cannot be written at once."""
    right = Database.write

    async def write(self: Database, account_id: int, verb: Any, *args: Any, **options: Any) -> Any:
        try:
            return await right(self, account_id, verb, *args, **options)
        except Unavailable:
            if verb is sending.settle:
                return None
            raise

    Database.write = write  # type: ignore[method-assign]


class _Unseen(set[Any]):
    """A set that says it is empty."""

    def __len__(self) -> int:
        return 0


def eager() -> None:
    """Hand over to connections that are busy, so that it waits there."""
    right = sender.Sender.__init__

    def init(self: sender.Sender, *args: Any, **options: Any) -> None:
        right(self, *args, **options)
        self._stalled = _Unseen()

    sender.Sender.__init__ = init  # type: ignore[method-assign]


def deaf() -> None:
    """Let a 250 that comes after the lease say nothing."""
    settling._call_off = lambda *_: []


def polite() -> None:
    """Let confirmations wait until no broadcast is being sent."""
    right = sending.sources

    def sources(rx: Rx, *, lane: str) -> list[Source]:
        return [] if lane == "now" and sending.course.sending(rx) else right(rx, lane=lane)

    sending.sources = sources


BUGS = {
    bug.__name__: bug
    for bug in (early, cursor, careless, hasty, farewell, crowd, pretend, forgetful, eager, deaf, polite)
}


def _wrong_clock(file: Path) -> Callable[[], int]:
    """Return a clock that is wrong by what the file says when it is asked."""

    def now() -> int:
        try:
            return wall_clock() + int(file.read_text() or "0")
        except (OSError, ValueError):
            return wall_clock()

    return now


def _plant_clock(file: Path) -> None:
    def open_database(given: Settings) -> Database:
        return Database(given.database, clock=_wrong_clock(file))

    app.open_database = open_database


def _plant_disk(file: Path) -> None:
    right = SqliteSession.commit

    def commit(self: SqliteSession) -> None:
        if file.exists():
            raise apsw.FullError("database or disk is full")
        right(self)

    SqliteSession.commit = commit  # type: ignore[method-assign]


if __name__ == "__main__":
    _plant_clock(Path(os.environ["TIDINGS_RIG_CLOCK"]))
    _plant_disk(Path(os.environ["TIDINGS_RIG_FULL"]))
    if sys.argv[1:] and sys.argv[1]:
        BUGS[sys.argv[1]]()
    sys.exit(app.run_engine(settings.load()))
