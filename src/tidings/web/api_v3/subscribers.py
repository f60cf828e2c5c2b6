"""Subscribers, their tags, unsubscribing, and custom fields. Contract 3.5, 3.6, 3.9."""

from tidings.core import custom_fields, signup, subscribers, tags
from tidings.core.custom_fields import FIELDS_MAX
from tidings.core.subscribers import lists
from tidings.errors import Invalid, NotFound
from tidings.web import params
from tidings.web.api_v3 import shapes
from tidings.web.api_v3.call import Call
from tidings.web.http import Reply, json_reply

# Up to ten fields in a request are answered 200, more 202.
FIELDS_AT_ONCE = 10


async def list_subscribers(call: Call) -> Reply:
    """GET /subscribers"""
    asked, number = call.page()
    newest_first = call.newest_first()
    field = call.text("sort_field")
    if field is not None and field != "cancelled_at":
        raise Invalid("sort_field", "must be cancelled_at")
    query = lists.Query(
        state="cancelled" if field else "active",
        created=call.days("from", "to"),
        updated=call.days("updated_from", "updated_to"),
        by_cancelled=field is not None,
        newest_first=newest_first,
        number=number,
    )
    email = _email_address(call)
    if email is not None:
        found = await call.read(subscribers.find, email)
        rows = [found] if found else []
        shown = [shapes.subscriber(one) for one in rows] if number == 1 else []
        return json_reply(200, shapes.listed("subscribers", len(rows), asked, subscribers.PAGE, shown))
    if query.scans:
        total, people = await call.house.db.scan(call.account_id, lists.page, query)
    else:
        total, people = await call.read(lists.page, query)
    shown = [shapes.subscriber(one) for one in people]
    return json_reply(200, shapes.listed("subscribers", total, asked, subscribers.PAGE, shown))


async def get_subscriber(call: Call) -> Reply:
    """GET /subscribers/{id}"""
    return json_reply(200, {"subscriber": shapes.subscriber(await call.read(subscribers.get, call.ids[0]))})


async def update_subscriber(call: Call) -> Reply:
    """PUT /subscribers/{id}: 200 with up to 10 fields, 202 with 11 to 125, 400 above"""
    await call.read(subscribers.get, call.ids[0])
    fields = call.fields()
    if len(fields) > FIELDS_MAX:
        raise Invalid("fields", "are too many")
    try:
        email = call.text("email_address", "email")
    except params.BadValue as problem:
        raise Invalid("Email address", "is invalid") from problem
    who = await call.write(
        subscribers.update,
        call.ids[0],
        email=email,
        first_name=call.text("first_name", "name"),
        fields=fields,
        origin=call.origin,
    )
    status = 200 if len(fields) <= FIELDS_AT_ONCE else 202
    return json_reply(status, {"subscriber": shapes.subscriber(who)})


async def unsubscribe(call: Call) -> Reply:
    """PUT /unsubscribe: unknown and malformed addresses are 404"""
    try:
        email = call.email()
    except Invalid as problem:
        raise NotFound("subscriber") from problem
    who = await call.write(signup.unsubscribe, email, call.origin)
    return json_reply(200, {"subscriber": shapes.subscriber(who)})


async def list_subscriber_tags(call: Call) -> Reply:
    """GET /subscribers/{id}/tags"""
    found = await call.read(tags.of_subscriber, call.ids[0])
    return json_reply(200, {"tags": [shapes.tag(one) for one in found]})


async def remove_tag(call: Call) -> Reply:
    """DELETE /subscribers/{id}/tags/{tag_id}: answers the bare tag"""
    removed = await call.write(tags.remove, call.ids[1], call.ids[0], call.origin)
    return json_reply(200, shapes.tag(removed))


async def list_custom_fields(call: Call) -> Reply:
    """GET /custom_fields"""
    found = await call.read(custom_fields.all_fields)
    return json_reply(200, {"custom_fields": [shapes.custom_field(one) for one in found]})


async def get_custom_field(call: Call) -> Reply:
    """GET /custom_fields/{id}: the bare field"""
    return json_reply(200, shapes.custom_field(await call.read(custom_fields.find, call.ids[0])))


async def create_custom_fields(call: Call) -> Reply:
    """POST /custom_fields: one label, or an array; a one-element array answers a bare object"""
    given = call.params.get("label")
    items = given if isinstance(given, list) else [given]
    labels = [params.text({"label": item}, "label") or "" for item in items] or [""]
    made = await call.write(custom_fields.create, labels)
    shown = [shapes.custom_field(one) for one in made]
    body = shown[0] if len(shown) == 1 else shown
    return json_reply(201, body, [(b"location", b"/v3/custom_fields")])


async def update_custom_field(call: Call) -> Reply:
    """PUT /custom_fields/{id}"""
    await call.read(custom_fields.find, call.ids[0])
    await call.write(custom_fields.rename, call.ids[0], call.text("label") or "")
    return Reply(204)


async def delete_custom_field(call: Call) -> Reply:
    """DELETE /custom_fields/{id}"""
    await call.write(custom_fields.delete, call.ids[0])
    return Reply(204)


def _email_address(call: Call) -> str | None:
    try:
        return call.text("email_address")
    except params.BadValue:
        return "\0"
