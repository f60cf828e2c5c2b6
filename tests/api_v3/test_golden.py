"""Every endpoint and case answers byte for byte what its file in `golden/` holds, on both databases.

`TIDINGS_GOLDEN=write make test ARGS=tests/api_v3/test_golden.py` writes the files anew; each change in
them is then to be read against the contract.
"""

import json
import os
from pathlib import Path

import pytest

from tests.api_v3.client import Api
from tests.api_v3.golden_cases import CASES, Case
from tests.api_v3.operations import OPERATIONS
from tests.web.asgi import Answer

GOLDEN = Path(__file__).parent / "golden"
HEADERS = (
    "content-type",
    "cache-control",
    "location",
    "allow",
    "retry-after",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
)
WRITE = os.environ.get("TIDINGS_GOLDEN") == "write"


def written(case: Case, answer: Answer) -> bytes:
    """A golden file: JSON, its last member the body as it was sent."""
    kept = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    head = {"request": f"{case.method} {case.path}", "params": case.params}
    head |= {"before": [f"{method} {path}" for method, path, _ in case.before]} if case.before else {}
    head |= {"status": answer.status, "headers": kept}
    text = json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    return f'{text},\n "body": '.encode() + (answer.body or b"null") + b"\n}\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_answer_is_the_one_on_file(api: Api, case: Case) -> None:
    for method, path, params in case.before:
        assert api.ask(method, path, params).status < 300
    raw = dict(case.headers).get("x-raw-body")
    answer = api.send(case.method, case.path, raw.encode()) if raw else _ask(api, case)
    got, path = written(case, answer), GOLDEN / f"{case.name}.json"
    if WRITE:
        path.write_bytes(got)
    assert path.is_file(), f"no file {path.name}: write it with TIDINGS_GOLDEN=write, then read it"
    assert got.decode() == path.read_text("utf-8")


def _ask(api: Api, case: Case) -> Answer:
    return api.ask(case.method, case.path, case.params, headers=dict(case.headers))


def test_every_file_belongs_to_a_case_and_no_name_is_used_twice() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(names)


def test_every_operation_has_a_case_that_succeeds() -> None:
    succeeded = {
        (case.method, case.path)
        for case in CASES
        if json.loads((GOLDEN / f"{case.name}.json").read_text("utf-8"))["status"] < 300
    }
    for operation in OPERATIONS:
        parts = operation.template.split("/")
        assert any(
            method == operation.method and _fits(path.split("/"), parts) for method, path in succeeded
        ), operation


def _fits(path: list[str], template: list[str]) -> bool:
    return len(path) == len(template) and all(
        piece == part or part.startswith("{") for piece, part in zip(path, template, strict=True)
    )
