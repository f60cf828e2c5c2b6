"""A person's own page: their name, what they get, and the way out of everything."""

from typing import Final

from tidings.core import preferences, subscribers
from tidings.core.events import Origin
from tidings.core.preferences import Choice
from tidings.core.subscribers import Subscriber
from tidings.errors import Invalid, NotFound
from tidings.mail.phrases import phrase
from tidings.store.tx import Rx
from tidings.tokens import LEAVE, read_pair
from tidings.web import params
from tidings.web.house import House
from tidings.web.http import Reply
from tidings.web.public import leave, pages

PREFIX: Final = "/p/"
BODY_MAX: Final = 65_536
_NAMES: Final = {"sequence": "sequences", "tag": "tags"}


async def show(house: House, token: str) -> Reply:
    """GET: the form as it stands."""
    claim = read_pair(house.links.key, LEAVE, token)
    if claim is None:
        return leave.unknown()
    return await _page(house, token, claim)


async def answer(house: House, token: str, content_type: str, body: bytes, client: str) -> Reply:
    """POST: save what was chosen, and show it."""
    claim = read_pair(house.links.key, LEAVE, token)
    if claim is None:
        return leave.unknown()
    account_id, subscriber_id, delivery_id = claim
    try:
        given = params.decode(b"", content_type, body)
        first_name = params.text(given, "first_name")
    except (params.BadBody, params.BadValue):
        return await _page(house, token, claim, wrong="This could not be read. Please try again.")
    if given.get("never") == "1":
        return await _never(house, token, claim, client)
    # Without it, an empty POST of some program would be the wish to be in nothing.
    if given.get("save") != "1":
        return await _page(house, token, claim, wrong="Nothing was changed. Please press the button below.")
    wanted = {(kind, one) for kind, name in _NAMES.items() for one in params.id_list(given.get(name))}
    origin = Origin(door="link", address=client, source="preferences page")
    try:
        _, who, _ = await house.db.read(account_id, leave.known, subscriber_id, delivery_id)
        public = await house.db.read(account_id, preferences.public)
        await house.db.write_sorted(
            subscribers.sort_key(who.email),
            account_id,
            preferences.choose,
            subscriber_id,
            public,
            wanted,
            first_name,
            origin,
        )
    except NotFound:
        return await _page(house, token, claim)
    except Invalid:
        return await _page(house, token, claim, wrong="This name is too long. Please shorten it.")
    return await _page(house, token, claim, saved=True)


async def _never(house: House, token: str, claim: tuple[int, int, int], client: str) -> Reply:
    account_id, subscriber_id, delivery_id = claim
    origin = Origin(door="link", address=client, source="preferences page")
    try:
        _, who, _ = await house.db.read(account_id, leave.known, subscriber_id, delivery_id)
        key = subscribers.sort_key(who.email)
        await house.db.write_sorted(key, account_id, preferences.never, subscriber_id, delivery_id, origin)
    except NotFound:
        pass
    return await _page(house, token, claim)


async def _page(
    house: House, token: str, claim: tuple[int, int, int], *, saved: bool = False, wrong: str = ""
) -> Reply:
    account_id, subscriber_id, delivery_id = claim
    try:
        sender, who, undoes = await house.db.read(account_id, leave.known, subscriber_id, delivery_id)
    except NotFound:
        return await leave.show(house, token)
    if who.state not in ("active", "inactive"):
        return leave.left(token, sender, who, undoes)
    choices = await house.db.read(account_id, _choices, who)
    return pages.page(
        422 if wrong else 200,
        "preferences.html",
        lang=sender.lang,
        token=token,
        name=sender.name,
        address=leave.masked(who.email),
        first_name=who.first_name or "",
        choices=[(f"{_NAMES[one.kind]}[]", one) for one in choices],
        saved=saved,
        wrong=phrase(sender.lang, wrong) if wrong else "",
    )


def _choices(rx: Rx, who: Subscriber) -> list[Choice]:
    return preferences.choices(rx, who, preferences.public(rx))
