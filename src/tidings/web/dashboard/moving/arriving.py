"""A file of people on its way in: read from the request piece by piece, and kept piece by piece."""

import asyncio
import contextlib
import shutil
import zlib
from collections.abc import AsyncIterator
from typing import Final

from tidings.core import uploads
from tidings.core.uploads import BYTES_MAX, CHUNK_MAX
from tidings.errors import Conflict, Invalid, Problem
from tidings.web.dashboard import session
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.multipart import Parts
from tidings.web.http import header
from tidings.web.params import BadBody

TOO_LARGE: Final = (
    f"The file is larger than {BYTES_MAX // 1_000_000} MB."
    " Pack it with gzip, or import it on the command line."
)
# Text packs to a third at this level, in 4 ms a piece.
_LEVEL: Final = 1


class Foreign(Exception):
    """The form does not bear the seal of the session."""


async def take(asked: Asked) -> int:
    """Keep the file of a posted form; return the upload.

    Raises Foreign, TooLarge, BadBody or a Problem; then nothing of it is kept.
    """
    sealed = session.sealed(asked.seal, header(asked.headers, b"x-seal").decode("latin-1"))
    try:
        parts = Parts(asked.receive, asked.headers, most=BYTES_MAX, size=CHUNK_MAX)
        fields, name = await parts.begin()
    except BadBody as problem:
        # No such form is ours, and only to who proves to come from our page it is told what is wrong.
        if not sealed:
            raise Foreign from problem
        raise
    if not sealed and not session.sealed(asked.seal, fields.get("seal")):
        raise Foreign
    if not name:
        raise Invalid("file", "is needed: choose one first")
    _refuse_without_room(asked)
    upload_id = await asked.do("import.send", name, uploads.begin, name)
    whole = False
    try:
        await _keep(asked, upload_id, parts.pieces())
        whole = True
    finally:
        if not whole:
            # The caller has gone, or sent too much: nothing half lies about.
            with contextlib.suppress(Problem):
                await asyncio.shield(asked.house.db.write(asked.account_id, uploads.cancel, upload_id))
    return upload_id


def _refuse_without_room(asked: Asked) -> None:
    """Raise Conflict where a file would fill the disk: it lies there twice while it is worked on."""
    floor = asked.house.free_space
    if floor and shutil.disk_usage(asked.house.db.folder).free < floor + 2 * BYTES_MAX:
        raise Conflict("the disk is nearly full: make room first")


async def _keep(asked: Asked, upload_id: int, pieces: AsyncIterator[bytes]) -> None:
    number = 0
    async for piece in pieces:
        packed = await asyncio.to_thread(zlib.compress, piece, _LEVEL)
        body = packed if len(packed) < len(piece) else piece
        await asked.house.db.write(asked.account_id, uploads.keep, upload_id, number, len(piece), body)
        number += 1
    await asked.house.db.write(asked.account_id, uploads.arrive, upload_id)
