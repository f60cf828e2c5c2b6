"""The loop of the search index: blocks of people are laid behind the sign-ups, and mended."""

import asyncio

from tidings.core.accounts import INSTALLATION
from tidings.core.finding import laying
from tidings.core.search import blocks
from tidings.store.db import Database

# People who are not in it yet are looked through one by one: nobody waits for the index.
LOOK_MS = 5_000
# A block takes 80 ms of a core and holds the writer for 10; sign-ups go on in between.
PAUSE_S = 0.05


class Indexing:
    """Does one thing for one account at a time, the accounts in turn."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._looked_at: int | None = None
        self._after = 0

    async def step(self) -> int:
        """Do what is due, or look again in a while; return 0 when nothing is."""
        now = self._db.clock()
        # A clock that was set back must not stop it.
        if self._looked_at is not None and 0 <= now - self._looked_at < LOOK_MS:
            return 0
        work = await self._db.scan(INSTALLATION, laying.due, self._after)
        if work is None:
            self._looked_at = now
            return 0
        self._looked_at, self._after = None, work.account_id
        if work.settled is not None or work.unneeded:
            await self._db.write(work.account_id, laying.mend, work)
        else:
            laid = await self._db.scan(work.account_id, laying.read, work)
            if laid is not None:
                await self._db.write(work.account_id, blocks.keep, laid)
        await asyncio.sleep(PAUSE_S)
        return 1
