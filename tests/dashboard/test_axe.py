"""axe-core, and the look at a page's width, see what is wrong: `make proof` holds every page to them."""

import pytest
from playwright.sync_api import Page

from tests.dashboard import axe
from tests.dashboard.browsing import Browsing

pytestmark = pytest.mark.browser

_WRONG = (
    "<!doctype html><html lang=en><title>x</title><main><h1>x</h1>"
    "<p style='color:#ccc;background:#fff'>pale</p>"
    "<img src=x><input><div style='width:3000px'>wide</div></main>"
)


def test_what_is_wrong_is_seen(browsing: Browsing) -> None:
    def plant(page: Page) -> str:
        page.set_content(_WRONG)
        return "\n".join(axe.look(page))

    found = browsing.do(plant)
    for one in ("color-contrast", "image-alt", "label", "wider than its window"):
        assert one in found
