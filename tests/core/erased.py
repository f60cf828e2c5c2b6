"""A person with a trace of every kind, and where in a database their words still are."""

import msgspec

from tests.core.cast import Clock, Owner, rows
from tidings.core import (
    broadcasts,
    confirmations,
    deliveries,
    erasure,
    events,
    outbox,
    preferences,
    purchases,
    signup,
    subscribers,
    subscriptions,
    tracking,
    trials,
)
from tidings.core.broadcasts import Draft
from tidings.core.deliveries import Outcome, Timing
from tidings.core.events import Origin
from tidings.core.purchases import Order
from tidings.core.signup import Also
from tidings.core.tracking import Hit
from tidings.store.db import Database
from tidings.store.tx import Tx

PEPPER = b"p" * 32
EMAIL = "canary.mail@example.com"
# What a person can fill in, or brings along; each is to be found nowhere afterwards.
WORDS = {
    "address": "canary.mail",
    "name": "Canaryname",
    "new name": "Canarysecond",
    "field": "Canarycity",
    "source": "canarysource",
    "referrer": "canaryreferrer",
    "ip": "203.0.113.77",
    "agent": "CanaryAgent",
    "reply": "canaryreply",
    "transaction": "canarytransaction",
    "subject": "Canarysubject",
    "answer": "canaryanswer",
    "said": "canarysaid",
    "note": "canary.mail@example.com",
}
ORIGIN = Origin("form", WORDS["ip"], WORDS["source"], WORDS["referrer"], "textversion")


def live(db: Database, owner: Owner, clock: Clock, email: str = EMAIL) -> int:
    """Let a person leave a trace of every kind there is; return their id."""
    person = subscribers.person(email, WORDS["name"], {"city": WORDS["field"]})
    also = Also(tags=[owner.tag], sequences=[owner.sequence])
    joined, who = db.write_now(owner.id, signup.sign_up, "form", owner.double, person, also, ORIGIN)
    clock.move(1_000)
    _mail(db, owner, f"confirm:{joined.id}:1", WORDS["reply"], clock)
    db.write_now(owner.id, confirmations.confirm, joined.id, clock.now, Origin("link", WORDS["ip"]))
    clock.move(1_000)
    db.write_now(
        owner.id,
        lambda tx: subscribers.update(tx, who.id, email=None, first_name=WORDS["new name"], fields={}),
    )
    db.write_now(owner.id, _click, who.id)
    order = Order(
        transaction_id=WORDS["transaction"],
        email=email,
        total="12.5",
        products=[{"pid": "p", "lid": "l", "name": "Book", "sku": "s", "unit_price": 12.5, "quantity": 1}],
    )
    db.write_now(owner.id, purchases.record, order, ORIGIN)
    clock.move(1_000)
    delivery_id = int(
        str(rows(db, "SELECT MAX(id) FROM deliveries WHERE subscriber_id = :id", id=who.id)[0][0])
    )
    db.write_now(owner.id, preferences.leave_all, who.id, delivery_id, preferences.PAGE, ORIGIN)
    db.write_now(owner.id, preferences.undo, who.id, delivery_id, ORIGIN)
    db.write_now(owner.id, _told, who.id)
    _tried(db, owner, who.id)
    clock.move(1_000)
    return who.id


def erase(db: Database, owner: Owner, subscriber_id: int) -> int:
    """Erase a person as the command does, to the last row."""
    erasure_id = db.write_now(owner.id, erasure.erase, subscriber_id, Origin("command"))
    while db.write_now(owner.id, erasure.step, erasure_id):
        pass
    return erasure_id


def tables(db: Database) -> list[str]:
    """Return the names of all tables, whichever database it is."""
    sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if db.shared:
        sql = "SELECT CAST(relname AS TEXT) FROM pg_stat_user_tables"
    return sorted(str(row[0]) for row in rows(db, sql))


def columns(db: Database, table: str) -> list[str]:
    """Return the names of a table's columns."""
    sql = "SELECT name FROM pragma_table_info(:name)"
    if db.shared:
        sql = "SELECT CAST(attname AS TEXT) FROM pg_attribute WHERE attrelid = CAST(:name AS regclass)"
    return [str(row[0]) for row in rows(db, sql, name=table)]


def pointing(db: Database, subscriber_id: int) -> list[str]:
    """Return the tables in which a row points at this person; what says that they were erased may."""
    found = []
    for table in tables(db):
        if table != "erasures" and "subscriber_id" in columns(db, table):
            sql = f"SELECT 1 FROM {table} WHERE subscriber_id = :id"  # noqa: S608 (our own tables)
            found += [table] if rows(db, sql, id=subscriber_id) else []
    return found


def traces(db: Database, words: list[str]) -> list[str]:
    """Return a line for every table and column that still holds one of the words, whatever their case."""
    found = []
    for table in tables(db):
        for row in rows(db, f"SELECT * FROM {table}"):  # noqa: S608 (our own tables)
            text = " ".join(_text(value) for value in row).casefold()
            found += [f"{table}: {word}" for word in words if word.casefold() in text]
    return sorted(set(found))


def _text(value: object) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


def _mail(db: Database, owner: Owner, occasion: str, reply: str, clock: Clock) -> None:
    """Let a queued mail be refused once and then kept in the Outbox."""
    timing = Timing()
    source = deliveries.Source(owner.id)
    for lease, state in ((1, "deferred"), (2, "sent")):
        clock.move(10_000)
        taken = db.write_now(
            owner.id, deliveries.claim, source, lane="now", limit=10, lease=lease, timing=timing
        )
        [one] = [each for each in taken if each.occasion == occasion]
        db.write_now(owner.id, deliveries.hand, [one], wanted="inactive")
        if state == "sent":
            raw = f"To: {EMAIL}\r\nSubject: {WORDS['subject']}\r\n\r\n{WORDS['name']}".encode()
            db.write_now(owner.id, outbox.keep, one.id, EMAIL, WORDS["subject"], raw)
        outcome = Outcome(one, state, reply, clock.now, verdict="temporary" if state == "deferred" else "")
        db.write_now(owner.id, deliveries.settle, [outcome])


def _tried(db: Database, owner: Owner, subscriber_id: int) -> None:
    """Test a broadcast as this person gets it, and send another test to their own address."""
    made = db.write_now(
        owner.id, broadcasts.create, Draft(subject="S", content="<p>Hi</p>"), "ada@example.com"
    ).id
    db.write_now(owner.id, trials.ask, made, ["me@example.com"], subscriber_id)
    db.write_now(owner.id, trials.ask, made, [EMAIL])
    raw = f"To: me@example.com\r\n\r\n{WORDS['name']}".encode()
    for one in db.write_now(0, trials.claim):
        db.write_now(owner.id, outbox.keep, one.delivery.id, one.address, "[Test] S", raw)


def _click(tx: Tx, subscriber_id: int) -> None:
    """Open and click the person's newest mail."""
    row = tx.one("SELECT MAX(id) FROM deliveries WHERE subscriber_id = :id", id=subscriber_id)
    assert row is not None
    occasion, _ = deliveries.origins(tx, [row[0]])[row[0]]
    [link_id] = tracking.link_ids(tx, tracking.owner_of(occasion), ["https://example.com/a"])
    link = tracking.link(tx, link_id)
    at = tx.now + 60_000
    hits = [
        Hit(row[0], subscriber_id, at, None, None, WORDS["agent"], WORDS["ip"]),
        Hit(row[0], subscriber_id, at, link, None, WORDS["agent"], WORDS["ip"]),
    ]
    tracking.record(tx, hits)


def _told(tx: Tx, subscriber_id: int) -> None:
    """Write what webhooks, rules and notes to the owner would have written about this person.

    By SQL: the test is of what erasure deletes, not of who writes it.
    """
    names = {"account_id": tx.account_id, "id": subscriber_id, "now": tx.now}
    who = subscribers.get(tx, subscriber_id)
    notice = tx.one(
        "INSERT INTO notices (account_id, webhook_id, event_id, subscriber_id, name, body, state, attempts,"
        " due_at, created_at) VALUES (:account_id, 1, :id, :id, 'tag_add', :body, 'told', 1, :now, :now)"
        " RETURNING id",
        body=msgspec.json.encode(who).decode(),
        **names,
    )
    assert notice is not None
    tx.run(
        "INSERT INTO notice_attempts (account_id, notice_id, webhook_id, n, at, took_ms, status, error,"
        " answer) VALUES (:account_id, :notice_id, 1, 1, :now, 5, 200, '', :answer)",
        account_id=tx.account_id,
        notice_id=notice[0],
        now=tx.now,
        answer=WORDS["answer"],
    )
    tx.run(
        "INSERT INTO rule_runs (account_id, rule_id, subscriber_id, occasion, depth, state, due_at, said,"
        " created_at) VALUES (:account_id, 1, :id, 'event:1', 0, 'done', :now, :said, :now)",
        said=WORDS["said"],
        **names,
    )
    tx.run(
        "INSERT INTO owner_notes (account_id, occasion, subject, text, state, attempts, due_at, created_at)"
        " VALUES (:account_id, 'rule:1:1', 'New', :text, 'sent', 1, :now, :now)",
        account_id=tx.account_id,
        now=tx.now,
        text=f"{who.email} bought something",
    )
    events.record(tx, "field_change", who, who.id, ORIGIN, value=WORDS["field"])
    subscriptions.tag_ids(tx, who.id)
