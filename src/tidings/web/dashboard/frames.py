"""What is shown in a frame: mail, in which nothing runs, posts, or reaches the page around it."""

from html import escape
from typing import Final

from tidings.web.http import Reply, html_reply

# `sandbox` holds for the page itself too, in case it is opened outside of its frame; images show as
# their reader would see them.
_POLICY: Final = (
    "default-src 'none'; img-src data: https:; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
_START: Final = '<!doctype html><meta charset="utf-8"><base target="_blank">'
_SAID: Final = '<p style="font:15px/1.5 sans-serif;padding:1rem;color:#444">'


def mail(source: str) -> Reply:
    """Return the HTML of a mail; what it says of its own target or address does not count."""
    # Everything after this lands behind it in the head, so its target is the one that counts.
    return html_reply(200, _START + source, policy=_POLICY)


def said(sentence: str) -> Reply:
    """Return a sentence in place of a mail."""
    return html_reply(200, f"{_START}{_SAID}{escape(sentence)}</p>", policy=_POLICY)
