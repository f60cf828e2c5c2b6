"""The SMTP client against a scripted server: every step times every fault, and what is kept."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from tests.mail.sink import Act, Fault, Script, Sink
from tidings.mail.conversation import stuffed
from tidings.mail.smtp import (
    Accepted,
    Envelope,
    NotTaken,
    Outcome,
    Refused,
    Settings,
    Smtp,
    Timeouts,
)

DATA = b"From: a@a.test\r\nSubject: hi\r\n\r\n.dot\r\n..\r\nend\r\n"
# More than the socket buffers of both sides and the sink's own hold: loopback takes up to about 10 MB.
LONG_DATA = b"Subject: long\r\n\r\n" + (b"x" * 78 + b"\r\n") * 400_000
SHORT_S = 1.0
LONG_S = 20.0

FAULTS: dict[str, Act] = {
    "421": "421 4.3.2 closing",
    "4xx": "451 4.3.0 later",
    "5xx": "554 5.7.1 never",
    **{fault.name: fault for fault in Fault},
}
WAITS = {"STALL", "HALF_STALL", "DRIP"}


def run(main: Callable[[], Coroutine[Any, Any, Any]], *, loop: str = "asyncio") -> Any:
    factory = uvloop.new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def timeouts(each_s: float) -> Timeouts:
    return Timeouts(quit_s=0.2).capped(each_s)


def settings(sink: Sink, **changes: Any) -> Settings:
    return Settings("127.0.0.1", sink.port, **{"timeouts": timeouts(LONG_S), **changes})


def envelope(key: object = 1, to: str = "bea@b.test", data: bytes = DATA, **changes: Any) -> Envelope:
    return Envelope(key, "news@a.test", to, data, **changes)


async def sent(sink: Sink, envelopes: list[Envelope], **changes: Any) -> list[Outcome]:
    smtp = Smtp(settings(sink, **changes))
    outcomes = await smtp.send(envelopes)
    await smtp.close()
    return outcomes


async def one(script: Script, data: bytes = DATA, **changes: Any) -> tuple[Outcome, int]:
    """Send one message into a script; gives the outcome and the copies the server took."""
    async with Sink([script], offers=["AUTH PLAIN", "8BITMIME"]) as sink:
        [outcome] = await sent(sink, [envelope(data=data)], **changes)
        assert all(taken.data == data for taken in sink.accepted)
        return outcome, len(sink.accepted)


def expected(step: str, fault: str) -> tuple[str, str, bool]:
    """The table of reliability.md section 2: kind of outcome, stage, permanent."""
    complete = fault in ("421", "4xx", "5xx")
    if step == "quit":
        return "Accepted", "", False
    if step == "dot":
        return ("Refused", "dot", fault == "5xx") if complete else ("Unknown", "", False)
    if complete and step in ("mail", "rcpt", "data"):
        # A refused MAIL counts against the provider, so the recipient's row is only deferred.
        return "Refused", step, fault == "5xx" and step != "mail"
    return "NotTaken", step, False


def kind_of(outcome: Outcome) -> tuple[str, str, bool]:
    stage = outcome.stage if isinstance(outcome, Refused | NotTaken) else ""
    return type(outcome).__name__, stage, isinstance(outcome, Refused) and outcome.permanent


STEPS = ("banner", "ehlo", "auth", "mail", "rcpt", "data", "body", "dot", "quit")


@pytest.mark.parametrize("loop", ("asyncio", "uvloop"))
@pytest.mark.parametrize("fault", (*FAULTS, "legal but wrong"))
def test_every_step_with_every_fault_ends_as_the_table_says(fault: str, loop: str) -> None:
    waits = timeouts(SHORT_S if fault in WAITS else LONG_S)

    async def cell(step: str) -> tuple[str, str, bool]:
        act = FAULTS.get(fault, "250 2.0.0 odd" if step in ("banner", "auth", "data") else "354 odd")
        data = LONG_DATA if step == "body" else DATA
        outcome, copies = await one({step: act}, data, user="u", password="p", timeouts=waits)
        assert copies == isinstance(outcome, Accepted), step
        return kind_of(outcome)

    async def main() -> dict[str, tuple[str, str, bool]]:
        return dict(zip(STEPS, await asyncio.gather(*map(cell, STEPS)), strict=True))

    assert run(main, loop=loop) == {step: expected(step, fault) for step in STEPS}


def test_a_refused_connection_leaves_every_envelope_not_taken() -> None:
    async def main() -> None:
        async with Sink() as sink:
            closed = settings(sink)
        outcomes = await Smtp(closed).send([envelope(key) for key in range(30)])
        assert [outcome.key for outcome in outcomes] == list(range(30))
        assert {kind_of(outcome) for outcome in outcomes} == {("NotTaken", "connect", False)}

    run(main)


def test_a_message_arrives_byte_for_byte_with_its_dots() -> None:
    outcome, copies = run(lambda: one({}))
    assert (outcome, copies) == (Accepted(1, 250, "2.0.0 taken"), 1)


def test_outcomes_come_in_the_order_of_the_envelopes_over_few_connections() -> None:
    async def main() -> None:
        async with Sink() as sink:
            envelopes = [envelope(key, f"p{key}@b.test") for key in range(40)]
            outcomes = await sent(sink, envelopes, connections=4)
            assert [outcome.key for outcome in outcomes] == list(range(40))
            assert all(isinstance(outcome, Accepted) for outcome in outcomes)
            assert sorted(taken.rcpt_to[0] for taken in sink.accepted) == sorted(
                each.rcpt_to for each in envelopes
            )
            assert 1 <= len(sink.talks) <= 4

    run(main)


def test_a_connection_is_kept_for_the_next_batch() -> None:
    async def main() -> None:
        async with Sink() as sink:
            smtp = Smtp(settings(sink))
            await smtp.send([envelope(1)])
            await smtp.send([envelope(2)])
            await smtp.close()
            assert len(sink.accepted) == 2
            assert len(sink.talks) == 1
            assert sink.talks[0].commands[-1] == "QUIT"

    run(main)


@pytest.mark.parametrize("end", (Fault.FIN, Fault.RST, "421 4.7.0 too many messages"))
def test_a_kept_connection_that_ended_costs_nothing(end: Act) -> None:
    async def main() -> None:
        async with Sink([{"mail": ["250 2.1.0 go on", end]}]) as sink:
            outcomes = await sent(sink, [envelope(1), envelope(2)], connections=1)
            assert all(isinstance(outcome, Accepted) for outcome in outcomes)
            assert len(sink.accepted) == 2
            assert len(sink.talks) == 2

    run(main)


def test_a_refused_recipient_disturbs_neither_the_next_nor_the_connection() -> None:
    async def main() -> None:
        async with Sink([{"rcpt": ["250 2.1.5 go on", "550 5.1.1 nobody here"]}]) as sink:
            outcomes = await sent(sink, [envelope(key) for key in (1, 2, 3)], connections=1)
            assert outcomes[1] == Refused(2, 550, "5.1.1 nobody here", permanent=True, stage="rcpt")
            assert [kind_of(outcome)[0] for outcome in outcomes] == ["Accepted", "Refused", "Accepted"]
            assert len(sink.talks) == 1
            assert "RSET" in sink.talks[0].commands

    run(main)


def test_after_three_broken_ends_in_a_row_the_rest_is_not_tried() -> None:
    async def main() -> None:
        async with Sink(default={"dot": Fault.FIN}) as sink:
            outcomes = await sent(sink, [envelope(key) for key in range(10)], connections=1)
            kinds = [kind_of(outcome)[0] for outcome in outcomes]
            assert kinds == ["Unknown"] * 3 + ["NotTaken"] * 7
            assert len(sink.talks) == 3

    run(main)


def test_a_poison_message_does_not_stop_the_others() -> None:
    async def main() -> None:
        async with Sink([{"data": Fault.RST}]) as sink:
            outcomes = await sent(sink, [envelope(key) for key in range(5)], connections=1)
            kinds = [kind_of(outcome)[0] for outcome in outcomes]
            assert kinds == ["NotTaken"] + ["Accepted"] * 4

    run(main)


def test_a_reply_sent_too_early_is_never_taken_for_the_final_one() -> None:
    # Two replies to RCPT: the second would answer DATA, and the real 354 would follow the dot.
    outcome, copies = run(lambda: one({"rcpt": b"250 ok\r\n250 ok\r\n"}))
    assert (kind_of(outcome)[0], copies) == ("NotTaken", 0)


def test_a_long_reply_of_many_lines_is_read_whole_and_one_without_end_is_cut_off() -> None:
    outcome, _ = run(lambda: one({"dot": "250 a\n250 b\n250 c"}))
    assert outcome == Accepted(1, 250, "a b c")
    outcome, _ = run(lambda: one({"dot": b"250-more\r\n" * 500}))
    assert kind_of(outcome)[0] == "Unknown"


def test_a_reply_shows_no_control_characters() -> None:
    outcome, _ = run(lambda: one({"rcpt": b"550 5.1.1 a\x1b[31m\x00b \xe2\x80\xaec\r\n"}))
    assert isinstance(outcome, Refused)
    assert outcome.text.isprintable()


def test_an_address_beyond_ascii_goes_only_where_smtputf8_is_offered() -> None:
    async def main() -> None:
        async with Sink(offers=["8BITMIME", "SMTPUTF8"]) as able, Sink(offers=[]) as unable:
            batch = [envelope(1, "ünal@b.test"), envelope(2, "bea@b.test")]
            taken = await sent(able, batch)
            assert all(isinstance(outcome, Accepted) for outcome in taken)
            assert "MAIL FROM:<news@a.test> SMTPUTF8" in able.talks[0].commands
            assert {each.rcpt_to for each in able.accepted} == {("ünal@b.test",), ("bea@b.test",)}
            refused = await sent(unable, batch)
            assert kind_of(refused[0]) == ("Refused", "mail", True)
            assert isinstance(refused[1], Accepted)

    run(main)


def test_a_message_above_the_announced_size_is_refused_without_a_try() -> None:
    async def main() -> None:
        async with Sink(offers=["SIZE 40"]) as sink:
            [outcome] = await sent(sink, [envelope()])
            assert kind_of(outcome) == ("Refused", "mail", True)
            assert not any(line.startswith("MAIL") for talk in sink.talks for line in talk.commands)

    run(main)


def test_a_cancelled_batch_leaves_no_connection_to_go_on_with() -> None:
    async def main() -> None:
        async with Sink([{"dot": ["250 2.0.0 taken", Fault.STALL]}]) as sink:
            smtp = Smtp(settings(sink, connections=1))
            sending = asyncio.ensure_future(smtp.send([envelope(0), envelope(1)]))
            await sink.faulted.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            # A late reply of the broken talk would be taken for the next message's.
            assert smtp._idle == []
            assert isinstance((await smtp.send([envelope(2)]))[0], Accepted)
            await smtp.close()
            assert len(sink.talks) == 2

    run(main)


@pytest.mark.parametrize(
    "address",
    (
        "a@b.test>\r\nRCPT TO:<v@x.test",
        "a@b.test> SIZE=1",
        "a b@c.test",
        "a@b\x00.test",
        "<a@b.test>",
        "a@b.test\n",
        "",
        "\ud800@b.test",
    ),
)
def test_an_address_that_would_change_the_command_makes_no_envelope(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Envelope(1, "news@a.test", address, DATA)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"x", b"\x00", b"\xc3\xa9"])).map(b"".join))
def test_the_wire_form_ends_once_and_where_we_say(data: bytes) -> None:
    wire = stuffed(data)
    assert wire.endswith(b"\r\n")
    assert b"\x00" not in wire
    lines = wire.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert b"." not in lines
    unstuffed = b"\r\n".join(line.removeprefix(b".") for line in lines)
    meant = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\x00", b"").replace(b"\n", b"\r\n")
    assert unstuffed.removesuffix(b"\r\n") == meant.removesuffix(b"\r\n")
