"""One SMTP conversation (RFC 5321): opened, then one message after another, then ended.

Its one promise: it always knows whether the terminator of the current message has been handed to
the socket. Before that a failure is `NotTaken`; after it, only a complete reply decides.
"""

import asyncio
import base64
import re
import ssl

from tidings.mail.outcome import Accepted, Envelope, NotTaken, Outcome, Refused, Stage, Unknown
from tidings.mail.provider import Settings, is_loopback
from tidings.mail.wire import Lost, Reply, Wire

_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


class NotOpened(Exception):
    """No conversation came about; says at which step."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


class Stale(Exception):
    """A kept connection had ended before the next message began: nothing of it was given away."""


class Conversation:
    """One open connection to the provider. Messages go one at a time, each fully answered.

    Commands are not pipelined: each waits for its reply (RFC 2920 has its place in `_transaction`).
    """

    def __init__(self, settings: Settings, tls: ssl.SSLContext) -> None:
        self._settings = settings
        self._tls = tls
        self._wire = Wire()
        self._offers: dict[str, str] = {}
        self._secure = settings.implicit_tls
        self._unfinished = False
        self._deadline = 0.0
        self._stage: Stage = "connect"
        self.sent = 0
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Whether another message may be tried here."""
        return self._wire.usable

    async def open(self) -> None:
        """Connect, greet, secure and log in; raises `NotOpened`."""
        waits = self._settings.timeouts
        try:
            await self._connect()
            self._stage = "banner"
            self._demand(await self._wire.reply(waits.banner_s), 220)
            await self._greet()
            if not self._secure:
                await self._secure_it()
            if self._settings.user:
                await self._log_in()
        except Lost as lost:
            self.abort()
            raise NotOpened(self._stage, str(lost)) from lost

    async def deliver(self, envelope: Envelope) -> Outcome:
        """Hand one message over; raises `Stale` if a kept connection proves dead at its start."""
        unfit = self._unfit(envelope)
        if unfit is not None:
            return unfit
        self._deadline = asyncio.get_running_loop().time() + self._settings.timeouts.message_s
        self._stage = "mail"
        try:
            refused = await self._transaction(envelope)
            if refused is not None:
                return refused
            self._stage = "body"
            await self._wire.write(stuffed(envelope.data), self._wait(self._settings.timeouts.block_s))
            # From this call on the end is ambiguous; on a dead connection it hands nothing over.
            self._wire.hand(b".\r\n")
        except Lost as lost:
            self.abort()
            if self._stage == "mail" and self.sent:
                raise Stale from lost
            return NotTaken(envelope.key, str(lost), self._stage)
        self._stage = "dot"
        return await self._verdict(envelope)

    async def quit(self) -> None:
        """Take leave; whatever becomes of it, every message is settled already."""
        try:
            await self._wire.command("QUIT", self._settings.timeouts.quit_s)
        except Lost:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self._wire.abort()

    async def _connect(self) -> None:
        settings = self._settings
        waits = settings.timeouts
        loop = asyncio.get_running_loop()
        secure = settings.implicit_tls
        try:
            async with asyncio.timeout(waits.connect_s):
                await loop.create_connection(
                    lambda: self._wire,
                    settings.host,
                    settings.port,
                    ssl=self._tls if secure else None,
                    server_hostname=settings.host if secure else None,
                )
        except TimeoutError:
            raise Lost(f"no connection within {waits.connect_s:g} s") from None
        except OSError as problem:
            raise Lost(f"no connection: {problem}") from problem

    async def _greet(self) -> None:
        """Say EHLO and keep what the server offers; HELO alone offers too little to be worth it."""
        self._stage = "ehlo"
        reply = await self._command(f"EHLO {self._settings.ehlo_name()}")
        self._demand(reply, 250)
        words = [line.strip().partition(" ") for line in reply.lines[1:]]
        self._offers = {word.upper(): rest.upper() for word, _, rest in words}

    async def _secure_it(self) -> None:
        """Start TLS as the settings say (RFC 3207); all that was learnt before it is forgotten."""
        mode = self._settings.starttls
        if mode == "never":
            return
        self._stage = "starttls"
        if "STARTTLS" not in self._offers:
            if mode == "require":
                raise Lost("the server does not offer STARTTLS")
            return
        reply = await self._command("STARTTLS")
        if reply.code != 220 and mode == "opportunistic":
            return
        self._demand(reply, 220)
        await self._wire.start_tls(self._tls, self._settings.host, self._settings.timeouts.connect_s)
        self._secure = True
        await self._greet()

    async def _log_in(self) -> None:
        """Authenticate by PLAIN (RFC 4616), else LOGIN; never in clear but to this machine itself."""
        self._stage = "auth"
        if not self._secure and not is_loopback(self._wire.peer):
            raise Lost("the server offers no TLS, and the password is not sent in clear")
        offered = self._offers.get("AUTH", "").split()
        user, password = self._settings.user, self._settings.password
        if "PLAIN" in offered:
            reply = await self._command("AUTH PLAIN " + _base64(f"\0{user}\0{password}"))
        elif "LOGIN" in offered:
            self._demand(await self._command("AUTH LOGIN"), 334)
            self._demand(await self._command(_base64(user)), 334)
            reply = await self._command(_base64(password))
        else:
            raise Lost("the server offers neither AUTH PLAIN nor AUTH LOGIN")
        self._demand(reply, 235)

    def _unfit(self, envelope: Envelope) -> Refused | None:
        """Refuse what this server says it cannot take, before a word is spent on it."""
        if envelope.needs_smtputf8 and "SMTPUTF8" not in self._offers:
            # RFC 6531 3.5 names 553 and 5.6.7 for it.
            text = "5.6.7 the provider does not offer SMTPUTF8, which this address needs"
            return Refused(envelope.key, 553, text, permanent=True, stage="mail")
        largest = self._offers.get("SIZE", "")
        if largest.isdecimal() and 0 < int(largest[:18]) < len(envelope.data):
            text = f"5.3.4 the provider takes at most {largest[:18]} octets"
            return Refused(envelope.key, 552, text, permanent=True, stage="mail")
        return None

    async def _transaction(self, envelope: Envelope) -> Refused | None:
        """Send MAIL, RCPT and DATA; None when the server waits for the message."""
        if self._unfinished:
            self._demand(await self._command("RSET"), 250)
            self._unfinished = False
        reply = await self._command(self._mail_line(envelope))
        if reply.code == 421 and self.sent:
            # It has had enough messages or waited too long: the next connection takes this one.
            raise Lost(reply.text)
        if reply.code // 100 != 2:
            return self._refused(envelope, reply, permanent=False)
        self._stage, self._unfinished = "rcpt", True
        reply = await self._command(f"RCPT TO:<{envelope.rcpt_to}>")
        if reply.code // 100 != 2:
            return self._refused(envelope, reply, permanent=reply.code >= 500)
        self._stage = "data"
        reply = await self._command("DATA", self._settings.timeouts.data_s)
        if reply.code != 354:
            return self._refused(envelope, reply, permanent=reply.code >= 500)
        return None

    def _mail_line(self, envelope: Envelope) -> str:
        line = f"MAIL FROM:<{envelope.mail_from}>"
        if "SIZE" in self._offers:
            line += f" SIZE={len(envelope.data)}"
        if "8BITMIME" in self._offers and not envelope.data.isascii():
            line += " BODY=8BITMIME"
        if envelope.needs_smtputf8:
            line += " SMTPUTF8"
        return line

    async def _verdict(self, envelope: Envelope) -> Outcome:
        """Read the reply that decides; nothing but a complete 2xx, 4xx or 5xx does."""
        try:
            reply = await self._wire.reply(self._wait(self._settings.timeouts.dot_s))
        except Lost as lost:
            self.abort()
            return Unknown(envelope.key, str(lost))
        self.sent += 1
        self._unfinished = False
        if reply.code // 100 == 2:
            return Accepted(envelope.key, reply.code, reply.text)
        if reply.code < 400:
            self.abort()
            return Unknown(envelope.key, f"the message was answered by {reply.code} {reply.text}")
        return self._refused(envelope, reply, permanent=reply.code >= 500)

    def _refused(self, envelope: Envelope, reply: Reply, *, permanent: bool) -> Refused:
        """Give a complete 4xx or 5xx as a value; any other code means we lost step: `Lost`."""
        if reply.code < 400:
            raise Lost(f"an unexpected reply: {reply.code} {reply.text}")
        if reply.code == 421:
            # RFC 5321 3.8: the server closes after it, whatever command it answers.
            self.abort()
        return Refused(envelope.key, reply.code, reply.text, permanent, self._stage)

    def _demand(self, reply: Reply, code: int) -> None:
        if reply.code != code:
            raise Lost(f"the server answered {reply.code} {reply.text}")

    async def _command(self, line: str, wait_s: float | None = None) -> Reply:
        return await self._wire.command(line, self._wait(wait_s or self._settings.timeouts.command_s))

    def _wait(self, step_s: float) -> float:
        """Give the time for a step, cut to what the message has left."""
        if not self._deadline:
            return step_s
        return max(0.0, min(step_s, self._deadline - asyncio.get_running_loop().time()))


def stuffed(data: bytes) -> bytes:
    """Give the message as DATA carries it: CRLF alone, dots doubled (RFC 5321 4.5.2), CRLF at the end.

    A bare CR or LF would let a receiver see another end than we do (SMTP smuggling, CVE-2023-51764).
    """
    ends = data.count(b"\r\n")
    if data.count(b"\n") != ends or data.count(b"\r") != ends:
        data = _LINE_ENDS.sub(b"\r\n", data)
    if b"\x00" in data:
        data = data.replace(b"\x00", b"")
    if not data.endswith(b"\r\n"):
        data += b"\r\n"
    return (b"." if data.startswith(b".") else b"") + data.replace(b"\r\n.", b"\r\n..")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
