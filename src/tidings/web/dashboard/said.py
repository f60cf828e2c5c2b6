"""A sentence that one page leaves for the next to say: in a cookie, so that no row changes by a look."""

import base64
import binascii
from typing import Final, NamedTuple

from tidings.web.house import House
from tidings.web.http import Headers

SENTENCE_MAX: Final = 600
_NAME: Final = "tidings-said"
_COOKIE_MAX: Final = 2_000


class Said(NamedTuple):
    """A sentence; `wrong` where something did not work."""

    sentence: str
    wrong: bool


def cookie(house: House, sentence: str, *, wrong: bool = False) -> tuple[bytes, bytes]:
    """Return the header that leaves a sentence for a minute."""
    text = ("!" if wrong else ".") + sentence[:SENTENCE_MAX]
    value = base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("=")
    return _set(house, value, 60)


def no_cookie(house: House) -> tuple[bytes, bytes]:
    """Return the header that forgets it."""
    return _set(house, "", 0)


def read(headers: Headers) -> Said | None:
    """Return the sentence that waits to be said; whatever is no sentence of ours is none."""
    for name, value in headers:
        if name != b"cookie":
            continue
        for pair in value.decode("latin-1").split(";"):
            key, _, found = pair.strip().partition("=")
            if key == _NAME and 0 < len(found) <= _COOKIE_MAX:
                try:
                    text = base64.urlsafe_b64decode(found + "=" * (-len(found) % 4)).decode()
                except (binascii.Error, ValueError):
                    return None
                return Said(text[1:], text[:1] == "!") if len(text) > 1 else None
    return None


def _set(house: House, value: str, max_age_s: int) -> tuple[bytes, bytes]:
    secure = "; Secure" if house.links.base_url.lower().startswith("https://") else ""
    text = f"{_NAME}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", text.encode("ascii")
