"""Uploads: files of people are looked at, counted and brought in, one after the other; what is over goes.

Files are read by `moving`, which is handed in. Work runs in a thread with a `Database` of its own, as a
command would beside this process, and holds neither the loop nor its writer. The file lies in the
database; while it is worked on a copy lies in a folder that is locked, and goes with it.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from tidings.core.accounts import INSTALLATION
from tidings.core.importing import Import, Wishes
from tidings.core.uploads import Counted, Refusal, Seen, Unfit, Upload, work
from tidings.errors import Conflict
from tidings.store.db import Database
from tidings.tokens import fresh

log = logging.getLogger("tidings.engine")

# How often it is noted how far one is, which renews its lease and tells whether it was given up.
NOTE_S = 0.5
# A large import lets others in after so long, and goes on where it was: reading up to there takes a second
# for a million records.
TURN_S = 10.0
# What is late and old is looked for so often.
SWEEP_MS = 60_000
# Between two slices of a file that is deleted.
PAUSE_S = 0.02
FOLDER = "tidings-upload-"
# A folder is locked within this time after it is made.
LOCKED_S = 60
_ODD = re.compile(r"[^A-Za-z0-9._-]")


class Moving(Protocol):
    """What reads files; it raises Unfit for one that cannot be imported."""

    def look(self, db: Database, account_id: int, path: str, wishes: Wishes, /) -> tuple[Seen, int]: ...

    def count(
        self, db: Database, account_id: int, path: str, wishes: Wishes, shown: Callable[[int, int], None], /
    ) -> tuple[Seen, Counted | None]: ...

    def bring(
        self,
        db: Database,
        account_id: int,
        path: str,
        wishes: Wishes,
        begin: Callable[[str], Import],
        shown: Callable[[int, int], None],
        keep: Callable[[Sequence[Refusal]], None],
        /,
    ) -> None: ...


class _Break(Exception):
    """The work stops here and goes on another time."""


class Uploads:
    """Two steps: `look` for what takes a moment, so that a large import keeps no page waiting, and `bring`.

    `stopping` says whether this process is about to end; `folder` is where copies of files may lie.
    """

    def __init__(
        self, db: Database, moving: Moving, folder: str, *, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._db = db
        self._moving = moving
        self._folder = folder
        self._stopping = stopping
        self._worker = fresh(12)
        self._swept_at: int | None = None

    async def look(self) -> int:
        """Look at a file that has arrived, or delete some of what is over; return 0 when nothing waits."""
        return await self._work(("arrived",)) or await self._tidy()

    async def bring(self) -> int:
        """Count or import one file; return 0 when nothing waits."""
        return await self._work(("counting", "importing"))

    async def _work(self, states: tuple[str, ...]) -> int:
        found = await self._db.read(INSTALLATION, work.waiting, states, self._worker)
        if found is None or self._stopping():
            return 0
        account_id, upload_id = found
        one = await self._db.write(account_id, work.claim, upload_id, self._worker)
        if one is not None:
            await asyncio.to_thread(self._do, one)
        return 1

    async def _tidy(self) -> int:
        over = await self._db.read(INSTALLATION, work.over)
        if over is not None:
            account_id, upload_id = over
            await self._db.write(account_id, work.drop, upload_id)
            await asyncio.sleep(PAUSE_S)
            return 1
        now = self._db.clock()
        if self._swept_at is not None and 0 <= now - self._swept_at < SWEEP_MS:
            return 0
        late = await self._db.read(INSTALLATION, work.late)
        if late is not None:
            account_id, upload_id = late
            await self._db.write(account_id, work.lapse, upload_id)
            return 1
        if await self._db.write(INSTALLATION, work.forget):
            return 1
        self._swept_at = now
        await asyncio.to_thread(clear, self._folder)
        return 0

    def _do(self, one: Upload) -> None:
        """Do what an upload waits for; blocks for as long as it takes."""
        with contextlib.closing(Database(self._db.url, clock=self._db.clock, pepper=self._db.pepper)) as db:
            job = _Job(db, one, self._worker, self._stopping)
            try:
                with job.laid(self._folder) as path:
                    job.do(self._moving, path)
            except Unfit as problem:
                job.give_up(str(problem))
            except _Break:
                db.write_now(one.account_id, work.release, one.id, self._worker)
            except Conflict as problem:
                # Given up by its owner, or a command is at the same file: then it goes on later.
                log.info("an upload is left for now", extra={"upload": one.id, "reason": str(problem)})
                db.write_now(one.account_id, work.release, one.id, self._worker, later=True)


class _Job:
    """One upload in the hands of one worker."""

    def __init__(self, db: Database, one: Upload, worker: str, stopping: Callable[[], bool]) -> None:
        self._db = db
        self._one = one
        self._worker = worker
        self._stopping = stopping
        self._began_s = time.monotonic()
        self._noted_s = 0.0

    def do(self, moving: Moving, path: str) -> None:
        """Do what its state asks for."""
        db, one, account_id = self._db, self._one, self._one.account_id
        if one.state == "arrived":
            seen, size = moving.look(db, account_id, path, one.wishes)
            db.write_now(account_id, work.understood, one.id, self._worker, seen, size=size)
        elif one.state == "counting":
            seen, found = moving.count(db, account_id, path, one.wishes, self._shown)
            if found is None:
                db.write_now(account_id, work.wrong, one.id, self._worker, seen)
            else:
                db.write_now(account_id, work.counted, one.id, self._worker, seen, found)
        else:
            moving.bring(db, account_id, path, one.wishes, self._begin, self._shown, self._keep)
            db.write_now(account_id, work.finish, one.id, self._worker)
            log.info("an import is done", extra={"upload": one.id})

    def give_up(self, said: str) -> None:
        """Note that the file cannot be imported, unless the upload is somebody else's by now."""
        with contextlib.suppress(Conflict):
            self._db.write_now(self._one.account_id, work.fail, self._one.id, self._worker, said)

    @contextlib.contextmanager
    def laid(self, folder: str) -> Iterator[str]:
        """Lay the file into a folder of its own, for as long as the work takes."""
        made = tempfile.mkdtemp(prefix=FOLDER, dir=folder)
        try:
            path = Path(made) / (_ODD.sub("_", self._one.name)[:100])
            with open(path, "xb", opener=_private) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._copy(file.write)
                file.flush()
                yield str(path)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _copy(self, write: Callable[[bytes], object]) -> None:
        for number in range(self._one.chunks):
            size, body = self._db.read_now(self._one.account_id, work.piece, self._one.id, number)
            write(body if len(body) == size else zlib.decompress(body, bufsize=size))
            self._heard(0, self._one.size)

    def _begin(self, digest: str) -> Import:
        return self._db.write_now(self._one.account_id, work.begin_import, self._one.id, self._worker, digest)

    def _keep(self, refused: Sequence[Refusal]) -> None:
        self._db.write_now(self._one.account_id, work.refuse, self._one.id, self._worker, refused)

    def _shown(self, done: int, size: int) -> None:
        """Note how far it is; raise _Break where others have their turn."""
        # At its end it goes on: two that are done but for their last word would give way for ever.
        if not self._heard(done, size) or self._one.state != "importing" or done >= size:
            return
        waits = time.monotonic() - self._began_s >= TURN_S
        if waits and self._db.read_now(INSTALLATION, work.queued, self._one.id):
            raise _Break

    def _heard(self, done: int, size: int) -> bool:
        """Say that it lives, now and then; return whether it was such a moment."""
        if self._stopping():
            raise _Break
        now = time.monotonic()
        if now - self._noted_s < NOTE_S:
            return False
        self._noted_s = now
        self._db.write_now(self._one.account_id, work.note, self._one.id, self._worker, done, size)
        return True


def clear(folder: str) -> None:
    """Delete what a killed process has left of its copies: nobody holds their locks any more."""
    for left in Path(folder).glob(FOLDER + "*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > LOCKED_S and not any(map(_locked, left.iterdir())):
                shutil.rmtree(left, ignore_errors=True)


def _locked(path: Path) -> bool:
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
