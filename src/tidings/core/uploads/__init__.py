"""Uploads: files of people that an owner sent to a page, from their first byte to their import's end.

Owns `uploads`, `upload_chunks` and `upload_refusals`. A file lies in the database, so that whichever
engine is free can work on it, and no longer than it is needed: it is deleted once its import is done, or
`WAITS_MS` after nobody came back to it. The import itself is one of `importing`, which alone says how
far it is. What an engine does with an upload is in `work`.
"""

import msgspec

from tidings.core import importing
from tidings.core.importing import Import, Wishes
from tidings.core.subscribers import STATES
from tidings.core.uploads.rows import (
    COLUMNS,
    Column,
    Counted,
    Refusal,
    Sample,
    Seen,
    Unfit,
    Upload,
    upload,
)
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.tx import Rx, Tx

__all__ = [
    "Column", "Counted", "Refusal", "Sample", "Seen", "Unfit", "Upload", "arrive", "ask", "begin", "cancel",
    "find", "history", "keep", "latest", "refusals", "start",
]  # fmt: skip

# A million people with names, tags and two fields are 100 MB.
BYTES_MAX = 200_000_000
# A piece is written in some 3 ms, and one for each of 30 uploads waits in memory at most.
CHUNK_MAX = 262_144
# Files of one account that lie here at once.
OPEN_MAX = 3
NAME_MAX = 200
# More than any field's label may have; a mapping has at most one line for each column.
WORD_MAX = 255
MAPPED_MAX = 1_000
ALSO_MAX = 20
CONSENT_MAX = 1_000
LISTED = 50
# Refused records in one answer.
REFUSALS_PAGE = 20
_OPEN = ("arriving", "arrived", "read", "counting", "counted", "importing")
_KINDS = ("tag", "form", "sequence")


def begin(tx: Tx, name: str) -> int:
    """Make room for a file that is about to arrive; raise Conflict where too many lie here already."""
    row = tx.one(
        "SELECT COUNT(*) FROM uploads WHERE account_id = :account_id AND dropped_at IS NULL"
        " AND state NOT IN ('done', 'cancelled', 'failed')",
        account_id=tx.account_id,
    )
    if row is not None and row[0] >= OPEN_MAX:
        raise Conflict(f"{OPEN_MAX} files are here already; import or remove one of them first")
    made = tx.one(
        "INSERT INTO uploads (account_id, name, state, chunks, bytes, wishes, done, size, state_at,"
        " leased_until_at, tries, refused, created_at, updated_at) VALUES (:account_id, :name, 'arriving', 0,"
        " 0, '{}', 0, 0, :now, 0, 0, 0, :now, :now) RETURNING id",
        account_id=tx.account_id,
        name=_plain_name(name),
        now=tx.now,
    )
    assert made is not None  # noqa: S101 (RETURNING)
    return int(made[0])


def keep(tx: Tx, upload_id: int, number: int, size: int, body: bytes) -> None:
    """Keep the next piece of a file, `size` bytes, packed where `body` is shorter."""
    if not 0 < size <= CHUNK_MAX or len(body) > size:
        raise Invalid("file", "came in a piece of a wrong size")
    changed = tx.run(
        "UPDATE uploads SET chunks = chunks + 1, bytes = bytes + :size, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id AND state = 'arriving' AND chunks = :number"
        " AND bytes + :size <= :most",
        size=size,
        now=tx.now,
        account_id=tx.account_id,
        id=upload_id,
        number=number,
        most=BYTES_MAX,
    )
    if not changed:
        raise Conflict("the file is too large, or was removed meanwhile")
    tx.run(
        "INSERT INTO upload_chunks (account_id, upload_id, number, size, body)"
        " VALUES (:account_id, :upload_id, :number, :size, :body)",
        account_id=tx.account_id,
        upload_id=upload_id,
        number=number,
        size=size,
        body=body,
    )


def arrive(tx: Tx, upload_id: int) -> None:
    """Say that a file is whole; the engine looks at it. An empty one raises Invalid."""
    one = _locked(tx, upload_id)
    if not one.bytes:
        raise Invalid("file", "is empty")
    if one.state != "arriving":
        raise Conflict("the file was removed meanwhile")
    _turn(tx, one, "arrived")


def ask(tx: Tx, upload_id: int, wishes: Wishes) -> None:
    """Have the engine count what an import with these wishes would do."""
    _refuse_odd(wishes)
    one = _locked(tx, upload_id)
    if one.state not in ("read", "counting", "counted"):
        raise Conflict(_passed(one))
    tx.run(
        "UPDATE uploads SET wishes = :wishes, counted = NULL WHERE account_id = :account_id AND id = :id",
        wishes=msgspec.json.encode(wishes).decode(),
        account_id=tx.account_id,
        id=one.id,
    )
    _turn(tx, one, "counting")


def start(tx: Tx, upload_id: int, *, consent: str, by: str) -> None:
    """Begin the import that was counted; `consent` is the statement that its owner made, `by` who.

    A second time changes nothing.
    """
    if not consent.strip():
        raise Invalid("consent", "is needed: say that these people agreed to get your mail")
    one = _locked(tx, upload_id)
    if one.state in ("importing", "done"):
        return
    if one.state != "counted" or one.counted is None:
        raise Conflict(_passed(one))
    tx.run(
        "UPDATE uploads SET consent = :consent, consent_by = :by, consented_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        consent=consent[:CONSENT_MAX],
        by=by[:NAME_MAX],
        now=tx.now,
        account_id=tx.account_id,
        id=one.id,
    )
    _turn(tx, one, "importing")


def cancel(tx: Tx, upload_id: int) -> Upload:
    """Give an upload up, whatever it is at: not one more record comes in. What came in stays."""
    one = _locked(tx, upload_id)
    if one.state in _OPEN:
        if one.import_id is not None:
            importing.finish(tx, one.import_id)
        _turn(tx, one, "cancelled")
    return find(tx, upload_id)


def find(rx: Rx, upload_id: int) -> Upload:
    """Return one upload, or raise NotFound."""
    row = rx.one(
        f"SELECT {COLUMNS} FROM uploads WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=upload_id,
    )
    if row is None:
        raise NotFound("upload")
    return upload(row)


def latest(rx: Rx) -> list[Upload]:
    """Return the account's uploads, newest first."""
    rows = rx.all(
        f"SELECT {COLUMNS} FROM uploads WHERE account_id = :account_id ORDER BY id DESC LIMIT :limit",  # noqa: S608
        account_id=rx.account_id,
        limit=LISTED,
    )
    return [upload(row) for row in rows]


def history(rx: Rx) -> list[tuple[Upload | None, Import | None]]:
    """Return uploads with their imports, and imports that came another way, newest first."""
    imports = {one.id: one for one in importing.latest(rx)}
    found: list[tuple[int, Upload | None, Import | None]] = []
    for one in latest(rx):
        theirs = imports.pop(one.import_id, None) if one.import_id else None
        if theirs is None and one.import_id:
            theirs = importing.find(rx, one.import_id)
        found.append((one.created_at, one, theirs))
    found += [(one.created_at, None, one) for one in imports.values()]
    found.sort(key=lambda each: each[0], reverse=True)
    return [(one, theirs) for _, one, theirs in found[:LISTED]]


def refusals(rx: Rx, upload_id: int, after: int) -> tuple[list[Refusal], int | None]:
    """Return some refused records behind a place, and the place to go on behind; None at the end."""
    rows = rx.all(
        "SELECT until, refused FROM upload_refusals WHERE account_id = :account_id AND upload_id = :upload_id"
        " AND until > :after ORDER BY until LIMIT :limit",
        account_id=rx.account_id,
        upload_id=upload_id,
        after=after,
        limit=REFUSALS_PAGE,
    )
    found = [one for row in rows for one in msgspec.json.decode(row[1], type=list[Refusal])]
    return found, rows[-1][0] if rows else None


def _locked(tx: Tx, upload_id: int) -> Upload:
    """Return one upload that nobody else changes before our commit, or raise NotFound."""
    row = tx.one(
        f"SELECT {COLUMNS} FROM uploads WHERE account_id = :account_id AND id = :id {{for_update}}",  # noqa: S608
        account_id=tx.account_id,
        id=upload_id,
    )
    if row is None:
        raise NotFound("upload")
    return upload(row)


def _turn(tx: Tx, one: Upload, state: str) -> None:
    """Put an upload into a state, in which nothing is done yet."""
    tx.run(
        "UPDATE uploads SET state = :state, state_at = :now, updated_at = :now, done = 0, worker = NULL,"
        " leased_until_at = 0, tries = 0 WHERE account_id = :account_id AND id = :id",
        state=state,
        now=tx.now,
        account_id=tx.account_id,
        id=one.id,
    )
    tx.wake()


def _refuse_odd(wishes: Wishes) -> None:
    """Raise Invalid for wishes that no page of ours makes."""
    if wishes.state and wishes.state not in STATES:
        raise Invalid("state", f"must be one of {', '.join(STATES)}")
    if len(wishes.mapped) > MAPPED_MAX:
        raise Invalid("columns", f"are more than {MAPPED_MAX}")
    for name, meaning in wishes.mapped.items():
        if max(len(name), len(meaning)) > WORD_MAX:
            raise Invalid("columns", f"hold a name longer than {WORD_MAX} characters")
    if len(wishes.also) > ALSO_MAX:
        raise Invalid("tags", f"are more than {ALSO_MAX}")
    for kind, name in wishes.also:
        if kind not in _KINDS or not name.strip() or len(name) > WORD_MAX:
            raise Invalid("tags", f"must be names of at most {WORD_MAX} characters")


def _passed(one: Upload) -> str:
    """Say why what was asked cannot be done now."""
    return {
        "arriving": "the file has not arrived yet",
        "arrived": "the file is being looked at; a moment, please",
        "read": "nothing was counted yet; check the file first",
        "counting": "it is still being counted; a moment, please",
        "importing": "the import has begun already",
        "done": "the import is done already",
        "cancelled": "this was given up; send the file again",
        "failed": "the file could not be imported; send another",
    }.get(one.state, "this cannot be done now")


def _plain_name(name: str) -> str:
    """Return a file's name without folders and signs that are not printed."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    plain = "".join(sign for sign in last if sign.isprintable()).strip().lstrip(".")
    return plain[-NAME_MAX:] or "people.csv"
