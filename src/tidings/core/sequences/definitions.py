"""What a sequence is: its name and manner, when its emails go out, and whom it passes over."""

import msgspec

from tidings.core import forms, slots, tags
from tidings.errors import Invalid, NotFound
from tidings.store.tx import Rx, Tx

ZONES = ("account", "subscriber")
# More would be a question for a segment; each is one look at every step.
EXCLUSIONS_MAX = 100
HOUR_LAST = 23
_COLUMNS = "id, name, at_end, entry, created_at, hour, zone, archived_at"


class Sequence(msgspec.Struct, frozen=True):
    """One sequence; `at_end` is hold or leave, `entry` once or repeat.

    `hour` (0 to 23) is when emails go out whose delay is whole days, in the time zone of
    the account or of each subscriber (`zone`). While it is archived (`archived_at`, epoch ms)
    nobody gets an email of it, and who is inside waits.
    """

    id: int
    name: str
    at_end: str
    entry: str
    created_at: int
    hour: int | None = None
    zone: str = "account"
    archived_at: int | None = None


class Exclusions(msgspec.Struct, frozen=True):
    """Who is passed over: whoever has one of these tags or has joined one of these forms."""

    tags: list[int] = []
    forms: list[int] = []


def all_sequences(rx: Rx) -> dict[int, Sequence]:
    """Return the account's sequences by id, oldest first."""
    return rx.remember(_load)


def find(rx: Rx, sequence_id: int) -> Sequence:
    """Return one sequence, or raise NotFound."""
    sequence = all_sequences(rx).get(sequence_id)
    if sequence is None:
        raise NotFound("sequence")
    return sequence


def repeats(rx: Rx, sequence_id: int) -> bool:
    """Say whether somebody may go through a sequence again."""
    return find(rx, sequence_id).entry == "repeat"


def taken(rx: Rx, sequence_id: int) -> bool:
    """Say whether a sequence of any account has this id: ids are one row of numbers over all accounts."""
    return rx.one("SELECT 1 FROM sequences WHERE id = :id", id=sequence_id) is not None


def create(
    tx: Tx, name: str, *, hold: bool = False, repeat: bool = False, given_id: int | None = None
) -> int:
    """Make a sequence; return its id."""
    if not name.strip():
        raise Invalid("Name", "can't be blank")
    columns = "account_id, name, at_end, entry, created_at, updated_at"
    values = ":account_id, :name, :at_end, :entry, :now, :now"
    names: dict[str, object] = {
        "account_id": tx.account_id,
        "name": name.strip(),
        "at_end": "hold" if hold else "leave",
        "entry": "repeat" if repeat else "once",
        "now": tx.now,
    }
    if given_id:
        names["id"] = given_id
        columns, values = "id, " + columns, ":id, " + values
    row = tx.one(f"INSERT INTO sequences ({columns}) VALUES ({values}) RETURNING id", **names)  # noqa: S608
    assert row is not None  # noqa: S101 (RETURNING)
    tx.redefine()
    return int(row[0])


def update(tx: Tx, sequence_id: int, *, name: str, hold: bool, repeat: bool) -> None:
    """Change a sequence's name and manner; who was held when it no longer holds has reached the end."""
    if not name.strip():
        raise Invalid("Name", "can't be blank")
    tx.run(
        "UPDATE sequences SET name = :name, at_end = :at_end, entry = :entry, updated_at = :now,"
        " replan_from = CASE WHEN at_end <> :at_end THEN 0 ELSE replan_from END"
        " WHERE account_id = :account_id AND id = :id",
        name=name.strip(),
        at_end="hold" if hold else "leave",
        entry="repeat" if repeat else "once",
        now=tx.now,
        account_id=tx.account_id,
        id=sequence_id,
    )
    tx.redefine()
    tx.wake()


def set_schedule(tx: Tx, sequence_id: int, *, hour: int | None, zone: str) -> None:
    """Let a sequence's emails go out at this hour (None: at any), in the account's or each one's zone."""
    if hour is not None and not 0 <= hour <= HOUR_LAST:
        raise Invalid("Hour", f"must be between 0 and {HOUR_LAST}")
    if zone not in ZONES:
        raise Invalid("Time zone", f"must be one of: {', '.join(ZONES)}")
    find(tx, sequence_id)
    tx.run(
        "UPDATE sequences SET hour = :hour, zone = :zone, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        hour=hour,
        zone=zone,
        now=tx.now,
        account_id=tx.account_id,
        id=sequence_id,
    )
    replan(tx, sequence_id)


def archive(tx: Tx, sequence_id: int) -> None:
    """Let a sequence mail nobody any more; who is inside, or joins now, waits for it to be opened again."""
    _set_archived(tx, sequence_id, tx.now)


def restore(tx: Tx, sequence_id: int) -> None:
    """Open an archived sequence again: everybody inside goes on from where they are."""
    _set_archived(tx, sequence_id, None)


def _set_archived(tx: Tx, sequence_id: int, at: int | None) -> None:
    held = find(tx, sequence_id)
    if (held.archived_at is None) == (at is None):
        return
    tx.run(
        "UPDATE sequences SET archived_at = :at, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        at=at,
        now=tx.now,
        account_id=tx.account_id,
        id=sequence_id,
    )
    replan(tx, sequence_id)


def exclusions(rx: Rx, sequence_id: int) -> Exclusions:
    """Return whom a sequence passes over."""
    return rx.remember(_load_exclusions, sequence_id)


def passing_over(rx: Rx, tag_id: int) -> dict[int, str]:
    """Return the sequences that pass over whoever has a tag: their names by id."""
    rows = rx.all(
        "SELECT DISTINCT sequence_id FROM sequence_exclusions WHERE account_id = :account_id"
        " AND tag_id = :tag_id",
        account_id=rx.account_id,
        tag_id=tag_id,
    )
    known = all_sequences(rx)
    return {row[0]: known[row[0]].name for row in sorted(rows) if row[0] in known}


def set_exclusions(tx: Tx, sequence_id: int, wanted: Exclusions) -> None:
    """Let a sequence pass over whoever has one of these tags or forms; raise NotFound for an unknown one."""
    find(tx, sequence_id)
    pairs: list[tuple[int | None, int | None]] = [(tag_id, None) for tag_id in dict.fromkeys(wanted.tags)]
    pairs += [(None, form_id) for form_id in dict.fromkeys(wanted.forms)]
    if len(pairs) > EXCLUSIONS_MAX:
        raise Invalid("Exclusions", f"are too many (maximum is {EXCLUSIONS_MAX})")
    known_tags, known_forms = tags.all_tags(tx), forms.all_forms(tx)
    for tag_id, form_id in pairs:
        if tag_id is not None and tag_id not in known_tags:
            raise NotFound("tag")
        if form_id is not None and form_id not in known_forms:
            raise NotFound("form")
    tx.run(
        "DELETE FROM sequence_exclusions WHERE account_id = :account_id AND sequence_id = :id",
        account_id=tx.account_id,
        id=sequence_id,
    )
    for tag_id, form_id in pairs:
        tx.run(
            "INSERT INTO sequence_exclusions (account_id, sequence_id, tag_id, form_id)"
            " VALUES (:account_id, :id, :tag_id, :form_id)",
            account_id=tx.account_id,
            id=sequence_id,
            tag_id=tag_id,
            form_id=form_id,
        )
    tx.redefine()


def lock(tx: Tx, sequence_id: int) -> None:
    """Let nobody else edit a sequence until the commit; raise NotFound when there is none.

    By an update: FOR UPDATE would keep people from subscribing to it meanwhile.
    """
    changed = tx.run(
        "UPDATE sequences SET updated_at = :now WHERE account_id = :account_id AND id = :id",
        now=tx.now,
        account_id=tx.account_id,
        id=sequence_id,
    )
    if not changed:
        raise NotFound("sequence")


def raise_last_rank(tx: Tx, sequence_id: int, by: int) -> int:
    """Raise and return the highest rank that was ever given in a sequence."""
    row = tx.one(
        "UPDATE sequences SET last_rank = last_rank + :by WHERE account_id = :account_id AND id = :id"
        " RETURNING last_rank",
        by=by,
        account_id=tx.account_id,
        id=sequence_id,
    )
    assert row is not None  # noqa: S101 (the sequence is locked)
    return int(row[0])


def replan(tx: Tx, sequence_id: int) -> None:
    """Have everybody inside a sequence looked at again, since it is not what it was."""
    tx.run(
        "UPDATE sequences SET replan_from = 0 WHERE account_id = :account_id AND id = :id",
        account_id=tx.account_id,
        id=sequence_id,
    )
    tx.redefine()
    tx.wake()


def any_to_replan(rx: Rx) -> bool:
    """Say whether a sequence of any account has changed since everybody inside was looked at."""
    return rx.one("SELECT 1 FROM sequences WHERE replan_from IS NOT NULL LIMIT 1") is not None


def next_to_replan(tx: Tx) -> tuple[int, int] | None:
    """Return the account and the id of one sequence that has changed."""
    row = tx.one(
        "SELECT account_id, id FROM sequences WHERE replan_from IS NOT NULL ORDER BY id LIMIT 1",
    )
    return (row[0], row[1]) if row else None


def take_replan(tx: Tx, sequence_id: int) -> int | None:
    """Keep a changed sequence to oneself; return the last entry looked at, None when all have been."""
    row = tx.one(
        "UPDATE sequences SET replan_from = replan_from WHERE account_id = :account_id AND id = :id"
        " RETURNING replan_from",
        account_id=tx.account_id,
        id=sequence_id,
    )
    return row[0] if row else None


def replanned(tx: Tx, sequence_id: int, last_id: int | None) -> None:
    """Note the last entry that was looked at; None when that was everybody."""
    tx.run(
        "UPDATE sequences SET replan_from = :last_id WHERE account_id = :account_id AND id = :id",
        last_id=last_id,
        account_id=tx.account_id,
        id=sequence_id,
    )


def check_days(weekdays: int) -> None:
    """Raise Invalid for a mask of weekdays that allows none."""
    if not 0 < weekdays <= slots.ALL_DAYS:
        raise Invalid("Weekdays", "must allow at least one day")


def _load(rx: Rx) -> dict[int, Sequence]:
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM sequences WHERE account_id = :account_id ORDER BY id",  # noqa: S608
        account_id=rx.account_id,
    )
    return {row[0]: Sequence(*row) for row in rows}


def _load_exclusions(rx: Rx, sequence_id: int) -> Exclusions:
    rows = rx.all(
        "SELECT tag_id, form_id FROM sequence_exclusions WHERE account_id = :account_id"
        " AND sequence_id = :id ORDER BY id",
        account_id=rx.account_id,
        id=sequence_id,
    )
    return Exclusions([row[0] for row in rows if row[0]], [row[1] for row in rows if row[1]])
