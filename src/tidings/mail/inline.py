"""CSS into style attributes, once per content: what Outlook and Gmail's app need to show it.

The work is a compiled library's, whose writer calls itself for each level of nesting: 20,000 open
tags end the process. So what is nested deeper than any letter, or out of order, keeps its style sheet.
"""

from collections.abc import Sequence

import css_inline

from tidings.mail import markup

# Real letters nest 15 to 40 deep. The library's stack held 5,000 levels in 8 MB, and a thread of
# a Mac has an eighth of that for two such walks.
DEPTH_MAX = 200
# Formatting tags closed over by others are opened again in every paragraph that follows.
CROSSED_MAX = 50
ELEMENTS_MAX = 20_000

# What cannot be inlined (hover, media queries) stays in its style element. No file and no network.
_INLINER = css_inline.CSSInliner(
    keep_style_tags=True,
    keep_at_rules=True,
    remove_inlined_selectors=True,
    load_remote_stylesheets=False,
)
# The tree builder adds these by itself.
_IMPLIED = frozenset({"html", "head", "body", "tbody"})


def inlined(masked: str, marks: Sequence[markup.Mark]) -> str:
    """Inline a whole masked document's style elements; unchanged where that would alter its shape.

    The first of them is the layout's: what is left of it matched nothing, and goes.

    Liquid that opens a tag in one branch and closes it in another would come out balanced, which
    is another letter; so marks, and tags around blocks, must come out in the order they went in.
    """
    deepest, crossed, total = markup.disorder(masked)
    if deepest > DEPTH_MAX or crossed > CROSSED_MAX or total > ELEMENTS_MAX:
        return masked
    try:
        made = _INLINER.inline(markup.as_comments(masked))
    except ValueError:
        # The library's own errors and text that is not UTF-8 derive from it.
        return masked
    with_tags = any(mark.source.startswith("{%") for mark in marks)
    if _order(made, with_tags=with_tags) != _order(masked, with_tags=with_tags):
        return masked
    # An entity may have become a brace, which Liquid would read as the start of a mark.
    return _without_spent_styles(made).replace("{{", "&#123;{").replace("{%", "&#123;%")


def _without_spent_styles(made: str) -> str:
    """Leave out the first style element, and every one of which nothing is left."""
    out: list[str] = []
    at = start = seen = 0
    content = ""
    for piece in markup.pieces(made):
        if piece.name != "style":
            continue
        if piece.kind == "start":
            start, content = piece.start, ""
            seen += 1
        elif piece.kind == "raw":
            content = made[piece.start : piece.end].strip()
        elif seen == 1 or not content:
            out.append(made[at:start])
            at = piece.end
    return "".join([*out, made[at:]])


def _order(masked: str, *, with_tags: bool) -> list[str]:
    """Give the places of marks in order, with the tags that nobody may leave out among them."""
    order: list[str] = []
    for piece in markup.pieces(masked):
        if with_tags and _kept_as_written(piece):
            order.append(("/" if piece.kind == "end" else "") + piece.name)
        order += markup.PLACE.findall(masked, piece.start, piece.end)
    return order


def _kept_as_written(piece: markup.Piece) -> bool:
    """Whether a tree builder gives this tag back exactly where it stood."""
    if piece.kind == "start":
        return piece.name not in _IMPLIED
    return piece.kind == "end" and piece.name not in _IMPLIED | markup.OPTIONAL
