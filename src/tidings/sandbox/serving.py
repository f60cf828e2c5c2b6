"""Runs a sandbox: one process, one event loop, one private folder that goes with it."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from tidings import declare, journal
from tidings.errors import Invalid
from tidings.sandbox import world as worlds
from tidings.sandbox.clock import Clock
from tidings.sandbox.control import PREFIX, Control
from tidings.sandbox.faults import Faults
from tidings.sandbox.outside import Outside
from tidings.sandbox.world import API_KEY, API_SECRET, World
from tidings.web import server
from tidings.web.api_v3 import shapes
from tidings.web.http import send_reply

HOST = "127.0.0.1"
# The setting's default: what a client meets in production.
RATE_LIMIT = 120
# A reset waits so long for requests that are being answered.
ENDING_S = 5.0
# And requests so long for a reset.
CLOSED_S = 30.0
_SEED_NAME = "the demonstration"


class Wanted(msgspec.Struct, frozen=True):
    """What was asked for. `port` 0 takes a free one; `seed` is a file as `tidings apply` takes them.

    `supervised`: it ends when standard input does, so that it never outlives whoever started it.
    """

    port: int = 0
    seed: str | None = None
    rate_limit: int = RATE_LIMIT
    supervised: bool = False


class Ready(msgspec.Struct, frozen=True):
    """What a client needs: where the sandbox is, and its keys."""

    base_url: str
    api_key: str
    api_secret: str


class Sandbox:
    """The ASGI application: the control address, and the world of the moment behind its faults."""

    def __init__(self, base_url: str, folder: str, seed: tuple[str, str], *, rate_limit: int) -> None:
        self.base_url = base_url
        self.clock = Clock()
        self.faults = Faults()
        self.outside = Outside(self.clock)
        self.resets = 0
        self._folder = Path(folder)
        self._seed = seed
        self._rate_limit = rate_limit
        self._world: World | None = None
        self._lives = 0
        # Set while a world is there to ask.
        self._open = asyncio.Event()
        self._asking = 0
        self._ended = asyncio.Event()
        self._control = Control(self)

    @property
    def world(self) -> World:
        """The world of the moment."""
        assert self._world is not None  # noqa: S101 (it is asked only between start and stop)
        return self._world

    async def start(self) -> None:
        """Make the seed, and the first world from it."""
        await worlds.seeded(str(self._seed_file), self.base_url, self.clock, self._seed)
        self._begin()

    async def reset(self) -> None:
        """Back to the seed: another world, the machine's time, no fault, nothing sent or posted."""
        await self.stop()
        self.clock.ahead_ms = 0
        self.outside.posted.clear()
        self.resets += 1
        self._begin()

    async def stop(self) -> None:
        """End the world, if there is one."""
        self._open.clear()
        self.faults.clear()
        if self._world is not None:
            await self._end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        path = scope["path"]
        if path == PREFIX or path.startswith(PREFIX + "/"):
            await self._control(scope, receive, send)
            return
        try:
            async with asyncio.timeout(CLOSED_S):
                await self._open.wait()
        except TimeoutError:
            # A reset has failed, for want of room on the disk or so; the next may do better.
            reply = shapes.error(503, "Service Unavailable", "The sandbox is between two lives; reset it")
            await send_reply(send, reply, method=scope["method"])
            return
        world = self.world
        self._asking += 1
        try:
            await world.edge(scope, receive, send)
        finally:
            self._asking -= 1
            self._ended.set()
            world.engine.wake()

    @property
    def _seed_file(self) -> Path:
        return self._folder / "seed.db"

    def _begin(self) -> None:
        self._lives += 1
        path = self._folder / f"{self._lives}.db"
        shutil.copyfile(self._seed_file, path)
        self._world = World(
            str(path), self.base_url, self.clock, self.outside, self.faults, rate_limit=self._rate_limit
        )
        self._world.engine.start()
        self._open.set()

    async def _end(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING_S):
                while self._asking:
                    self._ended.clear()
                    await self._ended.wait()
        world, self._world = self.world, None
        await world.close()
        for left in self._folder.glob(f"{self._lives}.db*"):
            left.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    """Says when it can be asked."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def run(wanted: Wanted, ready: Callable[[Ready], None]) -> int:
    """Run a sandbox until it is told to stop; `ready` is told once it answers.

    Raise OSError for a port that cannot be had, and Refused for a seed that cannot be applied.
    """
    seed = _seed(wanted)
    journal.start("warning")
    with socket.socket() as listening, tempfile.TemporaryDirectory(prefix="tidings-sandbox-") as folder:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, wanted.port))
        uvloop.run(_serve(wanted, seed, folder, listening, ready))
    return 0


async def _serve(
    wanted: Wanted,
    seed: tuple[str, str],
    folder: str,
    listening: socket.socket,
    ready: Callable[[Ready], None],
) -> None:
    base_url = f"http://{HOST}:{listening.getsockname()[1]}"
    sandbox = Sandbox(base_url, folder, seed, rate_limit=wanted.rate_limit)
    serving = _Server(
        server.config(sandbox, host=HOST, port=wanted.port),
        lambda: ready(Ready(base_url, API_KEY, API_SECRET)),
    )
    running = asyncio.get_running_loop()

    def stop() -> None:
        serving.should_exit = True

    for name in (signal.SIGTERM, signal.SIGINT):
        # The server has its own while it runs, and gives the signal on to these when it has ended.
        running.add_signal_handler(name, stop)
    if wanted.supervised:
        threading.Thread(target=_until_end, args=(running, stop), daemon=True).start()
    try:
        await sandbox.start()
        await serving.serve(sockets=[listening])
    finally:
        await sandbox.stop()


def _seed(wanted: Wanted) -> tuple[str, str]:
    """Return the text of the seed and its name for messages."""
    if wanted.seed is None:
        return declare.example(), _SEED_NAME
    try:
        return Path(wanted.seed).read_text(encoding="utf-8"), wanted.seed
    except UnicodeDecodeError as problem:
        raise Invalid(wanted.seed, "is not UTF-8 text") from problem


def _until_end(running: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    # Not through sys.stdin: its lock, held here, would crash the interpreter's shutdown.
    while os.read(0, 4_096):
        pass
    running.call_soon_threadsafe(stop)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
