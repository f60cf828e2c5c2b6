"""Room: how much of the disk under an SQLite database is free, and how much bulk mail leaves free."""

import shutil
from typing import Final, NamedTuple

# Of a small disk 200 MB are much, of a large one 2 % are little; of a huge one they would be much again.
SHARE: Final = 0.02
SHARE_MOST: Final = 2_000_000_000


class Free(NamedTuple):
    """Bytes that are free, and below how many bulk mail waits."""

    free: int
    least: int

    @property
    def short(self) -> bool:
        """Whether too little is free."""
        return self.free < self.least


def look(folder: str, least_bytes: int) -> Free:
    """Look at the disk under a folder; a floor of 0 bytes asks for nothing."""
    disk = shutil.disk_usage(folder)
    floor = max(least_bytes, min(int(disk.total * SHARE), SHARE_MOST)) if least_bytes else 0
    return Free(disk.free, floor)
