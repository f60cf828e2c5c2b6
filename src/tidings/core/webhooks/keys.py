"""Keys of webhooks: secrets that are derived and never stored, and signatures by them.

Standard Webhooks 1.0: HMAC-SHA256 over `{id}.{timestamp}.{body}`, written `v1,` and base64; the secret is
shown as `whsec_` and base64 of its 32 octets.
"""

import base64
import hmac
import struct

SECRET_PREFIX = "whsec_"  # noqa: S105 (the standard's, not a secret)
_SUBJECT = struct.Struct(">QQQ")


def secret(master: bytes, account_id: int, webhook_id: int, key_n: int) -> bytes:
    """Return the 32 octets that sign for a webhook under its key number `key_n`."""
    return hmac.digest(master, b"webhook\0" + _SUBJECT.pack(account_id, webhook_id, key_n), "sha256")


def shown(octets: bytes) -> str:
    """Return a secret as receivers are given it."""
    return SECRET_PREFIX + base64.b64encode(octets).decode()


def signature(octets: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return one signature of a body, such as `v1,…`; several stand side by side with spaces between."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
    return "v1," + base64.b64encode(hmac.digest(octets, signed, "sha256")).decode()
