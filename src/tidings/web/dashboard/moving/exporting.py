"""`/subscribers/export`: the people of the account as a file, streamed."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from tidings.core import forms, sequences, tags
from tidings.core.exporting import Wanted
from tidings.core.subscribers import STATES
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import NO_STORE, Asked, Streamed
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, Route
from tidings.web.house import Export
from tidings.web.http import Reply

FORMATS: Final = (
    ("csv", "CSV, for spreadsheets and other services"),
    ("jsonl", "JSON lines, for programs"),
)
TYPES: Final = {"csv": b"text/csv; charset=utf-8", "jsonl": b"application/jsonl"}
# Each is a process that reads the whole account.
EXPORTS_MAX: Final = 2
_ALL: Final = ("", "Everybody")


class Named(Protocol):
    """What people can be in."""

    @property
    def name(self) -> str: ...


async def show(asked: Asked) -> Reply:
    """GET /subscribers/export"""
    return await _page(asked, 200, Given({"state": asked.asks("state"), "tag": asked.asks("tag")}))


async def export(asked: Asked) -> Reply | Streamed:
    """POST /subscribers/export: the file."""
    given = asked.given
    form = given.choice("format", TYPES, "csv")
    state = given.choice("state", ("", *STATES))
    wanted = Wanted(
        frozenset(given.ids("tag")), frozenset(given.ids("form")), frozenset(given.ids("sequence")), state
    )
    if asked.house.export is None or asked.house.exports >= EXPORTS_MAX:
        given.wrong("", "Other exports are being written at this moment. Try again in a minute.")
    if not given.ok or asked.house.export is None:
        return await _page(asked, 422, given)
    await asked.do("subscribers.export", f"as {form}", _nothing)
    name = f"subscribers-{datetime.fromtimestamp(asked.house.db.clock() / 1_000, UTC):%Y-%m-%d}.{form}"
    disposition = f'attachment; filename="{name}"'.encode()
    return Streamed(
        _pieces(asked, asked.house.export, form, wanted),
        TYPES[form],
        [(b"content-disposition", disposition), NO_STORE],
    )


async def _pieces(asked: Asked, export: Export, form: str, wanted: Wanted) -> AsyncIterator[bytes]:
    asked.house.exports += 1
    try:
        # Closed at once where the caller has gone, and not when somebody collects garbage.
        async with contextlib.aclosing(export(asked.account_id, form, wanted)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece
    finally:
        asked.house.exports -= 1


def _nothing(_: object) -> None:
    """An export changes nothing but the audit log."""


async def _page(asked: Asked, status: int, given: Given) -> Reply:
    return pages.page(
        asked,
        status,
        "moving/export.html",
        here="subscribers",
        given=given,
        formats=FORMATS,
        states=[_ALL, *((state, state.capitalize()) for state in STATES)],
        tags=_named(await asked.read(tags.all_tags)),
        forms=_named(await asked.read(forms.all_forms)),
        sequences=_named(await asked.read(sequences.all_sequences)),
    )


def _named(found: Mapping[int, Named]) -> list[tuple[str, str]]:
    return [_ALL, *((str(one_id), one.name) for one_id, one in found.items())]


ROUTES: Final = (
    Route("GET", "/subscribers/export", EDITOR, show),
    Route("POST", "/subscribers/export", EDITOR, export, 16_384),
)
