"""Kept mail as a person reads it: header fields, parts, and the links in it.

The message is read with the standard library's parser and never trusted: what cannot be decoded is
shown with replacement signs, and nothing here raises for any bytes.
"""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.policy import compat32
from typing import Final, NamedTuple

FIELDS: Final = ("From", "To", "Reply-To", "Subject", "Date")
# A mail of ours has 3 parts and one link; more than these is a mistake or an attack.
PARTS_MAX: Final = 100
LINKS_MAX: Final = 50
LINK_MAX: Final = 2_000

_LINK: Final = re.compile(r"https?://[^\s<>\"'`\\{}|^\x00-\x20]+", re.IGNORECASE)
_AFTER_LINK: Final = ".,;:!?)]"


class Letter(NamedTuple):
    """A mail in parts; `html` is the owner's or an attacker's, to be shown in a sandbox alone."""

    fields: list[tuple[str, str]]
    text: str
    html: str
    links: list[str]


def read(raw: bytes) -> Letter:
    """Take a mail apart."""
    try:
        message = message_from_bytes(raw, policy=compat32)
        fields = [(name, _decoded(message[name])) for name in FIELDS if message[name] is not None]
        text, html = _part(message, "text/plain"), _part(message, "text/html")
    except (MessageError, ValueError, LookupError, RecursionError):
        # A message that the parser gives up on is shown as it is.
        fields, text, html = [], raw.decode("utf-8", "replace"), ""
    return Letter(fields, text, html, links(text))


def links(text: str) -> list[str]:
    """Return the web addresses in a text, each once, in order."""
    found = (match[0].rstrip(_AFTER_LINK) for match in _LINK.finditer(text))
    return list(dict.fromkeys(one for one in found if len(one) <= LINK_MAX))[:LINKS_MAX]


def _decoded(value: object) -> str:
    """Return a header field with its encoded words read (RFC 2047)."""
    words = []
    for chunk, charset in decode_header(str(value)):
        words.append(chunk if isinstance(chunk, str) else _text(chunk, charset))
    return " ".join("".join(words).split())


def _part(message: Message, kind: str) -> str:
    """Return the first part of a kind that is no attachment."""
    for part in _parts(message):
        if part.get_content_type() == kind and part.get_content_disposition() != "attachment":
            payload = part.get_payload(decode=True)
            charset = part.get_content_charset("utf-8")
            return _text(payload, charset).replace("\r\n", "\n") if isinstance(payload, bytes) else ""
    return ""


def _parts(message: Message) -> Iterator[Message]:
    for _, part in zip(range(PARTS_MAX), message.walk(), strict=False):
        yield part


def _text(source: bytes, charset: str | None) -> str:
    try:
        return source.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return source.decode("utf-8", "replace")
