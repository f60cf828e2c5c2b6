"""Hits that wait to be written: opens for a second, clicks for the write before them.

Both go in sets: a hit costs a fifth of what a write of its own would.
"""

import asyncio
import logging
from collections import OrderedDict
from typing import Final

from tidings.core import accounts, tracking
from tidings.core.tracking import Hit
from tidings.errors import Unavailable
from tidings.web.house import House

# A second's worth of the fastest opens that are aimed at; more would only be memory.
WAITING_MAX: Final = 10_000
FLUSH_SECONDS: Final = 1.0
# Hits of one write: some 10 ms of SQLite's write lock.
SLICE: Final = 300

log = logging.getLogger("tidings.track")


class Opens:
    """Opens that wait to be written: at most WAITING_MAX, written once a second.

    One mail has one waiting open of each kind: a picture that is fetched again within the
    second says nothing new, and nobody can drive out others' opens by it.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._waiting: OrderedDict[tuple[int, int, str | None], Hit] = OrderedDict()
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timed_by: asyncio.AbstractEventLoop | None = None
        self._flushing: asyncio.Task[None] | None = None

    def add(self, account_id: int, hit: Hit) -> None:
        """Let a hit wait; the oldest makes room."""
        self._waiting.setdefault((account_id, hit.delivery_id, hit.machine), hit)
        if len(self._waiting) > WAITING_MAX:
            self._waiting.popitem(last=False)
            self._dropped += 1
        loop = asyncio.get_running_loop()
        if self._timed_by is not loop:
            self._timer, self._flushing, self._timed_by = None, None, loop
        if self._timer is None and self._flushing is None:
            self._timer = loop.call_later(FLUSH_SECONDS, self._start)
        if self._timer is not None and len(self._waiting) >= WAITING_MAX // 4:
            # More than a second brings at the usual pace: there is no time to lose.
            self._timer.cancel()
            self._start()

    async def close(self) -> None:
        """Write what waits, before the database is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing is not None and self._timed_by is asyncio.get_running_loop():
            await self._flushing
        await self.flush()

    async def flush(self) -> None:
        """Write what waits, each account's in slices; what the storage refuses waits on."""
        if self._dropped:
            log.warning("opens dropped", extra={"count": self._dropped})
            self._dropped = 0
        waiting, self._waiting = self._waiting, OrderedDict()
        by_account: dict[int, list[tuple[tuple[int, int, str | None], Hit]]] = {}
        for key, hit in waiting.items():
            by_account.setdefault(key[0], []).append((key, hit))
        for account_id, theirs in by_account.items():
            for at in range(0, len(theirs), SLICE):
                some = theirs[at : at + SLICE]
                try:
                    await self._write(account_id, [hit for _, hit in some])
                except Unavailable:
                    log.warning("opens wait on", extra={"count": len(some)})
                    self._put_back(some)
                except Exception as problem:  # noqa: BLE001 - the top of a loop
                    log.error("opens lost", extra={"count": len(some), "reason": type(problem).__name__})

    async def _write(self, account_id: int, hits: list[Hit]) -> None:
        opens, _ = await self._house.db.read(account_id, accounts.tracking)
        await self._house.db.write(account_id, tracking.record, hits, opens=opens)

    def _put_back(self, some: list[tuple[tuple[int, int, str | None], Hit]]) -> None:
        for key, hit in some:
            if len(self._waiting) < WAITING_MAX:
                self._waiting[key] = hit
            else:
                self._dropped += 1

    def _start(self) -> None:
        self._timer = None
        self._flushing = asyncio.ensure_future(self._flush_and_go_on())

    async def _flush_and_go_on(self) -> None:
        await self.flush()
        self._flushing = None
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._start)


class Clicks:
    """Clicks of one account that come while another is written are written together, next."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._waiting: dict[int, list[tuple[Hit, asyncio.Future[bool]]]] = {}
        self._writing: dict[int, asyncio.Task[None]] = {}

    async def keep(self, account_id: int, hit: Hit) -> bool:
        """Write a click; return after the commit whether its link belongs to its mail.

        A reader is sent on even where the click cannot be kept.
        """
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(account_id, [])
        if len(waiting) >= WAITING_MAX:
            log.warning("a click could not be kept: too many wait")
            return True
        waiting.append((hit, answer))
        if account_id not in self._writing:
            self._writing[account_id] = asyncio.ensure_future(self._write_all(account_id))
        return await answer

    async def _write_all(self, account_id: int) -> None:
        try:
            while waiting := self._waiting.pop(account_id, None):
                for at in range(0, len(waiting), SLICE):
                    await self._write(account_id, waiting[at : at + SLICE])
        finally:
            del self._writing[account_id]

    async def _write(self, account_id: int, some: list[tuple[Hit, asyncio.Future[bool]]]) -> None:
        try:
            opens, clicks = await self._house.db.read(account_id, accounts.tracking)
            verdicts = await self._house.db.write(
                account_id, tracking.record, [hit for hit, _ in some], opens=opens, clicks=clicks
            )
        except Unavailable:
            log.warning("clicks could not be kept", extra={"count": len(some)})
            verdicts = [True] * len(some)
        except Exception as problem:  # noqa: BLE001 - the top of a loop: each request hears of it
            for _, answer in some:
                if not answer.done():
                    answer.set_exception(problem)
            return
        for (_, answer), verdict in zip(some, verdicts, strict=True):
            # Done: its reader has gone meanwhile.
            if not answer.done():
                answer.set_result(verdict)
