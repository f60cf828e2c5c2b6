"""The course of a broadcast: from scheduled to completed, with its stops on the way.

When sending starts the content and the highest subscriber are frozen; slices of the audience become
deliveries, each slice and its cursor in one transaction, so that a repeated slice is harmless. A
broadcast is completed when everybody's delivery has come to its end.
"""

from collections.abc import Sequence

import msgspec

from tidings.core import audience, broadcasts, deliveries
from tidings.core.broadcasts import Broadcast
from tidings.core.deliveries import Source
from tidings.errors import Conflict, Invalid
from tidings.mail.sources import Content
from tidings.store.tx import Rx, Tx

# People of one slice: some 30 ms of SQLite's write lock, so no other writer waits long.
SLICE = 2_000


class Frozen(msgspec.Struct, frozen=True):
    """The content of a broadcast as it was when sending began."""

    subject: str
    html: str
    text: str | None
    preheader: str
    layout: str
    from_name: str
    from_address: str
    reply_to: str | None
    postal_address: str
    sender_name: str
    snippets: tuple[tuple[str, str], ...] = ()
    lang: str = "en"

    def content(self, *, track_opens: bool, track_clicks: bool) -> Content:
        """Return it as a letter's content."""
        said = msgspec.structs.asdict(self) | {"snippets": dict(self.snippets)}
        return Content(**said, track_opens=track_opens, track_clicks=track_clicks)


class Part(msgspec.Struct, frozen=True):
    """One part of an audience: `kind` is form, sequence or tag."""

    kind: str
    ref_id: int
    excluded: bool = False


def set_audience(tx: Tx, broadcast_id: int, parts: Sequence[Part]) -> None:
    """Let a broadcast that has not begun go to whoever is in one of the parts and in none excluded."""
    lock(tx, broadcast_id)
    if broadcasts.find(tx, broadcast_id).status not in ("draft", "scheduled"):
        raise Conflict("Broadcast can't be changed once it is being sent")
    if len(parts) > audience.PARTS_MOST:
        raise Invalid("audience", f"has too many parts (maximum is {audience.PARTS_MOST})")
    names = {"account_id": tx.account_id, "id": broadcast_id}
    tx.run("DELETE FROM broadcast_audiences WHERE account_id = :account_id AND broadcast_id = :id", **names)
    for part in parts:
        tx.run(
            "INSERT INTO broadcast_audiences (account_id, broadcast_id, excluded, form_id, sequence_id,"
            " tag_id) VALUES (:account_id, :id, :excluded, :form_id, :sequence_id, :tag_id)",
            excluded=int(part.excluded),
            form_id=part.ref_id if part.kind == "form" else None,
            sequence_id=part.ref_id if part.kind == "sequence" else None,
            tag_id=part.ref_id if part.kind == "tag" else None,
            **names,
        )


def due(rx: Rx) -> list[Source]:
    """Return scheduled broadcasts whose time has come, over all accounts."""
    rows = rx.all(
        "SELECT account_id, id FROM broadcasts WHERE status = 'scheduled' AND send_at <= :now"
        " AND paused_at IS NULL ORDER BY send_at LIMIT 50",
        now=rx.now,
    )
    return [Source(*row) for row in rows]


def sending(rx: Rx) -> list[Source]:
    """Return the broadcasts that are being sent, not paused, and have mail due, over all accounts."""
    rows = rx.all(
        "SELECT account_id, id FROM broadcasts WHERE status = 'sending' AND paused_at IS NULL"  # noqa: S608
        f" AND cancelled_at IS NULL AND {deliveries.BROADCAST_IS_DUE} ORDER BY account_id, id LIMIT 1000",
        now=rx.now,
    )
    return [Source(*row) for row in rows]


def cancelled(rx: Rx) -> list[Source]:
    """Return cancelled broadcasts whose mail waits yet, over all accounts."""
    rows = rx.all(
        "SELECT account_id, id FROM broadcasts WHERE status = 'sending' AND cancelled_at IS NOT NULL"  # noqa: S608
        f" AND {deliveries.BROADCAST_WAITS} ORDER BY account_id, id LIMIT 50"
    )
    return [Source(*row) for row in rows]


def lock(tx: Tx, broadcast_id: int) -> None:
    """Let nobody change a broadcast until this is committed."""
    tx.one(
        "SELECT id FROM broadcasts WHERE account_id = :account_id AND id = :id {for_update}",
        account_id=tx.account_id,
        id=broadcast_id,
    )


def start(tx: Tx, broadcast_id: int, frozen: Frozen) -> bool:
    """Begin to send with this content to the people there are now; False when it has begun already."""
    return bool(
        tx.run(
            "UPDATE broadcasts SET status = 'sending', frozen = :frozen, highest_id = :highest_id,"
            " cursor_id = 0, started_at = :now, updated_at = :now WHERE account_id = :account_id AND id = :id"
            " AND status = 'scheduled' AND send_at <= :now AND paused_at IS NULL",
            frozen=msgspec.json.encode(frozen).decode(),
            highest_id=audience.highest_id(tx),
            now=tx.now,
            account_id=tx.account_id,
            id=broadcast_id,
        )
    )


def frozen(rx: Rx, broadcast_id: int) -> Frozen | None:
    """Return what is being sent; None before it began."""
    row = rx.one(
        "SELECT frozen FROM broadcasts WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=broadcast_id,
    )
    return msgspec.json.decode(row[0], type=Frozen) if row and row[0] else None


def fan_out(tx: Tx, broadcast_id: int, size: int = SLICE) -> int:
    """Make the deliveries of the next slice; return how many people it went past, 0 when all have one."""
    row = tx.one(
        "SELECT cursor_id, highest_id FROM broadcasts WHERE account_id = :account_id AND id = :id"
        " AND status = 'sending' AND fanned_at IS NULL AND paused_at IS NULL {for_update}",
        account_id=tx.account_id,
        id=broadcast_id,
    )
    if row is None:
        return 0
    cursor, highest = row
    end = audience.slice_end(tx, cursor, highest, size)
    made = deliveries.queue_slice(tx, broadcast_id, cursor, end) if end is not None else 0
    tx.run(
        "UPDATE broadcasts SET cursor_id = :cursor, recipients = recipients + :made,"
        " fanned_at = CASE WHEN :done = 1 THEN :now ELSE fanned_at END"
        " WHERE account_id = :account_id AND id = :id",
        cursor=end if end is not None else highest,
        made=made,
        done=int(end is None or end >= highest),
        now=tx.now,
        account_id=tx.account_id,
        id=broadcast_id,
    )
    tx.wake()
    return size if end is not None and end < highest else 0


def finish(tx: Tx, broadcast_id: int) -> bool:
    """Complete a broadcast whose last delivery has come to its end."""
    return bool(
        tx.run(
            "UPDATE broadcasts SET status = 'completed', completed_at = :now, updated_at = :now,"
            " paused_at = NULL, paused_why = NULL"
            " WHERE account_id = :account_id AND id = :id AND status = 'sending' AND fanned_at IS NOT NULL"
            " AND settled >= recipients",
            now=tx.now,
            account_id=tx.account_id,
            id=broadcast_id,
        )
    )


def finished(rx: Rx) -> list[Source]:
    """Return broadcasts that wait only for `finish`."""
    rows = rx.all(
        "SELECT account_id, id FROM broadcasts WHERE status = 'sending' AND fanned_at IS NOT NULL"
        " AND settled >= recipients ORDER BY account_id, id LIMIT 50"
    )
    return [Source(*row) for row in rows]


def unfanned(rx: Rx) -> list[Source]:
    """Return broadcasts whose audience has not all got its deliveries yet."""
    rows = rx.all(
        "SELECT account_id, id FROM broadcasts WHERE status = 'sending' AND fanned_at IS NULL"
        " AND paused_at IS NULL ORDER BY account_id, id LIMIT 50"
    )
    return [Source(*row) for row in rows]


def schedule(tx: Tx, broadcast_id: int, send_at: int | None = None) -> Broadcast:
    """Send a draft at a time, or now."""
    at = send_at if send_at is not None else tx.now
    changed = tx.run(
        "UPDATE broadcasts SET status = 'scheduled', send_at = :at, paused_at = NULL, paused_why = NULL,"
        " updated_at = :now WHERE account_id = :account_id AND id = :id AND status IN ('draft', 'scheduled')",
        at=at,
        now=tx.now,
        account_id=tx.account_id,
        id=broadcast_id,
    )
    if not changed:
        broadcasts.find(tx, broadcast_id)
        raise Conflict("Broadcast can't be scheduled once it is being sent")
    tx.wake()
    return broadcasts.find(tx, broadcast_id)


def pause(tx: Tx, broadcast_id: int, why: str = "paused by hand") -> Broadcast:
    """Stop a broadcast that is scheduled or being sent, until it is resumed; what is on the wire goes out."""
    changed = tx.run(
        "UPDATE broadcasts SET paused_at = :now, paused_why = :why, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id AND status IN ('scheduled', 'sending')"
        " AND paused_at IS NULL AND cancelled_at IS NULL",
        now=tx.now,
        why=why,
        account_id=tx.account_id,
        id=broadcast_id,
    )
    found = broadcasts.find(tx, broadcast_id)
    if not changed and found.paused_at is None:
        raise Conflict("Broadcast is not being sent")
    return found


def resume(tx: Tx, broadcast_id: int) -> Broadcast:
    """Let a paused broadcast go on."""
    changed = tx.run(
        "UPDATE broadcasts SET paused_at = NULL, paused_why = NULL, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id AND paused_at IS NOT NULL",
        now=tx.now,
        account_id=tx.account_id,
        id=broadcast_id,
    )
    found = broadcasts.find(tx, broadcast_id)
    if not changed:
        raise Conflict("Broadcast is not paused")
    tx.wake()
    return found


_TO_DRAFT = (
    "UPDATE broadcasts SET status = 'draft', send_at = NULL, paused_at = NULL, paused_why = NULL,"
    " updated_at = :now WHERE account_id = :account_id AND id = :id AND status = 'scheduled'"
)


def cancel(tx: Tx, broadcast_id: int) -> Broadcast:
    """End a broadcast: a scheduled one is a draft again; of one being sent nobody else gets it."""
    drafted = tx.run(_TO_DRAFT, now=tx.now, account_id=tx.account_id, id=broadcast_id)
    stopped = drafted or tx.run(
        "UPDATE broadcasts SET cancelled_at = :now, fanned_at = COALESCE(fanned_at, :now), paused_at = NULL,"
        " paused_why = NULL, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id AND status = 'sending' AND cancelled_at IS NULL",
        now=tx.now,
        account_id=tx.account_id,
        id=broadcast_id,
    )
    found = broadcasts.find(tx, broadcast_id)
    if not stopped and found.cancelled_at is None:
        raise Conflict("Broadcast is not being sent")
    tx.wake()
    return found


def take_back(tx: Tx, broadcast_id: int) -> Broadcast:
    """Make a scheduled broadcast a draft again; one that has begun is not stopped, but raises Conflict."""
    drafted = tx.run(_TO_DRAFT, now=tx.now, account_id=tx.account_id, id=broadcast_id)
    found = broadcasts.find(tx, broadcast_id)
    if not drafted and found.status != "draft":
        raise Conflict("Broadcast is on its way already: it can be paused or cancelled")
    return found


def standing(rx: Rx, broadcast_id: int) -> str:
    """Return whether mail of this broadcast may go now: `go`, `paused` or `cancelled`."""
    row = rx.one(
        "SELECT status, paused_at, cancelled_at FROM broadcasts WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=broadcast_id,
    )
    if row is None or row[2] is not None:
        return "cancelled"
    return "go" if row[0] == "sending" and row[1] is None else "paused"


def retry(tx: Tx, broadcast_id: int) -> int:
    """Try again those who failed for good, a slice at a time; return how many."""
    found = broadcasts.find(tx, broadcast_id)
    if found.cancelled_at is not None or found.status not in ("sending", "completed"):
        raise Conflict("Only a broadcast that was sent can be tried again")
    again = deliveries.retry_failed(tx, broadcast_id)
    if again:
        tx.run(
            "UPDATE broadcasts SET status = 'sending', completed_at = NULL, settled = settled - :n,"
            " failed = failed - :n, updated_at = :now WHERE account_id = :account_id AND id = :id",
            n=again,
            now=tx.now,
            account_id=tx.account_id,
            id=broadcast_id,
        )
        tx.wake()
    return again


def hold_overdue(tx: Tx, before_at: int) -> int:
    """Pause what was to go before a time and has not: the engine was away, or the database is an old one."""
    return tx.run(
        "UPDATE broadcasts SET paused_at = :now, updated_at = :now, paused_why ="
        " 'held: it was due while Tidings was not running; look whether it still should go, then resume it'"
        " WHERE paused_at IS NULL AND cancelled_at IS NULL AND ((status = 'scheduled' AND send_at < :before)"
        " OR (status = 'sending' AND started_at < :before))",
        now=tx.now,
        before=before_at,
    )
