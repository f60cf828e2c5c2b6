"""axe-core over pages in a browser: what it finds wrong, as lines that name the page and the element."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page

from tests.dashboard.browsing import DESKTOP, PHONE, signed_in
from tests.dashboard.places import Place

SOURCE: Final = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
# The letters of the rules: WCAG 2.0 to 2.2, A and AA, and axe's own best practices.
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
WINDOWS: Final[Mapping[str, Mapping[str, Any]]] = {
    "light, desktop": {"color_scheme": "light", "viewport": DESKTOP},
    "dark, desktop": {"color_scheme": "dark", "viewport": DESKTOP},
    "light, phone": {"color_scheme": "light", "viewport": PHONE},
    "dark, phone": {"color_scheme": "dark", "viewport": PHONE},
}
_RUN: Final = """async (tags) => {
  const result = await axe.run(document, { runOnly: tags, resultTypes: ["violations"], iframes: false });
  const shown = (nodes) => nodes.slice(0, 3).map((node) => node.html.slice(0, 160));
  return result.violations.map((one) => [one.id, one.help, shown(one.nodes)]);
}"""
# A page that is wider than its window scrolls sideways on a phone.
_WIDTH: Final = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@cache
def _source() -> str:
    if not SOURCE.is_file():
        pytest.skip("no axe-core in node_modules: requirements/install test fetches it")
    return SOURCE.read_text(encoding="utf-8")


def judge(page: Page, url: str, secret: str, visited: Iterable[Place], window: str) -> list[str]:
    """Visit pages and return a line for each thing that is wrong."""
    wrong = []
    for place in visited:
        page.context.clear_cookies()
        if place.signed_in:
            signed_in(page.context, url, secret)
        page.goto(url + place.path, wait_until="load")
        wrong += [f"{place.path} ({window}): {line}" for line in look(page)]
    return wrong


def look(page: Page) -> list[str]:
    """Return what is wrong with the page that is shown."""
    # Evaluated, not put into the page: the page's own policy stays as it is.
    page.evaluate(_source())
    found = [f"{rule}: {said}: {' | '.join(nodes)}" for rule, said, nodes in page.evaluate(_RUN, TAGS)]
    wider = page.evaluate(_WIDTH)
    if wider > 0:
        found.append(f"the page is {wider} px wider than its window")
    return found
