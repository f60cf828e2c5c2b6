"""A scripted SMTP server on loopback: each connection follows its script of step and fault.

    async with Sink([{"rcpt": "450 4.2.1 busy"}, {"dot": Fault.RST}]) as sink:
        ...
        assert sink.accepted == []

The first script is for the first connection and so on; further connections follow `default`. A step
is one of banner, ehlo, starttls, auth, mail, rcpt, data, body, dot, answer, lone, rset, quit. What stands for
it is a reply (text without its CRLF, lines parted by "\\n", or raw bytes) or a `Fault`. A step may also hold
a list: its entries are used up one per occurrence, then the step is polite again; None is one polite
answer. A fault at "dot" comes before the message is accepted, one at "answer" after it; "lone" is the end
of a message without a recipient.

As a program it records every message it accepts, before it says so:

    python -m tests.mail.sink --port 2525 --record taken.jsonl --fsync --delay-ms 5 \\
        --script '[{"dot": "RST"}, {"rcpt": ["450 4.2.1 busy"]}]'
"""

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import uvloop

from tests.mail.record import Record
from tests.mail.script import SAYS, Act, Fault, Script, read_script

__all__ = ["Act", "Fault", "Record", "Script", "Sink", "Taken", "Talk"]


OFFERS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10000000")


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


class Sink:
    """The server. `offers` are the EHLO keywords; STARTTLS is added where `tls` is given.

    With `keep` off messages and commands are counted in `taken` but not held in memory.
    """

    def __init__(
        self,
        scripts: Sequence[Script] = (),
        *,
        default: Script | None = None,
        offers: Sequence[str] = OFFERS,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        port: int = 0,
        record: Record | None = None,
        delay_ms: int = 0,
        keep: bool = True,
    ) -> None:
        self._scripts = list(scripts)
        self._default = default or {}
        self._offers = list(offers)
        self._tls = tls
        self._implicit = implicit_tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._record = record
        self._delay_s = delay_ms / 1_000
        self.keep = keep
        self.taken = 0
        self.accepted: list[Taken] = []
        self.talks: list[Talk] = []
        self.bare_line_ends = 0
        # Set at the first fault of any connection, so that a test can act in the middle of one.
        self.faulted = asyncio.Event()
        self.port = port

    async def __aenter__(self) -> "Sink":
        tls = self._tls if self._implicit else None
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=tls, limit=2**18, backlog=200
        )
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

    async def left(self) -> None:
        """Wait until every connection has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def accept(self, taken: Taken) -> str:
        """Keep a message as accepted and give the reply that says so."""
        self.taken += 1
        name = ""
        if self._record is not None:
            name = f" as {self.taken:08x}"
            await self._record.keep(name[4:], taken.rcpt_to, taken.data)
        if self.keep:
            self.accepted.append(taken)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        return f"250 2.0.0 taken{name}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts.pop(0) if self._scripts else self._default
        talk = Talk(secure=self._implicit)
        self.talks.append(talk)
        conversation = _Conversation(self, script, talk, reader, writer)
        try:
            with contextlib.suppress(_Over, ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await conversation.run(self._offers, self._tls)
        finally:
            writer.close()
            self._tasks.discard(task)


class _Over(Exception):
    """The connection has ended, by its script or by the client."""


class _Conversation:
    """One connection. Replies to pipelined commands leave together, once no command is left."""

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
        self._script = {
            step: act if isinstance(act, str | bytes | Fault) else list(act) for step, act in script.items()
        }
        self._talk = talk
        self._reader = reader
        self._writer = writer
        self._seen = bytearray()
        self._said = bytearray()
        self._mail_from: str | None = None
        self._rcpt_to: list[str] = []

    async def run(self, offers: list[str], tls: ssl.SSLContext | None) -> None:
        """Talk until one side ends it."""
        await self._act("banner", "220 sink.test ESMTP")
        while True:
            line = (await self._line()).decode("utf-8", "replace").rstrip("\r\n")
            if self._sink.keep:
                self._talk.commands.append(line)
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == "EHLO":
                more = ["STARTTLS"] if tls and not self._talk.secure else []
                await self._act("ehlo", "\n".join(f"250 {word}" for word in ("sink.test", *offers, *more)))
            elif verb == "STARTTLS" and tls:
                await self._start_tls(tls)
            elif verb == "AUTH":
                await self._auth(line)
            elif verb in ("MAIL", "RCPT", "DATA", "RSET"):
                await self._transaction(verb, line)
            elif verb == "QUIT":
                await self._act("quit", "221 2.0.0 bye")
                await self._flush()
                return
            else:
                self._say("500 5.5.2 what?")

    async def _transaction(self, verb: str, line: str) -> None:
        """Answer a command of a mail transaction, in order or by 503 (RFC 5321 4.1.4)."""
        if verb == "RSET":
            self._mail_from, self._rcpt_to = None, []
            await self._act("rset", "250 2.0.0 forgotten")
        elif verb == "MAIL":
            if self._mail_from is not None:
                self._say("503 5.5.1 a sender is given already")
            elif (await self._act("mail", "250 2.1.0 go on")).startswith("2"):
                self._mail_from, self._rcpt_to = _path(line), []
        elif verb == "RCPT":
            polite = "250 2.1.5 go on" if self._mail_from is not None else "503 5.5.1 no sender"
            if (await self._act("rcpt", polite)).startswith("2"):
                self._rcpt_to.append(_path(line))
        else:
            polite = "354 go on" if self._rcpt_to else "503 5.5.1 no recipient"
            if (await self._act("data", polite)).startswith("354"):
                await self._message()

    async def _message(self) -> None:
        if "body" in self._script:
            while b"\n" not in self._seen:
                await self._fill()
            act = self._next("body")
            if act is not None:
                await self._do(act)
        data = await self._body()
        self._sink.bare_line_ends += data.count(b"\n") + data.count(b"\r") - 2 * data.count(b"\r\n")
        data = (data[1:] if data.startswith(b".") else data).replace(b"\r\n..", b"\r\n.")
        taken = Taken(self._mail_from or "", tuple(self._rcpt_to), data)
        self._mail_from, self._rcpt_to = None, []
        if not taken.rcpt_to:
            await self._act("lone", "554 5.5.1 no valid recipients")
            return
        act = self._next("dot")
        if isinstance(act, Fault) or (act is not None and act[:1] not in ("2", b"2")):
            await self._do(act)
            return
        polite = await self._sink.accept(taken)
        answer = self._next("answer")
        await self._do(answer or act or polite)

    async def _body(self) -> bytes:
        """Read up to the terminator, which may be the very first line."""
        searched = 0
        while not self._seen.startswith(b".\r\n"):
            end = self._seen.find(b"\r\n.\r\n", max(0, searched - 4))
            if end >= 0:
                data = bytes(self._seen[: end + 2])
                del self._seen[: end + 5]
                return data
            searched = len(self._seen)
            await self._fill()
        del self._seen[:3]
        return b""

    async def _auth(self, line: str) -> None:
        self._talk.login.append(line)
        if line.upper() == "AUTH LOGIN":
            for prompt in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"):
                self._say(prompt)
                self._talk.login.append((await self._line()).decode().strip())
        await self._act("auth", "235 2.7.0 welcome")

    async def _start_tls(self, tls: ssl.SSLContext) -> None:
        answer = await self._act("starttls", "220 2.0.0 go on")
        await self._flush()
        if answer.startswith("220"):
            self._seen.clear()
            await self._writer.start_tls(tls)
            self._talk.secure = True

    async def _act(self, step: str, polite: str) -> str:
        """Do what the script has for a step; gives the reply that was said."""
        act = self._next(step)
        return await self._do(polite if act is None else act)

    def _next(self, step: str) -> Act | None:
        """Give what the script has for a step this time; None is to be polite."""
        act = self._script.get(step)
        if isinstance(act, list):
            return act.pop(0) if act else None
        return act

    async def _do(self, act: Act) -> str:
        if isinstance(act, Fault):
            await self._flush()
            self._sink.faulted.set()
            await self._fault(act)
            raise _Over
        self._say(act)
        return act if isinstance(act, str) else act.decode("latin-1")

    async def _fault(self, fault: Fault) -> None:
        said = SAYS.get(fault)
        if said is not None:
            self._say(said)
            await self._flush()
        if fault is Fault.RST:
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.transport.abort()
        elif fault is Fault.DRIP:
            for byte in b"250 slowly does it" * 10:
                self._say(bytes([byte]))
                await self._flush()
                await asyncio.sleep(0.05)
        elif fault not in (Fault.FIN, Fault.HALF, Fault.HALF_LINES):
            await asyncio.sleep(3600)

    def _say(self, reply: str | bytes) -> None:
        if isinstance(reply, str):
            *first, last = reply.split("\n")
            text = "".join(f"{line[:3]}-{line[4:]}\r\n" for line in first) + last + "\r\n"
            reply = text.encode()
        self._said += reply

    async def _flush(self) -> None:
        if self._said:
            self._writer.write(bytes(self._said))
            self._said.clear()
            await self._writer.drain()

    async def _fill(self) -> None:
        """Say what is to be said, then read on."""
        await self._flush()
        more = await self._reader.read(2**16)
        if not more:
            raise _Over
        self._seen += more

    async def _line(self) -> bytes:
        while (end := self._seen.find(b"\n")) < 0:
            await self._fill()
        line = bytes(self._seen[: end + 1])
        del self._seen[: end + 1]
        return line


def _path(line: str) -> str:
    """Give what stands between the angle brackets of MAIL or RCPT."""
    return line.partition("<")[2].partition(">")[0]


async def _main(options: argparse.Namespace) -> None:
    given = json.loads(options.script)
    record = Record(options.record, fsync=options.fsync) if options.record else None
    sink = Sink(
        [read_script(each) for each in given] if isinstance(given, list) else (),
        default=None if isinstance(given, list) else read_script(given),
        port=options.port,
        record=record,
        delay_ms=options.delay_ms,
        keep=False,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with sink:
        print(f"listening on 127.0.0.1:{sink.port}", flush=True)
        await stop.wait()
    print(f"took {sink.taken}", flush=True)
    if record is not None:
        record.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mail.sink")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; it is printed")
    parser.add_argument("--record", type=Path, help="append a line of JSON for each accepted message")
    parser.add_argument("--fsync", action="store_true", help="let the line reach the disk before the 250")
    parser.add_argument("--delay-ms", type=int, default=0, help="wait before the final reply")
    parser.add_argument("--script", default="{}", help="JSON: one script for all, or a list of them")
    return parser.parse_args()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(_options()))
