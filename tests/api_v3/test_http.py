"""What HTTP itself asks of every endpoint: HEAD, OPTIONS, CORS, validators, request ids, 405, 413."""

import json
import re

import pytest

from tests.api_v3 import conformance
from tests.api_v3.client import JSON, Api, read, said
from tests.api_v3.operations import OPERATIONS, Operation, good
from tests.api_v3.world import ADA, dump

S, K = ADA.secret, ADA.key
SECRET = S["api_secret"]
EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
READING = pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.method == "GET"], ids=str)
PATHS = sorted({one.template for one in OPERATIONS})
PAGE = {"origin": "https://a-shop.example"}
OPEN = {one.template for one in OPERATIONS if one.opens_with_key}
ANY = "access-control-allow-origin"


def place_of(template: str) -> str:
    return next(one for one in OPERATIONS if one.template == template).of(ADA)


def methods_of(template: str, *, key_only: bool = False) -> list[str]:
    found = [one for one in OPERATIONS if one.template == template]
    return sorted(one.method for one in found if one.opens_with_key or not key_only)


@READING
def test_head_has_the_headers_of_get_and_no_body(api: Api, operation: Operation) -> None:
    path = f"{operation.of(ADA)}?api_secret={SECRET}"
    got, head = api.send("GET", path), api.send("HEAD", path)
    own = ("x-request-id", "x-runtime")
    assert (head.status, head.body) == (200, b"")
    assert {name: value for name, value in head.headers.items() if name not in own} == {
        name: value for name, value in got.headers.items() if name not in own
    }
    assert head.headers["content-length"] == str(len(got.body))


@pytest.mark.parametrize("template", PATHS)
def test_methods_that_are_not_there_are_405_and_allow_names_the_others(api: Api, template: str) -> None:
    before = dump(api.db)
    there = methods_of(template)
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "FOO", "QUERY"):
        if method in there:
            continue
        answer = api.ask(method, place_of(template), S)
        assert said(answer)[:2] == (405, "Method Not Allowed"), method
        assert answer.headers["allow"].split(", ") == there
    if "GET" not in there:
        head = api.ask("HEAD", place_of(template), S)
        assert (head.status, head.body, head.headers["allow"]) == (405, b"", ", ".join(there))
    assert dump(api.db) == before


@pytest.mark.parametrize("template", PATHS)
def test_browsers_may_call_from_any_site_what_the_public_key_opens(api: Api, template: str) -> None:
    asked = {
        **PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    answer = api.send("OPTIONS", place_of(template), headers=asked)
    if template not in OPEN:
        assert said(answer)[0] == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]
        return
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers[ANY] == "*"
    assert answer.headers["access-control-allow-methods"].split(", ") == methods_of(template, key_only=True)
    assert "content-type" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers


@EVERY
def test_only_answers_to_what_the_public_key_opens_are_for_any_site(api: Api, operation: Operation) -> None:
    for params in ({**good(operation, ADA), **S}, S, K, {}, {"api_key": "wrong"}):
        answer = api.ask(operation.method, operation.of(ADA), params, headers=PAGE)
        assert (answer.headers.get(ANY) == "*") is operation.opens_with_key, answer
        assert list(answer.headers).count(ANY) <= 1


@READING
def test_what_has_not_changed_is_304(api: Api, operation: Operation) -> None:
    path = f"{operation.of(ADA)}?api_secret={SECRET}"
    first = api.send("GET", path)
    tag = first.headers["etag"]
    assert re.fullmatch(r'W/"[0-9a-f]{32}"', tag)
    for known in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
        again = api.send("GET", path, headers={"if-none-match": known})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
    assert api.send("GET", path, headers={"if-none-match": '"other"'}).body == first.body
    head = api.send("HEAD", path, headers={"if-none-match": tag})
    assert (head.status, head.body) == (304, b"")


def test_a_change_gives_another_validator(api: Api) -> None:
    path = f"/v3/subscribers/{ADA.bea}?api_secret={SECRET}"
    tag = api.send("GET", path).headers["etag"]
    changed = api.send("PUT", f"{path}&first_name=Beatrice", headers={"if-none-match": tag})
    assert changed.status == 200
    assert api.send("GET", path, headers={"if-none-match": tag}).status == 200


def test_a_known_validator_opens_nothing_without_credentials(api: Api) -> None:
    tag = api.send("GET", f"/v3/account?api_secret={SECRET}").headers["etag"]
    for known in (tag, "*"):
        assert api.send("GET", "/v3/account", headers={"if-none-match": known}).status == 401


@pytest.mark.parametrize("given", ("12345678", "a.b-c_d.e", "x" * 64))
def test_a_plain_request_id_comes_back(api: Api, given: str) -> None:
    answer = api.send("GET", "/v3/account", headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ("short", "x" * 65, "with space", "a\tbcdefgh", 'quote"quote', ""))
def test_an_odd_request_id_is_replaced(api: Api, given: str) -> None:
    answers = [api.send("GET", "/v3/account", headers={"x-request-id": given}) for _ in range(2)]
    names = {one.headers["x-request-id"] for one in answers}
    assert len(names) == 2
    assert all(re.fullmatch(r"[0-9a-f-]{36}", name) for name in names)


@EVERY
def test_every_answer_has_a_request_id_and_a_running_time(api: Api, operation: Operation) -> None:
    for params in ({}, {**good(operation, ADA), **S}):
        headers = api.ask(operation.method, operation.of(ADA), params).headers
        assert headers["x-request-id"]
        assert re.fullmatch(r"\d+\.\d{6}", headers["x-runtime"])


@EVERY
def test_answers_are_json_in_utf_8_and_may_be_kept_only_by_who_asked(api: Api, operation: Operation) -> None:
    answer = api.ask(operation.method, operation.of(ADA), {**good(operation, ADA), **S})
    if answer.status == 204:
        assert answer.headers["cache-control"] == "no-cache"
        return
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "max-age=0, private, must-revalidate"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert (
        json.dumps(json.loads(answer.body), ensure_ascii=False, separators=(",", ":")).encode() == answer.body
    )


@pytest.mark.parametrize(
    "path",
    (
        "/v3",
        "/v3/",
        "/api/v3",
        "/v3/x",
        "/v3/forms/1/x",
        "/v3/tags/1",
        "/v3/subscribers/1/tags/2/3",
        "/v3/\0",
    ),
)
def test_unknown_paths_are_404_json_for_every_method(api: Api, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        answer = api.ask(method, path, S)
        assert said(answer) == (404, "Not Found", "The entity you were trying to find doesn't exist")


@pytest.mark.parametrize("path", ("/v4/account", "/v2/forms", "/account", "/api/v4/account", "/x/account"))
def test_paths_outside_of_v3_are_not_answered_as_if_they_were_inside(api: Api, path: str) -> None:
    assert said(api.ask("GET", path, S))[0] == 404


def test_the_document_is_served_to_everybody(api: Api) -> None:
    for path in ("/v3/openapi.json", "/v3/openapi.json/", "/api/v3/openapi.json"):
        answer = api.send("GET", path, headers=PAGE)
        assert read(answer) == conformance.SPEC
        assert answer.headers[ANY] == "*"
    assert api.send("HEAD", "/v3/openapi.json").status == 200
    assert said(api.send("POST", "/v3/openapi.json"))[0] == 405
    tag = answer.headers["etag"]
    assert api.send("GET", "/v3/openapi.json", headers={"if-none-match": tag}).status == 304


def test_the_page_for_people_is_served_and_has_no_other_method(api: Api) -> None:
    shown = api.send("GET", "/docs")
    assert (shown.status, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert api.send("HEAD", "/docs").body == b""
    assert api.send("POST", "/docs").status == 405


def test_a_body_too_large_is_refused_before_it_is_read(api: Api) -> None:
    headers = {"content-type": JSON, "content-length": "1048577"}
    answer = api.send("POST", "/v3/tags", headers=headers)
    assert said(answer)[:2] == (413, "Payload Too Large")
