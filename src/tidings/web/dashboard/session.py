"""Who is signed in, and whether a POST came from our own page.

The cookie holds the session's secret; the database only its hash. The seal in our forms is an HMAC
of that secret: who cannot read our pages cannot make it.
"""

import hmac
import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tidings.core.accounts import INSTALLATION
from tidings.core.users import sessions
from tidings.core.users.sessions import Signed
from tidings.web.house import House
from tidings.web.http import Headers, header

MAX_AGE_S: Final = sessions.SESSION_MS // 1_000

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
_PURPOSE: Final = b"form seal\0"


class Session(NamedTuple):
    """Somebody signed in, the secret of their session, the seal for their forms."""

    who: Signed
    secret: str
    seal: str


async def current(house: House, headers: Headers) -> Session | None:
    """Return the living session that the request's cookie names."""
    secret = _presented(house, headers)
    if secret is None:
        return None
    who = await house.db.read(INSTALLATION, sessions.current, secret)
    return Session(who, secret, _seal(house, secret)) if who is not None else None


def sealed(seal: str, given: object) -> bool:
    """Say whether a posted form bears the session's seal."""
    return bool(seal) and isinstance(given, str) and hmac.compare_digest(given.encode(), seal.encode())


def from_our_page(house: House, headers: Headers) -> bool:
    """Say whether a POST came from one of our pages, as far as its browser tells.

    `Sec-Fetch-Site` decides where it is sent (Fetch Metadata; not to plain HTTP beyond this machine),
    else `Origin`. Without either it is no browser of today, and must at least name our host.
    """
    site = header(headers, b"sec-fetch-site")
    if site:
        return site == b"same-origin"
    host = header(headers, b"host").decode("latin-1").lower()
    ours = urlsplit(house.links.base_url).netloc.lower()
    origin = header(headers, b"origin").decode("latin-1").lower()
    if not origin:
        return bool(host) and host == ours
    scheme, _, named = origin.partition("://")
    return scheme in ("http", "https") and bool(named) and named in (host, ours)


def cookie(house: House, secret: str) -> tuple[bytes, bytes]:
    """Return the header that begins a session."""
    return _set_cookie(house, secret, MAX_AGE_S)


def no_cookie(house: House) -> tuple[bytes, bytes]:
    """Return the header that ends it."""
    return _set_cookie(house, "", 0)


def _set_cookie(house: House, value: str, max_age_s: int) -> tuple[bytes, bytes]:
    secure = "; Secure" if _https(house) else ""
    text = f"{_name(house)}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", text.encode("ascii")


def _name(house: House) -> str:
    """Return the cookie's name; `__Host-` binds it to this host and needs HTTPS (RFC 6265bis, 4.1.3.2)."""
    return "__Host-tidings" if _https(house) else "tidings"


def _https(house: House) -> bool:
    return house.links.base_url.lower().startswith("https://")


def _presented(house: House, headers: Headers) -> str | None:
    wanted = _name(house)
    for name, value in headers:
        if name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, secret = pair.strip().partition("=")
                if key == wanted and _SECRET.fullmatch(secret):
                    return secret
    return None


def _seal(house: House, secret: str) -> str:
    return hmac.digest(house.links.key, _PURPOSE + secret.encode(), "sha256").hex()
