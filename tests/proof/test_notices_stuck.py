"""A thousand endpoints that never answer, and a good one: it is told at once, by the paper's bound (W4)."""

import asyncio
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.core.cast import rows
from tests.proof.noticed import KEY, LOOPBACK
from tests.setup import postgres
from tidings.core import accounts, notices, webhooks
from tidings.core.accounts import INSTALLATION
from tidings.core.notices import Told
from tidings.core.webhooks import Webhook
from tidings.engine import loop
from tidings.engine.notifier import Notifier
from tidings.outbound.client import Outbound
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Tx

STUCK = 1_000
# So late the good one may be at most.
LATE_MS = 5_000
# An event for the good one every 100 ms, for longer than a stuck post takes to be given up.
EVENTS = 200
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def many_files() -> None:
    """Let this process hold both ends of a thousand connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 10_000), most))


class _Answers(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if b"}" in data:
            self._transport.write(_ANSWER)  # type: ignore[attr-defined]


def _webhooks(tx: Tx, stuck: int, good: int) -> Webhook:
    """Make the stuck ones, each at an address of its own with three notices, and the good one."""
    for at in range(STUCK):
        url = f"http://127.1.{at // 250}.{at % 250 + 1}:{stuck}/"
        one = webhooks.create(tx, "purchase_create", url)
        for event_id in range(3):
            notices.queue(tx, one, "purchase_create", "{}", event_id=event_id, subscriber_id=None)
    return webhooks.create(tx, "purchase_create", f"http://127.0.0.1:{good}/")


def _queue(tx: Tx, webhook: Webhook, event_id: int) -> None:
    notices.queue(tx, webhook, "purchase_create", "{}", event_id=event_id, subscriber_id=None)


async def _beside(db: Database, account: int, *, client: Outbound) -> Webhook:
    """Run the notifier beside both kinds of receivers; return the good webhook."""
    running = asyncio.get_running_loop()
    stuck = await running.create_server(asyncio.Protocol, "0.0.0.0", 0, backlog=2_000)
    good = await running.create_server(_Answers, "127.0.0.1", 0)
    ports = [one.sockets[0].getsockname()[1] for one in (stuck, good)]
    webhook = await db.write(account, _webhooks, *ports)
    flying = 0

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> Told:
        nonlocal flying
        flying += 1
        try:
            said = await client.post(url, body, headers)
        finally:
            flying -= 1
        return Told(said.status, said.error, said.body, said.retry_after_s, said.took_ms)

    notifier = Notifier(db, post, KEY)
    heard, stop = asyncio.Event(), asyncio.Event()
    loops = [
        asyncio.create_task(loop.listen(db, [heard], stop)),
        asyncio.create_task(loop.run(notifier.step, heard, stop)),
    ]
    until = time.monotonic() + 30
    while flying < STUCK:
        assert time.monotonic() < until, f"only {flying} are on the wire"
        await asyncio.sleep(0.01)
    for event_id in range(EVENTS):
        await db.write(account, _queue, webhook, event_id)
        await asyncio.sleep(0.1)
    await asyncio.sleep(LATE_MS / 1_000)
    stop.set()
    await asyncio.gather(*loops)
    await client.close()
    await notifier.close()
    stuck.close()
    good.close()
    return webhook


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_a_good_endpoint_beside_a_thousand_stuck_ones_is_told_within_the_bound(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "WEBHOOKS_MAX", 2 * STUCK)
    url = f"sqlite:///{tmp_path}/notices.db"
    if kind == "postgresql":
        url = postgres.fresh_database(postgres.shared_server())
    db = Database(url)
    try:
        migrate.migrate(db)
        account = db.write_now(INSTALLATION, accounts.create, "Ada", "ada@example.com").account_id
        good = asyncio.run(_beside(db, account, client=Outbound(allow=LOOPBACK)))
        asked = "SELECT state, settled_at - created_at FROM notices WHERE webhook_id = :id"
        found = rows(db, asked, id=good.id)
        late = max(int(str(ms)) for state, ms in found if state == "told")
        print(f"{kind}: at most {late} ms late beside {STUCK} stuck ones")
        assert [state for state, _ in found] == ["told"] * EVENTS
        assert late <= LATE_MS
        asked = "SELECT COUNT(*) FROM notice_attempts WHERE webhook_id <> :id AND status IS NULL"
        assert int(str(rows(db, asked, id=good.id)[0][0])) >= STUCK
    finally:
        db.close()
