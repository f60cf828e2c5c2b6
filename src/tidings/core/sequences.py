"""Sequences: emails in order to each who joins. Owns `sequences` and `sequence_emails`."""

import msgspec

from tidings.errors import Invalid, NotFound
from tidings.store.tx import Rx, Tx

_COLUMNS = "id, name, at_end, entry, created_at"


class Sequence(msgspec.Struct, frozen=True):
    """One sequence; `at_end` is hold or leave, `entry` once or repeat."""

    id: int
    name: str
    at_end: str
    entry: str
    created_at: int


class SequenceEmail(msgspec.Struct, frozen=True):
    """One email of a sequence; `delay_ms` counts from the one before."""

    subject: str
    html: str
    delay_ms: int


def all_sequences(rx: Rx) -> dict[int, Sequence]:
    """Return the account's sequences by id, oldest first."""
    return rx.remember(_load)


def find(rx: Rx, sequence_id: int) -> Sequence:
    """Return one sequence, or raise NotFound."""
    sequence = all_sequences(rx).get(sequence_id)
    if sequence is None:
        raise NotFound("sequence")
    return sequence


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
    """Change a sequence's name and manner."""
    tx.run(
        "UPDATE sequences SET name = :name, at_end = :at_end, entry = :entry, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        name=name,
        at_end="hold" if hold else "leave",
        entry="repeat" if repeat else "once",
        now=tx.now,
        account_id=tx.account_id,
        id=sequence_id,
    )
    tx.redefine()


def emails(rx: Rx, sequence_id: int) -> list[SequenceEmail]:
    """Return a sequence's emails in order."""
    rows = rx.all(
        "SELECT subject, html, delay_ms FROM sequence_emails WHERE account_id = :account_id"
        " AND sequence_id = :id ORDER BY position",
        account_id=rx.account_id,
        id=sequence_id,
    )
    return [SequenceEmail(*row) for row in rows]


def set_emails(tx: Tx, sequence_id: int, wanted: list[SequenceEmail]) -> None:
    """Let a sequence have exactly these emails, in this order."""
    tx.run(
        "DELETE FROM sequence_emails WHERE account_id = :account_id AND sequence_id = :id AND position > :n",
        account_id=tx.account_id,
        id=sequence_id,
        n=len(wanted),
    )
    there = len(emails(tx, sequence_id))
    for position, email in enumerate(wanted, 1):
        sql = (
            "UPDATE sequence_emails SET subject = :subject, html = :html, delay_ms = :delay_ms,"
            " updated_at = :now WHERE account_id = :account_id AND sequence_id = :id AND position = :position"
            if position <= there
            else "INSERT INTO sequence_emails (account_id, sequence_id, position, subject, html, delay_ms,"
            " created_at, updated_at) VALUES (:account_id, :id, :position, :subject, :html, :delay_ms,"
            " :now, :now)"
        )
        tx.run(
            sql,
            subject=email.subject,
            html=email.html,
            delay_ms=email.delay_ms,
            now=tx.now,
            account_id=tx.account_id,
            id=sequence_id,
            position=position,
        )


def _load(rx: Rx) -> dict[int, Sequence]:
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM sequences WHERE account_id = :account_id ORDER BY id",  # noqa: S608
        account_id=rx.account_id,
    )
    return {row[0]: Sequence(*row) for row in rows}
