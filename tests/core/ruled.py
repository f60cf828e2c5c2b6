"""What tests of rules say often: make one, let events be told, let runs be done, let a day go by."""

import json
from typing import Any

from tests.core.cast import Owner, rows
from tidings.core import automations, telling
from tidings.core.accounts import INSTALLATION
from tidings.core.automations import Action, Condition, Rule, Run, Trigger, Wish, walks
from tidings.core.events import Event
from tidings.core.subscribers import Subscriber
from tidings.store.db import Database

URL = "https://shop.example.com/in"
NOBODY_STEPS = 2_000


def shape(who: Subscriber) -> str:
    """A payload that names its person."""
    return json.dumps({"subscriber": {"email_address": who.email, "fields": who.fields}})


def event_shape(event: Event) -> str:
    """A payload for webhooks, which no test here looks at."""
    return json.dumps({"event": event.id})


def rule(
    db: Database,
    owner: Owner,
    trigger: Trigger,
    *actions: Action,
    conditions: tuple[Condition, ...] = (),
    name: str = "",
    enabled: bool = True,
) -> Rule:
    """Make a rule under a name of its own."""
    name = name or f"Rule {len(db.read_now(owner.id, automations.all_rules)) + 1}"
    wish = Wish(name, trigger, conditions, actions)
    return db.write_now(owner.id, automations.create, wish, enabled=enabled)


def tell(db: Database) -> int:
    """Let every event be told; return how many."""
    told = 0
    while some := db.write_now(INSTALLATION, telling.tell, event_shape):
        told += some
    return told


def do(db: Database) -> list[str]:
    """Do what is due, one after another; return how each ended."""
    due = db.read_now(INSTALLATION, automations.due, 1_000)
    return [db.write_now(one.account_id, automations.do, one.id, shape) for one in due]


def walk(db: Database) -> int:
    """Make every walk that is due, slice by slice; return how many slices."""
    slices = 0
    while waiting := db.read_now(INSTALLATION, walks.due):
        for one in waiting:
            found = db.read_now(one.account_id, walks.look, one)
            assert db.write_now(one.account_id, walks.keep, found)
            slices += 1
            assert slices < NOBODY_STEPS
    return slices


def settle(db: Database) -> list[str]:
    """Walk, tell and do until nothing follows any more; return how all runs ended."""
    walk(db)
    ended: list[str] = []
    for _ in range(NOBODY_STEPS):
        told = tell(db)
        done = do(db)
        ended += done
        if not told and not done:
            return ended
    raise AssertionError("rules go on for ever")


def runs(db: Database, owner: Owner, one: Rule) -> list[Run]:
    """Return a rule's runs, oldest first."""
    return db.read_now(owner.id, automations.page, one.id, limit=10_000)[::-1]


def states(db: Database, owner: Owner, one: Rule) -> list[str]:
    """Return how a rule's runs ended, oldest first."""
    return [run.state for run in runs(db, owner, one)]


def shown(db: Database, owner: Owner, one: Rule) -> automations.Shown:
    """Return a rule with its counts."""
    return db.read_now(owner.id, automations.show, one.id)


def mails(db: Database, occasion: str) -> list[tuple[Any, ...]]:
    """Return the deliveries of the occasions that begin so: whose, and their state."""
    return rows(
        db,
        "SELECT subscriber_id, state, lane FROM deliveries"
        " WHERE substr(occasion, 1, CAST(:n AS INTEGER)) = :occasion"
        " ORDER BY id",
        n=len(occasion),
        occasion=occasion,
    )


def posts(db: Database, one: Rule) -> list[dict[str, Any]]:
    """Return what a rule has posted, oldest first."""
    found = rows(
        db,
        "SELECT body FROM notices WHERE name = 'rule' AND webhook_id IN (SELECT id FROM webhooks"
        " WHERE rule_id = :id) ORDER BY id",
        id=one.id,
    )
    return [json.loads(str(row[0])) for row in found]


def notes(db: Database) -> list[tuple[Any, ...]]:
    """Return what the owner is told: subject and text."""
    return rows(db, "SELECT subject, text FROM owner_notes ORDER BY id")
