"""Any person in any letter: the fast way says what the slow way says, and the headers stay as they are."""

import os
from dataclasses import replace
from email.header import decode_header, make_header
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mail.letters import BASE, BEA, LETTER, compiled, parsed, parts, refs
from tidings.mail import headers, message, plan, render
from tidings.mail.assemble import Assembly, piece
from tidings.mail.content import Recipient, feedback_id
from tidings.mail.recipient import Names
from tidings.mail.sources import sources

EXAMPLES = 20_000 if os.environ.get("TIDINGS_PROOF") else 400
QUIET = [HealthCheck.too_slow]

POISON = st.sampled_from(
    (
        *("=?utf-8?q?a=0D=0ABcc=3A_v=40x.test?=", "=?utf-8?b?YQ0KQmNjOiB2QHgudGVzdA0KDQpib2R5?=", "=?"),
        *("?=", "=0D=0A"),
        *("a\r\nBcc: v@x.test", "\r\n\r\n", "\nBcc: v@x.test", "\r", "\x85", "\u2028", "\x0b", "\x00"),
        *("\ud800", "\u202e"),
        *("\ufdd0", "\ufdd1", "\ufdd20\ufdd3", "{{ subscriber.email_address }}", "{% if %}", "</style>"),
        *("<script>",),
        *("--=_", "\r\n--=_", ".", "\r\n.\r\n", "From ", " ", "  ", "\t", "=", "=\r\n", "é" * 90),
        *("x" * 200, "x " * 90),
    )
)  # fmt: skip
HOSTILE = st.lists(
    st.text(st.characters(exclude_categories=()), max_size=40) | POISON, max_size=5
).map("".join)  # fmt: skip
VALUE = st.none() | HOSTILE | st.sampled_from(("Bea", "Zoë", "Anne-Marie O'Neil", "用户"))
EMAIL = st.sampled_from(
    ("bea@example.org", "b+e.a@example.co.uk", "bea@exämple.test", "用户@example.test", "x@y.zz")
)
PEOPLE = st.builds(
    Recipient,
    email=EMAIL,
    first_name=VALUE,
    fields=st.dictionaries(st.sampled_from(("city", "a", "first_name", "fields")), VALUE, max_size=3),
    track=st.from_regex(r"[A-Za-z0-9_-]{1,200}", fullmatch=True),
    leave=st.from_regex(r"[A-Za-z0-9_-]{1,200}", fullmatch=True),
    message_id=st.just(BEA.message_id),
    date_ms=st.integers(0, 253_402_300_799_999),
    now=st.dates(),
)
BODY = (
    "<style>p{color:red}</style><h1>Hi {{ subscriber.first_name | default: 'you & me' }} é 用户</h1>"
    "<p title='{{ subscriber.city }}'>{{ subscriber.city }}"
    "{{ subscriber.a | upcase | strip | append: ' <i>' }} "
    "<a href='https://a.test/?x=1&amp;y={{ now }}'>1</a><a href='https://b.test/?x=1&amp;y=2'>2</a>   "
    + "long line of words without an end "
    * 8
    + "{% if subscriber.city contains 'P' %}In <a href='https://c.test/'>{{ subscriber.city }}</a>"
    "{% elsif subscriber.first_name == blank %}nameless {{ unsubscribe_url }}{% else %} \n {% endif %}</p>"
    "{% unless subscriber.a %}<p>{{ subscriber_preferences_url }}</p>{% endunless %}"
)
SUBJECT = "{{ subscriber.first_name }} in {{ subscriber.city | default: 'town' }}"
NAMES = Names("Ada", LETTER.postal_address, f"{BASE}/u/", f"{BASE}/p/", {})
FAST = compiled(
    subject=SUBJECT, html=BODY, preheader="{{ subscriber.a }}", layout="modern", reply_to="r@x.test"
)
SLOW = sources(
    replace(LETTER, subject=SUBJECT, html=BODY, preheader="{{ subscriber.a }}", layout="modern"),
    BASE,
    "en",
    refs,
)
SUBJECT_TEMPLATE, TEXT_TEMPLATE, HTML_TEMPLATE = (
    render.compile(SLOW.subject, html=False),
    render.compile(SLOW.text, html=False),
    render.compile(SLOW.html, html=True),
)
FIELDS = [
    *("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post"),
    *("List-Id", "Feedback-ID", "Precedence", "MIME-Version", "Content-Type"),
]


def slowly(person: Recipient) -> bytes:
    """The same message by full renders and `message.build`."""
    values = NAMES.values(person, None)
    return message.build(
        message.Message(
            from_name=LETTER.from_name,
            from_address=LETTER.from_address,
            to_name=person.first_name or "",
            to_address=person.email,
            reply_to="r@x.test",
            subject=SUBJECT_TEMPLATE.render(values),
            text=plan.tokens_put(TEXT_TEMPLATE.render(values), person),
            html=plan.tokens_put(HTML_TEMPLATE.render(values), person),
            message_id=person.message_id,
            date_ms=person.date_ms,
            headers=(
                ("List-Unsubscribe", f"<{BASE}/u/{person.leave}>"),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
                ("List-Id", "Ada <ada.example.com>"),
                ("Feedback-ID", feedback_id("broadcast:7", 12)),
                ("Precedence", "bulk"),
            ),
        )
    )


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET)
@given(PEOPLE)
def test_the_fast_way_says_what_the_slow_way_says(person: Recipient) -> None:
    assert FAST.plain
    fast, slow = FAST.message(person), slowly(person)
    assert parts(fast) == parts(slow)
    ours, theirs = parsed(fast), parsed(slow)
    assert ours.keys() == FIELDS
    assert ours.items()[:-1] == theirs.items()[:-1]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET)
@given(PEOPLE)
def test_no_value_of_a_person_changes_the_header_set_or_a_line_beyond_its_length(person: Recipient) -> None:
    data = FAST.message(person)
    block, _, body = data.partition(b"\r\n\r\n")
    assert headers.read_names(block + b"\r\n") == FIELDS
    read = parsed(data)
    assert read.keys() == FIELDS
    shown = str(make_header(decode_header(read["Subject"].replace("\r\n", ""))))
    assert "\n" not in shown
    assert max(map(len, body.split(b"\r\n"))) <= 76
    for line in data.split(b"\r\n"):
        assert b"\r" not in line
        assert b"\n" not in line
        assert b"\0" not in line
    payload = read.get_payload()
    assert isinstance(payload, list)
    assert len(payload) == 2
    for part in payload:
        assert part.keys() == ["Content-Type", "Content-Transfer-Encoding"]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET)
@given(PEOPLE)
def test_a_letter_rendered_whole_holds_to_the_same_rules(person: Recipient) -> None:
    data = WHOLE.message(person)
    assert not WHOLE.plain
    assert parsed(data).keys() == [name for name in FIELDS if name != "Reply-To"]
    assert max(map(len, data.partition(b"\r\n\r\n")[2].split(b"\r\n"))) <= 76
    for shown in parts(data):
        assert not set(shown) & {"\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"}
        assert f"{BASE}/u/{person.leave}" in shown


WHOLE = compiled(
    subject="{% assign x = subscriber.first_name %}{{ x }}",
    html="{% for i in (1..2) %}<p>{{ subscriber.city | replace: 'P', 'Q' }}</p>{% endfor %}",
)

OUTPUTS = st.sampled_from(
    (
        *("{{ subscriber.city }}", "{{subscriber.fields.a}}", "{{ nobody.here }}", "{{ account.name }}"),
        *("{{ now }}",),
        *("{{ subscriber.city | default: '<b>' }}", "{{ nobody | default: subscriber.a }}"),
        *("{{- subscriber.a -}}",),
        *("{{ subscriber.city | upcase }}", "{{ subscriber.a | append: '<i>' | downcase }}"),
        *("{{ 'a<b' }}", "{{ 7 }}"),
        *("{{ subscriber.city | prepend: subscriber.a | capitalize }}",),
        *("{{ subscriber.a | strip | default: '-' }}",),
        *("{{ nil | default: 'x' }}", "{{ true }}", "{{ 1.5 }}", "{{ subscriber.city | upcase: 1 }}"),
        *("{{ blank }}",),
        *("{{ subscriber.a | append }}", "{{ subscriber.a | lstrip | rstrip }}"),
        *("{{ 5 | append: 'x' | upcase }}",),
        *("{% comment %}x{% endcomment %}", "{% # y %}", " ", "\n", "a<b>", "é"),
        *("{% raw %}{{ x }}{% endraw %}",),
    )
)  # fmt: skip
TESTS = st.sampled_from(
    (
        *("subscriber.city", "nobody", "subscriber.city == 'Paris'", "subscriber.a != blank"),
        *("blank == nobody",),
        *("subscriber.city contains 'ar'", "subscriber.a == empty", "subscriber.city > 'P'"),
        *("subscriber.a < 5",),
        *("subscriber.a or subscriber.city", "subscriber.a and nobody or true", "subscriber.a == nil"),
        *("false",),
        *("subscriber.city == subscriber.a", "subscriber.a >= subscriber.city", "nobody contains 'x'"),
        *("'' == blank",),
    )
)  # fmt: skip


def branched(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Conditions around what is given."""
    tag = st.sampled_from(("if", "unless"))
    return st.builds(
        lambda tag, one, two, a, b, c: (
            f"{{% {tag} {one} %}}{a}{{% elsif {two} %}}{b}{{% else %}}{c}{{% end{tag} %}}"
        ),
        *(tag, TESTS, TESTS, inner, inner, inner),
    )


TEMPLATES = st.lists(
    st.recursive(OUTPUTS, lambda inner: branched(st.lists(inner, max_size=3).map("".join)), max_leaves=6),
    max_size=6,
).map("".join)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET)
@given(TEMPLATES, VALUE, VALUE, st.booleans())
def test_a_plan_says_what_a_render_says(source: str, city: str | None, a: str | None, as_html: bool) -> None:
    person = replace(BEA, fields={"city": city, "a": a})
    try:
        template = render.compile(source, html=as_html)
    except render.TemplateProblem:
        return
    made = plan.plan(template, NAMES)
    assert made is not None
    assert said(lambda: joined(made, person)) == said(lambda: template.render(NAMES.values(person, None)))


def joined(made: list[str | plan.Fill], person: Recipient) -> str:
    return "".join(part if isinstance(part, str) else part(person) for part in made)


def said(render_it: object) -> str:
    try:
        return cast(str, render_it())  # type: ignore[operator]
    except render.TemplateProblem:
        return "a problem"


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(HOSTILE, max_size=8))
def test_pieces_of_quoted_printable_read_together_as_the_text(texts: list[str]) -> None:
    encoded = Assembly([piece(text) for text in texts] + [0]).join((b"end",))
    lines = encoded.split(b"\r\n")
    assert max(map(len, lines)) <= 76
    assert not any(line.endswith((b" ", b"\t")) for line in lines)
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    read = parsed(head + encoded).get_payload(decode=True)
    assert isinstance(read, bytes)
    assert read.decode().replace("\r\n", "\n") == "".join(message.tidied(text) for text in texts) + "end"


@pytest.mark.parametrize("length", range(140, 160))
@pytest.mark.parametrize("letter", ("a", "=", "é", "用", " "))
def test_a_soft_break_always_finds_room(length: int, letter: str) -> None:
    for text in (letter * length, "a" * (length % 7) + letter * length):
        assert max(map(len, piece(text).split(b"\r\n"))) <= 76
