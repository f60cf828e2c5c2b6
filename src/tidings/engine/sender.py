"""The sender: due deliveries become mail.

Claim (committed before any connection is used), compose, take the last look and mark as handed
(committed before the wire), send, settle. While one batch is on the wire the next is made. It is
given `send`, which takes at most 32 letters over one connection, and knows no SMTP.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tidings import failpoints
from tidings.core import deliveries, sending
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Delivery, Letter, Outcome, Source, Timing
from tidings.engine.breaker import Breaker
from tidings.engine.desk import Desk, fresh_lease
from tidings.engine.pace import Pace
from tidings.errors import Problem
from tidings.store.db import Database
from tidings.store.tx import Tx

log = logging.getLogger("tidings.engine")

# At most 32 messages a connection are handed at once: that many are ambiguous after a kill.
CHUNK = 32
# And fewer where a mail takes long: who unsubscribes has no mail begun 1 s later, and the last look is
# taken when a chunk is handed.
CHUNK_FIRST = 8
CHUNK_S = 0.4
# A row that has seen a crash is tried alone; one such beside so many batches.
ALONE_EVERY = 8
# A connection that takes longer goes on by itself, and the others do not wait for it.
STALLED_S = 2.0
SETTLE_AGAIN_S = 1.0

Send = Callable[[Sequence[Letter]], Coroutine[Any, Any, list[Outcome]]]


class _Batch:
    """Letters of one claim."""

    __slots__ = ("lease", "letters")

    def __init__(self, lease: int, letters: list[Letter]) -> None:
        self.lease = lease
        self.letters = letters


class Sender:
    """One lane of one process, over `width` connections at once."""

    def __init__(
        self,
        db: Database,
        desk: Desk,
        send: Send,
        *,
        timing: Timing,
        lane: str = "now",
        width: int = 1,
        pace: Pace | None = None,
    ) -> None:
        self._db = db
        self._desk = desk
        self._send = send
        self._lane = lane
        self._width = width
        self._timing = timing
        self._ready: _Batch | None = None
        self._turn = 0
        self._leases: dict[int, int] = {}
        self._chunk = min(CHUNK_FIRST, CHUNK)
        self._stalled: set[asyncio.Task[None]] = set()
        self._breaker = Breaker(db)
        self._pace = pace or Pace(db, lane=lane)

    @property
    def leases(self) -> list[int]:
        """What this sender has claimed and not settled: to be renewed while it lives."""
        return list(self._leases)

    async def step(self) -> int:
        """Send one batch and make the next; return how many mails were on the wire."""
        batch = self._ready = self._ready or await self._prepare()
        if batch is None:
            return await self._pace.pause()
        free = self._width - len(self._stalled)
        if free <= 0:
            # Every connection is busy: what is handed now would only wait, and be in doubt meanwhile.
            await asyncio.wait(self._stalled, timeout=STALLED_S, return_when=asyncio.FIRST_COMPLETED)
            return 1
        most = free * self._chunk
        now, later = batch.letters[:most], batch.letters[most:]
        self._ready = _Batch(batch.lease, later) if later else None
        going = asyncio.create_task(self._deliver(batch.lease, now))
        try:
            self._ready = self._ready or await self._prepare()
        finally:
            await going
        return len(now) or 1

    async def close(self) -> None:
        """Give back what is made and not handed, and let stalled connections come to their end."""
        batch, self._ready = self._ready, None
        if batch is not None:
            claimed = [one.delivery for one in batch.letters]
            # What cannot be given back lapses; what stalled connections say must still be heard.
            with contextlib.suppress(Problem):
                await self._db.write(INSTALLATION, _give_back, claimed, batch.lease)
            self._leases.pop(batch.lease, None)
        if self._stalled:
            await asyncio.wait(self._stalled)
        await self._pace.close()

    async def _prepare(self) -> _Batch | None:
        """Claim and compose one batch; None when nothing is due."""
        if await self._breaker.resting() or self._pace.waits():
            return None
        sources = await self._db.read(INSTALLATION, sending.sources, lane=self._lane)
        if not sources:
            return None
        self._turn += 1
        alone = self._turn % ALONE_EVERY == 0
        for try_alone in (alone, not alone):
            lease = fresh_lease()
            shares = self._shares(sources)
            claimed = await self._pace.claim(shares, lease=lease, alone=try_alone, timing=self._timing)
            if claimed:
                break
        else:
            return None
        failpoints.at("claimed")
        self._leases[lease] = len(claimed)
        try:
            letters, unfit = await self._desk.letters(claimed)
            failpoints.at("composed")
            if unfit:
                await self._settle(unfit, told=False)
        except BaseException:
            # Nobody renews it, so that it lapses.
            self._leases.pop(lease, None)
            raise
        self._done(lease, len(claimed) - len(letters))
        return _Batch(lease, letters)

    def _shares(self, sources: list[Source]) -> list[tuple[Source, int]]:
        """Divide a batch among the sources, beginning with another one each time."""
        most = self._chunk * max(1, self._width - len(self._stalled))
        first = self._turn % len(sources)
        order = (sources[first:] + sources[:first])[:most]
        each, more = divmod(most, len(order))
        return [(one, each + (at < more)) for at, one in enumerate(order)]

    async def _deliver(self, lease: int, letters: list[Letter]) -> None:
        """Hand letters over and settle them; connections that stall are left to themselves."""
        late = 0
        try:
            began = since_boot_s()
            handed = await self._pace.hand(letters, self._timing)
            failpoints.at("handed")
            ids = {(one.account_id, one.id) for one in handed}
            going = [one for one in letters if (one.delivery.account_id, one.delivery.id) in ids]
            if (since_boot_s() - began) * 1_000 > self._timing.lease_ms / 2:
                # Stopped for so long that others may have taken us for dead: nothing is sent.
                back = [Outcome(one.delivery, "queued", untried=True) for one in going]
                await self._settle(back, told=False)
            elif going:
                late = await self._send_all(lease, going)
        finally:
            self._done(lease, len(letters) - late)

    async def _send_all(self, lease: int, going: list[Letter]) -> int:
        """Send what is handed, a chunk a connection; return how many letters are on their way still."""
        # A connection that came to its end meanwhile may have made the chunks smaller.
        size = max(self._chunk, -(-len(going) // max(1, self._width - len(self._stalled))))
        chunks = [going[at : at + size] for at in range(0, len(going), size)]
        tasks = [asyncio.create_task(self._send_chunk(chunk)) for chunk in chunks]
        _, late = await asyncio.wait(tasks, timeout=STALLED_S)
        outcomes: list[Outcome] = []
        for task, chunk in zip(tasks, chunks, strict=True):
            if task in late:
                self._wait_for(task, chunk, lease)
            else:
                outcomes += self._said(task, chunk)
        failpoints.at("sent")
        await self._settle(outcomes)
        failpoints.at("settled")
        return sum(len(chunk) for task, chunk in zip(tasks, chunks, strict=True) if task in late)

    async def _send_chunk(self, chunk: list[Letter]) -> list[Outcome]:
        """Send over one connection, and fit the next chunks to what goes in `CHUNK_S`."""
        began = time.monotonic()
        outcomes = await self._send(chunk)
        fitting = int(CHUNK_S * len(chunk) / max(time.monotonic() - began, 0.001))
        self._chunk = max(1, min(CHUNK, self._chunk * 2, fitting))
        return outcomes

    def _done(self, lease: int, letters: int) -> None:
        """So many of a claim are not ours any more; with the last its lease is not renewed."""
        left = self._leases.get(lease, 0) - letters
        if left > 0:
            self._leases[lease] = left
        else:
            self._leases.pop(lease, None)

    def _wait_for(self, task: "asyncio.Task[list[Outcome]]", chunk: list[Letter], lease: int) -> None:
        async def settled_later() -> None:
            await asyncio.wait([task])
            try:
                await self._settle(self._said(task, chunk))
            finally:
                self._done(lease, len(chunk))

        waiting = asyncio.create_task(settled_later())
        self._stalled.add(waiting)
        waiting.add_done_callback(self._stalled.discard)

    def _said(self, task: "asyncio.Task[list[Outcome]]", chunk: list[Letter]) -> list[Outcome]:
        """Return what a connection said; one that failed by our own fault leaves its rows to their lease."""
        if task.cancelled():
            return []
        problem = task.exception()
        if problem is not None:
            log.error("a provider failed", exc_info=problem, extra={"letters": len(chunk)})
            return []
        return task.result()

    async def _settle(self, outcomes: list[Outcome], *, told: bool = True) -> None:
        """Write how tries ended, again and again until it is written: a 250 must not be forgotten.

        Only what the provider `told` us says anything about the provider.
        """
        while outcomes:
            try:
                await self._db.write(INSTALLATION, sending.settle, outcomes, self._timing)
            except Problem:
                log.warning("outcomes cannot be written yet", extra={"outcomes": len(outcomes)})
                await asyncio.sleep(SETTLE_AGAIN_S)
                continue
            break
        if told:
            await self._breaker.look(outcomes)
        await self._pace.look(outcomes)
        if log.isEnabledFor(logging.INFO):
            for one in outcomes:
                log.info(
                    "delivery settled",
                    extra={
                        "delivery": one.delivery.id,
                        "state": one.state,
                        "occasion": one.delivery.occasion,
                    },
                )


def since_boot_s() -> float:
    """Seconds that have passed, those of a machine's sleep among them where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _give_back(tx: Tx, claimed: list[Delivery], lease: int) -> None:
    for one in claimed:
        deliveries.unclaim(tx, one.account_id, [one.id], lease)
