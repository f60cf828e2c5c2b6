"""What is a user's own: name and address, password, second factor, sessions."""

from typing import Final

from tidings.core import users
from tidings.core.accounts import INSTALLATION
from tidings.core.users import proofs, sessions
from tidings.errors import Problem
from tidings.store.tx import Tx
from tidings.web.dashboard import pages, passwords, signing_in
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import SIGNED_IN, Route
from tidings.web.http import Reply

# The first sign that is found counts: every browser names the older ones too.
_BROWSERS: Final = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("Linux", "Linux"),
)  # fmt: skip


async def show(asked: Asked) -> Reply:
    """GET /settings/you"""
    return await _page(asked, 200)


async def describe(asked: Asked) -> Reply:
    """POST /settings/you: name and address; a new address needs the password, where there is one."""
    given, who = asked.given, asked.signed
    name = given.text("name", "Name", most=users.NAME_MAX)
    email = given.text("email", "Address", needed=True, most=320)
    if email != who.email and not await _proved(asked, "current_for_email"):
        given.wrong("current_for_email", "To change your address, enter your password as it is now.")
    if given.ok:
        try:
            await asked.do("user.change", email, users.describe, who.user_id, name=name, email=email)
            return asked.see("/settings/you", "Saved.")
        except Problem as problem:
            given.blame(problem)
    return await _page(asked, 422, you=given)


async def set_password(asked: Asked) -> Reply:
    """POST /settings/you/password: ends every other session."""
    given, who = asked.given, asked.signed
    password = given.value("password")
    if not await _proved(asked, "current"):
        given.wrong("current", "This is not your password.")
    try:
        proofs.check_new_password(password, who.email)
    except Problem as problem:
        given.blame(problem)
    if password != given.value("again"):
        given.wrong("again", "The two are not the same.")
    if not given.ok:
        return await _page(asked, 422, password=given)
    hashed = await passwords.hashed(password)
    ended = await asked.do("user.password", "", _set_password, who.user_id, who.id, hashed)
    others = f" {pages.counted(ended, 'other session')} ended." if ended else ""
    return asked.see("/settings/you", f"Your password is set.{others}")


async def begin_factor(asked: Asked) -> Reply:
    """POST /settings/you/factor: offer a secret, and show it to be read by an authenticator."""
    given = asked.given
    if not await _proved(asked, "current_for_factor"):
        given.wrong("current_for_factor", "This is not your password.")
        return await _page(asked, 422, factor=given)
    secret = passwords.new_secret()
    try:
        await asked.do("user.factor_offer", "", proofs.offer_totp, asked.signed.user_id, secret)
    except Problem as problem:
        given.blame(problem)
        return await _page(asked, 422, factor=given)
    return _factor(asked, 200, Given(), secret)


async def confirm_factor(asked: Asked) -> Reply:
    """POST /settings/you/factor/confirm: a code shows that it was read; recovery codes come once."""
    who, given, db = asked.signed, asked.given, asked.house.db
    secret = await db.read(INSTALLATION, proofs.offered_totp, who.user_id)
    if secret is None:
        return asked.see("/settings/you", "There is no second factor to confirm. Begin again.", wrong=True)
    await signing_in.count_try(asked, f"user {who.user_id}")
    step = passwords.step_of(secret, given.text("code", most=20), now_ms=db.clock())
    if step is None:
        given.wrong("code", "This code does not fit. Is the clock of your device right?")
        return _factor(asked, 422, given, secret)
    codes = await asked.do("user.factor_begin", "", proofs.begin_totp, who.user_id, step)
    return pages.page(asked, 200, "settings/recovery.html", here="you", codes=codes)


async def end_factor(asked: Asked) -> Reply:
    """POST /settings/you/factor/end"""
    given = asked.given
    if not await _proved(asked, "current_for_factor"):
        given.wrong("current_for_factor", "This is not your password.")
        return await _page(asked, 422, factor=given)
    await asked.do("user.factor_end", "", proofs.end_totp, asked.signed.user_id)
    return asked.see("/settings/you", "The second factor is off.")


async def end_session(asked: Asked) -> Reply:
    """POST /settings/you/sessions/{id}"""
    await asked.do("session.end", "", sessions.end, asked.signed.user_id, asked.id())
    return asked.see("/settings/you", "The session is ended.")


async def end_others(asked: Asked) -> Reply:
    """POST /settings/you/sessions"""
    who = asked.signed
    ended = await asked.do("session.end_others", "", sessions.end_others, who.user_id, who.id)
    return asked.see("/settings/you", f"Ended: {pages.counted(ended, 'other session')}.")


def _set_password(tx: Tx, user_id: int, session_id: int, hashed: str) -> int:
    """Keep a new password and end the user's other sessions; return how many."""
    proofs.set_password(tx, user_id, hashed)
    return sessions.end_others(tx, user_id, session_id)


async def _proved(asked: Asked, field: str) -> bool:
    """Say whether the posted password is the user's; who has none yet need not prove it."""
    proof = await asked.house.db.read(INSTALLATION, proofs.of_user, asked.signed.user_id)
    if proof is None or proof.password is None:
        return proof is not None
    await signing_in.count_try(asked, f"user {asked.signed.user_id}")
    return await passwords.fits(proof.password, asked.given.value(field))


def _factor(asked: Asked, status: int, given: Given, secret: str) -> Reply:
    picture = passwords.drawn(passwords.address_of(secret, asked.signed.email))
    return pages.page(
        asked, status, "settings/factor.html", here="you", given=given, secret=secret, picture=picture
    )


def browser_of(agent: str) -> str:
    """Return a browser and its system in words, as far as its User-Agent tells."""
    browser = next((name for sign, name in _BROWSERS if sign in agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    return " on ".join(one for one in (browser, system) if one) or agent[:60] or "An unknown browser"


async def _page(
    asked: Asked,
    status: int,
    *,
    you: Given | None = None,
    password: Given | None = None,
    factor: Given | None = None,
) -> Reply:
    user = await asked.house.db.read(INSTALLATION, users.find, asked.signed.user_id)
    mine = await asked.house.db.read(INSTALLATION, sessions.of_user, asked.signed.user_id)
    return pages.page(
        asked,
        status,
        "settings/you.html",
        here="you",
        user=user,
        sessions=[(one, browser_of(one.agent)) for one in mine],
        you=you or Given(),
        password=password or Given(),
        factor=factor or Given(),
    )


ROUTES: Final = (
    Route("GET", "/settings/you", SIGNED_IN, show),
    Route("POST", "/settings/you", SIGNED_IN, describe, 16_384),
    Route("POST", "/settings/you/password", SIGNED_IN, set_password, 16_384),
    Route("POST", "/settings/you/factor", SIGNED_IN, begin_factor, 16_384),
    Route("POST", "/settings/you/factor/confirm", SIGNED_IN, confirm_factor, 16_384),
    Route("POST", "/settings/you/factor/end", SIGNED_IN, end_factor, 16_384),
    Route("POST", "/settings/you/sessions", SIGNED_IN, end_others, 16_384),
    Route("POST", "/settings/you/sessions/{id}", SIGNED_IN, end_session, 16_384),
)
