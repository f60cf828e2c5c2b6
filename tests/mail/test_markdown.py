"""Markdown of an author: CommonMark, without HTML, and with Liquid as it was."""

import pytest

from tidings.mail import markdown, render


@pytest.mark.parametrize(
    ("source", "html"),
    (
        ("# Hi\n\n*Ada* **B**", "<h1>Hi</h1>\n<p><em>Ada</em> <strong>B</strong></p>\n"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
        ("[a](https://example.com/?b=1&c=2)", '<p><a href="https://example.com/?b=1&amp;c=2">a</a></p>\n'),
        (
            "![A tree](https://example.com/t.png)",
            '<p><img src="https://example.com/t.png" alt="A tree" /></p>\n',
        ),
        ("~~no~~", "<p><s>no</s></p>\n"),
        ("", ""),
    ),
)
def test_what_it_makes(source: str, html: str) -> None:
    assert markdown.to_html(source) == html


@pytest.mark.parametrize(
    "source",
    (
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "<div onclick=alert(1)>x</div>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        '[x](https://example.com/"onmouseover="alert(1))',
        "![x](javascript:alert(1))",
        "<javascript:alert(1)>",
    ),
)
def test_nothing_in_it_runs(source: str) -> None:
    made = markdown.to_html(source).lower()
    for tag in ("<script", "<img", "<div", 'href="javascript', 'href="data', 'src="javascript', '" onm'):
        assert tag not in made


@pytest.mark.parametrize(
    ("source", "html"),
    (
        ("Hi {{ subscriber.first_name | default: \"you_and_me\" }}!",
         "<p>Hi {{ subscriber.first_name | default: \"you_and_me\" }}!</p>\n"),
        ("[leave]({{ unsubscribe_url }})", '<p><a href="{{ unsubscribe_url }}">leave</a></p>\n'),
        ("{% if a > 1 %}\n\n*x*\n\n{% endif %}", "{% if a > 1 %}\n<p><em>x</em></p>\n{% endif %}\n"),
        ("{{ a }} {{ b }}", "<p>{{ a }} {{ b }}</p>\n"),
        ("{{ name }}", "<p>{{ name }}</p>\n"),
        ("`{{ a }}`", "<p><code>{{ a }}</code></p>\n"),
    ),
)  # fmt: skip
def test_liquid_goes_through_as_it_was(source: str, html: str) -> None:
    assert markdown.to_html(source) == html


def test_a_link_named_button_is_a_button() -> None:
    made = markdown.to_html('[Read](https://example.com/ "button") [no](https://example.com/ "other")')
    assert made.count('class="button"') == 1
    assert 'title="other"' in made
    assert 'title="button"' not in made


def test_liquid_that_does_not_parse_is_refused() -> None:
    with pytest.raises(render.TemplateProblem):
        markdown.to_html("{% if x %} {% endfor %}")


def test_the_signs_of_our_own_places_are_no_way_in() -> None:
    assert markdown.to_html("\ufdd20\ufdd3 {{ a }}") == "<p>0 {{ a }}</p>\n"
