"""Markdown as authors write it, made into a letter's HTML (CommonMark, with strikethrough and tables).

HTML within it stands as the text that it is, and an address with a scheme that runs code makes no
link. Liquid goes through untouched: it is set aside before, so that no rule of Markdown reads it.
"""

import re
import secrets

from markdown_it import MarkdownIt

from tidings.mail import markup, render

# A link of this title is a button: `[Read it](https://example.com "button")`. The layouts say how it looks.
_BUTTON = re.compile(r'<a href="([^"]*)" title="button">')


def to_html(source: str) -> str:
    """Return the HTML of a Markdown text; raises `render.TemplateProblem` for Liquid that does not parse."""
    source = markup.RESERVED.sub("", source)
    render.compile(source, html=False)
    masked, marks = markup.mask(source)
    # A word that Markdown gives back as it came, in text and in addresses alike.
    sign = f"liquid{secrets.token_hex(8)}x"
    made = _parser().render(markup.PLACE.sub(lambda found: f"{sign}{found[1]}x", masked))
    made = _BUTTON.sub(lambda found: f'<a class="button" href="{found[1]}">', made)

    def back(found: re.Match[str]) -> str:
        return marks[int(found[1])].source

    # A tag alone in its paragraph (an if, its end) is no paragraph.
    alone = re.compile(rf"<p>((?:{sign}[0-9]+x\s*)+)</p>")
    place = re.compile(rf"{sign}([0-9]+)x")

    def bare(found: re.Match[str]) -> str:
        tags = all(marks[int(one)].source.startswith("{%") for one in place.findall(found[1]))
        return found[1] if tags else found[0]

    return place.sub(back, alone.sub(bare, made))


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
