"""Servers that misbehave at random: whatever they do, the outcomes are true and all there."""

import asyncio
import os
import random
from collections.abc import Sequence
from typing import Any

import pytest
import uvloop

from tests.mail.matrix import lies
from tests.mail.sink import Act, Fault, Script, Sink
from tidings.mail.exchange import BLOCK
from tidings.mail.outcome import Accepted, Envelope, Outcome, Unknown
from tidings.mail.provider import Settings, Timeouts
from tidings.mail.smtp import Smtp

SEEDS = {"release": 20_000, "ci": 2_000}.get(os.environ.get("TIDINGS_PROOF", ""), 200)
AT_ONCE = 25
# Those that end at once; waiting out a time-out is the matrix's matter.
QUICK = (Fault.FIN, Fault.RST, Fault.GARBAGE, Fault.LONG, Fault.HALF, Fault.HALF_LINES)
REFUSALS = (
    "421 4.3.2 closing",
    "421 4.7.0 too many messages in this connection",
    "452 4.5.3 too many messages",
    "451 4.3.0 later",
    "550 5.1.1 nobody",
    "554 5.7.1 never",
)
# More or other replies than were asked for.
ODD: dict[str, Sequence[Act]] = {
    "mail": ("354 odd", b"250 a\r\n250 b\r\n", b"250 a\r\n550 b\r\n"),
    "rcpt": ("354 odd", b"250 a\r\n250 b\r\n", b"550 a\r\n550 b\r\n", b"250 a\r\n354 b\r\n"),
    "data": ("250 odd", b"354 a\r\n250 b\r\n", b"503 a\r\n354 b\r\n"),
    "dot": ("354 odd", b"250 a\r\n250 b\r\n", b"250 a\r\n354 b\r\n", "250 a\n250 b"),
    "rset": ("421 no", "354 odd"),
    "lone": ("250 odd", "421 no"),
}


def script(seeded: random.Random) -> Script:
    """Give each step its faults, one for about one message in `rarity`."""
    rarity = seeded.choice((2, 5, 20))
    drawn: dict[str, list[Act | None]] = {}
    for step in ("mail", "rcpt", "data", "body", "dot", "answer", "rset", "lone"):
        ways: list[Sequence[Act]] = [QUICK]
        # A server that refuses in the middle of a short message and takes it all the same, or takes
        # it and then refuses, tells a lie that no client can see.
        if step not in ("body", "answer"):
            ways += [REFUSALS, ODD.get(step, REFUSALS)]
        drawn[step] = [
            None if seeded.randrange(rarity) else seeded.choice(seeded.choice(ways)) for _ in range(20)
        ]
    if seeded.randrange(3) == 0:
        # Wants the message although it refused the recipient.
        drawn["data"] = ["354 go on"] * 20
    return drawn


async def talk(seed: int) -> tuple[list[Envelope], list[Outcome], Sink]:
    """Send two batches at once to a server that draws a script for every connection."""
    seeded = random.Random(seed)
    offers = ["8BITMIME", *(["PIPELINING"] if seeded.randrange(3) else [])]
    scripts = [script(seeded) for _ in range(40)]
    envelopes = [
        Envelope(key, "news@a.test", f"p{key}@b.test", b"Subject: hi\r\n\r\n" + b"line\r\n" * size)
        for key, size in enumerate(seeded.choices((1, 50, BLOCK // 4), (20, 10, 1), k=16))
    ]
    changes: dict[str, Any] = {"messages": seeded.choice((0, 0, 3)), "connections": 2}
    waits = Timeouts(quit_s=0.2).capped(30.0)
    async with Sink(scripts, offers=offers) as sink:
        smtp = Smtp(Settings("127.0.0.1", sink.port, starttls="never", timeouts=waits, **changes))
        halves = await asyncio.gather(smtp.send(envelopes[:8]), smtp.send(envelopes[8:]))
        await smtp.close()
        return envelopes, [*halves[0], *halves[1]], sink


async def talks(seeds: range) -> list[tuple[int, list[str], list[Outcome]]]:
    """Run so many at once; gives for each seed what is not true."""
    ran = await asyncio.gather(*map(talk, seeds))
    return [
        (seed, lies(envelopes, outcomes, sink), outcomes)
        for seed, (envelopes, outcomes, sink) in zip(seeds, ran, strict=True)
    ]


@pytest.mark.parametrize("loop", ("asyncio", "uvloop"))
def test_whatever_a_server_says_the_outcomes_are_true(loop: str) -> None:
    factory = uvloop.new_event_loop if loop == "uvloop" else None
    kinds: set[type[Outcome]] = set()
    with asyncio.Runner(loop_factory=factory) as runner:
        for first in range(0, SEEDS, AT_ONCE):
            for seed, found, outcomes in runner.run(talks(range(first, first + AT_ONCE))):
                assert found == [], f"seed {seed}"
                kinds |= {type(outcome) for outcome in outcomes}
    assert {Accepted, Unknown} < kinds
