"""Custom fields: what an account knows of its people beyond name and address."""

from typing import Final

from tidings.core import custom_fields, retiring
from tidings.core.custom_fields import CustomField
from tidings.core.retiring import Use
from tidings.errors import Conflict, Problem
from tidings.store.tx import Rx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.dashboard.tags import same
from tidings.web.http import Reply


async def show_list(asked: Asked) -> Reply:
    """GET /fields"""
    return await _list(asked, 200, Given())


async def make(asked: Asked) -> Reply:
    """POST /fields"""
    given = asked.given
    label = given.text("label", "The label", needed=True, most=custom_fields.LABEL_MAX)
    if given.ok:
        try:
            await asked.do("field.create", label, custom_fields.create, [label])
            return asked.see("/fields", f"The field {label} is there.")
        except Problem as problem:
            given.blame(problem, "label")
    return await _list(asked, 422, given)


async def show(asked: Asked) -> Reply:
    """GET /fields/{id}"""
    return await _one(asked, 200, Given())


async def rename(asked: Asked) -> Reply:
    """POST /fields/{id}"""
    given = asked.given
    field = await asked.read(custom_fields.find, asked.id())
    label = given.text("label", "The label", needed=True, most=custom_fields.LABEL_MAX)
    if given.ok:
        try:
            await asked.do("field.rename", label, custom_fields.rename, field.id, label)
            return asked.see(f"/fields/{field.id}", "Saved. Its name in mails is as it was.")
        except Problem as problem:
            given.blame(problem, "label")
    return await _one(asked, 422, given)


async def delete(asked: Asked) -> Reply:
    """POST /fields/{id}/delete: once its label was typed."""
    given = asked.given
    field = await asked.read(custom_fields.find, asked.id())
    if not same(given.text("typed"), field.label):
        given.wrong("typed", "This is not its label. Nothing was deleted.")
    if given.ok:
        try:
            await asked.do("field.delete", field.label, retiring.delete_field, field.id)
            return asked.see("/fields", f"The field {field.label} is gone, with what it said of everybody.")
        except Conflict as problem:
            given.blame(problem)
    return await _one(asked, 422, given)


def _about(rx: Rx, field_id: int) -> tuple[CustomField, list[Use]]:
    return custom_fields.find(rx, field_id), retiring.uses_of_field(rx, field_id)


async def _list(asked: Asked, status: int, given: Given) -> Reply:
    known = await asked.read(custom_fields.all_fields)
    return pages.page(
        asked,
        status,
        "tags/fields.html",
        here="tags",
        given=given,
        fields=known,
        most=custom_fields.FIELDS_MAX,
    )


async def _one(asked: Asked, status: int, given: Given) -> Reply:
    field, uses = await asked.scan(_about, asked.id())
    return pages.page(asked, status, "tags/field.html", here="tags", given=given, one=field, uses=uses)


ROUTES: Final = (
    Route("GET", "/fields", VIEWER, show_list),
    Route("POST", "/fields", EDITOR, make),
    Route("GET", "/fields/{id}", VIEWER, show),
    Route("POST", "/fields/{id}", EDITOR, rename),
    Route("POST", "/fields/{id}/delete", EDITOR, delete),
)
