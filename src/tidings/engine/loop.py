"""The one loop they all run in: do what is due, wait for a commit or a while, stop cleanly."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tidings.store.db import Database, Ear

log = logging.getLogger("tidings.engine")

# Behind the wake-ups: due times pass without any commit.
IDLE_SECONDS = 5.0
# After a failure of our own or of the database; a crash loop would only fill the log.
REST_SECONDS = 2.0

Step = Callable[[], Awaitable[int]]


async def run(step: Step, heard: asyncio.Event, stop: asyncio.Event, *, idle: float = IDLE_SECONDS) -> None:
    """Call `step` until `stop`; it returns how much it did, and 0 lets the loop wait."""
    while not stop.is_set():
        heard.clear()
        try:
            did = await step()
        except Exception:
            log.exception("a step of the engine failed; it is tried again")
            await _wait(stop, REST_SECONDS)
            continue
        if not did:
            await _either(heard, stop, idle)


async def listen(db: Database, heard: list[asyncio.Event], stop: asyncio.Event) -> None:
    """Set every event of `heard` whenever something was committed, by whatever process."""
    ear: Ear | None = None
    while not stop.is_set():
        try:
            ear = ear or db.ear()
            if ear.heard():
                for one in heard:
                    one.set()
        except Exception:
            log.exception("the engine cannot hear the database; it listens again")
            ear = None
            await _wait(stop, REST_SECONDS)
            continue
        await _wait(stop, ear.poll_seconds)
    if ear is not None:
        ear.close()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _either(heard: asyncio.Event, stop: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(heard.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
