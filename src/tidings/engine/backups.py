"""Backups of the engine: a file every so often or when asked, named by its time, and as many as are kept."""

import asyncio
import fcntl
import logging
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tidings.core import backups as asked
from tidings.core.accounts import INSTALLATION
from tidings.errors import Problem
from tidings.store import backup
from tidings.store.backup import Said
from tidings.store.copying import Progress
from tidings.store.db import Database

log = logging.getLogger("tidings.engine")

HOUR_MS = 3_600_000
# After a failure: a full disk is seldom less full a second later.
AGAIN_MS = 10 * 60_000
# Between two steps of a copy, so that the disk and the interpreter serve mail meanwhile.
PAUSE_S = 0.005
NOTE_S = 1.0
_NAME = re.compile(r"tidings-(\d{8}T\d{6})Z\.db")
_TIME = "%Y%m%dT%H%M%S"


class Backups:
    """Writes to `folder` every `every_ms`, and keeps the `keep` newest; other files there are left alone.

    With 0 for `every_ms` it writes only what is asked for.
    `make` is what writes one: a URL, a file, what hears of the progress, and seconds to pause.
    """

    def __init__(
        self,
        db: Database,
        folder: str,
        *,
        every_ms: int,
        keep: int,
        make: Callable[..., int] = backup.back_up,
    ) -> None:
        self._db = db
        self._folder = Path(folder)
        self._every_ms = every_ms
        self._keep = max(keep, 1)
        self._make = make
        self._failed_at: int | None = None

    async def step(self) -> int:
        """Make one if its time has come; always 0, for nothing waits behind it."""
        now = self._db.clock()
        if not self._every_ms:
            return 0
        if self._failed_at is not None and 0 <= now - self._failed_at < AGAIN_MS:
            return 0
        newest = max((at for at, _ in self.kept()), default=None)
        # A clock that was set back must not stop it.
        if newest is not None and 0 <= now - newest < self._every_ms:
            return 0
        self._failed_at = None
        try:
            await asyncio.to_thread(self._write, now)
        except (Problem, OSError) as problem:
            self._failed_at = now
            log.error("no backup could be made", extra={"reason": str(problem)})
        return 0

    async def asked(self) -> int:
        """Make one that somebody asked for; return 0 when nobody did, or another process is at one."""
        one = await self._db.read(INSTALLATION, asked.waiting)
        if one is None:
            return 0
        loop = asyncio.get_running_loop()
        told_s = 0.0

        def said(progress: Progress) -> None:
            nonlocal told_s
            if time.monotonic() - told_s >= NOTE_S:
                told_s = time.monotonic()
                noting = self._db.write(INSTALLATION, asked.note, one.id, progress.done, progress.total)
                asyncio.run_coroutine_threadsafe(noting, loop)
            _slowly(progress)

        try:
            made = await asyncio.to_thread(self._write, self._db.clock(), said)
        except (Problem, OSError) as problem:
            log.error("no backup could be made", extra={"reason": str(problem)})
            await self._db.write(INSTALLATION, asked.failed, one.id, _sentence(problem))
            return 1
        if made is None:
            return 0
        await self._db.write(INSTALLATION, asked.made, one.id, *made)
        return 1

    def kept(self) -> list[tuple[int, Path]]:
        """Return the backups that there are, each with its time in epoch ms, oldest first."""
        if not self._folder.is_dir():
            return []
        found = []
        for one in self._folder.iterdir():
            if match := _NAME.fullmatch(one.name):
                at = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
                found.append((int(at.timestamp()) * 1_000, one))
        return sorted(found)

    def _write(self, now: int, said: Said | None = None) -> tuple[str, int] | None:
        """Write one, then delete what is too old; return its name and bytes.

        None when another process is at it.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            name = f"tidings-{datetime.fromtimestamp(now // 1_000, UTC):{_TIME}}Z.db"
            size = self._make(
                self._db.url, str(self._folder / name), said or _slowly, replace=True, pause_s=PAUSE_S
            )
            log.info("a backup was made", extra={"file": name, "bytes": size})
            for _, old in self.kept()[: -self._keep]:
                old.unlink(missing_ok=True)
            self._sweep()
            return name, size
        finally:
            os.close(lock)

    def _sweep(self) -> None:
        """Delete what a kill left half way: nobody else writes here while we hold the lock."""
        for half in self._folder.glob("tidings-*Z.db.part*"):
            half.unlink(missing_ok=True)


def _sentence(problem: Problem | OSError) -> str:
    """Say in words for a page why there is no backup."""
    if isinstance(problem, OSError):
        return f"the folder cannot be written to: {problem.strerror or 'the disk refuses'}"
    return problem.message


def _slowly(_: Progress) -> None:
    """Let others go on between two slices."""
    time.sleep(PAUSE_S)
