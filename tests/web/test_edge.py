"""The edge around the application, and what it logs."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidings.web import access, http
from tidings.web.http import ClientGone, Edge, TooLarge


@contextmanager
def recorded() -> Iterator[list[logging.LogRecord]]:
    """What is logged at INFO and above meanwhile."""
    records: list[logging.LogRecord] = []
    log = logging.getLogger("tidings.access")
    keep = logging.Handler()
    keep.emit = records.append  # type: ignore[method-assign]
    log.addHandler(keep)
    log.setLevel(logging.INFO)
    yield records
    log.removeHandler(keep)
    log.setLevel(logging.NOTSET)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """What is logged at INFO and above while a test runs."""
    with recorded() as records:
        yield records


async def silence() -> Message:
    """A caller who says nothing more."""
    await asyncio.Event().wait()
    raise AssertionError


def say(path: str) -> http.ErrorReply:
    """A door's errors: JSON under /v3, pages elsewhere."""
    if path.startswith("/v3"):
        return lambda status, error, message: http.json_reply(status, {"error": error, "message": message})
    return lambda status, error, message: http.html_reply(status, f"<h1>{error}</h1>")


def ask(app: ASGIApp, path: str = "/v3/account", **scope: Any) -> tuple[Scope, list[Message]]:
    """Run one GET through an edge around `app`; the scope it saw and what came out."""
    edge = Edge(app, log=logging.getLogger("tidings.access"), trusted_proxies=(), error_reply=say)
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.77", 1),
        **scope,
    }
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(edge(scope, silence, send))
    return scope, messages


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await http.send_reply(send, http.json_reply(200, {}), method=scope["method"])


def failing(problem: BaseException, after_start: bool = False) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if after_start:
            await send({"type": "http.response.start", "status": 200})
        raise problem

    return app


def test_every_answer_carries_a_request_id_and_its_time(lines: list[logging.LogRecord]) -> None:
    scope, messages = ask(fine, headers=[(b"x-request-id", b"from-client-1")])
    headers = dict(messages[0]["headers"])
    assert headers[b"x-request-id"] == b"from-client-1"
    assert re.fullmatch(rb"\d+\.\d{6}", headers[b"x-runtime"])
    assert headers[b"content-type"] == http.JSON_TYPE
    assert scope["tidings.request_id"] == "from-client-1"
    assert scope["tidings.client"] == "192.0.2.77"


def test_a_request_is_one_line_of_json(lines: list[logging.LogRecord]) -> None:
    ask(fine, query_string=b"page=2&api_secret=hush", headers=[(b"x-request-id", b"from-client-1")])
    (record,) = lines
    line = json.loads(record.getMessage())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert isinstance(line.pop("ms"), float)
    assert line == {
        "request_id": "from-client-1",
        "method": "GET",
        "path": "/v3/account?page=2&api_secret=*",
        "status": 200,
        "client": "192.0.2.0/24",
    }


def test_a_higher_level_switches_the_lines_off(lines: list[logging.LogRecord]) -> None:
    logging.getLogger("tidings.access").setLevel(logging.WARNING)
    ask(fine)
    assert lines == []


@pytest.mark.parametrize(
    ("problem", "status"),
    ((TooLarge(), 413), (ValueError("a@example.com"), 500), (KeyError(), 500)),
)
def test_what_escapes_a_door_is_answered_in_its_format(
    problem: Exception, status: int, lines: list[logging.LogRecord]
) -> None:
    for path, content_type in (("/v3/account", http.JSON_TYPE), ("/outbox", http.HTML_TYPE)):
        _, messages = ask(failing(problem), path)
        headers = dict(messages[0]["headers"])
        assert messages[0]["status"] == status
        assert headers[b"content-type"] == content_type
        assert b"x-request-id" in headers
        assert len(messages) == 2
        assert json.loads(lines[-1].getMessage())["status"] == status


def test_a_crash_is_logged_once_with_its_stack_and_without_its_values(lines: list[logging.LogRecord]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise KeyError("api_secret=hush")
        except KeyError as cause:
            raise ValueError("bea@example.com") from cause

    ask(app, headers=[(b"x-request-id", b"from-client-1")])
    crash, request = lines
    told = json.loads(crash.getMessage())
    assert crash.levelno == logging.ERROR
    assert told["request_id"] == json.loads(request.getMessage())["request_id"] == "from-client-1"
    assert [each["type"] for each in told["exceptions"]] == ["builtins.ValueError", "builtins.KeyError"]
    assert "test_edge.py" in told["exceptions"][0]["stack"][-1]
    assert not {"hush", "bea@example.com"} & set(re.findall(r"[\w@.]+", crash.getMessage()))


def test_a_crash_after_the_answer_began_sends_nothing_more(lines: list[logging.LogRecord]) -> None:
    _, messages = ask(failing(ValueError(), after_start=True))
    assert [message["type"] for message in messages] == ["http.response.start"]
    assert [record.levelno for record in lines] == [logging.ERROR, logging.INFO]


def test_an_application_that_says_nothing_is_a_crash(lines: list[logging.LogRecord]) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    assert ask(silent)[1][0]["status"] == 500
    assert lines[0].levelno == logging.ERROR


def test_a_caller_who_left_gets_no_answer_and_a_line(lines: list[logging.LogRecord]) -> None:
    assert ask(failing(ClientGone()))[1] == []
    assert json.loads(lines[0].getMessage())["status"] == 499
    assert len(lines) == 1


def test_a_request_cut_off_by_the_stop_is_answered_503(lines: list[logging.LogRecord]) -> None:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def stop() -> None:
        edge = Edge(waiting, log=logging.getLogger("tidings.access"), trusted_proxies=(), error_reply=say)
        scope = {"type": "http", "method": "GET", "path": "/v3/a", "query_string": b"", "headers": []}
        task = asyncio.create_task(edge(scope, silence, send))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop())
    assert messages[0]["status"] == 503
    assert (b"connection", b"close") in messages[0]["headers"]


def test_a_lifespan_goes_through_untouched() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope))

    ask(app, type="lifespan")
    assert "tidings.request_id" not in seen[0]


# Redaction


@pytest.mark.parametrize(
    ("query", "expected"),
    (
        (b"page=2&sort_order=desc&from=2024-01-01", "page=2&sort_order=desc&from=2024-01-01"),
        (b"api_key=a&api_secret=b&token=c&k=d", "api_key=*&api_secret=*&token=*&k=*"),
        (
            b"email=a@b.c&email_address=d&integration_key=e&password=f",
            "email=*&email_address=*&integration_key=*&password=*",
        ),
        (b"fields[last_name]=Bea&tags[]=1", "fields[last_name]=*&tags[]=*"),
        (b"page=a%40b.c&from=" + b"x" * 33, "page=*&from=*"),
        (b"SECRETasABareKey", "*"),
        (b"a@b.c=1&Xy12=1&%61pi_key=hush", "*&*&*"),
        (b"page=1&page=hush@b.c", "page=1&page=*"),
        (b"\xff\x00\r\n=1", "*"),
    ),
)
def test_only_harmless_parameters_show_their_values(query: bytes, expected: str) -> None:
    assert access.redact_query(query) == expected


def test_a_query_of_many_parameters_is_cut() -> None:
    assert access.redact_query(b"&".join([b"k=hush"] * 1000)) == "&".join(["k=*"] * 20)


@pytest.mark.parametrize(
    ("path", "expected"),
    (
        ("/v3/subscribers/15", "/v3/subscribers/15"),
        ("/v3/forms/1/unsubscribe", "/v3/forms/1/unsubscribe"),
        ("/sign-in/TOKEN", "/sign-in/*"),
        ("/confirm/TOKEN/more", "/confirm/*"),
        ("/unsubscribe//TOKEN", "/unsubscribe/*"),
        ("/Confirm/TOKEN", "/Confirm/*"),
        ("/confirm/a\nTOKEN", "/confirm/*"),
        ("/v3/subscribers/bea@example.com/tags", "/v3/subscribers/*/tags"),
        ("/v3/account?api_secret=hush", "/v3/*"),
        ("/v3/subscribers/bea%40example.com", "/v3/subscribers/*"),
    ),
)
def test_tokens_and_addresses_in_paths_are_hidden(path: str, expected: str) -> None:
    assert access.redact_path(path) == expected


@pytest.mark.parametrize(
    ("client", "expected"),
    (
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("unknown", "unknown"),
    ),
)
def test_addresses_of_callers_are_shortened(client: str, expected: str) -> None:
    assert access.shorten(client) == expected


@given(st.text(), st.binary())
def test_any_path_and_query_give_one_line_of_json(path: str, query: bytes) -> None:
    with recorded() as lines:
        access.log_request(
            logging.getLogger("tidings.access"),
            request_id="r",
            method="GET",
            path=path,
            query=query,
            status=200,
            seconds=0.5,
            client="unknown",
        )
    line = lines[0].getMessage()
    assert json.loads(line)["ms"] == 500
    assert "\n" not in line
