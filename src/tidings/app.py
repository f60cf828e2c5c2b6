"""Builds the house: settings, database, doors, loops. The only room that knows them all."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from tidings import declare, failpoints, journal, tokens
from tidings.core import accounts, deliveries, heartbeats, outbox, pacing
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Delivery, Letter, Outcome, Timing
from tidings.engine import loop, sender, upkeep
from tidings.engine.desk import Desk
from tidings.engine.heart import Heart
from tidings.engine.pace import Pace
from tidings.engine.room import Room
from tidings.engine.scheduler import Scheduler
from tidings.engine.steps import Steps
from tidings.mail import outcome, provider, smtp
from tidings.mail.classify import classify
from tidings.settings import Bad, Settings
from tidings.store import migrate
from tidings.store.db import Database, wall_clock
from tidings.supervise import Supervisor
from tidings.tokens import Links
from tidings.web import server
from tidings.web.api_v3 import shapes
from tidings.web.api_v3.door import Door as ApiDoor
from tidings.web.dashboard.door import Door as DashboardDoor
from tidings.web.house import House
from tidings.web.http import Edge, Reply, html_reply, json_reply, normalise, send_reply
from tidings.web.public.door import Door as PublicDoor

log = logging.getLogger("tidings")

OUTBOX = "outbox:"
# Connections kept for the lane `now` beside those of bulk mail.
NOW_CONNECTIONS = 2
# Before anything was said about a mail.
_OPENING = ("connect", "banner", "ehlo", "starttls", "auth")
MASTER_KEY_MIN = 32
_API = ("/v3/", "/api/v3/")
# How client addresses are logged; None is the default, cut to their network.
_SHOWN: dict[str, Callable[[str], str] | None] = {"short": None, "full": str, "none": lambda _: ""}
_PUBLIC = ("/f/", "/confirm/", "/static/", "/o/", "/c/", "/u/", "/p/")


def open_database(settings: Settings) -> Database:
    """Open the database of the settings; its owner closes it."""
    if settings.clock_speed == 1:
        return Database(settings.database)
    # Every process counts from the same moment, the start of the day.
    return Database(settings.database, clock=_hastened(settings.clock_speed))


def _hastened(speed: int) -> Callable[[], int]:
    day = 86_400_000

    def now() -> int:
        real = wall_clock()
        return real - real % day + real % day * speed

    return now


def links(settings: Settings, db: Database) -> Links:
    """Return what signs and builds our addresses."""
    return Links(settings.base_url, master_key(settings, db))


def master_key(settings: Settings, db: Database) -> bytes:
    """Return the key that signs links: the setting, or a file beside the database, made once."""
    if settings.master_key:
        if len(settings.master_key) < MASTER_KEY_MIN:
            raise Bad(f"TIDINGS_MASTER_KEY must have at least {MASTER_KEY_MIN} characters")
        return settings.master_key.encode()
    path = Path(db.folder) / "master.key"
    try:
        # Made in one step with its mode: never readable by others, never half written.
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes().strip()
    else:
        key = tokens.fresh(32).encode()
        with os.fdopen(made, "wb") as file:
            file.write(key + b"\n")
            file.flush()
            os.fsync(file.fileno())
    if len(key) < MASTER_KEY_MIN:
        raise Bad(f"the file {path} does not hold a master key; restore it or set TIDINGS_MASTER_KEY")
    return key


class Web:
    """The ASGI application: sends each path to its door."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._api = ApiDoor(house)
        self._public = PublicDoor(house)
        self._dashboard = DashboardDoor(house)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        path = normalise(scope["path"])
        if path.startswith(_API) or path in ("/docs", "/v3", "/api/v3"):
            door = self._public if path.endswith((".js", ".html")) else self._api
            await door(scope, receive, send)
        elif path.startswith(_PUBLIC):
            await self._public(scope, receive, send)
        elif path in ("/health", "/ready"):
            await send_reply(send, await self._alive(path), method=scope["method"])
        else:
            await self._dashboard(scope, receive, send)

    async def _alive(self, path: str) -> Reply:
        """`/health`: the process is up. `/ready`: the database answers and is of this version."""
        if path == "/ready":
            try:
                await asyncio.get_running_loop().run_in_executor(None, migrate.check, self._house.db)
            except Exception as problem:  # noqa: BLE001 - whatever it is, we are not ready
                log.warning("not ready", extra={"reason": type(problem).__name__})
                return json_reply(503, {"status": "not ready"})
        return json_reply(200, {"status": "ok"}, [(b"cache-control", b"no-store")])

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._public.close()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return


def web(settings: Settings, db: Database) -> Edge:
    """Return the whole web application."""
    house = House(db, links(settings, db), settings.rate_limit, settings.smtp_url == OUTBOX)
    return Edge(
        Web(house),
        log=logging.getLogger("tidings.access"),
        trusted_proxies=settings.trusted_proxies,
        error_reply=_error_of,
        client_shown_as=_SHOWN[settings.log_addresses],
    )


def _error_of(path: str) -> Callable[[int, str, str], Reply]:
    """Return how the door of a path says an error."""
    return shapes.error if normalise(path).startswith(_API) else _page


def _page(status: int, title: str, message: str) -> Reply:
    return html_reply(status, f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{message}</p>")


def serve_web(settings: Settings) -> int:
    """Run one web process until it is told to stop."""
    journal.start(settings.log)
    db = open_database(settings)
    try:
        migrate.check(db)
        return _listen(settings, db)
    finally:
        db.close()


def _listen(settings: Settings, db: Database) -> int:
    running = uvicorn.Server(server.config(web(settings, db), host=settings.host, port=settings.port))
    running.run()
    return 0 if running.started else 1


def serve(settings: Settings, *, demo: bool = False, config: str | None = None) -> int:
    """Run web and engine: this process serves, a supervised one of its own runs the loops."""
    journal.start(settings.log)
    db = open_database(settings)
    try:
        migrate.migrate(db)
        first_start(db, settings, demo=demo)
        where = f"{settings.base_url}/"
        _say(f"Tidings is at {where} (stop with Ctrl-C)\n")
        command = [sys.executable, "-m", "tidings"]
        if config:
            command += ["--config", config]
        command += ["engine", "--supervised"]
        with Supervisor(command, {**os.environ, "TIDINGS_DATABASE": settings.database}):
            return _listen(settings, db)
    finally:
        db.close()


def first_start(db: Database, settings: Settings, *, demo: bool = False) -> None:
    """Make the first account of an empty installation and say its keys, once."""
    if db.read_now(INSTALLATION, accounts.all_accounts):
        return
    keys = db.write_now(INSTALLATION, accounts.create, "My newsletter", "you@example.com", demo=demo)
    if demo:
        declare.apply_text(db, keys.account_id, declare.example(), lambda _: None)
    _say(
        "\nThis is the first start: an account was made"
        + (", with a demonstration in it" if demo else "")
        + ". Its secret is shown only now.\n\n"
        f"  export API_KEY={keys.api_key}\n"
        f"  export API_SECRET={keys.api_secret}\n\n"
        f"Sign in (once, within a day): {sign_in_address(db, settings, keys.account_id)}\n\n"
    )


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def sign_in_address(db: Database, settings: Settings, account_id: int) -> str:
    """Make a one-time sign-in link."""
    return f"{settings.base_url}/sign-in/{db.write_now(account_id, accounts.sign_in_link)}"


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
    instance = installation(db)
    if held := await db.write(INSTALLATION, heartbeats.wake, "engine", instance):
        log.warning("overdue broadcasts are held", extra={"broadcasts": held})
    timing = Timing(settings.lease * 1_000, settings.uncertain_wait * 1_000)
    desk = Desk(db, links(settings, db), outbox=settings.smtp_url == OUTBOX)
    hands = _providers(settings, db)
    room = None if db.shared else Room(db.folder, settings.free_space * 1_000_000)
    limits = limits_of(settings)
    paces = {
        lane: Pace(
            db, limits or pacing.Limits(), lane=lane, rests=limits is not None and lane == "bulk", room=room
        )
        for lane in hands
    }
    senders = [
        sender.Sender(db, desk, one.send, timing=timing, lane=lane, width=one.width, pace=paces[lane])
        for lane, one in hands.items()
    ]
    steps = [
        *(one.step for one in senders),
        Scheduler(db, desk, timing, outbox=settings.smtp_url == OUTBOX).step,
        Steps(db).step,
        upkeep.Upkeep(db, keep_days=settings.keep_deliveries).step,
    ]
    heard = [asyncio.Event() for _ in steps]
    beat = Heart(db, senders, instance, timing)
    await asyncio.gather(
        loop.listen(db, heard, stop),
        loop.run(beat.step, asyncio.Event(), stop, idle=beat.pause_s),
        *(loop.run(step, event, stop) for step, event in zip(steps, heard, strict=True)),
    )
    for one in senders:
        await one.close()
    for hand in hands.values():
        await hand.close()
    await desk.close()


def installation(db: Database) -> str:
    """Return the name of this installation: a file beside the database, which a copy does not take along.

    PostgreSQL is asked for no file of ours; its own system has the name then.
    """
    if db.shared:
        return "shared"
    path = Path(db.folder) / "instance"
    try:
        with path.open("x") as file:
            file.write(tokens.fresh(16) + "\n")
    except FileExistsError:
        pass
    return path.read_text().strip()


def _until_end(running: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Not through sys.stdin: its lock, held here, would crash the interpreter's shutdown.
    while os.read(0, 4_096):
        pass
    running.call_soon_threadsafe(stop.set)


class OutboxProvider:
    """Keeps mail in the database: nothing leaves this machine."""

    width = 4

    def __init__(self, db: Database) -> None:
        self._db = db

    async def send(self, letters: Sequence[Letter]) -> list[Outcome]:
        for account_id in {one.delivery.account_id for one in letters}:
            theirs = [
                (one.delivery.id, one.rcpt_to, one.subject, one.data)
                for one in letters
                if one.delivery.account_id == account_id
            ]
            await self._db.write(account_id, outbox.keep_all, theirs)
        return [Outcome(one.delivery, "sent", "kept in the Outbox", kept=True) for one in letters]

    async def close(self) -> None:
        """Nothing is open."""


class SmtpProvider:
    """Hands mail to an SMTP server and says in our words how it ended."""

    def __init__(self, settings: provider.Settings, clock: Callable[[], int]) -> None:
        self._smtp = smtp.Smtp(settings)
        self._clock = clock
        self.width = settings.connections

    async def send(self, letters: Sequence[Letter]) -> list[Outcome]:
        envelopes = [
            outcome.Envelope(at, one.mail_from, one.rcpt_to, one.data, one.smtputf8, strict=True)
            for at, one in enumerate(letters)
        ]
        said = await self._smtp.send(envelopes)
        return [self._outcome(letters[int(str(one.key))].delivery, one) for one in said]

    def _outcome(self, delivery: Delivery, said: outcome.Outcome) -> Outcome:
        match said:
            case outcome.Accepted(code=code, text=text):
                return Outcome(delivery, "sent", f"{code} {text}")
            case outcome.Refused(code=code, text=text, permanent=True):
                return Outcome(delivery, "failed", f"{code} {text}", verdict=classify(code, text))
            case outcome.Refused(code=code, text=text):
                return self._later(delivery, f"{code} {text}", classify(code, text))
            case outcome.NotTaken(reason=reason, stage=stage) if stage in _OPENING:
                # The provider's fault alone: tried again as soon as it takes mail.
                return Outcome(delivery, "queued", reason, self._clock(), untried=True)
            case outcome.NotTaken(reason=reason):
                return self._later(delivery, reason, "")
            case outcome.Unknown(reason=reason):
                return Outcome(delivery, "unknown", reason)

    def _later(self, delivery: Delivery, reply: str, verdict: str) -> Outcome:
        at = deliveries.retry_at(self._clock(), delivery)
        if at is None:
            return Outcome(delivery, "failed", f"given up: {reply}", verdict=verdict)
        return Outcome(delivery, "deferred", reply, at, verdict=verdict)

    async def close(self) -> None:
        await self._smtp.close()


def limits_of(settings: Settings) -> pacing.Limits | None:
    """Return how much the SMTP server of the settings may be given; None for the Outbox."""
    chosen = _smtp_of(settings)
    return pacing.limits_of(chosen) if chosen else None


def _providers(settings: Settings, db: Database) -> dict[str, OutboxProvider | SmtpProvider]:
    """Return who hands over the mail of each lane: confirmations never wait behind bulk."""
    chosen = _smtp_of(settings)
    if chosen is None:
        return {"now": OutboxProvider(db), "bulk": OutboxProvider(db)}
    fewer = replace(chosen, connections=min(NOW_CONNECTIONS, chosen.connections))
    return {"now": SmtpProvider(fewer, db.clock), "bulk": SmtpProvider(chosen, db.clock)}


def _smtp_of(settings: Settings) -> provider.Settings | None:
    if settings.smtp_url == OUTBOX:
        return None
    try:
        return provider.Settings.from_url(settings.smtp_url)
    except ValueError as problem:
        raise Bad(f"TIDINGS_SMTP_URL cannot be used: {problem}") from problem
