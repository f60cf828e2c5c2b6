"""Importing: people of a file or of another account, brought in by slices beside a working server.

Owns `imports`. A slice and how far the import has come are one transaction, so that it goes on
after a kill where it was, and no record counts twice. Invariants: nobody who cancelled, bounced,
complained or is suppressed is made active, nobody is mailed, and what is recorded is told to nobody
unless the owner asks for it.
"""

from collections.abc import Sequence

import msgspec

from tidings.core.importing import known, newcomers, staging
from tidings.core.importing.newcomers import Told
from tidings.core.importing.rows import (
    SLICE,
    Incoming,
    Place,
    Slice,
    Taken,
    Tally,
    cause,
    next_state,
    said,
)
from tidings.core.importing.wishes import Wishes
from tidings.errors import Conflict, NotFound
from tidings.store.tx import Row, Rx, Tx

__all__ = [
    "SLICE",
    "Import",
    "Incoming",
    "Place",
    "Slice",
    "Taken",
    "Tally",
    "Wishes",
    "begin",
    "cause",
    "find",
    "finish",
    "held",
    "latest",
    "next_state",
    "note",
    "said",
    "take",
    "weigh",
]  # fmt: skip

_COLUMNS = "id, name, digest, wishes, state, place, within, made, changed, same, kept, rejected, created_at"
LISTED = 50


class Import(msgspec.Struct, frozen=True):
    """One import and how far it is."""

    id: int
    name: str
    digest: str
    wishes: str
    state: str
    place: Place
    tally: Tally
    created_at: int


def begin(tx: Tx, name: str, digest: str, wishes: str) -> Import:
    """Begin an import; one with the same digest and wishes that was not finished goes on."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM imports WHERE account_id = :account_id AND digest = :digest"  # noqa: S608
        " AND wishes = :wishes AND state = 'running' ORDER BY id DESC LIMIT 1",
        account_id=tx.account_id,
        digest=digest,
        wishes=wishes,
    )
    if row is not None:
        return _import(row)
    made = tx.one(
        "INSERT INTO imports (account_id, name, digest, wishes, state, place, made, changed, same, kept,"  # noqa: S608
        " rejected, created_at, updated_at) VALUES (:account_id, :name, :digest, :wishes, 'running', 0, 0, 0,"
        f" 0, 0, 0, :now, :now) RETURNING {_COLUMNS}",
        account_id=tx.account_id,
        name=name,
        digest=digest,
        wishes=wishes,
        now=tx.now,
    )
    assert made is not None  # noqa: S101 (RETURNING)
    return _import(made)


def find(rx: Rx, import_id: int) -> Import:
    """Return one import, or raise NotFound."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM imports WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=import_id,
    )
    if row is None:
        raise NotFound("import")
    return _import(row)


def latest(rx: Rx) -> list[Import]:
    """Return the account's imports, newest first."""
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM imports WHERE account_id = :account_id ORDER BY id DESC LIMIT :limit",  # noqa: S608
        account_id=rx.account_id,
        limit=LISTED,
    )
    return [_import(row) for row in rows]


def take(tx: Tx, import_id: int, place: Place, given: Slice, *, aloud: bool = False) -> Taken:
    """Bring in a slice, whose first person comes at `place`; return how far it came.

    With `aloud` webhooks and rules are told. Whoever is at the same import, and further, has the say:
    then it raises Conflict. Where too many known people change, the rest is left for another slice.
    """
    one = _at(tx, import_id, place)
    told = Told(tx, f"import {one.id} of {one.name}", aloud=aloud)
    tally = Tally()
    away = known.held(tx, given.people)
    people, things = _without(given, away, len(given.people))
    staged = staging.stage(tx, people, things, given.combos)
    ids = staging.known(tx)
    stop = None
    if ids or away:
        places = _places(given, away)
        met = {places[n]: row_id for n, row_id in ids.items()}
        stop = known.renew(tx, known.find(tx, given.people, met), given, told, tally)
        people, things = _without(given, away | set(met), len(given.people) if stop is None else stop)
        staged = staging.stage(tx, people, things, given.combos)
    if people:
        newcomers.write(tx, people, staged, told)
    tally.made += len(people)
    done = len(given.people) if stop is None else stop
    tally.rejected += len([n for n in away if n < done])
    if stop is None and given.last:
        tally.rejected += given.rejected
        tally.same += given.repeated
        now_at = Place(given.until)
    else:
        now_at = Place(place.record, place.within + done)
    note(tx, one.id, now_at, tally)
    return Taken(now_at, done, tally)


def held(rx: Rx, people: Sequence[Incoming]) -> list[Incoming]:
    """Return whom a slice must not bring in, for their mailbox is suppressed: `take` leaves them out."""
    return [people[n] for n in sorted(known.held(rx, people))]


def weigh(rx: Rx, given: Slice) -> Tally:
    """Count what `take` would do with a slice, and change nothing."""
    tally = Tally()
    away = known.held(rx, given.people)
    there = [one for one in known.by_key(rx, given.people) if one.n not in away]
    new = known.joining(rx, there, given)
    changed = {one.id for one in there if one.differs or one.id in new}
    kept = {one.id for one in there if one.stays} - changed
    tally.rejected += len(away)
    tally.made += len(given.people) - len(away) - len(there)
    tally.changed += len(changed)
    tally.kept += len(kept)
    tally.same += len(there) - len(changed) - len(kept)
    if given.last:
        tally.rejected += given.rejected
        tally.same += given.repeated
    return tally


def note(tx: Tx, import_id: int, place: Place, tally: Tally) -> None:
    """Note how far an import has come, and what became of the records since."""
    tx.run(
        "UPDATE imports SET place = :place, within = :within, made = made + :made,"
        " changed = changed + :changed, same = same + :same,"
        " kept = kept + :kept, rejected = rejected + :rejected, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        place=place.record,
        within=place.within,
        now=tx.now,
        account_id=tx.account_id,
        id=import_id,
        **msgspec.structs.asdict(tally),
    )


def finish(tx: Tx, import_id: int) -> Import:
    """Note that an import has come to its end."""
    tx.run(
        "UPDATE imports SET state = 'done', done_at = :now, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id AND state = 'running'",
        now=tx.now,
        account_id=tx.account_id,
        id=import_id,
    )
    return find(tx, import_id)


def _at(tx: Tx, import_id: int, place: Place) -> Import:
    """Return the import, locked, if it stands where its runner believes."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM imports WHERE account_id = :account_id AND id = :id"  # noqa: S608
        " {for_update}",
        account_id=tx.account_id,
        id=import_id,
    )
    if row is None:
        raise NotFound("import")
    one = _import(row)
    if one.place != place or one.state != "running":
        raise Conflict("somebody else runs this import at this moment")
    return one


def _places(given: Slice, away: set[int]) -> list[int]:
    """Return the places in the slice of those who are not away."""
    return [n for n in range(len(given.people)) if n not in away]


def _without(given: Slice, away: set[int], end: int) -> tuple[Sequence[Incoming], Sequence[int]]:
    """Return the people before a place who are not away, and what they join."""
    if not away and end == len(given.people):
        return given.people, given.things
    places = [n for n in range(end) if n not in away]
    return [given.people[n] for n in places], [given.things[n] for n in places]


def _import(row: Row) -> Import:
    return Import(row[0], row[1], row[2], row[3], row[4], Place(row[5], row[6]), Tally(*row[7:12]), row[12])
