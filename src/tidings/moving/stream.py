"""The reading of a file, in a process of its own: `python -m tidings.moving.stream`.

It takes a `Task` as JSON on standard input and answers frames on standard output: four bytes of
length, then a `Read` in MessagePack. So the file is parsed on one core while the database works on
another, and what a hostile file costs is this process's memory.
"""

import csv
import gc
import resource
import struct
import sys
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import IO

import msgspec

from tidings.core.importing import Incoming
from tidings.moving import source
from tidings.moving.people import Meaning, Reader, Refused, Things
from tidings.moving.source import COLUMNS_MAX, FIELD_MAX, RECORD_MAX, Source, Unreadable

# Address space, so that whatever is overlooked ends this process and not the machine.
MEMORY_MAX = 2_000_000_000
# People are handed on in the order of their addresses within a window: rows that come shuffled dirty a page
# of the index each, and at a million people most of the time went into writing those. Some 40 MB in memory.
WINDOW = 65_536
# The first windows are smaller, so that the database has work soon.
WINDOW_MIN = 8_192
WINDOW_TEXT_MAX = 64_000_000
# A slice is also cut by what its records weigh: 4 MB of text are as much work as 2,000 plain people.
SLICE_TEXT_MAX = 4_000_000
LENGTH = struct.Struct(">I")


class Task(msgspec.Struct, frozen=True):
    """What is to be read: the records after `skip`, where a window begins; `also` is what everybody joins."""

    source: Source
    separator: str
    meaning: Meaning
    skip: int
    slice_size: int
    also: Things = ()


class Rejected(msgspec.Struct, frozen=True, array_like=True):
    """A record that was refused, with its cells."""

    record: int
    line: int
    reason: str
    cells: list[str]


class Read(msgspec.Struct, frozen=True, array_like=True):
    """A slice as it was read, of people in the order of their keys; `things` says which combo each joins.

    `combos` are names. The first slice of a window has its `rejected` records, the `last` one how many were
    `refused` and `repeated` in it. `done` is in bytes; `problem` ends the reading, as does the `end`.
    """

    people: list[Incoming]
    things: list[int]
    combos: list[Things]
    until: int
    last: bool
    rejected: list[Rejected]
    refused: int
    repeated: int
    done: int
    end: bool = False
    problem: str = ""


class _Frame(msgspec.Struct, frozen=True, array_like=True):
    """As `Read`, of people who are encoded."""

    people: list[msgspec.Raw]
    things: list[int]
    combos: list[Things]
    until: int
    last: bool
    rejected: list[Rejected]
    refused: int
    repeated: int
    done: int
    end: bool = False
    problem: str = ""


class Records:
    """The records of a file, each with its first line; the header is the first. `done` is the bytes read.

    Raises Unreadable, with the line, for what is no table.
    """

    def __init__(self, where: Source, separator: str) -> None:
        self._lines = source.lines(where)
        self._separator = separator
        self._weight = 0
        self.done = 0

    def __iter__(self) -> Iterator[tuple[list[str], int]]:
        csv.field_size_limit(FIELD_MAX)
        rows = csv.reader(self._weighed(), delimiter=self._separator)
        line = 1
        try:
            for cells in rows:
                if len(cells) > COLUMNS_MAX:
                    raise Unreadable(
                        f"line {line} has {len(cells):,} columns; at most {COLUMNS_MAX:,} are read"
                    )
                yield cells, line
                line = rows.line_num + 1
                self._weight = 0
        except csv.Error as problem:
            long = "limit" in str(problem)
            said = "a field is too long: is a quotation mark missing?" if long else str(problem)
            raise Unreadable(f"line {line}: {said}") from problem

    def _weighed(self) -> Iterator[str]:
        """Yield the lines; one record weighs at most `RECORD_MAX`."""
        for line, done in self._lines:
            self.done = done
            self._weight += len(line)
            if self._weight > RECORD_MAX:
                raise Unreadable(
                    f"a record is longer than {RECORD_MAX // 1_048_576} MiB: is a quotation mark missing?"
                )
            yield line


def slices(task: Task) -> Iterator[_Frame]:
    """Yield what is read, window by window, each in slices; the last may be empty."""
    reader = Reader(task.meaning)
    window = _Window(task, reader, task.skip, 0)
    number = 0
    records = Records(task.source, task.separator)
    for cells, line in records:
        if number == task.skip:
            window = _Window(task, reader, number, records.done)
        elif number > task.skip and cells:
            window.add(cells, number, line)
        number += 1
        if window.full:
            yield from window.slices(number - 1, records.done, end=False)
            window = _Window(task, reader, number - 1, records.done)
    yield from window.slices(max(number - 1, task.skip), task.source.size, end=True)


class _Window:
    """A window that is being filled; two records of one person become one.

    `record` is the last before it and `begin` how many bytes were read. People are kept encoded: as objects
    they took three times the memory.
    """

    def __init__(self, task: Task, reader: Reader, record: int, begin: int) -> None:
        self._reader = reader
        self._task = task
        self._begin = begin
        # By where it begins, so that an import that goes on finds the same windows.
        self._size = min(max(record, WINDOW_MIN), WINDOW)
        self._people: dict[str, tuple[bytes, Things]] = {}
        self._rejected: list[Rejected] = []
        self._repeated = 0
        self._text = 0

    @property
    def full(self) -> bool:
        size = len(self._people) + len(self._rejected)
        return size >= self._size or self._text >= WINDOW_TEXT_MAX

    def add(self, cells: list[str], record: int, line: int) -> None:
        """Add a record."""
        try:
            who, things = self._reader.person(cells, record, line)
        except Refused as problem:
            kept = [cell[:500] for cell in cells[:50]]
            self._text += sum(map(len, kept))
            self._rejected.append(Rejected(record, line, str(problem), kept))
            return
        before = self._people.get(who.key)
        if before is not None:
            self._repeated += 1
            who = self._reader.merged(_decode(before[0]), who)
            things = tuple(dict.fromkeys((*before[1], *things)))
            self._text -= len(before[0])
        encoded = _encode(who)
        self._text += len(encoded)
        self._people[who.key] = (encoded, things)

    def slices(self, until: int, done: int, *, end: bool) -> Iterator[_Frame]:
        """Yield the window in slices."""
        keys = sorted(self._people)
        cuts = list(self._cuts(keys))
        for first, last in cuts:
            people, things, combos = self._part(keys[first:last])
            whole = last == len(keys)
            so_far = self._begin + (done - self._begin) * last // max(len(keys), 1)
            yield _Frame(
                people, things, combos, until, whole, self._rejected if not first else [],
                len(self._rejected), self._repeated, done if whole else so_far, whole and end,
            )  # fmt: skip

    def _cuts(self, keys: list[str]) -> Iterator[tuple[int, int]]:
        """Yield where slices begin and end; an empty window is one empty slice."""
        weights = list(accumulate([len(self._people[key][0]) for key in keys], initial=0))
        size = -(-len(keys) // max(-(-len(keys) // self._task.slice_size), 1))
        first = 0
        while True:
            end = bisect_left(weights, weights[first] + SLICE_TEXT_MAX)
            end = min(max(end, first + 1), first + size, len(keys))
            yield first, end
            first = end
            if first >= len(keys):
                return

    def _part(self, keys: list[str]) -> tuple[list[msgspec.Raw], list[int], list[Things]]:
        numbers: dict[Things, int] = {}
        people: list[msgspec.Raw] = []
        things: list[int] = []
        for key in keys:
            encoded, joined = self._people[key]
            people.append(msgspec.Raw(encoded))
            things.append(numbers.setdefault(joined, len(numbers)))
        also = self._task.also
        combos = [tuple(dict.fromkeys((*joined, *also))) if also else joined for joined in numbers]
        return people, things, combos


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Incoming).decode


def run(given: IO[bytes], to: IO[bytes]) -> None:
    """Read the task, write the frames."""
    task = msgspec.json.decode(given.read(), type=Task)

    def send(read: _Frame) -> None:
        frame = _encode(read)
        to.write(LENGTH.pack(len(frame)))
        to.write(frame)
        to.flush()

    def fail(problem: str) -> None:
        send(_Frame([], [], [], 0, False, [], 0, 0, 0, problem=problem))

    try:
        for read in slices(task):
            send(read)
    except (Unreadable, OSError) as problem:
        fail(str(problem))
    except MemoryError:
        fail("the file needs more memory than an import may have")


if __name__ == "__main__":
    # What is made here has no circles; looking for them took a tenth of the time.
    gc.set_threshold(100_000)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    run(sys.stdin.buffer, sys.stdout.buffer)
