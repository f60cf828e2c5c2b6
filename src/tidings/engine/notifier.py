"""The notifier: queued notices are posted to their webhooks, signed, and what came back is kept.

Claim (committed before anything is posted), post, settle; posts run beside the loop, and outcomes are
gathered into one write. It is given `post`, which never raises for what the other side does, and knows
no HTTP. What was posted and not settled when the process died is posted again after its lease.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping

from tidings import failpoints
from tidings.core import notices
from tidings.core.accounts import INSTALLATION
from tidings.core.notices import Due, Notice, Outcome, Told
from tidings.core.webhooks import keys
from tidings.engine.desk import fresh_lease
from tidings.engine.endpoints import Endpoint, Endpoints, signed_headers
from tidings.engine.sender import since_boot_s
from tidings.errors import Problem
from tidings.store.db import Database, wall_clock

log = logging.getLogger("tidings.engine")

PER_ENDPOINT = 8
AT_ONCE = 2_000
LEASE_MS = 60_000
# Outcomes of one write: some 20 ms of SQLite's write lock.
SETTLE_MOST = 500
SETTLE_AGAIN_S = 1.0
# A post ends within 15 s; so long a notifier that stops waits for what is on the wire, and its settling.
CLOSE_S = 20.0
# Without a word from anybody, when something waits for a free connection or is due within the loop's pause.
FULL_S = 0.1
SOON_MS = 5_000
SOON_S = 0.1
BUSY_S = 0.02
# Looking who waits takes this part of the time at most, unless it takes very long.
LOOKING = 0.1
REST_MOST_S = 0.5

_LUCK = random.SystemRandom().random

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[Told]]


class Notifier:
    """All webhooks of one process; `key` is the master key."""

    def __init__(
        self,
        db: Database,
        post: Post,
        key: bytes,
        *,
        per_endpoint: int = PER_ENDPOINT,
        at_once: int = AT_ONCE,
        lease_ms: int = LEASE_MS,
        luck: Callable[[], float] = _LUCK,
        wall: Callable[[], int] = wall_clock,
    ) -> None:
        self._db = db
        self._post = post
        self._key = key
        self._lease_ms = lease_ms
        self._luck = luck
        # Receivers compare the timestamp with their own clock: the world's, however fast ours is set.
        self._wall = wall
        self._endpoints = Endpoints(at_once, per_endpoint)
        self._posts: set[asyncio.Task[None]] = set()
        self._outcomes: list[Outcome] = []
        self._settling: asyncio.Task[None] | None = None
        self._freed = asyncio.Event()
        self._rest_s = 0.0

    async def step(self) -> int:
        """Claim what is due and let it begin; return 0 when nothing is, nor within seconds."""
        if await self._db.read(INSTALLATION, notices.any_lapsed):
            await self._db.write(INSTALLATION, notices.release_lapsed)
        self._freed.clear()
        waiting = await self._look()
        now = self._db.clock()
        shares = self._endpoints.shares(waiting, now)
        if shares:
            lease = fresh_lease()
            at = since_boot_s()
            claimed = await self._db.write(
                INSTALLATION, notices.claim, shares, lease=lease, lease_ms=self._lease_ms
            )
            failpoints.at("notices-claimed")
            for notice in claimed:
                self._endpoints.line(notice, at)
            self._fill()
            if not claimed:
                # Somebody else has them in hand, or they were dropped.
                await asyncio.sleep(BUSY_S)
            return len(claimed) or 1
        return await self._pause(waiting, now)

    async def close(self) -> None:
        """Give back what is not on the wire, and let come to its end and be settled what is."""
        for endpoint in self._endpoints.lined():
            self._give_back(self._endpoints.take_all(endpoint))
        if self._posts:
            await asyncio.wait(self._posts, timeout=CLOSE_S)
        # What cannot be written now lapses, and is told again.
        settling = self._settling
        if settling is not None:
            await asyncio.wait([settling], timeout=CLOSE_S)
        for task in (*self._posts, *([settling] if settling else [])):
            task.cancel()

    async def _look(self) -> list[Due]:
        """See who waits; with many it takes a while, and is done the less often."""
        if self._rest_s > 0:
            await asyncio.sleep(self._rest_s)
        began = time.perf_counter()
        waiting = await self._db.read(INSTALLATION, notices.waiting)
        self._rest_s = min((time.perf_counter() - began) * (1 / LOOKING - 1), REST_MOST_S)
        return waiting

    async def _pause(self, waiting: list[Due], now: int) -> int:
        """Wait for a free connection, or for what is due soon."""
        due_at = min((one.due_at for one in waiting), default=None)
        if due_at is None or due_at - now > SOON_MS:
            return 0
        wait_s = FULL_S if any(one.due_at <= now for one in waiting) else SOON_S
        try:
            await asyncio.wait_for(self._freed.wait(), wait_s)
        except TimeoutError:
            return 1
        return 1

    def _fill(self) -> None:
        """Let begin what may."""
        for endpoint in self._endpoints.lined():
            while self._endpoints.may_fly(endpoint):
                notice = self._next(endpoint)
                if notice is None:
                    continue
                self._endpoints.began(endpoint)
                task = asyncio.create_task(self._serve(endpoint, notice))
                self._posts.add(task)
                task.add_done_callback(self._posts.discard)

    async def _serve(self, endpoint: Endpoint, notice: Notice) -> None:
        """Post one notice after another to an endpoint, while it may have so many at once."""
        while True:
            try:
                told = await self._told(notice)
            except Exception:
                # It counts as a try, so that it is not made for ever.
                log.exception("a notice could not be posted, by our own fault")
                told = Told(None, "it could not be posted: an error of our own")
            self._give_back(self._endpoints.ended(endpoint, told))
            self._settle(notices.outcome(notice, told, self._db.clock(), self._luck()))
            self._freed.set()
            following = self._next(endpoint) if self._endpoints.may_fly(endpoint) else None
            if following is None:
                # What others have waited for may have its place.
                self._fill()
                return
            notice = following
            self._endpoints.began(endpoint)

    def _next(self, endpoint: Endpoint) -> Notice | None:
        """Take what has waited longest; what has waited for half its lease is given back instead."""
        notice, at = self._endpoints.take(endpoint)
        if (since_boot_s() - at) * 1_000 > self._lease_ms / 2:
            self._give_back([notice])
            return None
        return notice

    async def _told(self, notice: Notice) -> Told:
        """Sign and post one notice."""
        body = notice.body.encode()
        timestamp_s = self._wall() // 1_000
        signatures = [
            keys.signature(
                keys.secret(self._key, notice.account_id, notice.webhook_id, key_n),
                notice.message_id,
                timestamp_s,
                body,
            )
            for key_n in notice.signers
        ]
        headers = signed_headers(notice.message_id, timestamp_s, signatures)
        return await self._post(notice.url, body, headers)

    def _give_back(self, unposted: list[Notice]) -> None:
        for notice in unposted:
            self._settle(notices.given_back(notice))

    def _settle(self, outcome: Outcome) -> None:
        """Have an outcome written with the others that come meanwhile."""
        self._outcomes.append(outcome)
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write outcomes, each again and again until it is written: what was told must not be forgotten."""
        while self._outcomes:
            some, self._outcomes = self._outcomes[:SETTLE_MOST], self._outcomes[SETTLE_MOST:]
            failpoints.at("told-not-settled")
            try:
                await self._db.write(INSTALLATION, notices.settle, some)
            except Problem:
                log.warning("told notices cannot be settled yet", extra={"notices": len(some)})
                self._outcomes = some + self._outcomes
                await asyncio.sleep(SETTLE_AGAIN_S)
                continue
            except Exception:
                log.exception("notices could not be settled; they are told again after their lease")
            failpoints.at("notices-settled")
            self._freed.set()
            _report(some)


def _report(some: list[Outcome]) -> None:
    # Not the address: what stands in it may be a secret.
    if not log.isEnabledFor(logging.INFO):
        return
    for one in some:
        if one.told is not None:
            extra = {"notice": one.notice.id, "webhook": one.notice.webhook_id, "status": one.told.status}
            log.info("notice posted", extra={**extra, "state": one.state})
