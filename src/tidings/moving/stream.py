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
from collections.abc import Iterator
from typing import IO

import msgspec

from tidings.core.importing import Incoming, next_state
from tidings.moving import source
from tidings.moving.people import Meaning, Reader, Refused, Things
from tidings.moving.source import COLUMNS_MAX, FIELD_MAX, RECORD_MAX, Source, Unreadable

# Address space, so that whatever is overlooked ends this process and not the machine.
MEMORY_MAX = 2_000_000_000
# A slice is also cut by what its records weigh: 8 MiB of text are as much work as 2,000 plain people.
SLICE_TEXT_MAX = 4_000_000
_LENGTH = struct.Struct(">I")


class Task(msgspec.Struct, frozen=True):
    """What is to be read: all records after `skip`, in slices; `also` is what everybody joins."""

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
    """A slice as it was read; `combos` are names. `done` is in bytes; `problem` ends the reading."""

    people: list[Incoming]
    combos: list[Things]
    until: int
    rejected: list[Rejected]
    done: int
    repeated: list[int] = []
    problem: str = ""
    last: bool = False


def records(where: Source, separator: str) -> Iterator[tuple[list[str], int, int]]:
    """Yield the cells of each record, its first line and the bytes read; the header is the first.

    Raises Unreadable, with the line, for what is no table.
    """
    feed = _Feed(where)
    csv.field_size_limit(FIELD_MAX)
    rows = csv.reader(feed, delimiter=separator)
    line = 1
    try:
        for cells in rows:
            if len(cells) > COLUMNS_MAX:
                raise Unreadable(f"line {line} has {len(cells):,} columns; at most {COLUMNS_MAX:,} are read")
            yield cells, line, feed.done
            line = rows.line_num + 1
            feed.weight = 0
    except csv.Error as problem:
        said = (
            "a field is too long: is a quotation mark missing?" if "limit" in str(problem) else str(problem)
        )
        raise Unreadable(f"line {line}: {said}") from problem


class _Feed:
    """The lines of a file, for the csv module; one record weighs at most `RECORD_MAX`."""

    def __init__(self, where: Source) -> None:
        self._lines = source.lines(where)
        self.done = 0
        self.weight = 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line, self.done = next(self._lines)
        self.weight += len(line)
        if self.weight > RECORD_MAX:
            raise Unreadable(
                f"a record is longer than {RECORD_MAX // 1_048_576} MiB: is a quotation mark missing?"
            )
        return line


def slices(task: Task) -> Iterator[Read]:
    """Yield what is read, slice by slice; the last may be empty."""
    making = _Making(task)
    number = 0
    for cells, line, done in records(task.source, task.separator):
        if number > task.skip and cells:
            making.add(cells, number, line)
        number += 1
        if making.full:
            yield making.end(number - 1, done)
            making = _Making(task, making.reader)
    end = making.end(max(number - 1, task.skip), task.source.size)
    yield msgspec.structs.replace(end, last=True)


class _Making:
    """A slice that is being filled; two records of one person become one."""

    def __init__(self, task: Task, reader: Reader | None = None) -> None:
        self.reader = reader or Reader(task.meaning)
        self._task = task
        self._people: dict[str, tuple[Incoming, Things]] = {}
        self._rejected: list[Rejected] = []
        self._repeated: list[int] = []
        self._text = 0

    @property
    def full(self) -> bool:
        size = len(self._people) + len(self._rejected)
        return size >= self._task.slice_size or self._text >= SLICE_TEXT_MAX

    def add(self, cells: list[str], record: int, line: int) -> None:
        """Add a record."""
        self._text += sum(map(len, cells))
        try:
            who, things = self.reader.person(cells, record, line)
        except Refused as problem:
            self._rejected.append(Rejected(record, line, str(problem), [cell[:500] for cell in cells[:50]]))
            return
        before = self._people.get(who.key)
        if before is not None:
            self._repeated.append(record)
            who, things = _merged(before[0], who), tuple(dict.fromkeys((*before[1], *things)))
        self._people[who.key] = (who, things)

    def end(self, until: int, done: int) -> Read:
        """Return the slice."""
        numbers: dict[Things, int] = {}
        also = self._task.also
        people = []
        for who, things in self._people.values():
            number = numbers.setdefault(things, len(numbers))
            people.append(msgspec.structs.replace(who, things=number) if number else who)
        combos = [tuple(dict.fromkeys((*things, *also))) for things in numbers]
        return Read(people, combos, until, self._rejected, done, self._repeated)


def _merged(first: Incoming, second: Incoming) -> Incoming:
    """Return one person of two records: the later name and values, the state that mails less."""
    return msgspec.structs.replace(
        first,
        first_name=second.first_name or first.first_name,
        fields={**first.fields, **second.fields},
        state=next_state(first.state, second.state),
        created_at=min(first.created_at, second.created_at),
        stated_at=max(first.stated_at, second.stated_at),
    )


def run(given: IO[bytes], to: IO[bytes]) -> None:
    """Read the task, write the frames."""
    task = msgspec.json.decode(given.read(), type=Task)
    encode = msgspec.msgpack.Encoder().encode

    def send(read: Read) -> None:
        frame = encode(read)
        to.write(_LENGTH.pack(len(frame)))
        to.write(frame)
        to.flush()

    try:
        for read in slices(task):
            send(read)
    except (Unreadable, OSError) as problem:
        send(Read([], [], 0, [], 0, problem=str(problem)))
    except MemoryError:
        send(Read([], [], 0, [], 0, problem="the file needs more memory than an import may have"))


def frames(from_: IO[bytes]) -> Iterator[Read]:
    """Yield what `run` writes, until its end."""
    decoder = msgspec.msgpack.Decoder(Read)
    while len(head := from_.read(_LENGTH.size)) == _LENGTH.size:
        yield decoder.decode(from_.read(_LENGTH.unpack(head)[0]))


if __name__ == "__main__":
    # What is made here has no circles; looking for them took a tenth of the time.
    gc.set_threshold(100_000)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    run(sys.stdin.buffer, sys.stdout.buffer)
