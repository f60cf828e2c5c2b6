"""Signatures: the DKIM keys of the account's domains, made and retired, with the record to publish."""

import asyncio
import re
from typing import Final

from tidings.core import accounts, signing
from tidings.core.signing import Key
from tidings.errors import Conflict, Problem
from tidings.mail import address, dkim
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import OWNER, VIEWER, Route
from tidings.web.dashboard.sending import HERE, TABS
from tidings.web.http import Reply

KINDS: Final = (("rsa", "RSA, which everybody reads"), ("ed25519", "Ed25519, as a second one"))
# A selector of its own for each kind: receivers who do not know Ed25519 look for the other.
SELECTORS: Final = {"rsa": "tidings", "ed25519": "tidings-ed"}
_SELECTOR: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


async def show(asked: Asked) -> Reply:
    """GET /sending/keys"""
    return await _page(asked, 200, Given())


async def make(asked: Asked) -> Reply:
    """POST /sending/keys"""
    given = asked.given
    kind = given.choice("kind", SELECTORS, "rsa")
    domain = _domain(given)
    selector = given.text("selector", "The selector", most=63) or SELECTORS[kind]
    if not _SELECTOR.fullmatch(selector):
        given.wrong("selector", "A selector has letters, digits, dots and hyphens.")
    if given.ok:
        # 70 to 240 ms of arithmetic: not in the event loop, and not in the writer.
        pem = await asyncio.get_running_loop().run_in_executor(None, _made, kind)
        name = f"{selector}._domainkey.{domain}"
        try:
            await asked.do("key.create", name, signing.create, asked.house.links, domain, selector, pem)
        except Conflict:
            given.wrong(
                "selector", "There is a key of this selector already. Choose another, such as its year."
            )
        except Problem as problem:
            given.blame(problem, "domain")
        else:
            return asked.see("/sending/keys", "The key signs from now on: publish its record at once.")
    return await _page(asked, 422, given)


async def retire(asked: Asked) -> Reply:
    """POST /sending/keys/{id}/retire"""
    key = next((one for one in await asked.read(signing.keys) if one.id == asked.id()), None)
    await asked.do("key.retire", key.name if key else f"key {asked.id()}", signing.retire, asked.id())
    return asked.see(
        "/sending/keys", "The key signs no more. Leave its record for a week, for mail that is on its way."
    )


async def _page(asked: Asked, status: int, given: Given) -> Reply:
    keys: list[Key] = await asked.read(signing.keys)
    sender = (await asked.read(accounts.get)).primary_email
    return pages.page(
        asked,
        status,
        "sending/keys.html",
        here=HERE,
        tabs_of=TABS,
        keys=keys,
        given=given,
        kinds=KINDS,
        selectors=SELECTORS,
        sender=sender,
        domain=_ascii_domain(sender),
    )


def _domain(given: Given) -> str:
    """Return a domain as mail has it: lower case, with A-labels."""
    typed = given.text("domain", "The domain", needed=True, most=253).rstrip(".")
    try:
        return address.with_ascii_domain(f"postmaster@{typed}").rpartition("@")[2].lower()
    except ValueError as problem:
        given.wrong("domain", f"The domain cannot be used: {problem}.")
        return ""


def _ascii_domain(sender: str) -> str:
    try:
        return address.with_ascii_domain(sender).rpartition("@")[2].lower()
    except ValueError:
        return ""


def _made(kind: str) -> str:
    return dkim.make_key("ed25519" if kind == "ed25519" else "rsa")


ROUTES: Final = (
    Route("GET", "/sending/keys", VIEWER, show),
    Route("POST", "/sending/keys", OWNER, make, 16_384),
    Route("POST", "/sending/keys/{id}/retire", OWNER, retire, 16_384),
)
