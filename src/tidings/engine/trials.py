"""The loop that sends trials: mails to single addresses, to be looked at."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from tidings.core import compose, trials
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Letter, Outcome
from tidings.core.trials import Trial
from tidings.engine.desk import Desk
from tidings.errors import Problem, Unavailable
from tidings.store.db import Database
from tidings.tokens import Links

log = logging.getLogger("tidings.engine")

Send = Callable[[Sequence[Letter]], Awaitable[list[Outcome]]]


class Trials:
    """Hands trials over one after another; `send` is the provider of single mails."""

    def __init__(self, db: Database, desk: Desk, links: Links, send: Send) -> None:
        self._db = db
        self._desk = desk
        self._links = links
        self._send = send

    async def step(self) -> int:
        """Send what is due; return how many were tried."""
        if not await self._db.read(INSTALLATION, trials.any_due):
            return 0
        claimed = await self._db.write(INSTALLATION, trials.claim)
        for one in claimed:
            await self._post(one)
        return len(claimed)

    async def _post(self, one: Trial) -> None:
        try:
            letter = await self._letter(one)
        except Unavailable:
            raise
        except Problem as problem:
            await self._settle(one, problem.message, sent=False, lasting=True)
            return
        (said,) = await self._send([letter])
        await self._settle(one, said.reply, sent=said.state == "sent", lasting=said.state == "failed")

    async def _letter(self, one: Trial) -> Letter:
        if one.form_id is not None:
            return await self._db.scan(
                one.account_id, compose.trial, one.form_id, one.address, one.delivery, self._links
            )
        words, who = await self._db.read(one.account_id, trials.letter, one, self._links)
        return await self._desk.single(one.delivery, words, who)

    async def _settle(self, one: Trial, reply: str, *, sent: bool, lasting: bool) -> None:
        await self._db.write(one.account_id, trials.settle, one, reply, sent=sent, lasting=lasting)
        if not sent:
            log.warning("a test mail was not sent", extra={"account": one.account_id, "trial": one.id})
