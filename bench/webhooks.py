"""`python -m bench.webhooks [--notices N] [--database …] [--endpoints K]`: notices posted, signed and logged.

A real notifier with the guarded client into a sink of loopback, a process of its own; a bare aiohttp client
in a loop, as many requests at once, into the same sink in the same run is the limit that it stands beside.
"""

import argparse
import asyncio
import ipaddress
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
import uvloop

from tests.core.cast import rows
from tests.setup import postgres
from tidings.core import accounts, notices, webhooks
from tidings.core.accounts import INSTALLATION
from tidings.core.notices import Told
from tidings.engine.notifier import PER_ENDPOINT, Notifier
from tidings.outbound.client import Outbound
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Tx

KEY = b"bench" * 8
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
# As v3 says a subscriber with three fields.
BODY = json.dumps(
    {
        "subscriber": {
            "id": 1_234_567,
            "first_name": "Arya",
            "email_address": "arya@example.com",
            "state": "active",
            "created_at": "2026-08-01T12:00:00.000Z",
            "fields": {"last_name": "Stark", "city": "Winterfell", "birthday": None},
        }
    }
)
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\nok"


def main() -> int:
    """Measure once and print a row in Markdown."""
    parser = argparse.ArgumentParser(prog="bench.webhooks", description=__doc__)
    parser.add_argument("--notices", type=int, default=10_000)
    parser.add_argument("--database", default="sqlite", choices=("sqlite", "postgresql"))
    parser.add_argument("--endpoints", type=int, default=8)
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.sink:
        uvloop.run(_listen())
        return 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("TIDINGS_BENCH_DIR")) as folder, _sink() as port:
        # Each address of loopback is an endpoint of its own.
        urls = [f"http://127.0.0.{at + 1}:{port}/hook" for at in range(chosen.endpoints)]
        bare = uvloop.run(_bare(urls, chosen.notices))
        url = f"sqlite:///{folder}/bench.db"
        if chosen.database != "sqlite":
            url = postgres.fresh_database(postgres.shared_server())
        db = Database(url)
        try:
            migrate.migrate(db)
            _queue(db, urls, chosen.notices)
            ours = uvloop.run(_ours(db, chosen.notices))
            logged = rows(db, "SELECT COUNT(*) FROM notice_attempts WHERE status = 200")[0][0]
        finally:
            db.close()
    print(
        f"| {chosen.database} | {chosen.notices:,} to {chosen.endpoints} | {ours:,.0f}/s |"
        f" bare {bare:,.0f}/s | {ours / bare:.0%} |",
        flush=True,
    )
    return 0 if logged == chosen.notices else 1


def _queue(db: Database, urls: list[str], n: int) -> None:
    account_id = db.write_now(INSTALLATION, accounts.create, "Ada", "ada@example.com").account_id

    def verb(tx: Tx, first: int, until: int) -> None:
        hooks = webhooks.all_webhooks(tx) or [webhooks.create(tx, "subscriber_activate", url) for url in urls]
        for at in range(first, until):
            one = hooks[at % len(hooks)]
            notices.queue(tx, one, "subscriber_activate", BODY, event_id=at + 1, subscriber_id=1)

    for at in range(0, n, 1_000):
        db.write_now(account_id, verb, at, min(n, at + 1_000))


async def _ours(db: Database, n: int) -> float:
    """Return how many notices a second are posted and settled."""
    client = Outbound(allow=LOOPBACK)

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> Told:
        said = await client.post(url, body, headers)
        return Told(said.status, said.error, said.body, said.retry_after_s, said.took_ms)

    notifier = Notifier(db, post, KEY)
    began = time.perf_counter()
    while await notifier.step():
        pass
    while rows(db, "SELECT 1 FROM notices WHERE state <> 'told' LIMIT 1"):  # noqa: ASYNC110 (nobody says)
        await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    await notifier.close()
    await client.close()
    return n / took


async def _bare(urls: list[str], n: int) -> float:
    """Return how many requests a second a bare client makes in a loop."""
    left = iter(range(n))
    headers = {"content-type": "application/json"}
    body = BODY.encode()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def worker(url: str) -> None:
            for _ in left:
                async with session.post(url, data=body, headers=headers) as response:
                    await response.read()

        began = time.perf_counter()
        await asyncio.gather(*(worker(url) for url in urls for _ in range(PER_ENDPOINT)))
        return n / (time.perf_counter() - began)


class _Sink(asyncio.Protocol):
    """Answers each request that has come whole."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._transport.write(_ANSWER)  # type: ignore[attr-defined]


async def _listen() -> None:
    server = await asyncio.get_running_loop().create_server(_Sink, "0.0.0.0", 0, backlog=2_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def _sink() -> Iterator[int]:
    """Run the sink as a process; give its port."""
    command = [sys.executable, "-m", "bench.webhooks", "--sink"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    sys.exit(main())
