"""The engine: every loop, and what each is handed."""

import asyncio
import logging
import os
import resource
import signal
import threading
from collections.abc import Mapping

import uvloop

from tidings import failpoints, journal
from tidings.app.ground import (
    folder_of_backups,
    folder_of_files,
    installation,
    links,
    open_database,
)
from tidings.app.providers import OUTBOX, limits_of, providers_of
from tidings.core import heartbeats, pacing
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Timing
from tidings.core.notices import Told
from tidings.engine import loop, sender, upkeep
from tidings.engine.backups import HOUR_MS, Backups
from tidings.engine.bulk import Bulk
from tidings.engine.desk import Desk
from tidings.engine.erasing import Erasing
from tidings.engine.heart import Heart
from tidings.engine.indexing import Indexing
from tidings.engine.notifier import Notifier, Post
from tidings.engine.owner_notes import OwnerNotes
from tidings.engine.pace import Pace
from tidings.engine.room import Room
from tidings.engine.rules import Rules
from tidings.engine.scheduler import Scheduler
from tidings.engine.steps import Steps
from tidings.engine.teller import Teller
from tidings.engine.trials import Trials
from tidings.engine.uploads import Uploads
from tidings.moving import uploaded
from tidings.outbound.client import Outbound
from tidings.settings import Settings
from tidings.store import migrate
from tidings.store.db import Database
from tidings.web.api_v3 import payloads

log = logging.getLogger("tidings")

DESCRIPTORS = 8_192


def run_engine(settings: Settings, *, supervised: bool = False) -> int:
    """Run the loops until told to stop; supervised, until standard input ends."""
    journal.start(settings.log)
    db = open_database(settings)
    try:
        migrate.check(db)
        uvloop.run(_loops(settings, db, supervised=supervised))
    finally:
        db.close()
    return 0


async def _loops(settings: Settings, db: Database, *, supervised: bool) -> None:
    stop = asyncio.Event()
    running = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(name, stop.set)
    if supervised:
        # The pipe ends with whoever started us, however they ended.
        threading.Thread(target=_until_end, args=(running, stop), daemon=True).start()
    failpoints.arm(settings.failpoint)
    _raise_descriptors()
    instance = installation(db)
    if held := await db.write(INSTALLATION, heartbeats.wake, "engine", instance):
        log.warning("overdue broadcasts are held", extra={"broadcasts": held})
    if why := await db.read(INSTALLATION, heartbeats.held):
        log.warning("nothing is sent until somebody says: tidings resume", extra={"reason": why})
    mail = _Mail(settings, db)
    outbound = Outbound(allow=settings.webhook_allow)
    notifier = Notifier(db, _posting(outbound), db.pepper)
    files = Uploads(db, uploaded, folder_of_files(db), stopping=stop.is_set)
    steps = [
        *(_unless_held(db, step) for step in (*mail.steps(), notifier.step)),
        Steps(db).step,
        Teller(db, payloads.of_event).step,
        Rules(db, payloads.of_subscriber).step,
        Erasing(db).step,
        Indexing(db).step,
        Bulk(db).step,
        upkeep.Upkeep(db, keep_days=settings.keep_deliveries).step,
        files.look,
        files.bring,
        *_backups(settings, db),
    ]
    heard = [asyncio.Event() for _ in steps]
    beat = Heart(db, mail.senders, instance, mail.timing)
    await asyncio.gather(
        loop.listen(db, heard, stop),
        loop.run(beat.step, asyncio.Event(), stop, idle=beat.pause_s),
        *(loop.run(step, event, stop) for step, event in zip(steps, heard, strict=True)),
    )
    await asyncio.gather(mail.close(), notifier.close())
    await outbound.close()


def _unless_held(db: Database, step: loop.Step) -> loop.Step:
    """Return a step that does nothing while this is a restored copy that nobody has looked at."""

    async def free() -> int:
        if await db.read(INSTALLATION, heartbeats.held):
            return 0
        return await step()

    return free


def _backups(settings: Settings, db: Database) -> list[loop.Step]:
    """Return the steps that make backups: by themselves where that is set, and when asked."""
    every_ms = max(settings.backup_every, 1) * HOUR_MS if settings.backup else 0
    work = Backups(db, folder_of_backups(settings, db), every_ms=every_ms, keep=settings.backup_keep)
    return [work.step, work.asked]


class _Mail:
    """What makes and sends mail."""

    def __init__(self, settings: Settings, db: Database) -> None:
        outbox = settings.smtp_url == OUTBOX
        self.timing = Timing(settings.lease * 1_000, settings.uncertain_wait * 1_000)
        ours = links(settings, db)
        self._desk = Desk(db, ours, outbox=outbox)
        self._hands = providers_of(settings, db)
        room = None if db.shared else Room(db.folder, settings.free_space * 1_000_000)
        limits = limits_of(settings)
        self.senders = []
        for lane, one in self._hands.items():
            rests = limits is not None and lane == "bulk"
            pace = Pace(db, limits or pacing.Limits(), lane=lane, rests=rests, room=room)
            self.senders.append(
                sender.Sender(
                    db, self._desk, one.send, timing=self.timing, lane=lane, width=one.width, pace=pace
                )
            )
        self._scheduler = Scheduler(db, self._desk, self.timing, outbox=outbox)
        self._notes = OwnerNotes(db, self._hands["now"].send)
        self._trials = Trials(db, self._desk, ours, self._hands["now"].send)

    def steps(self) -> list[loop.Step]:
        """Return the steps of its loops."""
        return [
            *(one.step for one in self.senders),
            self._scheduler.step,
            self._notes.step,
            self._trials.step,
        ]

    async def close(self) -> None:
        """Let what is handed come to its end."""
        for one in self.senders:
            await one.close()
        for hand in self._hands.values():
            await hand.close()
        await self._desk.close()


def _posting(outbound: Outbound) -> Post:
    """Return how a notice is posted: by the guarded client, its answer in the notices' words."""

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> Told:
        said = await outbound.post(url, body, headers)
        return Told(said.status, said.error, said.body, said.retry_after_s, said.took_ms)

    return post


def _raise_descriptors() -> None:
    """Take as many file descriptors as the system allows: 2,000 webhooks at once need as many sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _until_end(running: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Not through sys.stdin: its lock, held here, would crash the interpreter's shutdown.
    while os.read(0, 4_096):
        pass
    running.call_soon_threadsafe(stop.set)
