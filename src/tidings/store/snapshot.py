"""SQLite files as such: a copy of one as it is now, and files that come whole or not at all."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from tidings.errors import Conflict, Unavailable
from tidings.store import sqlite

# 4 MB a step, between which a busy disk may serve others.
PAGES = 1_000
# What must stay free beside a copy, in bytes.
SPARE = 32_000_000
BESIDE = ("-wal", "-shm", "-journal")
_LOCKS = ("-gate", "-turn")

# Called with pages done and pages in all.
Said = Callable[[int, int], None]


def quiet(*_: object) -> None:
    """Say nothing."""


@contextlib.contextmanager
def whole(file: str, *, replace: bool = False) -> Iterator[str]:
    """Give a path to write to, FILE.part, which becomes FILE when nothing went wrong.

    Only its owner may read it (mode 0600). What a kill leaves is FILE.part, and the next try begins
    it anew. Raises `Conflict` where FILE is there, or while another process writes FILE.part.
    """
    _refuse_present(file, replace=replace)
    part = file + ".part"
    # Held open until the end: to close it would drop the locks of every connection of this process.
    held = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise Conflict(f"another process writes {part} now") from problem
        if not os.path.exists(part) or not os.path.samestat(os.fstat(held), os.stat(part)):
            # It was another's when we opened it, and is their FILE by now.
            raise Conflict(f"another process has just written {file}")
        try:
            _remove_beside(part)
            os.fchmod(held, 0o600)
            os.ftruncate(held, 0)
            yield part
            os.fsync(held)
            _refuse_present(file, replace=replace)
            # A log of the file that was there would be played into this one.
            for ending in BESIDE:
                Path(file + ending).unlink(missing_ok=True)
            os.rename(part, file)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        finally:
            _remove_beside(part)
        sync_folder(file)
    finally:
        os.close(held)


def _refuse_present(file: str, *, replace: bool) -> None:
    if os.path.isdir(file):
        raise Conflict(f"{file} is a folder")
    if not replace and os.path.lexists(file):
        raise Conflict(f"{file} is there already")


def _remove_beside(path: str) -> None:
    for ending in (*BESIDE, *_LOCKS):
        Path(path + ending).unlink(missing_ok=True)


def sync_folder(file: str) -> None:
    """Have a rename or a new file in a folder outlive a power cut."""
    folder = os.open(os.path.dirname(os.path.abspath(file)), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def take(path: str, part: str, said: Said = quiet, *, pause_s: float = 0.0) -> None:
    """Copy the database at `path` as it is now into the empty file `part`, and look whether it is sound.

    A read transaction pins the moment: writers go on, never wait, and never make the copy begin anew.
    Meanwhile the write-ahead log grows. Raises `Unavailable` when the disk has no room.
    """
    refuse_full(part, size_of(path))
    source = reading(path)
    try:
        source.execute("BEGIN")
        source.execute("SELECT COUNT(*) FROM sqlite_master").fetchall()
        target = apsw.Connection(part, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            # Nobody needs a half copy, and the whole one is synced at its end.
            target.execute("PRAGMA synchronous = OFF")
            with target.backup("main", source, "main") as copying:
                while not copying.done:
                    copying.step(PAGES)
                    said(copying.page_count - copying.remaining, copying.page_count)
                    if pause_s:
                        time.sleep(pause_s)
            seal(target)
            refuse_unsound(target)
        finally:
            target.close()
    finally:
        source.close()


def reading(path: str) -> apsw.Connection:
    """Open a database file to read only; nothing of it is changed."""
    sqlite.check_version(apsw.sqlite_lib_version())
    if not os.path.exists(path):
        raise Conflict(f"there is no file {path}")
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(sqlite.BUSY_MS)
    return connection


def seal(connection: apsw.Connection) -> None:
    """Make it one file that needs no log beside it."""
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()


def refuse_unsound(connection: apsw.Connection) -> None:
    """Raise `Conflict` when the pages do not hold together."""
    said = connection.execute("PRAGMA quick_check(1)").fetchall()[0][0]
    if said != "ok":
        raise Conflict(f"the database file is damaged: {said}")


def size_of(path: str) -> int:
    """Return the bytes of a database file with its log."""
    return sum(os.path.getsize(one) for one in (path, path + "-wal") if os.path.exists(one))


def refuse_full(file: str, size: int) -> None:
    """Raise `Unavailable` unless the disk of `file` has room for `size` bytes, and some more."""
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(file))).free
    if free < size + SPARE:
        raise Unavailable(
            f"the copy needs {(size + SPARE) // 1_000_000:,} MB and the disk of {file} has"
            f" {free // 1_000_000:,} MB free; nothing was changed"
        )


def in_use(path: str) -> bool:
    """Whether any connection, of whatever process, has the file open (sqlite.org/wal.html, 2.3)."""
    if not os.path.exists(path):
        return False
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(0)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except apsw.BusyError:
        return True
    finally:
        connection.close()
    return False
