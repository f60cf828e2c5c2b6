"""The reading of a file in its own process, as the importing process sees it: slices, read ahead.

While the database works on one window the next is read: a thread takes in what comes, up to `AHEAD_MAX`.
"""

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator
from typing import IO

import msgspec

from tidings.moving import stream
from tidings.moving.source import Unreadable
from tidings.moving.stream import LENGTH, Read, Task

# A window of plain people, which are three times as large once they are objects.
AHEAD_MAX = 32_000_000


def reading(task: Task) -> Generator[Read]:
    """Yield what the reading process reads; it ends with us. Raise Unreadable when it cannot go on."""
    command = [sys.executable, "-m", stream.__name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 (pipes)
        try:
            process.stdin.write(msgspec.json.encode(task))
            process.stdin.close()
            ended = False
            for read in _Ahead(process.stdout):
                if read.problem:
                    raise Unreadable(read.problem)
                yield read
                ended = read.end
            if not ended:
                raise Unreadable("the reading of the file ended before its end")
        finally:
            process.kill()


class _Ahead:
    """Takes slices in until so many bytes of them wait."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._reads: deque[tuple[int, Read]] = deque()
        self._bytes = 0
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._take_in, name="reading ahead", daemon=True).start()

    def __iter__(self) -> Iterator[Read]:
        while True:
            with self._changed:
                while not self._reads and not self._ended:
                    self._changed.wait()
                if not self._reads:
                    return
                size, read = self._reads.popleft()
                self._bytes -= size
                self._changed.notify()
            yield read

    def _take_in(self) -> None:
        decode = msgspec.msgpack.Decoder(Read).decode
        while frame := self._next():
            read = decode(frame)
            with self._changed:
                while self._bytes > AHEAD_MAX and not self._source.closed:
                    self._changed.wait(1)
                self._reads.append((len(frame), read))
                self._bytes += len(frame)
                self._changed.notify()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _next(self) -> bytes:
        """Return the next frame; nothing at the end, and where it breaks off."""
        try:
            head = self._source.read(LENGTH.size)
            if len(head) < LENGTH.size:
                return b""
            size = LENGTH.unpack(head)[0]
            frame = self._source.read(size)
            return frame if len(frame) == size else b""
        except (OSError, ValueError):
            # Whoever asked has gone, and closed the pipe.
            return b""
