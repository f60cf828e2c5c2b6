"""Letters for the tests of bulk mail: a content, a person, and what arrives."""

import email
import email.policy
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from email.message import Message as Parsed

from tidings.mail import content
from tidings.mail.content import Compiled, Content, Recipient

BASE = "https://news.example.com"
LETTER = Content(
    subject="Hello",
    html="<p>Hi {{ subscriber.first_name | default: 'friend' }}</p>",
    text=None,
    preheader="",
    layout="Text only",
    from_name="Ada's newsletter",
    from_address="ada@example.com",
    reply_to=None,
    postal_address="1 Main Street\nTown",
    sender_name="Ada",
    track_opens=True,
    track_clicks=True,
)
BEA = Recipient(
    email="bea@example.org",
    first_name="Bea",
    fields={"city": "Paris", "empty": None},
    track="TRACK-token_1",
    leave="LEAVE-token_2",
    message_id="1.2@news.example.com",
    date_ms=1_795_000_000_000,
    now=date(2026, 11, 23),
)


def refs(urls: Sequence[str]) -> list[str]:
    """A reference for each link: its place, in 16 characters."""
    return [f"{place:016d}" for place in range(len(urls))]


def compiled(field_keys: Sequence[str] | None = None, **changes: object) -> Compiled:
    """The letter with changes, compiled."""
    return content.compile(
        replace(LETTER, **changes),  # type: ignore[arg-type]
        base_url=BASE,
        list_id="ada.example.com",
        refs=refs,
        feedback=content.feedback_id("broadcast:7", 12),
        field_keys=field_keys,
    )


def parsed(data: bytes) -> Parsed:
    """What the standard library reads; it must find nothing wrong."""
    message = email.message_from_bytes(data, policy=email.policy.compat32)
    assert not message.defects
    return message


def parts(data: bytes) -> tuple[str, str]:
    """The text and the HTML as a reader decodes them, with "\\n" for line ends."""
    payload = parsed(data).get_payload()
    assert isinstance(payload, list)
    assert [part.get_content_type() for part in payload] == ["text/plain", "text/html"]
    decoded = [part.get_payload(decode=True).decode("utf-8") for part in payload]
    return decoded[0].replace("\r\n", "\n"), decoded[1].replace("\r\n", "\n")


def html(**changes: object) -> str:
    """The HTML that Bea gets."""
    return parts(compiled(**changes).message(BEA))[1]


def text(**changes: object) -> str:
    """The text that Bea gets."""
    return parts(compiled(**changes).message(BEA))[0]
