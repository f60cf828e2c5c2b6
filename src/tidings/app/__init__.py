"""Builds the house: settings, database, doors, loops. The only room that knows them all."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable

import uvicorn
from starlette.types import Receive, Scope, Send

from tidings import declare, journal
from tidings.app.ground import folder_of_backups, installation, links, master_key, open_database
from tidings.app.loops import run_engine
from tidings.app.metrics import Metrics
from tidings.app.providers import OUTBOX, limits_of, shown_of
from tidings.core import accounts
from tidings.core.accounts import INSTALLATION, keys
from tidings.core.exporting import Wanted
from tidings.core.users import sessions
from tidings.errors import Unavailable
from tidings.moving import exporter
from tidings.settings import Bad, Settings
from tidings.store import migrate
from tidings.store.db import Database
from tidings.supervise import Supervisor
from tidings.web import server
from tidings.web.api_v3 import payloads, shapes
from tidings.web.api_v3.door import Door as ApiDoor
from tidings.web.dashboard.door import Door as DashboardDoor
from tidings.web.house import Export, House
from tidings.web.http import Edge, Reply, html_reply, json_reply, normalise, send_reply
from tidings.web.public.door import Door as PublicDoor

__all__ = [
    "OUTBOX",
    "first_start", "installation", "limits_of", "links", "master_key", "open_database", "run_engine",
    "serve", "serve_web", "sign_in_address", "web",
]  # fmt: skip

log = logging.getLogger("tidings")

# Of /metrics: what nobody guesses in a lifetime of asking.
TOKEN_MIN = 16
# Between two looks at which keys were used: told to the minute, at a write a minute and key.
USES_S = 60.0
_API = ("/v3/", "/api/v3/")
# How client addresses are logged; None is the default, cut to their network.
_SHOWN: dict[str, Callable[[str], str] | None] = {"short": None, "full": str, "none": lambda _: ""}
_PUBLIC = ("/f/", "/confirm/", "/static/", "/o/", "/c/", "/u/", "/p/")


class Web:
    """The ASGI application: sends each path to its door."""

    def __init__(self, house: House, metrics: Metrics) -> None:
        self._house = house
        self._metrics = metrics
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
        elif path == "/metrics":
            reply = await self._metrics.answer(scope["headers"])
            await send_reply(send, reply, method=scope["method"])
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
        noting: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                noting = asyncio.create_task(self._note_uses())
            if message["type"] == "lifespan.shutdown":
                if noting is not None:
                    noting.cancel()
                await self._note_used()
                await self._public.close()
                await self._house.press.stop()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _note_uses(self) -> None:
        while True:
            await asyncio.sleep(USES_S)
            await self._note_used()

    async def _note_used(self) -> None:
        """Note which keys were presented since the last time; what cannot be noted now is noted later."""
        used, self._house.used = self._house.used, {}
        for hashed, (account_id, at) in used.items():
            with contextlib.suppress(Unavailable):
                await self._house.db.write(account_id, keys.note_use, hashed, at)


def web(settings: Settings, db: Database) -> Edge:
    """Return the whole web application."""
    house = House(
        db,
        links(settings, db),
        settings.rate_limit,
        settings.smtp_url == OUTBOX,
        provider=shown_of(settings),
        payload=payloads.of_event,
        # A server's disk is its own affair.
        free_space=0 if db.shared else settings.free_space * 1_000_000,
    )
    house.export = _exporting(db)
    house.backups, house.backs_up = folder_of_backups(settings, db), bool(settings.backup)
    if 0 < len(settings.metrics_token) < TOKEN_MIN:
        raise Bad(f"TIDINGS_METRICS_TOKEN must have at least {TOKEN_MIN} characters")
    metrics = Metrics(db, settings.metrics_token)
    return Edge(
        Web(house, metrics),
        log=logging.getLogger("tidings.access"),
        trusted_proxies=settings.trusted_proxies,
        error_reply=_error_of,
        client_shown_as=_SHOWN[settings.log_addresses],
        count=metrics.count if settings.metrics_token else None,
    )


def _exporting(db: Database) -> Export:
    """Return what writes people, for a door that sends them on."""

    def export(account_id: int, form: str, wanted: Wanted) -> AsyncIterator[bytes]:
        return exporter.exported(exporter.Task(db.url, account_id, form, wanted))

    return export


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
    made = db.write_now(INSTALLATION, accounts.create, "My newsletter", "you@example.com", demo=demo)
    if demo:
        declare.apply_text(db, made.account_id, declare.example(), lambda _: None)
    _say(
        "\nThis is the first start: an account was made"
        + (", with a demonstration in it" if demo else "")
        + ". Its secret is shown only now.\n\n"
        f"  export API_KEY={made.api_key}\n"
        f"  export API_SECRET={made.api_secret}\n\n"
        f"Sign in (once, within a day): {sign_in_address(db, settings, made.account_id)}\n\n"
    )


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def sign_in_address(db: Database, settings: Settings, account_id: int) -> str:
    """Make a one-time sign-in link."""
    return f"{settings.base_url}/sign-in/{db.write_now(account_id, sessions.link)}"
