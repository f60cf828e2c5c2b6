"""Changes of many people: how many they are comes first, then what is done, then how far it is."""

from typing import Any, Final

from tidings.core import bulk, tags
from tidings.core.bulk import Change, Chosen, Counted
from tidings.errors import Problem
from tidings.store.tx import Rx, Tx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.dashboard.subscribers import filters
from tidings.web.dashboard.subscribers.filters import OFFERED_MAX, Filter
from tidings.web.http import Reply


async def ask(asked: Asked) -> Reply:
    """GET /subscribers/change: how many are meant, and what can be done with them."""
    ids = filters.ids_of(asked.query.get("id"))
    ticked = asked.asks("only") == "ticked"
    wanted = filters.of_address(asked)
    if ticked and not ids:
        return asked.see(wanted.at(), "Nobody was ticked: tick the people whom you mean first.", wrong=True)
    return await _page(asked, 200, Given(), wanted, ids if ticked else None)


async def begin(asked: Asked) -> Reply:
    """POST /subscribers/change"""
    given = asked.given
    wanted, ids = filters.of_form(given), filters.ids_of(given.values.get("id")) or None
    act = given.choice("act", bulk.ACTS)
    chosen_tag = given.number("tag", "Tag", least=1, most=10**11)
    name = given.text("name", "Name of the new tag", most=tags.NAME_MAX) if act == "tag" else ""
    if act in ("tag", "untag") and not (chosen_tag or name):
        given.wrong("tag", "Choose a tag, or write a new one." if act == "tag" else "Choose a tag.")
    if act == "unsubscribe" and not given.flag("sure"):
        given.wrong("sure", "Please confirm this: it cannot be taken back from here.")
    if given.ok:
        chosen = Chosen(ids=ids) if ids else wanted.chosen
        try:
            expected = given.number("expected") or 0
            change = await asked.do(
                "subscribers.change", f"{act}, {expected:,} people", _ask, act, chosen, name,
                asked_by=asked.signed.email, expected=expected, tag_id=chosen_tag,
            )  # fmt: skip
            return asked.see(f"/subscribers/changes/{change.id}")
        except Problem as problem:
            given.blame(problem, "")
    return await _page(asked, 422, given, wanted, ids)


async def show(asked: Asked) -> Reply:
    """GET /subscribers/changes/{id}: how far it is; a script asks for that part again and again."""
    change, words = await asked.read(_described, asked.id())
    template = "subscribers/change_progress.html" if asked.fragment else "subscribers/change.html"
    return pages.page(asked, 200, template, here="subscribers", change=change, words=words)


async def cancel(asked: Asked) -> Reply:
    """POST /subscribers/changes/{id}/cancel"""
    change = await asked.do("subscribers.cancel", f"change {asked.id()}", bulk.cancel, asked.id())
    return asked.see(f"/subscribers/changes/{change.id}")


async def show_all(asked: Asked) -> Reply:
    """GET /subscribers/changes: the newest."""
    listed = await asked.read(_newest)
    return pages.page(asked, 200, "subscribers/changes.html", here="subscribers", listed=listed)


async def _page(asked: Asked, status: int, given: Given, wanted: Filter, ids: list[int] | None) -> Reply:
    counted, words, offered = await asked.scan(_counted, wanted, ids)
    if not counted.n and status == 200:
        return asked.see(wanted.at(), "Nobody is meant by that.", wrong=True)
    return pages.page(
        asked, status, "subscribers/change_ask.html", here="subscribers", given=given, filter=wanted, ids=ids,
        counted=counted, words=words, offered=offered, back=wanted.at(),
    )  # fmt: skip


def _ask(tx: Tx, /, act: str, chosen: Chosen, name: str, *, tag_id: int | None, **asked: Any) -> Change:
    """Ask for a change, with a tag of a new name: both, or neither."""
    if name:
        tag_id = tags.named(tx, name).id
    return bulk.ask(tx, act, chosen, tag_id=tag_id, **asked)


def _counted(rx: Rx, wanted: Filter, ids: list[int] | None) -> tuple[Counted, str, list[tuple[int, str]]]:
    counted = bulk.count(rx, Chosen(ids=ids) if ids else wanted.chosen)
    words = "ticked people" if ids else filters.words(rx, wanted)
    return counted, words, [(one.id, one.name) for one in tags.all_tags(rx).values()][:OFFERED_MAX]


def _described(rx: Rx, change_id: int) -> tuple[Change, str]:
    change = bulk.find(rx, change_id)
    return change, _words(rx, change)


def _newest(rx: Rx) -> list[tuple[Change, str]]:
    return [(one, _words(rx, one)) for one in bulk.newest(rx)]


def _words(rx: Rx, change: Change) -> str:
    """Say what a change does: "Add the tag customer to active people"."""
    chosen = change.chosen
    within = f"{chosen.kind}-{chosen.ref_id}" if chosen.kind else ""
    whom = filters.words(rx, Filter(chosen.text, chosen.state or "", within))
    if chosen.ids is not None:
        whom = "ticked people"
    elif chosen == Chosen():
        whom = "everybody"
    tag = tags.all_tags(rx).get(change.tag_id or 0)
    name = tag.name if tag else str(change.tag_id)
    return {
        "tag": f"Add the tag {name} to {whom}",
        "untag": f"Take the tag {name} off {whom}",
        "unsubscribe": f"Unsubscribe {whom}",
    }[change.act]


ROUTES: Final = (
    Route("GET", "/subscribers/change", EDITOR, ask),
    Route("POST", "/subscribers/change", EDITOR, begin),
    Route("GET", "/subscribers/changes", VIEWER, show_all),
    Route("GET", "/subscribers/changes/{id}", VIEWER, show),
    Route("POST", "/subscribers/changes/{id}/cancel", EDITOR, cancel),
)
