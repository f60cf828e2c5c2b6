"""Upkeep: what is removed slice by slice, beside everything else."""

import asyncio
import logging

from tidings.core import (
    accounts,
    audit,
    automations,
    custom_fields,
    limits,
    notices,
    owner_notes,
    pacing,
    tags,
    tracking,
    trials,
)
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import folding
from tidings.core.subscribers import forgetting
from tidings.store.db import Database
from tidings.store.tx import Tx

log = logging.getLogger("tidings.engine")

SWEEP_MS = 10 * 60_000
FOLD_EVERY_MS = 24 * 3_600_000
DAY_MS = 24 * 3_600_000
# A mail may be opened before its own end is known, by the time that it is tried at most. The hits of
# deliveries that are still there are what says that a click is not the first.
HITS_LATER_MS = 5 * DAY_MS
LOG_SLICE = 500
# Between two slices, so that who writes beside them never waits for more than one.
PAUSE_S = 0.02
# PostgreSQL's own look (autovacuum_naptime) is once a minute, and the opens of a broadcast come at once.
LEARN_S = 10.0


class Upkeep:
    """Removes values of deleted custom fields, deleted tags, forgotten limits and rests, and old mail."""

    def __init__(self, db: Database, *, keep_days: int = 0) -> None:
        self._db = db
        self._swept_at = 0
        self._learnt_s = 0.0
        self._logs = False
        self._accounts: list[int] = []
        self._ran_at: int | None = None
        self._fold = Fold(db, keep_days) if keep_days else None

    async def step(self) -> int:
        """Do one slice; return 0 when nothing waits."""
        waiting = await self._db.read(INSTALLATION, custom_fields.next_erasure)
        if waiting is not None:
            account_id, erasure_id, field_id, after_id = waiting
            await self._db.write(account_id, _erase_slice, erasure_id, field_id, after_id)
            return 1
        deleted = await self._db.read(INSTALLATION, tags.next_to_empty)
        if deleted is not None and await self._db.write(deleted[0], tags.empty, deleted[1]) > 0:
            await asyncio.sleep(PAUSE_S)
            return 1
        await self._learn()
        now = self._db.clock()
        # A clock that was set back must not stop it.
        if not 0 <= now - self._swept_at <= SWEEP_MS:
            self._swept_at = now
            await self._db.write(INSTALLATION, limits.sweep)
            await self._db.write(INSTALLATION, pacing.sweep)
            self._logs = True
        if self._logs:
            self._logs = await self._forget(now) > 0
            if self._logs:
                await asyncio.sleep(PAUSE_S)
                return 1
        return await self._forget_runs(now) or (await self._fold.step() if self._fold else 0)

    async def _forget(self, now: int) -> int:
        """Forget a slice of what was told a month ago, or done two years ago; return how much it was."""
        before_at = now - notices.KEEP_MS
        gone = 0
        for fold in (notices.fold, owner_notes.fold, trials.fold):
            gone += await self._db.write(INSTALLATION, fold, before_at, LOG_SLICE)
        return gone + await self._db.write(INSTALLATION, audit.fold, now - audit.KEPT_MS, LOG_SLICE)

    async def _forget_runs(self, now: int) -> int:
        """Forget what rules did a month ago, a slice; return 0 when today's pass is done."""
        if not self._accounts:
            if self._ran_at is not None and 0 <= now - self._ran_at < FOLD_EVERY_MS:
                return 0
            self._ran_at = now
            everyone = await self._db.read(INSTALLATION, accounts.all_accounts)
            self._accounts = [one.id for one in everyone]
        gone = 0
        while self._accounts and not gone:
            before_at = now - notices.KEEP_MS
            gone = await self._db.write(self._accounts[-1], automations.fold, before_at, LOG_SLICE)
            if not gone:
                self._accounts.pop()
            await asyncio.sleep(PAUSE_S)
        return gone

    async def _learn(self) -> None:
        """Have the planner learn what has grown, long before PostgreSQL does so by itself."""
        now = asyncio.get_running_loop().time()
        if self._db.shared and now - self._learnt_s >= LEARN_S:
            self._learnt_s = now
            await asyncio.to_thread(self._db.refresh_statistics)


class Fold:
    """One pass a day over all accounts' deliveries, then over the hits; begun anew after a restart."""

    def __init__(self, db: Database, keep_days: int) -> None:
        self._db = db
        self._keep_ms = keep_days * DAY_MS
        self._began_at: int | None = None
        self._before_at = 0
        self._account_id: int | None = None
        self._after_id = 0
        self._hits = False
        self._folded = 0

    async def step(self) -> int:
        """Do one slice; return 0 when today's pass is done."""
        now = self._db.clock()
        if self._account_id is None and not self._hits:
            if self._began_at is not None and 0 <= now - self._began_at < FOLD_EVERY_MS:
                return 0
            self._began_at, self._before_at, self._folded = now, now - self._keep_ms, 0
            await self._next_account(INSTALLATION)
            return 1
        if self._account_id is not None:
            await self._deliveries(self._account_id)
        else:
            await self._hit_slice()
        await asyncio.sleep(PAUSE_S)
        return 1

    async def _deliveries(self, account_id: int) -> None:
        until_id = await self._db.scan(account_id, folding.next_slice, self._after_id, self._before_at)
        if until_id is None:
            await self._next_account(account_id)
            return
        self._folded += await self._db.write(
            account_id, folding.fold, self._after_id, until_id, self._before_at
        )
        self._after_id = until_id

    async def _next_account(self, after: int) -> None:
        """Go on with the next account; behind the last come the hits, whose deliveries are gone now."""
        self._account_id = await self._db.read(INSTALLATION, folding.next_account, after)
        self._after_id = 0
        self._hits = self._account_id is None

    async def _hit_slice(self) -> None:
        before_at = self._before_at - HITS_LATER_MS
        gone = await self._db.write(INSTALLATION, tracking.fold, before_at, folding.SLICE)
        if not gone:
            self._hits = False
            log.info("old mail was folded away", extra={"deliveries": self._folded})


def _erase_slice(tx: Tx, erasure_id: int, field_id: int, after_id: int) -> None:
    custom_fields.move_erasure(tx, erasure_id, forgetting.erase_field(tx, field_id, after_id))
