"""Links: found once in a content, and turned into addresses of ours that count a click.

A tracked address holds no destination: a signed token of the person and a reference of the link
(RFC 3986 unreserved characters only), so that nothing of it redirects where the author did not.
"""

import html
import re
from collections.abc import Mapping

from tidings.mail import markup

# Longer ones break in some readers, and a row would hold them.
URL_MAX = 2_048
LINKS_MAX = 500
_SCHEME = re.compile(r"https?://[^/?#]", re.IGNORECASE)
# What browsers drop from an address (WHATWG URL 4.4): around it, and line ends and tabs within.
_AROUND = "".join(map(chr, range(0x21)))
_WITHIN = re.compile(r"[\t\r\n]+")
_ODD = re.compile('[\\x00-\\x20\\x7f-\\xa0\\u2028\\u2029\\ufdd0-\\ufdef<>"]')
_IN_TEXT = re.compile(r"\bhttps?://[^\s<>\"`{}|\\^]+", re.IGNORECASE)
_TRAILING = ".,;:!?'’”…*_~"


def in_html(masked: str, own: str) -> list[str]:
    """Give the distinct web addresses that a masked HTML links to, in order, less those below `own`."""
    found: dict[str, None] = {}
    for piece in markup.pieces(masked):
        if piece.kind == "start" and piece.name in ("a", "area"):
            url = trackable(markup.value(masked, piece, "href") or "", own)
            if url:
                found[url] = None
    return list(found)


def in_text(masked: str, own: str) -> list[str]:
    """Give the distinct web addresses that stand in a masked text, in order."""
    found: dict[str, None] = {}
    for match in _IN_TEXT.finditer(masked):
        url = trackable(_trimmed(match[0]), own)
        if url:
            found[url] = None
    return list(found)


def trackable(raw: str, own: str) -> str:
    """Give the address as it is kept; empty for what is not tracked.

    That is: other schemes, places within the page, Liquid, addresses of this installation (`own`).
    """
    url = _WITHIN.sub("", raw.strip(_AROUND)).replace(" ", "%20")
    if len(url) > URL_MAX or _SCHEME.match(url) is None or _ODD.search(url):
        return ""
    if url == own or url.startswith((own + "/", own + "?", own + "#")):
        return ""
    return url


def rewritten_html(masked: str, own: str, tracked: Mapping[str, str]) -> str:
    """Put the tracked addresses in the place of those they stand for."""
    out: list[str] = []
    at = 0
    for piece in markup.pieces(masked):
        if piece.kind != "start" or piece.name not in ("a", "area"):
            continue
        for name, start, end in piece.attributes:
            if name == "href":
                address = tracked.get(trackable(markup.resolved(masked[start:end]), own))
                if address:
                    out += [masked[at:start], html.escape(address)]
                    at = end
                # A browser goes by the first of two.
                break
    return "".join([*out, masked[at:]])


def rewritten_text(masked: str, own: str, tracked: Mapping[str, str]) -> str:
    """Put the tracked addresses in, whatever closes the sentence left behind them."""

    def change(match: re.Match[str]) -> str:
        url = _trimmed(match[0])
        address = tracked.get(trackable(url, own))
        return match[0] if address is None else address + match[0][len(url) :]

    return _IN_TEXT.sub(change, masked)


def _trimmed(url: str) -> str:
    """Leave out what ends the sentence: punctuation, and a bracket that was opened before."""
    if len(url) > URL_MAX:
        # Not tracked anyway, and each sign taken off costs the whole length.
        return url
    while url:
        last = url[-1]
        if last in _TRAILING or (last in ")]" and url.count(last) > url.count("(" if last == ")" else "[")):
            url = url[:-1]
        else:
            break
    return url
