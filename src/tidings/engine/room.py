"""Room: whether the disk under an SQLite database has space for what sending writes."""

import asyncio
import logging

from tidings.store import room

log = logging.getLogger("tidings.engine")

LOOK_EVERY_S = 1.0
SAY_EVERY_S = 60.0


class Room:
    """Looks at most once a second, and says in the log once a minute what it holds up."""

    def __init__(self, folder: str, least_bytes: int) -> None:
        self._folder = folder
        self._least = least_bytes
        self._looked_at = self._said_at = float("-inf")
        self._short = False

    def short(self) -> bool:
        """Whether too little is free; a floor of 0 bytes asks for nothing."""
        now = asyncio.get_running_loop().time()
        if self._least and now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._look(now)
        return self._short

    def _look(self, now: float) -> None:
        disk = room.look(self._folder, self._least)
        was, self._short = self._short, disk.short
        megabytes = {"free_mb": disk.free // 1_000_000, "least_mb": disk.least // 1_000_000}
        if self._short and now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            log.error("the disk is nearly full: bulk mail waits until there is room", extra=megabytes)
        elif was and not self._short:
            log.warning("the disk has room again: bulk mail goes on", extra=megabytes)
