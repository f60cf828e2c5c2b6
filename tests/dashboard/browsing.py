"""A real Chromium and a real server for the tests: one browser for each worker, in a thread of its own.

The browser's thread is not the tests': its driver leaves an event loop running, and nothing could run
another one beside it. `Browsing.do` runs a function there, with a fresh window, and hands its result back.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.web.doors import KEY
from tidings import app, settings
from tidings.store.db import Database
from tidings.web import server

P = ParamSpec("P")
T = TypeVar("T")

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
# A busy machine: two cores for all workers.
PATIENCE_MS: Final = 20_000
DESKTOP: Final = {"width": 1280, "height": 900}
PHONE: Final = {"width": 390, "height": 844}


class Browsing:
    """A browser in its thread."""

    def __init__(self, program: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="browser")
        self._playwright, self.browser = self._thread.submit(_start, program).result()

    def do(
        self,
        work: Callable[Concatenate[Page, P], T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """Run `work(page, …)` with the page of a fresh window, on a desktop and with scripts."""
        return self.within({}, work, *args, **options)

    def within(
        self,
        window: Mapping[str, Any],
        work: Callable[Concatenate[Page, P], T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """As `do`, in a window of such options (`viewport`, `color_scheme`, `java_script_enabled`)."""

        def run() -> T:
            context = self.browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **window})
            context.set_default_timeout(PATIENCE_MS)
            try:
                return work(context.new_page(), *args, **options)
            finally:
                context.close()

        return self._thread.submit(run).result()

    def close(self) -> None:
        """End the browser."""
        self._thread.submit(self.browser.close).result()
        self._thread.submit(self._playwright.stop).result()
        self._thread.shutdown()


def _start(program: str) -> tuple[Any, Browser]:
    playwright = sync_playwright().start()
    # Root has no sandbox of its own to give, and containers have a small /dev/shm.
    options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"]
    return playwright, playwright.chromium.launch(executable_path=program, args=options)


@contextmanager
def chromium() -> Iterator[Browsing]:
    """Start Chromium, or skip with the reason (in CI a skip fails)."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on the PATH: run tests/setup/chromium.sh, or install it")
    browsing = Browsing(program)
    try:
        yield browsing
    finally:
        browsing.close()


@contextmanager
def served(db: Database, *, sends_nothing: bool = True) -> Iterator[str]:
    """Serve a database in a thread, on a free port; yield its address."""
    wanted = {"TIDINGS_MASTER_KEY": KEY.decode(), "TIDINGS_LOG": "warning", "TIDINGS_RATE_LIMIT": "0"}
    if not sends_nothing:
        wanted["TIDINGS_SMTP_URL"] = "smtp://127.0.0.1:9"
    edge = app.web(settings.load(wanted), db)
    serving = uvicorn.Server(server.config(edge, port=0))
    thread = threading.Thread(target=serving.run)
    thread.start()
    while not serving.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{serving.servers[0].sockets[0].getsockname()[1]}"
    finally:
        serving.should_exit = True
        thread.join()


def signed_in(context: BrowserContext, url: str, secret: str) -> None:
    """Let a window be signed in by such a session."""
    host = urlsplit(url).hostname or ""
    context.add_cookies([{"name": "tidings", "value": secret, "domain": host, "path": "/"}])
