"""`/settings/backups`: backups made now, those that there are, and their download by who owns everything."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from tidings.core import backups, users
from tidings.core.accounts import INSTALLATION
from tidings.errors import Forbidden, NotFound
from tidings.store.tx import Tx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import NO_STORE, Asked, Streamed
from tidings.web.dashboard.routing import OWNER, Route
from tidings.web.http import Reply

# As the engine names them; what else lies in the folder is nobody's business here.
_NAME: Final = re.compile(r"tidings-(\d{8}T\d{6})Z\.db")
_TIME: Final = "%Y%m%dT%H%M%S"
LISTED: Final = 100
PIECE: Final = 262_144
_TYPE: Final = b"application/vnd.sqlite3"
_NOT_ALL: Final = (
    "A backup holds every account of this installation, and you do not own all of them. Ask who runs it."
)


class File(NamedTuple):
    """One backup that lies in the folder; `at` is epoch ms."""

    name: str
    at: int
    size: int


async def show(asked: Asked) -> Reply:
    """GET /settings/backups; a part of it where a script asks."""
    waiting = await asked.house.db.read(INSTALLATION, backups.waiting)
    if asked.fragment:
        if waiting is None:
            return asked.see("/settings/backups")
        return pages.page(asked, 200, "moving/backup_progress.html", waiting=waiting)
    latest = await asked.house.db.read(INSTALLATION, backups.latest)
    may = await _may(asked)
    return pages.page(
        asked,
        200,
        "moving/backups.html",
        here="settings",
        may=may,
        not_all=_NOT_ALL,
        waiting=waiting,
        failed=latest[0] if latest and latest[0].state == "failed" else None,
        files=await asyncio.to_thread(files, asked.house.backups) if may else [],
        folder=asked.house.backups,
        by_itself=asked.house.backs_up,
    )


async def make(asked: Asked) -> Reply:
    """POST /settings/backups: the engine makes one."""
    await _refuse_unless_all(asked)
    await asked.do("backup.make", "", _ask, asked.signed.email)
    return asked.see("/settings/backups")


async def download(asked: Asked) -> Streamed:
    """POST /settings/backups/download: the file, streamed."""
    await _refuse_unless_all(asked)
    name = asked.given.text("name")
    if not _NAME.fullmatch(name):
        raise NotFound("backup")
    try:
        file = await asyncio.to_thread(open, Path(asked.house.backups) / name, "rb")
    except OSError as problem:
        raise NotFound("backup") from problem
    await asked.do("backup.download", name, _nothing)
    size = os.fstat(file.fileno()).st_size
    headers = [
        (b"content-disposition", f'attachment; filename="{name}"'.encode()),
        (b"content-length", b"%d" % size),
        NO_STORE,
    ]
    return Streamed(_pieces(file, size), _TYPE, headers)


def files(folder: str) -> list[File]:
    """Return the backups of a folder, newest first."""
    found = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    for one in entries:
        match = _NAME.fullmatch(one.name)
        if match and one.is_file():
            at = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
            found.append(File(one.name, int(at.timestamp()) * 1_000, one.stat().st_size))
    return sorted(found, key=lambda one: one.at, reverse=True)[:LISTED]


async def _pieces(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    with file:
        left = size
        while left and (piece := await asyncio.to_thread(file.read, min(PIECE, left))):
            left -= len(piece)
            yield piece


async def _may(asked: Asked) -> bool:
    return await asked.read(users.owns_everything, asked.signed.user_id)


async def _refuse_unless_all(asked: Asked) -> None:
    if not await _may(asked):
        raise Forbidden(_NOT_ALL)


def _ask(tx: Tx, by: str) -> None:
    backups.ask(tx.for_account(INSTALLATION), by)


def _nothing(_: Tx) -> None:
    """A download changes nothing but the audit log."""


ROUTES: Final = (
    Route("GET", "/settings/backups", OWNER, show),
    Route("POST", "/settings/backups", OWNER, make, 16_384),
    Route("POST", "/settings/backups/download", OWNER, download, 16_384),
)
