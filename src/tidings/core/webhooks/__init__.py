"""Webhooks: which event is told to which address. Owns `webhooks`.

Private and unresolvable addresses are accepted here and refused when something is
delivered: what a name means can change between the two. A webhook that is enabled counts in
`listeners`; one that belongs to a rule's action hears no event and stands in no list of v3.
"""

import re
from urllib.parse import urlsplit

import msgspec

from tidings.core import events
from tidings.errors import Invalid, NotFound
from tidings.store.tx import Row, Rx, Tx

URL_MAX = 2_048
WEBHOOKS_MAX = 1_000
# So long the key before signs too.
ROTATION_MS = 24 * 3_600_000
WHY_MAX = 500
# The event of a webhook that belongs to a rule.
OF_RULE = "rule"
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
    """One webhook; `subject` is the name of what it needs, as it was given.

    Times are epoch ms. `key_n` numbers its key; until `key_until_at` the one before signs too.
    `failing_since_at` is the first failure since the last success.
    """

    id: int
    event: str
    subject: str | None
    subject_id: int | None
    value: str | None
    target_url: str
    key_n: int = 1
    key_until_at: int | None = None
    rule_id: int | None = None
    failing_since_at: int | None = None
    disabled_at: int | None = None
    disabled_why: str | None = None

    def signers(self, now: int) -> tuple[int, ...]:
        """Return the numbers of the keys that sign now, the newest first."""
        if self.key_until_at is not None and now < self.key_until_at:
            return self.key_n, self.key_n - 1
        return (self.key_n,)


_COLUMNS = ", ".join(Webhook.__struct_fields__)


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
    there = tx.one(
        "SELECT COUNT(*) FROM webhooks WHERE account_id = :account_id AND rule_id IS NULL",
        account_id=tx.account_id,
    )
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
    events.listen(tx, event)
    return find(tx, row[0])


def create_for_rule(tx: Tx, rule_id: int, target_url: str) -> Webhook:
    """Make the webhook of a rule's action: it hears no event, the rule posts to it."""
    check_target(target_url)
    row = tx.one(
        "INSERT INTO webhooks (account_id, event, target_url, rule_id, created_at)"
        " VALUES (:account_id, :event, :target_url, :rule_id, :now) RETURNING id",
        account_id=tx.account_id,
        event=OF_RULE,
        target_url=target_url,
        rule_id=rule_id,
        now=tx.now,
    )
    assert row is not None  # noqa: S101 (RETURNING)
    tx.redefine()
    return find(tx, row[0])


def find(rx: Rx, webhook_id: int) -> Webhook:
    """Return one webhook, or raise NotFound."""
    found = seen(rx, webhook_id)
    if found is None:
        raise NotFound("webhook")
    return found


def seen(rx: Rx, webhook_id: int) -> Webhook | None:
    """Return one webhook as it is at this moment; None when it is gone."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM webhooks WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=webhook_id,
    )
    return Webhook(*row) if row else None


def taken(rx: Rx, webhook_id: int) -> bool:
    """Say whether a webhook of any account has this id: ids are one row of numbers over all accounts."""
    return rx.one("SELECT 1 FROM webhooks WHERE id = :id", id=webhook_id) is not None


def delete(tx: Tx, webhook_id: int) -> None:
    """Delete a webhook, or raise NotFound; what waits for it is dropped by the engine, and not sent."""
    row = tx.one(
        "DELETE FROM webhooks WHERE account_id = :account_id AND id = :id AND rule_id IS NULL"
        " RETURNING event, disabled_at",
        account_id=tx.account_id,
        id=webhook_id,
    )
    if row is None:
        raise NotFound("webhook")
    if row[1] is None:
        events.unlisten(tx, row[0])
    tx.redefine()
    tx.wake()


def delete_of_rule(tx: Tx, rule_id: int) -> None:
    """Delete the webhooks of a rule's actions."""
    tx.run(
        "DELETE FROM webhooks WHERE account_id = :account_id AND rule_id = :rule_id",
        account_id=tx.account_id,
        rule_id=rule_id,
    )
    tx.redefine()
    tx.wake()


def all_webhooks(rx: Rx, *, of_rules: bool = False) -> list[Webhook]:
    """Return the account's webhooks, oldest first; with `of_rules` those of rules' actions as well."""
    return [one for one in _all(rx) if of_rules or one.rule_id is None]


def all_hearing(rx: Rx) -> list[Webhook]:
    """Return the webhooks that listen to events: enabled, and of no rule's action."""
    return [one for one in _all(rx) if one.disabled_at is None and one.rule_id is None]


def target(rx: Rx, webhook_id: int) -> str | None:
    """Return where a webhook's notices go, from memory; None when it is gone or disabled."""
    return rx.remember(_targets).get(webhook_id)


def rotate(tx: Tx, webhook_id: int) -> Webhook:
    """Give a webhook a fresh secret; the one before signs too for another 24 hours."""
    changed = tx.run(
        "UPDATE webhooks SET key_n = key_n + 1, key_until_at = :until"
        " WHERE account_id = :account_id AND id = :id",
        until=tx.now + ROTATION_MS,
        account_id=tx.account_id,
        id=webhook_id,
    )
    if not changed:
        raise NotFound("webhook")
    tx.redefine()
    return find(tx, webhook_id)


def enable(tx: Tx, webhook_id: int) -> bool:
    """Let a webhook hear again, without a past of failures; say whether it did not before."""
    row = tx.one(
        "UPDATE webhooks SET disabled_at = NULL, disabled_why = NULL, failing_since_at = NULL"
        " WHERE account_id = :account_id AND id = :id AND disabled_at IS NOT NULL RETURNING event, rule_id",
        account_id=tx.account_id,
        id=webhook_id,
    )
    if row is None:
        find(tx, webhook_id)
        return False
    if row[1] is None:
        events.listen(tx, row[0])
    tx.redefine()
    return True


def disable(tx: Tx, webhook_id: int, why: str) -> bool:
    """Let a webhook hear nothing more; what waits is dropped. Say whether it was enabled."""
    row = tx.one(
        "UPDATE webhooks SET disabled_at = :now, disabled_why = :why WHERE account_id = :account_id"
        " AND id = :id AND disabled_at IS NULL RETURNING event, rule_id",
        now=tx.now,
        why=why[:WHY_MAX],
        account_id=tx.account_id,
        id=webhook_id,
    )
    if row is None:
        find(tx, webhook_id)
        return False
    if row[1] is None:
        events.unlisten(tx, row[0])
    tx.redefine()
    tx.wake()
    return True


def went_well(tx: Tx, webhook_id: int) -> None:
    """Note a success after failures. No definition changes: who remembers a webhook may go on."""
    tx.run(
        "UPDATE webhooks SET failing_since_at = NULL WHERE account_id = :account_id AND id = :id"
        " AND failing_since_at IS NOT NULL",
        account_id=tx.account_id,
        id=webhook_id,
    )


def went_wrong(tx: Tx, webhook_id: int) -> int | None:
    """Note a failure; return since when nothing else was seen, None when the webhook is gone."""
    row = tx.one(
        "UPDATE webhooks SET failing_since_at = COALESCE(failing_since_at, :now)"
        " WHERE account_id = :account_id AND id = :id RETURNING failing_since_at",
        now=tx.now,
        account_id=tx.account_id,
        id=webhook_id,
    )
    return int(row[0]) if row else None


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


def _all(rx: Rx) -> list[Webhook]:
    rows: list[Row] = rx.all(
        f"SELECT {_COLUMNS} FROM webhooks WHERE account_id = :account_id ORDER BY id",  # noqa: S608
        account_id=rx.account_id,
    )
    return [Webhook(*row) for row in rows]


def _targets(rx: Rx) -> dict[int, str]:
    return {one.id: one.target_url for one in _all(rx) if one.disabled_at is None}
