"""Room: whether the disk under an SQLite database has space for what sending writes."""

import asyncio
import logging
import shutil

log = logging.getLogger("tidings.engine")

# Of a small disk 200 MB are much, of a large one 2 % are little; of a huge one they would be much again.
SHARE = 0.02
SHARE_MOST = 2_000_000_000
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
        disk = shutil.disk_usage(self._folder)
        floor = max(self._least, min(int(disk.total * SHARE), SHARE_MOST))
        was, self._short = self._short, disk.free < floor
        megabytes = {"free_mb": disk.free // 1_000_000, "least_mb": floor // 1_000_000}
        if self._short and now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            log.error("the disk is nearly full: bulk mail waits until there is room", extra=megabytes)
        elif was and not self._short:
            log.warning("the disk has room again: bulk mail goes on", extra=megabytes)
