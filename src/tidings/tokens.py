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

from cryptography.fernet import Fernet, InvalidToken

# Purposes of the tokens in a mail: pixel and links; unsubscribing and preferences.
TRACK = "track"
LEAVE = "leave"

TAG_BYTES = 16
_HEAD = struct.Struct(">BQQQ")
_LENGTH = _HEAD.size + TAG_BYTES
_VERSION = 1
_PAIR_VERSION = 2
# A link's reference: 5 octets of id (a million million links), 7 of tag; 16 characters.
_REF_ID_BYTES = 5
_REF_TAG_BYTES = 7
_REF_CHARACTERS = 16
_REF_SUBJECT = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a token says: an account, the id of its subject, and when it was made (epoch ms)."""

    account_id: int
    subject_id: int
    made_at: int


def sign(key: bytes, purpose: str, claim: Claim) -> str:
    """Return a URL-safe token of 55 characters for `purpose`."""
    return _seal(key, purpose, _HEAD.pack(_VERSION, claim.account_id, claim.subject_id, claim.made_at))


def read(key: bytes, purpose: str, token: str) -> Claim | None:
    """Return the claim when the token is ours and for this purpose, else None."""
    numbers = _open(key, purpose, token, _VERSION)
    return Claim(*numbers) if numbers else None


def sign_pair(key: bytes, purpose: str, account_id: int, first: int, second: int) -> str:
    """Return a URL-safe token of 55 characters that says two ids of an account and never ends."""
    return _seal(key, purpose, _HEAD.pack(_PAIR_VERSION, account_id, first, second))


def read_pair(key: bytes, purpose: str, token: str) -> tuple[int, int, int] | None:
    """Return account and the two ids when the token is ours and for this purpose, else None."""
    return _open(key, purpose, token, _PAIR_VERSION)


def link_ref(key: bytes, account_id: int, link_id: int) -> str:
    """Return the 16 URL-safe characters that name a link of an account, the same in every mail.

    They alone open nothing: the token beside them says whose mail it is.
    """
    name = link_id.to_bytes(_REF_ID_BYTES, "big")
    return base64.urlsafe_b64encode(name + _ref_tag(key, account_id, link_id)).decode()


def read_ref(key: bytes, account_id: int, ref: str) -> int | None:
    """Return the id of the link when the reference is ours and of this account, else None."""
    if len(ref) != _REF_CHARACTERS or not ref.isascii():
        return None
    try:
        # 16 characters are 12 whole octets: there is only one way to write them.
        data = base64.b64decode(ref, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) != _REF_ID_BYTES + _REF_TAG_BYTES:
        return None
    link_id = int.from_bytes(data[:_REF_ID_BYTES], "big")
    good = _ref_tag(key, account_id, link_id)
    return link_id if hmac.compare_digest(good, data[_REF_ID_BYTES:]) else None


def _ref_tag(key: bytes, account_id: int, link_id: int) -> bytes:
    subject = b"link\0" + _REF_SUBJECT.pack(account_id, link_id)
    return hmac.digest(key, subject, "sha256")[:_REF_TAG_BYTES]


def _seal(key: bytes, purpose: str, payload: bytes) -> str:
    tag = hmac.digest(key, purpose.encode() + b"\0" + payload, "sha256")[:TAG_BYTES]
    return base64.urlsafe_b64encode(payload + tag).rstrip(b"=").decode()


def _open(key: bytes, purpose: str, token: str, version: int) -> tuple[int, int, int] | None:
    """Return the three numbers of a token of this purpose and version, written the one right way."""
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
    said, account_id, first, second = _HEAD.unpack(payload)
    return (account_id, first, second) if said == version else None


def seal(key: bytes, purpose: str, secret: bytes | str) -> str:
    """Encrypt a secret for keeping in the database; only the same key and purpose open it again."""
    data = secret.encode() if isinstance(secret, str) else secret
    return Fernet(_fernet_key(key, purpose)).encrypt(data).decode()


def unseal(key: bytes, purpose: str, sealed: str) -> str:
    """Decrypt what `seal` made; raises ValueError for another key, purpose or text."""
    try:
        return Fernet(_fernet_key(key, purpose)).decrypt(sealed.encode()).decode()
    except InvalidToken as problem:
        raise ValueError("it was sealed with another master key") from problem


def _fernet_key(key: bytes, purpose: str) -> bytes:
    return base64.urlsafe_b64encode(hmac.digest(key, b"seal\0" + purpose.encode(), "sha256"))


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

    def track_token(self, account_id: int, delivery_id: int, subscriber_id: int) -> str:
        """Return what a mail's pixel and links carry: it opens hits of this delivery alone."""
        return sign_pair(self.key, TRACK, account_id, delivery_id, subscriber_id)

    def leave_token(self, account_id: int, subscriber_id: int, delivery_id: int) -> str:
        """Return what unsubscribes this person, for ever; the delivery says by which mail."""
        return sign_pair(self.key, LEAVE, account_id, subscriber_id, delivery_id)

    def open(self, token: str) -> str:
        """Return the address of a mail's pixel; `token` is of `track_token`."""
        return f"{self.base_url}/o/{token}/o.gif"

    def click(self, token: str, ref: str) -> str:
        """Return the tracked address of a link; `token` is of `track_token`, `ref` of `link_ref`."""
        return f"{self.base_url}/c/{token}/{ref}"

    def leave(self, token: str) -> str:
        """Return the address that unsubscribes by POST (RFC 8058) and asks by GET; `leave_token`."""
        return f"{self.base_url}/u/{token}"

    def preferences(self, token: str) -> str:
        """Return the address of a person's own preferences; `token` is of `leave_token`."""
        return f"{self.base_url}/p/{token}"
