"""Broadcasts and their stats. Contract 3.7."""

from typing import Any

from tidings.core import accounts, broadcasts
from tidings.core.broadcasts import Broadcast, Draft
from tidings.store.tx import Rx, Tx
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
_TIMES = ("published_at", "send_at")


async def list_broadcasts(call: Call) -> Reply:
    """GET /broadcasts: oldest first, no totals"""
    _, number = call.page()
    found = await call.read(broadcasts.page, newest_first=call.newest_first(), number=number)
    return json_reply(200, {"broadcasts": [shapes.broadcast_line(one) for one in found]})


async def create_broadcast(call: Call) -> Reply:
    """POST /broadcasts: a draft, or scheduled by `send_at`; what is due is sent at once"""
    made = await call.write(_create, Draft(**_given(call)))
    return json_reply(201, {"broadcast": shapes.broadcast(made)})


async def get_broadcast(call: Call) -> Reply:
    """GET /broadcasts/{id}"""
    return json_reply(200, {"broadcast": shapes.broadcast(await call.read(broadcasts.find, call.ids[0]))})


async def update_broadcast(call: Call) -> Reply:
    """PUT /broadcasts/{id}: what is not given stays"""
    changed = await call.write(_revise, call.ids[0], _given(call))
    return json_reply(200, {"broadcast": shapes.broadcast(changed)})


async def delete_broadcast(call: Call) -> Reply:
    """DELETE /broadcasts/{id}"""
    await call.write(broadcasts.delete, call.ids[0])
    return Reply(204)


async def get_stats(call: Call) -> Reply:
    """GET /broadcasts/{id}/stats"""
    one, (opens, clicks) = await call.read(_numbers, call.ids[0])
    stats = shapes.stats(one, opens=opens, clicks=clicks)
    return json_reply(200, {"broadcast": {"id": one.id, "stats": stats}})


def _create(tx: Tx, draft: Draft) -> Broadcast:
    return broadcasts.create(tx, draft, accounts.get(tx).primary_email)


def _revise(tx: Tx, broadcast_id: int, given: dict[str, Any]) -> Broadcast:
    return broadcasts.revise(tx, broadcast_id, given, accounts.get(tx).primary_email)


def _numbers(rx: Rx, broadcast_id: int) -> tuple[Broadcast, tuple[bool, bool]]:
    return broadcasts.find(rx, broadcast_id), accounts.tracking(rx)


def _given(call: Call) -> dict[str, Any]:
    """Return the values of the request by their names in `Draft`; null is as good as not given."""
    given: dict[str, Any] = {}
    for name in _TEXTS:
        if call.params.get(name) is not None:
            # A blank empties; NUL has no place in a text.
            given[name] = (call.text(name) or "").replace("\0", "") or None
    for name in _TIMES:
        if call.params.get(name) is not None:
            given[name] = call.time(name)
    if "public" in call.params:
        given["visibility"] = "public" if params.truthy(call.params["public"]) else "private"
    return given
