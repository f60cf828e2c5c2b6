"""Whatever is sent to the control address gets a clear answer, and the sandbox goes on."""

import json
import socket

import pytest

from tests.sandbox.conftest import Asked
from tidings.errors import Invalid
from tidings.sandbox.clock import ADVANCE_MAX_MS, DAY_MS, HOUR_MS, MINUTE_MS, span_ms, strides
from tidings.testing import Sandbox

POSTS = ("/clock", "/faults", "/confirm", "/bounce", "/complain")
BODIES = (
    b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe\x00", b"\x00" * 100, b"[" * 100_000, b'{"a":' * 5_000,
    b"advance=3+days", b'{"advance": null}', b'{"advance": 3, "status": "503"}', b'{"email_address": ["x"]}',
    b'{"email_address": {}}', b'{"unknown": 1}', b'{"status": 503, "unknown": 1}', b'{"advance":"1 day"} x',
)  # fmt: skip


@pytest.mark.parametrize("path", POSTS)
def test_a_body_that_is_not_what_is_asked_for_gets_400_in_words(
    sandbox: Sandbox, control: Asked, path: str
) -> None:
    for body in BODIES:
        answer = control("POST", path, body)
        assert answer.status == 400, (body[:40], answer.raw)
        assert set(answer.json) == {"error", "message"}
        assert answer.json["message"].startswith("The body is not")
        assert len(answer.raw) < 1_000
    assert control("GET", "").json["ahead_seconds"] == 0


@pytest.mark.parametrize(
    "said",
    (
        "", " ", "3", "days", "3 years", "-1 day", "1.5 days", "0 days", "367 days", "1 day and", "٣ days",
        "999999999 weeks", "9" * 90 + " s", "1 s " * 60, "1 day\0", "day 1",
    ),
)  # fmt: skip
def test_a_clock_that_cannot_be_turned_so_stays(sandbox: Sandbox, control: Asked, said: str) -> None:
    answer = control("POST", "/clock", {"advance": said})
    assert answer.status == 400
    assert answer.json["message"].startswith("advance must be")
    assert control("GET", "/clock").json["ahead_seconds"] == 0


@pytest.mark.parametrize(
    ("fault", "why"),
    (
        ({}, "status or delay"),
        ({"times": 3}, "status or delay"),
        ({"status": 200}, "status must be one of"),
        ({"status": -503}, "status must be one of"),
        ({"status": 10**30}, "status must be one of"),
        ({"delay": -1}, "delay must be"),
        ({"delay": 61}, "delay must be"),
        ({"delay": 1e300}, "delay must be"),
        ({"status": 503, "times": 0}, "times must be"),
        ({"status": 503, "times": -1}, "times must be"),
        ({"status": 503, "share": 0}, "share must be"),
        ({"status": 503, "share": 1.01}, "share must be"),
        ({"status": 503, "path": "v3"}, "path must be"),
        ({"status": 503, "path": "/" * 501}, "path must be"),
        ({"status": 503, "method": "BREW"}, "method must be"),
        ({"status": 503, "retry_after": -1}, "retry_after must be"),
        ({"status": True}, "The body is not"),
    ),
)
def test_a_fault_that_makes_no_sense_is_refused(control: Asked, fault: dict[str, object], why: str) -> None:
    answer = control("POST", "/faults", fault)
    assert (answer.status, answer.json["message"][: len(why)]) == (400, why)
    assert control("GET", "/faults").json == {"faults": []}


def test_a_number_that_json_does_not_have_is_refused(control: Asked) -> None:
    for word in (b"NaN", b"Infinity", b"1e999"):
        assert control("POST", "/faults", b'{"delay": %b}' % word).status == 400


def test_faults_are_bounded(control: Asked) -> None:
    for _ in range(100):
        assert control("POST", "/faults", {"status": 503}).status == 200
    answer = control("POST", "/faults", {"status": 503})
    assert (answer.status, "at most 100" in answer.json["message"]) == (400, True)


@pytest.mark.parametrize("path", ("/confirm", "/bounce", "/complain"))
def test_an_address_of_nobody_is_not_found_however_it_looks(control: Asked, path: str) -> None:
    for email in ("nobody@example.com", "no address", "a@b@c", "' OR 1=1 --", "\0", "ü@ü.example", "{{ x }}"):
        assert control("POST", path, {"email_address": email}).status == 404, email
    for email in ("", "x" * 1_001):
        assert control("POST", path, {"email_address": email}).status == 400


def test_what_is_not_there_and_methods_that_are_not_taken_are_said(control: Asked) -> None:
    assert control("GET", "/nothing").status == 404
    assert "/sandbox/mails" in control("GET", "/../sandbox/x").json["message"]
    assert control("DELETE", "/mails").status == 405
    assert control("GET", "/reset").status == 405
    assert control("POST", "", {}).json["message"] == "This address answers GET"


def test_a_body_without_end_is_refused(sandbox: Sandbox, control: Asked) -> None:
    with socket.create_connection(("127.0.0.1", int(sandbox.base_url.rpartition(":")[2])), 30) as line:
        line.sendall(
            b"POST /sandbox/faults HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert line.recv(4_096).startswith(b"HTTP/1.1 413 ")
    assert control("GET", "").status == 200


@pytest.mark.parametrize(
    "headers",
    (
        {"Host": "evil.example.com"},
        {"Host": "127.0.0.1.evil.example.com"},
        {"Host": "[evil"},
        {"Host": ""},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example.com:80"},
        {"Origin": "http://[evil"},
    ),
)
def test_a_page_of_another_site_controls_nothing(control: Asked, headers: dict[str, str]) -> None:
    before = control("GET", "").json["resets"]
    for method, path in (("GET", ""), ("GET", "/mails"), ("POST", "/reset")):
        assert control(method, path, None, headers).status == 403
    assert control("GET", "").json["resets"] == before


def test_a_page_of_this_machine_may(control: Asked) -> None:
    assert control("GET", "", None, {"Origin": "http://localhost:3000"}).status == 200
    assert control("GET", "", None, {"Host": "[::1]:8080"}).status == 200


def test_many_who_ask_at_once_are_all_answered(sandbox: Sandbox, control: Asked) -> None:
    lines = [
        socket.create_connection(("127.0.0.1", int(sandbox.base_url.rpartition(":")[2])), 30)
        for _ in range(40)
    ]
    for line in lines:
        line.sendall(b"GET /sandbox/mails HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    for line in lines:
        with line:
            answer = b""
            while more := line.recv(65_536):
                answer += more
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["mails"] == []


@pytest.mark.parametrize(
    ("said", "ms"),
    (
        ("3 days", 3 * DAY_MS), ("1 Day", DAY_MS), ("1h 30m", 90 * MINUTE_MS), ("90 minutes", 90 * MINUTE_MS),
        ("2 weeks, 1 day", 15 * DAY_MS), ("45s", 45_000), ("1 sec", 1_000), ("366 d", ADVANCE_MAX_MS),
        ("  10 min ", 10 * MINUTE_MS), ("5 secs", 5_000),
    ),
)  # fmt: skip
def test_spans_are_read_as_people_write_them(said: str, ms: int) -> None:
    assert span_ms(said) == ms


def test_beyond_a_year_is_refused() -> None:
    with pytest.raises(Invalid, match="at most 366 days"):
        span_ms("366 days 1 second")


@pytest.mark.parametrize(
    "ms", (1_000, 59_999, MINUTE_MS, HOUR_MS, HOUR_MS + 1, 3 * DAY_MS, 31 * DAY_MS, ADVANCE_MAX_MS)
)
def test_strides_make_up_the_whole_turn_and_are_few(ms: int) -> None:
    walk = strides(ms)
    assert sum(walk) == ms
    assert len(walk) <= 745
    assert min(walk) > 0
    if ms <= 31 * DAY_MS:
        assert max(walk) <= HOUR_MS
