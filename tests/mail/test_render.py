"""Templates: what a letter may do, what it is told when wrong, and bombs that do not go off."""

import enum
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from tidings.mail import plain, render
from tidings.mail.render import TemplateProblem


def text(source: str, **values: object) -> str:
    return render.compile(source, html=False).render(values)


def html(source: str, **values: object) -> str:
    return render.compile(source, html=True).render(values)


def test_a_greeting_uses_the_name_or_the_default() -> None:
    source = "Hi {{ subscriber.first_name | default: 'friend' }}!"
    assert text(source, subscriber={"first_name": "Bea"}) == "Hi Bea!"
    assert text(source, subscriber={"first_name": None}) == "Hi friend!"
    assert text(source) == "Hi friend!"


def test_a_template_is_compiled_once_and_rendered_for_many() -> None:
    template = render.compile("{% assign n = n | plus: 1 %}{{ n }}", html=False)
    assert [template.render({"n": n}) for n in (1, 2)] == ["2", "3"]
    assert template.render({}) == "1"


@pytest.mark.parametrize(
    "source", ("{{ x }}", "{{ x.y.z }}", "{{ x[0] }}", "{{ x | upcase }}", "{{ x.first }}")
)
def test_undefined_names_render_as_empty(source: str) -> None:
    assert text("[" + source + "]") == "[]"
    assert text("[" + source + "]", x=None) == "[]"


def test_html_escapes_values_and_text_does_not() -> None:
    attack = "<script>&\"'"
    assert html("<b>{{ x }}</b>", x=attack) == "<b>&lt;script&gt;&amp;&#34;&#39;</b>"
    assert text("<b>{{ x }}</b>", x=attack) == f"<b>{attack}</b>"


@pytest.mark.parametrize(
    "source",
    (
        "{{ x | append: x }}",
        "{{ '<b>' | append: x | prepend: x }}",
        "{{ 'a' | replace: 'a', x }}",
        "{{ x | split: '|' | join: x }}",
        "{% capture y %}{{ x }}{% endcapture %}{{ y | upcase | downcase }}",
        "{{ x | newline_to_br }}{{ x | strip_newlines }}",
        "{{ l | join: ', ' }}{{ l }}{{ d }}{{ l | first }}",
        "{{ x | truncate: 9 }}{{ x | slice: 0, 9 }}{{ x | url_decode }}",
        "{% cycle x, x %}{% echo x %}{% ifchanged %}{{ x }}{% endifchanged %}",
        "{% for p in d %}{{ p }}{% endfor %}{{ x | escape_once }}{{ x | date: '%Y' }}",
    ),
)
@pytest.mark.parametrize("kind", (str, Markup))
def test_no_filter_or_tag_lets_a_value_out_unescaped(source: str, kind: type[str]) -> None:
    attack = kind("<i>&<i>")
    assert "<i>" not in html(source, x=attack, l=[attack], d={attack: attack}).lower()


def test_a_value_is_never_itself_a_template() -> None:
    assert text("{{ x }}", x="{{ y }}{% if %}", y="no") == "{{ y }}{% if %}"


class Colour(enum.IntEnum):
    RED = 3


def test_values_are_copied_as_plain_data() -> None:
    given_values = {"a": (1, 2.5, True, None), "b": {"c": "d"}, "e": Colour.RED, "m": Markup("x")}
    copied = plain.plain(given_values)
    assert copied == {"a": [1, 2.5, True, None], "b": {"c": "d"}, "e": 3, "m": "x"}
    assert type(copied["e"]) is int
    assert type(copied["m"]) is str


class Secretive:
    secret = "geheim"

    def __getitem__(self, key: str) -> str:
        return self.secret


@pytest.mark.parametrize(
    "value",
    (
        Secretive(),
        object(),
        b"bytes",
        {1, 2},
        len,
        {1: "a"},
        {"a": {"b": Secretive()}},
        [[[[[[[[[["deep"]]]]]]]]]],
        [10**5_000],
        "x" * (plain.TEXT_MAX + 1),
        ["x"] * (plain.ITEMS_MAX + 1),
        {str(n): [0] * 1_000 for n in range(20)},
    ),
)
def test_values_that_are_not_plain_or_not_small_are_refused(value: object) -> None:
    with pytest.raises(TemplateProblem):
        text("{{ x }}", x=value)


@pytest.mark.parametrize(
    "source",
    (
        "{{ x.__class__ }}",
        "{{ x['__class__'] }}",
        "{{ x.upper }}",
        "{{ l.append }}",
        "{{ d.keys }}",
        "{% for i in l %}{{ forloop.it }}{{ forloop['__class__'] }}{% endfor %}",
        "{{ l | map: '__class__' }}",
        "{{ d | map: 'items' }}",
    ),
)
def test_no_template_reaches_a_python_attribute(source: str) -> None:
    try:
        shown = text(source, x="s", l=["i"], d={"k": "v"})
    except TemplateProblem:
        return
    assert shown == ""


def test_a_lone_surrogate_or_a_nul_in_a_value_breaks_nothing() -> None:
    assert text("{{ x }}", x="a\ud800b🙂") == "a\ufffdb🙂"


@pytest.mark.parametrize(
    ("source", "line"),
    (
        ("{{ x", 1),
        ("a\n{{ x | nofilter }}", 2),
        ("a\n\n{% if %}{% endif %}", 3),
        ("a\n{% nosuchtag %}", 2),
        ("a\n{% include 'x' %}", 2),
        ("a\n{% render 'x' %}", 2),
        ("a\n{% for x on y %}{% endfor %}", 2),
        ("{% raw %}{{ x", 1),
        ("a\n{% liquid\n assign x = 1\n echo x | nofilter\n%}", 4),
    ),
)
def test_a_mistake_is_told_with_its_line_when_compiled(source: str, line: int) -> None:
    with pytest.raises(TemplateProblem, match=f"^Line {line}: ") as problem:
        render.compile(source, html=True)
    assert problem.value.line == line
    assert "\n" not in str(problem.value)


def test_an_unclosed_block_is_a_mistake() -> None:
    with pytest.raises(TemplateProblem, match="endif"):
        render.compile("{% if x %}", html=True)


def test_marks_inside_raw_are_left_alone() -> None:
    assert text("{% raw %}{{ {% {% endraw %}{{ x }}", x=1) == "{{ {% 1"


def test_dates_are_utc_and_now_can_be_given() -> None:
    assert text("{{ 0 | date: '%Y-%m-%d %H:%M' }}") == "1970-01-01 00:00"
    assert text("{{ 'now' | date: '%Y' }}{{ 'today' | date: '%m' }}", now="2026-11-23T12:00:00Z") == "202611"
    assert text("{{ x | date: '%d %B' }}", x="March 5 2024") == "05 March"
    assert text("{{ x | date: '%Y' }}", x="no date") == "no date"
    assert text("{{ x | date: '%Y' }}", x="9" * 60) == "9" * 60
    assert len(text("{{ 'now' | date: '%Y' }}")) == 4


BIG = "x" * 200_000
DICTS = [{"a": number} for number in range(1_000)]
BOMBS: dict[str, tuple[str, dict[str, object]]] = {
    "range and join": ("{{ (1..20000000) | join: ',' }}", {}),
    "range reversed": ("{% for i in (1..20000000) reversed %}{{ i }}{% endfor %}", {}),
    "range searched": ("{% assign r = (1..2000000000) %}{% if r contains 'x' %}1{% endif %}", {}),
    "range in case": ("{% case x %}{% when (1..99999999999) %}1{% endcase %}", {}),
    "range in liquid": ("{% liquid\n assign x = (1..99999999)\n echo x | join: ','\n%}", {}),
    "range in cycle": ("{% cycle (1..99999999), 'b' %}", {}),
    "range as argument": ("{{ l | map: (1..99999999) }}", {"l": ["a"]}),
    "range in tablerow": ("{% tablerow i in (1..50000000) %}{{ i }}{% endtablerow %}", {}),
    "range in unless": ("{% unless (1..99999999) contains 'q' %}a{% endunless %}", {}),
    "range from values": ("{% for i in (1..n) %}{{ i }}{% endfor %}", {"n": 10**9}),
    "replace chain": ("{{ 'aaaaaaaa'" + " | replace: 'a', 'aaaaaaaaaaaaaaaaaaaaaaaa'" * 8 + " }}", {}),
    "replace of nothing": ("{{ x | replace: '', x }}", {"x": "x" * 60_000}),
    "append doubling": (
        "{% assign x = 'aa' %}{% for i in (1..40) %}{% assign x = x | append: x %}{% endfor %}{{ x }}",
        {},
    ),
    "prepend doubling": (
        "{% assign x = 'aa' %}{% for i in (1..40) %}{% assign x = x | prepend: x %}{% endfor %}{{ x }}",
        {},
    ),
    "concat doubling": (
        "{% assign x = 'a,b' | split: ',' %}{% for i in (1..60) %}{% assign x = x | concat: x %}{% endfor %}",
        {},
    ),
    "list of one big text": (
        "{% assign x = b | split: ',' %}{% for i in l %}{% assign x = x | concat: x %}{% endfor %}{{ x }}",
        {"b": BIG, "l": [1] * 9},
    ),
    "join by a big separator": ("{{ l | join: b }}", {"l": ["a"] * 1_000, "b": "y" * 100_000}),
    "numbers squared": (
        "{% assign x = 7 %}{% for i in (1..60) %}{% assign x = x | times: x %}{% endfor %}{{ x }}",
        {},
    ),
    "nested loops": ("{% for i in (1..1000) %}{% for j in (1..1000) %}{{ j }}{% endfor %}{% endfor %}", {}),
    "loops one after another": ("{% for i in (1..1000) %}{% endfor %}" * 20, {}),
    "a long block looped": (
        "{% for i in (1..1000) %}" + "{% if a %}{% endif %}" * 1_000 + "{% endfor %}",
        {},
    ),
    "capture of much": ("{% for i in (1..1000) %}{% capture x %}" + BIG + "{% endcapture %}{% endfor %}", {}),
    "ifchanged of much": (
        "{% for i in (1..1000) %}{% ifchanged %}{{ b }}{% endifchanged %}{% endfor %}",
        {"b": BIG},
    ),
    "output": ("{% for i in (1..9) %}{{ b }}{% endfor %}", {"b": BIG}),
    "many assigned": (
        "{% assign c = b %}" + "".join(f"{{% assign x{n} = c %}}" for n in range(100)),
        {"b": BIG},
    ),
    "uniq repeated": ("{% for i in (1..1000) %}{{ l | uniq | size }}{% endfor %}", {"l": DICTS}),
    "sort repeated": ("{% for i in (1..1000) %}{{ l | sort_natural | size }}{% endfor %}", {"l": DICTS}),
    "split into letters": ("{{ b | split: '' | size }}", {"b": BIG}),
    "strip_html of much": ("{{ b | strip_html }}", {"b": "<a " * 50_000}),
    "encoded again and again": ("{{ b" + " | url_encode" * 9 + " }}", {"b": "é" * 60_000}),
    "date width": ("{{ 'now' | date: '%999999999d' }}", {}),
    "date format": ("{{ 'now' | date: f }}", {"f": "%c" * 100_000}),
    "deep blocks": ("{% if a %}" * 200 + "{% endif %}" * 200, {}),
    "deep brackets": ("{{ a" + "[a" * 2_000 + "]" * 2_000 + " }}", {}),
    "long condition": ("{% if a" + " or a" * 1_500 + " %}{% endif %}", {}),
    "unclosed outputs": ("{{" * 200_000, {}),
    "unclosed raws": ("{% raw %}" * 50_000, {}),
    "unclosed docs": ("{% doc %}" * 50_000, {}),
    "spaces": ("{{" + " " * 100_000 + "x }}", {}),
    "a long mark": ("{{ '" + "x" * 100_000 + "' }}", {}),
    "long source": ("x" * (render.SOURCE_OCTETS_MAX + 1), {}),
    "long number": ("{{ 9" + "9" * 5_000 + " }}", {}),
    "surrogate": ("\ud800", {}),
    "not a number": ("{{ 'nan' | round }}", {}),
    "endless number": ("{{ 'inf' | ceil }}", {}),
    "by zero": ("{{ 1 | divided_by: 0 }}", {}),
    "not base64": ("{{ 'x' | base64_decode }}{{ '/w==' | base64_decode }}", {}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_as_a_problem_in_little_memory(name: str) -> None:
    source, values = BOMBS[name]
    tracemalloc.start()
    try:
        with pytest.raises(TemplateProblem) as problem:
            render.compile(source, html=True).render(values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 48 * 2**20
    assert "\n" not in str(problem.value)
    assert len(str(problem.value)) < 300


def test_an_honest_long_letter_is_within_the_limits() -> None:
    line = "<p>{{ p.name | upcase | truncate: 20 }}: {{ p.price | times: 2 }}</p>"
    source = "{% for p in products %}" + line + "{% endfor %}"
    products = [{"name": f"Thing {n}", "price": n} for n in range(500)]
    assert html(source * 10, products=products).count("<p>") == 5_000
    assert html("<td>" * 100_000) == "<td>" * 100_000


PIECES = st.sampled_from(
    (
        *(
            "{{ x }}",
            "{{ ",
            " }}",
            "{% ",
            " %}",
            "{% if x %}",
            "{% endif %}",
            "{% for i in l %}",
            "{% endfor %}",
        ),
        *("x", "l", "i", ".", "[", "]", "|", " | upcase", " | append: x", " | split: ','", " | join: x"),
        *("'", '"', "(1..3)", "\n", "-", "<p>", "é", "\x00", "\u2028", "{% raw %}", "{% endraw %}"),
        *("{% comment %}", "{% assign y = x", "{% case x %}", "{% when 1 %}", "{% liquid\n", "{% else %}"),
        *(" | date: x", " | slice: i", " | round: x", " | map: x", " | where: x", " | sum", " | sort"),
    )
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), VALUES, st.lists(VALUES, max_size=4), st.booleans())
def test_any_template_with_any_values_renders_or_is_a_problem(
    source: str, x: object, items: list[object], as_html: bool
) -> None:
    try:
        rendered = render.compile(source, html=as_html).render({"x": x, "l": items})
    except TemplateProblem:
        return
    rendered.encode()
