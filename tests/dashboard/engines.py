"""The engine's loops over a database of a test, until nothing is due; the world answers as it is told."""

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.web.doors import BASE, KEY
from tidings.core import erasure
from tidings.core.deliveries import Letter, Outcome, Timing
from tidings.core.notices import Told
from tidings.engine.desk import Desk
from tidings.engine.notifier import Notifier
from tidings.engine.rules import Rules
from tidings.engine.scheduler import Scheduler
from tidings.engine.sender import Sender
from tidings.engine.steps import Steps
from tidings.engine.teller import Teller
from tidings.engine.uploads import Uploads
from tidings.moving import uploaded
from tidings.store.db import Database
from tidings.tokens import Links
from tidings.web.api_v3 import payloads

# A loop that finds something this often never ends.
ROUNDS_MAX = 5_000
# The subject of mail that one mailbox puts off.
SLOW = "Goes out slowly"


class Engines:
    """Runs the loops of mail, sequences, rules and webhooks."""

    def __init__(self, db: Database, say: Callable[[str], str]) -> None:
        self.db, self.say = db, say

    def run(self) -> None:
        """Work until no loop finds anything."""
        asyncio.run(self._work())

    def look_at_files(self) -> None:
        """Understand, count and bring in what was uploaded."""

        async def work() -> None:
            with tempfile.TemporaryDirectory() as folder:
                engine = Uploads(self.db, uploaded, folder)
                while await engine.look() or await engine.bring():
                    pass

        asyncio.run(work())

    async def _work(self) -> None:
        db, timing = self.db, Timing()
        desk = Desk(db, Links(BASE, KEY))
        senders = [Sender(db, desk, self._send, timing=timing, lane=lane) for lane in ("now", "bulk")]
        notifier = Notifier(db, self._post, KEY, luck=lambda: 0.9)
        steps = [
            Teller(db, payloads.of_event).step,
            Rules(db, payloads.of_subscriber).step,
            Steps(db).step,
            Scheduler(db, desk, timing, outbox=False).step,
            *(one.step for one in senders),
            notifier.step,
        ]
        try:
            for _ in range(ROUNDS_MAX):
                found = [await step() for step in steps]
                await asyncio.sleep(0)
                if not any(found) and not await db.read(0, _any_claimed):
                    return
            raise AssertionError("the loops never rest")
        finally:
            await asyncio.gather(*(one.close() for one in senders), notifier.close(), desk.close())

    async def _send(self, letters: Sequence[Letter]) -> list[Outcome]:
        """Take most mail, and keep it in the Outbox too; refuse and put off some."""
        said = []
        for letter in letters:
            own = letter.delivery
            if letter.rcpt_to.startswith("p4."):
                reply = f"550 5.1.1 {self.say('SMTP reply')}"
                said.append(Outcome(own, "failed", reply, verdict="mailbox"))
            elif letter.rcpt_to.startswith("p5.") and letter.subject == SLOW:
                reply, later = f"451 4.2.0 {self.say('SMTP reply')}", self.db.clock() + 5 * 86_400_000
                said.append(Outcome(own, "deferred", reply, later, verdict="temporary"))
            else:
                kept = [(own.id, letter.rcpt_to, letter.subject, letter.data)]
                await self.db.write(own.account_id, erasure.keep_unless_erased, kept)
                said.append(Outcome(own, "sent", f"250 2.0.0 {self.say('SMTP reply')}"))
        return said

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Told:
        if "rule" in url:
            return Told(500, self.say("webhook error"), self.say("webhook answer").encode(), None, 12)
        return Told(200, "", self.say("webhook answer").encode(), None, 7)


def _any_claimed(rx: Any) -> bool:
    return rx.one("SELECT 1 FROM notices WHERE state = 'claimed' LIMIT 1") is not None
