"""Broadcasts: one email to many, written, scheduled, and counted.

Owns `broadcasts`, `broadcast_audiences` and `broadcast_hours`. How one is sent is in `course`, how
several people write at one in `writing`.
"""

import re
from collections.abc import Mapping

import msgspec

from tidings.core import counters
from tidings.errors import Conflict, Invalid, NotFound
from tidings.mail import address
from tidings.store.tx import Collected, Rx, Tx

PAGE = 50
SUBJECT_MAX = 998
LAYOUT = "Text only"
SOURCE_KINDS = ("rich", "html", "markdown")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_TEXTS = (
    "subject, description, content, visibility, published_at, send_at, thumbnail_alt, thumbnail_url,"
    " email_address, email_layout_template, text, preheader, from_name, reply_to, source_kind, source"
)
_NUMBERS = (
    "recipients, opens, clicks, total_clicks, unsubscribes, settled, created_at, machine_opens,"
    " machine_clicks, sent, kept, failed, uncertain, suppressed, started_at, fanned_at, paused_at,"
    " paused_why, cancelled_at, completed_at, cursor_id, highest_id, version"
)
_COLUMNS = f"id, status, {_TEXTS}, {_NUMBERS}"


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner writes; times in epoch ms. `send_at` None keeps it a draft.

    `source_kind` is rich, html or markdown; of Markdown `source` is what was written, `content` its HTML.
    """

    subject: str | None = None
    description: str | None = None
    content: str | None = None
    visibility: str = "private"
    published_at: int | None = None
    send_at: int | None = None
    thumbnail_alt: str | None = None
    thumbnail_url: str | None = None
    email_address: str | None = None
    email_layout_template: str | None = None
    text: str | None = None
    preheader: str = ""
    from_name: str | None = None
    reply_to: str | None = None
    source_kind: str = "html"
    source: str | None = None


class Broadcast(msgspec.Struct, frozen=True):
    """One broadcast with its numbers: `settled` recipients of `recipients` are done."""

    id: int
    status: str
    subject: str | None
    description: str | None
    content: str | None
    visibility: str
    published_at: int
    send_at: int | None
    thumbnail_alt: str | None
    thumbnail_url: str | None
    email_address: str
    email_layout_template: str
    text: str | None
    preheader: str
    from_name: str | None
    reply_to: str | None
    source_kind: str
    source: str | None
    recipients: int
    opens: int
    clicks: int
    total_clicks: int
    unsubscribes: int
    settled: int
    created_at: int
    machine_opens: int
    machine_clicks: int
    sent: int
    kept: int
    failed: int
    uncertain: int
    suppressed: int
    started_at: int | None
    fanned_at: int | None
    paused_at: int | None
    paused_why: str | None
    cancelled_at: int | None
    completed_at: int | None
    cursor_id: int
    highest_id: int
    version: int

    @property
    def progress(self) -> float:
        """Percent that is done. While the audience still gets its deliveries, as far as it has them."""
        if self.status == "completed":
            return 100.0
        done = 100.0 * self.settled / self.recipients if self.recipients else 0.0
        reached = self.cursor_id / self.highest_id if self.fanned_at is None and self.highest_id else 1.0
        return min(done * reached, 99.9)


def create(
    tx: Tx, draft: Draft, sender: str, *, given_id: int | None = None, status: str | None = None
) -> Broadcast:
    """Write a broadcast; with a `send_at` it is scheduled, and due at once when that is past."""
    values = _checked(tx, draft, sender)
    names = {"account_id": tx.account_id, "now": tx.now, **values}
    names["status"] = status or _status(draft.send_at)
    columns = "account_id, status, recipients, opens, clicks, total_clicks, unsubscribes, settled, created_at"
    places = ":account_id, :status, 0, 0, 0, 0, 0, 0, :now"
    texts = ", ".join(":" + one.strip() for one in _TEXTS.split(","))
    if given_id:
        names["id"] = given_id
        columns, places = "id, " + columns, ":id, " + places
    row = tx.one(
        f"INSERT INTO broadcasts ({columns}, updated_at, {_TEXTS}) VALUES ({places}, :now, {texts})"  # noqa: S608
        " RETURNING id",
        **names,
    )
    assert row is not None  # noqa: S101 (RETURNING)
    counters.count(tx, "broadcasts", 0, "", row[0], +1)
    tx.wake()
    return find(tx, row[0])


def update(tx: Tx, broadcast_id: int, draft: Draft, sender: str) -> Broadcast:
    """Change a broadcast that has not begun to be sent."""
    current = find(tx, broadcast_id)
    if current.status not in ("draft", "scheduled"):
        raise Conflict("Broadcast can't be changed once it is being sent")
    sets = ", ".join(f"{one.strip()} = :{one.strip()}" for one in _TEXTS.split(","))
    changed = tx.run(
        f"UPDATE broadcasts SET {sets}, status = :status, updated_at = :now, version = version + 1"  # noqa: S608 (our columns)
        " WHERE account_id = :account_id AND id = :id AND status IN ('draft', 'scheduled')",
        account_id=tx.account_id,
        id=broadcast_id,
        status=_status(draft.send_at),
        now=tx.now,
        **_checked(tx, draft, sender),
    )
    if not changed:
        raise Conflict("Broadcast can't be changed once it is being sent")
    tx.wake()
    return find(tx, broadcast_id)


def revise(tx: Tx, broadcast_id: int, given: Mapping[str, object], sender: str) -> Broadcast:
    """Change these values of a broadcast (names of `Draft`), and no others; two at once both count.

    A new `content` without a `source_kind` is HTML, whatever it was written in before.
    """
    # The row is held from here on: another process may not change it between the look and the write.
    tx.one(
        "SELECT id FROM broadcasts WHERE account_id = :account_id AND id = :id {for_update}",
        account_id=tx.account_id,
        id=broadcast_id,
    )
    current = find(tx, broadcast_id)
    held = {name: getattr(current, name) for name in Draft.__struct_fields__ if name != "email_address"}
    if "content" in given and "source_kind" not in given:
        held |= {"source_kind": "html", "source": None}
    return update(tx, broadcast_id, msgspec.convert({**held, **given}, Draft), sender)


def delete(tx: Tx, broadcast_id: int) -> None:
    """Delete a broadcast; one that is being sent must be stopped first."""
    current = find(tx, broadcast_id)
    if current.status == "sending":
        raise Conflict("Broadcast can't be deleted while it is being sent")
    for what in (_AUDIENCES, _HOURS):
        tx.run(what, account_id=tx.account_id, id=broadcast_id)
    gone = tx.run(
        "DELETE FROM broadcasts WHERE account_id = :account_id AND id = :id AND status <> 'sending'",
        account_id=tx.account_id,
        id=broadcast_id,
    )
    if gone:
        counters.count(tx, "broadcasts", 0, "", broadcast_id, -1)


_AUDIENCES = "DELETE FROM broadcast_audiences WHERE account_id = :account_id AND broadcast_id = :id"
_HOURS = "DELETE FROM broadcast_hours WHERE account_id = :account_id AND broadcast_id = :id"


def find(rx: Rx, broadcast_id: int) -> Broadcast:
    """Return one broadcast, or raise NotFound."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM broadcasts WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=broadcast_id,
    )
    if row is None:
        raise NotFound("broadcast")
    return Broadcast(*row)


def taken(rx: Rx, broadcast_id: int) -> bool:
    """Say whether a broadcast of any account has this id: ids are one row of numbers over all accounts."""
    return rx.one("SELECT 1 FROM broadcasts WHERE id = :id", id=broadcast_id) is not None


def with_subject(rx: Rx, subject: str) -> list[Broadcast]:
    """Return the broadcasts of this subject, oldest first, two at most: a second makes it ambiguous."""
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM broadcasts WHERE account_id = :account_id"  # noqa: S608 (our columns)
        " AND subject = :subject ORDER BY id LIMIT 2",
        account_id=rx.account_id,
        subject=subject,
    )
    return [Broadcast(*row) for row in rows]


def page(rx: Rx, *, newest_first: bool, number: int) -> list[Broadcast]:
    """Return one page of broadcasts."""
    offset = (number - 1) * PAGE
    place = counters.locate(rx, "broadcasts", 0, counters.ANY, offset, newest_first=newest_first)
    if place is None:
        return []
    edge = counters.edge(place, newest_first=newest_first)
    order = "id <= :edge ORDER BY id DESC" if newest_first else "id >= :edge ORDER BY id"
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM broadcasts WHERE account_id = :account_id AND {order}"  # noqa: S608
        " LIMIT :limit OFFSET :skip",
        account_id=rx.account_id,
        edge=edge,
        limit=PAGE,
        skip=place[1],
    )
    return [Broadcast(*row) for row in rows]


_COUNTED = {
    column: Collected(
        f"UPDATE broadcasts SET {column} = {column} + :n WHERE account_id = :account_id AND id = :id",  # noqa: S608
        ("account_id", "id", "n"),
        merged=True,
    )
    for column in (
        *("opens", "clicks", "total_clicks", "machine_opens", "machine_clicks", "unsubscribes"),
        *("recipients", "settled", "sent", "kept", "failed", "uncertain", "suppressed"),
    )
}


HOUR_MS = 3_600_000
HOURLY = ("opens", "clicks", "unsubscribes")
_HOUR = Collected(
    "INSERT INTO broadcast_hours (account_id, broadcast_id, kind, hour_at, n)"
    " VALUES (:account_id, :broadcast_id, :kind, :hour_at, :n)"
    " ON CONFLICT (account_id, broadcast_id, kind, hour_at) DO UPDATE SET n = broadcast_hours.n + excluded.n",
    ("account_id", "broadcast_id", "kind", "hour_at", "n"),
    merged=True,
)


def count(tx: Tx, broadcast_id: int, **changes: int) -> None:
    """Change the numbers of a broadcast by these; one that is gone changes nothing.

    Collected: the row that a million recipients share is locked only at the group's end.
    """
    for column, n in changes.items():
        if n:
            tx.append(_COUNTED[column], (tx.account_id, broadcast_id, n))
            if column in HOURLY:
                tx.append(_HOUR, (tx.account_id, broadcast_id, column, tx.now - tx.now % HOUR_MS, n))


def _status(send_at: int | None) -> str:
    return "draft" if send_at is None else "scheduled"


def _checked(tx: Tx, draft: Draft, sender: str) -> dict[str, object]:
    if (draft.email_address or sender).casefold() != sender.casefold():
        raise Invalid("email_address", "must be a sending address of the account")
    subject = _CONTROL.sub(" ", draft.subject).strip() if draft.subject else None
    if subject and len(subject) > SUBJECT_MAX:
        raise Invalid("Subject", f"is too long (maximum is {SUBJECT_MAX} characters)")
    if draft.source_kind not in SOURCE_KINDS:
        raise Invalid("source_kind", f"must be one of: {', '.join(SOURCE_KINDS)}")
    values = {one.strip(): getattr(draft, one.strip()) for one in _TEXTS.split(",")}
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = value.replace("\0", "")
    return {
        **values,
        "subject": subject,
        "published_at": draft.published_at if draft.published_at is not None else tx.now,
        "email_address": sender,
        "email_layout_template": values["email_layout_template"] or LAYOUT,
        "preheader": values["preheader"] or "",
        "reply_to": _reply_to(draft.reply_to),
        "source": values["source"] if draft.source_kind == "markdown" else None,
    }


def _reply_to(given: str | None) -> str | None:
    if not given:
        return None
    try:
        return address.parse(given).email
    except ValueError as problem:
        raise Invalid("reply_to", "is no address") from problem
