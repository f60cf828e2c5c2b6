"""Events: what happened, once, written with the change itself.

Owns `events` and `listeners`. A row holds ids, a value, the subscriber as they were at that
moment, and its cause; nobody rewrites it. What somebody listens to waits to be told
(`told_at` is NULL) and is claimed by that, not by id: ids are not given in the order of commits.
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
# These are for rules and for a person's history; v3 knows no webhook for them.
INNER = ("field_change", "name_change", "address_change")
# What is claimed at once: some 10 ms of SQLite's write lock.
CLAIM = 200

_RECORD = Collected(
    "INSERT INTO events (account_id, name, subscriber_id, subject_id, value, snapshot, detail, cause,"
    " created_at, told_at) VALUES (:account_id, :name, :subscriber_id, :subject_id, :value, :snapshot,"
    " :detail, :cause, :created_at, :told_at)",
    (
        "account_id",
        "name",
        "subscriber_id",
        "subject_id",
        "value",
        "snapshot",
        "detail",
        "cause",
        "created_at",
        "told_at",
    ),
)
_COLUMNS = "id, name, subscriber_id, subject_id, value, snapshot, cause, created_at, detail"


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a change came from; with an event it is the proof of a consent.

    `door` is api, form, dashboard, command, link, engine or rule; `address` the client's IP
    address; `text` the version of the form's words (SHA-256) that the person saw. What a rule does
    names the event that had it act, and how many rules stand between it and the world (`depth`).
    """

    door: str
    address: str = ""
    source: str = ""
    referrer: str = ""
    text: str = ""
    depth: int = 0
    event: int = 0


class Event(msgspec.Struct, frozen=True):
    """One event as it was recorded; `snapshot`, `detail` and `cause` are JSON text."""

    id: int
    name: str
    subscriber_id: int | None
    subject_id: int | None
    value: str | None
    snapshot: str
    cause: str
    created_at: int
    detail: str | None = None
    account_id: int = 0

    @property
    def origin(self) -> Origin:
        """Where it came from."""
        return msgspec.json.decode(self.cause, type=Origin)


def record(
    tx: Tx,
    name: str,
    subscriber: msgspec.Struct,
    subscriber_id: int,
    origin: Origin,
    *,
    subject_id: int | None = None,
    value: str | None = None,
    detail: msgspec.Struct | None = None,
) -> None:
    """Record an event about a subscriber as they are now; `detail` is the thing itself as it is now."""
    assert name in NAMES or name in INNER, name  # noqa: S101 (our own mistake)
    snapshot = msgspec.json.encode(subscriber).decode()
    thing = None if detail is None else msgspec.json.encode(detail).decode()
    cause = msgspec.json.encode(origin).decode()
    told_at: int | None = tx.now
    if name in listened(tx):
        told_at = None
        tx.wake()
    tx.append(
        _RECORD,
        (tx.account_id, name, subscriber_id, subject_id, value, snapshot, thing, cause, tx.now, told_at),
    )


def listened(rx: Rx) -> frozenset[str]:
    """Return the names of the events that a webhook or a rule of the account waits for."""
    return rx.remember(_listened)


def _listened(rx: Rx) -> frozenset[str]:
    rows = rx.all(
        "SELECT name FROM listeners WHERE account_id = :account_id AND n > 0 LIMIT 100",
        account_id=rx.account_id,
    )
    return frozenset(row[0] for row in rows)


def listen(tx: Tx, name: str) -> None:
    """Note that one more webhook or rule waits for events of this name."""
    tx.run(
        "INSERT INTO listeners (account_id, name, n) VALUES (:account_id, :name, 1)"
        " ON CONFLICT (account_id, name) DO UPDATE SET n = listeners.n + 1",
        account_id=tx.account_id,
        name=name,
    )
    tx.redefine()


def unlisten(tx: Tx, name: str) -> None:
    """Note that one fewer waits for them."""
    tx.run(
        "UPDATE listeners SET n = n - 1 WHERE account_id = :account_id AND name = :name AND n > 0",
        account_id=tx.account_id,
        name=name,
    )
    tx.redefine()


def any_untold(rx: Rx) -> bool:
    """Say whether any account has an event to be told: one look at an index."""
    return rx.one("SELECT 1 FROM events WHERE told_at IS NULL LIMIT 1") is not None


def claim_untold(tx: Tx, limit: int = CLAIM) -> list[Event]:
    """Return untold events of all accounts, oldest first, and mark them told, in one transaction.

    Who claims must do all that follows from them in the same transaction.
    """
    rows = tx.all(
        f"SELECT {_COLUMNS}, account_id FROM events WHERE told_at IS NULL ORDER BY id LIMIT :limit"  # noqa: S608
        " {skip_locked}",
        limit=min(limit, CLAIM),
    )
    claimed = [Event(*row) for row in rows]
    for at in range(0, len(claimed), _AT_ONCE):
        some = [one.id for one in claimed[at : at + _AT_ONCE]]
        names = {f"id{n}": one for n, one in enumerate(some + some[-1:] * (_AT_ONCE - len(some)))}
        tx.run(_MARK_TOLD, now=tx.now, **names)
    return claimed


_AT_ONCE = 50
_MARK_TOLD = (
    "UPDATE events SET told_at = :now WHERE told_at IS NULL"  # noqa: S608 (our names)
    f" AND id IN ({', '.join(f':id{at}' for at in range(_AT_ONCE))})"
)


def of_subscriber(rx: Rx, subscriber_id: int, limit: int = 1_000) -> list[Event]:
    """Return a person's events, oldest first."""
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM events WHERE account_id = :account_id"  # noqa: S608 (our columns)
        " AND subscriber_id = :subscriber_id ORDER BY id LIMIT :limit",
        account_id=rx.account_id,
        subscriber_id=subscriber_id,
        limit=limit,
    )
    return [Event(*row) for row in rows]


# What people do by themselves; a click beside the first of its mail is known to the mail alone.
_ACTS = ("form_subscribe", "course_subscribe", "subscriber_activate", "purchase_create", "link_click")
_LAST_ACTS = (
    "SELECT subscriber_id, MAX(created_at) FROM events WHERE account_id = :account_id"  # noqa: S608 (our names)
    " AND subscriber_id > :after_id AND subscriber_id <= :until_id"
    f" AND name IN ({', '.join(repr(name) for name in _ACTS)})"
    " AND substr(cause, 1, 14) <> :by_rule AND substr(cause, 1, 16) <> :by_engine GROUP BY subscriber_id"
)


def last_acts(rx: Rx, after_id: int, until_id: int) -> dict[int, int]:
    """Return when the people of these ids last subscribed, clicked or bought; what a rule did is no act.

    Reads all their events: some thousand rows for a thousand people.
    """
    rows = rx.all(
        _LAST_ACTS,
        account_id=rx.account_id,
        after_id=after_id,
        until_id=until_id,
        by_rule='{"door":"rule"',
        by_engine='{"door":"engine"',
    )
    return dict(rows)
