"""The pace: what a sender asks before it claims, and tells when a try has ended.

Tokens are taken in the transaction that claims, so nothing is claimed that may not go, and what was
claimed and never went to the provider is given back with the next claim.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Sequence

from tidings.core import pacing, sending
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Delivery, Letter, Outcome, Source, Timing
from tidings.core.pacing import Felt, Limits, Rest
from tidings.engine.room import Room
from tidings.errors import Problem
from tidings.store.db import Database
from tidings.store.tx import Tx

log = logging.getLogger("tidings.engine")

FREE = Limits()
# A wait up to this long is slept through here; a longer one is left to the engine's loop.
SLEEP_MOST_S = 0.5
# So long at most nobody asks again: what others give back, or a new day, is noticed by then.
ASK_AGAIN_S = 5.0
# More than 1 in 50 deferred is taken for throttling, less only keeps the rate from rising.
THROTTLED_SHARE = 50
# Mails whose end is awaited; more would be a leak.
AWAITED_MOST = 20_000

Key = tuple[int, int]


class Pace:
    """One sender's. Without `limits` nothing is counted; without `rests` no domain is looked at."""

    def __init__(
        self,
        db: Database,
        limits: Limits = FREE,
        *,
        lane: str = "bulk",
        rests: bool = False,
        room: Room | None = None,
    ) -> None:
        self._db = db
        self._limits = limits
        self._lane = lane
        self._rests = rests
        self._room = room
        self._until = 0.0
        self._felt = Felt.NOTHING
        self._unused = 0
        self._known: set[str] = set()
        # Claimed and not settled, with the recipient's domain once it is known.
        self._out: OrderedDict[Key, str] = OrderedDict()

    def waits(self) -> bool:
        """Whether nothing may be claimed just now."""
        if self._lane == "bulk" and self._room is not None and self._room.short():
            return True
        return asyncio.get_running_loop().time() < self._until

    async def pause(self) -> int:
        """Wait until mail is allowed again, half a second at most; 0 where that is left to the loop."""
        left = self._until - asyncio.get_running_loop().time()
        if not 0 < left < ASK_AGAIN_S:
            return 0
        await asyncio.sleep(min(left, SLEEP_MOST_S))
        return 1

    async def claim(
        self, shares: list[tuple[Source, int]], *, lease: int, alone: bool, timing: Timing
    ) -> list[Delivery]:
        """Claim as `sending.claim` does, no more than the provider may be given."""
        if self._limits.free:
            return await self._db.write(
                INSTALLATION, sending.claim, shares, lane=self._lane, lease=lease, alone=alone, timing=timing
            )
        if self.waits():
            return []
        # Taken now: while the database works, more is felt. If it fails, the limits err on the safe side.
        felt, unused = self._felt, self._unused
        self._felt, self._unused = Felt.NOTHING, 0
        claimed, wait_ms, heard = await self._db.write(
            INSTALLATION,
            self._claim,
            shares,
            lease=lease,
            alone=alone,
            timing=timing,
            felt=felt,
            unused=unused,
        )
        if wait_ms:
            loop = asyncio.get_running_loop()
            self._until = loop.time() + min(wait_ms / 1_000, ASK_AGAIN_S)
        if not heard:
            self._felt, self._unused = max(self._felt, felt), self._unused + unused
        for one in claimed:
            self._note(one, "")
        return claimed

    async def hand(self, letters: Sequence[Letter], timing: Timing) -> list[Delivery]:
        """Hand as `sending.hand` does, but put off the mail of domains that rest."""
        pairs = [(one.delivery, domain_of(one.rcpt_to)) for one in letters]
        if self._rests:
            handed, self._known = await self._db.write(INSTALLATION, _hand, pairs, timing)
        else:
            handed = await self._db.write(INSTALLATION, sending.hand, [one for one, _ in pairs])
        if self._limits.free and not self._rests:
            return handed
        going = {_key(one) for one in handed}
        for one, domain in pairs:
            if _key(one) in going:
                self._note(one, domain)
            elif self._out.pop(_key(one), None) is not None:
                self._unused += 1
        return handed

    async def look(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from how tries ended: from the provider's refusals, and from those of domains."""
        tried = blamed = 0
        answered: set[str] = set()
        deferred: Counter[str] = Counter()
        for one in outcomes:
            domain = self._out.pop(_key(one.delivery), None)
            if domain is None:
                continue
            provider, its = pacing.blame(one.reply) if one.state != "sent" else (False, False)
            blamed += provider
            if one.untried or not domain:
                self._unused += 1
                tried += provider
                continue
            tried += 1
            if its:
                deferred[domain] += 1
            elif one.state in ("sent", "failed"):
                answered.add(domain)
        if blamed:
            felt = Felt.THROTTLED if blamed * THROTTLED_SHARE > tried else Felt.DEFERRED
            self._felt = max(self._felt, felt)
        # All of several domains put off: that is the provider's doing.
        news = {} if not answered and len(deferred) > 1 else dict(deferred)
        for domain in answered:
            news.pop(domain, None)
        if news or answered & self._known:
            await self._learn(answered & self._known, news)

    async def close(self) -> None:
        """Give back what was taken and will not be used, and say how the provider took the last mail."""
        unused, self._unused = self._unused + len(self._out), 0
        felt, self._felt = self._felt, Felt.NOTHING
        self._out.clear()
        if (unused or felt) and not self._limits.free:
            await self._db.write(INSTALLATION, _give_back, self._limits, felt, unused)

    def _claim(
        self, tx: Tx, shares: list[tuple[Source, int]], *, lease: int, alone: bool, timing: Timing,
        felt: Felt, unused: int,
    ) -> tuple[list[Delivery], int, bool]:  # fmt: skip
        wanted = 1 if alone else sum(n for _, n in shares)
        allowed = pacing.allow(tx, self._limits, wanted, lane=self._lane, felt=felt, unused=unused)
        claimed = []
        if allowed.n:
            given = shares if alone else _cut(shares, allowed.n)
            claimed = sending.claim(tx, given, lane=self._lane, lease=lease, alone=alone, timing=timing)
        pacing.spend(tx, allowed, len(claimed))
        return claimed, allowed.wait_ms, allowed.pace is not None

    async def _learn(self, answered: set[str], deferred: dict[str, int]) -> None:
        try:
            await self._db.write(INSTALLATION, pacing.learn, answered, deferred)
        except Problem:
            # Only a matter of manners: the next batch says it again.
            log.warning("deferrals cannot be noted", extra={"domains": len(deferred)})
            return
        self._known = (self._known - answered) | set(deferred)

    def _note(self, one: Delivery, domain: str) -> None:
        self._out[_key(one)] = domain
        while len(self._out) > AWAITED_MOST:
            self._out.popitem(last=False)


def domain_of(address: str) -> str:
    """Return the domain of an address, for comparing."""
    return address.rpartition("@")[2].lower().rstrip(".")


def _key(one: Delivery) -> Key:
    return one.account_id, one.id


def _cut(shares: list[tuple[Source, int]], most: int) -> list[tuple[Source, int]]:
    """Divide fewer mails among the same sources, the first ones getting one more."""
    order = shares[:most]
    each, more = divmod(most, len(order))
    return [(source, min(n, each + (at < more))) for at, (source, n) in enumerate(order)]


def _hand(tx: Tx, pairs: list[tuple[Delivery, str]], timing: Timing) -> tuple[list[Delivery], set[str]]:
    rests: dict[str, Rest] = pacing.resting(tx)
    if not rests:
        return sending.hand(tx, [one for one, _ in pairs]), set()
    going, put = pacing.put_off(tx, pairs, rests)
    if put:
        sending.settle(tx, put, timing)
    return sending.hand(tx, going), set(rests)


def _give_back(tx: Tx, limits: Limits, felt: Felt, unused: int) -> None:
    pacing.spend(tx, pacing.allow(tx, limits, 0, lane="bulk", felt=felt, unused=unused), 0)
