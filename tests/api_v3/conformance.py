"""Hold an answer of the server to the OpenAPI document.

`check` takes one exchange and returns what is wrong with it, in words; an empty
list means that the answer is one the document promises. It knows nothing of
the server and needs no network.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tidings.web.api_v3.document import DOCUMENT

SPEC: dict[str, Any] = json.loads(DOCUMENT)
URI = "urn:tidings:openapi"
METHODS = ("get", "post", "put", "delete", "patch")
# What the edge of the server may answer before it has looked at the path.
EDGE = {400: "MalformedBody", 413: "TooLarge", 429: "RateLimited"}
# What it may answer on every path, so that no operation repeats it.
EVERYWHERE = {408: "RequestTimeout", 414: "UriTooLong", 431: "HeaderTooLarge", 503: "Unavailable"}
_REGISTRY: Registry[Any] = Registry().with_resource(URI, DRAFT202012.create_resource(SPEC))
_FORMATS = FormatChecker()


@_FORMATS.checks("double")
def _is_double(value: object) -> bool:
    """JSON Schema cannot tell 100 from 100.0; strict clients can, and want the latter."""
    return not isinstance(value, int) or isinstance(value, bool)


@_FORMATS.checks("int64")
def _is_int64(value: object) -> bool:
    return not isinstance(value, float) and (not isinstance(value, int) or abs(value) < 2**63)


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
    """What is wrong with this answer to `method path`; `path` may carry a query."""
    verb, place = method.lower(), normalise(path)
    lowered = {name.lower(): value for name, value in headers.items()}
    template = find_path(place)
    if verb == "options" and template:
        return _check_preflight(status, body)
    pointer = _expected(verb, template, status)
    if pointer is None:
        return [f"{method} {place}: status {status} is not documented"]
    problems = list(_check_response(pointer, lowered, body, bodiless=verb == "head"))
    if status == 405 and template:
        problems += _check_allow(template, lowered.get("allow", ""))
    return [f"{method} {place} {status}: {problem}" for problem in problems]


def normalise(path: str) -> str:
    """The path as the router sees it: no query, no doubled or trailing slash, no `/api` before `/v3`."""
    plain = unquote(re.split(r"[?#]", path, maxsplit=1)[0])
    joined = "/" + "/".join(part for part in plain.split("/") if part)
    return joined[4:] if joined == "/api/v3" or joined.startswith("/api/v3/") else joined


def find_path(path: str) -> str | None:
    """The path of the document that a concrete path belongs to, the most literal one first."""
    return next((template for template, pattern in _TEMPLATES if pattern.fullmatch(path)), None)


def find_operation(method: str, path: str) -> dict[str, Any] | None:
    """The operation that a method and a concrete path belong to."""
    template = find_path(normalise(path))
    found: dict[str, Any] | None = SPEC["paths"][template].get(method.lower()) if template else None
    return found


def schema_problems(pointer: str, value: object) -> list[str]:
    """How `value` breaks the schema at a JSON pointer of the document (RFC 6901)."""
    validator = Draft202012Validator(
        {"$ref": f"{URI}#{pointer}"}, registry=_REGISTRY, format_checker=_FORMATS
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def follow(pointer: str) -> tuple[str, Any]:
    """The value at a JSON pointer, and its own pointer once every `$ref` on the way is followed."""
    value: Any = SPEC
    here = ""
    for token in pointer.split("/")[1:]:
        value = value[token.replace("~1", "/").replace("~0", "~")]
        here += "/" + token
        while isinstance(value, dict) and "$ref" in value:
            here, value = follow(value["$ref"].removeprefix("#"))
    return here, value


def escape(token: str) -> str:
    """A key as a token of a JSON pointer."""
    return token.replace("~", "~0").replace("/", "~1")


def _expected(verb: str, template: str | None, status: int) -> str | None:
    """The pointer to the response that the document promises, or None."""
    if status in EVERYWHERE:
        return f"/components/responses/{EVERYWHERE[status]}"
    edge = f"/components/responses/{EDGE[status]}" if status in EDGE else None
    if template is None:
        return "/components/responses/NotFound" if status == 404 else edge
    item = SPEC["paths"][template]
    asked = "get" if verb == "head" and "get" in item else verb
    if asked in item and str(status) in item[asked]["responses"]:
        return f"/paths/{escape(template)}/{asked}/responses/{status}"
    if status == 405 and verb not in item:
        return "/components/responses/MethodNotAllowed"
    return edge if asked not in item else None


def _check_preflight(status: int, body: bytes) -> list[str]:
    """CORS preflights (Fetch standard, section 3.2) are no operations of the document."""
    if status not in (200, 204, 405):
        return [f"OPTIONS: status {status}, not 200, 204 or 405"]
    return ["OPTIONS: a body"] if body and status != 405 else []


def _check_allow(template: str, allow: str) -> list[str]:
    named = {name.strip().lower() for name in allow.split(",")}
    missing = [verb for verb in METHODS if verb in SPEC["paths"][template] and verb not in named]
    return [f"Allow lacks {', '.join(missing).upper()}"] if missing else []


def _check_response(pointer: str, headers: Mapping[str, str], body: bytes, bodiless: bool) -> Iterator[str]:
    here, response = follow(pointer)
    yield from _check_headers(here, headers)
    content = response.get("content")
    if content is None:
        if body:
            yield f"a body of {len(body)} bytes where none is promised"
        return
    (media,) = content
    wanted = f"{media}; charset=utf-8"
    if headers.get("content-type", "").lower() != wanted:
        yield f"content type {headers.get('content-type')!r}, not {wanted!r}"
    if bodiless:
        if body:
            yield "a body in the answer to HEAD"
        return
    yield from _check_body(f"{here}/content/{escape(media)}/schema", media, body)


def _check_headers(pointer: str, headers: Mapping[str, str]) -> Iterator[str]:
    _, response = follow(pointer)
    for name in response.get("headers", {}):
        here, header = follow(f"{pointer}/headers/{name}")
        text = headers.get(name.lower())
        if text is None:
            if header.get("required"):
                yield f"the header {name} is missing"
            continue
        counted = header["schema"]["type"] == "integer" and re.fullmatch("[0-9]+", text, re.ASCII)
        value: object = int(text) if counted else text
        for problem in schema_problems(f"{here}/schema", value):
            yield f"header {name}: {problem}"


def _check_body(pointer: str, media: str, body: bytes) -> Iterator[str]:
    try:
        text = body.decode("utf-8")
        value = _read_json(text) if media == "application/json" else text
    except ValueError as refused:
        yield f"the body cannot be read: {refused}"
        return
    yield from schema_problems(pointer, value)


def _read_json(text: str) -> object:
    """JSON as RFC 8259 has it: no NaN, no key twice."""

    def refuse(constant: str) -> object:
        raise ValueError(f"{constant} is not JSON")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        if len(keys) != len(set(keys)):
            raise ValueError(f"a key stands twice among {keys}")
        return dict(pairs)

    value: object = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    return value


def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Paths with few variables first, longer ones first among equals: `.js` before the bare id."""
    ordered = sorted(SPEC["paths"], key=lambda path: (path.count("{"), -len(path)))
    return [(path, re.compile(_pattern(path))) for path in ordered]


def _pattern(path: str) -> str:
    pieces = re.split(r"(\{\w+\})", path)
    return "".join("[^/]+" if piece.startswith("{") else re.escape(piece) for piece in pieces)


_TEMPLATES = _patterns()
