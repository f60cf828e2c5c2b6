"""A real server in a thread, an application that remembers, and a client that speaks bytes."""

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from tidings.web import http, server

# Long enough for a machine that is busy, and far below every bound of the patient server.
PATIENCE = 8.0
GET = b"GET /echo HTTP/1.1\r\nHost: t\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: t\r\n\r\n"


class Application:
    """Answers by path, and remembers the scopes it saw and what the edge logged."""

    def __init__(self) -> None:
        self.seen: list[Scope] = []
        self.release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        self.seen.append(scope)
        path = scope["path"]
        reply = http.json_reply(200, {"path": path})
        if path == "/wait":
            await asyncio.sleep(0.3)
        elif path == "/nothing":
            reply = http.Reply(204)
        elif path == "/large":
            reply = http.json_reply(200, "x" * 20_000_000)
        elif path != "/early":
            limit = 10**9 if path == "/upload" else http.BODY_MAX
            body = await http.read_body(receive, scope["headers"], limit=limit)
            reply = http.json_reply(200, {"path": path, "length": len(body)})
        tag = http.header(scope["headers"], b"if-none-match")
        await http.send_reply(send, reply, method=scope["method"], if_none_match=tag)

    async def live(self, receive: Receive, send: Send) -> None:
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})


@dataclass(repr=False)
class Running:
    """A server in a thread; `lines` are the statuses and the like that it logged."""

    port: int
    app: Application
    lines: list[dict[str, Any]]
    serving: uvicorn.Server

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def logged(self, **wanted: object) -> bool:
        """Whether such a line is there, or comes soon."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if any(wanted.items() <= line.items() for line in self.lines):
                return True
            time.sleep(0.01)
        return False


@contextmanager
def running(**bounds: Any) -> Iterator[Running]:
    """A server on a free port, stopped at the end; `bounds` go to its configuration."""
    app = Application()

    def say(path: str) -> http.ErrorReply:
        return lambda status, error, message: http.json_reply(status, {"error": error, "message": message})

    log = logging.getLogger("tidings.access")
    lines: list[dict[str, Any]] = []
    keep = logging.Handler()
    keep.emit = lambda record: lines.append(json.loads(record.getMessage()))  # type: ignore[method-assign]
    log.addHandler(keep)
    log.setLevel(logging.INFO)
    edge = http.Edge(app, log=log, trusted_proxies=(), error_reply=say)
    serving = uvicorn.Server(server.config(edge, **{"port": 0, **bounds}))
    thread = threading.Thread(target=serving.run)
    thread.start()
    while not serving.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield Running(serving.servers[0].sockets[0].getsockname()[1], app, lines, serving)
    finally:
        serving.should_exit = True
        thread.join()
        log.removeHandler(keep)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def answers(connection: socket.socket, *methods: str) -> list[Answer]:
    """Read one answer for each method, or without any, all until the end."""
    found = []
    with connection.makefile("rb") as source:
        while not methods or len(found) < len(methods):
            line = source.readline()
            if not line:
                break
            status = int(line.split()[1])
            headers: dict[str, str] = {}
            while (line := source.readline()) != b"\r\n":
                name, _, value = line.decode().partition(": ")
                assert name not in headers
                headers[name] = value.rstrip()
            bodiless = bool(methods) and methods[len(found)] == "HEAD"
            length = 0 if bodiless else int(headers.get("content-length", "0"))
            found.append(Answer(status, headers, source.read(length)))
    return found


def talk(server_: Running, *pieces: bytes, methods: tuple[str, ...] = ()) -> list[Answer]:
    """Send pieces, which the server sees one by one, and read the answers."""
    with closing(server_.connect()) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                # It closed while we were sending, as it may; what it said is still to be read.
                break
            if len(pieces) > 1:
                time.sleep(0.02)
        return answers(connection, *methods)


def assert_refusal(answer: Answer, status: int) -> None:
    """Every refusal has the API's shape and ends the connection."""
    assert answer.status == status
    told = json.loads(answer.body)
    assert set(told) == {"error", "message"}
    assert told["error"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["connection"] == "close"
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
    assert "date" in answer.headers
