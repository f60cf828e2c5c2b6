"""HTML as authors write it, cut into pieces in one pass, with its Liquid set aside.

Neither a parser nor a judge: it finds where tags, their attributes and the text between them stand,
so that links are rewritten, styles collected and text derived without changing anything else. Every
step is linear; the standard library's parser is quadratic on unclosed comments (CVE-2025-6069).
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

# Unicode's noncharacters never stand in text that people exchange (Unicode 16, 23.7), so those of
# this row are free to mark places, once they are dropped from what comes in.
TRACK = "\ufdd0"
LEAVE = "\ufdd1"
_OPEN = "\ufdd2"
_CLOSE = "\ufdd3"
RESERVED = re.compile("[\ufdd0-\ufdef]")
PLACE = re.compile(f"{_OPEN}([0-9]{{1,6}}){_CLOSE}")
_IN_COMMENT = re.compile(f"<!--{_OPEN}([0-9]{{1,6}}){_CLOSE}-->")

_MARK = re.compile(r"\{[{%]")
_TAG_NAME = re.compile(r"\{%-?\s{0,127}([a-z]+)")
# The library reads these to their end whatever stands within; so they are one mark here.
_VERBATIM = frozenset({"raw", "doc", "comment"})
_BLOCKS = frozenset({"if", "unless", "case", "for", "tablerow", "capture", "ifchanged"})

_NAME = re.compile(r"/?[a-zA-Z][^\s/>]*+")
# An attribute as WHATWG HTML 13.2.5.32 to 40 reads it; possessive, so that nothing is tried twice.
_ATTRIBUTE = re.compile(
    r"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)))?+"""
)
_TAG_REST = re.compile(r"[\s/]*+>")
_BARE_AMPERSAND = re.compile(r"&(?!#|[a-zA-Z][a-zA-Z0-9]*+;)")
# Their content is text to a browser until their own end tag.
RAW = frozenset({"style", "script", "title", "textarea", "xmp", "iframe", "noembed", "noframes"})
VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
# End tags that authors may leave out (WHATWG HTML 13.1.2.4): closing over them is no disorder.
OPTIONAL = frozenset({"p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option"})


class Mark(NamedTuple):
    """One piece of Liquid: its source, and whether it stands outside of every block."""

    source: str
    outermost: bool


class Piece(NamedTuple):
    """A stretch of HTML: `name` is the element's, lower case; `attributes` are where values stand."""

    kind: Literal["text", "start", "end", "comment", "raw", "declaration"]
    start: int
    end: int
    name: str = ""
    attributes: tuple[tuple[str, int, int], ...] = ()


def mask(source: str) -> tuple[str, list[Mark]]:
    """Set the Liquid aside: the source with a place for each mark, and the marks.

    Give it only what `render.compile` accepts: there every mark is closed.
    """
    marks: list[Mark] = []
    kept: list[str] = []
    at = depth = 0
    while (opening := _MARK.search(source, at)) is not None:
        start = opening.start()
        kept.append(source[at:start])
        at = _mark_end(source, start)
        tag = _TAG_NAME.match(source, start)
        name = tag[1] if tag else ""
        if name.startswith("end"):
            depth -= 1
        marks.append(Mark(source[start:at], depth <= 0))
        if name in _BLOCKS:
            depth += 1
        kept.append(place(len(marks) - 1))
    kept.append(source[at:])
    return "".join(kept), marks


def _mark_end(source: str, start: int) -> int:
    """Give where a mark ends; for raw, doc and comment that is behind their end tag."""
    closing = "}}" if source.startswith("{{", start) else "%}"
    end = source.find(closing, start + 2)
    end = len(source) if end < 0 else end + 2
    tag = _TAG_NAME.match(source, start, end)
    if tag is None or tag[1] not in _VERBATIM:
        return end
    last = re.compile(rf"\{{%-?\s{{0,127}}end{tag[1]}\s{{0,127}}-?%\}}").search(source, end)
    return end if last is None else last.end()


def place(number: int) -> str:
    """Write the place of a mark."""
    return f"{_OPEN}{number}{_CLOSE}"


def unmask(masked: str, marks: Sequence[Mark]) -> str:
    """Put the Liquid back."""
    whole = _IN_COMMENT.sub(lambda found: marks[int(found[1])].source, masked)
    return PLACE.sub(lambda found: marks[int(found[1])].source, whole)


def as_comments(masked: str) -> str:
    """Turn each place among the text into a comment, which a table keeps where it stands."""
    return replaced_text(masked, lambda text: PLACE.sub(lambda found: f"<!--{found[0]}-->", text))


def replaced_text(source: str, change: Callable[[str], str]) -> str:
    """Change the text between tags, and nothing else."""
    out = [
        change(source[piece.start : piece.end]) if piece.kind == "text" else source[piece.start : piece.end]
        for piece in pieces(source)
    ]
    return "".join(out)


def pieces(source: str) -> Iterator[Piece]:
    """Cut HTML into pieces that follow each other without a gap."""
    at, size = 0, len(source)
    while at < size:
        start = source.find("<", at)
        if start < 0:
            yield Piece("text", at, size)
            return
        found = _piece(source, start, size)
        if found is None:
            # A lone "<": text up to the next one.
            following = source.find("<", start + 1)
            end = size if following < 0 else following
            yield Piece("text", at, end)
            at = end
            continue
        if start > at:
            yield Piece("text", at, start)
        yield found
        at = found.end
        if found.kind == "start" and found.name in RAW:
            end = _raw_end(source, at, found.name)
            if end > at:
                yield Piece("raw", at, end, found.name)
            at = end


def value(source: str, piece: Piece, name: str) -> str | None:
    """Give an attribute's value with its entities resolved; None where it is not given."""
    for each, start, end in piece.attributes:
        if each == name:
            return resolved(source[start:end])
    return None


def resolved(attribute: str) -> str:
    """Resolve entities as in an attribute, where "&copy=1" is no copyright sign (WHATWG HTML 13.2.5.73)."""
    return html.unescape(_BARE_AMPERSAND.sub("&amp;", attribute))


def disorder(source: str) -> tuple[int, int, int]:
    """Give how deep elements nest, how many are closed over, and how many there are."""
    open_names: list[str] = []
    counts: dict[str, int] = {}
    deepest = crossed = total = 0
    for piece in pieces(source):
        name = piece.name
        if piece.kind == "start" and name not in VOID:
            total += 1
            open_names.append(name)
            counts[name] = counts.get(name, 0) + 1
            deepest = max(deepest, len(open_names))
        elif piece.kind == "end" and counts.get(name, 0):
            while (last := open_names.pop()) != name:
                counts[last] -= 1
                crossed += last not in OPTIONAL
            counts[name] -= 1
    return deepest, crossed, total


def _piece(source: str, start: int, size: int) -> Piece | None:
    """Read what a "<" opens; None where it is only a sign."""
    if source.startswith("<!--", start):
        end = source.find("-->", start + 2)
        return Piece("comment", start, size if end < 0 else end + 3)
    if source.startswith(("<!", "<?"), start):
        end = source.find(">", start)
        return Piece("declaration", start, size if end < 0 else end + 1)
    named = _NAME.match(source, start + 1)
    if named is None:
        return None
    name = named[0].lower()
    attributes: list[tuple[str, int, int]] = []
    at = named.end()
    while (rest := _TAG_REST.match(source, at)) is None:
        attribute = _ATTRIBUTE.match(source, at)
        if attribute is None or attribute.end() == at:
            # The document ends within a tag: a browser drops it, and so nothing follows.
            return Piece("comment", start, size)
        group = attribute.lastindex or 1
        if group > 1:
            attributes.append((attribute[1].lower(), attribute.start(group), attribute.end(group)))
        at = attribute.end()
    if name.startswith("/"):
        return Piece("end", start, rest.end(), name[1:])
    return Piece("start", start, rest.end(), name, tuple(attributes))


def _raw_end(source: str, at: int, name: str) -> int:
    """Give where the content of a raw element ends."""
    found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(source, at)
    return len(source) if found is None else found.start()
