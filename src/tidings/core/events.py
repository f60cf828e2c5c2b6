"""Events: what happened, once, written with the change itself.

Owns `events`. A row holds ids, a value, the subscriber as they were at that moment, and
its cause; nobody rewrites it. Webhooks claim events by state (`told_at`), not by id.
"""

import msgspec

from tidings.store.tx import Collected, Rx, Tx

NAMES = (
    "subscriber_activate",
    "subscriber_unsubscribe",
    "subscriber_bounce",
    "subscriber_complain",
    "form_subscribe",
    "course_subscribe",
    "course_complete",
    "tag_add",
    "tag_remove",
    "link_click",
    "product_purchase",
    "purchase_create",
)

# No webhook is delivered yet, so an event is told from the start; the notifier's coming
# changes this one line.
_RECORD = Collected(
    "INSERT INTO events (account_id, name, subscriber_id, subject_id, value, snapshot, cause, created_at,"
    " told_at) VALUES (:account_id, :name, :subscriber_id, :subject_id, :value, :snapshot, :cause,"
    " :created_at, :told_at)",
    (
        "account_id",
        "name",
        "subscriber_id",
        "subject_id",
        "value",
        "snapshot",
        "cause",
        "created_at",
        "told_at",
    ),
)


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a change came from; with an event it is the proof of a consent.

    `door` is api, form, dashboard, command or link; `address` the client's IP address;
    `text` the version of the form's words (SHA-256) that the person saw.
    """

    door: str
    address: str = ""
    source: str = ""
    referrer: str = ""
    text: str = ""


class Event(msgspec.Struct, frozen=True):
    """One event as it was recorded; `snapshot` and `cause` are JSON text."""

    id: int
    name: str
    subscriber_id: int | None
    subject_id: int | None
    value: str | None
    snapshot: str
    cause: str
    created_at: int


def record(
    tx: Tx,
    name: str,
    subscriber: msgspec.Struct,
    subscriber_id: int,
    origin: Origin,
    *,
    subject_id: int | None = None,
    value: str | None = None,
) -> None:
    """Record an event about a subscriber as they are now."""
    assert name in NAMES, name  # noqa: S101 (our own mistake)
    snapshot = msgspec.json.encode(subscriber).decode()
    cause = msgspec.json.encode(origin).decode()
    tx.append(
        _RECORD,
        (tx.account_id, name, subscriber_id, subject_id, value, snapshot, cause, tx.now, tx.now),
    )


def of_subscriber(rx: Rx, subscriber_id: int, limit: int = 1_000) -> list[Event]:
    """Return a person's events, oldest first."""
    rows = rx.all(
        "SELECT id, name, subscriber_id, subject_id, value, snapshot, cause, created_at FROM events"
        " WHERE account_id = :account_id AND subscriber_id = :subscriber_id ORDER BY id LIMIT :limit",
        account_id=rx.account_id,
        subscriber_id=subscriber_id,
        limit=limit,
    )
    return [Event(*row) for row in rows]
