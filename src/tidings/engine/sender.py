"""The sender: due deliveries become mail.

Claim (committed before any connection is used), compose, take the last look and mark as
handed (committed before the wire), send, settle. It is given `send` and knows no SMTP.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

from tidings.core import compose, deliveries
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Delivery, Letter, Outcome
from tidings.errors import Problem
from tidings.store.db import Database
from tidings.store.tx import Tx
from tidings.tokens import Links

log = logging.getLogger("tidings.engine")

# At most 32 messages a connection are handed at once: that many are ambiguous after a kill.
BATCH = 32

Send = Callable[[Sequence[Letter]], Awaitable[list[Outcome]]]


class Sender:
    """One lane of one process."""

    def __init__(self, db: Database, links: Links, send: Send, *, lane: str = "now") -> None:
        self._db = db
        self._links = links
        self._send = send
        self._lane = lane

    async def step(self) -> int:
        """Send one batch; return how many were claimed."""
        if not await self._db.scan(INSTALLATION, deliveries.any_due, lane=self._lane):
            return 0
        claimed = await self._db.write(INSTALLATION, deliveries.claim_due, lane=self._lane, limit=BATCH)
        if not claimed:
            await self._db.write(INSTALLATION, deliveries.release_lapsed)
            return 0
        letters, unfit = await self._compose(claimed)
        if unfit:
            await self._db.write(INSTALLATION, deliveries.settle, unfit)
        handed = await self._db.write(INSTALLATION, _hand_all, letters)
        if handed:
            outcomes = await self._send(handed)
            await self._db.write(INSTALLATION, deliveries.settle, outcomes)
            for one in outcomes:
                log.info(
                    "delivery settled",
                    extra={
                        "delivery": one.delivery.id,
                        "state": one.state,
                        "occasion": one.delivery.occasion,
                    },
                )
        return len(claimed)

    async def _compose(self, claimed: list[Delivery]) -> tuple[list[Letter], list[Outcome]]:
        letters, unfit = [], []
        for delivery in claimed:
            try:
                letters.append(
                    await self._db.scan(delivery.account_id, compose.letter, delivery, self._links)
                )
            except Problem as problem:
                unfit.append(Outcome(delivery, "failed", problem.message))
        return letters, unfit


def _hand_all(tx: Tx, letters: list[Letter]) -> list[Letter]:
    return [one for one in letters if deliveries.hand(tx, one.delivery)]
