"""The message: an RFC 5322 email as bytes, ready for the wire.

The same `Message` always gives the same bytes, so that a second attempt after an ambiguous end is
the same mail. CRLF only, no line above 998 octets, parts in quoted-printable UTF-8.
"""

import binascii
import email.utils
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tidings.mail import address, headers

# RFC 2369 and RFC 8058: fields of URLs, which encoded words would make unreadable.
_URL_FIELDS = frozenset(
    f"list-{what}" for what in ("unsubscribe", "subscribe", "help", "post", "owner", "archive")
)
# This module writes them, or they decide who gets the mail: never given from outside.
_OWN_FIELDS = frozenset(
    {"from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version"}
    | {"return-path", "received", "delivered-to"}
)
# RFC 5322 3.6.4, the two sides as dot-atoms; 240 keeps the field on one line whatever its name.
_MESSAGE_ID = re.compile(r"(?=.{3,240}\Z)[\w!#$%&'*+/=?^`{|}~.-]+@[A-Za-z0-9.-]+\Z", re.ASCII)
# A line beyond 76 octets that ends in an encoded space or tab.
_LONG = re.compile(rb"(?m)^([^\n]{74,})(=20|=09)$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000_MS = 253_402_300_800_000
_LINE_ENDS = re.compile("\\r\\n|[\\r\\x85\\u2028\\u2029]")
# What no text needs: C0 but tab and line feed, DEL, C1, surrogates, bidi overrides. Embeddings and
# isolates stay: Arabic and Hebrew letters use them, and in a body they cannot disguise a field.
_DROPPED = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\u202d\\u202e]")

_DROPPED_ASCII = bytes(octet for octet in range(128) if _DROPPED.match(chr(octet)))


@dataclass(frozen=True, slots=True)
class Message:
    """What one email says. Names, subject and bodies may hold anything; addresses must be valid.

    `message_id` has no angle brackets; `date_ms` is UTC epoch milliseconds; `headers` are further
    (name, value) pairs such as List-Unsubscribe. An empty `text` or `html` leaves that part out.
    """

    from_name: str
    from_address: str
    to_name: str
    to_address: str
    reply_to: str | None
    subject: str
    text: str
    html: str
    message_id: str
    date_ms: int
    headers: tuple[tuple[str, str], ...] = ()


def build(message: Message) -> bytes:
    """Write the message; `ValueError` for an invalid address, message id, date or header name."""
    fields = [
        ("From", headers.mailbox_field("From", message.from_name, _wire(message.from_address))),
        ("To", headers.mailbox_field("To", message.to_name, _wire(message.to_address))),
    ]
    if message.reply_to:
        fields.append(("Reply-To", headers.mailbox_field("Reply-To", "", _wire(message.reply_to))))
    fields += [
        ("Subject", headers.text_field("Subject", message.subject)),
        ("Date", headers.raw_field("Date", date_value(message.date_ms))),
        ("Message-ID", headers.raw_field("Message-ID", f"<{checked_id(message.message_id)}>")),
    ]
    fields += [(name, _further(name, value)) for name, value in message.headers]
    mime, body = _body(message)
    fields += mime
    block = b"".join(line for _, line in fields)
    # The guard behind the encoder: whatever it let through, no field appears that was not meant.
    if headers.read_names(block) != [name for name, _ in fields]:
        raise ValueError("a value would have changed the header fields")
    return block + b"\r\n" + body


def needs_smtputf8(message: Message) -> bool:
    """Whether an address has a local part beyond ASCII (RFC 6531); IDN domains go as A-labels."""
    addresses = (message.from_address, message.to_address, message.reply_to or "")
    return not all(each.rpartition("@")[0].isascii() for each in addresses)


def _wire(raw: str) -> str:
    """Check an address and give its spelling for the wire."""
    return address.with_ascii_domain(raw)


def date_value(date_ms: int) -> str:
    """Write the date (RFC 5322 3.3) in UTC; the range is what four digits of a year can say."""
    if not 0 <= date_ms < _YEAR_10000_MS:
        raise ValueError("the date is not between 1970 and 9999")
    return email.utils.format_datetime(_EPOCH + timedelta(milliseconds=date_ms))


def checked_id(message_id: str) -> str:
    """Give the message id back, or raise `ValueError`: it is ours, never a person's text."""
    if _MESSAGE_ID.match(message_id) is None:
        raise ValueError("the message id is not of the form left@right")
    return message_id


def _further(name: str, value: str) -> bytes:
    """Write a field that was given by name."""
    lower = name.lower()
    if lower in _OWN_FIELDS or lower.startswith(("content-", "resent-")):
        raise ValueError(f"the header {name!r} cannot be given")
    if lower in _URL_FIELDS:
        return headers.url_field(name, value)
    return headers.text_field(name, value)


def _body(message: Message) -> tuple[list[tuple[str, bytes]], bytes]:
    """Give the MIME fields with the body: one part, or multipart/alternative (RFC 2046 5.1.4)."""
    version = ("MIME-Version", headers.raw_field("MIME-Version", "1.0"))
    # Least rich first: readers show the last part they understand.
    given = ((message.text, "plain"), (message.html, "html"))
    parts = [(kind, quoted_printable(text)) for text, kind in given if text] or [("plain", b"")]
    if len(parts) == 1:
        kind, body = parts[0]
        return [version, *_part_fields(kind)], body
    boundary = boundary_for(message.message_id)
    multipart = f'multipart/alternative; boundary="{boundary}"'
    opening = b"--" + boundary.encode("ascii") + b"\r\n"
    chunks: list[bytes] = []
    for kind, body in parts:
        chunks += [opening, *(line for _, line in _part_fields(kind)), b"\r\n", body]
    chunks += [b"--" + boundary.encode("ascii") + b"--\r\n"]
    return [version, ("Content-Type", headers.raw_field("Content-Type", multipart))], b"".join(chunks)


def _part_fields(kind: str) -> list[tuple[str, bytes]]:
    """Give the fields of one text part."""
    return [
        ("Content-Type", headers.raw_field("Content-Type", f'text/{kind}; charset="utf-8"')),
        ("Content-Transfer-Encoding", b"Content-Transfer-Encoding: quoted-printable\r\n"),
    ]


def boundary_for(message_id: str) -> str:
    """Derive the boundary: "=_" cannot occur in quoted-printable (RFC 2045 6.7), so no part holds it."""
    return "=_" + hashlib.sha256(message_id.encode()).hexdigest()[:32]


def tidied(text: str) -> str:
    """Give a body's text with "\\n" alone for line ends, and without what no text needs."""
    if text.isascii():
        if text.isprintable():
            return text
        # Deleting octets is five times as fast as a pattern, and most letters are ASCII.
        ended = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
        return ended.encode("ascii").translate(None, _DROPPED_ASCII).decode("ascii")
    return _DROPPED.sub("", _LINE_ENDS.sub("\n", text))


def qp_lines(text: str) -> bytes:
    """Encode a text (RFC 2045 6.7): cleaned, lines of at most 76 octets; ends in CRLF only if it did."""
    encoded = binascii.b2a_qp(tidied(text).encode(), istext=True)
    # Python encodes the space or tab at a line's end without a look at the line's length.
    if b"=20\n" in encoded or b"=09\n" in encoded:
        encoded = _LONG.sub(rb"\1=\n\2", encoded)
    return encoded.replace(b"\n", b"\r\n")


def quoted_printable(text: str) -> bytes:
    """Encode a body (RFC 2045 6.7): cleaned, lines of at most 76 octets, CRLF, ending in one."""
    encoded = qp_lines(text)
    return encoded if encoded.endswith(b"\r\n") else encoded + b"\r\n"
