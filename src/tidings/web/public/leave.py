"""Unsubscribing: by the mail program's own button (RFC 8058), or by a page that asks.

Only a POST changes anything: scanners open every link. The token in the address is the
person's credential, so there is no cookie and nothing to forge.
"""

from typing import Final, NamedTuple

from tidings.core import accounts, preferences, subscribers
from tidings.core.events import Origin
from tidings.core.subscribers import Subscriber
from tidings.errors import Conflict, NotFound
from tidings.mail.phrases import say
from tidings.store.tx import Rx
from tidings.tokens import LEAVE, read_pair
from tidings.web import params
from tidings.web.house import House
from tidings.web.http import Reply
from tidings.web.public import pages

PREFIX: Final = "/u/"
# RFC 8058, 3.1: the one pair that a mail program sends, urlencoded or multipart.
_ONE_CLICK: Final = ("List-Unsubscribe", "one-click")
# Those who got as far have room for some words; nothing else belongs in the body.
BODY_MAX: Final = 16_384


class Sender(NamedTuple):
    """The account that a link's mail came from: its name, and the language of our words."""

    name: str
    lang: str


async def show(house: House, token: str) -> Reply:
    """GET: ask, with one button; or say that it is done."""
    claim = read_pair(house.links.key, LEAVE, token)
    if claim is None:
        return unknown()
    account_id, subscriber_id, delivery_id = claim
    try:
        sender, who, undoes = await house.db.read(account_id, known, subscriber_id, delivery_id)
    except NotFound:
        return await _nobody(house, account_id)
    if who.state in ("active", "inactive"):
        return _asking(token, sender, who)
    return left(token, sender, who, undoes)


async def answer(house: House, token: str, content_type: str, body: bytes, client: str) -> Reply:
    """POST: unsubscribe, or take it back; the same answer at a second press."""
    claim = read_pair(house.links.key, LEAVE, token)
    if claim is None:
        return unknown()
    account_id, subscriber_id, delivery_id = claim
    try:
        given = params.decode(b"", content_type, body)
    except params.BadBody:
        given = {}
    one_click = str(given.get(_ONE_CLICK[0], "")).strip().lower() == _ONE_CLICK[1]
    try:
        sender, who, _ = await house.db.read(account_id, known, subscriber_id, delivery_id)
        key = subscribers.sort_key(who.email)
        if one_click or given.get("leave") == "all":
            way = preferences.ONE_CLICK if one_click else preferences.PAGE
            origin = Origin(door="link", address=client, source=f"unsubscribe {way}")
            await house.db.write_sorted(
                key, account_id, preferences.leave_all, subscriber_id, delivery_id, way, origin
            )
        elif given.get("undo") == "mistake":
            origin = Origin(door="link", address=client, source="unsubscribe undone")
            who = await house.db.write_sorted(
                key, account_id, preferences.undo, subscriber_id, delivery_id, origin
            )
            return _back(sender, who)
        else:
            return _asking(token, sender, who, status=400)
        sender, who, undoes = await house.db.read(account_id, known, subscriber_id, delivery_id)
    except NotFound:
        return await _nobody(house, account_id)
    except Conflict:
        lang = await house.db.read(account_id, accounts.language)
        return pages.message(
            409,
            say(lang, "This cannot be taken back any more"),
            say(lang, "If you want to come back, subscribe again where you did before."),
            lang=lang,
        )
    return left(token, sender, who, undoes)


def known(rx: Rx, subscriber_id: int, delivery_id: int) -> tuple[Sender, Subscriber, bool]:
    """Return the account, the person, and whether this link may take its unsubscribe back."""
    who = subscribers.get(rx, subscriber_id)
    sender = Sender(accounts.get(rx).name, accounts.language(rx))
    return sender, who, preferences.may_undo(rx, who, delivery_id)


def left(token: str, sender: Sender, who: Subscriber, undoes: bool) -> Reply:
    """Say that nothing is sent any more; with the way back for who pressed by mistake."""
    return pages.page(
        200,
        "left.html",
        lang=sender.lang,
        token=token,
        name=sender.name,
        address=masked(who.email),
        undoes=undoes,
    )


def masked(email: str) -> str:
    """Return an address that its owner knows, and who found a forwarded mail does not."""
    mailbox, _, domain = email.rpartition("@")
    return f"{mailbox[:1]}…@{domain}"


def unknown() -> Reply:
    """Say that a token is none of ours."""
    return pages.message(
        404,
        "This link does not work",
        "It may have been cut off on its way. Try to open it from the mail once more.",
    )


def _asking(token: str, sender: Sender, who: Subscriber, *, status: int = 200) -> Reply:
    shown = masked(who.email)
    return pages.page(status, "leave.html", lang=sender.lang, token=token, name=sender.name, address=shown)


def _back(sender: Sender, who: Subscriber) -> Reply:
    lang = sender.lang
    if who.state != "active":
        title, words = "All is as it was", "This address waits for its confirmation, as it did before."
        return pages.message(200, say(lang, title), say(lang, words), lang=lang)
    named = "You get mail from {name} as before." if sender.name else "You get mail as before."
    return pages.message(
        200,
        say(lang, "You are subscribed again"),
        say(lang, named, name=sender.name),
        say(lang, "You can close this page."),
        lang=lang,
    )


async def _nobody(house: House, account_id: int) -> Reply:
    lang = await house.db.read(account_id, accounts.language)
    words = "This address is not kept here any more, so no mail is sent to it."
    return pages.message(200, say(lang, "You are unsubscribed"), say(lang, words), lang=lang)
