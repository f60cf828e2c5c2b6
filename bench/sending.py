"""`python -m bench.sending [--people N] [--database …] [--dkim] [--engines K] [--beside]`: a broadcast.

5 KB a message, personalised with five variables, every link tracked, pixel, list headers, the full
ledger, durable, into Debian's `smtp-sink`; `smtp-source` into the same sink in the same run is the
limit that it stands beside. Everything stays on loopback and ends by itself.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from bench import load
from bench.__main__ import server
from bench.fill import Filled
from tests.setup import postfix, postgres
from tidings.core import accounts, broadcasts, signing
from tidings.core.broadcasts import Draft
from tidings.mail.dkim import make_key as dkim_key
from tidings.store import migrate
from tidings.store.db import Database
from tidings.tokens import Links

KEY = "bench" * 8
# With layout, pixel and both parts this is 5 KB.
LINKS = 3
LIMIT_MESSAGES = 40_000
PATIENCE_S = 600.0


def main() -> int:
    """Send one broadcast and print a row in Markdown."""
    parser = argparse.ArgumentParser(prog="bench.sending", description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--database", default="sqlite", choices=("sqlite", "postgresql"))
    parser.add_argument("--dkim", action="store_true")
    parser.add_argument("--engines", type=int, default=1)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--beside", action="store_true", help="sign people up through HTTP meanwhile")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TIDINGS_BENCH_DIR")) as folder, _sink() as port:
        limit = _limit(port, chosen.connections)
        url = f"sqlite:///{folder}/bench.db"
        if chosen.database != "sqlite":
            url = postgres.fresh_database(postgres.shared_server())
        db = Database(url)
        try:
            migrate.migrate(db)
            account, broadcast = _written(db, chosen.people, dkim=chosen.dkim)
            with _signing_up(url, account, really=chosen.beside) as said:
                row = _sent(db, url, port, account, broadcast, chosen, limit)
            print(row + said(), flush=True)
        finally:
            db.close()
    return 0


def _sent(
    db: Database,
    url: str,
    port: int,
    filled: Filled,
    broadcast: int,
    chosen: argparse.Namespace,
    limit: float,
) -> str:
    """Let the engines send it; return the row."""
    account = filled.keys.account_id
    environment = {
        **os.environ,
        "TIDINGS_DATABASE": url,
        "TIDINGS_SMTP_URL": f"smtp://127.0.0.1:{port}?connections={chosen.connections}",
        "TIDINGS_LOG": "warning",
        "TIDINGS_MASTER_KEY": KEY,
        "TIDINGS_BASE_URL": "https://news.example.com",
    }
    command = [sys.executable, "-m", "tidings", "engine"]
    engines = [subprocess.Popen(command, env=environment) for _ in range(chosen.engines)]
    watched = [psutil.Process(one.pid) for one in engines]
    memory, first, fanned = 0, 0.0, 0.0
    began = time.perf_counter()
    try:
        while True:
            time.sleep(0.05)
            now = time.perf_counter()
            found = db.read_now(account, broadcasts.find, broadcast)
            memory = max(memory, *(one.memory_info().rss for one in watched))
            if found.settled and not first:
                first = now
            if found.fanned_at and not fanned:
                fanned = now
            if found.status == "completed" or now - began > PATIENCE_S or found.paused_at:
                break
    finally:
        ended = time.perf_counter()
        cpu = [sum(one.cpu_times()[:2]) for one in watched]
        for one in engines:
            one.terminate()
        for one in engines:
            one.wait(30)
    rate = found.sent / (ended - first) if first else 0.0
    what = f"{chosen.database}, {chosen.engines} engine(s), {'RSA-2048' if chosen.dkim else 'no DKIM'}"
    whole = f"{found.sent:,} of {chosen.people:,}"
    return (
        f"| {what} | {whole} | {rate:,.0f}/s | {limit:,.0f}/s | {rate / limit:.2f} |"
        f" {sum(cpu) / max(found.sent, 1) * 1e6:.0f} us | fan-out {fanned - began:.1f} s |"
        f" {memory / 1e6:.0f} MB | {found.status} {found.paused_why or ''}|"
    )


@contextmanager
def _signing_up(url: str, account: Filled, *, really: bool) -> Iterator[Callable[[], str]]:
    """Let 4 connections sign people up through HTTP until the end; says how long they waited."""
    if not really:
        yield lambda: ""
        return
    result: list[load.Result] = []
    over = threading.Event()

    def build(number: int) -> bytes:
        person = {"api_key": account.keys.api_key, "email": f"beside{number}-{time.time_ns()}@example.com"}
        time.sleep(0.002)
        return load.post(f"/v3/forms/{account.plain}/subscribe", json.dumps(person).encode())

    def until_over(port: int) -> None:
        while not over.is_set():
            result.append(load.run(port, build, connections=4, seconds=1.0))

    with server("tidings", url) as (port, _):
        worker = threading.Thread(target=until_over, args=(port,))
        worker.start()
        try:
            yield lambda: _waits(result)
        finally:
            over.set()
            worker.join()


def _waits(results: list[load.Result]) -> str:
    waits = sorted(one for each in results for one in each.latencies)
    if not waits:
        return " no sign-ups |"
    p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    return f" {len(waits):,} sign-ups beside it: p50 {p50:.1f}, p99 {p99:.1f}, max {waits[-1]:.1f} ms |"


def _written(db: Database, people: int, *, dkim: bool) -> tuple[Filled, int]:
    """Fill the database and write a broadcast that is due; return who has it, and its id."""
    filled = Filled(db, people)
    account = filled.keys.account_id
    db.write_now(account, accounts.describe, postal_address="1 Main Street, Springfield")
    if dkim:
        links = Links("https://news.example.com", KEY.encode())
        db.write_now(account, signing.create, links, "example.com", "bench", dkim_key("rsa"))
    link = '<p>{words} <a href="https://example.com/{n}?source=letter">link {n}</a></p>'
    words = "Winter is coming, and with it another letter about what we made this month."
    content = (
        "<h1>Hello {{ subscriber.first_name | default: 'friend' }}</h1>"
        "<p>{{ subscriber.last_name }} of {{ subscriber.city }}, we wrote to"
        " {{ subscriber.email_address }}.</p>"
        + "".join(link.format(words=words, n=n) for n in range(LINKS))
        + "<p>Yours, {{ account.name }}</p>"
    )
    draft = Draft(subject="News for {{ subscriber.first_name }}", content=content, send_at=1)
    return filled, db.write_now(account, broadcasts.create, draft, "bench@example.com").id


@contextmanager
def _sink() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command, environment = postfix.program("smtp-sink")
    # As root it wants another user to become; -c would print each message.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen([*command, *user, f"127.0.0.1:{port}", "1000"], env=environment)
    try:
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield port
    finally:
        sink.terminate()
        sink.wait(10)


def _limit(port: int, connections: int) -> float:
    """Return how many messages of 5 KB a second smtp-source gets into the same sink."""
    command, environment = postfix.program("smtp-source")
    wanted = ["-s", str(connections), "-m", str(LIMIT_MESSAGES), "-l", "5000", "-d"]
    addresses = ["-f", "bench@example.com", "-t", "person@example.com", f"127.0.0.1:{port}"]
    began = time.perf_counter()
    subprocess.run([*command, *wanted, *addresses], env=environment, check=True, timeout=120)
    return LIMIT_MESSAGES / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
