"""What a thread writes as text, sent on piece by piece: a few pieces are in memory, whatever it writes."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import Final, TextIO, cast

# What is written at once, and how many wait for a caller who reads slowly.
PIECE: Final = 65_536
WAITING: Final = 4
_LOOK_S: Final = 0.01


class _Gone(Exception):
    """Nobody reads any more."""


class _Pipe(io.TextIOBase):
    """A text file whose octets are handed on in pieces."""

    def __init__(self, hand_on: Callable[[bytes], None]) -> None:
        self._hand_on = hand_on
        self._parts: list[str] = []
        self._size = 0

    def write(self, text: str) -> int:
        """Take text; blocks while too much waits."""
        self._parts.append(text)
        self._size += len(text)
        if self._size >= PIECE:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Hand on what was taken."""
        if self._parts and not self.closed:
            octets = "".join(self._parts).encode("utf-8", "replace")
            self._parts.clear()
            self._size = 0
            self._hand_on(octets)


async def written(work: Callable[[TextIO], object]) -> AsyncIterator[bytes]:
    """Yield what `work` writes in a thread; it is broken off when nobody reads on."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING)
    gone = False

    def hand_on(piece: bytes | None) -> None:
        if gone:
            raise _Gone
        asyncio.run_coroutine_threadsafe(queue.put(piece), loop).result()

    def write() -> None:
        pipe = _Pipe(hand_on)
        try:
            work(cast("TextIO", pipe))
            pipe.flush()
        finally:
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    writing = loop.run_in_executor(None, write)
    try:
        while (piece := await queue.get()) is not None:
            yield piece
        await writing
    finally:
        gone = True
        while not writing.done():
            while not queue.empty():
                queue.get_nowait()
            await asyncio.sleep(_LOOK_S)
        # Whatever broke it off has been said, or nobody is there to hear it.
        writing.exception()
