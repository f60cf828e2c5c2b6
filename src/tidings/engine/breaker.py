"""The breaker: stops sending when the provider, and not the recipients, is what refuses."""

import asyncio
import logging
from collections import Counter, deque

from tidings.core.broadcasts import course
from tidings.core.deliveries import Outcome
from tidings.errors import Problem
from tidings.store.db import Database

log = logging.getLogger("tidings.engine")

# Refusals of us rather than of a mailbox, among the last so many mails of a broadcast.
WINDOW = 200
SHARE_MOST = 0.05
LEAST = 10
REST_FIRST_S = 5.0
REST_MOST_S = 300.0
OURS = ("policy", "relay")


class Breaker:
    """One sender's. A provider that takes nothing is left alone, for 5 s and then ever longer."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._windows: dict[tuple[int, int], deque[bool]] = {}
        self._rest_s = 0.0
        self._until = 0.0

    async def resting(self) -> bool:
        """Whether the provider is left alone just now."""
        return asyncio.get_running_loop().time() < self._until

    async def look(self, outcomes: list[Outcome]) -> None:
        """Learn from a batch; pauses broadcasts whose mail the provider refuses."""
        tried = [one for one in outcomes if one.state in ("sent", "failed", "deferred", "queued")]
        if tried and all(one.untried for one in tried):
            self._rest_s = min(max(self._rest_s * 2, REST_FIRST_S), REST_MOST_S)
            self._until = asyncio.get_running_loop().time() + self._rest_s
            log.warning(
                "the provider takes no mail", extra={"rest_s": self._rest_s, "reason": tried[0].reply}
            )
        elif tried:
            self._rest_s = 0.0
        for key, refused in self._note(tried).items():
            window = self._windows[key]
            if refused >= LEAST and refused > SHARE_MOST * len(window):
                await self._pause(key, refused, len(window), tried)

    def _note(self, tried: list[Outcome]) -> Counter[tuple[int, int]]:
        refused: Counter[tuple[int, int]] = Counter()
        seen: set[tuple[int, int]] = set()
        for one in tried:
            if one.delivery.broadcast_id is not None and not one.untried:
                key = _key(one)
                seen.add(key)
                self._windows.setdefault(key, deque(maxlen=WINDOW)).append(one.verdict in OURS)
        while len(self._windows) > 1_000:
            self._windows.pop(next(iter(self._windows)))
        for key in seen & self._windows.keys():
            refused[key] = sum(self._windows[key])
        return refused

    async def _pause(self, key: tuple[int, int], refused: int, of: int, tried: list[Outcome]) -> None:
        theirs = (one for one in reversed(tried) if _key(one) == key and one.verdict in OURS)
        said = next((one.reply for one in theirs), "")
        why = f"paused: the provider refused {refused} of the last {of} mails, lastly with: {said[:200]}"
        try:
            await self._db.write(key[0], course.pause, key[1], why)
        except Problem:
            return
        self._windows.pop(key, None)
        log.error("a broadcast was paused", extra={"broadcast": key[1], "reason": why})


def _key(one: Outcome) -> tuple[int, int]:
    return one.delivery.account_id, one.delivery.broadcast_id or 0
