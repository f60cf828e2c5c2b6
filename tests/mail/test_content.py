"""A content compiled and personalised: what arrives, for whom, and what is tracked."""

import re
from dataclasses import replace

import pytest

from tests.mail.letters import BASE, BEA, LETTER, compiled, html, parsed, parts, refs, text
from tidings.mail import content
from tidings.mail.render import TemplateProblem

CLICK = f"{BASE}/c/TRACK-token_1/"
LEAVE = f"{BASE}/u/LEAVE-token_2"
PREFERENCES = f"{BASE}/p/LEAVE-token_2"


def test_every_name_of_the_letter_is_filled_in() -> None:
    body = (
        "{{ subscriber.first_name }}|{{ subscriber.email_address }}|{{ subscriber.city }}|"
        "{{ subscriber.fields.city }}|{{ account.name }}|{{ unsubscribe_url }}|"
        "{{ subscriber_preferences_url }}|{{ now }}|{{ today | date: '%d.%m.%Y' }}|{{ 'now' | date: '%Y' }}|"
    )
    expected = f"Bea|bea@example.org|Paris|Paris|Ada|{LEAVE}|{PREFERENCES}|2026-11-23|23.11.2026|2026|"
    assert expected in html(html=body)
    assert expected in text(text=body)


def test_the_address_breaks_lines_in_html_as_it_does_in_text() -> None:
    assert "1 Main Street<br>Town" in html(html="<p>{{ address }}</p>")
    assert "1 Main Street\nTown" in text(text="{{ address }}")


def test_a_value_is_escaped_in_html_and_not_in_text_or_subject() -> None:
    person = replace(BEA, first_name="<b>&'")
    data = compiled(subject="{{ subscriber.first_name }}", html="<p>{{ subscriber.first_name }}</p>").message(
        person
    )
    shown_text, shown_html = parts(data)
    assert "<p" in shown_html
    assert "&lt;b&gt;&amp;&#39;" in shown_html
    assert "<b>&'" not in shown_html
    assert shown_text.startswith("<b>&'\n")
    assert parsed(data)["Subject"] == "<b>&'"


@pytest.mark.parametrize("given", (None, "", "\x00", "\ufdd0"))
def test_a_name_that_says_nothing_is_no_name(given: str | None) -> None:
    name = "subscriber.first_name"
    body = f"{{% if {name} %}}A{{% else %}}B{{% endif %}}{{% if {name} == blank %}}C{{% endif %}}"
    data = compiled(html=f"<p>{body}{{{{ subscriber.first_name | default: 'friend' }}}}</p>").message(
        replace(BEA, first_name=given)
    )
    assert "BCfriend" in parts(data)[1]


def test_each_distinct_link_has_one_reference_and_counts_for_the_person() -> None:
    body = (
        '<p><a href="https://a.test/?x=1&amp;y=2">one</a> <a href="HTTPS://b.test/">two</a>'
        ' <a href=" https://a.test/?x=1&y=2\n">again</a></p>'
    )
    made = compiled(html=body)
    assert made.links == ("https://a.test/?x=1&y=2", "HTTPS://b.test/")
    shown_text, shown = parts(made.message(BEA))
    assert re.findall(r'href="([^"]*/c/[^"]*)"', shown) == [
        CLICK + "0" * 16, CLICK + "0" * 15 + "1", CLICK + "0" * 16,
    ]  # fmt: skip
    assert f"one ({CLICK}{'0' * 16})" in shown_text
    assert "a.test" not in shown + shown_text


@pytest.mark.parametrize(
    "href",
    (
        "mailto:x@a.test", "tel:+1", "#top", "/path", "javascript:alert(1)", "https://a.test/{{ now }}",
        "{{ subscriber.url }}", f"{BASE}/f/abc", BASE, "https://", "ftp://a.test/",
        "https://a.test/" + "x" * 3_000,
    ),
)  # fmt: skip
def test_what_cannot_be_counted_is_left_alone(href: str) -> None:
    made = compiled(html=f'<p><a href="{href}">x</a></p>')
    assert made.links == ()
    assert "/c/TRACK" not in parts(made.message(BEA))[1]


def test_links_of_a_text_are_tracked_without_the_signs_that_end_a_sentence() -> None:
    shown = text(text="See https://a.test/x_(y). And (https://b.test/)! {{ unsubscribe_url }}")
    assert f"See {CLICK}{'0' * 16}. And ({CLICK}{'0' * 15}1)! {LEAVE}" in shown


def test_nothing_is_tracked_where_the_account_does_not_want_it() -> None:
    made = compiled(html='<p><a href="https://a.test/">x</a></p>', track_opens=False, track_clicks=False)
    data = made.message(BEA)
    assert made.links == ()
    assert b"TRACK" not in data
    assert 'href="https://a.test/"' in parts(data)[1]


def test_the_pixel_stands_once_at_the_end() -> None:
    shown = html()
    assert shown.count(f'src="{BASE}/o/TRACK-token_1/o.gif"') == 1
    assert shown.index("/o/TRACK") > shown.index("Hi Bea")


def test_references_are_asked_for_once_and_checked() -> None:
    asked: list[list[str]] = []

    def once(urls: object) -> list[str]:
        asked.append(list(urls))  # type: ignore[call-overload]
        return ["r" * 16]

    letter = replace(LETTER, html='<p><a href="https://a.test/">x</a></p>')
    content.compile(letter, base_url=BASE, list_id="a.test", refs=once)
    assert asked == [["https://a.test/"]]
    for wrong in ([], ["a/b"], ['"'], ["a", "b"]):
        with pytest.raises(ValueError, match="reference"):
            content.compile(letter, base_url=BASE, list_id="a.test", refs=lambda _, wrong=wrong: wrong)


@pytest.mark.parametrize(
    "body",
    (
        "<p>Hi</p>",
        "<p>{% if now == 'Rome' %}<a href='{{ unsubscribe_url }}'>x</a>{{ address }}{% endif %}</p>",
        "<!-- <a href='{{ unsubscribe_url }}'>x</a> {{ address }} -->",
        "{% comment %}<a href='{{ unsubscribe_url }}'>x</a> {{ address }}{% endcomment %}",
        "{% raw %}<a href='{{ unsubscribe_url }}'>x</a> {{ address }}{% endraw %}",
        "<style>a{background:url('{{ unsubscribe_url }}{{ address }}')}</style>",
        "<a style='display: none' href='{{ unsubscribe_url }}'>x</a>",
        "",
    ),
)
def test_the_footer_is_there_unless_the_author_says_it_where_everybody_sees_it(body: str) -> None:
    shown_text, shown = parts(compiled(html=body).message(BEA))
    assert "Ada<br>1 Main Street<br>Town" in shown
    assert f'<a href="{LEAVE}"' in shown[shown.index("Ada<br>") :]
    assert f'<a href="{PREFERENCES}"' in shown[shown.index("Ada<br>") :]
    assert "--\nAda\n1 Main Street\nTown" in shown_text
    assert LEAVE in shown_text


def test_the_footer_of_a_text_ends_it() -> None:
    assert text(text="Hi").removeprefix("Hi\n\n") == (
        f"--\nAda\n1 Main Street\nTown\n\nUnsubscribe: {LEAVE}\nUpdate your preferences: {PREFERENCES}"
    )


def test_the_footer_says_nothing_twice() -> None:
    body = "<p>{{ address }} {{ unsubscribe_link }}</p>"
    shown_text, shown = parts(compiled(html=body).message(BEA))
    assert shown.count("1 Main Street") == shown.count(LEAVE) == 1
    assert shown_text.count("1 Main Street") == shown_text.count(LEAVE) == 1
    assert ">Unsubscribe</a>" in shown


def test_the_footer_speaks_the_letters_language() -> None:
    made = content.compile(LETTER, base_url=BASE, list_id="a.test", refs=refs, lang="de-AT")
    shown = parts(made.message(BEA))[1]
    assert '<html lang="de-AT"' in shown
    assert ">Abmelden</a>" in shown


def test_unknown_names_render_empty_and_are_reported() -> None:
    made = compiled(
        field_keys=["city"],
        subject="{{ subject_x }}",
        html="<p>[{{ nobody }}{{ subscriber.citty }}{{ snippet.none }}{{ account.id }}]{{ subscriber.city }}"
        "{% for x in subscriber.fields.tags %}{{ x.name }}{{ forloop.index }}{% endfor %}</p>",
        preheader="{{ before }}",
    )
    assert set(made.unknown) == {
        "subject_x", "nobody", "subscriber.citty", "snippet.none", "account.id", "subscriber.fields.tags",
        "before",
    }  # fmt: skip
    assert "[]Paris" in parts(made.message(BEA))[1]
    assert compiled(html="{{ subscriber.anything }}").unknown == ()


def test_snippets_stand_in_html_text_and_subject_with_their_own_liquid() -> None:
    snippets = {
        "hi": "Hi {{ subscriber.first_name }}",
        "sign": '<p>Yours, <a href="https://ada.test/">{{ snippet.hi }}</a></p>',
    }
    made = compiled(
        subject="{{ snippet.hi }}!", html="{{ snippet.sign }}", text="{{snippet.sign}}", snippets=snippets
    )
    data = made.message(BEA)
    shown_text, shown = parts(data)
    assert parsed(data)["Subject"] == "Hi Bea!"
    assert f'Yours, <a href="{CLICK}{"0" * 16}"' in shown
    assert ">Hi Bea</a>" in shown
    assert f"Yours, Hi Bea ({CLICK}{'0' * 16})" in shown_text
    assert made.plain


def test_snippets_that_name_each_other_end() -> None:
    snippets = {"a": "a{{ snippet.b }}", "b": "b{{ snippet.a }}"}
    assert "ababa" not in html(html="<p>{{ snippet.a }}</p>", snippets=snippets)
    bomb = {str(n): f"{{{{ snippet.{n + 1} }}}}" * 4_000 for n in range(4)}
    with pytest.raises(TemplateProblem):
        compiled(html="{{ snippet.0 }}", snippets=bomb)


def test_the_preheader_comes_first_and_hidden_with_its_names_escaped() -> None:
    shown = html(preheader="For {{ subscriber.city }} & <all>")
    first = shown.index("For Paris &amp; &lt;all&gt;")
    assert first < shown.index("Hi Bea")
    assert "display:none" in shown[shown.index("<body") : first]


def test_a_letter_of_text_alone_has_the_same_words_as_html() -> None:
    shown = html(html="", text="Dear {{ subscriber.first_name }},\n\nthis < that\nand more")
    assert re.search(r"<p[^>]*>Dear Bea,</p>\s*<p[^>]*>this &lt; that<br>\s*and more</p>", shown)


@pytest.mark.parametrize("layout", ("Text only", "CLASSIC", " modern ", "nobody knows"))
def test_each_layout_is_a_whole_page_for_phones_and_for_the_dark(layout: str) -> None:
    shown = html(layout=layout, html="<style>.x{color:#123456}</style><p class='x'>Words</p>")
    assert shown.startswith("<!DOCTYPE html>")
    for needed in (
        'name="viewport"',
        "prefers-color-scheme:dark",
        "max-width: 600px",
        'content="light dark"',
    ):
        assert needed in shown
    assert re.search(r'<p class="x" style="[^"]*color: #123456', shown)
    assert shown.count("<style") == 1
    assert "Words" in shown


def test_an_authors_whole_page_gives_its_body_and_its_styles() -> None:
    page = (
        "<!doctype html><html><head><title>T</title><meta name=x><style>p{color:#010203}</style></head>"
        "<body class=b><p>Words</p><script>alert(1)</script></body></html>"
    )
    shown = html(html=page)
    assert re.search(r'<p style="[^"]*color: #010203[^"]*">Words</p>', shown)
    assert "alert" not in shown
    assert shown.count("<body") == shown.count("<html") == shown.count("<title") == 1


def test_an_authors_rule_is_stronger_than_the_layouts() -> None:
    shown = html(html="<style>p{margin:7px}a{color:#010203}</style><p><a href='https://a.test/'>x</a></p>")
    assert '<p style="margin: 7px;">' in shown
    assert re.search(r'<a href="[^"]*" style="color: #010203;">', shown)


def test_rules_that_cannot_be_inlined_stay() -> None:
    shown = html(html="<style>a:hover{color:red}@media print{p{color:#010203}}</style><p>x</p>")
    assert "a:hover" in shown
    assert "@media print" in shown


def test_liquid_among_tables_and_attributes_stays_where_it_was() -> None:
    body = (
        "<table>{% if subscriber.city == 'Paris' %}<tr><td {% if true %}class='y'{% endif %}>in</td></tr>"
        "{% else %}<tr><td>out</td></tr>{% endif %}</table>"
    )
    shown = html(html=body)
    assert re.search(
        r"<table>\s*(<tbody>)?<tr><td\s+class=.y.[^>]*>in</td></tr>\s*(</tbody>)?</table>", shown
    )
    assert "out" not in shown


def test_a_tag_opened_in_either_branch_is_closed_once() -> None:
    body = "{% if subscriber.city %}<div class='a'>{% else %}<div class='b'>{% endif %}in</div><p>after</p>"
    shown = html(html=body)
    assert "<div class='a'>in</div><p>after</p>" in shown


def test_braces_that_an_entity_wrote_are_no_liquid() -> None:
    made = compiled(html="<p>&#123;&#123; subscriber.first_name }} &#123;% if %}</p>", from_name="{{ x }}")
    shown = parts(made.message(BEA))[1]
    assert "Bea" not in shown
    assert "{ subscriber.first_name }}" in shown
    named = compiled(sender_name="{{ subscriber.city }}", postal_address="{% if %}")
    shown_text, shown = parts(named.message(BEA))
    assert "Paris" not in shown + shown_text


def test_the_headers_of_bulk_mail_are_all_there() -> None:
    data = compiled(reply_to="re@example.com").message(BEA)
    message = parsed(data)
    assert message.items() == [
        ("From", "Ada's newsletter <ada@example.com>"),
        ("To", "Bea <bea@example.org>"),
        ("Reply-To", "re@example.com"),
        ("Subject", "Hello"),
        ("Date", "Wed, 18 Nov 2026 11:06:40 +0000"),
        ("Message-ID", "<1.2@news.example.com>"),
        ("List-Unsubscribe", f"<{LEAVE}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("List-Id", "Ada <ada.example.com>"),
        ("Feedback-ID", "broadcast-7:12:bulk:tidings"),
        ("Precedence", "bulk"),
        ("MIME-Version", "1.0"),
        ("Content-Type", message["Content-Type"]),
    ]
    assert message["Content-Type"].replace("\r\n", "").startswith('multipart/alternative; boundary="=_')


def test_the_same_person_gets_the_same_octets() -> None:
    assert compiled().message(BEA) == compiled().message(replace(BEA))
    assert compiled().message(BEA) != compiled().message(replace(BEA, first_name="Cal"))


@pytest.mark.parametrize(
    "wrong",
    (
        {"track": "a/b"}, {"track": ""}, {"leave": 'a"b'}, {"leave": "a\r\nBcc: x"}, {"leave": "a\n"},
        {"message_id": "a b@c"}, {"message_id": "x@y\r\nBcc: z"}, {"email": "no address"},
        {"email": "a@b.test\r\nBcc: x@y.test"}, {"email": "a@b.test>"}, {"date_ms": -1},
    ),
)  # fmt: skip
def test_what_is_not_a_persons_text_is_refused_when_wrong(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        compiled().message(replace(BEA, **wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    (
        {"base_url": "javascript:alert(1)"}, {"base_url": "https://a.test/\" x"}, {"base_url": "https://a.test\r\n"},
        {"list_id": ""}, {"list_id": "a b"}, {"list_id": "x>\r\nBcc: y"},
    ),
)  # fmt: skip
def test_addresses_of_ours_are_checked_when_compiled(wrong: dict[str, str]) -> None:
    given = {"base_url": BASE, "list_id": "a.test", **wrong}
    with pytest.raises(ValueError, match="not of the form"):
        content.compile(LETTER, refs=refs, **given)


def test_mistakes_are_told_when_compiled() -> None:
    with pytest.raises(TemplateProblem, match="Line 3"):
        compiled(html="<p>\n{% if x %}{% endif %}</p>\n{{ x | nofilter }}")
    for broken in (
        {"subject": "{{"},
        {"text": "{% for %}"},
        {"preheader": "{{ x | y }}"},
        {"from_address": "x"},
    ):
        with pytest.raises(ValueError, match=r"\w"):
            compiled(**broken)


def test_a_letter_of_names_and_conditions_needs_no_press_and_a_loop_does() -> None:
    assert compiled(
        html="{{ subscriber.city | upcase }}{% unless now %}a{% elsif true %}b{% endunless %}"
    ).plain
    assert not compiled(html="{% for i in (1..3) %}{{ i }}{% endfor %}").plain
    assert not compiled(subject="{{ 'x' | replace: 'x', subscriber.city }}").plain
    assert "123" in html(html="{% for i in (1..3) %}{{ i }}{% endfor %}")


def test_a_loop_sees_the_persons_tokens_too() -> None:
    link = "<a href='https://a.test/'>x</a><a href='{{ unsubscribe_url }}'>y</a>"
    body = "{% for i in (1..2) %}" + link + "{% endfor %}"
    shown = html(html=body)
    assert shown.count(CLICK + "0" * 16) == 2
    assert shown.count(f'"{LEAVE}"') == 3
    assert not re.search("[\ufdd0-\ufdef]", shown)


def test_a_message_is_never_larger_than_the_limit() -> None:
    long = replace(BEA, fields={"city": "é" * 65_000})
    with pytest.raises(TemplateProblem, match="too large"):
        compiled(html="<p>{{ subscriber.city }}</p>" * 100).message(long)
    assert len(compiled(html="<p>{{ subscriber.city }}</p>" * 2).message(long)) > 500_000


def test_a_field_that_the_letter_does_not_say_cannot_be_too_long_for_it() -> None:
    person = replace(BEA, fields={f"f{n}": "x" * 65_000 for n in range(20)} | {"city": "Rome"})
    body = "{% for i in (1..2) %}{{ subscriber.city }}{% endfor %}"
    assert "RomeRome" in parts(compiled(html=body).message(person))[1]


def test_the_size_is_that_of_the_constant_html() -> None:
    small, large = compiled().size, compiled(html="<p>" + "x" * 50_000 + "</p>").size
    assert 49_900 < large - small < 50_000 + 100
