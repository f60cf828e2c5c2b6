"""The OpenAPI document, the page made from it, and the examples in docs/api-v3.md agree."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.api_v3 import conformance
from tidings.web.api_v3 import document

SPEC = conformance.SPEC
DOCS = (Path(__file__).parents[2] / "docs" / "api-v3.md").read_text("utf-8")
CSS = (Path(document.__file__).parents[1] / "static" / "docs.css").read_text("utf-8")
OPERATIONS = [(path, verb) for path, item in SPEC["paths"].items() for verb in item]
OPEN = {"/v3/openapi.json", "/v3/forms/{form_id}.js", "/v3/forms/{form_id}.html"}
KEYED = [(path, verb) for path, verb in OPERATIONS if path not in OPEN]
HEADERS = {"Content-Type": "application/json; charset=utf-8", "X-Request-Id": "a1", "ETag": 'W/"b2"'}


def operation(path: str, verb: str) -> dict[str, Any]:
    found: dict[str, Any] = SPEC["paths"][path][verb]
    return found


def walk(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of the document with its JSON pointer."""
    yield pointer, value
    if isinstance(value, dict):
        pairs: Any = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    else:
        return
    for key, inner in pairs:
        yield from walk(inner, f"{pointer}/{conformance.escape(str(key))}")


def media_types() -> list[str]:
    return [
        pointer
        for pointer, value in walk(SPEC)
        if isinstance(value, dict) and "schema" in value and "examples" in value
    ]


def response_pointer(path: str, verb: str, status: str) -> str:
    return f"/paths/{conformance.escape(path)}/{verb}/responses/{status}"


# The document by itself


def test_the_document_is_valid_openapi() -> None:
    validate(SPEC)


def test_the_document_that_is_served_is_the_file() -> None:
    source = Path(document.__file__).with_name("openapi.json").read_bytes()
    assert json.loads(document.DOCUMENT) == json.loads(source)
    assert b"\n" not in document.DOCUMENT


def test_every_reference_leads_somewhere() -> None:
    references = [value["$ref"] for _, value in walk(SPEC) if isinstance(value, dict) and "$ref" in value]
    assert len(references) > 100
    for reference in references:
        assert reference.startswith("#/")
        conformance.follow(reference[1:])


def test_everything_shared_is_used() -> None:
    used = {value["$ref"] for _, value in walk(SPEC) if isinstance(value, dict) and "$ref" in value}
    shared = {
        f"#/components/{kind}/{name}"
        for kind, named in SPEC["components"].items()
        for name in named
        if kind != "securitySchemes"
    }
    # What stands for every path, and the answer to a method that no operation has.
    everywhere = {"MethodNotAllowed", *conformance.EVERYWHERE.values()}
    assert shared - used == {f"#/components/responses/{name}" for name in everywhere}


@pytest.mark.parametrize("pointer", media_types())
def test_every_example_fits_its_own_schema(pointer: str) -> None:
    _, media = conformance.follow(pointer)
    assert media["examples"]
    for name in media["examples"]:
        _, value = conformance.follow(f"{pointer}/examples/{name}/value")
        assert conformance.schema_problems(f"{pointer}/schema", value) == []


def test_every_path_parameter_has_an_example_that_fits() -> None:
    for name, parameter in SPEC["components"]["parameters"].items():
        if parameter["in"] == "path":
            pointer = f"/components/parameters/{name}/schema"
            assert conformance.schema_problems(pointer, parameter["example"]) == []
            assert conformance.schema_problems(pointer, 2**63) != []
            assert conformance.schema_problems(pointer, 0) != []


def test_operation_ids_are_unique() -> None:
    ids = [operation(path, verb)["operationId"] for path, verb in OPERATIONS]
    assert len(ids) == len(set(ids))


def test_every_operation_is_described() -> None:
    names = {tag["name"] for tag in SPEC["tags"]}
    for path, verb in OPERATIONS:
        told = operation(path, verb)
        assert told["summary"]
        assert told["description"].endswith(".")
        assert set(told["tags"]) <= names


def test_every_operation_with_a_key_lists_what_can_befall_it() -> None:
    for path, verb in KEYED:
        assert {"400", "401", "413", "429"} <= set(operation(path, verb)["responses"]), (path, verb)


def test_what_anyone_may_fetch_needs_no_key_and_is_not_limited() -> None:
    for path in OPEN:
        assert operation(path, "get")["security"] == []
        assert not {"401", "429"} & set(operation(path, "get")["responses"])


def test_every_id_in_a_path_can_be_unknown() -> None:
    for path, verb in OPERATIONS:
        names = [
            conformance.follow(given["$ref"][1:])[1]["name"] if "$ref" in given else given["name"]
            for given in operation(path, verb).get("parameters", [])
        ]
        variables = re.findall(r"\{(\w+)\}", path)
        assert [name for name in names if name in variables] == variables
        if variables:
            assert "404" in operation(path, verb)["responses"]


def test_the_secret_opens_everything_and_the_key_only_what_says_so() -> None:
    wanted = {"UnauthorizedKey": ["apiKey", "apiSecret"], "UnauthorizedSecret": ["apiSecret"]}
    wanted["UnauthorizedIntegration"] = ["apiSecret"]
    for path, verb in KEYED:
        refused = operation(path, verb)["responses"]["401"]["$ref"].rpartition("/")[2]
        assert [next(iter(way)) for way in operation(path, verb)["security"]] == wanted[refused]


def test_what_carries_parameters_takes_them_as_json_and_as_a_form() -> None:
    for path, verb in OPERATIONS:
        if verb in ("post", "put"):
            types = set(operation(path, verb)["requestBody"]["content"])
            assert types == {"application/json", "application/x-www-form-urlencoded"}


def test_every_path_under_sequences_stands_under_courses_too() -> None:
    for path, item in SPEC["paths"].items():
        if path.startswith("/v3/sequences"):
            alias = SPEC["paths"][path.replace("/sequences", "/courses", 1)]
            assert {verb: told["x-alias-of"] for verb, told in alias.items()} == {
                verb: told["operationId"] for verb, told in item.items()
            }
            for verb, told in item.items():
                assert alias[verb]["responses"] == told["responses"]


def test_every_answer_carries_a_request_id() -> None:
    for path, verb in OPERATIONS:
        for status in operation(path, verb)["responses"]:
            _, answer = conformance.follow(response_pointer(path, verb, status))
            assert "X-Request-Id" in answer["headers"]


def test_answers_have_no_keys_but_those_that_are_named() -> None:
    requests = {
        "Subscribe",
        "Email",
        "TagNew",
        "TagsNew",
        "TagNewForm",
        "SubscriberChange",
        "BroadcastChange",
    }
    requests |= {"HookNew", "FieldsNew", "FieldNewForm", "FieldChange", "PurchaseNew", "PurchaseNewForm"}
    # Its keys are those of the account's custom fields.
    requests |= {"Fields"}
    for name, schema in SPEC["components"]["schemas"].items():
        for pointer, part in walk(schema):
            if name not in requests and isinstance(part, dict) and part.get("type") == "object":
                assert part["additionalProperties"] is False, (name, pointer)
                assert part["required"], (name, pointer)


# The page


class Elements(HTMLParser):
    """Tags, ids and local links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name == "href" and value]


@pytest.fixture(scope="module")
def elements() -> Elements:
    found = Elements()
    found.feed(document.page())
    return found


def test_the_page_has_nothing_that_a_strict_policy_would_refuse(elements: Elements) -> None:
    assert not elements.names & {"script", "style", "iframe", "object"}
    assert not {name for name in elements.attributes if name == "style" or name.startswith("on")}
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_every_link_of_the_page_leads_somewhere(elements: Elements) -> None:
    assert len(elements.ids) == len(set(elements.ids))
    assert {link[1:] for link in elements.links if link.startswith("#")} <= set(elements.ids)
    assert {link for link in elements.links if not link.startswith("#")} == {
        "/static/docs.css",
        "/v3/openapi.json",
    }


def test_every_call_stands_on_the_page(elements: Elements) -> None:
    told = [operation(path, verb) for path, verb in OPERATIONS]
    assert {one["operationId"] for one in told if "x-alias-of" not in one} <= set(elements.ids)
    for path, verb in OPERATIONS:
        if "x-alias-of" in operation(path, verb):
            assert f"<code>{path}</code>" in document.page()


def test_every_word_of_an_error_stands_on_the_page() -> None:
    page = document.page().replace("&#39;", "'")
    # Told in the words of the section on errors.
    elsewhere = {"methodNotAllowed", "timeout", "uriTooLong", "headerTooLarge", "unavailable"}
    for name, example in SPEC["components"]["examples"].items():
        if name not in elsewhere:
            assert example["value"]["message"] in page
            assert example["value"]["error"] in page


def test_the_page_calls_the_address_it_is_given() -> None:
    assert "https://news.example.org/v3/tags?api_key=$API_KEY" in document.page("https://news.example.org")


def test_every_class_of_the_page_is_known_to_its_style_sheet() -> None:
    classes = {name for found in re.findall(r'class="([^"]+)"', document.page()) for name in found.split()}
    # Marks of structure that need no rule of their own.
    assert {name for name in classes if f".{name}" not in CSS} <= {"words", "receive"}


# docs/api-v3.md

EXAMPLES = re.findall(
    r"```bash\n((?:(?!```).)+)```\n\nAnswers (\d+)[.:]\n(?:\n```json\n((?:(?!```).)+)```)?", DOCS, re.DOTALL
)


def test_every_call_stands_in_the_docs() -> None:
    for path, verb in OPERATIONS:
        assert f"`{verb.upper()} {path}`" in DOCS, (verb, path)


def test_every_event_stands_in_the_docs() -> None:
    event = SPEC["components"]["schemas"]["HookNew"]["properties"]["event"]
    for name in event["properties"]["name"]["enum"]:
        assert f"| `{name}` |" in DOCS


def test_the_docs_have_examples() -> None:
    assert len(EXAMPLES) > 25


@pytest.mark.parametrize(("shell", "status", "body"), EXAMPLES)
def test_every_answer_in_the_docs_is_one_the_document_promises(shell: str, status: str, body: str) -> None:
    method, url = re.findall(r'curl (?:-g )?(?:-X (\w+) )?"http://127\.0\.0\.1:8080([^"]+)"', shell)[-1]
    headers = {**HEADERS, "Location": "/v3/custom_fields"}
    assert conformance.check(method or "GET", url, int(status), headers, body.encode()) == []


def test_every_json_in_an_example_call_is_json() -> None:
    bodies = re.findall(r"-d '(\{.*?\})'\n", DOCS, re.DOTALL)
    assert len(bodies) > 10
    for text in bodies:
        assert json.loads(text)
