"""`python -m bench [--people N …] [--database sqlite|postgresql …] [--seconds S]`: the API, measured.

Each figure stands beside two limits measured in the same run: a bare server that answers a
constant (what HTTP allows), and the same question or verb in a loop without HTTP (what the
database allows). Load comes over 32 kept connections from this process, so server and load
share the machine's two cores. Everything stays on loopback and ends by itself.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench import load
from bench.direct import Direct
from bench.fill import Filled
from tests.setup import postgres
from tidings.store import migrate
from tidings.store.db import Database

PEOPLE = (1_000, 1_000_000)
Ask = Callable[[int], bytes]


def main() -> int:
    """Run the measurements and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--people", type=int, nargs="*", default=list(PEOPLE))
    parser.add_argument("--database", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--seconds", type=float, default=4.0)
    chosen = parser.parse_args()
    with server("bare") as (port, _):
        bare = load.run(port, lambda _: load.get("/"), seconds=chosen.seconds)
    print(f"\nBare server, a constant: {bare.rate:,.0f}/s, p50 {bare.percentile(0.5):.2f} ms\n")
    print("| database | people | what | rate | without HTTP | of it | p50, p99 of 32 | p50 of 1 | memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    wrong = 0
    for kind in chosen.database:
        for people in chosen.people:
            with tempfile.TemporaryDirectory(dir=os.environ.get("TIDINGS_BENCH_DIR")) as folder:
                wrong += _measure(kind, people, Path(folder), chosen.seconds)
    return 1 if wrong else 0


def _measure(kind: str, people: int, folder: Path, seconds: float) -> int:
    url = f"sqlite:///{folder}/bench.db"
    if kind != "sqlite":
        url = postgres.fresh_database(postgres.shared_server())
    db = Database(url)
    migrate.migrate(db)
    filled = Filled(db, people)
    limits = Direct(db, filled, seconds / 2).run()
    db.close()
    wrong = 0
    with server("tidings", url) as (port, process):
        for what, build in _requests(filled):
            result = load.run(port, build, seconds=seconds)
            alone = load.run(port, build, seconds=seconds / 4, connections=1)
            memory = process.memory_info().rss / 1e6
            limit = limits[what]
            print(
                f"| {kind} | {people:,} | {what} | {result.rate:,.0f}/s | {limit:,.0f}/s |"
                f" {result.rate / limit:.0%} |"
                f" {result.percentile(0.5):.2f}, {result.percentile(0.99):.2f} ms |"
                f" {alone.percentile(0.5):.2f} ms | {memory:.0f} MB |",
                flush=True,
            )
            wrong += sum(n for status, n in result.statuses.items() if status != 200)
    return wrong


def _requests(filled: Filled) -> Iterator[tuple[str, Ask]]:
    """Yield each measurement and how its requests are built."""
    secret, key, people = filled.keys.api_secret, filled.keys.api_key, filled.people
    chance = random.Random(1)
    late = max(1, people // 50 * 95 // 100)

    def get(path: str) -> Ask:
        return lambda _: load.get(f"{path}{'&' if '?' in path else '?'}api_secret={secret}")

    def subscribe(form: int, prefix: str, **more: object) -> Ask:
        # A prefix of its own for each pass: the one with a single connection meets new people too.
        mark = f"{prefix}{chance.randrange(10**9)}"

        def build(number: int) -> bytes:
            person = {"api_key": key, "email": f"{mark}-{number}-{time.time_ns()}@example.com", **more}
            return load.post(f"/v3/forms/{form}/subscribe", json.dumps(person).encode())

        return build

    def by_email(_: int) -> bytes:
        email = f"person{chance.randint(1, people)}%40example.com"
        return load.get(f"/v3/subscribers?email_address={email}&api_secret={secret}")

    def known(_: int) -> bytes:
        person = {"api_key": key, "email": f"person{chance.randint(1, people)}@example.com"}
        return load.post(f"/v3/forms/{filled.plain}/subscribe", json.dumps(person).encode())

    yield (
        "GET /subscribers/{id}",
        lambda _: load.get(f"/v3/subscribers/{chance.randint(1, people)}?api_secret={secret}"),
    )
    yield (
        "GET /subscribers?email_address=",
        by_email,
    )
    yield "GET /subscribers, first page", get("/v3/subscribers")
    yield "GET /subscribers, page at 95 %", get(f"/v3/subscribers?page={late}")
    yield "GET /subscribers?from=, page at 47 %", get(f"/v3/subscribers?from=2024-06-01&page={late // 2}")
    tagged = f"/v3/tags/{filled.tags[0]}/subscriptions"
    yield "GET /tags/{id}/subscriptions, first page", get(tagged)
    yield "GET /tags/{id}/subscriptions, page at 95 %", get(f"{tagged}?page={late}")
    yield "POST subscribe, new", subscribe(filled.plain, "n")
    yield "POST subscribe, new, double opt-in", subscribe(filled.double, "d")
    yield "POST subscribe, new, two tags", subscribe(filled.plain, "t", tags=filled.tags[1:])
    yield "POST subscribe, known", known


@contextmanager
def server(what: str, url: str = "") -> Iterator[tuple[int, psutil.Process]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "TIDINGS_PORT": str(port),
        "TIDINGS_DATABASE": url,
        "TIDINGS_RATE_LIMIT": "0",
        "TIDINGS_LOG": "warning",
        "TIDINGS_MASTER_KEY": "bench" * 8,
    }
    command = [sys.executable, "-m", "bench.serve", what, str(port)]
    server = subprocess.Popen(command, env=environment)
    try:
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield port, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    sys.exit(main())
