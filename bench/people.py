"""`python -m bench.people [--rows N …] [--database sqlite|postgresql …]`: questions about people.

An account of so many people with names and addresses as people have them, beside a second one whose
people lie between theirs. First the index of the search is laid, then each question is asked: the
median and the worst of `--times`, and how many queries it takes. Everything stays in a temporary folder.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.setup import postgres
from tests.web.asgi import call
from tidings.core import accounts, bulk, finding, forms, sequences, tags
from tidings.core.bulk import Chosen
from tidings.core.counters import BITS, DATED_BITS, DAY_MS
from tidings.core.finding import Query, laying
from tidings.core.search import blocks
from tidings.core.users import sessions
from tidings.store import ids, migrate
from tidings.store.db import Database
from tidings.store.definitions import Definitions
from tidings.store.tx import Rx, Tx
from tidings.tokens import Links
from tidings.web.dashboard.door import Door
from tidings.web.house import House

ROWS = (1_000, 1_000_000)
SLICE = 20_000
# One in so many is of the second account.
OTHERS = 50
STATES = ("active",) * 170 + ("cancelled",) * 16 + ("inactive",) * 10 + ("bounced",) * 3 + ("complained",)
SYLLABLES = (
    "an", "bel", "car", "dor", "el", "fin", "gre", "hol", "iri", "jon", "kat", "lu", "mar", "nor", "ol",
    "pet", "qui", "ros", "sam", "tho", "ul", "vic", "wen", "xan", "yas", "zo", "mi", "ra", "le", "ti", "na",
    "so", "ben", "da", "ka", "ne", "ro", "ma", "la", "ri",
)  # fmt: skip
DOMAINS = (
    ["gmail.com"] * 40 + ["yahoo.com"] * 10 + ["hotmail.com"] * 10 + ["outlook.com"] * 8 + ["icloud.com"] * 5
    + ["web.de", "gmx.de", "gmx.net"] * 3 + ["company{}.example"] * 18
)  # fmt: skip
PERSON = (
    "id",
    "account_id",
    "email",
    "email_key",
    "first_name",
    "state",
    "fields",
    "created_at",
    "updated_at",
)
JOINED = ("account_id", "subscriber_id", "{}_id", "subscriber_state", "confirmations", "created_at")
KEY = b"the master key of a measurement."
BULK_S = 5.0
SINCE = 1_700_000_000_000


class Filled:
    """An account of so many people, and what it has."""

    def __init__(self, db: Database, rows: int) -> None:
        self.rows = rows
        self.account = db.write_now(0, accounts.create, "Bench", "bench@example.com").account_id
        self.other = db.write_now(0, accounts.create, "Other", "other@example.com").account_id
        self.tags = [one.id for one in db.write_now(self.account, tags.create, ["half", "few", "fresh"])]
        plain = forms.FormSettings(name="Plain", confirmation="none")
        self.form = db.write_now(self.account, forms.create, plain)
        self.sequence = db.write_now(self.account, sequences.create, "Course")
        chance = random.Random(1)
        given = names(chance)
        for first in range(1, rows + 1, SLICE):
            last = min(first + SLICE - 1, rows)
            people = [(row_id, *next(given), chance.choice(STATES)) for row_id in range(first, last + 1)]
            self.last = people[-1]
            db.write_now(self.account, self._people, people, chance)
        for table in ("subscribers", "subscriptions"):
            ids.move_past(db, table, 10 * rows)
        for account in (self.account, self.other):
            db.write_now(account, _count)

    def _people(self, tx: Tx, people: list[tuple[int, str, str, str]], chance: random.Random) -> None:
        """Make people, each in the form, half of them with a tag, a fifth in the sequence."""
        marks = ", ".join(f":{name}" for name in PERSON)
        whose = [self.other if row_id % OTHERS == 0 else self.account for row_id, *_ in people]
        tx.load(
            f"INSERT INTO subscribers ({', '.join(PERSON)}) VALUES ({marks})",
            PERSON,
            [
                (row_id, account, email, email, name, state, "{}", SINCE + row_id, SINCE + row_id)
                for account, (row_id, email, name, state) in zip(whose, people, strict=True)
            ],
        )
        for kind, ref_id, share in (
            ("form", self.form, 1.0), ("tag", self.tags[0], 0.5), ("tag", self.tags[1], 0.002),
            ("sequence", self.sequence, 0.2),
        ):  # fmt: skip
            columns = tuple(one.format(kind) for one in JOINED)
            marks = ", ".join(f":{name}" for name in columns)
            tx.load(
                f"INSERT INTO subscriptions ({', '.join(columns)}) VALUES ({marks})",
                columns,
                [
                    (self.account, row_id, ref_id, state, 0, SINCE + row_id)
                    for account, (row_id, _, _, state) in zip(whose, people, strict=True)
                    if account == self.account and chance.random() < share
                ],
            )


def names(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Make addresses and first names, as many as are asked for; no address twice."""

    def word(size: int) -> str:
        return "".join(chance.choice(SYLLABLES) for _ in range(size))

    firsts = [word(chance.choice((1, 2, 2, 2, 3))).capitalize() for _ in range(800)]
    seen: set[str] = set()
    while True:
        first, last, way = chance.choice(firsts), word(chance.choice((2, 2, 3))), chance.random()
        domain = chance.choice(DOMAINS).format(chance.randrange(20_000))
        made = f"{first.lower()}.{last}" if way < 0.4 else f"{first.lower()}{last}{chance.randrange(1000)}"
        made = (
            made
            if way < 0.7
            else f"{last}{chance.randrange(100_000)}"
            if way < 0.9
            else f"{first[0].lower()}{last}"
        )
        email = f"{made}@{domain}"
        while email in seen:
            email = f"{made}{chance.randrange(10**6)}@{domain}"
        seen.add(email)
        yield email, first


def _count(tx: Tx) -> None:
    """Count people and subscriptions as core/counters does."""
    joined = [
        (kind, f"{kind}_id", "subscriptions", "subscriber_state") for kind in ("form", "tag", "sequence")
    ]
    for kind, ref, table, state in (("subscribers", "0", "subscribers", "state"), *joined):
        where = f" AND {ref} IS NOT NULL" if ref != "0" else ""
        for bucket, day, named in (
            ("-1", "0", kind),
            (f"id / {1 << BITS}", "0", kind),
            (f"id / {1 << DATED_BITS}", f"created_at / {DAY_MS}", f"{kind}.created"),
            (f"id / {1 << DATED_BITS}", f"created_at / {DAY_MS}", f"{kind}.updated"),
        ):
            if "." in named and kind != "subscribers":
                continue
            tx.run(
                "INSERT INTO counters (account_id, kind, ref_id, state, bucket, day, n)"
                f" SELECT :account_id, '{named}', ref, state, bucket, day, COUNT(*) FROM"
                f" (SELECT {ref} AS ref, {state} AS state, {bucket} AS bucket, {day} AS day FROM {table}"
                f" WHERE account_id = :account_id{where}) AS listed GROUP BY ref, state, bucket, day",
                account_id=tx.account_id,
            )


class Counting:
    """A session that counts what is asked of it."""

    def __init__(self, session: Any) -> None:
        self.asked = 0
        self._session = session

    def fetch(self, sql: str, params: dict[str, Any]) -> Any:
        self.asked += 1
        return self._session.fetch(sql, params)


Ask = Callable[[Rx], object]


def questions(filled: Filled) -> Iterator[tuple[str, Ask]]:
    """Yield what is asked, by its name."""

    def search(text: str, **more: Any) -> Ask:
        return lambda rx: finding.page(rx, Query(text=text, **more))

    def page(number: int = 1, **more: Any) -> Ask:
        return lambda rx: finding.page(rx, Query(**more), number=number)

    late = max(1, filled.rows // 50 * 8 // 10)
    thing = {"kind": "tag", "ref_id": filled.tags[0]}
    few = {"kind": "tag", "ref_id": filled.tags[1]}
    _, email, name, _ = filled.last
    yield "search: a word of nearly all (gmail.com)", search("gmail.com")
    yield "search: two letters (an)", search("an")
    yield "search: two rare letters (xq)", search("xq")
    yield f"search: a first name ({name})", search(name)
    yield "search: two words (mar gmail)", search("mar gmail")
    yield "search: digits (777)", search("777")
    yield "search: rare (quixanbel)", search("quixanbel")
    yield "search: nobody (zzzyx)", search("zzzyx")
    yield "search: frequent letters, nobody (maria.x@gmail.com)", search("maria.x@gmail.com")
    yield "search: a whole address", search(email)
    yield "search: common, state complained", search("gmail.com", state="complained")
    yield "search: common, state bounced", search("gmail.com", state="bounced")
    yield "search: common, state inactive", search("gmail.com", state="inactive")
    yield "search: a first name, half have the tag", search(name, **thing)
    yield "search: common, few have the tag", search("gmail.com", **few)
    yield "search: rare, state cancelled", search("quixan", state="cancelled")
    yield "list: everybody", page()
    yield "list: everybody, page at 80 %", page(late)
    yield "list: active", page(state="active")
    yield "list: active, page at 80 %", page(late * 8 // 10, state="active")
    yield "list: of a tag", page(**thing)
    yield "list: of a tag, page at 40 %", page(late // 2, **thing)
    yield "list: of a tag and bounced", page(state="bounced", **thing)
    yield (
        "list: of the form and active, page at 60 %",
        page(late * 3 // 4, state="active", kind="form", ref_id=filled.form),
    )
    yield "list: of the sequence", page(kind="sequence", ref_id=filled.sequence)


def addresses(filled: Filled) -> Iterator[str]:
    """Yield the pages that are timed."""
    person = filled.last[0] - 1
    yield from ("/subscribers", "/subscribers?page=9000", "/subscribers?state=active&page=3000")
    yield from (f"/subscribers?in=tag-{filled.tags[0]}", f"/subscribers?in=form-{filled.form}&state=bounced")
    yield from (f"/subscribers?q={word}" for word in ("mar", "777", "quixanbel", "zzzyx"))
    yield "/subscribers?q=gmail.com&state=inactive"
    yield from (f"/subscribers/{person}", f"/subscribers/{person}/mails")
    yield from (f"/subscribers/change?only=all&{of}" for of in ("state=active", "q=quixan", "q=mar"))
    yield "/subscribers/changes"


async def _pages(db: Database, filled: Filled, times: int) -> None:
    """Time whole pages, without HTTP."""
    db.pepper = KEY
    door = Door(House(db, Links("http://127.0.0.1", KEY), 0, sends_nothing=True))
    token = db.write_now(filled.account, sessions.link)
    answer = await call(door, "POST", f"/sign-in/{token}", {"sec-fetch-site": "same-origin"})
    browser = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
    print("\n| page | median | worst |\n|---|---|---|")
    for path in addresses(filled):
        took = []
        for _ in range(times):
            at = time.perf_counter()
            answer = await call(door, "GET", path, browser)
            took.append((time.perf_counter() - at) * 1e3)
        said = "" if answer.status == 200 else f" (answered {answer.status})"
        print(f"| {path}{said} | {statistics.median(took):.1f} ms | {max(took):.1f} ms |", flush=True)


def _bulk(db: Database, filled: Filled) -> None:
    """Tag active people for some seconds, slice by slice."""
    asked = db.write_now(
        filled.account, bulk.ask, "tag", Chosen(state="active"), asked_by="bench", expected=0,
        tag_id=filled.tags[2],
    )  # fmt: skip
    began, worst, n = time.perf_counter(), 0.0, 0
    while time.perf_counter() - began < BULK_S:
        change = db.read_now(filled.account, bulk.find, asked.id)
        if change.state != "waiting":
            break
        found = db.read_now(filled.account, bulk.look, change)
        at = time.perf_counter()
        db.write_now(filled.account, bulk.do, found)
        worst = max(worst, time.perf_counter() - at)
        n += len(found.ids)
    seconds = time.perf_counter() - began
    print(f"\n{n:,} people tagged at once, {n / seconds:,.0f}/s; the longest slice {worst * 1e3:.0f} ms\n")


def _laid(db: Database) -> tuple[int, float, float, float]:
    """Lay the whole index; return blocks, seconds in all, and the longest read and write."""
    began, n, read, kept = time.perf_counter(), 0, 0.0, 0.0
    after = 0
    while True:
        work = db.read_now(0, laying.due, after)
        if work is None or work.settled or work.unneeded:
            return n, time.perf_counter() - began, read, kept
        at = time.perf_counter()
        laid = db.read_now(work.account_id, laying.read, work)
        read = max(read, time.perf_counter() - at)
        assert laid is not None
        at = time.perf_counter()
        db.write_now(work.account_id, blocks.keep, laid)
        kept = max(kept, time.perf_counter() - at)
        n, after = n + 1, work.account_id


def _measure(kind: str, rows: int, folder: Path, times: int) -> None:
    url = f"sqlite:///{folder}/bench.db"
    server = None
    if kind != "sqlite":
        server = postgres.fresh_database(postgres.shared_server())
        url = server
    db = Database(url)
    try:
        migrate.migrate(db)
        filled = Filled(db, rows)
        size = _size(db, folder)
        n, seconds, read, kept = _laid(db)
        print(
            f"\n{kind}, {rows:,} people: {n} blocks laid in {seconds:.1f} s, the longest read"
            f" {read * 1e3:.0f} ms, the longest write {kept * 1e3:.0f} ms;"
            f" {_size(db, folder) - size:,.0f} MB beside {size:,.0f} MB\n"
        )
        db.refresh_statistics()
        print("| what | median | worst | queries |\n|---|---|---|---|")
        session = db.session(writer=False)
        for what, ask in questions(filled):
            counting = Counting(session)
            known = Definitions(stale_ms=10**9)
            took = []
            for _ in range(times):
                counting.asked = 0
                rx = Rx(counting, known, filled.account, db.clock())  # type: ignore[arg-type]
                at = time.perf_counter()
                session.reading(lambda ask=ask, rx=rx: ask(rx))
                took.append((time.perf_counter() - at) * 1e3)
            print(
                f"| {what} | {statistics.median(took):.1f} ms | {max(took):.1f} ms | {counting.asked} |",
                flush=True,
            )
        session.close()
        asyncio.run(_pages(db, filled, times))
        _bulk(db, filled)
    finally:
        db.close()
        if server:
            postgres.drop_database(server)


def _size(db: Database, folder: Path) -> float:
    """Return the megabytes of a database."""
    if not db.shared:
        return sum(one.stat().st_size for one in folder.iterdir()) / 1e6
    return int(db.read_now(0, lambda rx: rx.all("SELECT pg_database_size(current_database())"))[0][0]) / 1e6


def main() -> None:
    """Run the measurements and print tables in Markdown."""
    parser = argparse.ArgumentParser(prog="bench.people", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=list(ROWS))
    parser.add_argument("--database", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--times", type=int, default=15)
    chosen = parser.parse_args()
    for kind in chosen.database:
        for rows in chosen.rows:
            with tempfile.TemporaryDirectory(dir=os.environ.get("TIDINGS_BENCH_DIR")) as folder:
                _measure(kind, rows, Path(folder), chosen.times)


if __name__ == "__main__":
    main()
