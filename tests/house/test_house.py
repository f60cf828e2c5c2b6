"""The house rules, held against the project itself."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import data, floors, shape
from tests.house.tree import House

ROOT = Path(__file__).parents[2]
RULES = (*floors.RULES, *data.RULES, *shape.RULES)


@pytest.fixture(scope="module")
def house() -> House:
    return House.read(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(house: House, rule: Callable[[House], list[str]]) -> None:
    assert house.modules, "no module was read"
    found = rule(house)
    if found:
        pytest.fail("\n".join([rule.__doc__ or "", *found]), pytrace=False)


def test_every_owner_and_reader_in_the_map_is_of_the_core_or_the_store() -> None:
    rooms = {owner.split(".")[0] for owner in (*data.OWNERS.values(), *data.READERS)}
    assert rooms == {"core", "store"}


def test_the_table_of_migrations_is_the_only_one_without_an_account() -> None:
    assert {"migrations"} == data.WITHOUT_ACCOUNT
