"""The users of the account: who may do what, and invitations."""

from typing import Final

from tidings.core import users
from tidings.core.users import sessions
from tidings.errors import NotFound, Problem
from tidings.store.tx import Tx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import OWNER, Route
from tidings.web.http import Reply

ROLES: Final = (
    ("editor", "Editor: writes, sends, tags, imports"),
    ("viewer", "Viewer: looks, changes nothing"),
    ("owner", "Owner: also users, keys, backups, the account"),
)


async def show(asked: Asked) -> Reply:
    """GET /settings/users"""
    return await _page(asked, 200, Given())


async def invite(asked: Asked) -> Reply:
    """POST /settings/users: a role for somebody, and a link that signs them in once."""
    given = asked.given
    email = given.text("email", "Address", needed=True, most=320)
    role = given.choice("role", users.ROLES, "editor")
    if given.ok:
        try:
            link = await asked.do("user.invite", f"{email} as {role}", _invite, email, role)
        except Problem as problem:
            given.blame(problem)
        else:
            return await _page(asked, 200, Given(), _address(asked, link), email)
    return await _page(asked, 422, given)


async def link(asked: Asked) -> Reply:
    """POST /settings/users/{id}/link: a fresh link for who has none any more."""
    user = await _member(asked)
    token = await asked.do("user.link", user.email, sessions.link, user.id, "invitation")
    return await _page(asked, 200, Given(), _address(asked, token), user.email)


async def change(asked: Asked) -> Reply:
    """POST /settings/users/{id}"""
    user = await _member(asked)
    role = asked.given.choice("role", users.ROLES, "viewer")
    try:
        await asked.do("user.role", f"{user.email} to {role}", users.set_role, user.id, role)
    except Problem as problem:
        return asked.see("/settings/users", _sentence(problem), wrong=True)
    return asked.see("/settings/users", f"{user.email} is {role} now.")


async def dismiss(asked: Asked) -> Reply:
    """POST /settings/users/{id}/dismiss"""
    user = await _member(asked)
    try:
        await asked.do("user.dismiss", user.email, users.dismiss, user.id)
    except Problem as problem:
        return asked.see("/settings/users", _sentence(problem), wrong=True)
    return asked.see("/settings/users", f"{user.email} has no part in this account any more.")


def _invite(tx: Tx, email: str, role: str) -> str:
    """Give a role and make the link of the invitation."""
    user = users.admit(tx, email, role)
    return sessions.link(tx, user.id, "invitation")


async def _member(asked: Asked) -> users.User:
    for one in await asked.read(users.members):
        if one.user.id == asked.id():
            return one.user
    raise NotFound("user")


def _address(asked: Asked, token: str) -> str:
    return f"{asked.house.links.base_url}/sign-in/{token}"


def _sentence(problem: Problem) -> str:
    return problem.message[:1].upper() + problem.message[1:] + "."


async def _page(asked: Asked, status: int, given: Given, made: str = "", made_for: str = "") -> Reply:
    return pages.page(
        asked,
        status,
        "settings/members.html",
        here="settings",
        given=given,
        members=await asked.read(users.members),
        roles=ROLES,
        made=made,
        made_for=made_for,
    )


ROUTES: Final = (
    Route("GET", "/settings/users", OWNER, show),
    Route("POST", "/settings/users", OWNER, invite, 16_384),
    Route("POST", "/settings/users/{id}", OWNER, change, 16_384),
    Route("POST", "/settings/users/{id}/link", OWNER, link, 16_384),
    Route("POST", "/settings/users/{id}/dismiss", OWNER, dismiss, 16_384),
)
