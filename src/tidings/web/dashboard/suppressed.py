"""Suppressions: mailboxes that get nothing any more, looked up, added, taken out.

Only a hash of each is kept, so the list cannot show addresses: one asks whether an address is held.
"""

import re
from typing import Final, NamedTuple

from tidings.core import preferences, subscribers, suppressions
from tidings.core.subscribers import Subscriber
from tidings.core.suppressions import Held
from tidings.errors import Problem
from tidings.mail import address
from tidings.store.tx import Rx
from tidings.web import params
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, OWNER, VIEWER, Route
from tidings.web.dashboard.sending import HERE, TABS
from tidings.web.http import Reply

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Answer(NamedTuple):
    """What is known of an address that was asked about."""

    email: str
    held: Held | None
    who: Subscriber | None


async def show(asked: Asked) -> Reply:
    """GET /sending/suppressions"""
    return await _page(asked, 200, Given({"email": asked.asks("email")} if asked.asks("email") else None))


async def add(asked: Asked) -> Reply:
    """POST /sending/suppressions: let an address get nothing any more."""
    given = asked.given
    email = given.text("add", "The address", needed=True, most=320)
    if given.ok:
        try:
            gone = await asked.do_sorted(
                subscribers.sort_key(email), "suppression.add", email, preferences.hold, email, asked.origin
            )
        except Problem as problem:
            given.blame(problem, "add")
        else:
            also = ", and is unsubscribed from everything" if gone is not None else ""
            return asked.see("/sending/suppressions", f"{email} gets no mail any more{also}.")
    return await _page(asked, 422, given)


async def remove(asked: Asked) -> Reply:
    """POST /sending/suppressions/remove: what the account has added itself."""
    digest = asked.given.text("digest", most=64)
    if not _DIGEST.fullmatch(digest):
        return asked.see("/sending/suppressions", "There is no such entry.", wrong=True)
    try:
        await asked.do("suppression.remove", f"entry {digest[:12]}", suppressions.withdraw, digest)
    except Problem as problem:
        return asked.see("/sending/suppressions", f"It was not removed: {problem.message}.", wrong=True)
    return asked.see("/sending/suppressions", "The entry is gone: whoever signs this address up may mail it.")


async def _page(asked: Asked, status: int, given: Given) -> Reply:
    before = _before(asked)
    email, answer = given.value("email").strip(), None
    if email:
        answer = await asked.read(_ask, email)
        if answer is None:
            given.wrong(
                "email", "This is not an email address. A whole one is needed: no part of it is kept."
            )
    held = await asked.read(suppressions.page, before)
    last = held[-1] if len(held) == suppressions.PAGE else None
    return pages.page(
        asked,
        status,
        "sending/suppressions.html",
        here=HERE,
        tabs_of=TABS,
        held=held,
        count=await asked.scan(suppressions.count),
        counted_most=suppressions.COUNTED_MOST,
        newer=before is not None,
        older=f"{last.created_at}-{last.digest}" if last else "",
        given=given,
        answer=answer,
    )


def _before(asked: Asked) -> tuple[int, str] | None:
    at, _, digest = asked.asks("before").partition("-")
    number = params.integer(at)
    return (number, digest) if number is not None and _DIGEST.fullmatch(digest) else None


def _ask(rx: Rx, email: str) -> Answer | None:
    try:
        mailbox = address.parse(email).mailbox
    except ValueError:
        return None
    return Answer(email, suppressions.look(rx, mailbox), subscribers.find(rx, email))


ROUTES: Final = (
    Route("GET", "/sending/suppressions", VIEWER, show),
    Route("POST", "/sending/suppressions", EDITOR, add, 16_384),
    Route("POST", "/sending/suppressions/remove", OWNER, remove, 16_384),
)
