"""The course of an import: a file is read in a process of its own and brought in slice by slice.

Each slice is one verb, with how far the import has come. What is refused is written to a file first.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tidings import failpoints
from tidings.core import importing
from tidings.core.importing import SLICE, Import, Incoming, Slice, Tally, Wishes
from tidings.moving import formats, names, source, stream
from tidings.moving.formats import Columns
from tidings.moving.names import Names
from tidings.moving.reading import reading
from tidings.moving.refusals import Refusals
from tidings.moving.source import Source
from tidings.moving.stream import Read, Rejected, Task
from tidings.store.db import Database

# A slice should hold the database's writer for so long, whatever machine this is: others wait behind it.
# Where they write at the same time they wait for its counters alone, at its end.
SLICE_S = 0.04
SLICE_SHARED_S = 0.08
SMALLEST = 100


class Opened(msgspec.Struct, frozen=True):
    """A file that was understood: `header` as it stands there, and what its columns mean."""

    source: Source
    separator: str
    header: list[str]
    columns: Columns


class Trial(msgspec.Struct):
    """What an import would do, by its tally; `missing` would be made."""

    tally: Tally
    unknown: set[tuple[str, str]]
    missing: set[tuple[str, str]]


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
    header, _ = next(iter(stream.Records(found, separator)))
    return separator, header


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
    things = Names(db, account_id, create_things=wishes.create_things)
    meaning = names.meaning(db, account_id, file.columns, one.created_at, state=wishes.state, trial=False)
    task = Task(file.source, file.separator, meaning, one.place.record, SLICE, wishes.also)
    tally, writing = one.tally, _Writing(db, account_id, one, aloud=wishes.aloud)
    with contextlib.ExitStack() as closing:
        if refuse is None:
            refuse = closing.enter_context(Refusals(file.source.path, file.header, one.place.record)).write
        for read in closing.enter_context(contextlib.closing(reading(task))):
            held = db.read_now(account_id, importing.held, read.people)
            refuse(read.rejected, held)
            taken = writing.take(_slice(read, things, read.people, read.things))
            tally.add(taken)
            # What goes on within a window hears nothing of those who are in already: whoever gives way to
            # others at this call has done something before.
            if taken.records or read.end:
                shown(tally, read.done, file.source.size)
    return db.write_now(account_id, importing.finish, one.id), things.unknown


def trial(
    db: Database, account_id: int, file: Opened, wishes: Wishes, shown: Shown, refuse: Refuse | None = None
) -> Trial:
    """Count what an import would do, and change nothing; `refuse` is told what it would refuse."""
    things = Names(db, account_id, create_things=wishes.create_things, trial=True)
    meaning = names.meaning(
        db, account_id, file.columns, db.clock(), state=wishes.state, trial=wishes.create_fields
    )
    task = Task(file.source, file.separator, meaning, 0, SLICE, wishes.also)
    tally = Tally()
    seen = _Seen()
    with contextlib.closing(reading(task)) as reads:
        for read in reads:
            fresh = [n for n, one in enumerate(read.people) if seen.new(one.key)]
            tally.same += len(read.people) - len(fresh)
            people, joined = [read.people[n] for n in fresh], [read.things[n] for n in fresh]
            if refuse is not None:
                refuse(read.rejected, db.read_now(account_id, importing.held, people))
            tally.add(db.read_now(account_id, importing.weigh, _slice(read, things, people, joined)))
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


class _Writing:
    """Brings slices in, each cut so that it takes about `SLICE_S`."""

    def __init__(self, db: Database, account_id: int, one: Import, *, aloud: bool) -> None:
        self._db = db
        self._account_id = account_id
        self._import = one
        self._place = one.place
        # People of this window that were handed over.
        self._given = 0
        self._aloud = aloud
        self._size = SLICE // 4
        self._slice_s = SLICE_SHARED_S if db.shared else SLICE_S

    def take(self, given: Slice) -> Tally:
        """Bring in a slice, but for those of it who are in already; return what became of it."""
        tally = Tally()
        done = min(max(self._place.within - self._given, 0), len(given.people))
        self._given = 0 if given.last else self._given + len(given.people)
        rest = _after(given, done)
        while rest.people or rest.last:
            part = _cut(rest, self._size)
            began = time.monotonic()
            taken = self._db.write_now(
                self._account_id, importing.take, self._import.id, self._place, part, aloud=self._aloud
            )
            took = max(time.monotonic() - began, 0.000_1)
            failpoints.at("import-committed")
            if 2 * len(part.people) >= self._size:
                # A part that was smaller than might be took longer a person than a whole one does.
                fits = int(max(len(part.people), self._size * 0.8) * min(self._slice_s / took, 1.5))
                self._size = min(max(fits, SMALLEST), SLICE)
            self._place = taken.place
            tally.add(taken.tally)
            if not taken.place.within:
                break
            rest = _after(rest, taken.done)
        return tally


def _slice(read: Read, things: Names, people: list[Incoming], joined: list[int]) -> Slice:
    """Return people of what was read, with what they join."""
    combos = things.of(read.combos)
    return Slice(people, joined, combos, read.until, read.last, read.refused, read.repeated)


def _cut(given: Slice, size: int) -> Slice:
    """Return the first of the equal parts of a slice, none of more than so many people."""
    many = len(given.people)
    if many <= size:
        return given
    first = -(-many // -(-many // size))
    return msgspec.structs.replace(
        given, people=given.people[:first], things=given.things[:first], last=False
    )


def _after(given: Slice, done: int) -> Slice:
    """Return what of a slice comes after so many people."""
    if not done:
        return given
    return msgspec.structs.replace(given, people=given.people[done:], things=given.things[done:])
