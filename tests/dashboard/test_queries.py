"""The number of queries of a page does not grow with the rows that it shows, or does not show."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.dashboard import samples
from tests.dashboard.asking import Asking
from tests.dashboard.crowd import crowd
from tests.dashboard.queries import counted
from tests.dashboard.world import Template
from tidings.store.tx import Rx
from tidings.web.dashboard import door, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.routes import ROUTES
from tidings.web.dashboard.routing import VIEWER, Route
from tidings.web.http import Reply

FEW: Final = 10
MANY: Final = 300
# More than one of a kind is asked where there are more pages or kinds of things; ten rows and a page of
# fifty differ by this much at most.
SLACK: Final = 2
# Pages that may ask more, how many, and why.
MORE: Final = {
    "/sequences/{id}": (
        6,
        "the people before each email are counted 50 emails at a time; there are 500 at most",
    )
}


@pytest.fixture(scope="module")
def crowds(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Asking]]:
    """The world with a few more of everything, and with many."""
    made = []
    for n in (FEW, MANY):
        world = template.copied(tmp_path_factory.mktemp(f"crowd{n}"))
        crowd(world.db, world.ada.id, n)
        made.append(Asking(world))
    yield made
    for one in made:
        one.world.db.close()
        one.__exit__()


def grown(crowds: list[Asking], route: Route) -> list[str]:
    """Return how a page's queries differ between few rows and many; nothing where they do not."""
    found: list[Counter[str]] = []
    for asking in crowds:
        owner = asking.who("owner")
        path = next(iter(samples.fillings(asking.world, route, asking.world.ada.id)))
        # Definitions that are kept in memory are read once.
        asking.ask("GET", path, owner)
        with counted() as asked:
            asking.ask("GET", path, owner)
        found.append(Counter(asked))
    few, many = found
    if many.total() <= few.total() + max(SLACK, MORE.get(route.pattern, (0, ""))[0]):
        return []
    more = [f"{n - few[sql]} more of: {sql[:160]}" for sql, n in many.items() if n > few[sql]]
    return [f"{route.pattern} asks {few.total()} questions of {FEW} rows and {many.total()} of {MANY}", *more]


@pytest.mark.parametrize("route", [one for one in ROUTES if one.method == "GET"], ids=lambda one: one.pattern)
def test_a_page_asks_as_many_questions_of_many_rows_as_of_few(crowds: list[Asking], route: Route) -> None:
    found = grown(crowds, route)
    assert not found, "\n".join(found)


def _name(rx: Rx, tag: int) -> object:
    return rx.one("SELECT name FROM tags WHERE id = :id", id=tag)


def test_a_question_for_each_row_is_seen(crowds: list[Asking], monkeypatch: pytest.MonkeyPatch) -> None:
    async def page(asked: Asked) -> Reply:
        rows = await asked.read(
            lambda rx: rx.all("SELECT id FROM tags WHERE account_id = :a", a=rx.account_id)
        )
        for (tag,) in rows:
            await asked.read(_name, tag)
        return pages.message(200, "Tags", asked=asked)

    route = Route("GET", "/tags", VIEWER, page)
    monkeypatch.setattr(door, "ROUTES", (route,))
    for one in crowds:
        monkeypatch.setattr(one, "door", door.Door(one.world.house))
    assert "of: SELECT name FROM tags" in "\n".join(grown(crowds, route))


def test_the_crowd_is_there(crowds: list[Asking], tmp_path: Path) -> None:
    few, many = (one.world.dump() for one in crowds)
    grew = {name for name, rows in many.items() if len(rows) >= len(few[name]) + MANY - FEW - 1}
    wanted = {
        "tags",
        "forms",
        "sequences",
        "broadcasts",
        "webhooks",
        "rules",
        "rule_runs",
        "notices",
        "deliveries",
    }
    assert grew > wanted | {"events", "audit", "imports", "outbox", "links", "hits", "attempts", "purchases"}
