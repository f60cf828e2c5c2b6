"""The SMTP client against a scripted server: batches, what is kept, and the form on the wire."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from tests.mail.sink import Act, Fault, Script, Sink
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
from tidings.mail.wire import stuffed

DATA = b"From: a@a.test\r\nSubject: hi\r\n\r\n.dot\r\n..\r\nend\r\n"
LONG_S = 20.0


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def settings(sink: Sink, **changes: Any) -> Settings:
    return Settings("127.0.0.1", sink.port, **{"timeouts": Timeouts(quit_s=0.2).capped(LONG_S), **changes})


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


def kind_of(outcome: Outcome) -> tuple[str, str, bool]:
    stage = outcome.stage if isinstance(outcome, Refused | NotTaken) else ""
    return type(outcome).__name__, stage, isinstance(outcome, Refused) and outcome.permanent


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


def test_a_batch_goes_over_one_connection_and_its_outcomes_come_in_order() -> None:
    async def main() -> None:
        async with Sink() as sink:
            envelopes = [envelope(key, f"p{key}@b.test") for key in range(32)]
            outcomes = await sent(sink, envelopes, connections=4)
            assert [outcome.key for outcome in outcomes] == list(range(32))
            assert all(isinstance(outcome, Accepted) for outcome in outcomes)
            assert sorted(taken.rcpt_to[0] for taken in sink.accepted) == sorted(
                each.rcpt_to for each in envelopes
            )
            assert len(sink.talks) == 1

    run(main)


def test_batches_go_at_once_over_as_many_connections_as_set_and_no_more() -> None:
    async def main() -> None:
        async with Sink(delay_ms=2) as sink:
            smtp = Smtp(settings(sink, connections=3))
            batches = [[envelope((at, key)) for key in range(5)] for at in range(9)]
            outcomes = await asyncio.gather(*map(smtp.send, batches))
            await smtp.close()
            assert all(isinstance(outcome, Accepted) for batch in outcomes for outcome in batch)
            assert [outcome.key for outcome in outcomes[8]] == [(8, key) for key in range(5)]
            assert len(sink.accepted) == 45
            assert len(sink.talks) == 3

    run(main)


def test_an_empty_batch_opens_nothing() -> None:
    async def main() -> None:
        async with Sink() as sink:
            assert await sent(sink, []) == []
            assert sink.talks == []

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


def test_a_server_that_says_421_to_everything_is_left_alone() -> None:
    async def main() -> None:
        async with Sink(default={"rcpt": "421 4.7.0 go away"}) as sink:
            outcomes = await sent(sink, [envelope(key) for key in range(10)])
            assert [kind_of(outcome)[0] for outcome in outcomes] == ["Refused"] * 3 + ["NotTaken"] * 7
            assert len(sink.talks) == 3

    run(main)


def test_what_a_dead_kept_connection_did_not_begin_and_no_other_takes_is_not_taken() -> None:
    async def main() -> None:
        async with Sink([{"mail": [None, Fault.FIN]}], default={"banner": "554 5.3.2 no"}) as sink:
            outcomes = await sent(sink, [envelope(key) for key in range(4)])
            kinds = [kind_of(outcome)[:2] for outcome in outcomes]
            assert kinds == [("Accepted", "")] + [("NotTaken", "banner")] * 3

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


@given(st.binary().filter(lambda data: b"\r" not in data and b"\n" not in data and b"\0" not in data))
def test_what_is_in_wire_form_is_not_copied(line: bytes) -> None:
    data = b"x" + line + b"\r\n" + b"x" + line + b"\r\n"
    assert stuffed(data) is data
