"""Fills a database for measurements: so many active people, each with a tag, by plain SQL.

Faster than signing them up (1,000,000 in seconds). The counters are counted afterwards, as
core/counters keeps them.
"""

from tidings.core import accounts, counters, custom_fields, forms, tags
from tidings.core.counters import BITS, DATED_BITS, DAY_MS
from tidings.store import ids
from tidings.store.db import Database
from tidings.store.tx import Tx

SLICE = 50_000
SPREAD_DAYS = 1_000


class Filled:
    """What the measurements need to know of a filled database."""

    def __init__(self, db: Database, people: int) -> None:
        self.people = people
        self.keys = db.write_now(0, accounts.create, "Bench", "bench@example.com")
        account = self.keys.account_id
        self.plain = db.write_now(
            account, forms.create, forms.FormSettings(name="Plain", confirmation="none")
        )
        self.double = db.write_now(account, forms.create, forms.FormSettings(name="Double"))
        self.tags = [one.id for one in db.write_now(account, tags.create, ["one", "two", "three"])]
        db.write_now(account, custom_fields.create, ["Last name", "City"])
        for first in range(1, people + 1, SLICE):
            db.write_now(account, _people, first, min(first + SLICE - 1, people), people, self.tags[0])
        for table in ("subscribers", "subscriptions"):
            ids.move_past(db, table, people)
        db.write_now(account, _count, self.tags[0])


def _people(tx: Tx, first: int, last: int, people: int, tag_id: int) -> None:
    """Make people with ids first to last: made over a thousand days, oldest first."""
    oldest = tx.now - SPREAD_DAYS * DAY_MS
    names = {"account_id": tx.account_id, "first": first, "last": last, "oldest": oldest, "tag_id": tag_id}
    numbers = (
        "WITH RECURSIVE n (i) AS"
        " (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
    )
    tx.run(
        f"{numbers} INSERT INTO subscribers (id, account_id, email, email_key, first_name, state, fields,"
        " created_at, updated_at, activated_at) SELECT i, :account_id, 'person' || i || '@example.com',"
        " 'person' || i || '@example.com', 'Person', 'active', '{\"1\":\"Snow\",\"2\":\"Winterfell\"}',"
        " :oldest + i * :step, :oldest + i * :step, :oldest + i * :step FROM n",
        step=max(1, SPREAD_DAYS * DAY_MS // (people + 1)),
        **{name: names[name] for name in ("account_id", "first", "last", "oldest")},
    )
    tx.run(
        f"{numbers} INSERT INTO subscriptions (id, account_id, subscriber_id, tag_id, subscriber_state,"
        " confirmations, created_at) SELECT i, :account_id, i, :tag_id, 'active', 0, :oldest FROM n",
        **names,
    )


def _count(tx: Tx, tag_id: int) -> None:
    """Count the people and the tag's subscriptions as core/counters does."""
    for kind, ref_id, table, bucket, day in (
        ("subscribers", 0, "subscribers", "-1", "0"),
        ("subscribers", 0, "subscribers", f"id / {1 << BITS}", "0"),
        ("subscribers.created", 0, "subscribers", f"id / {1 << DATED_BITS}", f"created_at / {DAY_MS}"),
        ("subscribers.updated", 0, "subscribers", f"id / {1 << DATED_BITS}", f"updated_at / {DAY_MS}"),
        ("tag", tag_id, "subscriptions", "-1", "0"),
        ("tag", tag_id, "subscriptions", f"id / {1 << BITS}", "0"),
    ):
        tx.run(
            "INSERT INTO counters (account_id, kind, ref_id, state, bucket, day, n)"
            f" SELECT :account_id, '{kind}', {ref_id}, 'active', bucket, day, COUNT(*) FROM"
            f" (SELECT {bucket} AS bucket, {day} AS day FROM {table} WHERE account_id = :account_id) AS rows"
            " GROUP BY bucket, day",
            account_id=tx.account_id,
        )
    assert counters.total(tx, "subscribers") >= 0
