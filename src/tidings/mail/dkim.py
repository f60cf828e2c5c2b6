"""DKIM: the signature of a domain over one message (RFC 6376, as amended by RFC 8301 and RFC 8463).

Header fields relaxed, body simple: bodies are ours and stay as they are. Fields are over-signed (5.4.2):
one more of each name is signed than there is, so that none can be added afterwards. No `l=`, by which
others could append to the body, and no `t=`: the same message has the same signature at each attempt.
"""

import base64
import functools
import hashlib
import re
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from tidings.mail import address, headers

Kind = Literal["rsa", "ed25519"]

# RFC 8301 3.2: at least 1,024 bits must, at least 2,048 should be used; verifiers need not take
# more than 4,096.
RSA_BITS = 2_048
RSA_BITS_MAX = 4_096
# RFC 1035 3.3: a character string of a TXT record.
TXT_CHUNK_MAX = 255

# RFC 6376 5.4.1, the fields of RFC 8058 4 (which must be signed), and what decides how a mail shows.
_SIGNED = (
    *(b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id", b"mime-version"),
    *(b"content-type", b"list-id", b"list-unsubscribe", b"list-unsubscribe-post", b"feedback-id"),
)
_WANTED = frozenset(_SIGNED)
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9-]{1,63}){0,3}\Z")
_SPACES = re.compile(rb"[ \t]+")
_BASE64_LINE = 72


class Signer:
    """One domain's key. `sign` may run in several threads at once: the library lets go of the lock.

    Raises `ValueError` for a domain, selector or key that cannot be used.
    """

    def __init__(self, domain: str, selector: str, private_key_pem: str | bytes) -> None:
        self.domain = address.with_ascii_domain(f"postmaster@{domain}").partition("@")[2].lower()
        if _SELECTOR.match(selector) is None:
            raise ValueError("the selector is not made of letters, digits, hyphens and dots")
        self.selector = selector
        self._key = _private_key(private_key_pem)
        self.kind: Kind = "rsa" if isinstance(self._key, rsa.RSAPrivateKey) else "ed25519"
        self._start = (
            f"v=1; a={self.kind}-sha256; c=relaxed/simple;\r\n d={self.domain};\r\n s={selector};"
        ).encode("ascii")

    def sign(self, message: bytes) -> bytes:
        """Give the DKIM-Signature field, CRLF at its end, to be put in front of the message.

        The message is CRLF throughout, as `message.build` and `content` write it.
        """
        block, _, body = message.partition(b"\r\n\r\n")
        names, canonical = _signed_fields(block)
        digest = base64.b64encode(hashlib.sha256(_simple(body)).digest())
        value = b"%s\r\n bh=%s;\r\n h=%s;\r\n b=" % (self._start, digest, names)
        canonical.append(_relaxed(b"dkim-signature", value.replace(b"\r\n", b"")))
        signature = base64.b64encode(self._raw(hashlib.sha256(b"".join(canonical)).digest()))
        lines = [signature[at : at + _BASE64_LINE] for at in range(0, len(signature), _BASE64_LINE)]
        return b"DKIM-Signature: " + value + b"\r\n ".join(lines) + b"\r\n"

    def _raw(self, digest: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
        # RFC 8463 3: PureEdDSA over the SHA-256 of what is signed.
        return self._key.sign(digest)


def make_key(kind: Kind) -> str:
    """Make a private key, as unencrypted PKCS #8 in PEM."""
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if kind == "rsa":
        key = rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def dns_record(private_key_pem: str | bytes) -> str:
    """Give the TXT record of a key as a zone file has it: quoted strings of at most 255 characters.

    It goes to `<selector>._domainkey.<domain>` (RFC 6376 3.6.2).
    """
    key = _private_key(private_key_pem)
    if isinstance(key, rsa.RSAPrivateKey):
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        text = "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode("ascii")
    else:
        # RFC 8463 4.2: the bare 32 octets.
        text = "v=DKIM1; k=ed25519; p=" + base64.b64encode(key.public_key().public_bytes_raw()).decode(
            "ascii"
        )
    chunks = [text[at : at + TXT_CHUNK_MAX] for at in range(0, len(text), TXT_CHUNK_MAX)]
    return " ".join(f'"{chunk}"' for chunk in chunks)


def _private_key(pem: str | bytes) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    """Read a key; the reason of a refusal never repeats the key."""
    try:
        key = serialization.load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the key is no unencrypted private key in PEM") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the key is neither RSA nor Ed25519")
    if not RSA_BITS <= key.key_size <= RSA_BITS_MAX:
        raise ValueError(f"an RSA key has between {RSA_BITS} and {RSA_BITS_MAX} bits")
    return key


def _signed_fields(block: bytes) -> tuple[bytes, list[bytes]]:
    """Give the value of `h=`, and the canonical fields in that order (RFC 6376 5.4.2)."""
    found: dict[bytes, list[bytes]] = {}
    for line in block.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t").split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.rstrip(b" \t").lower()
        if name in _WANTED:
            found.setdefault(name, []).append(_relaxed(name, value) + b"\r\n")
    if b"from" not in found:
        raise ValueError("a message without From cannot be signed")
    names = _names(tuple([len(found.get(name, ())) for name in _SIGNED]))
    # Of several with one name the last comes first.
    return names, [line for name in _SIGNED for line in reversed(found.get(name, ()))]


def _relaxed(name: bytes, value: bytes) -> bytes:
    """Canonicalise one unfolded field, without its CRLF (RFC 6376 3.4.2); `name` is in lower case."""
    if b"  " in value or b"\t" in value:
        value = _SPACES.sub(b" ", value)
    return name + b":" + value.strip(b" ")


def _simple(body: bytes) -> bytes:
    """Canonicalise the body (RFC 6376 3.4.3): one CRLF at its end, however many there were."""
    if body.endswith(b"\r\n") and not body.endswith(b"\r\n\r\n"):
        return body
    # Not a pattern at the end: those are quadratic on a body of empty lines.
    return body.rstrip(b"\r\n") + b"\r\n"


@functools.lru_cache(maxsize=64)
def _names(counts: tuple[int, ...]) -> bytes:
    """Write `h=` for so many fields of each name and one more, in lines of at most 78 octets."""
    names = [name for name, count in zip(_SIGNED, counts, strict=True) for _ in range(count + 1)]
    lines: list[bytes] = [names[0]]
    for name in names[1:]:
        if len(lines[-1]) + len(name) + 6 > headers.LINE_WISHED:
            lines[-1] += b":"
            lines.append(name)
        else:
            lines[-1] += b":" + name
    return b"\r\n  ".join(lines)
