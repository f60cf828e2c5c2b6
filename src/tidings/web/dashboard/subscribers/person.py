"""One person: all that happened, their mails and what became of them, and what an owner does for them."""

from typing import Any, Final

from tidings.core import custom_fields, erasure, history, signup, subscribers, tags
from tidings.core.history import Cursor, profile
from tidings.core.history.profile import Profile
from tidings.core.subscribers import NAME_MAX, Subscriber
from tidings.errors import Invalid, Problem
from tidings.store.tx import Rx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.dashboard.subscribers.adding import ADDRESS_MAX, FIELD, values_of
from tidings.web.dashboard.subscribers.filters import OFFERED_MAX
from tidings.web.http import Reply

_PLACE_MAX: Final = 60


async def show(asked: Asked) -> Reply:
    """GET /subscribers/{id}: the timeline, newest first."""
    before = _place(asked.asks("before"))
    found = await asked.scan(history.page, asked.id(), before=before)
    older = f"?before={found.older.at}.{found.older.rank}.{found.older.id}" if found.older else ""
    return await _person(asked, "history", moments=found.moments, older=older, later=before is not None)


async def show_mails(asked: Asked) -> Reply:
    """GET /subscribers/{id}/mails: every mail with its fate."""
    before = asked.asks_id("before")
    mails, older = await asked.scan(profile.mails, asked.id(), before_id=before or 2**62)
    return await _person(
        asked, "mails", mails=mails, older=f"?before={older}" if older else "", later=before is not None
    )


async def show_edit(asked: Asked) -> Reply:
    """GET /subscribers/{id}/edit"""
    return await _edit(asked, 200, Given())


async def edit(asked: Asked) -> Reply:
    """POST /subscribers/{id}/edit: name, address and fields; what was not changed is not written."""
    given, who = asked.given, await asked.read(subscribers.get, asked.id())
    email = given.text("email", "Address", needed=True, most=ADDRESS_MAX)
    name = given.text("first_name", "First name", most=NAME_MAX)
    fields = values_of(given, await asked.read(custom_fields.all_fields))
    changed = {key: value for key, value in fields.items() if value != (who.fields.get(key) or None)}
    if given.ok:
        try:
            await asked.do_sorted(
                subscribers.sort_key(who.email), "subscriber.change", _subject(who.id), subscribers.update,
                who.id, email=email if email != who.email else None, first_name=name or None, fields=changed,
                origin=asked.origin,
            )  # fmt: skip
            return asked.see(f"/subscribers/{who.id}", "Saved.")
        except Problem as problem:
            given.blame(problem, _box(problem))
    return await _edit(asked, 422, given)


async def tag(asked: Asked) -> Reply:
    """POST /subscribers/{id}/tags: put a tag on, one that is there or a new one."""
    given, subscriber_id = asked.given, asked.id()
    chosen, name = (
        given.number("tag", "Tag", least=1, most=10**11),
        given.text("name", "Name", most=tags.NAME_MAX),
    )
    if not given.ok or not (chosen or name):
        return asked.see(_here(asked), "Choose a tag, or write the name of a new one.", wrong=True)
    try:
        await asked.read(subscribers.get, subscriber_id)
        if name:
            chosen = (await asked.do("tag.create", name, tags.named, name)).id
        put = await asked.do(
            "subscriber.tag", _subject(subscriber_id), tags.put_on, chosen or 0, subscriber_id, asked.origin
        )
    except Invalid as problem:
        return asked.see(_here(asked), f"{problem.message}.", wrong=True)
    return asked.see(_here(asked), f"The tag {put.name} is on.")


async def untag(asked: Asked) -> Reply:
    """POST /subscribers/{id}/tags/remove"""
    given, subscriber_id = asked.given, asked.id()
    chosen = given.ids("tag")
    if not chosen:
        return asked.see(_here(asked))
    gone = await asked.do(
        "subscriber.untag", _subject(subscriber_id), tags.remove, chosen[0], subscriber_id, asked.origin
    )
    return asked.see(_here(asked), f"The tag {gone.name} is off.")


async def unsubscribe(asked: Asked) -> Reply:
    """POST /subscribers/{id}/unsubscribe"""
    who = await asked.read(subscribers.get, asked.id())
    await asked.do_sorted(
        subscribers.sort_key(who.email), "subscriber.unsubscribe", _subject(who.id),
        signup.unsubscribe_by_id, who.id, asked.origin,
    )  # fmt: skip
    return asked.see(_here(asked), f"{who.email} gets no broadcasts and no sequences any more.")


async def show_erase(asked: Asked) -> Reply:
    """GET /subscribers/{id}/erase: what it means, before it is done."""
    return await _erase(asked, 200, Given())


async def erase(asked: Asked) -> Reply:
    """POST /subscribers/{id}/erase: by the address, typed once more."""
    given, who = asked.given, await asked.read(subscribers.get, asked.id())
    typed = given.text("email", "Address", most=ADDRESS_MAX)
    if not who.email or typed.casefold() != who.email.casefold():
        given.wrong("email", "This is not their address. Type it as it stands above.")
        return await _erase(asked, 422, given)
    await asked.do_sorted(
        subscribers.sort_key(who.email), "subscriber.erase", _subject(who.id), erasure.erase, who.id,
        asked.origin,
    )  # fmt: skip
    return asked.see("/subscribers", f"{who.email} is erased. The last traces leave the disk within minutes.")


async def _person(asked: Asked, tab: str, **shown: Any) -> Reply:
    whole, offered = await asked.scan(_whole, asked.id())
    return pages.page(
        asked, 200, f"subscribers/{tab}.html", here="subscribers", tab=tab, one=whole, person=whole.who,
        offered=offered, labels=await asked.read(custom_fields.all_fields), given=Given(), **shown,
    )  # fmt: skip


def _whole(rx: Rx, subscriber_id: int) -> tuple[Profile, list[tuple[int, str]]]:
    """Return a person, and the tags that they do not have."""
    whole = profile.of(rx, subscriber_id)
    have = {one.ref_id for one in whole.joined if one.kind == "tag"}
    offered = [(one.id, one.name) for one in tags.all_tags(rx).values() if one.id not in have]
    return whole, offered[:OFFERED_MAX]


async def _edit(asked: Asked, status: int, given: Given) -> Reply:
    who = await asked.read(subscribers.get, asked.id())
    fields = await asked.read(custom_fields.all_fields)
    return pages.page(
        asked, status, "subscribers/edit.html", here="subscribers", given=given, person=who, fields=fields,
        prefix=FIELD,
    )  # fmt: skip


async def _erase(asked: Asked, status: int, given: Given) -> Reply:
    who: Subscriber = await asked.read(subscribers.get, asked.id())
    return pages.page(asked, status, "subscribers/erase.html", here="subscribers", given=given, person=who)


def _here(asked: Asked) -> str:
    return f"/subscribers/{asked.id()}"


def _subject(subscriber_id: int) -> str:
    """Say who is meant for the audit log, which outlives an erasure: by the number alone."""
    return f"subscriber {subscriber_id}"


def _box(problem: Problem) -> str | None:
    """Return the box that a refusal is about; None for one that names a custom field itself."""
    known = {"Email address": "email", "First name": "first_name"}
    return known.get(problem.field, "") if isinstance(problem, Invalid) else ""


def _place(text: str) -> Cursor | None:
    """Read where a page of the timeline begins; None for the newest, and for what is no place."""
    parts = text[:_PLACE_MAX].split(".")
    # 15 digits stay far within 64 bits.
    if len(parts) != 3 or not all(one.isascii() and one.isdigit() and len(one) <= 15 for one in parts):
        return None
    return Cursor(*map(int, parts))


ROUTES: Final = (
    Route("GET", "/subscribers/{id}", VIEWER, show),
    Route("GET", "/subscribers/{id}/mails", VIEWER, show_mails),
    Route("GET", "/subscribers/{id}/edit", EDITOR, show_edit),
    Route("POST", "/subscribers/{id}/edit", EDITOR, edit),
    Route("POST", "/subscribers/{id}/tags", EDITOR, tag),
    Route("POST", "/subscribers/{id}/tags/remove", EDITOR, untag),
    Route("POST", "/subscribers/{id}/unsubscribe", EDITOR, unsubscribe),
    Route("GET", "/subscribers/{id}/erase", EDITOR, show_erase),
    Route("POST", "/subscribers/{id}/erase", EDITOR, erase),
)
