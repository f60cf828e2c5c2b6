"""Exporting: all that is kept of one person, table by table, a slice at a time.

The names are those of the columns; times are epoch ms. Whoever wants it whole joins the slices;
whoever writes it to a file keeps one of them in memory at a time.
"""

import base64
from typing import Any

from tidings.core import custom_fields, subscribers, suppressions
from tidings.errors import NotFound
from tidings.mail import address
from tidings.store.tx import Rx

# Rows of one slice. A mail in the Outbox may have megabytes: of those fewer at a time.
SLICE = 200
SLICE_OF_COPIES = 5

_OF_PERSON = (
    " WHERE account_id = :account_id AND subscriber_id = :id AND id > :after_id ORDER BY id LIMIT :limit"
)
_HANGING = " WHERE its.account_id = :account_id AND its.subscriber_id = :id AND one.id > :after_id"
_LAST = " ORDER BY one.id LIMIT :limit"

_COLUMNS = {
    "subscriptions": (
        "id, form_id, sequence_id, tag_id, subscriber_state, source, referrer, confirmations, created_at,"
        " ended_at, confirmed_at"
    ),
    "sequences": (
        "id, sequence_id, n, email_id, position, had, since_at, next_at, state, created_at, updated_at,"
        " completed_at, ended_at"
    ),
    "deliveries": (
        "id, occasion, lane, state, attempts, ambiguous, due_at, handed_at, settled_at, reply, opened_at,"
        " clicked_at, machine_opened_at, machine_clicked_at, created_at"
    ),
    "attempts": "one.id, one.delivery_id, one.n, one.state, one.verdict, one.reply, one.at",
    "copies": "one.id, one.delivery_id, one.recipient, one.subject, one.raw, one.created_at",
    "hits": "id, delivery_id, link_id, at, machine, agent, address",
    "events": "id, name, subject_id, value, snapshot, detail, cause, created_at, told_at",
    "purchases": (
        "id, transaction_id, email, status, currency, subtotal, discount, tax, shipping, total,"
        " transaction_at, integration, created_at, updated_at"
    ),
    "products": "one.id, one.purchase_id, one.pid, one.lid, one.name, one.sku, one.unit_price, one.quantity",
    "leaves": "id, delivery_id, way, state_before, created_at, undone_at",
    "notices": "id, webhook_id, event_id, name, body, state, attempts, created_at, settled_at",
    "answers": "one.id, one.notice_id, one.n, one.at, one.status, one.error, one.answer",
    "rule_runs": "id, rule_id, occasion, event_id, state, due_at, said, created_at, settled_at",
}
# The parts of an export, in their order; each is a list of rows.
PARTS = tuple(_COLUMNS)
_SQL = {
    "subscriptions": f"SELECT {_COLUMNS['subscriptions']} FROM subscriptions{_OF_PERSON}",  # noqa: S608 (constants)
    "sequences": f"SELECT {_COLUMNS['sequences']} FROM entries{_OF_PERSON}",  # noqa: S608 (constants)
    "deliveries": f"SELECT {_COLUMNS['deliveries']} FROM deliveries{_OF_PERSON}",  # noqa: S608 (constants)
    "attempts": (
        f"SELECT {_COLUMNS['attempts']} FROM deliveries AS its JOIN attempts AS one"  # noqa: S608 (constants)
        f" ON one.account_id = its.account_id AND one.delivery_id = its.id{_HANGING}{_LAST}"
    ),
    "copies": (
        f"SELECT {_COLUMNS['copies']} FROM deliveries AS its JOIN outbox AS one"  # noqa: S608 (constants)
        f" ON one.account_id = its.account_id AND one.delivery_id = its.id{_HANGING}{_LAST}"
    ),
    "hits": f"SELECT {_COLUMNS['hits']} FROM hits{_OF_PERSON}",  # noqa: S608 (constants)
    "events": f"SELECT {_COLUMNS['events']} FROM events{_OF_PERSON}",  # noqa: S608 (constants)
    "purchases": f"SELECT {_COLUMNS['purchases']} FROM purchases{_OF_PERSON}",  # noqa: S608 (constants)
    "products": (
        f"SELECT {_COLUMNS['products']} FROM purchases AS its JOIN purchase_products AS one"  # noqa: S608 (constants)
        f" ON one.account_id = its.account_id AND one.purchase_id = its.id{_HANGING}{_LAST}"
    ),
    "leaves": f"SELECT {_COLUMNS['leaves']} FROM leaves{_OF_PERSON}",  # noqa: S608 (constants)
    "notices": f"SELECT {_COLUMNS['notices']} FROM notices{_OF_PERSON}",  # noqa: S608 (constants)
    "answers": (
        f"SELECT {_COLUMNS['answers']} FROM notices AS its JOIN notice_attempts AS one"  # noqa: S608 (constants)
        f" ON one.account_id = its.account_id AND one.notice_id = its.id{_HANGING}{_LAST}"
    ),
    "rule_runs": f"SELECT {_COLUMNS['rule_runs']} FROM rule_runs{_OF_PERSON}",  # noqa: S608 (constants)
}


def person(rx: Rx, subscriber_id: int) -> dict[str, Any]:
    """Return what their own row says, with fields by their labels' keys, and whether they are held."""
    columns = (
        "id, email, first_name, state, fields, time_zone, created_at, updated_at, activated_at, cancelled_at,"
        " bounced_at, complained_at"
    )
    row = rx.one(
        f"SELECT {columns} FROM subscribers WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=subscriber_id,
    )
    if row is None:
        raise NotFound("subscriber")
    said: dict[str, Any] = dict(zip(_names(columns), row, strict=True))
    who = subscribers.get(rx, subscriber_id)
    said["fields"] = {
        one.key: {"label": one.label, "value": who.fields.get(one.key)}
        for one in custom_fields.all_fields(rx)
    }
    mailbox = address.parse(who.email).mailbox if who.email else ""
    return {
        "account_id": rx.account_id,
        "subscriber": said,
        "suppressed_since": suppressions.since(rx, mailbox) if suppressions.holds(rx, mailbox) else None,
        "confirmations_sent": _confirmations(rx, mailbox),
    }


def export_slice(rx: Rx, subscriber_id: int, part: str, after_id: int) -> list[dict[str, Any]]:
    """Return the next rows of a part after an id; none at its end."""
    rows = rx.all(
        _SQL[part],
        account_id=rx.account_id,
        id=subscriber_id,
        after_id=after_id,
        limit=SLICE_OF_COPIES if part == "copies" else SLICE,
    )
    names = _names(_COLUMNS[part])
    return [dict(zip(names, map(_plain, row), strict=True)) for row in rows]


def _confirmations(rx: Rx, mailbox: str) -> list[int]:
    """Return when the last mails went that asked this mailbox for a confirmation, newest first."""
    row = rx.one(
        "SELECT first_at, second_at, third_at FROM confirmation_caps"
        " WHERE account_id = 0 AND mailbox = :mailbox",
        mailbox=mailbox,
    )
    return [at for at in row if at] if row else []


def _names(columns: str) -> list[str]:
    return [one.strip().removeprefix("one.") for one in columns.split(",")]


def _plain(value: object) -> object:
    """Return a value as JSON can hold it: a mail is text where it can be, else base64."""
    if not isinstance(value, bytes | bytearray | memoryview):
        return value
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode()
