"""`/subscribers/import`: a file is sent, its columns are mapped, counted, and brought in by the engine."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any, Final

from tidings.core import custom_fields, forms, importing, uploads
from tidings.core.uploads import BYTES_MAX, Refusal, Upload
from tidings.core.uploads.work import REFUSALS_KEPT_MS, REFUSALS_MAX
from tidings.errors import Problem
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import NO_STORE, Asked, Streamed
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.moving import columns
from tidings.web.dashboard.moving.arriving import TOO_LARGE, Foreign, take
from tidings.web.dashboard.routing import EDITOR, UNREAD, VIEWER, Route
from tidings.web.http import Reply, TooLarge
from tidings.web.params import BadBody

CONSENT: Final = (
    "The people in this file agreed to get my mail, and I can show when and how. It is not bought, rented or"
    " gathered from the web."
)
HEADER: Final = ("record", "line", "reason")
_FOREIGN: Final = (
    "This file did not come from a page of this site, so nothing was kept. Go back, reload the page and try"
    " again."
)


async def show(asked: Asked) -> Reply:
    """GET /subscribers/import: where a file is sent, and the imports that there were."""
    return await _first(asked, 200, Given())


async def send(asked: Asked) -> Reply:
    """POST /subscribers/import: the file, read piece by piece."""
    given = Given({"file": ""})
    try:
        upload_id = await take(asked)
    except Foreign:
        return pages.message(403, "Not done", _FOREIGN)
    except TooLarge:
        given.wrong("file", TOO_LARGE)
    except BadBody as problem:
        given.wrong("file", f"{problem.message}.")
    except Problem as problem:
        given.blame(problem, "file")
    else:
        return asked.see(_place(upload_id))
    return await _first(asked, 422, given)


async def look(asked: Asked) -> Reply:
    """GET /subscribers/import/{id}: whatever its state asks for; a part of it where a script asks."""
    one = await asked.read(uploads.find, asked.id())
    if not asked.fragment:
        return await _second(asked, 200, one, columns.posted(one.wishes))
    if not one.working:
        # The page has another face now.
        return asked.see(_place(one.id))
    return pages.page(asked, 200, "moving/progress.html", **await _progress(asked, one))


async def check(asked: Asked) -> Reply:
    """POST /subscribers/import/{id}/check: what the columns mean; the engine counts."""
    one = await asked.read(uploads.find, asked.id())
    given = asked.given
    if one.seen is not None:
        wishes = columns.wishes(given, one.seen, await asked.read(forms.all_forms))
        if given.ok:
            try:
                await asked.do("import.check", one.name, uploads.ask, one.id, wishes)
            except Problem as problem:
                given.blame(problem)
            else:
                return asked.see(_place(one.id))
    return await _second(asked, 422, one, given, mapping=True)


async def start(asked: Asked) -> Reply:
    """POST /subscribers/import/{id}/start: bring them in, with the consent that was stated."""
    one = await asked.read(uploads.find, asked.id())
    given = asked.given
    if not given.flag("consent"):
        given.wrong("consent", "Tick this first: without a consent nobody may be mailed.")
        return await _second(asked, 422, one, given)
    try:
        await asked.do(
            "import.start", one.name, uploads.start, one.id, consent=CONSENT, by=asked.signed.email
        )
    except Problem as problem:
        return asked.see(_place(one.id), _sentence(problem), wrong=True)
    return asked.see(_place(one.id))


async def cancel(asked: Asked) -> Reply:
    """POST /subscribers/import/{id}/cancel"""
    one = await asked.read(uploads.find, asked.id())
    ended = await asked.do("import.cancel", one.name, uploads.cancel, one.id)
    said = "Stopped. Who came in stays." if ended.import_id else "Given up. The file is deleted."
    return asked.see(_place(one.id), said if ended.state == "cancelled" else "It had ended already.")


async def refused(asked: Asked) -> Streamed:
    """GET /subscribers/import/{id}/refused: the refused records as CSV."""
    one = await asked.read(uploads.find, asked.id())
    name = f'attachment; filename="rejected-{one.id}.csv"'.encode()
    return Streamed(_rows(asked, one), b"text/csv; charset=utf-8", [(b"content-disposition", name), NO_STORE])


async def _rows(asked: Asked, one: Upload) -> AsyncIterator[bytes]:
    yield _csv([HEADER])
    after: int | None = 0
    while after is not None:
        found, after = await asked.read(uploads.refusals, one.id, after)
        yield _csv([_cells(each) for each in found])


def _cells(one: Refusal) -> tuple[str, ...]:
    return (str(one.record), str(one.line), one.reason, *one.cells)


def _csv(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


async def _first(asked: Asked, status: int, given: Given) -> Reply:
    return pages.page(
        asked,
        status,
        "moving/import.html",
        here="subscribers",
        given=given,
        history=await asked.read(uploads.history),
        most=BYTES_MAX,
    )


async def _second(asked: Asked, status: int, one: Upload, given: Given, *, mapping: bool = False) -> Reply:
    """The page of one upload; with `mapping` its columns, although they were counted."""
    fields = await asked.read(custom_fields.all_fields)
    named = await asked.read(forms.all_forms)
    mapping = one.seen is not None and (mapping or one.state == "read" or asked.asks("map") == "1")
    return pages.page(
        asked,
        status,
        "moving/upload.html",
        here="subscribers",
        given=given,
        choices=columns.choices(one.seen, fields, given) if one.seen else [],
        fields=fields,
        forms=[("", "None"), *((str(form.id), form.name) for form in named.values())],
        states=columns.STATES,
        roles=columns.ROLES,
        mapping=mapping and one.state in ("read", "counted"),
        consent=CONSENT,
        refused_until_at=one.updated_at + REFUSALS_KEPT_MS,
        refusals_max=REFUSALS_MAX,
        **await _progress(asked, one),
    )


async def _progress(asked: Asked, one: Upload) -> dict[str, Any]:
    """What is shown of an upload on its way, and at its end."""
    brought = await asked.read(importing.find, one.import_id) if one.import_id else None
    return {
        "one": one,
        "brought": brought,
        "left_s": one.left_s(asked.house.db.clock()),
        "part": min(round(100 * one.done / one.size), 100) if one.size else 0,
    }


def _place(upload_id: int) -> str:
    return f"/subscribers/import/{upload_id}"


def _sentence(problem: Problem) -> str:
    return problem.message[:1].upper() + problem.message[1:].rstrip(".") + "."


ROUTES: Final = (
    Route("GET", "/subscribers/import", VIEWER, show),
    Route("POST", "/subscribers/import", EDITOR, send, UNREAD),
    Route("GET", "/subscribers/import/{id}", VIEWER, look),
    Route("POST", "/subscribers/import/{id}/check", EDITOR, check, 524_288),
    Route("POST", "/subscribers/import/{id}/start", EDITOR, start, 16_384),
    Route("POST", "/subscribers/import/{id}/cancel", EDITOR, cancel, 16_384),
    Route("GET", "/subscribers/import/{id}/refused", EDITOR, refused),
)
