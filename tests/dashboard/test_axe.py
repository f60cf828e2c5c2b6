"""Every page passes axe-core and fits its window; `make proof` does so in every window."""

import pytest
from playwright.sync_api import Page

from tests.dashboard import axe
from tests.dashboard.browsing import Browsing
from tests.dashboard.places import places
from tests.dashboard.world import World

pytestmark = pytest.mark.browser

# What differs most: colours and width. The other two are in tests/proof.
WINDOWS = ("light, desktop", "dark, phone")
_WRONG = (
    "<!doctype html><html lang=en><title>x</title><main><h1>x</h1>"
    "<p style='color:#ccc;background:#fff'>pale</p>"
    "<img src=x><input><div style='width:3000px'>wide</div></main>"
)


@pytest.mark.parametrize("window", WINDOWS)
def test_every_page_is_for_everybody(window: str, shown: tuple[World, str], browsing: Browsing) -> None:
    world, url = shown
    visited = places(world)
    wrong = browsing.within(axe.WINDOWS[window], axe.judge, url, world.ada.secrets["owner"], visited, window)
    assert not wrong, "\n".join(wrong)


def test_what_is_wrong_is_seen(browsing: Browsing) -> None:
    def plant(page: Page) -> str:
        page.set_content(_WRONG)
        return "\n".join(axe.look(page))

    found = browsing.do(plant)
    for one in ("color-contrast", "image-alt", "label", "wider than its window"):
        assert one in found
