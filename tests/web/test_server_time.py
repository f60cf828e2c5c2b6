"""How long a connection may take, on a real socket with times short enough to wait for."""

import json
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.web.wire import GET, PATIENCE, WAIT, Running, answers, assert_refusal, running, talk
from tidings.web import server


@pytest.fixture(scope="module")
def patient() -> Iterator[Running]:
    """With the bounds as they ship."""
    with running() as server_:
        yield server_


@pytest.fixture(scope="module")
def hasty() -> Iterator[Running]:
    """With times short enough to wait for."""
    with running(head_seconds=0.3, body_seconds=0.3, drain_seconds=0.3, keep_alive_seconds=1) as server_:
        yield server_


@pytest.mark.parametrize(
    "pieces",
    (
        (),
        (b"G",),
        (GET,),
        (GET + b"A: b",),
        (b"\r\n\r\n",),
        (b"\r\n", b"\r\n", b"\r\n", b"\r\n"),
    ),
)
def test_a_head_that_does_not_end_is_refused(pieces: tuple[bytes, ...], hasty: Running) -> None:
    (answer,) = talk(hasty, *pieces)
    assert_refusal(answer, 408)


def test_a_second_head_that_does_not_end_is_refused(hasty: Running) -> None:
    for second in (GET, b"\r\n"):
        with closing(hasty.connect()) as connection:
            connection.sendall(GET + b"\r\n")
            assert answers(connection, "GET")[0].status == 200
            connection.sendall(second)
            (answer,) = answers(connection)
            assert_refusal(answer, 408)


def test_a_head_behind_a_slow_answer_is_not_late_before_it(hasty: Running) -> None:
    first, second = talk(hasty, WAIT + GET)
    assert first.status == 200
    assert_refusal(second, 408)


def test_a_head_behind_a_slow_answer_has_its_whole_time() -> None:
    with running(head_seconds=1.5, keep_alive_seconds=1) as server_:
        first, second = talk(server_, WAIT + GET)
    assert first.status == 200
    assert_refusal(second, 408)


def test_an_idle_connection_is_closed_without_a_word(hasty: Running) -> None:
    assert [answer.status for answer in talk(hasty, GET + b"\r\n")] == [200]


def test_a_body_that_does_not_come_is_refused(hasty: Running) -> None:
    head = b"POST /slow HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n"
    for pieces in ((head + b"abc",), (head, b"abc", b"d"), (head,)):
        (answer,) = talk(hasty, *pieces)
        assert_refusal(answer, 408)


def test_a_body_behind_a_slow_answer_is_not_late_before_it(hasty: Running) -> None:
    second = b"POST /slow HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc"
    first, late = talk(hasty, WAIT + second)
    assert first.status == 200
    assert_refusal(late, 408)


def test_a_body_in_two_pieces_is_read_whole_and_its_clock_ends(hasty: Running) -> None:
    with closing(hasty.connect()) as connection:
        connection.sendall(b"POST /slow HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabc")
        connection.sendall(b"def")
        assert json.loads(answers(connection, "POST")[0].body)["length"] == 6
        time.sleep(0.5)
        connection.sendall(GET + b"\r\n")
        assert answers(connection, "GET")[0].status == 200


def test_a_long_body_has_as_much_time_again_for_each_further_mebibyte(hasty: Running) -> None:
    with closing(hasty.connect()) as connection:
        size = 8 * server.BODY_STEP
        connection.sendall(b"POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(8):
            # Eight times 0.1 s are more than the 0.3 s of a short body.
            time.sleep(0.1)
            connection.sendall(b"x" * server.BODY_STEP)
        assert json.loads(answers(connection, "POST")[0].body)["length"] == size


def test_a_long_body_that_stops_coming_is_refused(hasty: Running) -> None:
    size = 8 * server.BODY_STEP
    head = b"POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size
    (answer,) = talk(hasty, head + b"x" * 2 * server.BODY_STEP)
    assert_refusal(answer, 408)


def test_a_caller_who_leaves_in_the_body_is_logged_and_forgotten(patient: Running) -> None:
    with closing(patient.connect()) as connection:
        connection.sendall(b"POST /left HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
    assert patient.logged(path="/left", status=499)
    assert talk(patient, GET + b"\r\n", methods=("GET",))[0].status == 200


def test_a_body_nobody_waits_for_is_dropped_and_the_connection_goes_on(patient: Running) -> None:
    early = b"POST /early HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc"
    with closing(patient.connect()) as connection:
        connection.sendall(early)
        assert answers(connection, "POST")[0].status == 200
        connection.sendall(b"defghi" + GET + b"\r\n")
        assert answers(connection, "GET")[0].status == 200


def test_a_body_nobody_waits_for_is_not_waited_for_long(hasty: Running) -> None:
    early = b"POST /early HTTP/1.1\r\nHost: t\r\nContent-Length: 900\r\n\r\nabc"
    found = talk(hasty, early, *[b"x"] * 100)
    assert [answer.status for answer in found] == [200]


def test_a_connection_whose_late_body_came_still_idles_out(hasty: Running) -> None:
    early = b"POST /early HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nabc"
    assert [answer.status for answer in talk(hasty, early, b"d")] == [200]


def test_a_caller_who_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.BoundedHttpProtocol, "write_seconds", 0.3)
    with running() as server_, closing(server_.connect()) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n")
        end = time.monotonic() + PATIENCE
        while not server_.serving.server_state.connections and time.monotonic() < end:
            time.sleep(0.01)
        while server_.serving.server_state.connections and time.monotonic() < end:
            time.sleep(0.01)
        assert not server_.serving.server_state.connections
