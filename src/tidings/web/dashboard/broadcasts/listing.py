"""The list of broadcasts; a new one, a copy, and the end of one."""

from typing import Final

from tidings.core import accounts, broadcasts, counters
from tidings.core.broadcasts import Broadcast, Draft
from tidings.core.broadcasts import writing as verbs
from tidings.errors import Conflict
from tidings.store.tx import Rx, Tx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.broadcasts.spoken import named, standing
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.http import Reply


async def show(asked: Asked) -> Reply:
    """GET /broadcasts: newest first."""
    number = asked.page_number
    found, total = await asked.read(_page, number)
    return pages.page(
        asked,
        200,
        "broadcasts/list.html",
        here="broadcasts",
        found=[(one, standing(one)) for one in found],
        total=total,
        number=number,
        newer=number - 1,
        older=number + 1 if total > number * broadcasts.PAGE else 0,
    )


async def make(asked: Asked) -> Reply:
    """POST /broadcasts: an empty draft, to be written."""
    made = await asked.do("broadcast.create", "a new draft", _create)
    return asked.see(f"/broadcasts/{made.id}/write")


async def copy(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/copy"""
    one = await asked.read(broadcasts.find, asked.id())
    made = await asked.do("broadcast.copy", named(one), _duplicate, one.id)
    return asked.see(f"/broadcasts/{made.id}/write", "This is the copy: a draft of its own.")


async def delete(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/delete"""
    one = await asked.read(broadcasts.find, asked.id())
    try:
        await asked.do("broadcast.delete", named(one), broadcasts.delete, one.id)
    except Conflict as problem:
        return asked.see(f"/broadcasts/{one.id}", f"{problem.message}.", wrong=True)
    return asked.see("/broadcasts", f"{named(one)} is deleted.")


def _page(rx: Rx, number: int) -> tuple[list[Broadcast], int]:
    total = counters.total(rx, "broadcasts")
    return broadcasts.page(rx, newest_first=True, number=number), total


def _create(tx: Tx) -> Broadcast:
    return broadcasts.create(tx, Draft(source_kind="rich"), accounts.get(tx).primary_email)


def _duplicate(tx: Tx, broadcast_id: int) -> Broadcast:
    return verbs.duplicate(tx, broadcast_id, accounts.get(tx).primary_email)


ROUTES: Final = (
    Route("GET", "/broadcasts", VIEWER, show),
    Route("POST", "/broadcasts", EDITOR, make),
    Route("POST", "/broadcasts/{id}/copy", EDITOR, copy),
    Route("POST", "/broadcasts/{id}/delete", EDITOR, delete),
)
