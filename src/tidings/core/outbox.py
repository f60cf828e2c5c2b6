"""The Outbox: mail that is kept here because no provider is set. Owns `outbox`."""

from collections.abc import Sequence
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.policy import compat32

import msgspec

from tidings.store.tx import Rx, Tx

KEPT = 1_000
PAGE = 50


class Kept(msgspec.Struct, frozen=True):
    """One kept mail."""

    id: int
    recipient: str
    subject: str
    created_at: int
    delivery_id: int


def keep(tx: Tx, delivery_id: int, recipient: str, subject: str, raw: bytes) -> None:
    """Keep a mail; the same delivery twice is kept once, and only the newest 1,000 stay."""
    if _insert(tx, delivery_id, recipient, subject, raw):
        _trim(tx)


def keep_all(tx: Tx, mails: Sequence[tuple[int, str, str, bytes]]) -> None:
    """Keep these mails (delivery, recipient, subject, raw) of the account."""
    # More than are kept would only push each other out.
    for delivery_id, recipient, subject, raw in mails[-KEPT:]:
        _insert(tx, delivery_id, recipient, subject, raw)
    _trim(tx)


def newest(rx: Rx, number: int = 1) -> list[Kept]:
    """Return one page of kept mail, newest first; at most 1,000 rows are there."""
    rows = rx.all(
        "SELECT id, recipient, subject, created_at, delivery_id FROM outbox WHERE account_id = :account_id"
        " ORDER BY id DESC LIMIT :limit OFFSET :skip",
        account_id=rx.account_id,
        limit=PAGE,
        skip=(number - 1) * PAGE,
    )
    return [Kept(*row) for row in rows]


def find(rx: Rx, mail_id: int) -> tuple[int, bytes] | None:
    """Return the delivery of a kept mail, and the mail as it would have gone over the wire."""
    row = rx.one(
        "SELECT delivery_id, raw FROM outbox WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=mail_id,
    )
    return (int(row[0]), bytes(row[1])) if row else None


def raw(rx: Rx, mail_id: int) -> bytes | None:
    """Return a kept mail as it would have gone over the wire."""
    row = rx.one(
        "SELECT raw FROM outbox WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=mail_id,
    )
    return bytes(row[0]) if row else None


def drop(tx: Tx, delivery_id: int) -> None:
    """Forget a kept mail by the number of its delivery; one that is not kept changes nothing."""
    tx.run(
        "DELETE FROM outbox WHERE account_id = :account_id AND delivery_id = :delivery_id",
        account_id=tx.account_id,
        delivery_id=delivery_id,
    )


def _insert(tx: Tx, delivery_id: int, recipient: str, subject: str, raw: bytes) -> bool:
    row = tx.one(
        "INSERT INTO outbox (account_id, delivery_id, recipient, subject, raw, created_at)"
        " VALUES (:account_id, :delivery_id, :recipient, :subject, :raw, :now)"
        " ON CONFLICT (account_id, delivery_id) DO NOTHING RETURNING id",
        account_id=tx.account_id,
        delivery_id=delivery_id,
        recipient=recipient,
        subject=_said(subject, raw),
        raw=raw,
        now=tx.now,
    )
    return row is not None


def _said(subject: str, raw: bytes) -> str:
    """Return the subject as this person gets it: one with Liquid in it is read from the mail itself."""
    if "{" not in subject:
        return subject
    head = raw.partition(b"\r\n\r\n")[0]
    try:
        field = BytesHeaderParser(policy=compat32).parsebytes(head)["Subject"]
        return str(make_header(decode_header(str(field)))).replace("\0", "") if field else subject
    except (ValueError, LookupError):
        return subject


def _trim(tx: Tx) -> None:
    tx.run(
        "DELETE FROM outbox WHERE account_id = :account_id AND id <= (SELECT id FROM outbox"
        " WHERE account_id = :account_id ORDER BY id DESC LIMIT 1 OFFSET :kept)",
        account_id=tx.account_id,
        kept=KEPT,
    )
