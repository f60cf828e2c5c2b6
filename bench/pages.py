"""`python -m bench.pages [--people N …] [--database sqlite|postgresql …] [--times N]`: the dashboard's pages.

Each GET page is asked for over HTTP, one after another on a kept connection, of an account with so many
people (`crowded`): median and 99th percentile of the whole answer, the number of queries, the bytes. The
limit is 50 ms for the median. The server runs in this process, so its work and ours share a core.
"""

import argparse
import http.client
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from urllib.parse import urlsplit

from bench.crowded import crowded
from tests.dashboard.browsing import served
from tests.dashboard.places import downloads, places
from tests.dashboard.queries import counted
from tests.dashboard.world import Account, World
from tests.setup import postgres
from tests.web.doors import KEY
from tidings.store import migrate
from tidings.store.db import Database

PEOPLE = (1_000, 1_000_000)
LIMIT_MS = 50.0
DAY_MS = 86_400_000


def main() -> int:
    """Run the measurements and print a table in Markdown; 1 where a page is slower than the limit."""
    parser = argparse.ArgumentParser(prog="bench.pages", description=__doc__)
    parser.add_argument("--people", type=int, nargs="*", default=list(PEOPLE))
    parser.add_argument("--database", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--times", type=int, default=50)
    chosen = parser.parse_args()
    slow = 0
    print("| database | people | page | median | p99 | queries | KB |\n|---|---|---|---|---|---|---|")
    for kind in chosen.database:
        for people in chosen.people:
            with _filled(kind, people) as world:
                slow += _measure(kind, people, world, chosen.times)
    print(f"\n{slow} of them slower than {LIMIT_MS:.0f} ms" if slow else "\nNone slower than the limit")
    return 1 if slow else 0


@contextmanager
def _filled(kind: str, people: int) -> Iterator[World]:
    folder = tempfile.TemporaryDirectory(dir=os.environ.get("TIDINGS_BENCH_DIR"))
    url = f"sqlite:///{folder.name}/tidings.db"
    if kind != "sqlite":
        url = postgres.fresh_database(postgres.shared_server())
    now = [time.time_ns() // 1_000_000 - 3 * DAY_MS]
    db = Database(url, clock=lambda: now[0], pepper=KEY)
    try:
        migrate.migrate(db)
        began = time.perf_counter()
        account = crowded(db, now, people)
        print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        yield World.of(db, account, Account(0))
    finally:
        db.close()
        if kind != "sqlite":
            postgres.drop_database(url)
        folder.cleanup()


def _measure(kind: str, people: int, world: World, times: int) -> int:
    """Print a row for each page; return how many are too slow."""
    slow = 0
    with served(world.db) as url:
        address = urlsplit(url)
        line = http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=60)
        cookie = {"cookie": f"tidings={world.ada.secrets['owner']}"}
        for place in [*places(world, url), *downloads(world, url)]:
            headers = cookie if place.signed_in else {}
            _ask(line, place.path, headers)
            took = sorted(_ask(line, place.path, headers)[0] for _ in range(times))
            with counted() as asked:
                _, size = _ask(line, place.path, headers)
            p99 = took[min(len(took) - 1, len(took) * 99 // 100)]
            slow += median(took) > LIMIT_MS
            mark = " **slow**" if median(took) > LIMIT_MS else ""
            print(
                f"| {kind} | {people:,} | {place.pattern} | {median(took):.1f} ms{mark} | {p99:.1f} ms |"
                f" {len(asked)} | {size / 1024:.0f} |",
                flush=True,
            )
        line.close()
    return slow


def _ask(line: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> tuple[float, int]:
    """Ask for a page; return how many milliseconds it took, and how many bytes it has."""
    at = time.perf_counter()
    line.request("GET", path, headers=headers)
    answer = line.getresponse()
    body = answer.read()
    took = (time.perf_counter() - at) * 1_000
    assert answer.status in (200, 404), (path, answer.status)
    return took, len(body)


if __name__ == "__main__":
    sys.exit(main())
