"""Many rows of everything in a filled account, fast: for what must not grow with them, and for looks.

Rows that hang on something hang on the samples that pages show (`samples.IDS`): the first person, form,
sequence, broadcast, webhook and rule. Counters of what is made by plain SQL are not kept.
"""

from collections.abc import Mapping
from typing import Final

from tidings.core import (
    audit,
    custom_fields,
    forms,
    outbox,
    purchases,
    sequences,
    snippets,
    tags,
    users,
    webhooks,
)
from tidings.core import automations as rules
from tidings.core import broadcasts as letters
from tidings.core.audit import Actor
from tidings.core.automations import Action, Trigger, Wish
from tidings.core.broadcasts import Draft
from tidings.core.events import Origin
from tidings.core.sequences import SequenceEmail
from tidings.core.users import sessions
from tidings.store.db import Database
from tidings.store.tx import Tx

# What an account may have at most of it (each verb refuses more).
FIELDS: Final = 110
MEMBERS: Final = 80
SNIPPETS: Final = 180
SESSIONS: Final = 40
EMAILS: Final = 300
_NUMBERS: Final = (
    "WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :n)"
)


def crowd(db: Database, account_id: int, n: int) -> None:
    """Add so many of everything that a page lists, or as many as there may be."""
    for verb in (_things, _written, _automatic, _users, _rows):
        db.write_now(account_id, verb, n)


def _things(tx: Tx, n: int) -> None:
    made = tags.create(tx, [f"Tag number {at}" for at in range(n)])
    custom_fields.create(tx, [f"Field number {at}" for at in range(min(n, FIELDS))])
    for at in range(n):
        forms.create(tx, forms.FormSettings(name=f"Form number {at}"))
        sequences.create(tx, f"Sequence number {at}")
    for at in range(min(n, SNIPPETS)):
        snippets.put(tx, f"snippet_{at}", "<p>Words</p>")
    first = _one(tx, "sequences")
    emails = [SequenceEmail(f"Letter {at}", "<p>Words</p>", 86_400_000) for at in range(min(n, EMAILS))]
    sequences.set_emails(tx, first, emails)
    for at, one in enumerate(made):
        tags.set_public(tx, one.id, public=at % 2 == 0)


def _written(tx: Tx, n: int) -> None:
    for at in range(n):
        draft = Draft(subject=f"Broadcast number {at}", content=f"<p>News {at}</p>", preheader="In short")
        status = ("completed", "draft", "completed")[at % 3]
        letters.create(tx, draft, "ada@example.com", status=status)
    email = f"p1.crowd{tx.account_id}@example.com"
    for at in range(n):
        order = purchases.Order(
            transaction_id=f"crowd {at}", email=email, total="9.00",
            products=[{"pid": "1", "lid": "1", "name": "A thing", "unit_price": "9.00", "quantity": 1}],
        )  # fmt: skip
        purchases.record(tx, order, Origin(door="api"))


def _automatic(tx: Tx, n: int) -> None:
    tag = _one(tx, "tags")
    for at in range(n):
        webhooks.create(tx, "subscriber_activate", f"https://hooks.example.com/{at}")
        wish = Wish(f"Rule number {at}", Trigger("tag_add", tag), (), (Action("add_tag", tag + 1),))
        rules.create(tx, wish, enabled=at % 2 == 0)


def _users(tx: Tx, n: int) -> None:
    owner = users.owner_of(tx).id
    for at in range(min(n, MEMBERS)):
        users.admit(tx, f"crowd{at}.{tx.account_id}@example.com", "viewer", name=f"Viewer {at}")
    for at in range(n):
        audit.note(tx, Actor(owner, "ada@example.com", "192.0.2.0/24"), "tag.create", f"Tag number {at}")
    for _ in range(min(n, SESSIONS)):
        sessions.begin(tx, owner, agent="Firefox", address="192.0.2.0/24")


def _rows(tx: Tx, n: int) -> None:
    """What loops and strangers write, by plain SQL."""
    person, letter, hook, rule = (_one(tx, one) for one in ("subscribers", "broadcasts", "webhooks", "rules"))
    mine = _one(tx, "deliveries", "subscriber_id", person)
    told = _one(tx, "notices", "webhook_id", hook)
    rows: Mapping[str, Mapping[str, object]] = {
        "deliveries": {
            "occasion": "'crowd:' || i", "subscriber_id": person, "lane": "'bulk'", "state": "'sent'",
            "attempts": 1, "due_at": 0, "settled_at": ":now", "reply": "'250 OK'", "created_at": ":now",
            "broadcast_id": letter, "opened_at": ":now",
        },
        "attempts": {
            "delivery_id": mine, "subscriber_id": person, "n": "i", "state": "'deferred'",
            "verdict": "'soft'",
            "reply": "'451 4.2.2 mailbox full'", "at": ":now",
        },
        "hits": {
            "delivery_id": mine, "subscriber_id": person, "at": ":now", "agent": "'Firefox'", "address": "''",
        },
        "links": {
            "owner": f"'broadcast:{letter}'", "url": "'https://example.com/' || i",
            "url_hash": "'crowd' || i",
            "clicks": "i", "unique_clicks": "i", "machine_clicks": 0, "created_at": ":now",
        },
        "events": {
            "name": "'subscriber_activate'", "subscriber_id": person, "snapshot": "'{}'",
            "cause": "'{\"door\":\"api\"}'", "created_at": ":now", "told_at": ":now",
        },
        "notices": {
            "webhook_id": hook, "event_id": "900000000 + i", "subscriber_id": person, "name": "'tag_add'",
            "body": "'{}'", "state": "'told'", "attempts": 1, "due_at": ":now", "created_at": ":now",
            "settled_at": ":now",
        },
        "notice_attempts": {
            "notice_id": told, "webhook_id": hook, "n": "i + 1", "at": ":now", "took_ms": 9, "status": 200,
            "error": "''", "answer": "'fine'",
        },
        "rule_runs": {
            "rule_id": rule, "subscriber_id": person, "occasion": "'crowd:' || i", "depth": 1,
            "state": "'done'",
            "due_at": ":now", "said": "'add the tag'", "created_at": ":now", "settled_at": ":now",
        },
        "imports": {
            "name": "'people ' || i || '.csv'", "digest": "'crowd' || i", "wishes": "'{}'", "state": "'done'",
            "place": 9, "made": 9, "changed": 0, "same": 0, "kept": 0, "rejected": 0, "created_at": ":now",
            "updated_at": ":now", "done_at": ":now",
        },
        "suppressions": {"digest": "'crowd' || i", "reason": "'erased'", "created_at": ":now"},
    }  # fmt: skip
    for table, values in rows.items():
        tx.run(
            f"INSERT INTO {table} (account_id, {', '.join(values)}) {_NUMBERS}"  # noqa: S608 (ours)
            f" SELECT :a, {', '.join(map(str, values.values()))} FROM n",
            a=tx.account_id,
            n=n,
            now=tx.now,
        )
    for at in range(min(n, outbox.KEPT)):
        outbox.keep(
            tx, 900_000_000 + at, f"p{at}@example.com", f"Letter {at}", b"Subject: Letter\r\n\r\nWords"
        )


def _one(tx: Tx, table: str, column: str = "account_id", value: int | None = None) -> int:
    """Return the first of a table, of those where a column has a value."""
    row = tx.one(
        f"SELECT MIN(id) FROM {table} WHERE account_id = :a AND {column} = :value",  # noqa: S608 (ours)
        a=tx.account_id,
        value=tx.account_id if value is None else value,
    )
    assert row is not None
    return int(row[0])
