"""The way in and out: password, second factor, one-time links, and the switch between accounts.

A known and an unknown address get the same answers, in the same time. Tries are counted by address
and by network, as tries are expensive for whoever guesses and rare for who does not.
"""

import re
from typing import Final

from tidings.core import audit, limits, owner_notes, users
from tidings.core.accounts import INSTALLATION
from tidings.core.audit import Actor
from tidings.core.users import proofs, sessions
from tidings.errors import TooMany
from tidings.mail import address
from tidings.store.tx import Tx
from tidings.tokens import Claim, digest, read, sign
from tidings.web.access import network_of, shorten
from tidings.web.dashboard import pages, passwords, session
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import ANYBODY, SIGNED_IN, Route
from tidings.web.http import Reply, header

# In a minute. Five for an address are 7,200 guesses a day: no password of ten characters falls to them.
TRIES_OF_ADDRESS: Final = 5
TRIES_OF_NETWORK: Final = 20
# A second factor is asked for within this time after the password.
SECOND_STEP_MS: Final = 10 * 60_000

_SECOND: Final = "second step"
_WRONG: Final = "This address and password do not belong together. Both count: please check them."
_OUR_PATH: Final = re.compile(r"/(?:[A-Za-z0-9_-][A-Za-z0-9/_-]{0,200})?")


async def show(asked: Asked) -> Reply:
    """GET /sign-in"""
    if await session.current(asked.house, asked.headers) is not None:
        return asked.see(_next(asked.asks("next")))
    return _form(asked, 200, Given({"next": asked.asks("next")}))


async def with_password(asked: Asked) -> Reply:
    """POST /sign-in: address and password; then perhaps the second factor."""
    given = asked.given
    email, password = given.text("email", most=320), given.value("password")
    await count_try(asked, email)
    user = await asked.house.db.read(INSTALLATION, users.by_email, email)
    proof = await asked.house.db.read(INSTALLATION, proofs.of_user, user.id) if user else None
    if not await passwords.fits(proof.password if proof else None, password) or user is None or proof is None:
        given.wrong("", _WRONG)
        return _form(asked, 422, given)
    if proof.totp is not None:
        pending = sign(asked.house.links.key, _SECOND, Claim(1, user.id, asked.house.db.clock()))
        return pages.page(
            asked, 200, "second.html", given=Given({"next": given.value("next")}), pending=pending
        )
    return await _begin(asked, user.id, given.value("next"), "password")


async def with_code(asked: Asked) -> Reply:
    """POST /sign-in/code: the second factor, or a recovery code."""
    given, db = asked.given, asked.house.db
    pending = given.value("pending")
    claim = read(asked.house.links.key, _SECOND, pending)
    if claim is None or claim.made_at + SECOND_STEP_MS < db.clock():
        given.wrong("", "That took too long. Please begin again.")
        return _form(asked, 422, given)
    user_id, code = claim.subject_id, given.text("code", most=40)
    await count_try(asked, f"user {user_id}")
    proof = await db.read(INSTALLATION, proofs.of_user, user_id)
    step = passwords.step_of(proof.totp, code, now_ms=db.clock()) if proof and proof.totp else None
    if step is not None:
        good = await db.write(INSTALLATION, proofs.spend_step, user_id, step)
    else:
        good = await db.write(INSTALLATION, proofs.spend_recovery, user_id, code)
    if not good:
        given.wrong("code", "This code is wrong, or it was used already. A new one comes every 30 seconds.")
        return pages.page(asked, 422, "second.html", given=given, pending=pending)
    return await _begin(asked, user_id, given.value("next"), "password and code")


async def ask_for_link(asked: Asked) -> Reply:
    """POST /sign-in/link: mail a one-time link to a user; says the same to everybody."""
    if asked.house.sends_nothing:
        return pages.message(422, "No mail leaves this machine", "So no link can be mailed. " + _BY_COMMAND)
    email = asked.given.text("email", most=320)
    await count_try(asked, email)
    user = await asked.house.db.read(INSTALLATION, users.by_email, email)
    mine = await asked.house.db.read(INSTALLATION, users.account_ids, user.id) if user else []
    if user and mine:
        await asked.house.db.write(mine[0], _mail_link, user, asked.house.links.base_url)
    return pages.message(
        200,
        "Look into your mail",
        "If this address belongs to a user, a link is on its way. It works once, for 20 minutes.",
    )


async def show_link(asked: Asked) -> Reply:
    """GET /sign-in/{token}: a button; a look uses nothing up, since mail scanners look at every link."""
    return pages.page(asked, 200, "sign_in_link.html", token=asked.holes["token"], used=False)


async def with_link(asked: Asked) -> Reply:
    """POST /sign-in/{token}"""
    await _count_network(asked)
    token, db = asked.holes["token"], asked.house.db
    used = await db.write(INSTALLATION, sessions.use_link, token)
    if used is None:
        return pages.page(asked, 403, "sign_in_link.html", token="", used=True)
    account_id, user_id, way = used
    proof = await db.read(INSTALLATION, proofs.of_user, user_id)
    if way != "command" and proof is not None and proof.totp is not None:
        pending = sign(asked.house.links.key, _SECOND, Claim(1, user_id, db.clock()))
        return pages.page(asked, 200, "second.html", given=Given(), pending=pending)
    return await _begin(asked, user_id, "/", f"link by {way}", account_id)


async def sign_out(asked: Asked) -> Reply:
    """POST /sign-out"""
    await asked.house.db.write(INSTALLATION, sessions.sign_out, asked.secret)
    return asked.see("/sign-in", headers=[session.no_cookie(asked.house)])


async def switch(asked: Asked) -> Reply:
    """POST /accounts/{id}: show another account of the same user."""
    who = asked.signed
    await asked.house.db.write(INSTALLATION, sessions.switch, who.id, who.user_id, asked.id())
    return asked.see("/")


async def _begin(asked: Asked, user_id: int, to: str, way: str, account_id: int | None = None) -> Reply:
    """Begin a session and go on; an account that the user has no part in any more is not shown."""
    db = asked.house.db
    mine = await db.read(INSTALLATION, users.account_ids, user_id)
    if not mine:
        return pages.message(
            403, "No account", "You have no part in any account here. Ask an owner to invite you."
        )
    account_id = account_id if account_id in mine else mine[0]
    agent = header(asked.headers, b"user-agent").decode("latin-1")
    shown = shorten(asked.client)
    secret = await db.write(account_id, _enter, user_id, agent, shown, way)
    return asked.see(_next(to), headers=[session.cookie(asked.house, secret)])


def _enter(tx: Tx, user_id: int, agent: str, network: str, way: str) -> str:
    """Begin a session and note it."""
    secret = sessions.begin(tx, user_id, agent=agent, address=network)
    audit.note(tx, Actor(user_id, users.find(tx, user_id).email, network), "session.begin", way)
    return secret


def _mail_link(tx: Tx, user: users.User, base_url: str) -> None:
    """Make a link and queue the mail that brings it."""
    token = sessions.link(tx, user.id, "mail")
    text = (
        f"Somebody, hopefully you, asked for a link to sign in to Tidings:\n\n{base_url}/sign-in/{token}\n\n"
        "It works once, within 20 minutes. If it was not you, nothing needs to be done.\n"
    )
    owner_notes.tell(tx, f"sign-in:{digest(token)[:32]}", "Your link to sign in", text, recipient=user.email)


async def count_try(asked: Asked, email: str) -> None:
    """Count a try for an address and for a network; raises TooMany."""
    try:
        key = address.parse(email).key
    except ValueError:
        key = email.lower()[:320]
    await _count(asked, f"sign-in:{digest(key)[:32]}", TRIES_OF_ADDRESS)
    await _count_network(asked)


async def _count_network(asked: Asked) -> None:
    await _count(asked, f"sign-in-from:{network_of(asked.client)}", TRIES_OF_NETWORK)


async def _count(asked: Asked, name: str, most: int) -> None:
    db = asked.house.db
    if db.shared:
        wait_ms = await db.write(INSTALLATION, limits.admit, name, most)
    else:
        wait_ms = asked.house.windows.admit(name, most)
    if wait_ms > 0:
        raise TooMany(-(-wait_ms // 1_000))


def _form(asked: Asked, status: int, given: Given) -> Reply:
    return pages.page(asked, status, "sign_in.html", given=given)


def _next(path: str) -> str:
    """Return where to go after signing in: a path of ours, or the first page."""
    return path if _OUR_PATH.fullmatch(path) else "/"


_BY_COMMAND: Final = "Whoever runs Tidings makes one in the terminal with: tidings sign-in"

ROUTES: Final = (
    Route("GET", "/sign-in", ANYBODY, show),
    Route("POST", "/sign-in", ANYBODY, with_password, 16_384),
    Route("POST", "/sign-in/code", ANYBODY, with_code, 16_384),
    Route("POST", "/sign-in/link", ANYBODY, ask_for_link, 16_384),
    Route("GET", "/sign-in/{token}", ANYBODY, show_link),
    Route("POST", "/sign-in/{token}", ANYBODY, with_link, 16_384),
    Route("POST", "/sign-out", SIGNED_IN, sign_out, 16_384),
    Route("POST", "/accounts/{id}", SIGNED_IN, switch, 16_384),
)
