"""The loop of bulk changes: the next slice of one after another, of all accounts in turn."""

import asyncio
import logging

from tidings.core import bulk
from tidings.core.accounts import INSTALLATION
from tidings.core.bulk import Change
from tidings.errors import Problem, Unavailable
from tidings.store.db import Database

log = logging.getLogger("tidings.engine")

# A mistake of ours may be one of the moment; a third time it is none.
TRIES = 3
# Between two slices, so that who writes beside them never waits for more than one.
PAUSE_S = 0.005


class Bulk:
    """Does one slice of one change at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._after = 0
        self._tries: dict[int, int] = {}

    async def step(self) -> int:
        """Do the next slice; return 0 when nothing waits."""
        change = await self._db.read(INSTALLATION, bulk.due, self._after)
        if change is None:
            return 0
        self._after = change.account_id
        try:
            found = await self._db.scan(change.account_id, bulk.look, change)
            await self._db.write(change.account_id, bulk.do, found)
        except Unavailable:
            # The storage, or somebody who was faster: nothing is wrong with the change.
            raise
        except Problem as problem:
            await self._fail(change, problem.message)
        except Exception as problem:
            log.exception(
                "a slice of a bulk change failed", extra={"account": change.account_id, "change": change.id}
            )
            self._tries[change.id] = self._tries.get(change.id, 0) + 1
            if self._tries[change.id] >= TRIES:
                await self._fail(change, f"a fault in Tidings ({type(problem).__name__}); see the log")
            return 1
        self._tries.pop(change.id, None)
        await asyncio.sleep(PAUSE_S)
        return 1

    async def _fail(self, change: Change, why: str) -> None:
        self._tries.pop(change.id, None)
        await self._db.write(change.account_id, bulk.fail, change.id, why)
