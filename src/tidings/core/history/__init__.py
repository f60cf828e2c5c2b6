"""History: all that is known of one person, as a timeline to look at and as data to hand over.

Owns no table and may read every one. What happened is put together from where it lies: events
with their causes, consents, mails with their tries, opens and clicks, purchases, notices told to
others, runs of rules, leaves. A page costs what this person's rows cost, found by index; nobody
else's are touched.
"""

import heapq
from collections.abc import Iterator
from typing import Any

import msgspec

from tidings.core import subscribers
from tidings.core.history import batches, exporting, sources, words
from tidings.core.history.exporting import PARTS, export_slice, person
from tidings.core.history.sources import Cursor, Found
from tidings.core.history.words import Moment
from tidings.store.tx import Rx

PAGE = 50
PAGE_MOST = 500

__all__ = ["PAGE", "PARTS", "Cursor", "Moment", "Page", "export", "export_slice", "of", "page", "person"]


class Page(msgspec.Struct, frozen=True):
    """One page of a timeline; `older` is where the next one begins, None at the end."""

    moments: list[Moment]
    older: Cursor | None


def of(rx: Rx, subscriber_id: int, *, before: Cursor | None = None, limit: int = PAGE) -> list[Moment]:
    """Return a person's moments before a place, newest first, or raise NotFound."""
    return page(rx, subscriber_id, before=before, limit=limit).moments


def page(rx: Rx, subscriber_id: int, *, before: Cursor | None = None, limit: int = PAGE) -> Page:
    """Return one page of a person's timeline, or raise NotFound; reads many rows, so in a thread."""
    subscribers.get(rx, subscriber_id)
    most = max(1, min(limit, PAGE_MOST))
    found = list(_newest(rx, subscriber_id, before, most + 1))
    shown = found[:most]
    # What is one mail or one purchase says more than its row does: asked for what is shown only.
    names = words.Names(rx, batches.ask(rx, shown))
    moments = [names.moment(one) for one in shown]
    return Page(moments, shown[-1].place if len(found) > most else None)


def export(rx: Rx, subscriber_id: int) -> dict[str, Any]:
    """Return all that is kept of one person, or raise NotFound; where much is kept, see `export_slice`."""
    whole = person(rx, subscriber_id)
    for part in PARTS:
        rows: list[dict[str, Any]] = []
        after_id = 0
        while some := export_slice(rx, subscriber_id, part, after_id):
            rows += some
            after_id = some[-1]["id"]
        whole[part] = rows
    return whole


def _newest(rx: Rx, subscriber_id: int, before: Cursor | None, limit: int) -> Iterator[Found]:
    """Merge what each source has, newest first."""
    each = [sources.newest(rx, source, subscriber_id, before, limit) for source in sources.SOURCES]
    merged = heapq.merge(*each, key=lambda one: one.place.order, reverse=True)
    for at, one in enumerate(merged):
        if at == limit:
            return
        yield one


# Used by who shows an export in parts.
SLICE = exporting.SLICE
