"""The check finds what is wrong with an answer, and takes every answer that is documented."""

import json
import re
from typing import Any

import pytest

from tests.api_v3 import conformance

SPEC = conformance.SPEC
HEADERS = {"Content-Type": "application/json; charset=utf-8", "X-Request-Id": "a1", "ETag": 'W/"b2"'}
# Every documented answer; those that are no JSON are tried by themselves below.
ANSWERS = tuple(
    (path, verb, status)
    for path, item in SPEC["paths"].items()
    for verb, told in item.items()
    for status in told["responses"]
    if told["security"]
)


def body_of(value: object) -> bytes:
    return json.dumps(value).encode()


def example_of(pointer: str) -> Any:
    _, response = conformance.follow(pointer)
    ((_, content),) = response["content"].items()
    name = next(iter(content["examples"]))
    here = f"{pointer}/content/application~1json/examples/{name}/value"
    return conformance.follow(here)[1]


@pytest.mark.parametrize(("path", "verb", "status"), ANSWERS)
def test_the_check_takes_every_documented_answer(path: str, verb: str, status: str) -> None:
    place = re.sub(r"\{\w+\}", "7", path)
    headers = {**HEADERS, "Retry-After": "12", "Location": "/v3/custom_fields"}
    pointer = f"/paths/{conformance.escape(path)}/{verb}/responses/{status}"
    body = b"" if status in ("204", "304") else body_of(example_of(pointer))
    assert conformance.check(verb.upper(), place, int(status), headers, body) == []


@pytest.mark.parametrize(
    ("path", "seen"),
    (
        ("/v3/tags/", "/v3/tags"),
        ("/v3//tags//7/subscribe", "/v3/tags/7/subscribe"),
        ("/api/v3/tags?api_key=x", "/v3/tags"),
        ("/api/v3x", "/api/v3x"),
        ("/", "/"),
    ),
)
def test_paths_are_read_as_the_router_reads_them(path: str, seen: str) -> None:
    assert conformance.normalise(path) == seen


@pytest.mark.parametrize(
    ("path", "template"),
    (
        ("/v3/forms/7", "/v3/forms/{form_id}"),
        ("/v3/forms/7.js", "/v3/forms/{form_id}.js"),
        ("/v3/forms/7.html", "/v3/forms/{form_id}.html"),
        ("/v3/forms/seven", "/v3/forms/{form_id}"),
        ("/v3/subscribers/1/tags/2", "/v3/subscribers/{subscriber_id}/tags/{tag_id}"),
        ("/v3/nothing", None),
        ("/v3/forms/7/8/9", None),
    ),
)
def test_a_concrete_path_finds_its_operation(path: str, template: str | None) -> None:
    assert conformance.find_path(path) == template


TAGS = {"tags": [{"id": 1, "name": "a", "created_at": "2026-02-28T08:07:00.000Z"}]}
STATS = SPEC["paths"]["/v3/broadcasts/{broadcast_id}/stats"]["get"]["responses"]["200"]["content"][
    "application/json"
]["examples"]["example"]["value"]


@pytest.mark.parametrize(
    ("body", "words"),
    (
        (b'{"tags":[],"more":1}', "Additional properties"),
        (b"{}", "required property"),
        (b'{"tags":[],"tags":[]}', "a key stands twice"),
        (b'{"tags":[NaN]}', "NaN is not JSON"),
        (b'{"tags":', "cannot be read"),
        (b"\xff", "cannot be read"),
        (body_of(TAGS).replace(b".000Z", b"Z"), "does not match"),
        (body_of(TAGS).replace(b"02-28", b"02-31"), "is not a 'date-time'"),
        (body_of(TAGS).replace(b'"id": 1', b'"id": 0'), "less than the minimum"),
        (body_of(TAGS).replace(b'"id": 1', b'"id": 1.0'), "is not a 'int64'"),
        (body_of(TAGS).replace(b'"id": 1', b'"id": "1"'), "is not of type"),
    ),
)
def test_the_check_finds_what_is_wrong_with_a_body(body: bytes, words: str) -> None:
    assert conformance.check("GET", "/v3/tags", 200, HEADERS, body_of(TAGS)) == []
    (problem, *_) = conformance.check("GET", "/v3/tags", 200, HEADERS, body)
    assert words in problem


def test_a_percentage_without_a_decimal_point_is_wrong() -> None:
    body = body_of(STATS)
    assert conformance.check("GET", "/v3/broadcasts/7/stats", 200, HEADERS, body) == []
    (problem,) = conformance.check(
        "GET", "/v3/broadcasts/7/stats", 200, HEADERS, body.replace(b"100.0", b"100")
    )
    assert "is not a 'double'" in problem


@pytest.mark.parametrize("missing", ("Content-Type", "X-Request-Id", "ETag"))
def test_a_missing_header_is_wrong(missing: str) -> None:
    headers = {name: value for name, value in HEADERS.items() if name != missing}
    assert len(conformance.check("GET", "/v3/tags", 200, headers, body_of(TAGS))) == 1


def test_another_content_type_is_wrong() -> None:
    headers = {**HEADERS, "Content-Type": "application/json"}
    assert len(conformance.check("GET", "/v3/tags", 200, headers, body_of(TAGS))) == 1


def test_the_words_of_an_error_are_held_to_the_letter() -> None:
    body = {"error": "Authorization Failed", "message": "API Key not valid"}
    assert conformance.check("GET", "/v3/tags", 401, HEADERS, body_of(body)) == []
    body["message"] = "API key not valid"
    assert len(conformance.check("GET", "/v3/tags", 401, HEADERS, body_of(body))) == 1


@pytest.mark.parametrize("status", (201, 202, 204, 302, 404, 500))
def test_a_status_that_is_not_documented_is_wrong(status: int) -> None:
    (problem,) = conformance.check("GET", "/v3/tags", status, HEADERS, body_of(TAGS))
    assert "is not documented" in problem


def test_no_content_means_none() -> None:
    assert conformance.check("DELETE", "/v3/broadcasts/7", 204, HEADERS, b"") == []
    assert len(conformance.check("DELETE", "/v3/broadcasts/7", 204, HEADERS, b"{}")) == 1


def test_retry_after_is_needed_and_is_a_number() -> None:
    body = body_of(SPEC["components"]["examples"]["rateLimited"]["value"])
    assert conformance.check("GET", "/v3/tags", 429, {**HEADERS, "Retry-After": "3"}, body) == []
    assert len(conformance.check("GET", "/v3/tags", 429, HEADERS, body)) == 1
    assert len(conformance.check("GET", "/v3/tags", 429, {**HEADERS, "Retry-After": "soon"}, body)) == 1
    assert len(conformance.check("GET", "/v3/tags", 429, {**HEADERS, "Retry-After": "0"}, body)) == 1


def test_another_method_is_405_and_names_the_right_ones() -> None:
    body = body_of({"error": "Method Not Allowed", "message": "x"})
    assert conformance.check("DELETE", "/v3/tags", 405, {**HEADERS, "Allow": "GET, POST"}, body) == []
    (problem,) = conformance.check("DELETE", "/v3/tags", 405, {**HEADERS, "Allow": "GET"}, body)
    assert "Allow lacks POST" in problem
    assert len(conformance.check("GET", "/v3/tags", 405, {**HEADERS, "Allow": "GET, POST"}, body)) == 1
    assert len(conformance.check("DELETE", "/v3/tags", 200, HEADERS, body_of(TAGS))) == 1


def test_an_unknown_path_is_404_in_the_words_of_the_api() -> None:
    body = SPEC["components"]["examples"]["notFound"]["value"]
    assert conformance.check("GET", "/v3/nothing", 404, HEADERS, body_of(body)) == []
    assert len(conformance.check("GET", "/v3/nothing", 404, HEADERS, body_of({"error": "no"}))) >= 1
    assert len(conformance.check("GET", "/v3/nothing", 200, HEADERS, b"{}")) == 1


def test_head_answers_as_get_without_a_body() -> None:
    assert conformance.check("HEAD", "/v3/tags", 200, HEADERS, b"") == []
    assert len(conformance.check("HEAD", "/v3/tags", 200, HEADERS, b"{}")) == 1


def test_a_preflight_has_no_body() -> None:
    assert conformance.check("OPTIONS", "/v3/tags", 204, {}, b"") == []
    assert len(conformance.check("OPTIONS", "/v3/tags", 200, {}, b"x")) == 1
    assert len(conformance.check("OPTIONS", "/v3/tags", 500, {}, b"")) == 1


def test_scripts_and_forms_have_types_of_their_own() -> None:
    script = {**HEADERS, "Content-Type": "text/javascript; charset=utf-8"}
    page = {**HEADERS, "Content-Type": "text/html; charset=utf-8"}
    assert conformance.check("GET", "/v3/forms/7.js", 200, script, b";") == []
    assert conformance.check("GET", "/v3/forms/7.html", 200, page, b"<form>") == []
    assert len(conformance.check("GET", "/v3/forms/7.html", 200, script, b"<form>")) == 1
    assert len(conformance.check("GET", "/v3/forms/7.js", 200, script, b"")) == 1


@pytest.mark.parametrize("status", tuple(conformance.EVERYWHERE))
def test_what_the_edge_answers_is_documented_for_every_path(status: int) -> None:
    body = body_of({"error": "x", "message": ""})
    for path in ("/v3/tags", "/v3/nothing"):
        assert conformance.check("GET", path, status, HEADERS, body) == []
        assert len(conformance.check("GET", path, status, HEADERS, b"{}")) >= 1


def test_not_modified_has_no_body() -> None:
    assert conformance.check("GET", "/v3/tags", 304, HEADERS, b"") == []
    assert len(conformance.check("GET", "/v3/tags", 304, HEADERS, b"{}")) == 1
    assert len(conformance.check("POST", "/v3/tags", 304, HEADERS, b"")) == 1
