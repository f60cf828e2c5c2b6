"""Broadcasts and their stats. Contract 3.7."""

from tidings.core import accounts, broadcasts
from tidings.core.broadcasts import Broadcast, Draft
from tidings.web import params
from tidings.web.api_v3 import shapes
from tidings.web.api_v3.call import Call
from tidings.web.http import Reply, json_reply

_TEXTS = (
    "subject",
    "description",
    "content",
    "thumbnail_alt",
    "thumbnail_url",
    "email_address",
    "email_layout_template",
)


async def list_broadcasts(call: Call) -> Reply:
    """GET /broadcasts: oldest first, no totals"""
    _, number = call.page()
    found = await call.read(broadcasts.page, newest_first=call.newest_first(), number=number)
    return json_reply(200, {"broadcasts": [shapes.broadcast_line(one) for one in found]})


async def create_broadcast(call: Call) -> Reply:
    """POST /broadcasts: a draft, or scheduled by `send_at`"""
    who = await call.read(accounts.get)
    made = await call.write(broadcasts.create, _draft(call, None), who.primary_email)
    return json_reply(201, {"broadcast": shapes.broadcast(made)})


async def get_broadcast(call: Call) -> Reply:
    """GET /broadcasts/{id}"""
    return json_reply(200, {"broadcast": shapes.broadcast(await call.read(broadcasts.find, call.ids[0]))})


async def update_broadcast(call: Call) -> Reply:
    """PUT /broadcasts/{id}: what is not given stays"""
    current = await call.read(broadcasts.find, call.ids[0])
    who = await call.read(accounts.get)
    changed = await call.write(broadcasts.update, call.ids[0], _draft(call, current), who.primary_email)
    return json_reply(200, {"broadcast": shapes.broadcast(changed)})


async def delete_broadcast(call: Call) -> Reply:
    """DELETE /broadcasts/{id}"""
    await call.write(broadcasts.delete, call.ids[0])
    return Reply(204)


async def get_stats(call: Call) -> Reply:
    """GET /broadcasts/{id}/stats"""
    one = await call.read(broadcasts.find, call.ids[0])
    return json_reply(200, {"broadcast": {"id": one.id, "stats": shapes.stats(one)}})


def _draft(call: Call, current: Broadcast | None) -> Draft:
    texts = {name: _text(call, name, getattr(current, name, None)) for name in _TEXTS}
    visibility = current.visibility if current else "private"
    if "public" in call.params:
        visibility = "public" if params.truthy(call.params["public"]) else "private"
    return Draft(
        visibility=visibility,
        published_at=_time(call, "published_at", current.published_at if current else None),
        send_at=_time(call, "send_at", current.send_at if current else None),
        **texts,
    )


def _text(call: Call, name: str, current: str | None) -> str | None:
    """Return a given text without NUL, blank as None; what is not given stays."""
    if call.params.get(name) is None:
        return current
    return (call.text(name) or "").replace("\0", "") or None


def _time(call: Call, name: str, current: int | None) -> int | None:
    return current if call.params.get(name) is None else call.time(name)
