"""The providers of mail: the Outbox, and an SMTP server."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from tidings.core import deliveries, erasure, pacing
from tidings.core.deliveries import Delivery, Letter, Outcome
from tidings.mail import outcome, provider, smtp
from tidings.mail.classify import classify
from tidings.settings import Bad, Settings
from tidings.store.db import Database
from tidings.web.house import Provider

OUTBOX = "outbox:"
# Connections kept for the lane `now` beside those of bulk mail.
NOW_CONNECTIONS = 2
_STARTTLS = {
    "require": "TLS is required (STARTTLS)",
    "opportunistic": "TLS where the server offers it (STARTTLS)",
    "never": "no TLS",
}
# Before anything was said about a mail.
_OPENING = ("connect", "banner", "ehlo", "starttls", "auth")


class OutboxProvider:
    """Keeps mail in the database: nothing leaves this machine."""

    width = 4

    def __init__(self, db: Database) -> None:
        self._db = db

    async def send(self, letters: Sequence[Letter]) -> list[Outcome]:
        for account_id in {one.delivery.account_id for one in letters}:
            theirs = [
                (one.delivery.id, one.rcpt_to, one.subject, one.data)
                for one in letters
                if one.delivery.account_id == account_id
            ]
            await self._db.write(account_id, erasure.keep_unless_erased, theirs)
        return [Outcome(one.delivery, "sent", "kept in the Outbox", kept=True) for one in letters]

    async def close(self) -> None:
        """Nothing is open."""


class SmtpProvider:
    """Hands mail to an SMTP server and says in our words how it ended."""

    def __init__(self, settings: provider.Settings, clock: Callable[[], int]) -> None:
        self._smtp = smtp.Smtp(settings)
        self._clock = clock
        self.width = settings.connections

    async def send(self, letters: Sequence[Letter]) -> list[Outcome]:
        envelopes = [
            outcome.Envelope(at, one.mail_from, one.rcpt_to, one.data, one.smtputf8, strict=True)
            for at, one in enumerate(letters)
        ]
        said = await self._smtp.send(envelopes)
        return [self._outcome(letters[int(str(one.key))].delivery, one) for one in said]

    def _outcome(self, delivery: Delivery, said: outcome.Outcome) -> Outcome:
        match said:
            case outcome.Accepted(code=code, text=text):
                return Outcome(delivery, "sent", f"{code} {text}")
            case outcome.Refused(code=code, text=text, permanent=True):
                return Outcome(delivery, "failed", f"{code} {text}", verdict=classify(code, text))
            case outcome.Refused(code=code, text=text):
                return self._later(delivery, f"{code} {text}", classify(code, text))
            case outcome.NotTaken(reason=reason, stage=stage) if stage in _OPENING:
                # The provider's fault alone: tried again as soon as it takes mail.
                return Outcome(delivery, "queued", reason, self._clock(), untried=True)
            case outcome.NotTaken(reason=reason):
                return self._later(delivery, reason, "")
            case outcome.Unknown(reason=reason):
                return Outcome(delivery, "unknown", reason)

    def _later(self, delivery: Delivery, reply: str, verdict: str) -> Outcome:
        at = deliveries.retry_at(self._clock(), delivery)
        if at is None:
            return Outcome(delivery, "failed", f"given up: {reply}", verdict=verdict)
        return Outcome(delivery, "deferred", reply, at, verdict=verdict)

    async def close(self) -> None:
        await self._smtp.close()


def limits_of(settings: Settings) -> pacing.Limits | None:
    """Return how much the SMTP server of the settings may be given; None for the Outbox."""
    chosen = _smtp_of(settings)
    return pacing.limits_of(chosen) if chosen else None


def shown_of(settings: Settings) -> Provider:
    """Return where mail goes, as pages may show it."""
    chosen = _smtp_of(settings)
    if chosen is None:
        return Provider()
    if chosen.implicit_tls:
        security = "TLS from the start"
    else:
        security = _STARTTLS[chosen.starttls]
    return Provider(
        chosen.host, chosen.port, security, bool(chosen.user), chosen.connections, limits_of(settings)
    )


def providers_of(settings: Settings, db: Database) -> dict[str, OutboxProvider | SmtpProvider]:
    """Return who hands over the mail of each lane: confirmations never wait behind bulk."""
    chosen = _smtp_of(settings)
    if chosen is None:
        return {"now": OutboxProvider(db), "bulk": OutboxProvider(db)}
    fewer = replace(chosen, connections=min(NOW_CONNECTIONS, chosen.connections))
    return {"now": SmtpProvider(fewer, db.clock), "bulk": SmtpProvider(chosen, db.clock)}


def _smtp_of(settings: Settings) -> provider.Settings | None:
    if settings.smtp_url == OUTBOX:
        return None
    try:
        return provider.Settings.from_url(settings.smtp_url)
    except ValueError as problem:
        raise Bad(f"TIDINGS_SMTP_URL cannot be used: {problem}") from problem
