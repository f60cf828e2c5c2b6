"""The message as bytes: no value in any field changes the header set, and what was meant arrives."""

import email
import email.policy
import os
import quopri
from dataclasses import replace
from email.header import decode_header, make_header
from email.message import Message as Parsed

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.mail import headers
from tidings.mail.message import Message, build, needs_smtputf8, qp_lines

EXAMPLES = 20_000 if os.environ.get("TIDINGS_PROOF") else 500

LETTER = Message(
    from_name="Ada's newsletter",
    from_address="ada@example.com",
    to_name="Bea",
    to_address="bea@example.org",
    reply_to="reply@example.com",
    subject="Hello",
    text="Hi Bea,\n\nread this.\n",
    html="<p>Hi Bea,</p>\n<p>read this.</p>\n",
    message_id="0197.abc@news.example.com",
    date_ms=1_795_000_000_000,
    headers=(
        ("List-Unsubscribe", "<https://example.com/u/abc>, <mailto:u@example.com?subject=u>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("List-Id", "Ada <ada.example.com>"),
        ("Feedback-ID", "7:ada"),
    ),
)
NAMES = [
    *("From", "To", "Reply-To", "Subject", "Date", "Message-ID"),
    *(name for name, _ in LETTER.headers),
    *("MIME-Version", "Content-Type"),
]
# Finding 1 of reliability.md, in Q and B, whole and in pieces.
ATTACKS = (
    "=?utf-8?q?a=0D=0ABcc=3A_v=40x.test?=",
    "=?utf-8?b?YQ0KQmNjOiB2QHgudGVzdA0KDQpib2R5?=",
    "=?utf-8?q?a=0D=0ABcc=3A?= =?utf-8?q?_v=40x.test?=",
    "=?us-ascii?q?=0A?=",
    "a\r\nBcc: v@x.test",
    "a\nBcc: v@x.test",
    "a\rBcc: v@x.test",
    "a\r\n\r\nbody",
    "a\x85Bcc: v@x.test",
    "a\u2028Bcc: v@x.test",
    "a\x0bBcc: v@x.test\x0c",
    "=\x00?utf-8?q?=0D=0ABcc=3A_v=40x.test?\x00=",
    '" <v@x.test>, "',
    "<v@x.test>",
    "a, b: c; d",
    "\\",
    '"',
    "(comment",
    "\ud800\udfff",
    "\u202eevil\u2066",
    "x" * 10_000,
    "é" * 10_000,
    "x " * 5_000,
    " ",
    "",
)


def parsed(data: bytes) -> Parsed:
    return email.message_from_bytes(data, policy=email.policy.compat32)


def check(data: bytes, names: list[str]) -> Parsed:
    """Both parsers see these header names, and the wire form is right."""
    block, gap, _ = data.partition(b"\r\n\r\n")
    assert gap
    assert headers.read_names(block + b"\r\n") == names
    message = parsed(data)
    assert message.keys() == names
    assert not message.defects
    lines = data.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line or b"\x00" in line for line in lines)
    assert max(map(len, lines)) <= 998
    return message


def decoded(field: str) -> str:
    return str(make_header(decode_header(field.replace("\r\n", ""))))


def test_an_ordinary_letter_reads_as_it_was_meant() -> None:
    message = check(build(LETTER), NAMES)
    assert message["From"] == "Ada's newsletter <ada@example.com>"
    assert message["To"] == "Bea <bea@example.org>"
    assert message["Subject"] == "Hello"
    assert message["Date"] == "Wed, 18 Nov 2026 11:06:40 +0000"
    assert message["Message-ID"] == "<0197.abc@news.example.com>"
    assert message.get_content_type() == "multipart/alternative"
    parts = message.get_payload()
    assert isinstance(parts, list)
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    for part, meant in zip(parts, (LETTER.text, LETTER.html), strict=True):
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        # The CRLF before a boundary belongs to the boundary (RFC 2046 5.1.1).
        assert payload.decode() == meant.replace("\n", "\r\n").removesuffix("\r\n")


def test_the_same_message_gives_the_same_bytes_and_another_id_another_boundary() -> None:
    assert build(LETTER) == build(replace(LETTER))
    boundary = parsed(build(LETTER)).get_boundary()
    assert boundary != parsed(build(replace(LETTER, message_id="other@example.com"))).get_boundary()


@pytest.mark.parametrize("value", ATTACKS)
@pytest.mark.parametrize("where", ("from_name", "to_name", "subject", "text", "html"))
def test_no_known_attack_changes_the_header_set(where: str, value: str) -> None:
    data = build(replace(LETTER, **{where: value, "text": value or "t", "html": value or "h"}))
    message = check(data, NAMES)
    assert b"\nBcc:" not in data.partition(b"\r\n\r\n")[0]
    assert decoded(message["Subject"]) == headers.clean(value if where == "subject" else "Hello")
    assert len(message.get_payload()) == 2


@pytest.mark.parametrize("value", ATTACKS)
@pytest.mark.parametrize("name", ("X-Note", "List-Unsubscribe", "List-Id", "Feedback-ID"))
def test_no_known_attack_in_a_further_header_changes_the_set(name: str, value: str) -> None:
    letter = replace(LETTER, headers=((name, value),))
    if name == "List-Unsubscribe" and len(value) >= 10_000 and " " not in value:
        with pytest.raises(ValueError, match="longer than a line"):
            build(letter)
        return
    check(build(letter), [*NAMES[:6], name, "MIME-Version", "Content-Type"])


@pytest.mark.parametrize(
    ("typed", "kept"),
    (
        ("a\r\nb\nc\rd\te", "a b c d e"),
        ("a\x85b\u2028c\u2029d\x0be\x0cf", "a b c d e f"),
        ("a\x00b\x1bc\x7fd\x9fe", "abcde"),
        ("a\ud800b\u202ac\u202ed\u2066e\u2069f", "abcdef"),
        ("=\x00?utf-8?q?a?=", "=?utf-8?q?a?="),
        ("  Zoë 用户 🙂  ", "Zoë 用户 🙂"),
        (" plain ", "plain"),
    ),
)
def test_a_persons_text_becomes_one_clean_line(typed: str, kept: str) -> None:
    assert headers.clean(typed) == kept


def test_an_encoded_word_in_a_url_is_no_encoded_word_any_more() -> None:
    field = headers.url_field(
        "List-Unsubscribe", "<https://x.test/?=?utf-8?q?=0D=0ABcc?=>, <https://é.test/>"
    )
    value = field.decode().partition(": ")[2].replace("\r\n", "")
    assert decode_header(value) == [(value, None)]
    assert value == "<https://x.test/?=%3Futf-8?q?=0D=0ABcc?=>, <https://%C3%A9.test/>"


TEXT = st.text(st.characters(exclude_categories=()), max_size=120)
POISON = st.sampled_from(
    (*ATTACKS, "=?", "?=", "=0D=0A", "\r\n", "\r\n ", ": ", "Bcc", "\t", ".\r\n", "--=_")
)
HOSTILE = st.lists(TEXT | POISON, max_size=6).map("".join)


@settings(max_examples=EXAMPLES, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_value_in_any_field_changes_the_header_set(
    from_name: str, to_name: str, subject: str, text: str, html: str, note: str
) -> None:
    letter = replace(
        LETTER,
        from_name=from_name,
        to_name=to_name,
        subject=subject,
        text="t" + text,
        html="h" + html,
        headers=(("X-Note", note), ("List-Unsubscribe", f"<https://example.com/?{note[:60]}>")),
    )
    expected = [*NAMES[:6], "X-Note", "List-Unsubscribe", "MIME-Version", "Content-Type"]
    message = check(build(letter), expected)
    # Decoded once, each value is exactly what was typed, cleaned; so nothing decodes a second time.
    assert decoded(message["Subject"]) == headers.clean(subject)
    assert decoded(message["X-Note"]) == headers.clean(note)
    for name, address in (("From", "ada@example.com"), ("To", "bea@example.org")):
        assert message[name].replace("\r\n", "").endswith(address + ">" * ("<" in message[name]))
    assert len(message.get_payload()) == 2
    words = [word for line in build(letter).split(b"\r\n") for word in line.split() if word[:2] == b"=?"]
    assert all(len(word) <= 75 for word in words if word.endswith(b"?="))


@settings(max_examples=EXAMPLES, deadline=None)
@given(HOSTILE)
def test_a_display_name_comes_back_whole_from_another_reader(name: str) -> None:
    field = headers.mailbox_field("To", name, "bea@example.org").decode()
    read = email.message_from_string(field, policy=email.policy.compat32)
    [(shown, address)] = email.utils.getaddresses([decoded_phrases(read["To"])])
    assert address == "bea@example.org"
    expected = headers.clean(name)
    if "=?utf-8?" in field:
        shown = decoded(read["To"].replace("\r\n", "").rpartition(" <")[0])
    assert shown == expected


def decoded_phrases(field: str) -> str:
    return field.replace("\r\n", "")


@pytest.mark.parametrize("size", range(60, 70))
def test_an_encoded_word_never_splits_a_character(size: int) -> None:
    for char in ("é", "用", "🙂"):
        field = headers.text_field("Subject", "a" * (size % 7) + char * size).decode()
        words = field.removeprefix("Subject:").split()
        assert all(len(word) <= 75 for word in words)
        # Each word decodes by itself.
        assert "".join(decoded(word) for word in words) == "a" * (size % 7) + char * size


def test_idn_domains_go_as_a_labels_and_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    idn = replace(LETTER, to_address="bea@münchen.de")
    assert not needs_smtputf8(idn)
    assert parsed(build(idn))["To"] == "Bea <bea@xn--mnchen-3ya.de>"
    utf8 = replace(LETTER, to_address="ünal@münchen.de")
    assert needs_smtputf8(utf8)
    assert "To: Bea <ünal@xn--mnchen-3ya.de>\r\n".encode() in build(utf8)


@pytest.mark.parametrize(
    "change",
    (
        {"to_address": "bea@example.org>\r\nBcc: v@x.test"},
        {"from_address": "not an address"},
        {"reply_to": "a@b.test, c@d.test"},
        {"message_id": "a@b.test>\r\nBcc: v@x.test"},
        {"message_id": "no-right-side"},
        {"message_id": "a@b\n"},
        {"message_id": "é@b.test"},
        {"date_ms": -1},
        {"date_ms": 10**18},
        {"headers": (("Bcc", "v@x.test"),)},
        {"headers": (("subject", "again"),)},
        {"headers": (("Content-Type", "text/html"),)},
        {"headers": (("X-A: b\r\nBcc", "v@x.test"),)},
        {"headers": (("X A", "b"),)},
        {"headers": (("", "b"),)},
    ),
)
def test_what_is_not_a_persons_text_must_be_right(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build(replace(LETTER, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "html", "kind"), (("t", "", "plain"), ("", "<p>h", "html"), ("", "", "plain"))
)
def test_one_body_alone_is_one_part(text: str, html: str, kind: str) -> None:
    message = check(build(replace(LETTER, text=text, html=html)), [*NAMES, "Content-Transfer-Encoding"])
    assert message.get_content_type() == f"text/{kind}"
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().rstrip("\r\n") == text + html


def test_a_body_loses_its_controls_and_keeps_right_to_left_isolates() -> None:
    letter = replace(LETTER, text="a\x00b\x1b\x85c\u2028d\r e\u202ef\u2067g\u2069\ud800", html="")
    payload = parsed(build(letter)).get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().strip("\r\n") == "ab\r\nc\r\nd\r\n ef\u2067g\u2069"


@pytest.mark.parametrize(
    "block",
    (
        b"A: b",
        b"A: b\n",
        b"A: b\r\nC: d\ne\r\n",
        b"A: b\r\n\r\n",
        b" A: b\r\n",
        b"A: b\r\n \r\n",
        b"A b\r\n",
        b"A : b\r\n",
        b"A: b\x00\r\n",
        b"A: b\r\r\n",
        b"A: " + b"x" * 996 + b"\r\n",
    ),
)
def test_the_strict_reader_refuses_what_two_readers_could_read_differently(block: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        headers.read_names(block)


@pytest.mark.parametrize("tail", (" \n", "\t\n", " ", " \r", " \nmore"))
@pytest.mark.parametrize("length", range(70, 80))
def test_a_space_at_the_end_of_a_full_line_makes_it_no_longer(length: int, tail: str) -> None:
    for text in ("x" * length + tail, "é" + "x" * length + tail):
        encoded = qp_lines(text)
        assert max(map(len, encoded.split(b"\r\n"))) <= 76
        assert quopri.decodestring(encoded.replace(b"\r\n", b"\n")).decode() == text.replace("\r", "\n")
