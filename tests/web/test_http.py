"""Paths, bodies, replies and callers."""

import asyncio
import re
from hashlib import md5
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive

from tidings.web import access, http
from tidings.web.http import ClientGone, Reply, TooLarge

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def receiver(*messages: Message) -> Receive:
    """Gives the messages one after another, then waits for ever."""
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return receive


def piece(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def read(*messages: Message, length: int | None = None, **bounds: Any) -> bytes:
    headers = [(b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)]
    return asyncio.run(http.read_body(receiver(*messages), headers, **bounds))


def sent(
    reply: Reply, method: str = "GET", if_none_match: bytes = b""
) -> tuple[int, dict[bytes, bytes], bytes]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(http.send_reply(send, reply, method=method, if_none_match=if_none_match))
    start, body = messages
    assert len({name for name, _ in start["headers"]}) == len(start["headers"])
    return start["status"], dict(start["headers"]), body["body"]


# Paths


@pytest.mark.parametrize(
    ("path", "expected"),
    (
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/v3/tags", "/v3/tags"),
        ("/v3/tags/", "/v3/tags"),
        ("/v3//tags///123//subscribe//", "/v3/tags/123/subscribe"),
    ),
)
def test_a_path_loses_doubled_and_trailing_slashes(path: str, expected: str) -> None:
    assert http.normalise(path) == expected


@given(st.text("/ab"))
def test_a_normalised_path_stays_as_it_is(path: str) -> None:
    once = http.normalise(path)
    assert http.normalise(once) == once
    assert "//" not in once


# Bodies


def test_a_body_in_pieces_is_joined() -> None:
    assert read(piece(b"ab", True), piece(b"", True), piece(b"c")) == b"abc"


@pytest.mark.parametrize("headers", ((), ((b"content-length", b"0"),), ((b"host", b"x"),)))
def test_a_request_without_a_body_is_not_waited_for(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    assert asyncio.run(http.read_body(receiver(), headers)) == b""


@pytest.mark.parametrize("length", (11, 10**18, 10**30, 10**4000))
def test_an_announced_body_over_the_limit_is_refused_before_reading(length: int) -> None:
    with pytest.raises(TooLarge):
        read(length=length, limit=10)


def test_a_body_that_grows_over_the_limit_is_refused() -> None:
    assert read(piece(b"12345", True), piece(b"67890"), limit=10) == b"1234567890"
    with pytest.raises(TooLarge):
        read(piece(b"12345", True), piece(b"678901", True), limit=10)


def test_a_caller_who_leaves_in_the_body_is_gone() -> None:
    with pytest.raises(ClientGone):
        read(piece(b"12345", True), {"type": "http.disconnect"}, length=10)


# Replies


@pytest.mark.parametrize("status", (200, 201))
def test_json_carries_a_weak_etag_and_must_be_revalidated(status: int) -> None:
    answer, headers, body = sent(http.json_reply(status, {"a": [1, "é"]}))
    assert (answer, body) == (status, '{"a":[1,"é"]}'.encode())
    assert headers == {
        b"content-type": b"application/json; charset=utf-8",
        b"content-length": b"14",
        b"etag": b'W/"' + md5(body, usedforsecurity=False).hexdigest().encode() + b'"',
        b"cache-control": b"max-age=0, private, must-revalidate",
    }


def test_the_etag_follows_the_body() -> None:
    one, same, other = (sent(http.json_reply(200, value))[1][b"etag"] for value in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("method", ("GET", "HEAD"))
@pytest.mark.parametrize("template", ("{}", "*", '"x", {} ,W/"y"', "strong"))
def test_a_caller_who_has_it_already_gets_304(method: str, template: str) -> None:
    reply = http.json_reply(200, {"a": 1})
    etag = sent(reply)[1][b"etag"].decode()
    given_tags = etag.removeprefix("W/") if template == "strong" else template.format(etag)
    status, headers, body = sent(reply, method, given_tags.encode())
    assert (status, body) == (304, b"")
    assert set(headers) == {b"etag", b"cache-control"}


@pytest.mark.parametrize(("status", "method"), ((200, "POST"), (201, "GET"), (200, "PUT"), (200, "DELETE")))
def test_only_a_get_that_found_something_is_answered_304(status: int, method: str) -> None:
    assert sent(http.json_reply(status, {}), method, b"*")[0] == status


def test_another_etag_gets_the_whole_answer() -> None:
    assert sent(http.json_reply(200, {}), "GET", b'W/"0", "1", garbage')[::2] == (200, b"{}")


def test_204_has_neither_body_nor_type_nor_length() -> None:
    assert sent(Reply(204)) == (204, {b"cache-control": b"no-cache"}, b"")


def test_head_gives_the_headers_of_get_and_no_body() -> None:
    reply = http.json_reply(200, {"a": 1})
    assert sent(reply, "HEAD") == (200, sent(reply)[1], b"")


def test_errors_are_not_cached_and_have_no_etag() -> None:
    status, headers, body = sent(http.json_reply(404, {"error": "Not Found"}, [(b"x-a", b"b")]))
    assert (status, body) == (404, b'{"error":"Not Found"}')
    assert headers == {
        b"x-a": b"b",
        b"content-type": b"application/json; charset=utf-8",
        b"content-length": b"21",
        b"cache-control": b"no-cache",
    }


def test_a_reply_that_says_how_to_cache_it_is_left_alone() -> None:
    reply = http.json_reply(200, {}, [(b"cache-control", b"max-age=60")])
    assert sent(reply)[1][b"cache-control"] == b"max-age=60"
    assert reply.headers == [(b"cache-control", b"max-age=60")]


def test_a_page_runs_no_script_and_is_not_kept() -> None:
    status, headers, body = sent(http.html_reply(200, "<p>é"))
    assert (status, body) == (200, "<p>é".encode())
    assert headers == {
        b"content-type": b"text/html; charset=utf-8",
        b"content-length": b"5",
        b"content-security-policy": b"default-src 'none'; style-src 'self'; img-src 'self' data:; "
        b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"no-referrer",
        b"cache-control": b"no-store",
    }


def test_a_page_may_bring_its_own_policy() -> None:
    headers = sent(http.html_reply(200, "", policy="default-src 'self'", headers=[(b"x-a", b"b")]))[1]
    assert headers[b"content-security-policy"] == b"default-src 'self'"
    assert headers[b"x-a"] == b"b"


# Who asks


@pytest.mark.parametrize("given_id", ("abcdefgh", "A-1_b.2345", "x" * 64))
def test_a_plain_request_id_is_taken(given_id: str) -> None:
    assert http.request_id([(b"host", b"h"), (b"x-request-id", given_id.encode())]) == given_id


@pytest.mark.parametrize(
    "given_id", (b"", b"short", b"x" * 65, b'abcd"efgh', b"abcd efgh", b"abcdefgh\n", b"\xff" * 9)
)
def test_an_odd_request_id_is_replaced(given_id: bytes) -> None:
    first, second = (http.request_id([(b"x-request-id", given_id)]) for _ in range(2))
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first)
    assert first != second


def address(peer: str | None, *forwarded: bytes, trusted: http.Networks = PROXIES) -> str:
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    return http.client_address({"client": peer and (peer, 1), "headers": headers}, trusted)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    (
        ("10.0.0.1", (b"1.2.3.4",), "1.2.3.4"),
        ("10.0.0.1", (b"6.6.6.6, 1.2.3.4",), "1.2.3.4"),
        ("10.0.0.1", (b"6.6.6.6, 1.2.3.4, 10.9.9.9",), "1.2.3.4"),
        ("10.0.0.1", (b"6.6.6.6", b"1.2.3.4 , 10.9.9.9"), "1.2.3.4"),
        ("10.0.0.1", (b"10.1.1.1, 10.2.2.2",), "10.1.1.1"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", (b"",), "10.0.0.1"),
        ("10.0.0.1", (b"garbage",), "10.0.0.1"),
        ("10.0.0.1", (b"1.2.3.4, unknown, 10.2.2.2",), "10.0.0.1"),
        ("10.0.0.1", (b"garbage, 1.2.3.4",), "1.2.3.4"),
        ("10.0.0.1", (b"1.2.3.4:5678",), "1.2.3.4"),
        ("10.0.0.1", (b"[2001:db8::1]:443",), "2001:db8::1"),
        ("10.0.0.1", (b"2001:DB8:0::1",), "2001:db8::1"),
        ("10.0.0.1", (b"::ffff:1.2.3.4",), "1.2.3.4"),
        ("10.0.0.1", (b"fe80::1%eth0",), "10.0.0.1"),
        ("10.0.0.1", (b"1.2.3.4\xff",), "10.0.0.1"),
        ("10.0.0.1", (b"x" * 100_000,), "10.0.0.1"),
        ("10.0.0.1", (b"10.1.1.1," * 5000 + b"10.2.2.2",), "10.1.1.1"),
        ("::ffff:10.0.0.1", (b"1.2.3.4",), "1.2.3.4"),
        ("fd00::5", (b"1.2.3.4",), "1.2.3.4"),
        ("9.9.9.9", (b"1.2.3.4",), "9.9.9.9"),
        ("::ffff:9.9.9.9", (b"1.2.3.4",), "9.9.9.9"),
        (None, (b"1.2.3.4",), "unknown"),
    ),
)
def test_forwarded_addresses_are_believed_from_trusted_proxies_only(
    peer: str | None, forwarded: tuple[bytes, ...], expected: str
) -> None:
    assert address(peer, *forwarded) == expected


def test_without_trusted_proxies_the_peer_is_who_asks() -> None:
    assert address("10.0.0.1", b"1.2.3.4", trusted=()) == "10.0.0.1"
    assert address("::ffff:10.0.0.1", trusted=()) == "10.0.0.1"


@given(st.binary(max_size=200))
def test_no_forwarded_header_raises(value: bytes) -> None:
    assert access.parse_address(address("10.0.0.1", value)) is not None
