"""Runs one notifier for the rigs, with a planted bug when asked: `noticed.py DATABASE [BUG]`.

It is the loop of the engine with the guarded client and nothing else. A rig that has never been red proves
nothing: each bug is one that it must see.
"""

import asyncio
import ipaddress
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tidings import failpoints
from tidings.core import notices
from tidings.core.notices import Notice, Outcome, Told
from tidings.engine import loop
from tidings.engine.notifier import Notifier
from tidings.outbound.client import Outbound
from tidings.store.db import Database
from tidings.store.tx import Tx

KEY = b"k" * 32
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
LEASE_MS = 2_000


def early() -> None:
    """Mark as told what is only claimed."""
    right = notices.claim

    def claim(tx: Tx, *args: Any, **options: Any) -> list[Notice]:
        claimed = right(tx, *args, **options)
        notices.settle(tx, [Outcome(one, "told", tx.now, Told(200)) for one in claimed])
        return claimed

    notices.claim = claim


def deaf() -> None:
    """Never take back what a dead notifier held."""
    notices.any_lapsed = lambda _: False


def renamed() -> None:
    """Give a notice another id in each process."""
    of_process = secrets.token_hex(4)
    Notice.message_id = property(lambda self: f"msg_{self.id}_{of_process}")  # type: ignore[assignment]


BUGS: dict[str, Callable[[], None]] = {bug.__name__: bug for bug in (early, deaf, renamed)}


async def run(db: Database) -> None:
    """Run the loop until told to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = Outbound(allow=LOOPBACK)

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> Told:
        said = await client.post(url, body, headers)
        return Told(said.status, said.error, said.body, said.retry_after_s, said.took_ms)

    notifier = Notifier(db, post, KEY, lease_ms=int(os.environ.get("TIDINGS_RIG_LEASE_MS", LEASE_MS)))
    heard = asyncio.Event()
    await asyncio.gather(loop.listen(db, [heard], stop), loop.run(notifier.step, heard, stop, idle=0.5))
    await notifier.close()
    await client.close()


if __name__ == "__main__":
    failpoints.arm(os.environ.get("TIDINGS_FAILPOINT", ""))
    if len(sys.argv) > 2:
        BUGS[sys.argv[2]]()
    database = Database(sys.argv[1])
    asyncio.run(run(database))
    database.close()
