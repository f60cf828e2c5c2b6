"""What was sent, as a test wants to see it: read from the mail itself, as a reader's program would."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import unescape

import msgspec

from tidings.core import outbox
from tidings.core.outbox import Kept
from tidings.store.tx import Rx

_LINK = re.compile(r'(?i)<a\s[^>]*?href="(https?://[^"]+)"')
_BARE = re.compile(r"https?://[^\s<>\"]+")


class Sent(msgspec.Struct, frozen=True):
    """One mail; `sent_at` is epoch ms, `headers` are decoded, `links` those that it holds, each once."""

    id: int
    to: str
    subject: str
    text: str
    html: str
    links: list[str]
    headers: list[tuple[str, str]]
    sent_at: int


def count(rx: Rx, after_id: int) -> int:
    """Return how many mails were kept after the one with this id."""
    return len(_after(rx, after_id))


def last_id(rx: Rx) -> int:
    """Return the id of the newest mail; 0 when there is none."""
    found = outbox.newest(rx)
    return found[0].id if found else 0


def listed(rx: Rx, after_id: int, to: str | None = None) -> list[Sent]:
    """Return the mails after the one with this id, oldest first; `to` chooses one recipient's."""
    wanted = to.strip().casefold() if to is not None else None
    chosen = [one for one in _after(rx, after_id) if wanted is None or one.recipient.casefold() == wanted]
    return [_read(one, outbox.raw(rx, one.id) or b"") for one in reversed(chosen)]


def _after(rx: Rx, after_id: int) -> list[Kept]:
    """Return what was kept after this id, newest first."""
    found: list[Kept] = []
    number = 1
    while page := [one for one in outbox.newest(rx, number) if one.id > after_id]:
        found += page
        number += 1
    return found


def _read(kept: Kept, raw: bytes) -> Sent:
    mail = message_from_bytes(raw, policy=default)
    text, html = _part(mail, "plain"), _part(mail, "html")
    links = dict.fromkeys([unescape(one) for one in _LINK.findall(html)] or _BARE.findall(text))
    headers = [(name, str(value)) for name, value in mail.items()]
    return Sent(kept.id, kept.recipient, kept.subject, text, html, list(links), headers, kept.created_at)


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""
