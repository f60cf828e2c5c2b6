"""The text part that is made of an HTML body: paragraphs, lists, and links with their addresses."""

import html
import re

from tidings.mail import markup

_BLOCKS = frozenset(
    {"address", "article", "blockquote", "center", "dl", "figure", "footer", "form", "h1", "h2", "h3", "h4"}
    | {"h5", "h6", "header", "main", "nav", "ol", "p", "pre", "section", "table", "ul"}
)
_LINES = frozenset({"br", "caption", "dd", "div", "dt", "figcaption", "li", "tr"})
_SPACES = re.compile(r"[ \t\r\n\f]+")
_SPACES_AT_END = re.compile(r"[ \t]+\n")
_BREAKS = re.compile(r"[\t\r\n]+")
_MANY_BREAKS = re.compile(r"\n{3,}")
# What hides in a mail: filling after a preheader, and joiners that mean nothing alone.
_FILLING = re.compile("[\u034f\u200c\ufeff]+")


def from_html(masked: str) -> str:
    """Derive the text of a masked body; the places of Liquid stay, each link is followed by "(URL)".

    Nothing but those places is Liquid in it, whatever an entity stood for.
    """
    made = _Text()
    for piece in markup.pieces(masked):
        source = masked[piece.start : piece.end]
        if piece.kind == "text":
            made.add(html.unescape(source))
        elif piece.kind == "start":
            made.start(piece, masked)
        elif piece.kind == "end":
            made.end(piece.name)
    return no_liquid(made.finished())


def no_liquid(text: str) -> str:
    """Keep braces from being read as Liquid; in text there is no entity, so a space goes between."""
    return text.replace("{{", "{ {").replace("{%", "{ %")


class _Text:
    """A text in the making."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._links: list[tuple[str, int]] = []
        self._numbers: list[int | None] = []

    def add(self, text: str) -> None:
        """Add words; a space stands for any run of white space, and none begins a line."""
        words = _SPACES.sub(" ", _FILLING.sub("", text))
        if not self._kept or self._kept[-1].endswith(("\n", " ")):
            words = words.lstrip(" ")
        if words:
            self._kept.append(words)

    def start(self, piece: markup.Piece, masked: str) -> None:
        """Begin an element."""
        name = piece.name
        if name in _BLOCKS:
            self._kept.append("\n\n")
        elif name in _LINES:
            self._break(always=name == "br")
        if name in ("ul", "ol"):
            self._numbers.append(0 if name == "ol" else None)
        elif name == "li":
            self._kept.append(self._bullet())
        elif name == "a":
            self._links.append(((markup.value(masked, piece, "href") or "").strip(), len(self._kept)))
        elif name == "img":
            self.add(markup.value(masked, piece, "alt") or "")
        elif name == "hr":
            self._kept.append("\n\n----\n\n")
        elif name in ("td", "th"):
            self.add(" ")

    def end(self, name: str) -> None:
        """End an element."""
        if name in _BLOCKS:
            self._kept.append("\n\n")
        elif name in _LINES:
            self._break(always=False)
        if name in ("ul", "ol") and self._numbers:
            self._numbers.pop()
        elif name == "a" and self._links:
            self._end_link(*self._links.pop())

    def _break(self, *, always: bool) -> None:
        """Begin a new line, unless one has just begun."""
        if always or not (self._kept and self._kept[-1].endswith("\n")):
            self._kept.append("\n")

    def _end_link(self, url: str, since: int) -> None:
        shown = "".join(self._kept[since:]).strip()
        target = _BREAKS.sub("", url.removeprefix("mailto:")).replace(" ", "%20")
        if not target or target.startswith("#") or shown in (target, url):
            return
        if shown:
            self.add(f" ({target})")
        else:
            self.add(target)

    def _bullet(self) -> str:
        if not self._numbers or (number := self._numbers[-1]) is None:
            return "- "
        self._numbers[-1] = number + 1
        return f"{number + 1}. "

    def finished(self) -> str:
        """Give the text with at most one empty line between paragraphs."""
        text = _SPACES_AT_END.sub("\n", "".join(self._kept))
        return _MANY_BREAKS.sub("\n\n", text).strip() + "\n"
