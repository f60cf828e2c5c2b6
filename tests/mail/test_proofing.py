"""What is wrong with a letter's links and images is found; what is right is left alone."""

import pytest

from tidings.mail import proofing


@pytest.mark.parametrize(
    "source",
    (
        '<a href="https://example.com/a?b=c#d">a</a>',
        '<a href="mailto:ada@example.com">a</a><a href="tel:+4917">b</a><a href="#b">c</a><a name="x">d</a>',
        '<a href="{{ unsubscribe_url }}">a</a><a href="https://{{ subscriber.host }}/">b</a>',
        '<img src="https://example.com/a.png" alt="A tree"><img src="https://example.com/b.png" alt="">',
        '<img src="{{ subscriber.picture }}" alt="you">',
        '<a href="https://[2001:db8::1]:8443/x">a</a>',
        "<p>a < b</p><!-- <a href=''> -->",
    ),
)
def test_what_is_right_is_left_alone(source: str) -> None:
    assert proofing.findings(source) == []


@pytest.mark.parametrize(
    ("source", "kind", "says"),
    (
        ('<a href="">a</a>', "link", "leads nowhere"),
        ('<a href="#">a</a>', "link", "leads nowhere"),
        ('<a href="example.com">a</a>', "link", "no https://"),
        ('<a href="/about">a</a>', "link", "no https://"),
        ('<a href="javascript:alert(1)">a</a>', "link", "begins with javascript:"),
        ('<a href="https://">a</a>', "link", "names no site"),
        ('<a href="https:///x">a</a>', "link", "names no site"),
        ('<a href="http://localhost:8080/x">a</a>', "link", "cannot reach"),
        ('<a href="http://192.168.1.4/">a</a>', "link", "cannot reach"),
        ('<img src="https://example.com/a.png">', "image", "no description"),
        ('<img alt="x">', "image", "no address"),
        ('<img src="a.png" alt="x">', "image", "no https://"),
        ('<img src="data:image/png;base64,AA" alt="x">', "image", "written into the letter"),
        ('<img src="http://127.0.0.1/a.png" alt="x">', "image", "cannot reach"),
    ),
)
def test_what_is_wrong_is_said(source: str, kind: str, says: str) -> None:
    (found,) = proofing.findings(source)
    assert found.kind == kind
    assert says in found.text


def test_a_hundred_of_a_kind_are_a_few_and_a_number() -> None:
    source = "".join(f'<a href="x{n}.example">a</a>' for n in range(100))
    found = proofing.findings(source)
    assert len(found) == proofing.KIND_MOST + 1
    assert found[-1].text == "95 more of this kind"


def test_a_long_address_is_cut() -> None:
    (found,) = proofing.findings(f'<a href="{"x" * 5_000}">a</a>')
    assert len(found.text) < 200
