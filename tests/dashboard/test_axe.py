"""Every page passes axe-core and fits its window: half of them in each of two windows here, all of them in
all four in `make proof`.
"""

import pytest
from playwright.sync_api import Page

from tests.dashboard import axe
from tests.dashboard.browsing import Browsing
from tests.dashboard.places import places
from tests.dashboard.world import World

pytestmark = pytest.mark.browser

# What differs most: colours and width.
WINDOWS = ("light, desktop", "dark, phone")
_WRONG = (
    "<!doctype html><html lang=en><title>x</title><main><h1>x</h1>"
    "<p style='color:#ccc;background:#fff'>pale</p>"
    "<img src=x><input><div style='width:3000px'>wide</div></main>"
)


@pytest.mark.parametrize("half", (0, 1))
def test_every_page_is_for_everybody(half: int, shown: tuple[World, str], browsing: Browsing) -> None:
    world, url = shown
    visited, window = places(world, url)[half::2], WINDOWS[half]
    wrong = browsing.within(axe.WINDOWS[window], axe.judge, url, world.ada.secrets["owner"], visited, window)
    assert not wrong, "\n".join(wrong)


def test_what_is_wrong_is_seen(browsing: Browsing) -> None:
    def plant(page: Page) -> str:
        page.set_content(_WRONG)
        return "\n".join(axe.look(page))

    found = browsing.do(plant)
    for one in ("color-contrast", "image-alt", "label", "wider than its window"):
        assert one in found
