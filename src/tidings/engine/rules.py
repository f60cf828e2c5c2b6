"""The loop of rules: runs that are due are done, and the walks of timed triggers move on."""

import asyncio
import logging

from tidings.core import automations
from tidings.core.accounts import INSTALLATION
from tidings.core.automations import Due, Shape, walks
from tidings.errors import Problem, Unavailable
from tidings.store.db import Database

log = logging.getLogger("tidings.engine")

# Four groups of verbs; a run takes some 200 us of the writer.
BATCH = 256
# A mistake of ours may be one of the moment; a third time it is none.
TRIES = 3
AGAIN_MS = 5_000
# Days begin at full hours, or a quarter of one past them: nobody waits for a walk to the minute.
WALKS_EVERY_MS = 60_000


class Rules:
    """Does what is due of all accounts; `shape` makes of a person what is posted.

    A run is one verb, so two processes with the same list in hand do each run once. A run that
    fails by a mistake of ours waits while others go on, and is given up after `TRIES`.
    """

    def __init__(self, db: Database, shape: Shape, *, batch: int = BATCH) -> None:
        self._db = db
        self._shape = shape
        self._batch = batch
        self._after = -1
        self._tries: dict[tuple[int, int], int] = {}
        self._walked_at: int | None = None

    async def step(self) -> int:
        """Do one batch and a slice of each walk; an idle step is one look at an index."""
        return await self._run() + await self._walk()

    async def _run(self) -> int:
        due = await self._db.read(INSTALLATION, automations.due, self._batch, after=self._after)
        if not due:
            return 0
        self._after = due[-1].account_id
        await asyncio.gather(*(self._one(one) for one in due))
        return len(due)

    async def _one(self, due: Due) -> None:
        try:
            await self._db.write_sorted(due.key, due.account_id, automations.do, due.id, self._shape)
        except Unavailable:
            # The storage, or somebody who was faster: nothing is wrong with the run.
            await self._put_off(due)
        except Problem as problem:
            await self._fail(due, problem.message)
        except Exception as problem:
            log.exception("a run of a rule failed", extra={"account": due.account_id, "run": due.id})
            tries = self._tries.get((due.account_id, due.id), 0) + 1
            if tries >= TRIES:
                await self._fail(due, f"a fault in Tidings ({type(problem).__name__}); see the log")
                return
            self._tries[due.account_id, due.id] = tries
            await self._put_off(due)
            return
        self._tries.pop((due.account_id, due.id), None)

    async def _fail(self, due: Due, why: str) -> None:
        self._tries.pop((due.account_id, due.id), None)
        await self._db.write_sorted(due.key, due.account_id, automations.fail, due.id, why)

    async def _put_off(self, due: Due) -> None:
        await self._db.write_sorted(due.key, due.account_id, automations.put_off, due.id, AGAIN_MS)

    async def _walk(self) -> int:
        """Move each walk that is due on by a slice; where none is, look again in a minute."""
        now = self._db.clock()
        # A clock that was set back must not stop it.
        if self._walked_at is not None and 0 <= now - self._walked_at < WALKS_EVERY_MS:
            return 0
        waiting = await self._db.scan(INSTALLATION, walks.due)
        if not waiting:
            self._walked_at = now
        for walk in waiting:
            found = await self._db.scan(walk.account_id, walks.look, walk)
            await self._db.write(walk.account_id, walks.keep, found)
        return len(waiting)
