"""SMTP: a batch of envelopes in, an outcome for each out, over a few kept connections.

`Smtp` spreads a batch over at most `Settings.connections` conversations and keeps them for the next
batch. The world's refusals are values; it raises only when cancelled, and then drops its connections.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from tidings.mail.conversation import Conversation, NotOpened, Stale
from tidings.mail.outcome import Accepted, Envelope, NotTaken, Outcome, Refused, Stage, Unknown
from tidings.mail.provider import Settings, Timeouts

__all__ = [
    "Accepted",
    "Envelope",
    "NotTaken",
    "Outcome",
    "Refused",
    "Settings",
    "Smtp",
    "Timeouts",
    "Unknown",
]

# Servers end an idle connection after 60 s (Exchange) to 300 s (RFC 5321's minimum, Postfix).
IDLE_MAX_S = 50.0
# So many broken ends one after another, and the rest of a batch is not tried: each may have waited
# out a time-out, and after the terminator each is one more mail of unknown fate.
BROKEN_MAX = 3


class Smtp:
    """A client of one provider, for one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tls = settings.tls_context()
        self._idle: list[Conversation] = []
        self._places = asyncio.Semaphore(settings.connections)

    async def send(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        """Hand all of them over; the outcomes come in the order of the envelopes.

        When no connection can be opened, or three messages in a row end broken, what is left is
        `NotTaken` for the same reason, untried: waiting out a dead provider for each takes hours.
        """
        batch = _Batch(envelopes)
        workers = min(len(envelopes), self._settings.connections)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(self._work(batch))
        return batch.finished()

    async def close(self) -> None:
        """Take leave of the kept connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(conversation.quit() for conversation in idle))

    async def _work(self, batch: "_Batch") -> None:
        """Take one envelope after another until none is left or no connection can be had."""
        async with self._places:
            conversation: Conversation | None = None
            try:
                while batch.waiting and batch.broken < BROKEN_MAX:
                    conversation = await self._deliver_next(batch, conversation)
            except NotOpened as failure:
                batch.reason, batch.stage = str(failure), failure.stage
            finally:
                if conversation is not None:
                    self._keep(conversation)

    async def _deliver_next(self, batch: "_Batch", conversation: Conversation | None) -> Conversation:
        """Settle the next envelope, on this conversation if it still stands."""
        if conversation is None or not conversation.usable:
            conversation = self._kept() or await self._opened()
        if not batch.waiting:
            # Others emptied the batch while this connection was being opened.
            return conversation
        at = batch.waiting.popleft()
        try:
            batch.settle(at, await conversation.deliver(batch.envelopes[at]))
        except Stale:
            batch.waiting.appendleft(at)
        except BaseException:
            # Cancelled in mid-conversation: nobody may go on where it stands.
            conversation.abort()
            raise
        return conversation

    async def _opened(self) -> Conversation:
        conversation = Conversation(self._settings, self._tls)
        try:
            await conversation.open()
        except BaseException:
            conversation.abort()
            raise
        return conversation

    def _kept(self) -> Conversation | None:
        """Give a kept connection that is still good; the others are dropped."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            conversation = self._idle.pop()
            if conversation.usable and now - conversation.idle_since < IDLE_MAX_S:
                return conversation
            conversation.abort()
        return None

    def _keep(self, conversation: Conversation) -> None:
        if conversation.usable:
            conversation.idle_since = asyncio.get_running_loop().time()
            self._idle.append(conversation)
        else:
            conversation.abort()


class _Batch:
    """The envelopes of one `send`, those still waiting, and the outcomes so far."""

    def __init__(self, envelopes: Sequence[Envelope]) -> None:
        self.envelopes = envelopes
        self.waiting = deque(range(len(envelopes)))
        self.outcomes: list[Outcome | None] = [None] * len(envelopes)
        self.broken = 0
        self.reason = "no connection"
        self.stage: Stage = "connect"

    def settle(self, at: int, outcome: Outcome) -> None:
        """Keep an outcome, and count how many in a row were broken."""
        self.outcomes[at] = outcome
        if isinstance(outcome, NotTaken | Unknown):
            self.broken += 1
            self.reason = outcome.reason
            self.stage = outcome.stage if isinstance(outcome, NotTaken) else "dot"
        else:
            self.broken = 0

    def finished(self) -> list[Outcome]:
        """Give every outcome; what was not tried is `NotTaken`."""
        return [
            outcome or NotTaken(envelope.key, self.reason, self.stage)
            for envelope, outcome in zip(self.envelopes, self.outcomes, strict=True)
        ]
