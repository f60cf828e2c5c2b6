"""SMTP through a TCP proxy that spoils connections: what is claimed is what the server has."""

import asyncio
import os
import random
from typing import Any

import pytest
import uvloop

from tests.mail.fault_proxy import HARMLESS, TOXICS, Proxy
from tests.mail.matrix import EARLY, lies
from tests.mail.sink import Sink
from tidings.mail.outcome import Accepted, Envelope, NotTaken, Outcome, Unknown
from tidings.mail.provider import Settings, Timeouts
from tidings.mail.smtp import Smtp

SEEDS = {"release": 500, "ci": 25}.get(os.environ.get("TIDINGS_PROOF", ""), 5)
# A step waits for so long only under "time-out"; anywhere else nothing comes near it.
WAIT_S = {"time-out": 1.0}


async def spoilt(toxic: str, seed: int, *, pipelining: bool) -> tuple[list[Outcome], list[str]]:
    """Send six messages of several sizes through a spoilt connection."""
    seeded = random.Random(f"{toxic} {seed}")
    offers = ["8BITMIME", *(["PIPELINING"] if pipelining else [])]
    envelopes = [
        Envelope(key, "news@a.test", f"p{key}@b.test", b"Subject: hi\r\n\r\n" + b"line\r\n" * size)
        for key, size in enumerate(seeded.choices((1, 20, 200, 40_000), (8, 8, 4, 1), k=6))
    ]
    waits = Timeouts(quit_s=0.2).capped(WAIT_S.get(toxic, 30.0))
    async with Sink(offers=offers) as sink, Proxy(sink.port, toxic, seeded) as proxy:
        smtp = Smtp(Settings("127.0.0.1", proxy.port, starttls="never", timeouts=waits))
        outcomes = await smtp.send(envelopes)
        await smtp.close()
        return outcomes, lies(envelopes, outcomes, sink)


def run(toxic: str, loop: str) -> list[tuple[list[Outcome], list[str]]]:
    async def main() -> list[Any]:
        tasks = [spoilt(toxic, seed, pipelining=seed % 2 == 0) for seed in range(SEEDS)]
        return await asyncio.gather(*tasks)

    factory = uvloop.new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


@pytest.mark.parametrize("loop", ("asyncio", "uvloop"))
@pytest.mark.parametrize("toxic", TOXICS)
def test_whatever_tcp_does_the_outcomes_are_true(toxic: str, loop: str) -> None:
    for seed, (outcomes, found) in enumerate(run(toxic, loop)):
        assert found == [], f"seed {seed}"
        if toxic in HARMLESS:
            assert all(isinstance(each, Accepted) for each in outcomes), f"seed {seed}"
        # Two connections are spoilt; each costs at most the message it was carrying, and those that
        # were not tried because none could be opened.
        begun = [each for each in outcomes if not (isinstance(each, NotTaken) and each.stage in EARLY)]
        assert sum(isinstance(each, NotTaken | Unknown) for each in begun) <= 2, f"seed {seed}"


def test_the_harmful_ones_do_harm() -> None:
    outcomes = [each for toxic in set(TOXICS) - HARMLESS for each, _ in run(toxic, "uvloop")]
    assert any(not isinstance(each, Accepted) for batch in outcomes for each in batch)
