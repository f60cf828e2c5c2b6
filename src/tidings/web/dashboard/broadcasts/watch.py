"""A broadcast on its way and after: the moment to take it back, live numbers, stops, the report."""

from collections.abc import Callable
from typing import Any, Final

from tidings.core import accounts, broadcasts, pacing
from tidings.core.broadcasts import Broadcast, course, hours, shown
from tidings.core.deliveries import log
from tidings.core.tracking import numbers
from tidings.errors import Problem
from tidings.store.tx import Rx, Tx
from tidings.web.dashboard import pages, times
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.broadcasts import spoken
from tidings.web.dashboard.broadcasts.spoken import named, standing
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.http import Reply

# Slices of a retry that one press does: 200,000 mails, in short writes.
RETRY_SLICES: Final = 200
LINKS_SHOWN: Final = 50


async def show(asked: Asked) -> Reply:
    """GET /broadcasts/{id}: a draft is written at; any other shows how it goes."""
    one = await asked.read(broadcasts.find, asked.id())
    if one.status == "draft":
        return asked.see(f"/broadcasts/{one.id}/{'review' if asked.signed.role == 'viewer' else 'write'}")
    around = await asked.read(_live, one.id)
    if one.status == "scheduled":
        return pages.page(asked, 200, "broadcasts/scheduled.html", here="broadcasts", **around)
    report = await asked.scan(_report, one.id)
    return pages.page(asked, 200, "broadcasts/sent.html", here="broadcasts", **around, **report)


async def show_live(asked: Asked) -> Reply:
    """GET /broadcasts/{id}/live: the numbers alone; the whole page anew where its state is another."""
    around = await asked.read(_live, asked.id())
    reply = pages.page(asked, 200, "broadcasts/live.html", **around)
    if asked.asks("was") != around["standing"]:
        reply.headers.append((b"hx-refresh", b"true"))
    return reply


async def pause(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/pause"""
    return await _act(asked, "pause", course.pause, "It is paused. Mail that is on the wire still arrives.")


async def resume(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/resume"""
    return await _act(asked, "resume", course.resume, "It goes on.")


async def cancel(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/cancel: nobody else gets it."""
    return await _act(asked, "cancel", course.cancel, "It is cancelled: nobody else gets it.")


async def undo(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/undo: what is scheduled is a draft again, and was sent to nobody."""
    return await _act(asked, "undo", course.take_back, "Nothing was sent: it is a draft again.", "/review")


async def retry(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/retry: try again those who failed, a slice a transaction."""
    one = await asked.read(broadcasts.find, asked.id())
    again = 0
    try:
        for _ in range(RETRY_SLICES):
            more = await asked.house.db.write(asked.account_id, course.retry, one.id)
            again += more
            # No more than failed at first: some fail again while we are at it.
            if not more or again >= one.failed:
                break
    except Problem as problem:
        # Cancelled by somebody else between two slices: what was done is done.
        if not again:
            return _refused(asked, one, problem)
    await asked.do("broadcast.retry", f"{named(one)}: {again:,}", _noted)
    said = f"{pages.counted(again, 'mail')} that failed {'is' if again == 1 else 'are'} tried again."
    return asked.see(f"/broadcasts/{one.id}", said)


async def _act(asked: Asked, act: str, verb: Callable[[Tx, int], object], said: str, step: str = "") -> Reply:
    """Do one thing with a broadcast, and say so on its page or a step of it; or say why it cannot be."""
    one = await asked.read(broadcasts.find, asked.id())
    try:
        await asked.do(f"broadcast.{act}", named(one), verb, one.id)
    except Problem as problem:
        return _refused(asked, one, problem)
    return asked.see(f"/broadcasts/{one.id}{step}", said)


def _refused(asked: Asked, one: Broadcast, problem: Problem) -> Reply:
    return asked.see(f"/broadcasts/{one.id}", f"{problem.message}.", wrong=True)


def _noted(tx: Tx) -> None:
    """Do nothing more: the slices ran before."""


def _live(rx: Rx, broadcast_id: int) -> dict[str, Any]:
    one = broadcasts.find(rx, broadcast_id)
    opens, clicks = accounts.tracking(rx)
    finishing = pacing.finishing(rx, broadcast_id)
    return {
        "now": rx.now,
        "one": one,
        "named": named(one),
        "standing": standing(one),
        "words": spoken.audience(shown.parts(rx, broadcast_id), spoken.names_of(rx)),
        "finishing": finishing,
        "tracks_opens": opens,
        "tracks_clicks": clicks,
    }


def _report(rx: Rx, broadcast_id: int) -> dict[str, Any]:
    found = hours.series(rx, broadcast_id)
    links = numbers.of_owner(rx, f"broadcast:{broadcast_id}")
    every = zip(found.opens, found.clicks, found.unsubscribes, strict=True)
    moments = [found.first_at + at * broadcasts.HOUR_MS for at in range(len(found.opens))]
    zone = accounts.time_zone(rx)
    return {
        "hours": [
            (at, times.wall_s(at, zone), *(max(n, 0) for n in row))
            for at, row in zip(moments, every, strict=True)
        ],
        "links": links[:LINKS_SHOWN],
        "more_links": max(0, len(links) - LINKS_SHOWN),
        "refusals": log.refusals(rx, broadcast_id),
        "refusals_most": log.REFUSALS_LOOKED,
    }


ROUTES: Final = (
    Route("GET", "/broadcasts/{id}", VIEWER, show),
    Route("GET", "/broadcasts/{id}/live", VIEWER, show_live),
    Route("POST", "/broadcasts/{id}/pause", EDITOR, pause),
    Route("POST", "/broadcasts/{id}/resume", EDITOR, resume),
    Route("POST", "/broadcasts/{id}/cancel", EDITOR, cancel),
    Route("POST", "/broadcasts/{id}/undo", EDITOR, undo),
    Route("POST", "/broadcasts/{id}/retry", EDITOR, retry),
)
