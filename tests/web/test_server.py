"""What a connection may send and what it is told, on a real socket with the bounds as they ship."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.wire import GET, PATIENCE, WAIT, Running, answers, assert_refusal, running, talk


@pytest.fixture(scope="module")
def patient() -> Iterator[Running]:
    """With the bounds as they ship."""
    with running() as server_:
        yield server_


def test_a_plain_request_is_answered_with_a_date_and_no_server_name(patient: Running) -> None:
    (answer,) = talk(patient, GET + b"\r\n", methods=("GET",))
    assert (answer.status, json.loads(answer.body)) == (200, {"path": "/echo", "length": 0})
    assert {"date", "etag", "cache-control", "x-request-id", "x-runtime"} <= set(answer.headers)
    assert "server" not in answer.headers


def test_uvicorn_writes_no_access_lines_of_its_own(
    patient: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        talk(patient, b"GET /echo?api_secret=hush HTTP/1.1\r\nHost: t\r\n\r\n", methods=("GET",))
        talk(patient, b"GET /echo?api_secret=hush HTTP/1.1\r\nHost\r\n\r\n")
    assert "/echo?api_secret=*" in caplog.text
    assert "hush" not in caplog.text


def test_204_304_and_head_have_no_body_on_the_wire(patient: Running) -> None:
    (whole,) = talk(patient, GET + b"\r\n", methods=("GET",))
    requests = (
        b"GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n",
        GET + b"If-None-Match: " + whole.headers["etag"].encode() + b"\r\n\r\n",
        GET.replace(b"GET", b"HEAD") + b"\r\n",
        GET + b"\r\n",
    )
    nothing, unchanged, head, last = talk(patient, b"".join(requests), methods=("GET", "GET", "HEAD", "GET"))
    assert (nothing.status, nothing.headers["cache-control"]) == (204, "no-cache")
    assert not {"content-length", "content-type", "transfer-encoding"} & set(nothing.headers)
    assert unchanged.status == 304
    assert not {"content-length", "content-type", "transfer-encoding"} & set(unchanged.headers)
    assert (head.status, head.headers["content-length"]) == (200, whole.headers["content-length"])
    assert (last.status, last.body) == (200, whole.body)


@pytest.mark.parametrize("size", (100, 9_000, 31_000))
def test_a_head_below_the_bound_is_taken_in_one_piece_or_many(size: int, patient: Running) -> None:
    head = GET + b"A: " + b"x" * size + b"\r\n\r\n"
    assert talk(patient, head, methods=("GET",))[0].status == 200
    thirds = (head[: size // 3], head[size // 3 : size // 2], head[size // 2 :])
    assert talk(patient, *thirds, methods=("GET",))[0].status == 200


def test_a_large_body_behind_a_small_head_is_not_taken_for_a_head(patient: Running) -> None:
    post = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000
    first, second, third = talk(patient, post + post + GET, b"\r\n", methods=("POST", "POST", "GET"))
    assert json.loads(first.body) == json.loads(second.body) == {"path": "/echo", "length": 500_000}
    assert third.status == 200


def test_a_head_right_behind_a_large_body_is_not_taken_for_a_trailer(patient: Running) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: "
    pieces = (head + b"60001\r\n\r\nx", b"x" * 60_000 + head + b"3\r\n\r\n", b"abc")
    found = talk(patient, *pieces, methods=("POST", "POST"))
    assert [json.loads(answer.body)["length"] for answer in found] == [60_001, 3]


def test_a_chunked_body_is_read_and_its_trailers_do_not_become_headers(patient: Running) -> None:
    body = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
    head = b"POST /trailers HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    (answer,) = talk(patient, head + body, methods=("POST",))
    assert json.loads(answer.body)["length"] == 5
    (scope,) = (scope for scope in patient.app.seen if scope["path"] == "/trailers")
    assert scope["headers"] == [(b"host", b"t"), (b"transfer-encoding", b"chunked")]


def test_a_wish_to_upgrade_is_ignored_and_the_connection_goes_on(patient: Running) -> None:
    wish = GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n"
    socket_wish = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
    found = talk(patient, wish + socket_wish + wish, GET + b"\r\n", methods=("GET",) * 4)
    assert [answer.status for answer in found] == [200] * 4


def test_a_listening_socket_may_be_handed_over_by_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, running(fd=listening.fileno()) as server_:
        server_.port = listening.getsockname()[1]
        assert talk(server_, GET + b"\r\n", methods=("GET",))[0].status == 200
        assert server_.app.seen[0]["tidings.client"] == "127.0.0.1"


# Too much


@pytest.mark.parametrize(
    "head",
    (
        b"A: " + b"x" * 1_048_576,
        b"A: " + b"x" * 1_048_576 + b"\r\n\r\n",
        b"x" * 1_048_576,
        b"A: " + b"x" * 32_768 + b"\r\n\r\n",
        b"".join(b"A%d: x\r\n" % number for number in range(5_000)) + b"\r\n",
        b"".join(b"A%d: x\r\n" % number for number in range(100_000)),
    ),
    ids=("endless", "1 MiB", "endless name", "one byte too many", "many", "endless many"),
)
def test_a_head_above_the_bound_is_refused(head: bytes, patient: Running) -> None:
    (answer,) = talk(patient, GET + head)
    assert_refusal(answer, 431)
    assert patient.logged(request_id=answer.headers["x-request-id"], status=431, client="127.0.0.0/24")


def test_a_head_above_the_bound_in_many_pieces_is_refused(patient: Running) -> None:
    (answer,) = talk(patient, GET + b"A: ", *[b"x" * 2_000] * 20)
    assert_refusal(answer, 431)


def test_a_head_above_the_bound_behind_another_request_is_refused(patient: Running) -> None:
    first, second = talk(patient, GET + b"\r\n" + GET + b"A: " + b"x" * 200_000, b"\r\n\r\n")
    assert first.status == 200
    assert_refusal(second, 431)


@pytest.mark.parametrize("end", (b" HTTP/1.1\r\n\r\n", b""))
def test_an_address_above_the_bound_is_refused(end: bytes, patient: Running) -> None:
    assert talk(patient, b"GET /" + b"x" * 8_191 + b" HTTP/1.1\r\n\r\n", methods=("GET",))[0].status == 200
    (answer,) = talk(patient, b"GET /" + b"x" * 8_192 + end)
    assert_refusal(answer, 414)
    (answer,) = talk(patient, b"GET /", *[b"x" * 3_000] * 4, end)
    assert_refusal(answer, 414)


def test_trailers_above_the_bound_are_refused(patient: Running) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    (answer,) = talk(patient, head, b"3\r\nabc\r\n0\r\nA: " + b"x" * 2_000_000)
    assert_refusal(answer, 431)


def test_a_body_above_the_bound_is_refused_and_the_connection_goes_on(patient: Running) -> None:
    body = b"x" * 1_500_000
    announced = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1500000\r\n\r\n" + body
    chunked = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = talk(
        patient,
        announced + chunked + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n" + GET + b"\r\n",
        methods=("POST", "POST", "GET"),
    )
    assert [answer.status for answer in found] == [413, 413, 200]
    assert json.loads(found[0].body)["error"] == "Payload Too Large"


def test_requests_that_wait_for_others_are_answered_in_order_up_to_a_bound(patient: Running) -> None:
    hundred = b"".join(b"GET /early?%d HTTP/1.1\r\nHost: t\r\n\r\n" % number for number in range(100))
    assert [answer.status for answer in talk(patient, WAIT + hundred, methods=("GET",) * 101)] == [200] * 101
    *answered, refused = talk(patient, WAIT + hundred * 10)
    assert [answer.status for answer in answered] == [200] * 101
    assert_refusal(refused, 429)


def test_requests_that_come_while_others_wait_are_answered_too(patient: Running) -> None:
    ten = b"GET /early HTTP/1.1\r\nHost: t\r\n\r\n" * 10
    found = talk(patient, WAIT, *[ten] * 9, methods=("GET",) * 91)
    assert [answer.status for answer in found] == [200] * 91


def test_connections_above_the_bound_are_refused_at_once() -> None:
    with running(connections_max=2) as server_:
        with closing(server_.connect()) as first, closing(server_.connect()) as second:
            for connection in (first, second):
                connection.sendall(GET + b"\r\n")
                assert answers(connection, "GET")[0].status == 200
            (answer,) = talk(server_)
            assert_refusal(answer, 503)
        end = time.monotonic() + PATIENCE
        while server_.serving.server_state.connections and time.monotonic() < end:
            time.sleep(0.01)
        assert talk(server_, GET + b"\r\n", methods=("GET",))[0].status == 200


# Malformed


@pytest.mark.parametrize(
    "request_",
    (
        b"\x00\x01\x02\xff\r\n\r\n",
        b"FROB / HTTP/1.1\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://t HTTP/1.1\r\n\r\n",
        b"CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        GET + b"A: b\x00c\r\n\r\n",
        GET + b"A\x00: b\r\n\r\n",
        GET + b"A: b\rc\r\n\r\n",
        GET + b"A: b\nC: d\n\n",
        GET + b"A: b\r\n folded\r\n\r\n",
        GET + b"A : b\r\n\r\n",
        GET + b"no colon\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    ),
)
def test_a_malformed_request_is_refused(request_: bytes, patient: Running) -> None:
    (answer,) = talk(patient, request_)
    assert_refusal(answer, 400)
    assert patient.logged(request_id=answer.headers["x-request-id"], status=400, path="-")


def test_a_body_that_breaks_off_into_garbage_is_refused_and_not_acted_on(patient: Running) -> None:
    head = b"POST /broken HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    (answer,) = talk(patient, head + b"3\r\nabc\r\n", b"garbage\r\n")
    assert_refusal(answer, 400)
    assert patient.logged(path="/broken", status=499)


CHUNKED = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "statuses"),
    (
        ((GET + b"\r\n" + b"garbage\r\n\r\n",), [200, 400]),
        ((WAIT + b"garbage\r\n\r\n",), [200, 400]),
        ((WAIT, b"garbage\r\n\r\n", b"and more"), [200, 400]),
        ((WAIT + GET + b"\r\n" + WAIT + b"garbage\r\n\r\n",), [200, 200, 200, 400]),
        (
            (WAIT + WAIT + CHUNKED + b"xyz\r\n",),
            [200, 200, 400],
        ),
        ((WAIT + GET + b"Connection: close\r\n\r\n" + b"garbage\r\n\r\n",), [200, 200]),
    ),
)
def test_garbage_behind_good_requests_is_refused_after_their_answers(
    pieces: tuple[bytes, ...], statuses: list[int], patient: Running
) -> None:
    found = talk(patient, *pieces)
    assert [answer.status for answer in found] == statuses
    if statuses[-1] == 400:
        assert_refusal(found[-1], 400)


# Anything at all

PIECES = st.sampled_from(
    (
        b"GET ",
        b"POST ",
        b"/echo",
        b" HTTP/1.1",
        b"\r\n",
        b"\r",
        b"\n",
        b"\x00",
        b": ",
        b"\xff",
        b"\r\n\r\n",
        b"Host: t\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"Connection: close\r\n",
        b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        b"Expect: 100-continue\r\n",
        GET + b"\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"HEAD /echo HTTP/1.0\r\n\r\n",
    )
)


@given(st.lists(PIECES, max_size=25), st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_whatever_is_sent_every_answer_is_well_formed_and_the_server_lives(
    patient: Running, pieces: list[bytes], cut: int
) -> None:
    # The end is garbage for every state but the inside of a counted body, so that the server closes.
    sent = b"".join(pieces) + b"\x00" * 8
    received = b""
    with closing(patient.connect()) as connection:
        connection.settimeout(0.5)
        try:
            for part in (sent[:cut], sent[cut:]):
                connection.sendall(part)
            while piece := connection.recv(65536):
                received += piece
        except OSError:
            # Closed while we were sending, or waiting for more of us; what was said is judged below.
            pass
    statuses = re.findall(rb"^HTTP/1\.1 (\d{3}) ", received, re.MULTILINE)
    assert set(statuses) <= {b"100", b"200", b"400", b"408", b"413"}
    assert received == b"" or received.startswith(b"HTTP/1.1 ")
    assert len(re.findall(rb"\r\nconnection: close\r\n", received)) <= 1
    assert talk(patient, GET + b"\r\n", methods=("GET",))[0].status == 200
