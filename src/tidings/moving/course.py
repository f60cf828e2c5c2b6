"""The course of an import: a file is read in a process of its own and brought in slice by slice.

Each slice is one verb, with how far the import has come. What is refused is written to a file first.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import msgspec

from tidings import failpoints
from tidings.core import importing, suppressions
from tidings.core.importing import SLICE, Import, Incoming, Slice, Tally, Wishes
from tidings.moving import formats, names, source, stream
from tidings.moving.formats import Columns
from tidings.moving.names import Names
from tidings.moving.refusals import Refusals
from tidings.moving.source import Source, Unreadable
from tidings.moving.stream import Read, Rejected, Task
from tidings.store.db import Database
from tidings.store.tx import Rx

# A slice should hold the database's writer for so long, whatever machine this is: others wait behind it.
SLICE_S = 0.04
SMALLEST = 100
# People that a trial asks for at once.
_STANDING = 500


class Opened(msgspec.Struct, frozen=True):
    """A file that was understood: `header` as it stands there, and what its columns mean."""

    source: Source
    separator: str
    header: list[str]
    columns: Columns


class Trial(msgspec.Struct):
    """What an import would do, by its tally; `tags` would be made."""

    tally: Tally
    unknown: set[tuple[str, str]]
    tags: set[str]


# Called after each slice: the tally, bytes done, bytes in all.
Shown = Callable[[Tally, int, int], None]
# Called before each slice with what it refuses, and whom it must not bring in.
Refuse = Callable[[Sequence[Rejected], Sequence[Incoming]], None]


def opened(path: str, wishes: Wishes, *, most: int = 0) -> Opened:
    """Look through a file and understand its header; raise Unreadable, formats.Wrong or OSError."""
    found = source.look(path, most=most)
    separator, header = head(found)
    return Opened(found, separator, header, formats.recognise(header, wishes.mapped, Path(path).name))


def head(found: Source) -> tuple[str, list[str]]:
    """Return what separates the columns of a file, and its header; raise Unreadable."""
    first, _ = next(source.lines(found))
    separator = source.separator(first)
    return separator, next(stream.records(found, separator))[0]


def run(
    db: Database, account_id: int, file: Opened, wishes: Wishes, shown: Shown, refuse: Refuse | None = None
) -> tuple[Import, set[tuple[str, str]]]:
    """Bring a file in, or go on with it; return the import when it is done, and what it does not know.

    What is refused goes to `refuse`, or to a file beside it.
    Raises Unreadable when the file ends being a table; what came before is in, and a mended file may be
    imported again.
    """
    if wishes.create_fields:
        names.make_fields(db, account_id, file.columns)
    words = msgspec.json.encode(wishes).decode()
    name = Path(file.source.path).name[:200]
    one = db.write_now(account_id, importing.begin, name, file.source.digest, words)
    things = Names(db, account_id)
    meaning = names.meaning(db, account_id, file.columns, one.created_at, state=wishes.state, trial=False)
    task = Task(file.source, file.separator, meaning, one.place, SLICE, wishes.also)
    tally, writing = one.tally, _Writing(db, account_id, one, aloud=wishes.aloud)
    with contextlib.ExitStack() as closing:
        if refuse is None:
            refuse = closing.enter_context(Refusals(file.source.path, file.header, one.place)).write
        for read in closing.enter_context(contextlib.closing(_reading(task))):
            refusals = [one.record for one in read.rejected]
            given = Slice(read.people, things.of(read.combos), read.until, refusals, read.repeated)
            held = db.write_now(account_id, importing.held, given) if read.people else []
            refuse(read.rejected, held)
            tally.add(writing.take(given))
            shown(tally, read.done, file.source.size)
    return db.write_now(account_id, importing.finish, one.id), things.unknown


def trial(
    db: Database, account_id: int, file: Opened, wishes: Wishes, shown: Shown, refuse: Refuse | None = None
) -> Trial:
    """Count what an import would do, and change nothing; `refuse` is told what it would refuse."""
    things = Names(db, account_id, trial=True)
    meaning = names.meaning(db, account_id, file.columns, db.clock(), state=wishes.state, trial=True)
    task = Task(file.source, file.separator, meaning, 0, SLICE, wishes.also)
    tally = Tally()
    seen = _Seen()
    with contextlib.closing(_reading(task)) as reading:
        for read in reading:
            things.of(read.combos)
            tally.rejected += len(read.rejected)
            tally.same += len(read.repeated)
            held: list[Incoming] = []
            for at in range(0, len(read.people), _STANDING):
                held += _weigh(db, account_id, read.people[at : at + _STANDING], seen, tally)
            if refuse is not None:
                refuse(read.rejected, held)
            shown(tally, read.done, file.source.size)
    return Trial(tally, things.unknown, things.missing)


class _Seen:
    """Whom a trial has met already: six bytes each of a keyed hash, 40 MB for five million people.

    A set of hashes took 350 MB. That two of a million have one entry, so that one is counted too few,
    happens in one of 37 million files.
    """

    def __init__(self) -> None:
        self._shelves = [bytearray() for _ in range(65_536)]

    def new(self, key: str) -> bool:
        """Whether this one was not met before; they are from now on."""
        word = (hash(key) & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "big")
        shelf, rest = self._shelves[int.from_bytes(word[:2], "big")], word[2:]
        at = shelf.find(rest)
        # Found across two neighbours it is none of them.
        while at >= 0 and at % 6:
            at = shelf.find(rest, at + 1)
        if at >= 0:
            return False
        shelf += rest
        return True


def _weigh(
    db: Database, account_id: int, people: list[Incoming], seen: _Seen, tally: Tally
) -> list[Incoming]:
    """Count what would become of some people; return whom an import must not bring in."""
    standing = db.read_now(account_id, importing.standing, [one.key for one in people])
    held = db.read_now(account_id, _held, people)
    for one in people:
        there = standing.get(one.key)
        if one.key in held:
            tally.rejected += 1
        elif there is not None and importing.next_state(there, one.state) != there:
            tally.changed += 1
        elif there not in (None, one.state, "inactive"):
            tally.kept += 1
        elif there is not None or not seen.new(one.key):
            tally.same += 1
        else:
            tally.made += 1
    return [one for one in people if one.key in held]


def _held(rx: Rx, people: list[Incoming]) -> set[str]:
    return {one.key for one in people if suppressions.holds(rx, one.mailbox)}


class _Writing:
    """Brings slices in, each cut so that it takes about `SLICE_S`."""

    def __init__(self, db: Database, account_id: int, one: Import, *, aloud: bool) -> None:
        self._db = db
        self._account_id = account_id
        self._import = one
        self._place = one.place
        self._aloud = aloud
        self._size = SLICE // 4

    def take(self, given: Slice) -> Tally:
        """Bring in a slice; return what became of it."""
        tally = Tally()
        rest: Slice | None = given
        while rest is not None:
            part = _cut(rest, self._size)
            began = time.monotonic()
            taken = self._db.write_now(
                self._account_id, importing.take, self._import.id, self._place, part, aloud=self._aloud
            )
            took = max(time.monotonic() - began, 0.000_1)
            failpoints.at("import-committed")
            if len(part.people) >= self._size:
                self._size = min(max(int(self._size * min(SLICE_S / took, 1.5)), SMALLEST), SLICE)
            self._place = taken.place
            tally.add(taken.tally)
            rest = _after(rest, taken.place) if taken.place < given.until else None
        return tally


def _cut(given: Slice, size: int) -> Slice:
    """Return the first so many people of a slice."""
    if len(given.people) <= size:
        return given
    until = given.people[size].record - 1
    return msgspec.structs.replace(given, people=given.people[:size], until=until)


def _after(given: Slice, place: int) -> Slice:
    """Return what of a slice comes after a record."""
    people = [one for one in given.people if one.record > place]
    return msgspec.structs.replace(given, people=people)


def _reading(task: Task) -> Generator[Read]:
    """Yield what the reading process reads; it ends with us."""
    command = [sys.executable, "-m", stream.__name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reading:  # noqa: S603
        assert reading.stdin is not None and reading.stdout is not None  # noqa: S101, PT018 (pipes)
        try:
            reading.stdin.write(msgspec.json.encode(task))
            reading.stdin.close()
            whole = False
            for read in stream.frames(reading.stdout):
                if read.problem:
                    raise Unreadable(read.problem)
                yield read
                whole = read.last
            if not whole:
                raise Unreadable("the reading of the file ended before its end")
        finally:
            reading.kill()
