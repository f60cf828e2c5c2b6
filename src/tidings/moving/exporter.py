"""The writing of an export, in a process of its own: `python -m tidings.moving.exporter`.

It takes a `Task` as JSON on standard input and writes the file to standard output. In a thread of the web
process it held up everybody: 200,000 people took the interpreter for seconds, and a request beside them
260 ms at the 99th percentile on a busy machine, against 10 ms without.
"""

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator
from typing import IO, Final

import msgspec

from tidings.core.exporting import Wanted
from tidings.moving import outward
from tidings.store.db import Database

FORMATS: Final = ("csv", "jsonl")
# What is taken from the process at once; it waits while nobody reads on.
PIECE: Final = 65_536
# Others go first.
NICE: Final = 5


class Task(msgspec.Struct, frozen=True):
    """What is to be written: the people of an account that are wanted, in one of `FORMATS`."""

    url: str
    account_id: int
    format: str
    wanted: Wanted


async def exported(task: Task) -> AsyncIterator[bytes]:
    """Yield the file piece by piece; the process ends with whoever reads it."""
    command = (sys.executable, "-m", __name__)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=PIECE
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 (pipes)
    try:
        process.stdin.write(msgspec.json.encode(task))
        process.stdin.close()
        while piece := await process.stdout.read(PIECE):
            yield piece
        if await process.wait():
            raise RuntimeError("an export ended before its end")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # Its end is told only when what waits in the pipe is taken.
            while await process.stdout.read(PIECE):
                pass
            await process.wait()


def run(given: IO[bytes], to: IO[bytes]) -> None:
    """Read the task, write the file."""
    task = msgspec.json.decode(given.read(), type=Task)
    text = io.TextIOWrapper(to, encoding="utf-8", errors="replace", newline="")
    with contextlib.closing(Database(task.url)) as db:
        if task.format == "csv":
            outward.as_csv(db, task.account_id, task.wanted, text)
        else:
            outward.as_lines(db, task.account_id, task.wanted, text, whole=False)
    text.flush()


if __name__ == "__main__":
    os.nice(NICE)
    # Whoever read it has gone: there is nobody to tell.
    with contextlib.suppress(BrokenPipeError):
        run(sys.stdin.buffer, sys.stdout.buffer)
