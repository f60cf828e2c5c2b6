"""Asks a sandbox over HTTP, as any program would; and listens as a receiver of webhooks."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tidings.testing import Sandbox

NEWSLETTER, WEBINAR = 2765139, 2765140
CUSTOMER, WORKSHOP = 2744672, 2744673
ONBOARDING = 1030824
ARYA = "arya@example.com"
HELD = "bea@example.com"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


def ask(
    sandbox: Sandbox, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> Answer:
    """Ask once; a body that is no octets goes as JSON."""
    asking = HTTPConnection(sandbox.base_url.removeprefix("http://"), timeout=60)
    try:
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        asking.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
        answer = asking.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, answer.read())
    finally:
        asking.close()


def until(true: Callable[[], bool]) -> None:
    """Wait for something that another thread or process does; fail when it never does."""
    for _ in range(6_000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within a minute")


@dataclass
class Receiver:
    """A listener that notes who came; `status` is what it answers."""

    url: str = ""
    status: int = 200
    bodies: list[Any] = field(default_factory=list)


@contextmanager
def receiver(host: str = "127.0.0.1") -> Iterator[Receiver]:
    """Listen on a host until the end of the block."""
    noted = Receiver()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            noted.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(noted.status)
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"fine")

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer((host, 0), Listener)
    noted.url = f"http://{host}:{listening.server_port}/hook"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield noted
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
