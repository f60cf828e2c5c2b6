"""The engine of a sandbox: the loops of the real one, in rounds, so that it can be said when all is done."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tidings.app.providers import OutboxProvider
from tidings.core import notices
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Timing
from tidings.engine.bulk import Bulk
from tidings.engine.desk import Desk
from tidings.engine.erasing import Erasing
from tidings.engine.heart import Heart
from tidings.engine.indexing import Indexing
from tidings.engine.notifier import Notifier
from tidings.engine.owner_notes import OwnerNotes
from tidings.engine.pace import Pace
from tidings.engine.rules import Rules
from tidings.engine.scheduler import Scheduler
from tidings.engine.sender import Sender
from tidings.engine.steps import Steps
from tidings.engine.teller import Teller
from tidings.engine.trials import Trials
from tidings.engine.upkeep import Upkeep
from tidings.sandbox.clock import Clock, strides
from tidings.sandbox.outside import Outside
from tidings.store.db import Database
from tidings.store.tx import Tx
from tidings.tokens import Links
from tidings.web.api_v3 import payloads

log = logging.getLogger("tidings.engine")

LANES = ("now", "bulk")
INSTANCE = "sandbox"
# The defaults of TIDINGS_LEASE and TIDINGS_UNCERTAIN_WAIT, in ms.
TIMING = Timing(60_000, 900_000)
# Nobody commits but requests, which wake us: only the passing of time is noticed by this.
IDLE_S = 0.5
REST_S = 1.0
# Who asks for quiet gets an answer by then, whatever hangs.
PATIENCE_S = 10.0
FLYING_S = 0.005

Step = Callable[[], Awaitable[int]]


class Engine:
    """All loops over one database. Rounds never overlap, so that the clock turns between them."""

    def __init__(self, db: Database, links: Links, outside: Outside, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._outside = outside
        desk = self._desk = Desk(db, links, outbox=True)
        hand = OutboxProvider(db)
        self._senders = [
            Sender(db, desk, hand.send, timing=TIMING, lane=lane, width=hand.width, pace=Pace(db, lane=lane))
            for lane in LANES
        ]
        self._notifier = Notifier(db, outside.post, db.pepper)
        self._quick: list[Step] = [
            Rules(db, payloads.of_subscriber).step,
            Steps(db).step,
            Scheduler(db, desk, TIMING, outbox=True).step,
            *(one.step for one in self._senders),
            OwnerNotes(db, hand.send).step,
            Trials(db, desk, links, hand.send).step,
            Bulk(db).step,
            Teller(db, payloads.of_event).step,
            self._notify,
        ]
        beat = Heart(db, self._senders, INSTANCE, TIMING)
        self._slow: list[Step] = [Erasing(db).step, Indexing(db).step, Upkeep(db).step, beat.step]
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self._stopped = False
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to do by itself what falls due."""
        self._running = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Look at once: something may have been committed."""
        self._woken.set()

    async def quiet(self) -> bool:
        """Do all that is due; return False when something still goes on after `PATIENCE_S`."""
        async with self._turn:
            return await self._quiet(self._until())

    async def advance(self, ms: int) -> bool:
        """Set the clock forward, with rounds on the way; return whether all that fell due is done."""
        async with self._turn:
            until = self._until()
            await self._quiet(until)
            for stride in strides(ms):
                self._clock.advance(stride)
                await self._quiet(until)
                # The turn of a year takes longer than a request may be kept from its answer.
                await asyncio.sleep(0)
            await self._rounds(self._slow, self._until())
            return await self._quiet(self._until())

    async def close(self) -> None:
        """Stop, between two rounds."""
        self._stopped = True
        self._woken.set()
        running, self._running = self._running, None
        if running is not None:
            await running
        async with self._turn:
            await self._outside.break_off()
            await self._notifier.close()
            for one in self._senders:
                await one.close()
            await self._desk.close()

    async def _run(self) -> None:
        while True:
            idle = False
            try:
                await asyncio.wait_for(self._woken.wait(), IDLE_S)
            except TimeoutError:
                idle = True
            self._woken.clear()
            if self._stopped:
                return
            try:
                async with self._turn:
                    await self._rounds(self._quick, self._until())
                    if idle:
                        await self._rounds(self._slow, self._until())
            except Exception:
                log.exception("a round of the engine failed; it is tried again")
                await asyncio.sleep(REST_S)

    async def _rounds(self, steps: list[Step], until: float) -> None:
        """Take every step again and again, until none does anything."""
        while sum([int(await step()) for step in steps]) and self._now() < until:
            pass

    async def _quiet(self, until: float) -> bool:
        while True:
            await self._rounds(self._quick, until)
            if not self._outside.flying:
                await self._settled()
                if not sum([int(await step()) for step in self._quick]) and not self._outside.flying:
                    return True
            if self._now() >= until:
                return False
            await asyncio.sleep(FLYING_S)

    async def _settled(self) -> None:
        """Wait until what the notifier is about to write has been written: writes keep their order."""
        for _ in range(2):
            await asyncio.sleep(0)
            await self._db.write(INSTALLATION, _nothing)

    async def _notify(self) -> int:
        """Post what is due now; the notifier's own step would wait for what is due within seconds."""
        now = self._db.clock()
        waiting = await self._db.read(INSTALLATION, notices.waiting)
        lapsed = await self._db.read(INSTALLATION, notices.any_lapsed)
        if not lapsed and all(one.due_at > now for one in waiting):
            return 0
        return await self._notifier.step()

    def _until(self) -> float:
        return self._now() + PATIENCE_S

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _nothing(_tx: Tx) -> None:
    """Change nothing."""
