"""The heart: renews the leases of a living engine and notes that it lives."""

from tidings.core import heartbeats
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Timing, keep_lease
from tidings.engine.sender import Sender
from tidings.store.db import Database
from tidings.store.tx import Tx


class Heart:
    """One engine process's."""

    def __init__(self, db: Database, senders: list[Sender], instance: str, timing: Timing) -> None:
        self._db = db
        self._senders = senders
        self._instance = instance
        self._timing = timing

    @property
    def pause_s(self) -> float:
        """Between beats: a quarter of a lease, so that three may be missed."""
        return self._timing.lease_ms / 4_000

    async def step(self) -> int:
        """Beat once."""
        leases = [lease for one in self._senders for lease in one.leases]
        await self._db.write(INSTALLATION, _beat, leases, self._instance, self._timing)
        return 0


def _beat(tx: Tx, leases: list[int], instance: str, timing: Timing) -> None:
    keep_lease(tx, leases, timing)
    heartbeats.beat(tx, "engine", instance)
