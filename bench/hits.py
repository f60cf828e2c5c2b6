"""`python -m bench.hits [--database …] [--mails N] [--seconds S]`: opens and clicks through HTTP, measured.

Every open and every click is of another mail. Clicks are answered after their commit; opens are kept in
sets once a second, so how many were really kept is counted at the end. Beside them stands the bare server.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator

from bench import load
from bench.__main__ import server
from bench.fill import Filled
from tests.setup import postgres
from tidings.core import broadcasts, tracking
from tidings.core.broadcasts import Draft
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Rx, Tx
from tidings.tokens import Links, link_ref

KEY = b"bench" * 8
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
SLICE = 50_000


def main() -> int:
    """Run both and print rows in Markdown."""
    parser = argparse.ArgumentParser(prog="bench.hits", description=__doc__)
    parser.add_argument("--database", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--mails", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    chosen = parser.parse_args()
    with server("bare") as (port, _):
        bare = load.run(port, lambda _: load.get("/"), seconds=chosen.seconds)
    print(f"\nBare server, a constant: {bare.rate:,.0f}/s\n")
    print("| database | what | rate | p50, p99 of 32 | kept |\n|---|---|---|---|---|")
    for kind in chosen.database:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TIDINGS_BENCH_DIR")) as folder:
            url = f"sqlite:///{folder}/bench.db"
            if kind != "sqlite":
                url = postgres.fresh_database(postgres.shared_server())
            for row in _measured(kind, url, chosen.mails, chosen.seconds):
                print(row, flush=True)
    return 0


def _measured(kind: str, url: str, mails: int, seconds: float) -> Iterator[str]:
    db = Database(url)
    try:
        migrate.migrate(db)
        account, first, ref = _written(db, mails)
        links = Links("", KEY)
        # Opens take the first half of the mails, clicks the second.
        half = mails // 2

        def asked(path: str) -> bytes:
            return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {AGENT}\r\n\r\n".encode()

        def opened(number: int) -> bytes:
            row = number % half
            return asked(links.open(links.track_token(account, first + row, row + 1)))

        def clicked(number: int) -> bytes:
            row = half + number % half
            return asked(links.click(links.track_token(account, first + row, row + 1), ref))

        with server("tidings", url) as (port, _):
            # The engine does so every ten seconds; there is none here.
            load.run(port, opened, seconds=0.5)
            time.sleep(2)
            db.refresh_statistics()
            for what, build in (("open", opened), ("click", clicked)):
                result = load.run(port, build, seconds=seconds)
                time.sleep(2.5)
                kept = db.read_now(account, _hits, what == "click")
                yield (
                    f"| {kind} | {what} | {result.rate:,.0f}/s | {result.percentile(0.5):.2f},"
                    f" {result.percentile(0.99):.2f} ms | {kept:,} of {result.requests:,} |"
                )
    finally:
        db.close()


def _written(db: Database, mails: int) -> tuple[int, int, str]:
    """Make people with one sent mail each; return account, first delivery and the link's reference."""
    filled = Filled(db, mails)
    account = filled.keys.account_id
    one = db.write_now(account, broadcasts.create, Draft(subject="News"), "bench@example.com").id
    for start in range(1, mails + 1, SLICE):
        db.write_now(account, _deliver, one, start, min(start + SLICE - 1, mails))
    first = db.read_now(account, _first)
    link = db.write_now(account, tracking.link_ids, f"broadcast:{one}", ["https://example.com/"])[0]
    return account, first, link_ref(KEY, account, link)


def _deliver(tx: Tx, broadcast_id: int, first: int, last: int) -> None:
    tx.run(
        "INSERT INTO deliveries (account_id, occasion, subscriber_id, broadcast_id, lane, state, attempts,"
        " due_at, handed_at, settled_at, created_at) SELECT :account_id, :occasion, id, :broadcast_id,"
        " 'bulk', 'sent', 1, 0, :then, :then, :then FROM subscribers WHERE account_id = :account_id"
        " AND id BETWEEN :first AND :last ORDER BY id",
        account_id=tx.account_id,
        occasion=f"broadcast:{broadcast_id}",
        broadcast_id=broadcast_id,
        then=tx.now - 3_600_000,
        first=first,
        last=last,
    )


def _first(rx: Rx) -> int:
    row = rx.one("SELECT MIN(id) FROM deliveries WHERE account_id = :account_id", account_id=rx.account_id)
    return int(row[0]) if row else 0


def _hits(rx: Rx, clicks: bool) -> int:
    which = "link_id IS NOT NULL" if clicks else "link_id IS NULL"
    row = rx.one(f"SELECT COUNT(*) FROM hits WHERE account_id = :a AND {which}", a=rx.account_id)
    return int(row[0]) if row else 0


if __name__ == "__main__":
    sys.exit(main())
