"""Proofreading: what is wrong in a letter's HTML that its author can mend, found without a network."""

import re
from typing import Literal, NamedTuple

from tidings.mail import markup

# So many remarks of one kind are enough to see the pattern.
KIND_MOST = 5
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,20}):")
_WEB_HOST = re.compile(
    r"https?://(?:\[[0-9a-fA-F:.]+\]|[^\s/?#:@]+)(?::[0-9]{1,5})?(?:[/?#]|$)", re.IGNORECASE
)
_FINE = frozenset({"http", "https", "mailto", "tel", "sms"})
_LOCAL = re.compile(r"https?://(?:localhost|127\.|10\.|192\.168\.|\[::1\])", re.IGNORECASE)
SHOWN_MAX = 80


class Finding(NamedTuple):
    """One thing to look at; `kind` is link or image."""

    kind: Literal["link", "image"]
    text: str


def findings(source: str) -> list[Finding]:
    """Return what is wrong with the links and images of a letter; links that are Liquid are left alone."""
    masked, _ = markup.mask(source)
    found: list[Finding] = []
    for piece in markup.pieces(masked):
        if piece.kind != "start":
            continue
        if piece.name == "a" and (href := markup.value(masked, piece, "href")) is not None:
            said = _link(href.strip())
            found += [Finding("link", said)] if said else []
        elif piece.name == "img":
            src = (markup.value(masked, piece, "src") or "").strip()
            alt = markup.value(masked, piece, "alt")
            found += [Finding("image", one) for one in _image(src, alt)]
    few: list[Finding] = []
    for kind in ("link", "image"):
        mine = list(dict.fromkeys(one for one in found if one.kind == kind))
        few += mine[:KIND_MOST]
        if len(mine) > KIND_MOST:
            few.append(mine[0]._replace(text=f"{len(mine) - KIND_MOST} more of this kind"))
    return few


def _link(href: str) -> str:
    if markup.PLACE.search(href):
        return ""
    if href in ("", "#"):
        return "a link leads nowhere: give it an address"
    if href.startswith("#"):
        return ""
    scheme = _SCHEME.match(href)
    if scheme is None:
        return f"the link “{_shown(href)}” has no https:// in front: no mail program can follow it"
    if scheme[1].lower() not in _FINE:
        return f"the link “{_shown(href)}” begins with {scheme[1]}:, which mail programs refuse"
    return _web(href, "link") if scheme[1].lower().startswith("http") else ""


def _image(src: str, alt: str | None) -> list[str]:
    said = []
    if not src:
        said.append("an image has no address")
    elif markup.PLACE.search(src) is None:
        if src.lower().startswith("data:"):
            said.append("an image is written into the letter (data:): most mail programs do not show it")
        elif not src.lower().startswith(("http://", "https://")):
            said.append(f"the image “{_shown(src)}” has no https:// in front: no mail program can load it")
        else:
            said += [one for one in (_web(src, "image"),) if one]
    # An empty alt says that the image is decoration.
    if alt is None:
        said.append(
            f"the image “{_shown(src)}” has no description (alt): who sees no images reads nothing there"
            if src and not src.startswith("data:")
            else "an image has no description (alt)"
        )
    return said


def _web(url: str, what: str) -> str:
    if markup.PLACE.search(url) or _WEB_HOST.match(url) is None:
        return "" if markup.PLACE.search(url) else f"the {what} “{_shown(url)}” names no site"
    if _LOCAL.match(url):
        return f"the {what} “{_shown(url)}” leads to this machine or its network: readers cannot reach it"
    return ""


def _shown(url: str) -> str:
    return url if len(url) <= SHOWN_MAX else f"{url[: SHOWN_MAX - 1]}…"
