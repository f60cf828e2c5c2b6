"""Writing a broadcast: a form that works alone, and what its script saves meanwhile."""

import asyncio
from typing import Final

from tidings.core import accounts, audit, broadcasts
from tidings.core.broadcasts import SOURCE_KINDS, Broadcast
from tidings.core.broadcasts import writing as verbs
from tidings.core.broadcasts.writing import WORDS_MAX, Changed
from tidings.errors import Conflict, Problem
from tidings.mail import markdown, markup, textual
from tidings.store.tx import Rx, Tx
from tidings.web import params
from tidings.web.dashboard import merging, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.broadcasts.spoken import named, steps
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.http import Reply, json_reply

LAYOUTS: Final = ("Text only", "Classic", "Modern")
_LOSSY: Final = {
    ("rich", "markdown"): "The text goes along; headings, links, images and buttons do not.",
    ("html", "markdown"): "The text goes along; everything else of your HTML does not.",
    (
        "html",
        "rich",
    ): "Rich text keeps headings, lists, links, images and buttons, and drops the rest of your HTML.",
}


async def show(asked: Asked) -> Reply:
    """GET /broadcasts/{id}/write"""
    one = await asked.read(broadcasts.find, asked.id())
    if one.status != "draft" or asked.signed.role == "viewer":
        return asked.see(f"/broadcasts/{one.id}")
    return await _page(asked, 200, one, Given())


async def save(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/write: save, then go where the pressed button leads."""
    one = await asked.read(broadcasts.find, asked.id())
    words = await _words(asked.given)
    if not asked.given.ok:
        return await _page(asked, 422, one, asked.given)
    try:
        saved = await asked.do(
            "broadcast.save",
            named(one),
            _save,
            one.id,
            words,
            params.integer(asked.given.values.get("version")),
        )
    except Changed as told:
        return await _page(asked, 409, told.current, asked.given, theirs=told.current)
    except Problem as problem:
        asked.given.blame(problem)
        return await _page(asked, 422, one, asked.given)
    wanted = asked.given.value("then")
    if wanted in SOURCE_KINDS:
        return await _switch(asked, saved, wanted)
    if wanted in ("audience", "review"):
        return asked.see(f"/broadcasts/{one.id}/{wanted}")
    return asked.see(f"/broadcasts/{one.id}/write", "Saved.")


async def autosave(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/draft: the same for a script, which is told in JSON what became of it."""
    one = await asked.read(broadcasts.find, asked.id())
    words = await _words(asked.given)
    if not asked.given.ok:
        return json_reply(422, {"errors": asked.given.errors})
    version = params.integer(asked.given.values.get("version"))
    try:
        saved = await asked.house.db.write(
            asked.account_id, audit.acted_lately, asked.actor, "broadcast.write", f"broadcast {one.id}",
            _save, one.id, words, version,
        )  # fmt: skip
    except Changed as told:
        return json_reply(409, {"changed": True, "version": told.current.version, "said": f"{told.message}."})
    except Conflict as problem:
        return json_reply(409, {"changed": False, "said": f"{problem.message}."})
    except Problem as problem:
        asked.given.blame(problem)
        return json_reply(422, {"errors": asked.given.errors})
    return json_reply(200, {"version": saved.version})


async def save_apart(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/apart: what was written becomes a draft of its own, beside the other's."""
    one = await asked.read(broadcasts.find, asked.id())
    words = await _words(asked.given)
    if not asked.given.ok:
        return await _page(asked, 422, one, asked.given)
    made = await asked.do("broadcast.copy", named(one), _save_apart, one.id, words)
    return asked.see(f"/broadcasts/{made.id}/write", "Your text is kept here, in a draft of its own.")


async def switch(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/written-as: go on in another way of writing, for who has read what it costs."""
    one = await asked.read(broadcasts.find, asked.id())
    kind = asked.given.choice("kind", SOURCE_KINDS, one.source_kind)
    version = params.integer(asked.given.values.get("version"))
    try:
        await asked.do("broadcast.save", named(one), _save, one.id, _converted(one, kind), version)
    except Changed as told:
        return asked.see(
            f"/broadcasts/{one.id}/write", f"{told.message}, so nothing was switched.", wrong=True
        )
    except Conflict as problem:
        return asked.see(f"/broadcasts/{one.id}", f"{problem.message}.", wrong=True)
    return asked.see(f"/broadcasts/{one.id}/write")


async def _switch(asked: Asked, one: Broadcast, kind: str) -> Reply:
    """Switch where nothing is lost, else ask first."""
    lossy = _LOSSY.get((one.source_kind, kind))
    if kind == one.source_kind or not lossy or not (one.content or "").strip():
        if kind != one.source_kind:
            changed = _converted(one, kind)
            await asked.do("broadcast.save", named(one), _save, one.id, changed, one.version)
        return asked.see(f"/broadcasts/{one.id}/write")
    return pages.page(
        asked,
        200,
        "broadcasts/switch.html",
        here="broadcasts",
        one=one,
        kind=kind,
        lossy=lossy,
        steps=steps(one, asked.signed.role),
    )


async def _page(
    asked: Asked, status: int, one: Broadcast, given: Given, *, theirs: Broadcast | None = None
) -> Reply:
    groups, sender = await asked.read(_around)
    layouts = LAYOUTS if one.email_layout_template in LAYOUTS else (*LAYOUTS, one.email_layout_template)
    return pages.page(
        asked,
        status,
        "broadcasts/write.html",
        policy=merging.POLICY,
        here="broadcasts",
        one=one,
        given=given,
        kind=given.value("source_kind", one.source_kind),
        theirs=theirs,
        steps=steps(one, asked.signed.role),
        groups=groups,
        sender=sender,
        layouts=[(name, name) for name in layouts],
        words_max=WORDS_MAX,
    )


async def _words(given: Given) -> dict[str, object]:
    """Return what was written, by the names of `Draft`; notes what is wrong beside its field."""
    kind = given.choice("source_kind", SOURCE_KINDS, "rich")
    written = given.text("content", "The letter", most=WORDS_MAX)
    return {
        "subject": given.text("subject", "The subject", most=broadcasts.SUBJECT_MAX) or None,
        "preheader": given.text("preheader", "The preview line", most=500),
        "from_name": given.text("from_name", "The sender's name", most=200) or None,
        "reply_to": given.text("reply_to", "The reply address", most=254) or None,
        "email_layout_template": given.text("layout", "The layout", most=100) or broadcasts.LAYOUT,
        "text": given.text("text", "The text version", most=WORDS_MAX) or None,
        "source_kind": kind,
        "source": written if kind == "markdown" else None,
        "content": await asyncio.to_thread(_html_of, written) if kind == "markdown" else written or None,
    }


def _html_of(source: str) -> str | None:
    """Return the HTML of Markdown; of Liquid that is not finished the text: the checks say what is wrong."""
    try:
        return markdown.to_html(source) or None
    except ValueError:
        return source or None


def _converted(one: Broadcast, kind: str) -> dict[str, object]:
    if kind != "markdown":
        return {"source_kind": kind, "source": None, "content": one.content}
    source = one.source if one.source_kind == "markdown" else _text_of(one.content or "")
    return {"source_kind": kind, "source": source, "content": _html_of(source or "")}


def _text_of(html: str) -> str:
    """Return the text of a letter, its Liquid as it was."""
    masked, marks = markup.mask(html)
    return markup.unmask(textual.from_html(masked).strip("\n"), marks)


def _save(tx: Tx, broadcast_id: int, words: dict[str, object], version: int | None) -> Broadcast:
    return verbs.save(tx, broadcast_id, words, accounts.get(tx).primary_email, version=version or 0)


def _save_apart(tx: Tx, broadcast_id: int, words: dict[str, object]) -> Broadcast:
    sender = accounts.get(tx).primary_email
    made = verbs.duplicate(tx, broadcast_id, sender)
    return verbs.save(tx, made.id, words, sender, version=made.version)


def _around(rx: Rx) -> tuple[merging.Groups, str]:
    """Return what a letter may name, and the sender's name."""
    return merging.of_letter(rx), accounts.get(rx).name


ROUTES: Final = (
    Route("GET", "/broadcasts/{id}/write", VIEWER, show),
    Route("POST", "/broadcasts/{id}/write", EDITOR, save),
    Route("POST", "/broadcasts/{id}/draft", EDITOR, autosave),
    Route("POST", "/broadcasts/{id}/apart", EDITOR, save_apart),
    Route("POST", "/broadcasts/{id}/written-as", EDITOR, switch),
)
