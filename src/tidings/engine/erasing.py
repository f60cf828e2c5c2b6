"""Erasing: what is left of an erasure after its answer, done within minutes of it."""

import asyncio
import logging

from tidings.core import erasure
from tidings.core.accounts import INSTALLATION
from tidings.store.db import Database

log = logging.getLogger("tidings.engine")

# A scrub that met a reader is tried again so much later, and others' work goes on meanwhile.
AGAIN_MS = 10_000


class Erasing:
    """Sweeps the rows of erased people once more, then has the storage forget them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tried_at = 0

    async def step(self) -> int:
        """Do one slice or one scrub; return 0 when nothing waits."""
        waiting = await self._db.read(INSTALLATION, erasure.waiting)
        if waiting is not None:
            await self._db.write(waiting.account_id, erasure.step, waiting.id)
            return 1
        now = self._db.clock()
        if 0 <= now - self._tried_at < AGAIN_MS:
            return 0
        left = await self._db.read(INSTALLATION, erasure.unscrubbed)
        if not left:
            return 0
        self._tried_at = now
        if await asyncio.to_thread(self._db.scrub, erasure.TABLES):
            await self._db.write(INSTALLATION, erasure.scrubbed, left)
            log.info("erased people have left the storage", extra={"erasures": len(left)})
        return 0
