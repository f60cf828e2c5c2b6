"""Signed tokens for links, and fresh secrets.

A token is `base64url(payload || tag)`: the payload holds purpose-free integers, the tag
is HMAC-SHA256 over purpose and payload, cut to 16 octets (128 bits). Bound to purpose,
account and subject; a token of one purpose never opens another.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass

TAG_BYTES = 16
_HEAD = struct.Struct(">BQQQ")
_LENGTH = _HEAD.size + TAG_BYTES
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """What a token says: an account, the id of its subject, and when it was made (epoch ms)."""

    account_id: int
    subject_id: int
    made_at: int


def sign(key: bytes, purpose: str, claim: Claim) -> str:
    """Return a URL-safe token of 55 characters for `purpose`."""
    payload = _HEAD.pack(_VERSION, claim.account_id, claim.subject_id, claim.made_at)
    tag = hmac.digest(key, purpose.encode() + b"\0" + payload, "sha256")[:TAG_BYTES]
    return base64.urlsafe_b64encode(payload + tag).rstrip(b"=").decode()


def read(key: bytes, purpose: str, token: str) -> Claim | None:
    """Return the claim when the token is ours and for this purpose, else None."""
    try:
        raw = token.encode("ascii")
        data = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return None
    if len(data) != _LENGTH or base64.urlsafe_b64encode(data).rstrip(b"=") != raw:
        return None
    payload, tag = data[: _HEAD.size], data[_HEAD.size :]
    good = hmac.digest(key, purpose.encode() + b"\0" + payload, "sha256")[:TAG_BYTES]
    if not hmac.compare_digest(good, tag):
        return None
    version, account_id, subject_id, made_at = _HEAD.unpack(payload)
    return Claim(account_id, subject_id, made_at) if version == _VERSION else None


def fresh(bytes_: int = 24) -> str:
    """Return a new URL-safe secret; 24 octets are 192 random bits."""
    return secrets.token_urlsafe(bytes_)


def digest(secret: str) -> str:
    """Return the SHA-256 of a random secret in hex.

    A plain hash is enough above 112 random bits (OWASP ASVS 5.0, 6.5.2).
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses that we give out: a base and the key that signs what must be signed."""

    base_url: str
    key: bytes

    def confirm(self, account_id: int, subscription_id: int, made_at: int) -> str:
        """Return the link of a confirmation mail."""
        token = sign(self.key, "confirm", Claim(account_id, subscription_id, made_at))
        return f"{self.base_url}/confirm/{token}"

    def form_page(self, uid: str) -> str:
        """Return the address of a form's own page; it needs no key."""
        return f"{self.base_url}/f/{uid}"

    def form_embed(self, form_id: int, api_key: str, ending: str) -> str:
        """Return the address of a form's script (`js`) or bare page (`html`)."""
        return f"{self.base_url}/v3/forms/{form_id}.{ending}?api_key={api_key}"
