"""Adding a person by hand: who they are, how they agreed, and what mail they get at once."""

from typing import Final

import msgspec

from tidings.core import custom_fields, forms, sequences, signup, subscribers, tags
from tidings.core.custom_fields import CustomField
from tidings.core.signup import Also
from tidings.core.subscribers import NAME_MAX
from tidings.errors import Problem
from tidings.store.tx import Rx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, Route
from tidings.web.dashboard.subscribers.filters import OFFERED_MAX
from tidings.web.http import Reply

CONSENT_MAX: Final = 200
# RFC 5321, 4.5.3.1.3: a path of 256 octets, less its brackets.
ADDRESS_MAX: Final = 254
FIELD: Final = "field-"


async def show(asked: Asked) -> Reply:
    """GET /subscribers/add"""
    return await _page(asked, 200, Given({"email": asked.asks("email")} if asked.asks("email") else None))


async def add(asked: Asked) -> Reply:
    """POST /subscribers/add"""
    given = asked.given
    email = given.text("email", "Address", needed=True, most=ADDRESS_MAX)
    name = given.text("first_name", "First name", most=NAME_MAX)
    consent = given.text("consent", "How they agreed", needed=True, most=CONSENT_MAX)
    if not given.flag("agreed"):
        given.wrong("agreed", "Only people who agreed to get your mail may be added.")
    also = Also(tags=given.ids("tag"), forms=given.ids("form"), sequences=given.ids("sequence"))
    if given.ok:
        known = await asked.read(subscribers.find, email)
        if known is not None:
            given.wrong("email", f"{known.email} is in the list already, {known.state}.")
    if given.ok:
        try:
            fields = values_of(given, await asked.read(custom_fields.all_fields))
            person = subscribers.person(email, name or None, fields)
            origin = msgspec.structs.replace(asked.origin, source=consent)
            who = await asked.do_sorted(
                subscribers.sort_key(email), "subscriber.add", "a person", signup.add, person, also, origin
            )
            return asked.see(f"/subscribers/{who.id}", _said(who.email, who.state, forms_chosen=also.forms))
        except Problem as problem:
            given.blame(problem, "email")
    return await _page(asked, 422, given)


def values_of(given: Given, fields: tuple[CustomField, ...]) -> dict[str, object]:
    """Return what was filled into the boxes of custom fields, by their keys; a blank one is None."""
    return {
        one.key: given.text(f"{FIELD}{one.id}", one.label, most=10_000) or None
        for one in fields
        if f"{FIELD}{one.id}" in given.values
    }


def _said(email: str, state: str, *, forms_chosen: list[int]) -> str:
    if state == "active":
        return f"{email} is in the list."
    if forms_chosen:
        return f"{email} is in the list, and active once they confirm by the mail that they are sent now."
    return f"{email} is in the list, but was erased once: they are mailed only if they sign up and confirm."


async def _page(asked: Asked, status: int, given: Given) -> Reply:
    offered, fields = await asked.read(_offered)
    return pages.page(
        asked,
        status,
        "subscribers/add.html",
        here="subscribers",
        given=given,
        offered=offered,
        fields=fields,
        chosen={name: set(given.ids(name)) for name in ("form", "tag", "sequence")},
    )


def _offered(rx: Rx) -> tuple[dict[str, list[tuple[int, str, str]]], tuple[CustomField, ...]]:
    """Return what a person can be put into, each with what it means for them; and the custom fields."""
    asks = {
        "double": "they get a mail that asks them to confirm, and are active once they do",
        "none": "they are active at once",
    }
    offered = {
        "form": [(one.id, one.name, asks[one.confirmation]) for one in forms.all_forms(rx).values()],
        "sequence": [
            (one.id, one.name, "they get its emails, from the first on")
            for one in sequences.all_sequences(rx).values()
        ],
        "tag": [(one.id, one.name, "") for one in tags.all_tags(rx).values()],
    }
    return {kind: listed[:OFFERED_MAX] for kind, listed in offered.items()}, custom_fields.all_fields(rx)


ROUTES: Final = (
    Route("GET", "/subscribers/add", EDITOR, show),
    Route("POST", "/subscribers/add", EDITOR, add),
)
