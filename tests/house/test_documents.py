"""Every setting, event and endpoint has its line in docs/."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.house import pages
from tests.setup.strict_skips import NOT_HERE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
API = ROOT / "src" / "tidings" / "web" / "api_v3"


def of_the_project(name: str) -> ModuleType:
    """A module of the project; the rule waits for as long as its file is not written."""
    path = ROOT / "src" / name.replace(".", "/")
    if not path.with_suffix(".py").exists() and not (path / "__init__.py").exists():
        pytest.skip(f"{NOT_HERE}{name} is not written yet")
    return importlib.import_module(name)


def test_the_page_of_settings_is_what_the_settings_say() -> None:
    settings = of_the_project("tidings.settings")
    assert pages.generated(DOCS / "settings.md", settings.as_markdown()) == []


def test_every_setting_has_its_line() -> None:
    settings = of_the_project("tidings.settings")
    assert settings.SETTINGS
    assert pages.unnamed((one.name for one in settings.SETTINGS), DOCS / "settings.md") == []
    assert [one.name for one in settings.SETTINGS if not one.help.strip()] == []


def test_every_event_has_its_line() -> None:
    events = of_the_project("tidings.core.events")
    assert events.NAMES
    assert pages.unnamed(events.NAMES + events.INNER, DOCS / "events.md") == []


def test_every_route_is_in_the_openapi_document_and_the_other_way_round() -> None:
    routes = of_the_project("tidings.web.api_v3.routes").ROUTES
    assert routes
    coded = {f"{route.method} {pages.plain(route.pattern)}" for route in routes}
    described = pages.endpoints_of_openapi(API / "openapi.json")
    assert pages.differences("ROUTES", coded, "openapi.json", described) == []


def test_every_endpoint_has_its_line_and_the_other_way_round() -> None:
    of_the_project("tidings.web.api_v3.routes")
    described = pages.endpoints_of_openapi(API / "openapi.json")
    told = pages.endpoints_of_page(DOCS / "api-v3.md")
    assert pages.differences("openapi.json", described, "docs/api-v3.md", told) == []
