"""Tags: the list with how many have each, and one tag: its name, whether people may choose it, its end."""

import unicodedata
from typing import Final, NamedTuple

from tidings.core import counters, retiring, tags
from tidings.core.retiring import Use
from tidings.core.tags import Tag
from tidings.errors import Conflict, Problem
from tidings.store.tx import Rx, Tx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.http import Reply

PAGE: Final = 50


class _Listed(NamedTuple):
    """One page of tags, all of the account or those whose name holds what was searched for."""

    tags: list[Tag]
    totals: dict[int, dict[str, int]]
    public: set[int]
    found: int
    all: int


async def show_list(asked: Asked) -> Reply:
    """GET /tags"""
    return await _list(asked, 200, Given())


async def make(asked: Asked) -> Reply:
    """POST /tags"""
    given = asked.given
    name = given.text("name", "The name", needed=True, most=tags.NAME_MAX)
    if given.ok:
        try:
            await asked.do("tag.create", name, tags.create, [name])
            return asked.see("/tags", f"The tag {name} is there.")
        except Problem as problem:
            given.blame(problem, "name")
    return await _list(asked, 422, given)


async def show(asked: Asked) -> Reply:
    """GET /tags/{id}"""
    return await _one(asked, 200, Given())


async def change(asked: Asked) -> Reply:
    """POST /tags/{id}: its name, and whether people may choose it."""
    given = asked.given
    tag = await asked.read(tags.find, asked.id())
    name = given.text("name", "The name", needed=True, most=tags.NAME_MAX)
    public = given.flag("public")
    if given.ok:
        try:
            await asked.do("tag.change", name, _change, tag.id, name, public)
            return asked.see(f"/tags/{tag.id}", "Saved.")
        except Problem as problem:
            given.blame(problem, "name")
    return await _one(asked, 422, given)


async def delete(asked: Asked) -> Reply:
    """POST /tags/{id}/delete: once its name was typed."""
    given = asked.given
    tag = await asked.read(tags.find, asked.id())
    if not same(given.text("typed"), tag.name):
        given.wrong("typed", "This is not its name. Nothing was deleted.")
    if given.ok:
        try:
            await asked.do("tag.delete", tag.name, retiring.delete_tag, tag.id)
            return asked.see("/tags", f"The tag {tag.name} is gone. It is being taken off whoever had it.")
        except Conflict as problem:
            given.blame(problem)
    return await _one(asked, 422, given)


def same(typed: str, name: str) -> bool:
    """Say whether what was typed is this name, however its spaces and accents are written."""
    first, second = (" ".join(unicodedata.normalize("NFC", one).split()) for one in (typed, name))
    return first == second


def _change(tx: Tx, tag_id: int, name: str, public: bool) -> None:
    tags.rename(tx, tag_id, name)
    tags.set_public(tx, tag_id, public=public)


def _page(rx: Rx, searched: str, number: int) -> _Listed:
    known = list(tags.all_tags(rx).values())
    wanted = searched.casefold()
    found = [one for one in known if wanted in one.name.casefold()] if wanted else known
    some = found[(number - 1) * PAGE : number * PAGE]
    totals = counters.totals(rx, "tag", [one.id for one in some])
    return _Listed(some, totals, set(tags.public_names(rx)), len(found), len(known))


def _about(rx: Rx, tag_id: int) -> tuple[Tag, dict[str, int], bool, list[Use]]:
    tag = tags.find(rx, tag_id)
    total = counters.totals(rx, "tag", [tag_id])[tag_id]
    return tag, total, tag_id in tags.public_names(rx), retiring.uses_of_tag(rx, tag_id)


async def _list(asked: Asked, status: int, given: Given) -> Reply:
    searched, number = asked.asks("q"), asked.page_number
    listed = await asked.scan(_page, searched, number)
    return pages.page(
        asked, status, "tags/list.html", here="tags", given=given, listed=listed, searched=searched,
        number=number, more=listed.found > number * PAGE,
    )  # fmt: skip


async def _one(asked: Asked, status: int, given: Given) -> Reply:
    tag, total, public, uses = await asked.scan(_about, asked.id())
    if given.values and "name" not in given.values:
        # The other form of the page came back: this one shows what is there.
        given.values["public"] = "1" if public else ""
    return pages.page(
        asked,
        status,
        "tags/show.html",
        here="tags",
        given=given,
        tag=tag,
        total=total,
        public=public,
        uses=uses,
    )


ROUTES: Final = (
    Route("GET", "/tags", VIEWER, show_list),
    Route("POST", "/tags", EDITOR, make),
    Route("GET", "/tags/{id}", VIEWER, show),
    Route("POST", "/tags/{id}", EDITOR, change),
    Route("POST", "/tags/{id}/delete", EDITOR, delete),
)
