"""Receivers of webhooks in this process: doubles of the guarded client's `post`, with a script per host."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tidings.core.notices import Told

NO_ANSWER = Told(None, "no answer within 15 s", took_ms=15_000)


@dataclass(frozen=True)
class Posted:
    """One request as it arrived."""

    url: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receivers:
    """Answers by host; a host in `stuck` never does, until `free` is called.

    `most` is how many were on the wire at once, by host; `turns` how long each takes, in turns of the loop.
    """

    answer: Callable[[str, int], Told] = lambda host, n: Told(200)
    stuck: set[str] = field(default_factory=set)
    late: Told = NO_ANSWER
    turns: int = 3
    posted: list[Posted] = field(default_factory=list)
    flying: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._freed = asyncio.Event()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Told:
        host = urlsplit(url).hostname or ""
        self.posted.append(Posted(url, body, headers))
        self.asked[host] += 1
        n = self.asked[host]
        self.flying[host] += 1
        self.most[host] = max(self.most[host], self.flying[host])
        self.most_at_once = max(self.most_at_once, self.flying.total())
        try:
            if host in self.stuck:
                await self._freed.wait()
                return self.late
            for _ in range(self.turns):
                await asyncio.sleep(0)
            return self.answer(host, n)
        finally:
            self.flying[host] -= 1

    def free(self) -> None:
        """Let what is stuck come to its end: as `late` says."""
        self._freed.set()

    def to(self, host: str) -> list[Posted]:
        return [one for one in self.posted if urlsplit(one.url).hostname == host]
