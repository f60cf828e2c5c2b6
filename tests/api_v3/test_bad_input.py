"""Hostile input against every operation: its documented error, never a crash, never half a change.

Conformance to the document is checked by the client on each answer; a refused call must leave every
table as it was.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_v3.client import FORM, JSON, Api, said
from tests.api_v3.operations import OPERATIONS, WITH_IDS, Operation, good, ids_of
from tests.api_v3.world import ADA, dump
from tests.core.recount import recount
from tests.web.asgi import Answer
from tidings.web.http import BODY_MAX

EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
NOT_FOUND = (404, "Not Found", "The entity you were trying to find doesn't exist")
DEEP = 100_000

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, -0.0, 1e308, 5e-324, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**40,
    "", " ", "\t\r\n", "\0", "a\0b", "0", "-5", "1e400", "NaN", "Infinity", "١٢٣", "１２３", "9" * 5_000,
    "\x01\x1b[31m\x7f\x85", "\u2028\u2029\u202e", "=?utf-8?q?Bcc:_x=40evil.example?=",
    "Jon\r\nBcc: x@evil.example", "\ufeff\ufffe\uffff", "😀" * 300, "é" * 70_000, "x" * 100_000,
    "' OR 1=1 --", "%s %(id)s :id {for_update}", "<script>alert(1)</script>", "{{ 1 }}", "null", "[]", "{}",
    [], [[]], [None], [[[["a"]]]], {}, [{}], {"a": {"b": [1, {"c": None}]}}, {"0": "a", "1": {"2": "b"}},
    ["a", 1, None, {"name": ["x"]}], {"name": {"name": "x"}}, {"": ""}, list(range(2_000)),
]  # fmt: skip

ADDRESSES = [
    "jon", "@", "jon@", "@example.com", "jon@@example.com", "jon@example", "jon snow@example.com",
    '"jon snow"@example.com', "jon@[127.0.0.1]", "jon@127.0.0.1", "x" * 65 + "@example.com",
    "jon＠example.com", "jon@example。com", "jon@exam ple.com", "jon..snow@example.com", ".jon@example.com",
    "jon.@example.com", "jon@-example.com", "jon@example-.com", "jon@example..com", "jon@.com",
    "jon@example.com\r\nBcc: x@evil.example", "jon@example.com\0", "jon\u200b@example.com\u2028",
    "Jon <jon@example.com>", "jon@example.com, ned@example.com", "jon@example.com;", "mailto:jon@example.com",
    "=?utf-8?q?jon?=@exämple@x.de", "jon@" + "a." * 130 + "com", "jon@xn--a.com", "(c)jon@example.com",
    "jon@example.com\x7f", "\ud7ff\ue000@\ufdd0.com", "jon@" + "ä" * 64 + ".de",
]  # fmt: skip

# (what it is, content type, body, status); none holds credentials, so what can be read is 401.
BODIES: list[tuple[str, str, bytes, int]] = [
    ("cut", JSON, b'{"email": "jon@exam', 400),
    ("open", JSON, b"{", 400),
    ("open array", JSON, b"[", 400),
    ("half a word", JSON, b"nul", 400),
    ("text", JSON, b"hello", 400),
    ("single quotes", JSON, b"{'a': 1}", 400),
    ("NaN", JSON, b'{"page": NaN}', 400),
    ("Infinity", JSON, b'{"page": -Infinity}', 400),
    ("5,000 digits", JSON, b'{"page": ' + b"9" * 5_000 + b"}", 400),
    ("exponent", JSON, b'{"page": 1e999}', 400),
    ("lone surrogate", JSON, b'{"email": "\\ud800 x"}', 400),
    ("reversed surrogates", JSON, b'{"email": "\\udc00\\ud800"}', 400),
    ("not UTF-8", JSON, b'{"email": "\xff\xfe"}', 400),
    ("surrogate in UTF-8", JSON, b'{"email": "\xed\xa0\x80"}', 400),
    ("UTF-16", JSON, '{"a": 1}'.encode("utf-16"), 400),
    ("raw NUL", JSON, b'{"email": "\0"}', 400),
    ("raw newline", JSON, b'{"email": "\n"}', 400),
    ("two documents", JSON, b"{}{}", 400),
    ("comment", JSON, b"{} // no", 400),
    ("deep arrays", JSON, b"[" * DEEP + b"]" * DEEP, 400),
    ("deep arrays, open", JSON, b"[" * DEEP, 400),
    ("deep objects", JSON, b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400),
    ("deep brackets", FORM, b"a" + b"[b]" * 5_000 + b"=1", 400),
    ("many pairs", FORM, b"&".join(b"a%d=1" % at for at in range(2_000)), 400),
    ("many arrays", JSON, b'{"a": [' + b",".join([b"[]"] * 30_000) + b"]}", 400),
    ("no boundary", "multipart/form-data", b"--x\r\n\r\n--x--", 400),
    ("over 1 MiB", JSON, b'{"a": "' + b"x" * BODY_MAX + b'"}', 413),
    ("an array", JSON, b"[]", 401),
    ("null", JSON, b"null", 401),
    ("a number", JSON, b"1", 401),
    ("a string", JSON, b'"x"', 401),
    ("almost 1 MiB", JSON, b'{"a": "' + b"x" * (BODY_MAX - 20) + b'"}', 401),
    ("percent signs", FORM, b"%=%&%%%=%zz&email=%ff%fe%00", 401),
    ("brackets that do not match", FORM, b"a[=1&b]=2&[c]=3&[]=4&d[[e]]=5&f[g=6", 401),
    ("shapes that conflict", FORM, b"a=1&a[]=2&a[b]=3&a[b][]=4&a[b][c]=5&a=6", 401),
    ("no type", "", b"\xff\x00\x01", 401),
    ("an odd type", "text/\xe4; charset=\xff", b"a=1", 401),
    ("broken multipart", "multipart/form-data; boundary=x", b"--x\r\nfoo\r\n\r\n--x--\r\n--x", 401),
]  # fmt: skip

IDS = [
    "0", "-1", "-101", "+101", "1.5", "101.0", "1e2", "0x65", "abc", "null", "true", "*", "'", "101,102",
    "101;", "9" * 18,
    str(2**63 - 1), str(2**63), str(2**64 + 101), "9" * 19, "9" * 5_000, "%00", "101%00", "%20101",
    "101%20", "101%0a", "%C2%A0101", "%EF%BC%91%EF%BC%90%EF%BC%91", "%D9%A1", "%ff%fe", "%F0%9F%98%80", "%25",
    "..", "%2e", "[]", "{id}", "%3F", "%23", "101.js.js",
]  # fmt: skip


class Watch:
    """Sends calls one after another; a refused one must have changed nothing."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.before = dump(api.db)
        self.statuses: set[int] = set()

    def send(self, method: str, path: str, body: bytes = b"", kind: str = JSON) -> Answer:
        answer = self.api.send(method, path, body, {"content-type": kind} if kind else {})
        self.statuses.add(answer.status)
        assert answer.status < 500, f"{method} {path} {body[:300]!r}: {answer.text}"
        if answer.status >= 400:
            said(answer)
            assert dump(self.api.db) == self.before, f"{method} {path} {body[:300]!r}: {answer.text}"
        elif method != "GET":
            self.before = dump(self.api.db)
        return answer


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands within parameters: the way to each value and to each thing that holds values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inner:
        yield (*place, step)
        yield from places(item, (*place, step))


def put(params: dict[str, Any], place: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    """The parameters with another value at a place."""
    changed = copy.deepcopy(params)
    holder: Any = changed
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = odd
    return changed


@EVERY
def test_odd_values_in_every_parameter_are_taken_or_refused_whole(api: Api, operation: Operation) -> None:
    watch = Watch(api)
    params = good(operation, ADA)
    for place in places(params):
        for odd in ODD:
            body = json.dumps({**put(params, place, odd), **ADA.secret})
            watch.send(operation.method, operation.of(ADA), body.encode())
    recount(api.db)


@EVERY
def test_unreadable_bodies_are_said_to_be_so(api: Api, operation: Operation) -> None:
    watch = Watch(api)
    path = operation.of(ADA)
    for name, kind, body, status in BODIES:
        answer = watch.send(operation.method, path, body, kind)
        title = {400: "Bad Request", 401: "Authorization Failed", 413: "Payload Too Large"}[status]
        assert said(answer)[:2] == (status, title), name
        # Before credentials as after them: what cannot be read cannot be trusted.
        known = watch.send(operation.method, f"{path}?api_secret={ADA.secret['api_secret']}", body, kind)
        assert known.status == status or status == 401, name


@pytest.mark.parametrize("operation", WITH_IDS, ids=str)
def test_odd_ids_are_answered_as_ids_that_nobody_has(api: Api, operation: Operation) -> None:
    watch = Watch(api)
    body = json.dumps({**good(operation, ADA), **ADA.secret}).encode()
    missing = watch.send(operation.method, operation.missing, body)
    for name in operation.names:
        for odd in IDS:
            path = operation.path(**{**ids_of(operation, ADA), name: odd})
            answer = watch.send(operation.method, path, body)
            assert (answer.status, answer.body) == (404, missing.body), odd


@pytest.mark.parametrize("email", ADDRESSES)
def test_odd_addresses_are_malformed_to_every_call_that_takes_one(api: Api, email: str) -> None:
    watch = Watch(api)
    invalid = (422, "Error updating subscriber", "Email address is invalid")
    given = {**ADA.secret, "email": email}
    subscribe = [f"forms/{ADA.plain}", f"forms/{ADA.double}", f"sequences/{ADA.sequence}", f"tags/{ADA.tag}"]
    for one in subscribe:
        assert said(_post(watch, f"/v3/{one}/subscribe", given)) == invalid
        assert _post(watch, f"/v3/{one}/unsubscribe", given).status == 200
    assert said(watch.send("PUT", "/v3/unsubscribe", json.dumps(given).encode())) == NOT_FOUND
    change = json.dumps({**ADA.secret, "email_address": email}).encode()
    assert said(watch.send("PUT", f"/v3/subscribers/{ADA.bea}", change)) == invalid
    listed = watch.send("GET", "/v3/subscribers", change)
    assert json.loads(listed.body)["total_subscribers"] == 0
    bought = {"transaction_id": "t", "email_address": email}
    refused = _post(watch, "/v3/purchases", {**ADA.secret, "purchase": bought})
    # A purchase loses NUL before anything else, as all texts of it do.
    assert refused.status in (400, 422) or "\0" in email
    assert watch.before == dump(api.db) or "\0" in email


def _post(watch: Watch, path: str, params: dict[str, Any]) -> Answer:
    return watch.send("POST", path, json.dumps(params).encode())


@EVERY
def test_parameters_that_disagree_are_settled_without_a_crash(api: Api, operation: Operation) -> None:
    watch = Watch(api)
    secret = ADA.secret["api_secret"]
    path = operation.of(ADA)
    pairs = "email=a@example.com&email=b@example.com&page=1&page=2&tag[name]=x&tag=y&fields=1&fields[a]=2"
    for query in (f"api_secret={secret}&{pairs}", f"{pairs}&api_secret=wrong&api_secret={secret}"):
        watch.send(
            operation.method, f"{path}?{query}", b'{"email": ["c@example.com"], "page": {}, "tag": null}'
        )
        watch.send(operation.method, f"{path}?{query}", pairs.encode(), FORM)
    recount(api.db)
