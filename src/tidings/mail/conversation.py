"""One SMTP conversation (RFC 5321): opened, secured and logged in, then an `Exchange`, then ended."""

import asyncio
import base64
import ssl

from tidings.mail.exchange import Exchange
from tidings.mail.offers import Offers
from tidings.mail.outcome import Batch, Stage
from tidings.mail.provider import Settings, is_loopback
from tidings.mail.wire import Lost, Reply, Wire


class NotOpened(Exception):
    """No conversation came about; says at which step."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


class Conversation:
    """One open connection to the provider."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext) -> None:
        self._settings = settings
        self._tls = tls
        self._wire = Wire()
        self._offers = Offers()
        self._secure = settings.implicit_tls
        self._stage: Stage = "connect"
        self.exchange = Exchange(self._wire, settings.timeouts, self._offers)
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
            self.exchange = Exchange(self._wire, waits, self._offers)
        except Lost as lost:
            self.abort()
            raise NotOpened(self._stage, str(lost)) from lost

    async def deliver(self, batch: Batch, limit: int) -> None:
        """Settle what waits in `batch` until it is empty or this connection is over."""
        await self.exchange.run(batch, limit)

    async def quit(self) -> None:
        """Take leave; whatever becomes of it, every message is settled already."""
        try:
            await self._wire.command("QUIT", self._settings.timeouts.quit_s)
        except Lost:
            pass
        finally:
            self.abort()

    def leave(self) -> None:
        """Say QUIT to a server that takes no more here, and wait for nothing."""
        try:
            self._wire.hand(b"QUIT\r\n")
        except Lost:
            self.abort()
        else:
            self.exchange.stop()
            self._wire.leave()

    def abort(self) -> None:
        """End the connection at once."""
        self.exchange.stop()
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
        self._offers = Offers(reply.lines[1:])

    async def _secure_it(self) -> None:
        """Start TLS as the settings say (RFC 3207); all that was learnt before it is forgotten."""
        mode = self._settings.starttls
        if mode == "never":
            return
        self._stage = "starttls"
        if not self._offers.starttls:
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
        offered = self._offers.log_ins
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

    def _demand(self, reply: Reply, code: int) -> None:
        if reply.code != code:
            raise Lost(f"the server answered {reply.code} {reply.text}")

    async def _command(self, line: str) -> Reply:
        return await self._wire.command(line, self._settings.timeouts.command_s)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
