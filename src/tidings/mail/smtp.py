"""SMTP: a batch of envelopes in, an outcome for each out, over a few kept connections.

Each batch goes over one connection; as many batches as `Settings.connections` go at once. The world's
refusals are values; it raises only when cancelled, and then drops the connection.
"""

import asyncio
from collections.abc import Sequence

from tidings.mail.conversation import Conversation, NotOpened
from tidings.mail.outcome import Accepted, Batch, Envelope, NotTaken, Outcome, Refused, Unknown
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
        # How many messages a connection may carry, 0 for any number: as set, then as learnt.
        self._limit = settings.messages
        self._ended_after = 0

    async def send(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        """Hand all of them over, one connection at a time; the outcomes come in their order.

        The caller bounds a batch (32 in this project): it is what a kill leaves in doubt. When the
        connection ends, what was not begun is tried once more on the next. When none can be opened,
        or three messages in a row end broken, what is left is `NotTaken` for the same reason, untried:
        waiting out a dead provider for each takes hours.
        """
        batch = Batch(envelopes)
        async with self._places:
            while batch.waiting and batch.broken < BROKEN_MAX:
                try:
                    conversation = self._kept() or await self._opened()
                except NotOpened as failure:
                    batch.give_up(str(failure), failure.stage)
                    break
                await self._deliver(batch, conversation)
        return batch.finished()

    async def close(self) -> None:
        """Take leave of the kept connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(conversation.quit() for conversation in idle))

    async def _deliver(self, batch: Batch, conversation: Conversation) -> None:
        """Settle what one connection can of a batch, and keep it if it is still good."""
        try:
            await conversation.deliver(batch, self._limit)
        except BaseException:
            # Cancelled in mid-conversation: nobody may go on where it stands.
            conversation.abort()
            raise
        exchange = conversation.exchange
        if not conversation.usable:
            self._learn(exchange.ended_after, told=exchange.enough)
            conversation.abort()
        elif self._limit and exchange.begun >= self._limit:
            conversation.leave()
        else:
            conversation.idle_since = asyncio.get_running_loop().time()
            self._idle.append(conversation)

    def _learn(self, ended_after: int, *, told: bool) -> None:
        """Keep a limit of messages: one the server states, or after which it ended twice running.

        Staying below it means that no connection ends while a terminator is out. A limit of one
        learnt without a word would cost a connection each, so that takes a statement.
        """
        if ended_after and (told or (ended_after > 1 and ended_after == self._ended_after)):
            self._limit = min(self._limit or ended_after, ended_after)
        if ended_after:
            self._ended_after = ended_after

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
