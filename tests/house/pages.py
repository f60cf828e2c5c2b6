"""What the documents must name: every setting, every event, every endpoint.

These functions compare lists and pages; `test_documents.py` imports the project's
tables for them, and `write.py` writes the generated pages (`make docs`).
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
_ENDPOINT = re.compile(r"\b(GET|PUT|POST|DELETE|PATCH) (/v\d[^\s`|)?]*)")


def endpoints_of_openapi(document: Path) -> set[str]:
    """The endpoints of an OpenAPI document, as `GET /v3/forms/{}`."""
    paths = json.loads(document.read_text(encoding="utf-8"))["paths"]
    return {
        f"{method.upper()} {plain(path)}"
        for path, item in paths.items()
        for method in item
        if method in METHODS
    }


def endpoints_of_page(page: Path) -> set[str]:
    """The endpoints that a page names with method and path."""
    text = page.read_text(encoding="utf-8")
    return {f"{method} {plain(path.rstrip('.,:;'))}" for method, path in _ENDPOINT.findall(text)}


def plain(path: str) -> str:
    """A path without the names of what is filled in: `/v3/forms/{id}` becomes `/v3/forms/{}`."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def differences(first: str, has: Iterable[str], second: str, also: Iterable[str]) -> list[str]:
    """What stands in one of two lists only, as sentences."""
    has, also = set(has), set(also)
    return [f"{one} is in {first}, not in {second}" for one in sorted(has - also)] + [
        f"{one} is in {second}, not in {first}" for one in sorted(also - has)
    ]


def unnamed(names: Iterable[str], page: Path) -> list[str]:
    """The names that a page does not give in code form."""
    given = set(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))
    return sorted(set(names) - given)


def generated(page: Path, wanted: str) -> list[str]:
    """Whether a generated page is what would be generated now."""
    if page.exists() and page.read_text(encoding="utf-8") == wanted:
        return []
    return [f"docs/{page.name} is out of date; run: make docs"]
