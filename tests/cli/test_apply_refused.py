"""What `tidings apply` refuses in a file, and that it names the line."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.declare.lines import lines_of
from tidings.declare.reading import Refused, read

FORM = "[[forms]]\nname = 'x'\n"
PERSON = "[[subscribers]]\nemail = 'a@b.example'\n"
BUY = "[[purchases]]\ntransaction_id = '1'\nemail = 'a@b.example'\n"
HOOK = "[[webhooks]]\ntarget_url = 'https://x.example'\n"
LETTER = "[[broadcasts]]\nsubject = 'x'\n"

REFUSED = (
    ('[[forms]]\nname = "x"\n\ntitel = "y"', 4, 'unknown key "titel" in [[forms]]'),
    ("# a\n[[form]]\n", 2, 'unknown table "form"'),
    ("\nform = 1", 2, 'unknown key "form"'),
    ('"a\\nb" = 1', 1, 'unknown key "a\\nb"'),
    ("[forms]\nname = 'x'", 1, "forms must be written as [[forms]]"),
    ("forms = 1", 1, "forms must be written as [[forms]]"),
    ("[[account]]\nname = 'x'", 1, "the account must be written as [account]"),
    ("[account]\nnmae = 'x'", 2, 'unknown key "nmae" in [account]'),
    ("[account]\nprimary_email = 'nobody'", 2, "primary_email in [account] is not an email address"),
    ("[account]\nname = ' '", 2, "name in [account] must not be blank"),
    ("[[forms]]\ntitle = 'x'", 1, "name is missing in [[forms]]"),
    ("[[forms]]\nname = 1", 2, "name in [[forms]] must be text, not a whole number"),
    ("[[forms]]\nname = 1.5", 2, "name in [[forms]] must be text, not a number"),
    ("[[forms]]\nname = 2026-01-01", 2, "name in [[forms]] must be text, not a date or a time"),
    (FORM + "confirm = 'yes'", 3, "confirm in [[forms]] must be true or false, not text"),
    (FORM + "type = 'page'", 3, "type in [[forms]] must be one of: embed, hosted"),
    (FORM + "format = 'big'", 3, "format in [[forms]] must be one of: inline, modal"),
    (FORM + "id = '5'", 3, "id in [[forms]] must be a whole number, not text"),
    (FORM + "id = true", 3, "id in [[forms]] must be a whole number, not true or false"),
    (FORM + "id = 0", 3, "id in [[forms]] must be an id between 1 and 9007199254740991"),
    (FORM + "id = -1", 3, "id in [[forms]] must be an id between"),
    (FORM + "id = 9007199254740992", 3, "id in [[forms]] must be an id between"),
    (FORM + "id = 0x" + "f" * 9_000, 3, "id in [[forms]] is too large"),
    (FORM + "redirect_url = 'javascript:alert(1)'", 3, "redirect_url in [[forms]] must be"),
    ('[[forms]]\nname = "a\\u0000b"', 2, "name in [[forms]] must be one line without control characters"),
    ('[[forms]]\nname = "x"\ndescription = "a\\u0000b"', 3, "description in [[forms]] must not"),
    ("[[forms]]\nname = '" + "x" * 256 + "'", 2, "name in [[forms]] is too long (maximum is 255 characters)"),
    ("[[tags]]\nname = 'a'\n[[tags]]\nname = 'A'", 4, 'name "A" is twice in [[tags]]'),
    ("[[tags]]\nname = 'a'\nid = 5\n[[tags]]\nid = 5\nname = 'b'", 5, "the id 5 is twice in [[tags]]"),
    ("[[forms]]\nname = 'a'\nid = 5\n[[forms]]\nname = 'a'", 5, 'is twice in [[forms]]; give each an id'),
    ("[[subscribers]]\nemail = 'A@x.de'\n[[subscribers]]\nemail = 'a@X.de'", 4, '"a@X.de" is twice'),
    ("[[sequences]]\nname = 'x'\nemails = 1", 3, "emails must be written as [[sequences.emails]]"),
    ("[[sequences]]\nname = 'x'\n[[sequences.emails]]\nsubject = 'x'\nhtml = ''", 3, "delay is missing"),
    (
        "[[sequences]]\nname = 'x'\n[[sequences.emails]]\nsubject = 'x'\nhtml = ''\ndelay = '1 month'",
        6,
        "delay in [[sequences.emails]] must be a delay such as",
    ),
    (
        "[[sequences]]\nname = 'x'\n[[sequences.emails]]\nsubject = 'x'\nhtml = ''\ndelay = '9999 weeks'",
        6,
        "delay in [[sequences.emails]] is too long (maximum is 3650 days)",
    ),
    ("[[subscribers]]\nemail = 'x'", 2, "email in [[subscribers]] is not an email address"),
    (PERSON + "state = 'gone'", 3, "state in [[subscribers]] must be one of: active"),
    (PERSON + "forms = 5", 3, "forms in [[subscribers]] must be a list of ids"),
    (PERSON + "tags = [1.5]", 3, "tags in [[subscribers]] must be an id or a name"),
    (PERSON + "fields = 'x'", 3, "fields in [[subscribers]] must be a table such as"),
    (PERSON + "fields = { a = [1] }", 3, "has a value for a that must be text"),
    (LETTER + "status = 'sent'", 3, "status in [[broadcasts]] must be one of: draft"),
    (LETTER + "send_at = '2026'", 3, "send_at in [[broadcasts]] must be a date with a time"),
    (LETTER + "send_at = 2026-12-01", 3, "not a date or a time"),
    (
        LETTER + "status = 'draft'\nsend_at = 2026-12-01T09:00:00Z",
        4,
        "a broadcast has a status or a send_at, not both",
    ),
    ("[[purchases]]\nemail = 'a@b.example'", 1, "transaction_id is missing in [[purchases]]"),
    (BUY + "total = nan", 4, "total in [[purchases]] must be"),
    (BUY + "total = 1e99", 4, "total in [[purchases]] must be"),
    (BUY + "total = ''", 4, "total in [[purchases]] must be"),
    (BUY + "currency = 'EURO'", 4, "code of three letters"),
    (
        BUY + "products = [\n{pid = 1, lid = 1, name = 'x'},\n{pid = 1, lid = 2}]",
        6,
        "name is missing in the products of [[purchases]]",
    ),
    (
        BUY + "products = [\n{pid = 1, lid = 1, nmae = 'x'}]",
        5,
        'unknown key "nmae" in the products of [[purchases]]',
    ),
    (HOOK + "event = 'tag'", 3, "event in [[webhooks]] must be one of"),
    (
        HOOK + "event = 'purchase.tag_add'\ntag_id = 1",
        3,
        "event in [[webhooks]] must be one of",
    ),
    (HOOK + "event = 'tag_add'", 3, "the event tag_add needs tag_id"),
    (
        HOOK + "event = 'purchase_create'\ntag_id = 1",
        4,
        "the event purchase_create takes no tag_id",
    ),
    ("[[webhooks]]\ntarget_url = 'ftp://x.example'\nevent = 'purchase_create'", 2, "target_url in"),
    ("[[tags]]\nname = 'a'\nname = 'b'", 3, "is not TOML: "),
    ("[[tags]]\nname = ", 2, "is not TOML: "),
)  # fmt: skip


@pytest.mark.parametrize(("text", "line", "said"), REFUSED, ids=[said[:60] for _, _, said in REFUSED])
def test_what_is_wrong_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(Refused) as refused:
        read(text, "newsletter.toml")
    message = str(refused.value)
    assert message.startswith(f"newsletter.toml, line {line}: ")
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ("a = " + "[" * 50_000, "a = 1" + "0" * 9_000, "a = " + "{a=" * 50_000))
def test_a_text_that_would_exhaust_the_parser_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read(text, "x.toml")


def test_amounts_stay_exact() -> None:
    text = "[[purchases]]\ntransaction_id = 7\nemail = 'a@b.example'\ntotal = 0.30000000000000001\ntax = 5"
    [purchase] = read(text, "x").purchases
    assert (purchase.total, purchase.tax, purchase.transaction_id) == ("0.30000000000000001", "5.0", "7")


@pytest.mark.parametrize(
    ("written", "ms"),
    (
        ("'0'", 0),
        ("0", 0),
        ("'30 minutes'", 1_800_000),
        ("'1 hour'", 3_600_000),
        ("'2 weeks'", 1_209_600_000),
    ),
)
def test_delays_are_read(written: str, ms: int) -> None:
    text = f"[[sequences]]\nname = 'x'\nemails = [{{ subject = 's', html = 'h', delay = {written} }}]"
    [sequence] = read(text, "x").sequences
    assert sequence.emails is not None
    assert [one.delay for one in sequence.emails] == [ms]


def test_every_kind_of_line_is_found() -> None:
    text = textwrap.dedent(
        '''\
        # a comment = with [brackets]
        top."quoted \\" key".'literal' = 1
        [one . two]  # comment
        text = """
        [[not.a.table]]
        name = "x" \\""" and "" more"""""
        raw = \'\'\'
        ''[x]\'\'\'\'\'
        after = "#"
        [[list]]
        dated = 2026-12-01 09:00:00Z # a space within
        values = [ 1, # one
          "two,]", [
          3 ],
          { four = 4, "fi=ve" = [5] },
        ]
        [[list]]
        [[list.inner]]
        a.b = 1
        [[list.inner]]
        [list.inner.deep]
        last = true
        '''
    )
    found = lines_of(text)
    for path, line in {
        ("top",): 2,
        ("top", 'quoted " key', "literal"): 2,
        ("one", "two"): 3,
        ("one", "two", "text"): 4,
        ("one", "two", "raw"): 7,
        ("one", "two", "after"): 9,
        ("list", 0): 10,
        ("list", 0, "dated"): 11,
        ("list", 0, "values", 1): 13,
        ("list", 0, "values", 2, 0): 14,
        ("list", 0, "values", 3, "fi=ve"): 15,
        ("list", 1): 17,
        ("list", 1, "inner", 0, "a", "b"): 19,
        ("list", 1, "inner", 1): 20,
        ("list", 1, "inner", 1, "deep", "last"): 22,
    }.items():
        assert found[path] == line, path


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6), st.booleans())
def test_a_value_of_any_text_never_hides_the_line_after_it(texts: list[str], crlf: bool) -> None:
    end = "\r\n" if crlf else "\n"
    lines = []
    for at, words in enumerate(texts):
        quoted = "".join(f"\\U{ord(one):08x}" if one in '\\"\x7f' or ord(one) < 32 else one for one in words)
        lines.append(f'k{at} = "{quoted}"')
    found = lines_of(end.join([*lines, "last = 1"]))
    assert found["last",] == len(texts) + 1


@given(st.text("[]{}=\"'#,. \n\\abc1", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        plan = read(text, "x")
    except Refused as problem:
        refused: Refused | None = problem
    else:
        refused = None
        assert plan.name == "x"
    assert refused is None or str(refused).startswith("x")
