"""Aiming a broadcast: who gets it, and how many that is."""

from typing import Final

from tidings.core import audience, broadcasts
from tidings.core.broadcasts import Broadcast, course, shown
from tidings.core.broadcasts.course import Part
from tidings.errors import Conflict, Problem
from tidings.store.tx import Rx
from tidings.web import params
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.broadcasts import spoken
from tidings.web.dashboard.broadcasts.spoken import KINDS, named, steps
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.http import Reply

_CHOICES: Final = ("", "include", "exclude")


async def show(asked: Asked) -> Reply:
    """GET /broadcasts/{id}/audience"""
    one = await asked.read(broadcasts.find, asked.id())
    if one.status != "draft" or asked.signed.role == "viewer":
        return asked.see(f"/broadcasts/{one.id}")
    return await _page(asked, one)


async def choose(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/audience: save whom it goes to; for a script the number alone."""
    one = await asked.read(broadcasts.find, asked.id())
    if one.status != "draft":
        return asked.see(f"/broadcasts/{one.id}", "Only a draft can be changed.", wrong=True)
    names = await asked.read(spoken.names_of)
    parts = _given_parts(asked, names)
    try:
        await asked.do("broadcast.audience", named(one), course.set_audience, one.id, parts)
    except Conflict as problem:
        return asked.see(f"/broadcasts/{one.id}", f"{problem.message}.", wrong=True)
    except Problem as problem:
        return asked.see(f"/broadcasts/{one.id}/audience", f"{problem.message}.", wrong=True)
    if asked.fragment:
        return await show_size(asked)
    wanted = "review" if asked.given.value("then") == "review" else "audience"
    return asked.see(f"/broadcasts/{one.id}/{wanted}", "" if wanted == "review" else "Saved.")


async def show_size(asked: Asked) -> Reply:
    """GET /broadcasts/{id}/audience/size: how many people that is now; up to half a second at a million."""
    one = await asked.read(broadcasts.find, asked.id())
    parts = await asked.read(shown.parts, one.id)
    return pages.page(
        asked,
        200,
        "broadcasts/size.html",
        one=one,
        size=await asked.scan(audience.size, one.id),
        words=spoken.audience(parts, await asked.read(spoken.names_of)),
    )


async def show_number(asked: Asked) -> Reply:
    """GET /broadcasts/{id}/audience/number: the same as `show_size`, as a part of a sentence."""
    one = await asked.read(broadcasts.find, asked.id())
    size = await asked.scan(audience.size, one.id)
    return pages.page(asked, 200, "broadcasts/number.html", one=one, size=size, waits=False)


async def _page(asked: Asked, one: Broadcast) -> Reply:
    parts, names = await asked.read(_held, one.id)
    chosen = {(part.kind, part.ref_id): "exclude" if part.excluded else "include" for part in parts}
    return pages.page(
        asked,
        200,
        "broadcasts/audience.html",
        here="broadcasts",
        one=one,
        steps=steps(one, asked.signed.role),
        kinds=[(kind, _sorted(names[kind])) for kind in KINDS],
        chosen=chosen,
        everybody=not any(not part.excluded for part in parts),
        words=spoken.audience(parts, names),
    )


def _given_parts(asked: Asked, names: dict[str, dict[int, str]]) -> list[Part]:
    """Return the parts that were chosen, of what the account has; fields are named `tag-12`."""
    everybody = asked.given.value("to", "some") == "everybody"
    parts = []
    for name, value in asked.given.values.items():
        kind, _, ref = name.partition("-")
        ref_id = params.integer(ref)
        if kind in names and ref_id in names[kind] and value in _CHOICES[1:]:
            excluded = value == "exclude"
            if excluded or not everybody:
                parts.append(Part(kind, ref_id, excluded))
    return parts


def _sorted(names: dict[int, str]) -> list[tuple[int, str]]:
    return sorted(names.items(), key=lambda one: (one[1].casefold(), one[0]))


def _held(rx: Rx, broadcast_id: int) -> tuple[list[Part], dict[str, dict[int, str]]]:
    return shown.parts(rx, broadcast_id), spoken.names_of(rx)


ROUTES: Final = (
    Route("GET", "/broadcasts/{id}/audience", VIEWER, show),
    Route("POST", "/broadcasts/{id}/audience", EDITOR, choose),
    Route("GET", "/broadcasts/{id}/audience/size", VIEWER, show_size),
    Route("GET", "/broadcasts/{id}/audience/number", VIEWER, show_number),
)
