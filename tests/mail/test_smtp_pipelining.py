"""Pipelining (RFC 2920): what is written together, and what comes of replies that do not fit."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.mail.matrix import lies
from tests.mail.sink import Act, Fault, Script, Sink
from tidings.mail.exchange import BLOCK
from tidings.mail.outcome import Accepted, Envelope, NotTaken, Outcome, Refused, Unknown
from tidings.mail.provider import Settings, Timeouts
from tidings.mail.smtp import Smtp

DATA = b"Subject: hi\r\n\r\nhello\r\n"
FIRST = b"MAIL FROM:<news@a.test>\r\nRCPT TO:<p0@b.test>\r\nDATA\r\n"
REFUSED = "550 5.1.1 nobody"
Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=("asyncio", "uvloop"))
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], None]:
    """Run a test's main coroutine, once on each event loop."""

    def running(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return running


Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


def envelopes(count: int, data: bytes = DATA) -> list[Envelope]:
    return [Envelope(key, "news@a.test", f"p{key}@b.test", data) for key in range(count)]


async def send(port: int, batch: list[Envelope], **changes: Any) -> list[Outcome]:
    waits = changes.pop("timeouts", Timeouts(quit_s=0.2).capped(20.0))
    smtp = Smtp(Settings("127.0.0.1", port, starttls="never", timeouts=waits, **changes))
    outcomes = await smtp.send(batch)
    await smtp.close()
    return outcomes


async def checked(sink: Sink, count: int, **changes: Any) -> list[str]:
    """Send so many, hold the claims against the server's count, and give the kinds of outcome."""
    batch = envelopes(count)
    outcomes = await send(sink.port, batch, **changes)
    assert lies(batch, outcomes, sink) == []
    return [type(outcome).__name__ for outcome in outcomes]


async def chunks_of(offers: bytes, replies: list[bytes], count: int) -> list[bytes]:
    """Answer each chunk the client writes by the next reply; gives the chunks after EHLO."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        await reader.read(65_536)
        writer.write(offers)
        for reply in replies:
            seen.append(await reader.read(65_536))
            writer.write(reply)
        await reader.read(65_536)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        outcomes = await send(server.sockets[0].getsockname()[1], envelopes(count))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    return seen


def test_a_message_its_end_and_the_next_ones_commands_are_one_write(run: Run) -> None:
    async def main() -> None:
        go = b"250 ok\r\n250 ok\r\n354 go\r\n"
        chunks = await chunks_of(b"250-hi\r\n250 PIPELINING\r\n", [go, b"250 ok\r\n" + go, b"250 ok\r\n"], 2)
        assert chunks == [
            FIRST,
            DATA + b".\r\n" + FIRST.replace(b"p0", b"p1"),
            DATA + b".\r\n",
        ]

    run(main)


def test_without_the_offer_every_command_waits_for_its_reply(run: Run) -> None:
    async def main() -> None:
        replies = [b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 ok\r\n"]
        chunks = await chunks_of(b"250 hi\r\n", replies * 2, 2)
        lines = FIRST.splitlines(keepends=True)
        second = [line.replace(b"p0", b"p1") for line in lines]
        assert chunks == [*lines, DATA + b".\r\n", *second, DATA + b".\r\n"]

    run(main)


def test_an_accepted_data_after_a_refused_recipient_gets_a_lone_dot(run: Run) -> None:
    async def main() -> None:
        script: Script = {"rcpt": [None, REFUSED], "data": [None, "354 go on"]}
        async with Sink([script]) as sink:
            assert await checked(sink, 3) == ["Accepted", "Refused", "Accepted"]
            assert len(sink.talks) == 1
            assert "RSET" not in sink.talks[0].commands

    run(main)


@pytest.mark.parametrize("said", ("503 5.5.1 no recipient", "554 5.5.1 no valid recipients"))
def test_a_refused_data_after_a_refused_recipient_costs_an_rset(said: str, run: Run) -> None:
    async def main() -> None:
        async with Sink([{"rcpt": [None, REFUSED], "data": [None, said]}]) as sink:
            assert await checked(sink, 3) == ["Accepted", "Refused", "Accepted"]
            assert sink.talks[0].commands.count("RSET") == 1
            assert len(sink.talks) == 1

    run(main)


@pytest.mark.parametrize("said", ("451 4.3.0 later", "554 5.7.1 no", "503 5.5.1 no"))
def test_a_refused_data_alone_refuses_the_message(said: str, run: Run) -> None:
    async def main() -> None:
        async with Sink([{"data": [None, said]}]) as sink:
            [_, refused, _] = outcomes = await send(sink.port, batch := envelopes(3))
            assert lies(batch, outcomes, sink) == []
            assert isinstance(refused, Refused)
            assert (refused.stage, refused.permanent) == ("data", said[0] == "5")
            assert len(sink.talks) == 1

    run(main)


def test_a_refused_mail_refuses_once_whatever_is_said_to_the_rest_of_its_group(run: Run) -> None:
    async def main() -> None:
        async with Sink([{"mail": [None, "451 4.3.0 later"]}]) as sink:
            [_, refused, _] = await send(sink.port, envelopes(3))
            assert refused == Refused(1, 451, "4.3.0 later", permanent=False, stage="mail")
            assert len(sink.accepted) == 2
            assert len(sink.talks) == 1

    run(main)


def test_a_server_that_wants_a_message_whose_mail_it_refused_is_left(run: Run) -> None:
    async def main() -> None:
        script: Script = {"mail": [None, "451 4.3.0 later"], "rcpt": "250 ok", "data": "354 go on"}
        async with Sink([script]) as sink:
            assert await checked(sink, 3) == ["Accepted", "Refused", "Accepted"]
            assert len(sink.talks) == 2

    run(main)


def test_replies_out_of_step_make_a_refusal_no_proof(run: Run) -> None:
    async def main() -> None:
        # The second reply to RCPT stands for DATA's, so which of them refused is not certain.
        async with Sink([{"rcpt": [None, REFUSED.encode() + b"\r\n250 ok\r\n"]}]) as sink:
            [_, outcome, last] = outcomes = await send(sink.port, batch := envelopes(3))
            assert lies(batch, outcomes, sink) == []
            assert isinstance(outcome, NotTaken)
            assert isinstance(last, Accepted)
            assert len(sink.talks) == 2

    run(main)


@pytest.mark.parametrize("step", ("mail", "rcpt", "data"))
def test_a_421_in_a_group_ends_the_connection_and_the_rest_goes_over_the_next(step: str, run: Run) -> None:
    async def main() -> None:
        async with Sink([{step: [None, None, "421 4.3.2 closing"]}]) as sink:
            kinds = await checked(sink, 5)
            # At MAIL it has not begun, so it is tried on the next.
            assert (
                kinds == ["Accepted"] * 2 + ["Accepted" if step == "mail" else "Refused"] + ["Accepted"] * 2
            )
            assert len(sink.talks) == 2

    run(main)


def test_what_was_pipelined_behind_a_lost_reply_is_tried_once_more_and_the_lost_one_is_not(run: Run) -> None:
    async def main() -> None:
        async with Sink([{"answer": [None, Fault.RST]}]) as sink:
            assert await checked(sink, 4) == ["Accepted", "Unknown", "Accepted", "Accepted"]
            assert len(sink.accepted) == 4

    run(main)


def test_a_reply_that_comes_early_is_never_taken_for_the_final_one(run: Run) -> None:
    async def main() -> None:
        async with Sink([{"data": b"354 go on\r\n250 2.0.0 taken already\r\n"}]) as sink:
            assert (await checked(sink, 1)) == ["NotTaken"]
        async with Sink([{"dot": [None, b"250 2.0.0 taken\r\n250 2.0.0 twice\r\n"]}]) as sink:
            # One reply too many shifts those of the next group, which its 354 gives away.
            assert (await checked(sink, 4)) == ["Accepted", "Accepted", "NotTaken", "Accepted"]

    run(main)


def test_a_set_limit_of_messages_ends_each_connection_by_quit(run: Run) -> None:
    async def main() -> None:
        async with Sink() as sink:
            assert await checked(sink, 10, messages=3) == ["Accepted"] * 10
            await sink.left()
            assert [sum("MAIL" in line for line in talk.commands) for talk in sink.talks] == [3, 3, 3, 1]
            assert [talk.commands[-1] for talk in sink.talks] == ["QUIT"] * 4

    run(main)


@pytest.mark.parametrize("step", ("mail", "rcpt", "data", "dot"))
@pytest.mark.parametrize("code", ("421 4.7.0", "452 4.5.3"))
def test_a_stated_limit_of_messages_is_learnt_and_nothing_counts_as_failed(
    step: str, code: str, run: Run
) -> None:
    async def main() -> None:
        end = f"{code} too many messages in this connection"
        async with Sink(default={step: [None, None, end]}) as sink:
            assert await checked(sink, 9) == ["Accepted"] * 9
            await sink.left()
            sent = [sum("MAIL" in line for line in talk.commands) for talk in sink.talks]
            # The first found the limit; the others stay below it and leave by QUIT.
            assert sent[1:] == [2, 2, 2, 1]
            assert all(talk.commands[-1] == "QUIT" for talk in sink.talks[1:])

    run(main)


def test_a_limit_nobody_states_is_learnt_when_two_connections_ended_after_the_same_number(run: Run) -> None:
    async def main() -> None:
        ends: Act = Fault.FIN
        async with Sink(default={"mail": [None, None, None, ends]}) as sink:
            assert await checked(sink, 12) == ["Accepted"] * 12
            await sink.left()
            assert [talk.commands[-1] for talk in sink.talks[2:]] == ["QUIT"] * (len(sink.talks) - 2)

    run(main)


def test_a_limit_on_time_refuses_and_opens_no_further_connection(run: Run) -> None:
    async def main() -> None:
        full = "452 4.3.1 too many messages this hour"
        async with Sink(default={"mail": [None, full, full, full]}) as sink:
            assert await checked(sink, 4) == ["Accepted", "Refused", "Refused", "Refused"]
            assert len(sink.talks) == 1

    run(main)


@pytest.mark.parametrize("size", (BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 40 * BLOCK))
def test_a_message_of_any_number_of_blocks_arrives_whole(size: int, run: Run) -> None:
    async def main() -> None:
        data = (b"x" * 62 + b"\r\n") * (size // 64) + b"y" * (size % 64)
        wire = data if data.endswith(b"\r\n") else data + b"\r\n"
        async with Sink() as sink:
            outcomes = await send(sink.port, envelopes(3, data))
            assert all(isinstance(outcome, Accepted) for outcome in outcomes)
            assert [taken.data for taken in sink.accepted] == [wire] * 3

    run(main)


@pytest.mark.parametrize("step", ("rcpt", "dot"))
def test_a_message_may_take_no_longer_than_its_whole_time(step: str, run: Run) -> None:
    async def main() -> None:
        waits = Timeouts(message_s=0.3)
        async with Sink(default={step: Fault.STALL}) as sink:
            [outcome] = await send(sink.port, envelopes(1), timeouts=waits)
            assert isinstance(outcome, Unknown if step == "dot" else NotTaken)

    run(main)
