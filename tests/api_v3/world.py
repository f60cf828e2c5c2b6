"""Two accounts with something of every kind, under ids, keys and times that never change.

Ada's ids are the constants here; Eve's account is built alike, 50 further on, and must see nothing of
hers. People have come on successive days, so that date filters have something to tell apart.
"""

from dataclasses import dataclass
from typing import Any

from tests.core.cast import DAY, Clock
from tidings.core import (
    accounts,
    broadcasts,
    custom_fields,
    forms,
    purchases,
    sequences,
    signup,
    subscribers,
    subscriptions,
    tags,
    webhooks,
)
from tidings.core.events import Origin
from tidings.core.forms import FormSettings
from tidings.core.purchases import Order
from tidings.core.signup import Also
from tidings.store import ids
from tidings.store.db import Database
from tidings.store.tx import Rx, Tx

# 2023-06-17T11:06:40Z: the day on which every test begins. People came on the days before.
START = 1_687_000_000_000
SOURCE = "API::V3::SubscriptionsController (external)"
ORIGIN = Origin("api", "203.0.113.7", SOURCE)
TABLES = ("forms", "sequences", "tags", "custom_fields", "subscribers", "broadcasts", "webhooks")
# What a refused request may write: it counts calls.
UNCHECKED = ("rate_windows",)
UNKNOWN = 9_999


@dataclass(frozen=True)
class Account:
    """One account: its credentials as parameters, and the ids of all it has."""

    name: str
    number: int
    shift: int = 0

    @property
    def key(self) -> dict[str, Any]:
        return {"api_key": f"{self.name.lower()}-public-key"}

    @property
    def secret(self) -> dict[str, Any]:
        return {"api_secret": f"{self.name.lower()}-very-secret"}

    @property
    def double(self) -> int:
        return 101 + self.shift

    @property
    def plain(self) -> int:
        return 102 + self.shift

    @property
    def hosted(self) -> int:
        return 103 + self.shift

    @property
    def sequence(self) -> int:
        return 201 + self.shift

    @property
    def repeating(self) -> int:
        return 202 + self.shift

    @property
    def tag(self) -> int:
        return 301 + self.shift

    @property
    def vip(self) -> int:
        return 302 + self.shift

    @property
    def last_name(self) -> int:
        return 401 + self.shift

    @property
    def size(self) -> int:
        return 402 + self.shift

    @property
    def bea(self) -> int:
        """Active."""
        return 501 + self.shift

    @property
    def cal(self) -> int:
        """Unconfirmed."""
        return 502 + self.shift

    @property
    def dee(self) -> int:
        """Bounced."""
        return 503 + self.shift

    @property
    def kim(self) -> int:
        """Unsubscribed."""
        return 504 + self.shift

    @property
    def draft(self) -> int:
        return 601 + self.shift

    @property
    def scheduled(self) -> int:
        return 602 + self.shift

    @property
    def sent(self) -> int:
        return 603 + self.shift

    @property
    def sending(self) -> int:
        return 604 + self.shift

    @property
    def hook(self) -> int:
        return 701 + self.shift

    @property
    def purchase(self) -> int:
        return 1 if self.number == 1 else 2

    def email(self, name: str) -> str:
        """Somebody's address; the same in both accounts."""
        return f"{name}@example.com"


ADA = Account("Ada", 1)
EVE = Account("Eve", 2, 50)


def build(db: Database, clock: Clock) -> None:
    """Fill an empty database; leaves the clock at START."""
    for account in (ADA, EVE):
        clock.now = START - 10 * DAY
        db.write_now(0, _open, account)
        db.write_now(account.number, _furnish, account)
        for one, invite in enumerate((_bea, _cal, _dee, _kim)):
            clock.now = START - (4 - one) * DAY
            db.write_now(account.number, invite, account)
        clock.now = START
        db.write_now(account.number, _unsubscribe, account)
        db.write_now(account.number, _write, account)
    for table in TABLES:
        highest = db.read_now(0, lambda rx, table=table: rx.one(f"SELECT MAX(id) FROM {table}"))  # noqa: S608 (tables of ours)
        if highest and highest[0]:
            ids.move_past(db, table, highest[0])


def _open(tx: Tx, account: Account) -> None:
    keys = accounts.create(
        tx,
        f"{account.name}'s letters",
        f"{account.name.lower()}@example.com",
        api_key=account.key["api_key"],
        api_secret=account.secret["api_secret"],
    )
    assert keys.account_id == account.number


def _furnish(tx: Tx, account: Account) -> None:
    look = {"title": "Letters", "description": "One a week", "format": "inline"}
    forms.create(tx, FormSettings(name="Double", **look), given_id=account.double)
    forms.create(tx, FormSettings(name="Plain", confirmation="none"), given_id=account.plain)
    old = FormSettings(name="Old page", type="hosted", confirmation="none", archived_at=START - DAY)
    forms.create(tx, old, given_id=account.hosted)
    # Chance has no place in a golden file.
    tx.run("UPDATE forms SET uid = 'uid-' || CAST(id AS TEXT) WHERE account_id = :id", id=account.number)
    sequences.create(tx, "Onboarding", given_id=account.sequence)
    sequences.create(tx, "Tips", hold=True, repeat=True, given_id=account.repeating)
    tags.create(tx, ["customer", "VIP"], ids=[account.tag, account.vip])
    custom_fields.create(tx, ["Last name", "Größe"], ids=[account.last_name, account.size])


def _join(tx: Tx, form_id: int, number: int, person: subscribers.Person, also: Also) -> None:
    """Sign somebody up under a given id, confirmed or not as the form asks."""
    state = "inactive" if forms.find(tx, form_id).confirmation == "double" else "active"
    subscribers.meet(tx, person, state, given_id=number)
    _, who = signup.sign_up(tx, "form", form_id, person, also, ORIGIN)
    assert who.id == number


def _bea(tx: Tx, account: Account) -> None:
    bea = subscribers.person(account.email("bea"), "Bea", {"last_name": "Ó Brien", "grosse": "7"})
    _join(tx, account.plain, account.bea, bea, Also(tags=[account.tag], sequences=[account.sequence]))


def _cal(tx: Tx, account: Account) -> None:
    _join(tx, account.double, account.cal, subscribers.person("Cal@Example.com"), Also(tags=[account.tag]))


def _dee(tx: Tx, account: Account) -> None:
    _join(tx, account.plain, account.dee, subscribers.person(account.email("dee"), "Dee"), Also())
    subscriptions.turn(tx, subscribers.get(tx, account.dee), "bounced")


def _kim(tx: Tx, account: Account) -> None:
    also = Also(tags=[account.tag, account.vip], sequences=[account.sequence])
    _join(tx, account.plain, account.kim, subscribers.person(account.email("kim"), "Kim"), also)


def _unsubscribe(tx: Tx, account: Account) -> None:
    signup.unsubscribe(tx, account.email("kim"), ORIGIN)


def _write(tx: Tx, account: Account) -> None:
    sender = f"{account.name.lower()}@example.com"
    made = [
        (account.draft, broadcasts.Draft(subject="First"), None),
        (account.scheduled, broadcasts.Draft(subject="Second", send_at=START + DAY), None),
        (account.sent, broadcasts.Draft(subject="Third", send_at=START - DAY), "completed"),
        (account.sending, broadcasts.Draft(subject="Fourth", send_at=START - DAY), "sending"),
    ]
    for number, draft, status in made:
        broadcasts.create(tx, draft, sender, given_id=number, status=status)
    tx.run(
        "UPDATE broadcasts SET recipients = 8, settled = 8, opens = 8, clicks = 1, total_clicks = 3,"
        " unsubscribes = 1 WHERE id = :id",
        id=account.sent,
    )
    webhooks.create(
        tx,
        "tag_add",
        "https://hooks.example/in",
        subject="tag_id",
        subject_id=account.tag,
        given_id=account.hook,
    )
    order = Order(
        transaction_id="order-1",
        email=account.email("bea"),
        total="20.1",
        products=[{"pid": "9", "lid": "1", "name": "Disk", "sku": None, "unit_price": 20.1}],
    )
    assert purchases.record(tx, order, ORIGIN).id == account.purchase


def dump(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table as (account, row), but for the counted calls."""
    return db.read_now(0, _dump_postgres if db.shared else _dump_sqlite)


def _dump_sqlite(rx: Rx) -> dict[str, list[tuple[Any, ...]]]:
    named = rx.all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    names = sorted(row[0] for row in named if row[0] not in UNCHECKED)
    return {name: sorted(rx.all(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608


def _dump_postgres(rx: Rx) -> dict[str, list[tuple[Any, ...]]]:
    """One question for all tables: thirty of them, after each of ten thousand calls, take minutes."""
    named = rx.all("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    names = [row[0] for row in named if row[0] not in UNCHECKED]
    every = " UNION ALL ".join(
        f"SELECT '{name}', {'0' if name == 'migrations' else 'account_id'}, {name}::text FROM {name}"  # noqa: S608
        for name in names
    )
    found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in names}
    for name, account_id, row in rx.all(every):
        found[name].append((account_id, row))
    return {name: sorted(rows) for name, rows in found.items()}


def rows_of(everything: dict[str, list[tuple[Any, ...]]], account: Account) -> dict[str, list[Any]]:
    """What of a dump belongs to one account: every table leads with `account_id`."""
    return {
        name: [row for row in rows if row[0] == account.number]
        for name, rows in everything.items()
        if name != "migrations"
    }
