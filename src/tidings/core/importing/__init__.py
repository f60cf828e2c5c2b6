"""Importing: people of a file or of another account, brought in by slices beside a working server.

Owns `imports`. A slice and how far the import has come are one transaction, so that it goes on
after a kill where it was, and no record counts twice. Invariants: nobody who cancelled, bounced,
complained or is suppressed is made active, nobody is mailed, and what is recorded is told to nobody
unless the owner asks for it.
"""

import msgspec

from tidings.core import custom_fields
from tidings.core.importing import known, newcomers
from tidings.core.importing.newcomers import Told
from tidings.core.importing.rows import SLICE, Incoming, Slice, Taken, Tally, next_state
from tidings.core.importing.wishes import Wishes
from tidings.errors import Conflict, NotFound
from tidings.store.tx import Row, Rx, Tx

__all__ = [
    "SLICE",
    "Import",
    "Incoming",
    "Slice",
    "Taken",
    "Tally",
    "Wishes",
    "begin",
    "find",
    "finish",
    "held",
    "latest",
    "next_state",
    "note",
    "standing",
    "take",
]  # fmt: skip

_COLUMNS = "id, name, digest, wishes, state, place, made, changed, same, kept, rejected, created_at"
LISTED = 50


class Import(msgspec.Struct, frozen=True):
    """One import and how far it is: `place` records of its file are done."""

    id: int
    name: str
    digest: str
    wishes: str
    state: str
    place: int
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


def take(tx: Tx, import_id: int, place: int, given: Slice, *, aloud: bool = False) -> Taken:
    """Bring in the records of a slice, which begins after `place`; return how far it came.

    With `aloud` webhooks and rules are told. Whoever is at the same import, and further, has the say:
    then it raises Conflict. Where too many known people change, the rest is left for another slice.
    """
    one = _at(tx, import_id, place)
    told = Told(
        tx,
        f"import {one.id} of {one.name}",
        aloud=aloud,
        keys={str(field.id): field.key for field in custom_fields.all_fields(tx)},
    )
    tally = Tally()
    away = known.held(tx, given.people)
    people = [person for n, person in enumerate(given.people) if n not in away]
    there = known.find(tx, people)
    stop = known.renew(tx, list(there.values()), given, told, tally)
    new = [
        person for n, person in enumerate(people) if n not in there and (stop is None or person.record < stop)
    ]
    if new:
        ids = newcomers.write(tx, new, told)
        joined = [(row_id, person.state, person) for row_id, person in zip(ids, new, strict=True)]
        newcomers.join(tx, joined, given.combos, told)
    told.write(tx)
    tally.made += len(new)
    tally.rejected += len([n for n in away if stop is None or given.people[n].record < stop])
    until = given.until if stop is None else stop - 1
    tally.rejected += len([record for record in given.rejected if place < record <= until])
    tally.same += len([record for record in given.repeated if place < record <= until])
    note(tx, one.id, until, tally)
    return Taken(until, tally)


def held(tx: Tx, given: Slice) -> list[Incoming]:
    """Return whom a slice must not bring in, for their mailbox is suppressed: `take` leaves them out."""
    return [given.people[n] for n in sorted(known.held(tx, given.people))]


def standing(rx: Rx, keys: list[str]) -> dict[str, str]:
    """Return the states of the people with these keys (at most 500), by key: what a trial run asks."""
    if not keys:
        return {}
    size = next(size for size in (10, 100, 500) if len(keys) <= size)
    names = {f"key{at}": key for at, key in enumerate(keys + keys[-1:] * (size - len(keys)))}
    rows = rx.all(
        "SELECT email_key, state FROM subscribers WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND email_key IN ({', '.join(':' + name for name in names)})",
        account_id=rx.account_id,
        **names,
    )
    return dict(rows)


def note(tx: Tx, import_id: int, place: int, tally: Tally) -> None:
    """Note how far an import has come, and what became of the records since."""
    tx.run(
        "UPDATE imports SET place = :place, made = made + :made, changed = changed + :changed,"
        " same = same + :same, kept = kept + :kept, rejected = rejected + :rejected, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        place=place,
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


def _at(tx: Tx, import_id: int, place: int) -> Import:
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


def _import(row: Row) -> Import:
    return Import(row[0], row[1], row[2], row[3], row[4], row[5], Tally(*row[6:11]), row[11])
