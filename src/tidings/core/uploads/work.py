"""What an engine does with uploads: claimed with a lease, noted as it goes, ended; what is over is deleted.

A worker that is silent past its lease loses the upload to the next; what it does after that raises
Conflict, and the import's own place keeps two from bringing in one record twice.
"""

from collections.abc import Sequence

import msgspec

from tidings.core import importing
from tidings.core.importing import Import
from tidings.core.uploads import find
from tidings.core.uploads.rows import COLUMNS, Counted, Refusal, Seen, Upload, upload
from tidings.errors import Conflict
from tidings.store.tx import Rx, Tx

# Looking through 200 MB takes 2 s, unpacking 2 GB 20 s; a worker says that it lives twice a second else.
LEASE_MS = 60_000
# Another engine, or a command, is at the same import.
LATER_MS = 30_000
# A file in whose hands so many workers ended, one after the other, is set aside.
TRIES_MAX = 10
# A file that nobody comes back to.
WAITS_MS = 3 * 86_400_000
# A connection that was cut off by our own end.
ARRIVES_MS = 3_600_000
# Refused records can be had for so long.
REFUSALS_KEPT_MS = 14 * 86_400_000
# Of one import, so that a file of nothing but mistakes does not lie here twice.
REFUSALS_MAX = 100_000
# 16 pieces of 256 KiB are deleted in some 10 ms.
DROP_SLICE = 16

_LATE = (
    ("arriving", ARRIVES_MS, "The file did not arrive whole."),
    ("read", WAITS_MS, "Nobody came back to it for three days, so the file was deleted."),
    ("counted", WAITS_MS, "Nobody came back to it for three days, so the file was deleted."),
)


def waiting(rx: Rx, states: Sequence[str], worker: str) -> tuple[int, int] | None:
    """Return the account and id of an upload that waits in one of two states: the one least lately served."""
    row = rx.one(
        "SELECT account_id, id FROM uploads WHERE state IN (:first, :second) AND dropped_at IS NULL"
        " AND (leased_until_at <= :now OR worker = :worker) ORDER BY updated_at, id LIMIT 1",
        first=states[0],
        second=states[-1],
        now=rx.now,
        worker=worker,
    )
    return (row[0], row[1]) if row else None


def queued(rx: Rx, upload_id: int) -> bool:
    """Whether another upload, of any account, waits to be counted or brought in while this one is."""
    row = rx.one(
        "SELECT 1 FROM uploads WHERE state IN ('counting', 'importing') AND dropped_at IS NULL"
        " AND leased_until_at <= :now AND id <> :id LIMIT 1",
        now=rx.now,
        id=upload_id,
    )
    return row is not None


def claim(tx: Tx, upload_id: int, worker: str) -> Upload | None:
    """Take an upload; None when another has it, or when it is set aside for it got nowhere."""
    row = tx.one(
        f"SELECT {COLUMNS}, tries FROM uploads WHERE account_id = :account_id AND id = :id"  # noqa: S608
        " AND (leased_until_at <= :now OR worker = :worker) {skip_locked}",
        account_id=tx.account_id,
        id=upload_id,
        now=tx.now,
        worker=worker,
    )
    if row is None:
        return None
    one = upload(row[:-1])
    if not one.working:
        return None
    if row[-1] >= TRIES_MAX:
        _fail(tx, one, "It could not be processed; the log of the engine says why.")
        return None
    tx.run(
        "UPDATE uploads SET worker = :worker, leased_until_at = :until, tries = tries + 1, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        worker=worker,
        until=tx.now + LEASE_MS,
        now=tx.now,
        account_id=tx.account_id,
        id=one.id,
    )
    return one


def release(tx: Tx, upload_id: int, worker: str, *, later: bool = False) -> None:
    """Give an upload back for whoever comes next; `later` not at once."""
    tx.run(
        "UPDATE uploads SET worker = NULL, leased_until_at = :until, tries = 0, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id AND worker = :worker",
        until=tx.now + LATER_MS if later else 0,
        now=tx.now,
        account_id=tx.account_id,
        id=upload_id,
        worker=worker,
    )
    tx.wake()


def note(tx: Tx, upload_id: int, worker: str, done: int, size: int) -> None:
    """Note how far it is, in bytes, and renew the lease; raise Conflict when it is ours no more."""
    changed = tx.run(
        "UPDATE uploads SET done = :done, size = :size, leased_until_at = :until, updated_at = :now WHERE"
        " account_id = :account_id AND id = :id AND worker = :worker",
        done=done,
        size=size,
        until=tx.now + LEASE_MS,
        now=tx.now,
        account_id=tx.account_id,
        id=upload_id,
        worker=worker,
    )
    if not changed:
        raise Conflict("somebody else has this upload, or it was given up")


def piece(rx: Rx, upload_id: int, number: int) -> tuple[int, bytes]:
    """Return a piece of a file: how many bytes it has, and the body, packed where it is shorter."""
    row = rx.one(
        "SELECT size, body FROM upload_chunks WHERE account_id = :account_id AND upload_id = :upload_id"
        " AND number = :number",
        account_id=rx.account_id,
        upload_id=upload_id,
        number=number,
    )
    if row is None:
        raise Conflict("the file was given up")
    return row[0], bytes(row[1])


def understood(tx: Tx, upload_id: int, worker: str, seen: Seen, *, size: int) -> None:
    """Keep how a file was understood; its owner has the say next."""
    _ours(tx, upload_id, worker)
    tx.run(
        "UPDATE uploads SET seen = :seen, size = :size WHERE account_id = :account_id AND id = :id",
        seen=msgspec.json.encode(seen).decode(),
        size=size,
        account_id=tx.account_id,
        id=upload_id,
    )
    _end(tx, upload_id, "read")


def counted(tx: Tx, upload_id: int, worker: str, seen: Seen, found: Counted) -> None:
    """Keep what a trial found; its owner has the say next."""
    _ours(tx, upload_id, worker)
    tx.run(
        "UPDATE uploads SET seen = :seen, counted = :counted WHERE account_id = :account_id AND id = :id",
        seen=msgspec.json.encode(seen).decode(),
        counted=msgspec.json.encode(found).decode(),
        account_id=tx.account_id,
        id=upload_id,
    )
    _end(tx, upload_id, "counted")


def wrong(tx: Tx, upload_id: int, worker: str, seen: Seen) -> None:
    """Give an upload back to its owner, whose mapping makes no people; `seen` says why."""
    _ours(tx, upload_id, worker)
    tx.run(
        "UPDATE uploads SET seen = :seen WHERE account_id = :account_id AND id = :id",
        seen=msgspec.json.encode(seen).decode(),
        account_id=tx.account_id,
        id=upload_id,
    )
    _end(tx, upload_id, "read")


def begin_import(tx: Tx, upload_id: int, worker: str, digest: str) -> Import:
    """Begin the import of an upload, or go on with it."""
    one = _ours(tx, upload_id, worker)
    words = msgspec.json.encode(one.wishes).decode()
    begun = importing.begin(tx, one.name, digest, words)
    tx.run(
        "UPDATE uploads SET import_id = :import_id WHERE account_id = :account_id AND id = :id",
        import_id=begun.id,
        account_id=tx.account_id,
        id=upload_id,
    )
    _forget_behind(tx, upload_id, worker, begun.place.record)
    return begun


def refuse(tx: Tx, upload_id: int, worker: str, refused: Sequence[Refusal]) -> None:
    """Keep refused records, in the order of the file; beyond `REFUSALS_MAX` they are counted only.

    Called before the slice that they are of comes in: an import that goes on says them again.
    """
    one = _ours(tx, upload_id, worker)
    some = list(refused)[: max(REFUSALS_MAX - one.refused, 0)]
    if not some:
        return
    tx.run(
        "INSERT INTO upload_refusals (account_id, upload_id, until, refused)"
        " VALUES (:account_id, :upload_id, :until, :refused)",
        account_id=tx.account_id,
        upload_id=upload_id,
        until=some[-1].record,
        refused=msgspec.json.encode(some).decode(),
    )
    tx.run(
        "UPDATE uploads SET refused = refused + :n WHERE account_id = :account_id AND id = :id",
        n=len(some),
        account_id=tx.account_id,
        id=upload_id,
    )


def finish(tx: Tx, upload_id: int, worker: str) -> None:
    """Note that the import of an upload is done."""
    _ours(tx, upload_id, worker)
    _end(tx, upload_id, "done")


def fail(tx: Tx, upload_id: int, worker: str, said: str) -> None:
    """Note that a file cannot be imported, with a sentence that says why; what came in stays."""
    _fail(tx, _ours(tx, upload_id, worker), said)


def over(rx: Rx) -> tuple[int, int] | None:
    """Return the account and id of an upload whose file is needed no more and still lies here."""
    row = rx.one(
        "SELECT account_id, id FROM uploads WHERE state IN ('done', 'cancelled', 'failed')"
        " AND dropped_at IS NULL LIMIT 1"
    )
    return (row[0], row[1]) if row else None


def drop(tx: Tx, upload_id: int) -> bool:
    """Delete a slice of a file that is over; True while there is more. With the last its first records go."""
    tx.run(
        "DELETE FROM upload_chunks WHERE account_id = :account_id AND upload_id = :upload_id AND number IN"
        " (SELECT number FROM upload_chunks WHERE account_id = :account_id AND upload_id = :upload_id"
        " ORDER BY number LIMIT :limit)",
        account_id=tx.account_id,
        upload_id=upload_id,
        limit=DROP_SLICE,
    )
    left = tx.one(
        "SELECT 1 FROM upload_chunks WHERE account_id = :account_id AND upload_id = :upload_id LIMIT 1",
        account_id=tx.account_id,
        upload_id=upload_id,
    )
    if left is not None:
        return True
    tx.run(
        "UPDATE uploads SET dropped_at = :now, seen = NULL, counted = NULL WHERE account_id = :account_id"
        " AND id = :id",
        now=tx.now,
        account_id=tx.account_id,
        id=upload_id,
    )
    return False


def late(rx: Rx) -> tuple[int, int] | None:
    """Return the account and id of an upload that nobody came back to."""
    for state, waits_ms, _ in _LATE:
        row = rx.one(
            "SELECT account_id, id FROM uploads WHERE state = :state AND dropped_at IS NULL"
            " AND updated_at < :before LIMIT 1",
            state=state,
            before=rx.now - waits_ms,
        )
        if row is not None:
            return row[0], row[1]
    return None


def lapse(tx: Tx, upload_id: int) -> None:
    """Give up an upload that is still `late`."""
    one = find(tx, upload_id)
    for state, waits_ms, said in _LATE:
        if one.state == state and one.updated_at < tx.now - waits_ms:
            _fail(tx, one, said)


def forget(tx: Tx) -> int:
    """Delete the refused records of one import that ended long ago, of any account; 0 when none is left."""
    row = tx.one(
        "SELECT account_id, id FROM uploads WHERE forgotten_at IS NULL AND updated_at < :before"
        " AND dropped_at IS NOT NULL ORDER BY updated_at LIMIT 1",
        before=tx.now - REFUSALS_KEPT_MS,
    )
    if row is None:
        return 0
    account_id, upload_id = row
    gone = tx.run(
        "DELETE FROM upload_refusals WHERE account_id = :account_id AND upload_id = :upload_id",
        account_id=account_id,
        upload_id=upload_id,
    )
    tx.run(
        "UPDATE uploads SET forgotten_at = :now, refused = 0 WHERE account_id = :account_id AND id = :id",
        now=tx.now,
        account_id=account_id,
        id=upload_id,
    )
    return gone + 1


def _ours(tx: Tx, upload_id: int, worker: str) -> Upload:
    """Return an upload, locked, if this worker has it."""
    row = tx.one(
        f"SELECT {COLUMNS} FROM uploads WHERE account_id = :account_id AND id = :id"  # noqa: S608
        " AND worker = :worker {for_update}",
        account_id=tx.account_id,
        id=upload_id,
        worker=worker,
    )
    if row is None:
        raise Conflict("somebody else has this upload, or it was given up")
    return upload(row)


def _fail(tx: Tx, one: Upload, said: str) -> None:
    if one.import_id is not None:
        importing.finish(tx, one.import_id)
    tx.run(
        "UPDATE uploads SET said = :said WHERE account_id = :account_id AND id = :id",
        said=said[:500],
        account_id=tx.account_id,
        id=one.id,
    )
    _end(tx, one.id, "failed")


def _end(tx: Tx, upload_id: int, state: str) -> None:
    """Put an upload into a state in which no worker has it."""
    tx.run(
        "UPDATE uploads SET state = :state, state_at = :now, updated_at = :now, done = size, worker = NULL,"
        " leased_until_at = 0, tries = 0 WHERE account_id = :account_id AND id = :id",
        state=state,
        now=tx.now,
        account_id=tx.account_id,
        id=upload_id,
    )
    tx.wake()


def _forget_behind(tx: Tx, upload_id: int, worker: str, place: int) -> None:
    """Drop the refused records behind a place: who goes on from there says them again."""
    rows = tx.all(
        "DELETE FROM upload_refusals WHERE account_id = :account_id AND upload_id = :upload_id"
        " AND until > :place RETURNING refused",
        account_id=tx.account_id,
        upload_id=upload_id,
        place=place,
    )
    if not rows:
        return
    behind = [one for row in rows for one in msgspec.json.decode(row[0], type=list[Refusal])]
    tx.run(
        "UPDATE uploads SET refused = refused - :n WHERE account_id = :account_id AND id = :id",
        n=len(behind),
        account_id=tx.account_id,
        id=upload_id,
    )
    kept = sorted((one for one in behind if one.record <= place), key=lambda one: one.record)
    refuse(tx, upload_id, worker, kept)
