"""The step × fault matrix of SMTP, on both event loops, and the proof that it can fail."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from tests.mail.matrix import FAULTS, all_wrongs, cells
from tidings.mail.outcome import Accepted, Envelope, NotTaken, Outcome, Refused, Unknown
from tidings.mail.smtp import Smtp

FAULT_NAMES = ("refuse", *FAULTS, "legal but wrong")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server's context and the PEM file of the authority that vouches for it."""
    authority = trustme.CA()
    pem: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, str(pem)


def run(main: Callable[[], Coroutine[Any, Any, Any]], *, loop: str = "uvloop") -> Any:
    factory = uvloop.new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


@pytest.mark.parametrize("loop", ("asyncio", "uvloop"))
@pytest.mark.parametrize("fault", FAULT_NAMES)
def test_every_step_with_every_fault_ends_as_the_table_says(
    fault: str, loop: str, tls: tuple[ssl.SSLContext, str]
) -> None:
    assert run(lambda: all_wrongs(fault, Smtp, tls), loop=loop) == []


def test_the_matrix_has_every_meaningful_cell() -> None:
    count = sum(1 for fault in FAULT_NAMES for _ in cells(fault))
    steps = {(cell.step, cell.fault) for fault in FAULT_NAMES for cell in cells(fault)}
    assert len(steps) >= 115
    assert count >= 2 * len(steps)


class LostReplyIsAccepted(Smtp):
    """A planted bug: what may have arrived is called sent."""

    async def send(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        return [
            Accepted(each.key, 250, "surely") if isinstance(each, Unknown) else each
            for each in await super().send(envelopes)
        ]


class LostReplyIsNotTaken(Smtp):
    """A planted bug: what may have arrived is called certainly not sent."""

    async def send(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        return [
            NotTaken(each.key, each.reason, "body") if isinstance(each, Unknown) else each
            for each in await super().send(envelopes)
        ]


class LostReplySendsAgain(Smtp):
    """A planted bug: what may have arrived is sent once more at once."""

    async def send(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        outcomes = await super().send(envelopes)
        lost = [at for at, each in enumerate(outcomes) if isinstance(each, Unknown)]
        for at, again in zip(lost, await super().send([envelopes[at] for at in lost]), strict=True):
            outcomes[at] = again
        return outcomes


class RefusalIsForGood(Smtp):
    """A planted bug: every refusal is held for a permanent one."""

    async def send(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        return [
            Refused(each.key, each.code, each.text, permanent=True, stage=each.stage)
            if isinstance(each, Refused)
            else each
            for each in await super().send(envelopes)
        ]


@pytest.mark.parametrize(
    ("bug", "fault", "step"),
    (
        (LostReplyIsAccepted, "RST", "dot"),
        (LostReplyIsNotTaken, "RST", "answer"),
        (LostReplySendsAgain, "FIN", "answer"),
        (RefusalIsForGood, "4xx", "rcpt"),
    ),
)
def test_the_matrix_catches_a_planted_bug(
    bug: type[Smtp], fault: str, step: str, tls: tuple[ssl.SSLContext, str]
) -> None:
    found = run(lambda: all_wrongs(fault, bug, tls))
    assert any(f"step='{step}'" in wrong for wrong in found)


@pytest.mark.parametrize("bug", (LostReplyIsAccepted, LostReplyIsNotTaken, LostReplySendsAgain))
def test_the_servers_own_count_alone_gives_a_planted_bug_away(
    bug: type[Smtp], tls: tuple[ssl.SSLContext, str]
) -> None:
    found = run(lambda: all_wrongs("FIN", bug, tls))
    assert any("and yet" in wrong for wrong in found)
