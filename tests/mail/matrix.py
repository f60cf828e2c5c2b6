"""Every step of an SMTP conversation times every fault, and what must come of it.

The expectations are the table of the delivery model: before the terminator nothing is taken, after it
only a complete reply decides, and QUIT decides nothing. A cell is run against a scripted server whose
own count of accepted copies is held against what the client claims.
"""

import asyncio
import dataclasses
import ssl
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.mail.sink import Act, Fault, Script, Sink
from tidings.mail.outcome import Accepted, Envelope, NotTaken, Outcome, Refused, Unknown
from tidings.mail.provider import Settings, Timeouts
from tidings.mail.smtp import Smtp

DATA = b"From: a@a.test\r\nSubject: hi\r\n\r\n.dot\r\n..\r\nend\r\n"
# More than the socket buffers of both sides and the sink's own hold: loopback takes up to about 10 MB.
LONG_DATA = b"Subject: long\r\n\r\n" + (b"x" * 998 + b"\r\n") * 16_000
SHORT_S = 1.0
LONG_S = 20.0

FAULTS: dict[str, Act] = {
    "421": "421 4.3.2 closing",
    "4xx": "451 4.3.0 later",
    "5xx": "554 5.7.1 never",
    **{fault.name: fault for fault in Fault},
}
WAITS = {"STALL", "HALF_STALL", "DRIP"}
# A reply that is legal, but not to this.
WRONG = {
    "banner": "250 odd",
    "starttls": "250 odd",
    "auth": "250 odd",
    "data": "250 odd",
    "connect": "220 odd",
}
COMPLETE = {"421", "4xx", "5xx"}
EARLY = ("connect", "banner", "ehlo", "starttls", "auth")
# One message alone, or in the middle of three over one connection.
ALONE = (*EARLY, "mail", "rcpt", "data", "body", "dot", "answer", "quit")
WITHIN = ("mail", "rcpt", "data", "body", "dot", "answer", "rset", "lone")

Ending = tuple[str, str, bool]
ACCEPTED: Ending = ("Accepted", "", False)
REFUSED: Ending = ("Refused", "rcpt", True)


@dataclass(frozen=True, slots=True)
class Cell:
    """One step, one fault; `within` puts it into the second of three messages."""

    step: str
    fault: str
    pipelining: bool
    within: bool = False

    @property
    def act(self) -> Act:
        """What the server does at the step."""
        return FAULTS.get(self.fault, WRONG.get(self.step, "354 odd"))


def cells(fault: str) -> Iterator[Cell]:
    """Give every meaningful cell of one fault."""
    for pipelining in (True, False):
        for step in ALONE:
            if (fault != "refuse" or step == "connect") and not _is_a_lie(step, fault):
                yield Cell(step, fault, pipelining)
        for step in WITHIN:
            # A lone dot is sent only where DATA was sent before RCPT was answered.
            if fault != "refuse" and (pipelining or step != "lone") and not _is_a_lie(step, fault):
                yield Cell(step, fault, pipelining, within=True)


def expected(cell: Cell) -> list[Ending]:
    """Kind of outcome, stage and whether for good, for each message of a cell."""
    return [ACCEPTED, _within(cell), ACCEPTED] if cell.within else [_alone(cell)]


def _alone(cell: Cell) -> Ending:
    step, fault = cell.step, cell.fault
    if step == "quit":
        return ACCEPTED
    if step in ("dot", "answer"):
        return ("Refused", "dot", fault == "5xx") if fault in COMPLETE else ("Unknown", "", False)
    if fault in COMPLETE and step in ("mail", "rcpt", "data"):
        # A refused MAIL counts against the provider, so the recipient's row is only deferred.
        return "Refused", step, fault == "5xx" and step != "mail"
    return "NotTaken", step, False


def _within(cell: Cell) -> Ending:
    if cell.step == "mail" and cell.fault not in ("4xx", "5xx"):
        # It had not begun when the connection ended, so the next one takes it.
        return ACCEPTED
    if cell.step in ("rset", "lone"):
        return REFUSED
    return _alone(cell)


def script(cell: Cell) -> Script:
    """What the server of a cell does."""
    if cell.step == "rset":
        # The second is refused, so that the third begins with RSET.
        return {"rcpt": [None, "550 5.1.1 nobody"], "rset": cell.act}
    if cell.step == "lone":
        return {"rcpt": [None, "550 5.1.1 nobody"], "data": [None, "354 go on"], "lone": cell.act}
    return {cell.step: [None, cell.act]} if cell.within else {cell.step: cell.act}


async def wrongs(cell: Cell, client: type[Smtp], tls: tuple[ssl.SSLContext, str]) -> list[str]:
    """Run a cell; gives a sentence for everything that is not as it must be."""
    context, authority = tls
    waits = Timeouts(quit_s=0.2).capped(SHORT_S if cell.fault in WAITS else LONG_S)
    if cell.step != "connect":
        waits = dataclasses.replace(waits, connect_s=LONG_S)
    changes: dict[str, Any] = {"user": "u", "password": "p", "connections": 1, "timeouts": waits}
    # Without a file of its own each client would read the system's authorities, 18 ms.
    changes["ca_file"] = authority
    if cell.step in ("starttls", "connect"):
        changes |= {"starttls": "require", "implicit_tls": cell.step == "connect"}
    keys = [0, 1, 2] if cell.within else [1]
    envelopes = [
        Envelope(key, "news@a.test", f"p{key}@b.test", LONG_DATA if _is_long(cell, key) else DATA)
        for key in keys
    ]
    # At "connect" the client begins TLS and the server answers in clear, as its banner says.
    scripts = [{"banner": cell.act}] if cell.step == "connect" else [script(cell)]
    offers = ["AUTH PLAIN", "8BITMIME", *(["PIPELINING"] if cell.pipelining else [])]
    async with Sink(scripts, offers=offers, tls=context if cell.step == "starttls" else None) as sink:
        port = sink.port
        if cell.fault == "refuse":
            await sink.__aexit__(None, None, None)
        smtp = client(Settings("127.0.0.1", port, **changes))
        outcomes = await smtp.send(envelopes)
        await smtp.close()
        return [f"{cell}: {wrong}" for wrong in _compared(cell, envelopes, outcomes, sink)]


async def all_wrongs(fault: str, client: type[Smtp], tls: tuple[ssl.SSLContext, str]) -> list[str]:
    """Run every cell of a fault at once."""
    found = await asyncio.gather(*(wrongs(cell, client, tls) for cell in cells(fault)))
    return [wrong for each in found for wrong in each]


def ending(outcome: Outcome) -> Ending:
    """Kind, stage and permanence of an outcome."""
    stage = outcome.stage if isinstance(outcome, Refused | NotTaken) else ""
    return type(outcome).__name__, stage, isinstance(outcome, Refused) and outcome.permanent


def lies(envelopes: list[Envelope], outcomes: list[Outcome], sink: Sink) -> list[str]:
    """What the client says that the server's own count denies: the heart of the matter."""
    copies = Counter(taken.rcpt_to for taken in sink.accepted)
    found = []
    if [outcome.key for outcome in outcomes] != [envelope.key for envelope in envelopes]:
        found.append("the outcomes are not those of the envelopes, in order")
    for envelope, outcome in zip(envelopes, outcomes, strict=False):
        count = copies[(envelope.rcpt_to,)]
        allowed = {0, 1} if isinstance(outcome, Unknown) else {int(isinstance(outcome, Accepted))}
        if count not in allowed:
            found.append(f"{outcome} and yet {count} copies")
    return found


def _compared(cell: Cell, envelopes: list[Envelope], outcomes: list[Outcome], sink: Sink) -> Iterator[str]:
    yield from lies(envelopes, outcomes, sink)
    for outcome, must_be in zip(outcomes, expected(cell), strict=True):
        if ending(outcome) != must_be:
            yield f"{outcome} instead of {must_be}"
    sent = {envelope.rcpt_to: envelope.data for envelope in envelopes}
    if any(taken.data != sent[taken.rcpt_to[0]] for taken in sink.accepted):
        yield "a message was changed on the way"
    if sink.bare_line_ends:
        yield "a bare CR or LF was sent"


def _is_a_lie(step: str, fault: str) -> bool:
    """Whether the server would take a message and then refuse it: no client can know."""
    return step == "answer" and fault in COMPLETE


def _is_long(cell: Cell, key: int) -> bool:
    return cell.step == "body" and key == 1
