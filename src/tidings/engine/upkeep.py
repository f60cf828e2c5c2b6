"""Upkeep: what is removed slice by slice, beside everything else."""

from tidings.core import custom_fields, limits, subscribers
from tidings.core.accounts import INSTALLATION
from tidings.store.db import Database
from tidings.store.tx import Tx

SWEEP_MS = 10 * 60_000


class Upkeep:
    """Removes the values of deleted custom fields and rows of forgotten rate limits."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._swept_at = 0

    async def step(self) -> int:
        """Do one slice; return 0 when nothing waits."""
        waiting = await self._db.scan(INSTALLATION, custom_fields.next_erasure)
        if waiting is not None:
            account_id, erasure_id, field_id, after_id = waiting
            await self._db.write(account_id, _erase_slice, erasure_id, field_id, after_id)
            return 1
        now = self._db.clock()
        if now - self._swept_at > SWEEP_MS:
            self._swept_at = now
            await self._db.write(INSTALLATION, limits.sweep)
        return 0


def _erase_slice(tx: Tx, erasure_id: int, field_id: int, after_id: int) -> None:
    custom_fields.move_erasure(tx, erasure_id, subscribers.erase_field(tx, field_id, after_id))
