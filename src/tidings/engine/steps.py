"""Steps: the loop that moves people on through their sequences."""

import logging

from tidings.core import advance
from tidings.core.accounts import INSTALLATION
from tidings.store.db import Database

log = logging.getLogger("tidings.engine")


class Steps:
    """Who is due becomes a row that the sender finds; one slice at a time."""

    def __init__(self, db: Database, *, limit: int = advance.SLICE) -> None:
        self._db = db
        self._limit = limit

    async def step(self) -> bool:
        """Do one slice; return whether there was anything to do. An idle step writes nothing."""
        if not await self._db.read(INSTALLATION, advance.any_due):
            return False
        done = await self._db.write(INSTALLATION, advance.tick, self._limit)
        if done:
            log.info("sequences moved on", extra={"entries": done})
        return done > 0
