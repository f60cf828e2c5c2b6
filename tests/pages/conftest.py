"""A whole Tidings as a person meets it: `tidings serve` on a port of its own, and Chromium in front of it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

START_S = 60
# A page of a busy machine; the tests assert nothing about time.
WAIT_MS = 20_000
Open = Callable[..., Page]


@dataclass
class Site:
    """One running installation with an owner of it, who is signed in wherever a page is opened."""

    base: str
    folder: Path
    state: Path
    environment: dict[str, str]

    def command(self, *words: str) -> str:
        """Run a command of tidings over the same database; return what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "tidings", *words],
            env=self.environment, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        return done.stdout


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# For one file's tests, not the whole session's: the driver leaves an event loop running in this thread
# until it is stopped, and no test after it could run another one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as Debian or the machine has it."""
    found = next((shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")), None)
    if found is None:
        pytest.skip("no Chromium; tests/setup/chromium.sh installs it")
    with sync_playwright() as playwright:
        # Root may run it only so; what it opens is our own.
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Site]:
    """`tidings serve` with its demonstration, kept running for a file's tests; mail goes to the Outbox."""
    folder = tmp_path_factory.mktemp("site")
    base = f"http://127.0.0.1:{free_port()}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_")},
        "TIDINGS_DATABASE": f"sqlite:///{folder}/tidings.db",
        "TIDINGS_BASE_URL": base,
    }
    port = base.rpartition(":")[2]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidings", "serve", "--demo", "--port", port],
            env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        _wait_for(base, process, folder / "log")
        made = Site(base, folder, folder / "state.json", environment)
        _sign_in(browser, made)
        yield made
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def open_page(site: Site, browser: Browser) -> Iterator[Open]:
    """Open a page in a window of its own, signed in; `options` are those of Playwright's contexts."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def opened(path: str = "/", **options: object) -> Page:
        context = browser.new_context(storage_state=site.state, **options)  # type: ignore[arg-type]
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        page.goto(f"{site.base}{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def _wait_for(base: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            urlopen(f"{base}/ready", timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"tidings serve does not answer: {log.read_text()[-2000:]}")


def _sign_in(browser: Browser, site: Site) -> None:
    found = re.search(r"http://\S+/sign-in/\S+", (site.folder / "log").read_text())
    assert found
    context = browser.new_context()
    page = context.new_page()
    page.goto(found[0])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site.base}/")
    context.storage_state(path=site.state)
    context.close()
