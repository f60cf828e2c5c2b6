"""Webhooks: which event is told to which address. Owns `webhooks`.

Private and unresolvable addresses are accepted here and refused when something is
delivered: what a name means can change between the two.
"""

import re
from urllib.parse import urlsplit

import msgspec

from tidings.errors import Invalid, NotFound
from tidings.store.tx import Rx, Tx

URL_MAX = 2_048
WEBHOOKS_MAX = 1_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_URL = re.compile(r"[\x00-\x20\x7f-\x9f]")

# What each event needs beside its name: the first is how it is kept, any is accepted.
NEEDS: dict[str, tuple[str, ...]] = {
    "subscriber_activate": (),
    "subscriber_unsubscribe": (),
    "subscriber_bounce": (),
    "subscriber_complain": (),
    "form_subscribe": ("form_id",),
    "course_subscribe": ("course_id", "sequence_id"),
    "course_complete": ("course_id", "sequence_id"),
    "link_click": ("initiator_value",),
    "product_purchase": ("product_id",),
    "tag_add": ("tag_id",),
    "tag_remove": ("tag_id",),
    "purchase_create": (),
}


class Webhook(msgspec.Struct, frozen=True):
    """One webhook; `subject` is the name of what it needs, as it was given."""

    id: int
    event: str
    subject: str | None
    subject_id: int | None
    value: str | None
    target_url: str


def create(
    tx: Tx,
    event: str,
    target_url: str,
    *,
    subject: str | None = None,
    subject_id: int | None = None,
    value: str | None = None,
    given_id: int | None = None,
) -> Webhook:
    """Make a webhook; `subject` is one of what the event needs, or None."""
    if event not in NEEDS:
        raise Invalid("event", f"must be one of: {', '.join(NEEDS)}")
    needs = NEEDS[event]
    if needs and (subject not in needs or (subject_id is None and not value)):
        raise Invalid("event", f"{event} needs {' or '.join(needs)}")
    if value is not None and _CONTROL.search(value):
        raise Invalid("event", f"{subject} must not contain control characters")
    check_target(target_url)
    there = tx.one("SELECT COUNT(*) FROM webhooks WHERE account_id = :account_id", account_id=tx.account_id)
    if there and there[0] >= WEBHOOKS_MAX:
        raise Invalid("event", f"is one too many: an account can have at most {WEBHOOKS_MAX} webhooks")
    columns = "account_id, event, subject, subject_id, value, target_url, created_at"
    values = ":account_id, :event, :subject, :subject_id, :value, :target_url, :now"
    names = {
        "account_id": tx.account_id,
        "event": event,
        "subject": subject if needs else None,
        "subject_id": subject_id if needs else None,
        "value": value if needs else None,
        "target_url": target_url,
        "now": tx.now,
    }
    if given_id:
        names["id"] = given_id
        columns, values = "id, " + columns, ":id, " + values
    row = tx.one(f"INSERT INTO webhooks ({columns}) VALUES ({values}) RETURNING id", **names)  # noqa: S608
    assert row is not None  # noqa: S101 (RETURNING)
    tx.redefine()
    return find(tx, row[0])


def find(rx: Rx, webhook_id: int) -> Webhook:
    """Return one webhook, or raise NotFound."""
    row = rx.one(
        "SELECT id, event, subject, subject_id, value, target_url FROM webhooks"
        " WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=webhook_id,
    )
    if row is None:
        raise NotFound("webhook")
    return Webhook(*row)


def taken(rx: Rx, webhook_id: int) -> bool:
    """Say whether a webhook of any account has this id: ids are one row of numbers over all accounts."""
    return rx.one("SELECT 1 FROM webhooks WHERE id = :id", id=webhook_id) is not None


def delete(tx: Tx, webhook_id: int) -> None:
    """Delete a webhook, or raise NotFound."""
    gone = tx.run(
        "DELETE FROM webhooks WHERE account_id = :account_id AND id = :id",
        account_id=tx.account_id,
        id=webhook_id,
    )
    if not gone:
        raise NotFound("webhook")
    tx.redefine()


def all_webhooks(rx: Rx) -> list[Webhook]:
    """Return the account's webhooks, oldest first."""
    rows = rx.all(
        "SELECT id, event, subject, subject_id, value, target_url FROM webhooks"
        " WHERE account_id = :account_id ORDER BY id",
        account_id=rx.account_id,
    )
    return [Webhook(*row) for row in rows]


def check_target(target_url: str) -> None:
    """Refuse what can never be posted to; says nothing about whether it can be reached."""
    try:
        parts = urlsplit(target_url)
        port = parts.port
    except ValueError as problem:
        raise Invalid("target_url", "must be a valid http or https address") from problem
    fine = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not fine or _NOT_URL.search(target_url):
        raise Invalid("target_url", "must be a valid http or https address")
    if parts.username is not None or parts.password is not None:
        raise Invalid("target_url", "must not contain a user name or password")
    if len(target_url) > URL_MAX:
        raise Invalid("target_url", f"is too long (maximum is {URL_MAX} characters)")
