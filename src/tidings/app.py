"""Builds the house: settings, database, doors, loops. The only room that knows them all."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from starlette.types import Receive, Scope, Send

from tidings import declare, journal, tokens
from tidings.core import accounts, deliveries, outbox
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Delivery, Letter, Outcome
from tidings.engine import loop, sender, upkeep
from tidings.mail import outcome, provider, smtp
from tidings.settings import Bad, Settings
from tidings.store import migrate
from tidings.store.db import Database
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
MASTER_KEY_MIN = 32
_API = ("/v3/", "/api/v3/")
# How client addresses are logged; None is the default, cut to their network.
_SHOWN: dict[str, Callable[[str], str] | None] = {"short": None, "full": str, "none": lambda _: ""}
_PUBLIC = ("/f/", "/confirm/", "/static/")


def open_database(settings: Settings) -> Database:
    """Open the database of the settings; its owner closes it."""
    return Database(settings.database)


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
        asyncio.run(_loops(settings, db, supervised=supervised))
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
    chosen = _provider(settings, db)
    steps = [sender.Sender(db, links(settings, db), chosen.send).step, upkeep.Upkeep(db).step]
    heard = [asyncio.Event() for _ in steps]
    await asyncio.gather(
        loop.listen(db, heard, stop),
        *(loop.run(step, event, stop) for step, event in zip(steps, heard, strict=True)),
    )
    await chosen.close()


def _until_end(running: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Not through sys.stdin: its lock, held here, would crash the interpreter's shutdown.
    while os.read(0, 4_096):
        pass
    running.call_soon_threadsafe(stop.set)


class OutboxProvider:
    """Keeps mail in the database: nothing leaves this machine."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def send(self, letters: Sequence[Letter]) -> list[Outcome]:
        for one in letters:
            await self._db.write(
                one.delivery.account_id, outbox.keep, one.delivery.id, one.rcpt_to, one.subject, one.data
            )
        return [Outcome(one.delivery, "sent", "kept in the Outbox") for one in letters]

    async def close(self) -> None:
        """Nothing is open."""


class SmtpProvider:
    """Hands mail to an SMTP server and says in our words how it ended."""

    def __init__(self, url: str, clock: Callable[[], int]) -> None:
        self._smtp = smtp.Smtp(provider.Settings.from_url(url))
        self._clock = clock

    async def send(self, letters: Sequence[Letter]) -> list[Outcome]:
        envelopes = [
            outcome.Envelope(at, one.mail_from, one.rcpt_to, one.data, one.smtputf8)
            for at, one in enumerate(letters)
        ]
        said = await self._smtp.send(envelopes)
        return [self._outcome(letters[int(str(one.key))].delivery, one) for one in said]

    def _outcome(self, delivery: Delivery, said: outcome.Outcome) -> Outcome:
        match said:
            case outcome.Accepted(code=code, text=text):
                return Outcome(delivery, "sent", f"{code} {text}")
            case outcome.Refused(code=code, text=text, permanent=True):
                return Outcome(delivery, "failed", f"{code} {text}")
            case outcome.Refused(code=code, text=text):
                return self._later(delivery, f"{code} {text}")
            case outcome.NotTaken(reason=reason) | outcome.Unknown(reason=reason):
                # A confirmation that may have arrived is sent again: somebody waits for it.
                return self._later(delivery, reason)

    def _later(self, delivery: Delivery, reply: str) -> Outcome:
        at = deliveries.retry_at(self._clock(), delivery)
        if at is None:
            return Outcome(delivery, "failed", f"given up: {reply}")
        return Outcome(delivery, "deferred", reply, at)

    async def close(self) -> None:
        await self._smtp.close()


def _provider(settings: Settings, db: Database) -> OutboxProvider | SmtpProvider:
    if settings.smtp_url == OUTBOX:
        return OutboxProvider(db)
    try:
        return SmtpProvider(settings.smtp_url, db.clock)
    except ValueError as problem:
        raise Bad(f"TIDINGS_SMTP_URL cannot be used: {problem}") from problem
