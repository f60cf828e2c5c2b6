"""Whatever the other side answers is a value: cut in time and in size, said in plain words."""

import asyncio
import gzip
import random
import socket
import struct
import tracemalloc
from collections.abc import Mapping
from email.utils import formatdate
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.outbound.rig import OK, Server, Talk, answers, forever, once, request, run, serving
from tidings.outbound.client import BODY_KEPT, PAUSE_MAX_S, Answer, Outbound, retry_after_s
from tidings.outbound.connection import ANSWER_MAX

HOME = [ip_network("127.0.0.0/8")]
HEADERS = {"Content-Type": "application/json", "webhook-id": "msg_1"}
NOW = 1_800_000_000.0


def told(talk: Talk, *, total_s: float = 10.0, times: int = 1) -> tuple[list[Answer], Server]:
    """Post `times` times, one after the other, to a server with this script."""
    found: list[Answer] = []
    seen: list[Server] = []

    async def main() -> None:
        async with serving(talk) as server:
            outbound = Outbound(allow=HOME, total_s=total_s)
            url = f"http://127.0.0.1:{server.port}/hook"
            found.extend([await outbound.post(url, b'{"a":1}', HEADERS) for _ in range(times)])
            await outbound.close()
            seen.append(server)

    run(main)
    return found, seen[0]


def test_a_post_says_what_it_must_and_nothing_more() -> None:
    [answer], server = told(once(OK))
    assert answer == Answer(200, "", b"ok", None, answer.took_ms)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    assert first == "POST /hook HTTP/1.1"
    assert sorted(rest) == sorted(
        [
            f"Host: 127.0.0.1:{server.port}",
            "Content-Type: application/json",
            "webhook-id: msg_1",
            "User-Agent: Tidings/0.1.0",
            "Accept: */*",
            "Accept-Encoding: identity",
            "Content-Length: 7",
        ]
    )
    assert body == b'{"a":1}'


def test_a_connection_is_kept_for_the_next_post_and_a_cookie_is_not() -> None:
    cookie = b"HTTP/1.1 204 None\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d; Domain=0.0.1\r\n\r\n"
    found, server = told(answers(cookie), times=3)
    assert [one.status for one in found] == [204, 204, 204]
    assert server.connections == 1
    assert b"cookie" not in b"".join(server.requests).lower()


def test_no_connection_is_kept_when_many_are_open() -> None:
    async def main() -> None:
        async with serving(answers(OK)) as server:
            outbound = Outbound(allow=HOME, connections=1)
            for _ in range(3):
                assert (await outbound.post(f"http://127.0.0.1:{server.port}/", b"", HEADERS)).status == 200
            assert server.connections == 3
            await outbound.close()

    run(main)


@pytest.mark.parametrize("status", (200, 201, 204, 400, 404, 410, 429, 500, 503, 599, 101, 999))
def test_every_status_is_an_answer(status: int) -> None:
    [answer], _ = told(once(f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n".encode()))
    assert (answer.status, answer.error) == (status, "")


def test_the_first_kilobyte_is_kept() -> None:
    body = b"0123456789" * 1_000
    [answer], _ = told(once(b"HTTP/1.1 500 No\r\nContent-Length: 10000\r\n\r\n" + body))
    assert answer.body == body[:BODY_KEPT]


def test_a_head_that_drips_is_cut_in_time() -> None:
    [answer], _ = told(forever(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", 0.02), total_s=0.4)
    assert (answer.status, answer.error) == (None, "no whole answer within 0.4 s")


def test_a_body_that_drips_is_cut_in_time_and_its_status_counts() -> None:
    [answer], _ = told(forever(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"a", 0.02), total_s=0.4)
    assert (answer.status, answer.error) == (200, "no whole answer within 0.4 s")
    assert set(answer.body) == {ord("a")}


def test_silence_is_cut_in_time() -> None:
    [answer], _ = told(forever(b"", b"", 0.02), total_s=0.3)
    assert (answer.status, answer.error) == (None, "no whole answer within 0.3 s")


@pytest.mark.parametrize(
    ("before", "again"),
    (
        (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a" * 4_096),
        (b"HTTP/1.1 200 ", b"OK" * 4_096),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"\r\n" * 4_096),
        (b"", b"\x00" * 4_096),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: and more\r\n"),
    ),
)
def test_an_endless_head_is_cut_by_its_size(before: bytes, again: bytes) -> None:
    [answer], _ = told(forever(before, again), total_s=60.0)
    assert answer.error != ""
    assert "within" not in answer.error


@pytest.mark.parametrize(
    "head",
    (
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
)
def test_an_endless_body_is_read_to_64_kib_and_dropped(head: bytes) -> None:
    chunk = b"1000\r\n" + b"a" * 4_096 + b"\r\n" if b"chunked" in head else b"a" * 4_096
    [answer], _ = told(forever(head, chunk), total_s=60.0)
    assert (answer.status, answer.error) == (200, "")
    assert answer.body == b"a" * BODY_KEPT


def test_a_body_in_crumbs_is_cut_by_its_framing() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    [answer], _ = told(forever(head, b"1;a=b\r\na\r\n" * 100), total_s=60.0)
    assert answer.status == 200
    assert "within" not in answer.error


def test_nothing_is_decompressed() -> None:
    bomb = gzip.compress(bytes(100_000_000), 9)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    tracemalloc.start()
    [answer], _ = told(once(head + bomb))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answer.status, answer.body) == (200, bomb[:BODY_KEPT])
    assert peak < 4_000_000


def test_a_hundred_floods_at_once_stay_within_their_room() -> None:
    async def main() -> None:
        async with serving(forever(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 65_536)) as server:
            outbound = Outbound(allow=HOME)
            url = f"http://127.0.0.1:{server.port}/"
            tracemalloc.start()
            found = await asyncio.gather(*(outbound.post(url, b"", HEADERS) for _ in range(100)))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert {one.status for one in found} == {200}
            # The server's own buffers, 128 KiB for each connection, are in this process as well.
            assert peak < 100 * (ANSWER_MAX + 3 * 131_072)
            await outbound.close()

    run(main)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", 200, "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", 200, "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nX-A: b\r\n", None, "the connection was closed without an answer"),
        (b"", None, "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", None, "the answer is not HTTP"),
        (b"HTTP/1.1 two hundred\r\n\r\n", None, "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", None, "the answer is not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            None,
            "the answer is not HTTP",
        ),
    ),
)
def test_an_answer_that_is_wrong_is_said_to_be(answer: bytes, status: int | None, error: str) -> None:
    [found], _ = told(once(answer))
    assert found.status == status
    assert found.error.startswith(error)
    assert "\n" not in found.error


def test_more_than_was_announced_is_no_answer_to_the_next_post() -> None:
    late = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    found, server = told(answers(late), times=3)
    assert [one.status for one in found] == [200, 200, 200]
    assert server.connections == 3


def test_a_reset_connection_is_a_value() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    [answer], _ = told(reset)
    assert answer.status is None
    assert answer.error in ("connection reset by peer", "the connection was closed without an answer")


def test_a_closed_port_is_a_value() -> None:
    async def main() -> None:
        async with serving(once(OK)) as server:
            port = server.port
        outbound = Outbound(allow=HOME)
        answer = await outbound.post(f"http://127.0.0.1:{port}/", b"", HEADERS)
        assert (answer.status, answer.error) == (None, "connection refused")
        await outbound.close()

    run(main)


def test_five_hundred_random_answers_are_values() -> None:
    rng = random.Random(4)
    scraps = [
        b"HTTP/1.1 ", b"200 OK", b"\r\n", b"\n", b":", b"Content-Length: ", b"Transfer-Encoding: chunked",
        b"Connection: Upgrade\r\nUpgrade: h2c", b"0\r\n\r\n", b"ffffffffffffffff", b"\x00\xff\xfe",
        b"9" * 30, b"Retry-After: ", b"Content-Encoding: br", b"Location: http://[::1", b"1.0", b"5",
        b"Set-Cookie: \xff=;;",
    ]  # fmt: skip

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        lead = b"HTTP/1.1 200 OK\r\n" if rng.random() < 0.6 else b""
        writer.write(lead + b"".join(rng.choices(scraps, k=rng.randrange(12))))
        await writer.drain()

    found, _ = told(garbage, total_s=2.0, times=500)
    assert len(found) == 500
    assert all(one.error or one.status for one in found)
    assert all(one.error.isprintable() and len(one.error) <= 200 for one in found)


@pytest.mark.parametrize(
    ("text", "seconds"),
    (
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("86400", PAUSE_MAX_S),
        ("86401", PAUSE_MAX_S),
        ("9" * 5_000, PAUSE_MAX_S),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0),
        (formatdate(NOW + 9_000_000, usegmt=True), PAUSE_MAX_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", PAUSE_MAX_S),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("１２", None),
        ("Fri, 99 Dec 9999 23:59:59 GMT", None),
        ("Fri, 31 Dec 2027", None),
        ("0x10", None),
    ),
)
def test_a_pause_is_read_as_seconds_or_as_a_date_and_is_at_most_a_day(text: str, seconds: int | None) -> None:
    assert retry_after_s(text, NOW) == seconds


@given(st.one_of(st.text(), st.from_regex(r"[A-Z][a-z]{2}, [0-9: A-Za-z+-]{0,40}")))
def test_any_text_is_a_pause_within_a_day_or_none(text: str) -> None:
    found = retry_after_s(text, NOW)
    assert found is None or 0 <= found <= PAUSE_MAX_S


def test_a_pause_comes_with_its_answer() -> None:
    [answer], _ = told(once(b"HTTP/1.1 503 Busy\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n"))
    assert (answer.status, answer.retry_after_s) == (503, 30)


@pytest.mark.parametrize(
    "headers",
    (
        {"X-A": "b\r\nX-C: d"},
        {"X-A": "b\nc"},
        {"X-A": "b\x00"},
        {"X-A\r\nX-B": "c"},
        {"X A": "b"},
        {"": "b"},
        {"X-A": "é"},
        {"X-A": ""},
        {"Host": "inner"},
        {"content-length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"User-Agent": "other"},
    ),
)
def test_a_header_that_could_say_more_than_one_thing_is_the_callers_mistake(
    headers: Mapping[str, str],
) -> None:
    async def main() -> None:
        outbound = Outbound(allow=HOME)
        with pytest.raises(ValueError, match=r"header|value"):
            await outbound.post("http://127.0.0.1:9999/", b"", headers)
        await outbound.close()

    run(main)


def test_a_huge_body_is_not_posted() -> None:
    async def main() -> None:
        outbound = Outbound(allow=HOME)
        answer = await outbound.post("http://127.0.0.1:9999/", bytes(1_048_577), HEADERS)
        assert answer.error == "more than 1,048,576 octets are not posted"
        await outbound.close()

    run(main)
