"""A sandbox for the tests of whoever writes for the ConvertKit API, with fixtures for pytest.

`from tidings.testing import sandbox, sandbox_seed, sandbox_server` in a `conftest.py`, and a test that
asks for `sandbox` gets a server of its own kind: reset before each test, gone after the last. `Sandbox`
is the same without fixtures. It runs as a process of its own, so nothing of the test's can leak into it.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import quote

import pytest

__all__ = ["Sandbox", "Wrong", "sandbox", "sandbox_seed", "sandbox_server"]

# A start takes about a second; these are for machines that do much else.
START_S = 60.0
STOP_S = 20.0
# The control address answers within some 20 s whatever hangs.
ASK_S = 60.0
_SAID_MAX = 4_000


class Wrong(Exception):
    """The sandbox did not start, or refused what it was asked for; the message says why."""


class Sandbox:
    """A sandbox as a process; `with Sandbox() as one:` starts and stops it.

    `seed` is a TOML file as `tidings apply` takes it, without it the demonstration of Tidings; `port` 0
    takes a free one. `base_url` has no slash at its end, `api_url` is where v3 begins. All raise `Wrong`.
    """

    def __init__(
        self, *, seed: str | os.PathLike[str] | None = None, port: int = 0, rate_limit: bool = True
    ) -> None:
        self.base_url = self.api_key = self.api_secret = ""
        self._command = [sys.executable, "-m", "tidings", "sandbox", "--json", "--supervised"]
        self._command += ["--port", str(port)]
        if seed is not None:
            self._command += ["--seed", os.fspath(seed)]
        if not rate_limit:
            self._command.append("--no-rate-limit")
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    @property
    def api_url(self) -> str:
        """What a client is given in place of `https://api.convertkit.com/v3`."""
        return f"{self.base_url}/v3"

    def start(self) -> Self:
        """Start it and wait until it answers."""
        if self._process is not None:
            raise Wrong("this sandbox runs already")
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter, no shell)
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )
        late = threading.Timer(START_S, self._process.kill)
        late.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else b""
        finally:
            late.cancel()
        if not line:
            self._process.wait()
            said = self._log()
            self.stop()
            raise Wrong(f"the sandbox did not start: {said or 'it said nothing'}")
        ready = json.loads(line)
        self.base_url, self.api_key = ready["base_url"], ready["api_key"]
        self.api_secret = ready["api_secret"]
        return self

    def stop(self) -> None:
        """Stop it; twice changes nothing."""
        process, self._process = self._process, None
        if process is not None:
            # It ends when its standard input does.
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        said, self._said = self._said, None
        if said is not None:
            said.close()

    def reset(self) -> None:
        """Back to the seed: its people, the present time, no fault, nothing sent."""
        self._ask("POST", "/reset")

    def state(self) -> dict[str, Any]:
        """Return what is there: people by state, forms, sequences and tags, the time, the faults."""
        return self._ask("GET", "")

    def mails(self, to: str | None = None) -> list[dict[str, Any]]:
        """Return what was sent since the seed, oldest first, once all that is due has been sent.

        Each has `to`, `subject`, `text`, `html`, `links`, `headers` (pairs) and `sent_at`.
        """
        found: list[dict[str, Any]] = self._ask("GET", f"/mails?to={quote(to)}" if to else "/mails")["mails"]
        return found

    def webhooks(self) -> list[dict[str, Any]]:
        """Return what was posted or refused, oldest first, once all that is due has been tried.

        Each has `url`, `headers`, `body` (text), `status` (None: no answer), `error`, `answer` and `at`.
        """
        found: list[dict[str, Any]] = self._ask("GET", "/webhooks")["webhooks"]
        return found

    def advance(self, span: str | timedelta) -> str:
        """Set the clock forward, by `3 days` or so, and do what falls due; return the new time."""
        said = f"{int(span.total_seconds())} seconds" if isinstance(span, timedelta) else span
        return str(self._ask("POST", "/clock", {"advance": said})["now"])

    def confirm(self, email: str) -> None:
        """Have a person confirm that they want mail, as by the link."""
        self._ask("POST", "/confirm", {"email_address": email})

    def bounce(self, email: str) -> None:
        """Have a person's mailbox refuse mail for good."""
        self._ask("POST", "/bounce", {"email_address": email})

    def complain(self, email: str) -> None:
        """Have a person report mail as spam."""
        self._ask("POST", "/complain", {"email_address": email})

    def fail_next(
        self,
        times: int = 1,
        *,
        status: int = 503,
        path: str = "/v3/",
        method: str | None = None,
        retry_after: int = 1,
        carried_out: bool = False,
    ) -> None:
        """Answer the next requests to what begins with `path` with 429, 500, 502, 503 or 504.

        With `carried_out` each does its work, and only the answer is lost.
        """
        fault = {"times": times, "status": status, "path": path, "method": method}
        self._ask("POST", "/faults", {**fault, "retry_after": retry_after, "carried_out": carried_out})

    def fail_share(
        self, share: float, *, status: int = 503, path: str = "/v3/", method: str | None = None
    ) -> None:
        """Answer so from now on to a share of the requests: 0.25 is every fourth."""
        self._ask("POST", "/faults", {"share": share, "status": status, "path": path, "method": method})

    def slow_next(
        self, seconds: float, times: int = 1, *, path: str = "/v3/", method: str | None = None
    ) -> None:
        """Keep the next requests waiting for so long, up to 60 s, before they are answered."""
        self._ask("POST", "/faults", {"delay": seconds, "times": times, "path": path, "method": method})

    def end_faults(self) -> None:
        """Let no request fail or wait any more."""
        self._ask("DELETE", "/faults")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _ask(self, method: str, path: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the control address; no proxy of the environment stands between."""
        if self._process is None:
            raise Wrong("this sandbox does not run")
        host = self.base_url.removeprefix("http://")
        asking = HTTPConnection(host, timeout=ASK_S)
        try:
            body = json.dumps(given) if given is not None else None
            asking.request(method, f"/sandbox{path}", body, {"Content-Type": "application/json"})
            answer = asking.getresponse()
            said = json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as problem:
            raise Wrong(f"the sandbox does not answer: {problem!r} {self._log()}") from problem
        finally:
            asking.close()
        if answer.status != 200:
            raise Wrong(f"{answer.status} {said['message']}")
        found: dict[str, Any] = said
        return found

    def _log(self) -> str:
        """Return the end of what the process has said on standard error."""
        if self._said is None:
            return ""
        # Not read by its own position, which the process shares and writes at.
        size = os.fstat(self._said.fileno()).st_size
        end = os.pread(self._said.fileno(), _SAID_MAX, max(0, size - _SAID_MAX))
        return end.decode("utf-8", "replace").strip()


@pytest.fixture(scope="session")
def sandbox_seed() -> str | None:
    """The file that the sandbox begins with; a project's own fixture of this name chooses another."""
    return None


@pytest.fixture(scope="session")
def sandbox_server(sandbox_seed: str | None) -> Iterator[Sandbox]:
    """One running sandbox for all tests."""
    with Sandbox(seed=sandbox_seed) as one:
        yield one


@pytest.fixture
def sandbox(sandbox_server: Sandbox) -> Sandbox:
    """The sandbox, as the seed has it."""
    sandbox_server.reset()
    return sandbox_server
