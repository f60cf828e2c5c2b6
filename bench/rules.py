"""`python -m bench.rules [--database …] [--rules N] [--events N] [--runs N]`: rules, measured.

Events matched per second: tag_add events of one account with so many rules, of which one fits each event,
told in slices as the engine tells them, until their runs are rows. Runs per second: the engine's own loop
does them, each a tag, a condition and its end, durable in groups. Beside each stands the commits per
second of one empty verb after another, which is what the disk allows.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator

from tests.setup import postgres
from tidings.core import accounts, automations, events, signup, subscribers, tags, telling
from tidings.core.automations import Action, Condition, Trigger, Wish
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.core.subscribers import Subscriber
from tidings.engine.rules import Rules
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Tx

API = Origin("api", "203.0.113.7")
PEOPLE = 500


def main() -> int:
    """Run both and print rows in Markdown."""
    parser = argparse.ArgumentParser(prog="bench.rules", description=__doc__)
    parser.add_argument("--database", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--rules", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5_000)
    chosen = parser.parse_args()
    print("| database | what | rate |\n|---|---|---|")
    for kind in chosen.database:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TIDINGS_BENCH_DIR")) as folder:
            url = f"sqlite:///{folder}/bench.db"
            if kind != "sqlite":
                url = postgres.fresh_database(postgres.shared_server())
            db = Database(url)
            try:
                migrate.migrate(db)
                for row in _measured(db, chosen):
                    print(f"| {kind} | {row} |", flush=True)
            finally:
                db.close()
    return 0


def _measured(db: Database, chosen: argparse.Namespace) -> Iterator[str]:
    account, tag_ids, people = _filled(db, chosen.rules)
    yield f"durable commits, one after another | {_commits(db, account):,.0f}/s"
    _happen(db, account, people, tag_ids, chosen.events)
    began = time.perf_counter()
    told = 0
    while some := db.write_now(0, telling.tell, lambda _: "{}"):
        told += some
    spent = time.perf_counter() - began
    assert told == chosen.events
    yield f"events told and matched with {chosen.rules:,} rules | {told / spent:,.0f}/s"
    began = time.perf_counter()
    did = asyncio.run(_run(db, chosen.runs))
    yield f"runs done by the engine's loop | {did / (time.perf_counter() - began):,.0f}/s"


def _filled(db: Database, rules: int) -> tuple[int, list[int], list[Subscriber]]:
    """Make people, as many tags as rules, and a rule for each tag."""
    account = db.write_now(0, accounts.create, "Bench", "bench@example.com").account_id

    def made(tx: Tx) -> list[int]:
        ids = [one.id for one in tags.create(tx, [f"tag {n}" for n in range(rules)] + ["done"])]
        for n, tag_id in enumerate(ids[:-1]):
            conditions = (Condition("state", value="active"),)
            wish = Wish(f"rule {n}", Trigger("tag_add", tag_id), conditions, (Action("add_tag", ids[-1]),))
            automations.create(tx, wish)
        return ids[:-1]

    tag_ids = db.write_now(account, made)

    def joined(tx: Tx) -> list[Subscriber]:
        names = [subscribers.person(f"p{n}@example.com") for n in range(PEOPLE)]
        return [signup.sign_up(tx, "tag", tag_ids[0], one, Also(), API)[1] for one in names]

    people = db.write_now(account, joined)
    while db.write_now(0, telling.tell, lambda _: "{}"):
        pass
    return account, tag_ids, people


def _commits(db: Database, account: int) -> float:
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < 1:
        db.write_now(account, lambda tx: tx.run("UPDATE rules SET ran = ran WHERE id = 1"))
        done += 1
    return done / (time.perf_counter() - began)


def _happen(db: Database, account: int, people: list[Subscriber], tag_ids: list[int], number: int) -> None:
    def recorded(tx: Tx) -> None:
        for n in range(number):
            who = people[n % len(people)]
            events.record(tx, "tag_add", who, who.id, API, subject_id=tag_ids[n % len(tag_ids)])

    db.write_now(account, recorded)


async def _run(db: Database, most: int) -> int:
    loop, did = Rules(db, lambda _: "{}"), 0
    while did < most and (some := await loop.step()):
        did += some
    return did


if __name__ == "__main__":
    raise SystemExit(main())
