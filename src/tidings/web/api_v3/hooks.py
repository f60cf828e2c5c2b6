"""automations/hooks: webhooks, which v3 calls rules. Contract 3.8."""

from typing import Any

from tidings.core import webhooks
from tidings.core.webhooks import NEEDS
from tidings.errors import Invalid
from tidings.web import params
from tidings.web.api_v3 import shapes
from tidings.web.api_v3.call import Call
from tidings.web.http import Reply, json_reply


async def list_hooks(call: Call) -> Reply:
    """GET /automations/hooks: a bare array"""
    found = await call.read(webhooks.all_webhooks)
    return json_reply(200, [shapes.rule(one, call.account_id) for one in found])


async def create_hook(call: Call) -> Reply:
    """POST /automations/hooks: 200, not 201"""
    event: Any = call.params.get("event")
    given = event if isinstance(event, dict) else {"name": event}
    name = _event_name(params.text(given, "name") or "")
    subject, subject_id, value = _subject(name, given)
    target = call.text("target_url") or ""
    made = await call.write(
        webhooks.create, name, target.strip(), subject=subject, subject_id=subject_id, value=value
    )
    return json_reply(200, shapes.rule(made, call.account_id))


async def delete_hook(call: Call) -> Reply:
    """DELETE /automations/hooks/{id}"""
    await call.write(webhooks.delete, call.ids[0])
    return json_reply(200, {"success": True})


def _event_name(given: str) -> str:
    """Return an event's name without the part before the dot; refuse what is none of ours."""
    group, dot, name = given.strip().rpartition(".")
    wanted = "purchase" if name == "purchase_create" else "subscriber"
    if name not in NEEDS or (dot and group != wanted):
        raise Invalid("event", "name is not one of the known events")
    return name


def _subject(event: str, given: dict[str, Any]) -> tuple[str | None, int | None, str | None]:
    """Return what an event needs beside its name, under the name that was used."""
    for need in NEEDS[event]:
        value = given.get(need)
        if value is None or value == "":
            continue
        number = None if need == "initiator_value" else params.integer(value)
        if number is not None:
            return need, number, None
        # A shop's product ids need not be numbers; every other id is.
        if need in ("initiator_value", "product_id"):
            return need, None, (params.text(given, need) or "").strip()[: webhooks.URL_MAX]
        raise Invalid("event", f"{need} must be a positive whole number")
    if NEEDS[event]:
        raise Invalid(f"subscriber.{event}", f"needs {' or '.join(NEEDS[event])}")
    return None, None, None
