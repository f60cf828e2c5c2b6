"""The confirmation link: a page that asks, and the press of its button that says yes.

A GET changes nothing: mail scanners open every link before its reader does.
"""

from typing import Final

from tidings.core import accounts, confirmations, subscribers, subscriptions
from tidings.core.events import Origin
from tidings.errors import NotFound
from tidings.mail.phrases import say
from tidings.store.tx import Rx
from tidings.tokens import Claim, read
from tidings.web.house import House
from tidings.web.http import Reply
from tidings.web.public import pages

PREFIX: Final = "/confirm/"


async def show(house: House, token: str) -> Reply:
    """GET: ask, with one button."""
    claim = read(house.links.key, confirmations.PURPOSE, token)
    if claim is None:
        return _unknown()
    if house.db.clock() > claim.made_at + confirmations.LINK_MS:
        return await _expired(house, claim)
    try:
        name, _, lang = await house.db.read(claim.account_id, _asked, claim.subject_id)
    except NotFound:
        return _unknown()
    return pages.page(200, "confirm.html", lang=lang, token=token, name=name)


async def confirm(house: House, token: str, client: str) -> Reply:
    """POST: confirm; the same answer at a second press."""
    claim = read(house.links.key, confirmations.PURPOSE, token)
    if claim is None:
        return _unknown()
    try:
        name, state, lang = await _confirm(house, claim, client)
    except NotFound:
        return _unknown()
    except confirmations.Expired:
        return await _expired(house, claim)
    if state == "active":
        title, words = "You are subscribed", (_thanks(lang, name), say(lang, "You can close this page."))
    elif state == "cancelled":
        title = "You have unsubscribed"
        words = (
            say(
                lang,
                "This address was unsubscribed after the link was sent, so the link no longer subscribes it.",
            ),
            say(lang, "If you want to come back, subscribe again and you will get a new link."),
        )
    else:
        title = "This address gets no mail"
        said = "Earlier mail to this address came back or was reported, so no more is sent to it."
        words = (say(lang, said), "")
    return pages.message(200, say(lang, title), *filter(None, words), lang=lang)


async def _confirm(house: House, claim: Claim, client: str) -> tuple[str, str, str]:
    """Run the verb; return the account's name, the person's state, and the language of our words."""
    name, order, lang = await house.db.read(claim.account_id, _asked, claim.subject_id)
    origin = Origin(door="link", address=client)
    _, who = await house.db.write_sorted(
        order, claim.account_id, confirmations.confirm, claim.subject_id, claim.made_at, origin
    )
    return name, who.state, lang


def _asked(rx: Rx, subscription_id: int) -> tuple[str, str, str]:
    """Return the name of the account that asks, the key that sorts the person's writes, and the language."""
    joined = subscriptions.get(rx, subscription_id)
    address = subscribers.person(subscribers.get(rx, joined.subscriber_id).email).address
    return accounts.get(rx).name, f"{address.mailbox}\0{address.key}", accounts.language(rx)


def _thanks(lang: str, name: str) -> str:
    if name:
        return say(lang, "Thank you for confirming your subscription to {name}.", name=name)
    return say(lang, "Thank you for confirming your subscription.")


def _unknown() -> Reply:
    return pages.message(
        404,
        "This link does not work",
        "It may have been cut off on its way. Try to open it from the mail once more, or subscribe again.",
    )


async def _expired(house: House, claim: Claim) -> Reply:
    lang = await house.db.read(claim.account_id, accounts.language)
    return pages.message(
        410,
        say(lang, "This link has expired"),
        say(lang, "It is older than {days} days.", days=confirmations.LINK_DAYS),
        say(lang, "Subscribe again, and you will get a new one."),
        lang=lang,
    )
