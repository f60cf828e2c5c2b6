"""Who calls: api_key, api_secret, integration_key; and how often. Contract 1.3 and 1.5."""

import math
from typing import Final

from tidings.core import accounts, limits
from tidings.core.accounts import INSTALLATION, Credential
from tidings.errors import TooMany, Unauthorized
from tidings.tokens import digest
from tidings.web import access, params
from tidings.web.house import House

# No key of ours is longer; hashing a megabyte to find nothing would be a gift.
KEY_MAX = 512
# Keys whose use is remembered until the app notes it, once a minute; more is an attack.
USED_MOST: Final = 10_000


async def identify(house: House, given: dict[str, object], client: str, *, secret: bool) -> Credential:
    """Return whom the request acts for; raise Unauthorized, or TooMany over the limit.

    A secret decides where both are given. Failed attempts count against the client's
    address, never against the key that was guessed at.
    """
    try:
        value, found = await _presented(house, given)
    except Unauthorized:
        await _count(house, f"failed:{access.network_of(client)}", house.rate_limit)
        raise
    if house.rate_limit:
        name = f"{found.kind}:{digest(value)[:32]}"
        if found.kind == "key":
            # Any visitor of a page can spend the public key: so per visitor.
            name += f":{access.network_of(client)}"
        integration = await known_integration(house, given)
        limit = house.rate_limit
        if integration is not None and integration.rate_limit is not None:
            name, limit = f"integration:{integration.id}:{found.account_id}", integration.rate_limit
        await _count(house, name, limit)
    if secret and found.kind != "secret":
        raise Unauthorized("insufficient")
    return found


async def known_integration(house: House, given: dict[str, object]) -> accounts.Integration | None:
    """Return the integration whose key is given, if it is one of ours."""
    key = _text(given, "integration_key")
    if key is None:
        return None
    known = house.db.peek(INSTALLATION, accounts.integration_by_digest, digest(key))
    return known or await house.db.read(INSTALLATION, accounts.integration, key)


async def _presented(house: House, given: dict[str, object]) -> tuple[str, Credential]:
    secret = _text(given, "api_secret")
    value = secret or _text(given, "api_key")
    if value is None:
        raise Unauthorized("absent")
    hashed = digest(value)
    found = house.db.peek(INSTALLATION, accounts.credential_by_digest, hashed)
    if found is None or found.expires_at is not None:
        found = await house.db.read(INSTALLATION, accounts.opened_by, value)
    if found is None or (secret is not None and found.kind != "secret"):
        raise Unauthorized("unknown")
    if len(house.used) < USED_MOST or hashed in house.used:
        house.used[hashed] = (found.account_id, house.db.clock())
    return value, found


async def _count(house: House, name: str, limit: int) -> None:
    """Count one request of `name`, over all processes where several share the database."""
    if not house.rate_limit or not limit:
        return
    if house.db.shared:
        wait = house.windows.still_refused(name)
        if not wait:
            wait = await house.db.write_sorted(name, INSTALLATION, limits.admit, name, limit)
            if wait:
                house.windows.refuse(name, wait)
    else:
        wait = house.windows.admit(name, limit)
    if wait:
        raise TooMany(max(1, math.ceil(wait / 1_000)))


def _text(given: dict[str, object], name: str) -> str | None:
    """Return a credential; what is no text or too long is as good as a wrong one."""
    try:
        value = params.text(given, name)
    except params.BadValue:
        return "\0"
    if value is None:
        return None
    value = value.strip()
    return value if len(value) <= KEY_MAX else "\0"
