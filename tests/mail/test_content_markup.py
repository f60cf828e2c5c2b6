"""HTML as authors and attackers write it: cut without loss, inlined without harm, and said as text."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mail.letters import compiled, html, text
from tidings.mail import inline, links, markup, render, textual

PIECES = st.sampled_from(
    (
        *("<p>", "</p>", "<a href='x'>", '<a href="', "<a href=x", ">", "<", "</", "<!--", "-->"),
        *("<!doctype x>",),
        *("<style>", "</style>", "<script>", "</STYLE >", "<b x=1>", "</b>", "<table>", "<td>"),
        *("{{ x }}", "{% if x %}"),
        *("{% endif %}", "{% raw %}", "{% endraw %}", "{% comment %}", "{% endcomment %}", "a", " "),
        *("\n", "&amp;", "="),
        *("'", '"', "/", "é", "p{color:red}", "@media print{", "}", "<img src=x>", "<br/>", "</br>"),
        *("<?x", "<title>"),
    )
)  # fmt: skip
SOURCES = st.lists(PIECES, max_size=25).map("".join)


@settings(max_examples=500, deadline=None)
@given(SOURCES)
def test_the_pieces_are_the_whole_and_the_marks_come_back(source: str) -> None:
    end = 0
    for piece in markup.pieces(source):
        assert piece.start == end < piece.end
        end = piece.end
        for _, start, stop in piece.attributes:
            assert piece.start < start <= stop < piece.end
    assert end == len(source)
    masked, marks = markup.mask(source)
    assert markup.unmask(masked, marks) == source
    assert markup.unmask(markup.as_comments(masked), marks) == source


@settings(max_examples=500, deadline=None)
@given(SOURCES)
def test_any_html_becomes_a_message_or_a_problem(source: str) -> None:
    try:
        made = compiled(html=source)
    except render.TemplateProblem:
        return
    assert made.size > 1_000


@pytest.mark.parametrize(
    "hostile",
    (
        "<div>" * 20_000,
        "<b><p>" * 10_000,
        "<p><b x=1></p><p><i x=2></p>" * 4_000,
        "<table><tr><td>" * 8_000,
        "<svg><g>" * 10_000,
        "<ul><li>" * 10_000,
        "<font a><p>" * 9_000,
        "".join(f"<p><b class=c{n}></p>" for n in range(3_000)),
    ),
)
def test_html_that_would_end_the_process_within_the_library_never_reaches_it(hostile: str) -> None:
    code = (
        "import sys; from tidings.mail import inline;"
        "page = '<html><head><style>p{color:red}</style></head><body>' + sys.stdin.read() + '</body></html>';"
        "print(len(inline.inlined(page, [])) >= 20_000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=hostile, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "True\n")


@pytest.mark.parametrize(
    "bad",
    (
        "<a ",
        "<!--",
        '<a href="',
        "<p x='",
        "<",
        "</",
        "<style>",
        "<a b",
        "<title>",
        "</style",
        "<a ='",
        "&",
        "{",
    ),
)
def test_no_unfinished_markup_is_read_twice(bad: str) -> None:
    # A quadratic reader needs minutes for this; the pieces are counted, not the time.
    source = bad * (400_000 // len(bad))
    assert sum(piece.end - piece.start for piece in markup.pieces(source)) == len(source)


def test_nothing_is_fetched_for_a_style_sheet_elsewhere() -> None:
    page = (
        '<html><head><style></style><link rel="stylesheet" href="file:///etc/passwd">'
        "<style>@import url(file:///etc/passwd);p{color:red}</style></head><body><p>x</p></body></html>"
    )
    made = inline.inlined(page, [])
    assert "root:" not in made
    assert 'style="color: red;"' in made


def test_a_whole_letter_reads_well_as_text() -> None:
    body = (
        "<h1>Hello&nbsp;you</h1><p>One <b>bold</b>\n word<br>and "
        "<a href='https://a.test/?a=1&amp;b=2'>a link</a>, <a href='https://b.test/'>https://b.test/</a> "
        "<a href='mailto:x@y.test'>x@y.test</a>.</p>"
        "<ul><li>one<li>two</ul><ol><li>first</li><li>second</li></ol>"
        "<img src='x' alt='A cat'><hr><table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"
        "<style>p{}</style><script>no()</script><!-- no --><title>no</title>{{ subscriber.city }}"
    )
    masked, marks = markup.mask(body)
    made = markup.unmask(textual.from_html(masked), marks)
    assert made == (
        "Hello\u00a0you\n\nOne bold word\nand a link (https://a.test/?a=1&b=2), https://b.test/ x@y.test.\n\n"
        "- one\n- two\n\n1. first\n2. second\n\nA cat\n\n----\n\na b\nc\n\n{{ subscriber.city }}\n"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    (
        ("https://a.test/?a=1&copy=2", "https://a.test/?a=1&copy=2"),
        ("https://a.test/?a=1&amp;copy=2", "https://a.test/?a=1&copy=2"),
        ("https://a.test/&eacute;", "https://a.test/é"),
        ("https://a.test/&#x2f;", "https://a.test//"),
        ("https://a.te\nst/", "https://a.test/"),
        ("https://a.test/a b", "https://a.test/a%20b"),
    ),
)
def test_an_address_is_kept_as_a_browser_reads_it(written: str, meant: str) -> None:
    assert compiled(html=f'<p><a href="{written}">x</a></p>').links == (meant,)
    # Without style attributes, which another reader would have written anew.
    masked = f"<a class=x href='{written}'>x</a>"
    assert links.in_html(masked, "https://own.test") == [meant]
    assert links.rewritten_html(masked, "https://own.test", {meant: "T"}) == "<a class=x href='T'>x</a>"


def test_the_first_of_two_addresses_counts() -> None:
    shown = html(html='<p><a href="https://a.test/" href="https://b.test/">x</a></p>')
    assert re.search(r'<a href="[^"]*/c/TRACK-token_1/0{16}"', shown)


def test_a_persons_value_never_becomes_part_of_a_tracked_address() -> None:
    made = compiled(html="<p><a href='https://a.test/?to={{ subscriber.city | url_encode }}'>x</a></p>")
    assert made.links == ()
    assert "{{" not in text(html="<p>https://a.test/{{ subscriber.city }}</p>")


def test_nothing_is_blank_whatever_kind_of_nothing_it_is() -> None:
    template = render.compile(
        "{% if x == blank %}1{% endif %}{% if blank != x %}2{% endif %}"
        "{% unless x == blank %}3{% endunless %}",
        html=True,
    )
    for nothing in ({}, {"x": None}, {"x": ""}, {"x": " "}, {"x": False}):
        assert template.render(nothing) == "1"
    assert template.render({"x": "a"}) == "23"
    assert template.render({"x": 0}) == "23"
