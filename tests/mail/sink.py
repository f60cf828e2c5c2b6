"""A scripted SMTP server on loopback: each connection follows its script of step and fault.

    async with Sink([{"rcpt": "450 4.2.1 busy"}, {"dot": Fault.RST}]) as sink:
        ...
        assert sink.accepted == []

The first script is for the first connection and so on; further connections follow `default`. A step
is one of banner, ehlo, starttls, auth, mail, rcpt, data, body, dot, rset, quit. What stands for it is
a reply (text without its CRLF, lines parted by "\\n", or raw bytes) or a `Fault`. A step may also hold
a list: its entries are used up one per occurrence, then the step is polite again.
"""

import asyncio
import contextlib
import enum
import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType


class Fault(enum.Enum):
    """What can go wrong besides a refusal."""

    FIN = "closes"
    RST = "resets"
    STALL = "says nothing"
    GARBAGE = "says what is no reply"
    LONG = "says a line without end"
    HALF = "says half a reply and closes"
    HALF_STALL = "says half a reply and nothing more"
    HALF_LINES = "says one line of several and closes"
    DRIP = "says a byte now and then"


Act = str | bytes | Fault
Script = Mapping[str, Act | list[Act]]

_SAYS = {
    Fault.GARBAGE: b"hello there\r\n",
    Fault.LONG: b"250 " + b"x" * 100_000,
    Fault.HALF: b"25",
    Fault.HALF_STALL: b"25",
    Fault.HALF_LINES: b"250-first\r\n",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A message this server answered by 2xx."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    data: bytes


@dataclass(slots=True)
class Talk:
    """One connection: the command lines it saw and whether it was in TLS at the end."""

    commands: list[str] = field(default_factory=list)
    secure: bool = False
    login: list[str] = field(default_factory=list)


class _Over(Exception):
    """The connection has ended, by its script or by the client."""


class Sink:
    """The server. `offers` are the EHLO keywords; STARTTLS is added where `tls` is given."""

    def __init__(
        self,
        scripts: Sequence[Script] = (),
        *,
        default: Script | None = None,
        offers: Sequence[str] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10000000"),
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
    ) -> None:
        self._scripts = list(scripts)
        self._default = default or {}
        self._offers = list(offers)
        self._tls = tls
        self._implicit = implicit_tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted: list[Taken] = []
        self.talks: list[Talk] = []
        self.bare_line_ends = 0
        # Set at the first fault of any connection, so that a test can act in the middle of one.
        self.faulted = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> "Sink":
        tls = self._tls if self._implicit else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts.pop(0) if self._scripts else self._default
        talk = Talk(secure=self._implicit)
        self.talks.append(talk)
        conversation = _Conversation(self, script, talk, reader, writer)
        try:
            with contextlib.suppress(_Over, ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
                await conversation.run(self._offers, self._tls)
        finally:
            writer.close()
            self._tasks.discard(task)


class _Conversation:
    def __init__(
        self,
        sink: Sink,
        script: Script,
        talk: Talk,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._sink = sink
        # Lists are used up, so each connection has its own.
        self._script = {step: list(act) if isinstance(act, list) else act for step, act in script.items()}
        self._talk = talk
        self._reader = reader
        self._writer = writer
        self._mail_from = ""
        self._rcpt_to: list[str] = []

    async def run(self, offers: list[str], tls: ssl.SSLContext | None) -> None:
        """Talk until one side ends it."""
        await self._act("banner", "220 sink.test ESMTP")
        while True:
            line = (await self._line()).decode("utf-8", "replace").rstrip("\r\n")
            self._talk.commands.append(line)
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == "EHLO":
                more = ["STARTTLS"] if tls and not self._talk.secure else []
                await self._act("ehlo", "\n".join(f"250 {word}" for word in ("sink.test", *offers, *more)))
            elif verb == "STARTTLS" and tls:
                await self._start_tls(tls)
            elif verb == "AUTH":
                await self._auth(line)
            elif verb == "MAIL":
                self._mail_from, self._rcpt_to = _path(line), []
                await self._act("mail", "250 2.1.0 go on")
            elif verb == "RCPT":
                if (await self._act("rcpt", "250 2.1.5 go on")).startswith("2"):
                    self._rcpt_to.append(_path(line))
            elif verb == "DATA":
                if (await self._act("data", "354 go on")).startswith("354"):
                    await self._message()
            elif verb == "RSET":
                await self._act("rset", "250 2.0.0 forgotten")
            elif verb == "QUIT":
                await self._act("quit", "221 2.0.0 bye")
                return
            else:
                await self._say("500 5.5.2 what?")

    async def _message(self) -> None:
        lines: list[bytes] = []
        body = self._script.get("body")
        while True:
            line = await self._line()
            if body is not None:
                await self._act("body", "250 unused")
                body = None
            if not line.endswith(b"\r\n"):
                self._sink.bare_line_ends += 1
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        if (await self._act("dot", "250 2.0.0 taken")).startswith("2"):
            self._sink.accepted.append(Taken(self._mail_from, tuple(self._rcpt_to), b"".join(lines)))

    async def _auth(self, line: str) -> None:
        self._talk.login.append(line)
        if line.upper() == "AUTH LOGIN":
            for prompt in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"):
                await self._say(prompt)
                self._talk.login.append((await self._line()).decode().strip())
        await self._act("auth", "235 2.7.0 welcome")

    async def _start_tls(self, tls: ssl.SSLContext) -> None:
        answer = await self._act("starttls", "220 2.0.0 go on")
        if answer.startswith("220"):
            await self._writer.start_tls(tls)
            self._talk.secure = True

    async def _act(self, step: str, polite: str) -> str:
        """Do what the script has for a step; gives the reply that was said."""
        act = self._script.get(step, polite)
        if isinstance(act, list):
            act = act.pop(0) if act else polite
        if isinstance(act, Fault):
            self._sink.faulted.set()
            await self._fault(act)
            raise _Over
        await self._say(act)
        return act if isinstance(act, str) else act.decode("latin-1")

    async def _fault(self, fault: Fault) -> None:
        said = _SAYS.get(fault)
        if said is not None:
            await self._say(said)
        if fault is Fault.RST:
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.transport.abort()
        elif fault is Fault.DRIP:
            for byte in b"250 slowly does it" * 10:
                await self._say(bytes([byte]))
                await asyncio.sleep(0.05)
        elif fault not in (Fault.FIN, Fault.HALF, Fault.HALF_LINES):
            await asyncio.sleep(3600)

    async def _say(self, reply: str | bytes) -> None:
        if isinstance(reply, str):
            *first, last = reply.split("\n")
            text = "".join(f"{line[:3]}-{line[4:]}\r\n" for line in first) + last + "\r\n"
            reply = text.encode()
        self._writer.write(reply)
        await self._writer.drain()

    async def _line(self) -> bytes:
        line = await self._reader.readline()
        if not line:
            raise _Over
        return line


def _path(line: str) -> str:
    """Give what stands between the angle brackets of MAIL or RCPT."""
    return line.partition("<")[2].partition(">")[0]
