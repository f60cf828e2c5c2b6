"""What tests of the dashboard share: the filled world, made once for each worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.dashboard.asking import Asking
from tests.dashboard.browsing import Browsing, chromium, served
from tests.dashboard.world import Template, World, fill
from tidings.web.dashboard import passwords


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords in a tenth of a millisecond instead of 50."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobody.cache_clear()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return fill(tmp_path_factory.mktemp("filled"))


@pytest.fixture
def world(template: Template, tmp_path: Path) -> Iterator[World]:
    """A filled world of this test's own."""
    made = template.copied(tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def asking(world: World) -> Iterator[Asking]:
    with Asking(world) as made:
        yield made


@pytest.fixture(scope="session")
def browsing() -> Iterator[Browsing]:
    """One Chromium for all tests of a worker."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def shown(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """A filled world that nobody changes, and the address where it is served."""
    world = template.copied(tmp_path_factory.mktemp("shown"))
    with served(world.db) as url:
        yield world, url
    world.db.close()
