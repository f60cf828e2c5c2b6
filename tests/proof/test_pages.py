"""Every page of the dashboard in every window: axe-core finds nothing wrong, and nothing is wider than it."""

import pytest

from tests.dashboard import axe
from tests.dashboard.browsing import Browsing
from tests.dashboard.places import places
from tests.dashboard.world import World

pytestmark = [pytest.mark.browser, pytest.mark.proof]


@pytest.mark.parametrize("window", axe.WINDOWS)
def test_every_page_is_for_everybody_in_every_window(
    window: str, shown: tuple[World, str], browsing: Browsing
) -> None:
    world, url = shown
    visited = places(world, url)
    wrong = browsing.within(axe.WINDOWS[window], axe.judge, url, world.ada.secrets["owner"], visited, window)
    assert not wrong, "\n".join(wrong)
