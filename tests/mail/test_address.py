"""Which addresses are accepted, and which spellings are the same person or the same mailbox."""

import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.mail import address

EXAMPLES = 20_000 if os.environ.get("TIDINGS_PROOF") else 500


@pytest.mark.parametrize(
    "raw",
    (
        "bea@example.com",
        "Bea.Smith+news@Example.COM",
        "o'brien@example.com",
        "_under_score_@example.com",
        "a-b@exa-mple.co.uk",
        "a@b.test",
        "a@host.local",
        "a@nowhere.invalid",
        "a@service.localhost",
        "a@hidden.onion",
        "1@2.com",
        "a" * 64 + "@example.com",
        "a@" + "b" * 63 + ".com",
        "ünal@example.com",
        "用户@例子.中国",
        "δοκιμή@παράδειγμα.ελ",
        "a@münchen.de",
        "a@xn--mnchen-3ya.de",
        "!#$%&'*+/=?^_`{|}~-@example.com",
    ),
)
def test_a_good_address_is_kept_as_given(raw: str) -> None:
    assert address.parse(raw).email == raw


@pytest.mark.parametrize(
    "raw",
    (
        "",
        " ",
        "@",
        "bea",
        "bea@",
        "@example.com",
        "bea@localhost",
        "bea@example",
        "bea@example.com.",
        "bea@.example.com",
        "bea@example..com",
        "bea@-example.com",
        "bea@example-.com",
        "bea@exam_ple.com",
        "bea@1.2.3.4",
        "bea@[1.2.3.4]",
        "bea@[IPv6:::1]",
        ".bea@example.com",
        "bea.@example.com",
        "b..ea@example.com",
        '"bea"@example.com',
        '"b ea"@example.com',
        "b ea@example.com",
        "bea@exam ple.com",
        "bea@x@example.com",
        "bea@@example.com",
        "bea＠example.com",
        "bea﹫example.com",
        "bea@example。com",
        "bea@example．com",
        "bea@example｡com",
        "b․ea@example.com",
        "bea\x00@example.com",
        "bea@example.com\x00",
        "be\x1ba@example.com",
        "bea\n@example.com",
        "bea@example.com\nBcc: v@x.test",
        "bea\x85@example.com",
        "bea@example.com\u2028",
        "bea@example.com\u2029",
        "be\u202ea@example.com",
        "be\u200ba@example.com",
        "bea\u00a0@example.com",
        "\ud800@example.com",
        "bea@ex\udfffample.com",
        "Bea <bea@example.com>",
        "<bea@example.com>",
        "bea@example.com,cal@example.com",
        "bea;@example.com",
        "mailto:bea@example.com",
        "b\\ea@example.com",
        "a" * 65 + "@example.com",
        "é" * 33 + "@example.com",
        "a@" + "b" * 64 + ".com",
        "a" * 60 + "@" + ".".join(["b" * 60] * 3) + ".com" + "c" * 10,
        "a" * 64 + "@" + ".".join(["b" * 62] * 3) + ".com",
        "a@ab--cd.com",
        "a@xn--a.com",
        "a@☃\u0301.com",
        "x" * 1_000_000,
        "@" * 10_000,
        "\u0338" * 200 + "@example.com",
    ),
)
def test_a_bad_address_is_refused_with_a_reason(raw: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        address.parse(raw)
    assert type(refusal.value) is ValueError
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("raw", "key", "mailbox"),
    (
        ("Bea@Example.COM", "bea@example.com", "bea@example.com"),
        ("  bea@example.com\r\n", "bea@example.com", "bea@example.com"),
        ("Bea+News@example.com", "bea+news@example.com", "bea@example.com"),
        ("+news@example.com", "+news@example.com", "+news@example.com"),
        ("b.e.a+x+y@gmail.com", "b.e.a+x+y@gmail.com", "bea@gmail.com"),
        ("B.Ea@GoogleMail.com", "b.ea@googlemail.com", "bea@gmail.com"),
        ("b.ea@example.com", "b.ea@example.com", "b.ea@example.com"),
        ("a@MÜNCHEN.de", "a@xn--mnchen-3ya.de", "a@xn--mnchen-3ya.de"),
        ("a@XN--MNCHEN-3YA.DE", "a@xn--mnchen-3ya.de", "a@xn--mnchen-3ya.de"),
        ("a@mu\u0308nchen.de", "a@xn--mnchen-3ya.de", "a@xn--mnchen-3ya.de"),
        ("ÜNAL+x@example.com", "ünal+x@example.com", "ünal@example.com"),
        ("u\u0308nal@example.com", "ünal@example.com", "ünal@example.com"),
        # Casefolding takes U+0390 apart; the key is composed again.
        ("\u0390@example.com", "\u0390@example.com", "\u0390@example.com"),
        ("STRASSE@example.com", "strasse@example.com", "strasse@example.com"),
        ("straße@example.com", "strasse@example.com", "strasse@example.com"),
    ),
)
def test_key_and_mailbox_fold_what_they_should(raw: str, key: str, mailbox: str) -> None:
    parsed = address.parse(raw)
    assert (parsed.key, parsed.mailbox) == (key, mailbox)


def test_the_wire_spelling_has_an_ascii_domain_and_an_untouched_local_part() -> None:
    assert address.with_ascii_domain("Ünal@MÜNCHEN.de") == "Ünal@xn--mnchen-3ya.de"
    assert address.with_ascii_domain("Bea@Example.com") == "Bea@Example.com"


ODD = st.text(st.characters(exclude_categories=()), max_size=40)
HALVES = st.builds(
    "{}@{}".format,
    st.text(st.sampled_from("abcXYZ019._-+'éßΣ用İ\u0301\u202e ＠"), max_size=12),
    st.text(st.sampled_from("abcXN019.-éß用。\u0301\u200d _"), max_size=16).map(lambda d: d + ".com"),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(ODD | HALVES | ODD.map(lambda local: local + "@example.com"))
def test_any_text_is_parsed_or_refused_and_parsing_again_changes_nothing(raw: str) -> None:
    try:
        parsed = address.parse(raw)
    except ValueError:
        return
    again = address.parse(parsed.email)
    assert again == parsed
    assert parsed.email == unicodedata.normalize("NFC", parsed.email)
    for spelling in (parsed.email, parsed.key, parsed.mailbox):
        assert spelling.count("@") == 1
        assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp", "Zs") for char in spelling)
    assert parsed.key.rpartition("@")[2].isascii()
    assert len(parsed.email.encode()) <= 254
    assert address.with_ascii_domain(parsed.email).rpartition("@")[2].isascii()


PLAIN = st.from_regex(r"\A[a-z0-9_+'-]{1,10}(\.[a-z0-9]{1,5})?@[a-z0-9]{1,8}(-[a-z0-9]{1,4})?\.[a-z]{2,6}\Z")


@settings(max_examples=EXAMPLES, deadline=None)
@given(PLAIN, st.randoms(use_true_random=False))
def test_case_variants_of_an_ascii_address_share_one_key(raw: str, random: object) -> None:
    varied = "".join(char.upper() if random.random() < 0.5 else char for char in raw)  # type: ignore[attr-defined]
    assert address.parse(varied).key == address.parse(raw).key == raw


@settings(max_examples=EXAMPLES, deadline=None)
@given(PLAIN)
def test_the_fast_way_and_the_thorough_way_agree(raw: str) -> None:
    assert address.parse(raw) == address._parse_any(raw)
