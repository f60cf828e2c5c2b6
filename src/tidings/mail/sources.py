"""From an author's words to three Liquid sources: subject, HTML page and text, ready to be compiled.

Everything that is the same for all is settled here, once: snippets, layout, style attributes, tracked
links, the preheader, the pixel, and the footer without which no bulk mail leaves.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tidings.mail import inline, layouts, links, markup, message, render, textual
from tidings.mail.markup import LEAVE, TRACK, Mark

# A letter's own; a designed one has some 50 pieces of Liquid and 2,000 tags. At these, compiling
# takes about a second here, and 60,000 pieces take seven.
MARKS_MAX = 5_000
TAGS_MAX = 50_000
# Within a snippet another may stand, and in that one more.
SNIPPETS_DEEP_MAX = 3

_BASE = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9/._~-]*)?\Z")
_REF = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_SNIPPET = re.compile(r"\{\{\s{0,127}snippet\.([\w-]{1,200})\s{0,127}\}\}")
_LEAVE_LINK = re.compile(r"\{\{\s{0,127}unsubscribe_link\s{0,127}\}\}")
_BARE = re.compile(r"\{\{\s{0,127}([a-z_]{1,40})\s{0,127}\}\}\Z")
_SAYS_LEAVE = re.compile(r"\{\{-?\s{0,127}unsubscribe_(?:url|link)\b")
_SAYS_ADDRESS = re.compile(r"\{\{-?\s{0,127}address\b")
_HIDES = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0", re.IGNORECASE)
_FRAME = frozenset({"html", "head", "body", "title", "meta", "base", "script", "link"})


@dataclass(frozen=True, slots=True)
class Content:
    """The frozen words of one letter; `subject`, `html`, `text`, `preheader` and snippets are Liquid.

    `layout` is "text only", "classic" or "modern" in any case; `postal_address` and `sender_name` are
    the account's, for the footer, whose words are in `lang` (BCP 47).
    """

    subject: str
    html: str
    text: str | None
    preheader: str
    layout: str
    from_name: str
    from_address: str
    reply_to: str | None
    postal_address: str
    sender_name: str
    track_opens: bool
    track_clicks: bool
    snippets: Mapping[str, str] = field(default_factory=dict)
    lang: str = "en"


@dataclass(frozen=True, slots=True)
class Sources:
    """Liquid sources with the places of tokens in them; `links` are the tracked addresses in order."""

    subject: str
    html: str
    text: str
    links: tuple[str, ...]


def checked_base(base_url: str) -> str:
    """Give the base address without a slash at its end; `ValueError` for what is no web address."""
    if _BASE.match(base_url) is None:
        raise ValueError("the base address is not of the form http(s)://host/path")
    return base_url.rstrip("/")


def sources(
    content: Content, base: str, lang: str, refs: Callable[[Sequence[str]], Sequence[str]]
) -> Sources:
    """Write the three sources; raises `render.TemplateProblem` for Liquid that does not parse."""
    snippets = {name: _cleaned(text) for name, text in content.snippets.items()}
    words = layouts.said(lang)[0]
    leave_link = f'<a href="{{{{ unsubscribe_url }}}}">{html.escape(words)}</a>'
    body, given = _cleaned(content.html), _cleaned(content.text or "")
    if not body.strip():
        body = _paragraphs(given)
    body = _expanded(body, snippets, leave_link, as_html=True)
    plain = {name: _as_text(text) for name, text in snippets.items()}
    page, marks, derived = _page(content, body, plain, base, lang)
    text = _expanded(given, plain, f"{words}: {{{{ unsubscribe_url }}}}", as_html=False)
    text = _with_text_footer(text if given.strip() else derived, content, base, lang)
    masked_text, text_marks = markup.mask(text)
    found: list[str] = []
    if content.track_clicks:
        found = list(dict.fromkeys([*links.in_html(page, base), *links.in_text(masked_text, base)]))
        found = found[: links.LINKS_MAX]
        tracked = _tracked(found, base, refs)
        page = links.rewritten_html(page, base, tracked)
        masked_text = links.rewritten_text(masked_text, base, tracked)
    return Sources(
        subject=_expanded(_cleaned(content.subject), plain, "", as_html=False),
        html=markup.unmask(page, marks),
        text=markup.unmask(masked_text, [Mark(_settled(mark.source, base), True) for mark in text_marks]),
        links=tuple(found),
    )


def _cleaned(text: str) -> str:
    """Normalise line ends, and drop what no text needs with the signs that mark our places."""
    return markup.RESERVED.sub("", message.tidied(text))


def _as_text(snippet: str) -> str:
    """Give a snippet as text, where it is HTML."""
    if "<" not in snippet:
        return snippet
    _parsed(snippet, as_html=True)
    masked, marks = markup.mask(snippet)
    return markup.unmask(textual.from_html(masked).strip("\n"), marks)


def _parsed(source: str, *, as_html: bool) -> None:
    """Raise `render.TemplateProblem` for what does not parse, or is more than a letter."""
    if source.count("{{") + source.count("{%") > MARKS_MAX:
        raise render.TemplateProblem(f"the letter has more than {MARKS_MAX:,} pieces of Liquid")
    if as_html and source.count("<") > TAGS_MAX:
        raise render.TemplateProblem(f"the letter has more than {TAGS_MAX:,} tags")
    render.compile(source, html=as_html)


def _expanded(source: str, snippets: Mapping[str, str], leave_link: str, *, as_html: bool) -> str:
    """Put in the snippets that are named alone; their Liquid then is the letter's."""
    _parsed(source, as_html=as_html)
    for _ in range(SNIPPETS_DEEP_MAX):
        out: list[str] = []
        at = grown = 0
        for found in _SNIPPET.finditer(source):
            if found[1] not in snippets:
                continue
            out += [source[at : found.start()], snippets[found[1]]]
            at = found.end()
            grown += len(snippets[found[1]])
            if grown > render.SOURCE_OCTETS_MAX:
                raise render.TemplateProblem("the snippets make the letter too long")
        if not out:
            break
        source = "".join([*out, source[at:]])
        _parsed(source, as_html=as_html)
    return _LEAVE_LINK.sub(lambda _: leave_link, source)


def _page(
    content: Content, body: str, plain: Mapping[str, str], base: str, lang: str
) -> tuple[str, list[Mark], str]:
    """Write the page, masked and inlined, with its marks; and the text that the body makes."""
    masked, marks = markup.mask(body)
    inner, styles = _inner(masked)
    has_leave, has_address = _says(inner, marks)
    derived = markup.unmask(textual.from_html(inner), marks)
    foot = layouts.footer(
        lang,
        content.sender_name,
        "" if has_address else content.postal_address,
        "" if has_leave else f"{base}/u/{LEAVE}",
        f"{base}/p/{LEAVE}",
    )
    preheader = _expanded(_cleaned(content.preheader), plain, "", as_html=False)
    # A line that began with the dot of ".gif" would have to be doubled on the wire, in every mail.
    pixel = f'<img src="{base}/o/{TRACK}/o.gif" width="1" height="1" alt="" style="display:block">'
    settled = [Mark(_settled(mark.source, base, content.postal_address), mark.outermost) for mark in marks]
    settled.append(Mark(layouts.preheader(_escaped_around(preheader)), True))
    settled.append(Mark(pixel if content.track_opens else "", True))
    title = content.subject if "{" not in content.subject else content.from_name
    page = layouts.page(
        content.layout,
        layouts.Page(
            lang=lang,
            title=_no_liquid(html.escape(_cleaned(title))),
            body=inner,
            author_styles=styles,
            footer=_no_liquid(foot),
            before=markup.place(len(settled) - 2),
            after=markup.place(len(settled) - 1),
        ),
    )
    return inline.inlined(page, settled), settled, derived


def _inner(masked: str) -> tuple[str, str]:
    """Take an author's page apart: what stands in the body, and the styles wherever they stand."""
    kept: list[str] = []
    styles: list[str] = []
    for piece in markup.pieces(masked):
        source = masked[piece.start : piece.end]
        if piece.kind == "raw" and piece.name == "style":
            styles.append(source)
        elif piece.kind == "raw" and piece.name in _FRAME:
            continue
        elif piece.kind in ("start", "end") and (piece.name in _FRAME or piece.name == "style"):
            # Marks within a dropped tag would be lost; a place is kept for each.
            kept += [found[0] for found in markup.PLACE.finditer(source)]
        elif piece.kind != "declaration":
            kept.append(source)
    return "".join(kept), "\n".join(styles)


def _says(masked: str, marks: Sequence[Mark]) -> tuple[bool, bool]:
    """Whether a body links to leaving, and says the address, to everybody and where it is seen."""
    leave = address = False
    for piece in markup.pieces(masked):
        source = masked[piece.start : piece.end]
        if piece.kind == "start" and piece.name == "a" and _HIDES.search(source) is None:
            href = markup.value(masked, piece, "href") or ""
            leave = leave or _any_says(href, marks, _SAYS_LEAVE)
        elif piece.kind == "text":
            address = address or _any_says(source, marks, _SAYS_ADDRESS)
    return leave, address


def _any_says(masked: str, marks: Sequence[Mark], what: re.Pattern[str]) -> bool:
    found = [marks[int(number)] for number in markup.PLACE.findall(masked)]
    return any(mark.outermost and what.match(mark.source) is not None for mark in found)


def _with_text_footer(text: str, content: Content, base: str, lang: str) -> str:
    """Add what the text does not say itself."""
    masked, marks = markup.mask(text)
    foot = layouts.text_footer(
        lang,
        content.sender_name,
        "" if _any_says(masked, marks, _SAYS_ADDRESS) else content.postal_address,
        "" if _any_says(masked, marks, _SAYS_LEAVE) else f"{base}/u/{LEAVE}",
        f"{base}/p/{LEAVE}",
    )
    return (text.rstrip("\n") + "\n" + textual.no_liquid(foot)).lstrip("\n")


def _tracked(found: list[str], base: str, refs: Callable[[Sequence[str]], Sequence[str]]) -> dict[str, str]:
    """Give the address that stands for each link."""
    given = refs(found) if found else []
    if len(given) != len(found) or not all(_REF.match(ref) for ref in given):
        raise ValueError("each link needs one reference of letters, digits, - and _")
    return {url: f"{base}/c/{TRACK}/{ref}" for url, ref in zip(found, given, strict=True)}


def _settled(source: str, base: str, address: str | None = None) -> str:
    """Settle a name that stands alone and is an address of ours, or in HTML the postal address."""
    bare = _BARE.match(source)
    if bare is None:
        return source
    if bare[1] == "unsubscribe_url":
        return f"{base}/u/{LEAVE}"
    if bare[1] == "subscriber_preferences_url":
        return f"{base}/p/{LEAVE}"
    if bare[1] == "address" and address is not None:
        return _no_liquid("<br>".join(html.escape(line) for line in address.splitlines()))
    return source


def _escaped_around(source: str) -> str:
    """Escape a text for HTML, its Liquid apart."""
    masked, marks = markup.mask(source)
    return markup.unmask(html.escape(masked), marks)


def _no_liquid(made: str) -> str:
    """Keep braces in HTML of ours from being read as Liquid."""
    return made.replace("{", "&#123;")


def _paragraphs(text: str) -> str:
    """Write a text as HTML, for a content that has none."""
    if not text.strip():
        return ""
    _parsed(text, as_html=False)
    masked, marks = markup.mask(text.strip("\n"))
    blocks = re.split(r"\n{2,}", html.escape(masked))
    made = "\n".join(f"<p>{block}</p>" for block in blocks).replace("\n", "<br>\n")
    return markup.unmask(made.replace("</p><br>\n", "</p>\n"), marks)
