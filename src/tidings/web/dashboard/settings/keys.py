"""The keys of the API: what they are, when they were last used, how they are replaced."""

from typing import Final

from tidings.core import accounts
from tidings.core.accounts import keys
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.routing import EDITOR, OWNER, Route
from tidings.web.http import Reply


async def show(asked: Asked) -> Reply:
    """GET /settings/keys"""
    return await _page(asked, "")


async def rotate_secret(asked: Asked) -> Reply:
    """POST /settings/keys/secret: a fresh secret, shown in this answer and never again."""
    fresh = await asked.do("secret.rotate", "", accounts.rotate_secret)
    return await _page(asked, fresh)


async def rotate_key(asked: Asked) -> Reply:
    """POST /settings/keys/key"""
    await asked.do("key.rotate", "", keys.rotate_key)
    return asked.see("/settings/keys", "There is a new public key. The one before works for another 30 days.")


async def end_former(asked: Asked) -> Reply:
    """POST /settings/keys/end: what was replaced opens nothing from now on."""
    kind = asked.given.choice("kind", ("key", "secret"), "secret")
    ended = await asked.do(f"{kind}.end", "those before", keys.end_former, kind)
    return asked.see("/settings/keys", f"Ended: {pages.counted(ended, kind)} from before.")


async def _page(asked: Asked, fresh: str) -> Reply:
    kept = await asked.read(keys.credentials)
    account = await asked.read(accounts.get)
    return pages.page(
        asked,
        200,
        "settings/keys.html",
        here="settings",
        account=account,
        base=asked.house.links.base_url,
        public=[one for one in kept if one.kind == "key"],
        secrets=[one for one in kept if one.kind == "secret"],
        fresh=fresh,
    )


ROUTES: Final = (
    Route("GET", "/settings/keys", EDITOR, show),
    Route("POST", "/settings/keys/secret", OWNER, rotate_secret, 16_384),
    Route("POST", "/settings/keys/key", OWNER, rotate_key, 16_384),
    Route("POST", "/settings/keys/end", OWNER, end_former, 16_384),
)
