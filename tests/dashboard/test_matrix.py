"""The authorisation matrix, generated from the table of routes: every route, whoever asks."""

from pathlib import Path
from typing import Final

import pytest

from tests.dashboard import matrix, samples
from tests.dashboard.asking import Asking
from tests.dashboard.world import Template, World
from tidings.core import tags
from tidings.store.tx import Tx
from tidings.web.dashboard import door, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.routes import ROUTES
from tidings.web.dashboard.routing import ANYBODY, EDITOR, UNREAD, VIEWER, Route
from tidings.web.http import Reply

GETS: Final = [one for one in ROUTES if one.method == "GET"]
POSTS: Final = [one for one in ROUTES if one.method == "POST"]


def _name(route: Route) -> str:
    return f"{route.method} {route.pattern}"


def test_every_method_is_one_that_the_matrix_knows() -> None:
    assert {one.method for one in ROUTES} == {"GET", "POST"}
    assert len({(one.method, one.pattern) for one in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_every_post_needs_an_editor_or_says_why_not(route: Route) -> None:
    matrix.needs_enough(route)


def test_every_hole_has_a_sample(world: World) -> None:
    missing = []
    for route in ROUTES:
        for account in (world.ada, world.eve):
            try:
                list(samples.fillings(world, route, account.id))
            except samples.NoSample as problem:
                missing.append(str(problem))
    assert not missing, "\n".join(dict.fromkeys(missing))


@pytest.mark.parametrize("route", GETS, ids=_name)
def test_a_look_changes_nothing_and_is_for_whom_it_says(asking: Asking, route: Route) -> None:
    matrix.look_changes_nothing(asking, route)


@pytest.mark.parametrize("route", POSTS, ids=_name)
def test_a_refused_post_changes_nothing(asking: Asking, route: Route) -> None:
    matrix.refusals_change_nothing(asking, route)


@pytest.mark.parametrize("route", POSTS, ids=_name)
def test_whoever_may_is_let_in(asking: Asking, route: Route) -> None:
    matrix.post_is_let_in(asking, route)


@pytest.mark.parametrize("route", [one for one in ROUTES if "{" in one.pattern], ids=_name)
def test_ids_of_another_account_are_not_there(asking: Asking, route: Route) -> None:
    matrix.strangers_see_nothing(asking, route)


# -- each check is seen to be red -----------------------------------------------------


def _rename(tx: Tx, name: str) -> None:
    tx.run("UPDATE tags SET name = :name WHERE id = (SELECT MIN(id) FROM tags)", name=name)


async def _forgets_the_account(asked: Asked) -> Reply:
    found = await asked.read(lambda rx: rx.one("SELECT name FROM tags WHERE id = :id", id=asked.id()))
    return pages.message(200 if found else 404, "Tag", asked=asked)


async def _forgets_it_and_writes(asked: Asked) -> Reply:
    def verb(tx: Tx) -> None:
        tx.run("UPDATE tags SET name = 'x' WHERE id = :id", id=asked.id())

    await asked.do("tag.rename", "", verb)
    return asked.see("/tags")


async def _writes_by_a_look(asked: Asked) -> Reply:
    await asked.house.db.write(asked.account_id, _rename, "looked at")
    return pages.message(200, "Tag", asked=asked)


async def _asks_no_seal(asked: Asked) -> Reply:
    await asked.house.db.write(asked.account_id, _rename, "uploaded")
    return asked.see("/tags")


async def _makes(asked: Asked) -> Reply:
    await asked.do("tag.create", "", tags.create, ["new"])
    return asked.see("/tags")


PLANTED: Final = {
    "a viewer may write": (Route("POST", "/tags/{id}", VIEWER, _forgets_it_and_writes), "needs_enough"),
    "a page for anybody": (Route("GET", "/tags/{id}", ANYBODY, _forgets_the_account), "needs_enough"),
    "a page forgets the account": (
        Route("GET", "/tags/{id}", VIEWER, _forgets_the_account), "strangers_see_nothing",
    ),
    "a post forgets the account": (
        Route("POST", "/tags/{id}", EDITOR, _forgets_it_and_writes), "strangers_see_nothing",
    ),
    "a look writes": (Route("GET", "/tags/{id}", VIEWER, _writes_by_a_look), "look_changes_nothing"),
    "an upload asks no seal": (
        Route("POST", "/tags/{id}", EDITOR, _asks_no_seal, UNREAD), "refusals_change_nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_seen(
    bug: str, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    route, check = PLANTED[bug]
    monkeypatch.setattr(door, "ROUTES", (route,))
    if check == "needs_enough":
        with pytest.raises(AssertionError):
            matrix.needs_enough(route)
        return
    world = template.copied(tmp_path)
    try:
        with Asking(world) as asking, pytest.raises(AssertionError):
            getattr(matrix, check)(asking, route)
    finally:
        world.db.close()


def test_a_sound_route_passes_every_check(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    route = Route("POST", "/tags", EDITOR, _makes)
    monkeypatch.setattr(door, "ROUTES", (route,))
    asking.door = door.Door(asking.world.house)
    matrix.needs_enough(route)
    matrix.refusals_change_nothing(asking, route)
    matrix.post_is_let_in(asking, route)


def test_a_hole_without_a_sample_says_what_to_add(world: World) -> None:
    route = Route("GET", "/marvels/{id}", VIEWER, _makes)
    with pytest.raises(samples.NoSample, match="Add a question for 'marvels' to IDS"):
        list(samples.fillings(world, route, world.ada.id))
