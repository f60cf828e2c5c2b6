"""What is handed to a provider, and how it ended: values, because a refusal is no mistake of ours.

Accepted   a complete 2xx answered the message: the provider has it
Refused    a complete 4xx or 5xx answered: the provider does not have it
NotTaken   the conversation broke before the terminator was handed over: certainly not taken
Unknown    it broke after that: nobody can tell (RFC 1047)
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Stage = Literal["connect", "banner", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "dot"]

# What may stand between the angle brackets of a command; a space or ">" would add a parameter.
_PATH = re.compile("[^\\x00-\\x20<>\\x7f-\\xa0\\u2028\\u2029\\ud800-\\udfff]{0,320}\\Z")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message to one recipient. `key` comes back in the outcome; `mail_from` may be empty.

    `data` is the whole message; `strict` says that its lines end in CRLF and hold no bare CR, LF or
    NUL, as those of `message` and `content` do. Domains are A-labels; `smtputf8` asks for RFC 6531, as any
    non-ASCII address does. Raises `ValueError` for an address that cannot stand in a command.
    """

    key: object
    mail_from: str
    rcpt_to: str
    data: bytes
    smtputf8: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if _PATH.match(self.mail_from) is None or _PATH.match(self.rcpt_to) is None or not self.rcpt_to:
            raise ValueError("an envelope's address cannot stand in an SMTP command")

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the provider must offer SMTPUTF8 for this one."""
        return self.smtputf8 or not (self.mail_from.isascii() and self.rcpt_to.isascii())


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message with this final reply."""

    key: object
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider refused with this reply. `permanent` asks not to try this one again.

    At "mail" a reply speaks of us or the provider, not of the recipient, so it is never permanent,
    except where this client itself finds the message unfit for the provider (SMTPUTF8, SIZE).
    """

    key: object
    code: int
    text: str
    permanent: bool
    stage: Stage


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The conversation failed at `stage`, before the terminator: counts against the provider."""

    key: object
    reason: str
    stage: Stage = "connect"


@dataclass(frozen=True, slots=True)
class Unknown:
    """The terminator was handed to the socket and no complete reply came back."""

    key: object
    reason: str


Outcome = Accepted | Refused | NotTaken | Unknown


class Batch:
    """The envelopes of one `send`, those still waiting, and the outcomes so far.

    `broken` counts how many in a row ended a connection: `NotTaken`, `Unknown` or refused by 421.
    """

    def __init__(self, envelopes: Sequence[Envelope]) -> None:
        self.envelopes = envelopes
        self.waiting = deque(range(len(envelopes)))
        self.broken = 0
        self._outcomes: list[Outcome | None] = [None] * len(envelopes)
        self._reason = "no connection"
        self._stage: Stage = "connect"

    def settle(self, at: int, outcome: Outcome) -> None:
        """Keep the outcome of envelope `at`."""
        self._outcomes[at] = outcome
        if isinstance(outcome, NotTaken | Unknown):
            self.broken += 1
            self.give_up(outcome.reason, outcome.stage if isinstance(outcome, NotTaken) else "dot")
        elif isinstance(outcome, Refused) and outcome.code == 421:
            self.broken += 1
            self.give_up(f"421 {outcome.text}", outcome.stage)
        else:
            self.broken = 0

    def give_up(self, reason: str, stage: Stage) -> None:
        """Note why those that will not be tried were not."""
        self._reason, self._stage = reason, stage

    def finished(self) -> list[Outcome]:
        """Give every outcome; what was not tried is `NotTaken`."""
        return [
            outcome or NotTaken(envelope.key, self._reason, self._stage)
            for envelope, outcome in zip(self.envelopes, self._outcomes, strict=True)
        ]
