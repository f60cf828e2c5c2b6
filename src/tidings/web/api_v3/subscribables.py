"""Forms, sequences and tags: list, make, subscribe, unsubscribe, subscriptions. Contract 3.2 to 3.4."""

from collections.abc import Awaitable, Callable

from tidings.core import accounts, forms, sequences, signup, subscribers, subscriptions, tags
from tidings.core.accounts import Account
from tidings.core.custom_fields import FIELDS_MAX
from tidings.core.forms import Form
from tidings.errors import Invalid, Problem
from tidings.store.tx import Rx
from tidings.web import params
from tidings.web.api_v3 import shapes
from tidings.web.api_v3.call import Call
from tidings.web.http import Reply, json_reply

Endpoint = Callable[[Call], Awaitable[Reply]]


async def account(call: Call) -> Reply:
    """GET /account"""
    return json_reply(200, shapes.account(await call.read(accounts.get)))


async def list_forms(call: Call) -> Reply:
    """GET /forms"""
    who, known = await call.read(_forms)
    listed = [shapes.form(one, call.house.links, who.api_key) for one in known.values()]
    return json_reply(200, {"forms": listed})


async def get_form(call: Call) -> Reply:
    """GET /forms/{id}: the bare form"""
    return json_reply(200, await _form(call))


async def list_subscription_forms(call: Call) -> Reply:
    """GET /subscription_forms: a bare array"""
    known = await call.read(forms.all_forms)
    return json_reply(200, [{"id": one, "form_id": one} for one in known])


async def list_sequences(call: Call) -> Reply:
    """GET /sequences: the key is `courses`"""
    known = await call.read(sequences.all_sequences)
    return json_reply(200, {"courses": [shapes.sequence(one) for one in known.values()]})


async def list_tags(call: Call) -> Reply:
    """GET /tags"""
    known = await call.read(tags.all_tags)
    return json_reply(200, {"tags": [shapes.tag(one) for one in known.values()]})


async def create_tags(call: Call) -> Reply:
    """POST /tags: one object, or an array; a one-element array answers a bare object"""
    given = call.params.get("tag")
    items = given if isinstance(given, list) else [given]
    names = [_name(item) for item in items] or [""]
    made = await call.write(tags.create, names)
    shown = [shapes.created_tag(one, call.account_id) for one in made]
    return json_reply(201, shown[0] if len(shown) == 1 else shown)


def subscribe(kind: str) -> Endpoint:
    """POST /{forms|sequences|tags}/{id}/subscribe"""

    async def endpoint(call: Call) -> Reply:
        try:
            person = subscribers.person(call.email(), call.text("first_name", "name"), _given_fields(call))
        except (Problem, params.BadValue):
            # An unknown form is said before a malformed address.
            await call.read(signup.check, kind, call.ids[0])
            raise
        also = signup.Also(
            tags=params.id_list(call.params.get("tags")),
            forms=params.id_list(call.params.get("forms")),
            sequences=params.id_list(call.params.get("courses"))
            + params.id_list(call.params.get("sequences")),
        )
        joined, who = await call.house.db.write_sorted(
            f"{person.address.mailbox}\0{person.address.key}",
            call.account_id,
            signup.sign_up,
            kind,
            call.ids[0],
            person,
            also,
            call.origin,
        )
        return json_reply(200, {"subscription": shapes.subscription(joined, who, whole=call.secret)})

    return endpoint


def unsubscribe(kind: str) -> Endpoint:
    """POST /{forms|sequences|tags}/{id}/unsubscribe: answers the bare thing"""

    async def endpoint(call: Call) -> Reply:
        await call.read(signup.check, kind, call.ids[0])
        try:
            email = call.email()
        except Invalid:
            return json_reply(200, await _bare(call, kind))
        await call.write(signup.leave, kind, call.ids[0], email, call.origin)
        return json_reply(200, await _bare(call, kind))

    return endpoint


def list_subscriptions(kind: str) -> Endpoint:
    """GET /{forms|sequences|tags}/{id}/subscriptions"""

    async def endpoint(call: Call) -> Reply:
        await call.read(signup.check, kind, call.ids[0])
        newest_first = call.newest_first()
        state = call.text("subscriber_state")
        if state is not None and state not in ("active", "cancelled"):
            raise Invalid("subscriber_state", "must be active or cancelled")
        asked, number = call.page()
        total, rows = await call.read(
            subscriptions.page, kind, call.ids[0], state=state, newest_first=newest_first, number=number
        )
        shown = [shapes.subscription(one, who, whole=True) for one, who in rows]
        return json_reply(200, shapes.listed("subscriptions", total, asked, subscriptions.PAGE, shown))

    return endpoint


def _given_fields(call: Call) -> dict[str, object]:
    """Return the fields of a subscribe call: null is absent there."""
    given = {name: value for name, value in call.fields().items() if value is not None}
    if len(given) > FIELDS_MAX:
        raise Invalid("fields", "are too many")
    return given


def _name(item: object) -> str:
    if isinstance(item, dict):
        return params.text(item, "name") or ""
    return item if isinstance(item, str) else ""


def _forms(rx: Rx) -> tuple[Account, dict[int, Form]]:
    return accounts.get(rx), forms.all_forms(rx)


async def _form(call: Call) -> shapes.Json:
    one = await call.read(forms.find, call.ids[0])
    who = await call.read(accounts.get)
    return shapes.form(one, call.house.links, who.api_key)


async def _bare(call: Call, kind: str) -> shapes.Json:
    if kind == "form":
        return await _form(call)
    if kind == "sequence":
        return shapes.sequence(await call.read(sequences.find, call.ids[0]))
    return shapes.tag(await call.read(tags.find, call.ids[0]))
