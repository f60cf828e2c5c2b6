"""The press: a process of its own that renders what could run away, and may be ended at any moment.

`limits` counts a template's work, but no count bounds the clock and the memory of every path through
a library. So a content that is not `plain` is rendered here, where both have an end: a message that
takes longer than 2 s, or memory beyond 256 MiB, takes the process with it and nothing else. Results
come one by one, so it is known who was to blame; the others follow in a fresh process.
"""

import asyncio
import contextlib
import os
import resource
import signal
import struct
import sys
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from tidings.mail import content
from tidings.mail.content import Compiled, Content, Recipient

MESSAGE_S = 2.0
# Inlining and parsing half a megabyte takes about a second here, and a start a third of one.
COMPILE_S = 10.0
START_S = 20.0
MEMORY_OCTETS = 256 * 1024 * 1024
# Compiled contents that the process keeps; a tick of sequences mixes several.
KEPT_MAX = 32
# So many people in a row who end the process are the content's fault: the rest of the batch is
# spared, for each would cost 2 s.
GUILTY_MAX = 5

_FRAME = struct.Struct(">cI")
_FRAME_MAX = 64 * 1024 * 1024
_READY, _COMPILED, _MESSAGE, _FAILURE = b"R", b"C", b"M", b"F"


@dataclass(frozen=True, slots=True)
class Source:
    """What `content.compile` needs, as values: `refs` holds the reference of each tracked address."""

    content: Content
    base_url: str
    list_id: str
    refs: Mapping[str, str]
    feedback: str = ""
    lang: str = "en"

    def compile(self) -> Compiled:
        """Compile it; `ValueError` as `content.compile`, and for an address without a reference."""

        def refs(urls: Sequence[str]) -> list[str]:
            if not all(url in self.refs for url in urls):
                raise ValueError("a link has no reference")
            return [self.refs[url] for url in urls]

        return content.compile(
            self.content,
            base_url=self.base_url,
            list_id=self.list_id,
            refs=refs,
            feedback=self.feedback,
            lang=self.lang,
        )


class _Order(msgspec.Struct, array_like=True):
    """One batch, as it goes to the process: `source` only where the process has not had it yet."""

    number: int
    source: Source | None
    forget: int | None
    people: list[Recipient]


class _Ended(Exception):
    """The process gave no answer; the message says why."""


class Press:
    """A render process, started when first needed and again whenever it, or the loop that asked, ended."""

    def __init__(
        self,
        *,
        message_s: float = MESSAGE_S,
        memory_octets: int = MEMORY_OCTETS,
        program: Sequence[str] = ("-m", "tidings.mail.press"),
    ) -> None:
        self._program = program
        self._message_s = message_s
        self._memory_octets = memory_octets
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._known: OrderedDict[Hashable, tuple[int, Source]] = OrderedDict()
        self._numbers = 0

    async def start(self) -> None:
        """Start the process now rather than with the first batch; raises `OSError` if it cannot be."""
        async with self._turn:
            await self._running()

    async def stop(self) -> None:
        """End the process; a later `print` would start it again."""
        async with self._turn:
            await self._end()

    async def print(self, key: Hashable, source: Source, people: Sequence[Recipient]) -> list[bytes | str]:
        """Give each person's message, in order, or the reason why there is none.

        `key` names the source: one that was printed under it lately is not compiled again.
        """
        results: list[bytes | str] = []
        guilty = 0
        async with self._turn:
            while len(results) < len(people):
                before = len(results)
                try:
                    await self._batch(key, source, people[before:], results)
                except _Ended as ended:
                    await self._end()
                    results.append(str(ended))
                    guilty = guilty + 1 if len(results) == before + 1 else 1
                    if guilty >= GUILTY_MAX:
                        results += [str(ended)] * (len(people) - len(results))
                except BaseException:
                    # Cancelled: whatever the process still says belongs to nobody.
                    await self._end()
                    raise
        return results

    async def _batch(
        self, key: Hashable, source: Source, people: Sequence[Recipient], results: list[bytes | str]
    ) -> None:
        """Print people until all are done; raises `_Ended` when one is not answered in time."""
        process = await self._running()
        await self._send(process, self._order(key, source, people))
        kind, said = await self._answer(process, COMPILE_S)
        if kind == _FAILURE:
            self._known.pop(key, None)
            results += [said.decode()] * len(people)
            return
        for _ in people:
            kind, said = await self._answer(process, self._message_s)
            results.append(said if kind == _MESSAGE else said.decode())

    def _order(self, key: Hashable, source: Source, people: Sequence[Recipient]) -> bytes:
        known = self._known.get(key)
        if known is not None and (known[1] is source or known[1] == source):
            self._known.move_to_end(key)
            return _encoded(_Order(known[0], None, None, list(people)))
        forget = known[0] if known else None
        if known is None and len(self._known) >= KEPT_MAX:
            forget = self._known.popitem(last=False)[1][0]
        self._numbers += 1
        self._known[key] = (self._numbers, source)
        return _encoded(_Order(self._numbers, source, forget, list(people)))

    async def _running(self) -> asyncio.subprocess.Process:
        """Give the process, started anew where it ended."""
        loop = asyncio.get_running_loop()
        if self._process is not None and self._loop is not loop:
            # The pipes are of a loop that has ended.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process = None
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._loop = loop
        self._known.clear()
        # No setting and no secret of this process is handed on; only where its modules are.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._program,
            str(self._memory_octets),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,
        )
        try:
            await self._answer(self._process, START_S)
        except _Ended as ended:
            await self._end()
            raise OSError("the render process does not start") from ended
        return self._process

    async def _send(self, process: asyncio.subprocess.Process, order: bytes) -> None:
        writer = process.stdin
        if writer is None:
            raise _Ended("the render process has no input")
        try:
            async with asyncio.timeout(COMPILE_S):
                writer.write(struct.pack(">I", len(order)))
                writer.write(order)
                await writer.drain()
        except (OSError, TimeoutError):
            raise _Ended("the render process ended") from None

    async def _answer(self, process: asyncio.subprocess.Process, wait_s: float) -> tuple[bytes, bytes]:
        """Read one answer."""
        reader = process.stdout
        if reader is None:
            raise _Ended("the render process has no output")
        try:
            async with asyncio.timeout(wait_s):
                kind, size = _FRAME.unpack(await reader.readexactly(_FRAME.size))
                if size > _FRAME_MAX:
                    raise _Ended("the render process said too much")
                return kind, await reader.readexactly(size)
        except TimeoutError:
            raise _Ended(f"rendering took longer than {wait_s:g} s") from None
        except (asyncio.IncompleteReadError, OSError):
            raise _Ended("rendering ended its process, by memory or by depth") from None

    async def _end(self) -> None:
        process, self._process = self._process, None
        self._known.clear()
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def _encoded(order: _Order) -> bytes:
    """Encode an order; a lone surrogate, which UTF-8 cannot say, goes as a question mark."""
    try:
        return msgspec.msgpack.encode(order)
    except UnicodeEncodeError:
        return msgspec.msgpack.encode(_sayable(msgspec.to_builtins(order)))


def _sayable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_sayable(key): _sayable(item) for key, item in value.items()}
    return [_sayable(item) for item in value] if isinstance(value, list) else value


# From here on: what runs in the process itself.


def run(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer orders until the input ends."""
    compiled: dict[int, Compiled] = {}
    decoder = msgspec.msgpack.Decoder(_Order)
    _say(sink, _READY, b"")
    while len(size := source.read(4)) == 4:
        order = decoder.decode(source.read(struct.unpack(">I", size)[0]))
        if order.forget is not None:
            compiled.pop(order.forget, None)
        if order.source is not None:
            _alarm(COMPILE_S)
            try:
                compiled[order.number] = order.source.compile()
            except (ValueError, MemoryError, RecursionError) as problem:
                _say(sink, _FAILURE, _reason(problem))
                continue
        _say(sink, _COMPILED, b"")
        for person in order.people:
            _alarm(MESSAGE_S)
            try:
                made = compiled[order.number].message(person)
            except (ValueError, MemoryError, RecursionError) as problem:
                _say(sink, _FAILURE, _reason(problem))
            else:
                _say(sink, _MESSAGE, made)
        _alarm(0)


def limit_memory(more_octets: int) -> None:
    """Let this process grow by so much and no further, write no file and leave no core behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.exists():
        total = int(statm.read_text().split()[0]) * resource.getpagesize() + more_octets
        resource.setrlimit(resource.RLIMIT_AS, (total, total))
    else:
        # A Mac knows neither; what it bounds is the heap.
        resource.setrlimit(resource.RLIMIT_DATA, (more_octets, more_octets))


def _alarm(after_s: float) -> None:
    """Let the system end this process should nobody be left to do so; twice what the other side waits."""
    signal.setitimer(signal.ITIMER_REAL, 2 * after_s)


def _say(sink: BinaryIO, kind: bytes, said: bytes) -> None:
    sink.write(_FRAME.pack(kind, len(said)) + said)
    sink.flush()


def _reason(problem: BaseException) -> bytes:
    if isinstance(problem, MemoryError):
        return b"rendering needs too much memory"
    if isinstance(problem, RecursionError):
        return b"the template is nested too deeply"
    return str(problem).encode("utf-8", "replace")


def main() -> None:
    """Be the process; the last argument is the memory it may have."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    limit_memory(int(sys.argv[-1]))
    run(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
