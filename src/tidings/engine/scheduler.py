"""The scheduler: due broadcasts begin, their audience becomes deliveries, finished ones are completed."""

import logging

from tidings import failpoints
from tidings.core import deliveries, heartbeats, sending
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import course
from tidings.core.deliveries import Source, Timing
from tidings.core.letters import Unfit
from tidings.engine.desk import Desk
from tidings.engine.sender import since_boot_s
from tidings.errors import Problem
from tidings.store.db import Database

log = logging.getLogger("tidings.engine")


class Scheduler:
    """Does one piece of work a step, so that no other writer waits for long."""

    def __init__(self, db: Database, desk: Desk, timing: Timing, *, outbox: bool) -> None:
        self._db = db
        self._desk = desk
        self._outbox = outbox
        self._timing = timing
        self._stepped_at = since_boot_s()

    async def step(self) -> int:
        """Start what is due, make one slice of deliveries for each, complete, take back what lapsed."""
        done = await self._hold_overdue()
        if await self._db.read(INSTALLATION, deliveries.any_lapsed):
            done += await self._db.write(INSTALLATION, sending.release, self._timing)
        for source in await self._db.read(INSTALLATION, course.due):
            done += await self._start(source)
        for source in await self._db.read(INSTALLATION, course.unfanned):
            await self._db.write(source.account_id, course.fan_out, source.broadcast_id or 0)
            failpoints.at("slice")
            done += 1
        for source in await self._db.read(INSTALLATION, course.cancelled):
            done += await self._db.write(source.account_id, sending.call_off, source.broadcast_id or 0)
        for source in await self._db.read(INSTALLATION, course.finished):
            done += await self._db.write(source.account_id, course.finish, source.broadcast_id or 0)
        return done

    async def _hold_overdue(self) -> int:
        """Hold what was to go while the machine slept, before any of it is started."""
        before, self._stepped_at = self._stepped_at, since_boot_s()
        if (self._stepped_at - before) * 1_000 <= heartbeats.GAP_MS:
            return 0
        held = await self._db.write(INSTALLATION, course.hold_overdue, self._db.clock())
        log.warning("overdue broadcasts are held", extra={"broadcasts": held})
        return held

    async def _start(self, source: Source) -> int:
        """Freeze a broadcast and let it begin, or pause it with the reason why it cannot."""
        account_id, broadcast_id = source.account_id, source.broadcast_id or 0
        try:
            began = await self._db.write(account_id, sending.start, broadcast_id, outbox=self._outbox)
            if began:
                await self._desk.ready(account_id, f"broadcast:{broadcast_id}")
        except (Unfit, sending.NotReady) as problem:
            await self._pause(source, problem.message)
        failpoints.at("started")
        return 1

    async def _pause(self, source: Source, why: str) -> None:
        try:
            await self._db.write(source.account_id, course.pause, source.broadcast_id or 0, why)
        except Problem:
            return
        log.error("a broadcast cannot be sent", extra={"broadcast": source.broadcast_id, "reason": why})
