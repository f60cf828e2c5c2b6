"""DKIM as another implementation sees it: every signature verifies, and no change goes unnoticed."""

import base64
import re
from concurrent.futures import ThreadPoolExecutor

import dkim as judge
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mail.letters import BEA, compiled
from tests.mail.test_content_people import HOSTILE, PEOPLE
from tidings.mail import dkim, headers
from tidings.mail.content import Recipient
from tidings.mail.message import Message, build

KEYS = {kind: dkim.make_key(kind) for kind in ("rsa", "ed25519")}
SIGNERS = {kind: dkim.Signer("News.Example.com", "s1.a", pem) for kind, pem in KEYS.items()}
LETTER = compiled(
    subject="For {{ subscriber.first_name }}", html="<p>{{ subscriber.city }}</p>\n\n\n", reply_to="r@x.test"
)
KIND = st.sampled_from(("rsa", "ed25519"))


def verified(kind: str, signed: bytes) -> bool:
    record = "".join(re.findall('"([^"]*)"', dkim.dns_record(KEYS[kind]))).encode()

    def answer(name: bytes, timeout: int = 5) -> bytes:
        assert name == b"s1.a._domainkey.news.example.com."
        return record

    return bool(judge.verify(signed, dnsfunc=answer))


@settings(max_examples=200, deadline=None)
@given(PEOPLE, KIND)
def test_every_bulk_message_verifies(person: Recipient, kind: str) -> None:
    data = LETTER.message(person)
    assert verified(kind, SIGNERS[kind].sign(data) + data)


@settings(max_examples=200, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, KIND)
def test_every_other_message_verifies(name: str, subject: str, text: str, html: str, kind: str) -> None:
    data = build(
        Message(
            from_name=name,
            from_address="ada@news.example.com",
            to_name=subject,
            to_address="bea@example.org",
            reply_to=None,
            subject=subject,
            text=text,
            html=html,
            message_id="1@news.example.com",
            date_ms=0,
            headers=(("X-Note", text),),
        )
    )
    assert verified(kind, SIGNERS[kind].sign(data) + data)


@pytest.mark.parametrize(
    "body", (b"", b"\r\n", b"\r\n\r\n", b"a", b"a \r\n \r\n", b"\r\na\r\n\r\n", b".\r\n")
)
@pytest.mark.parametrize("kind", KEYS)
def test_a_body_of_any_end_verifies(kind: str, body: bytes) -> None:
    data = b"From:  a@b.test\r\nSubject:\t x\r\n\t  y \r\nTO: b@c.test\r\n\r\n" + body
    assert verified(kind, SIGNERS[kind].sign(data) + data)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    ("old", "new"),
    (
        (b"For Bea", b"For Cal"),
        (b"Paris", b"Pari5"),
        (b"To: Bea <bea@", b"To: Bea <bee@"),
        (b"From: Ada", b"From: Eve"),
        (b"One-Click", b"Two-Click"),
        (b"/u/LEAVE", b"/u/leave"),
        (b"Date: Wed", b"Date: Thu"),
        (b"boundary=", b"boundary =x"),
        (b"\r\n\r\n--", b"\r\nCc: v@x.test\r\n\r\n--"),
        (b"Subject: For", b"Subject: Other\r\nSubject: For"),
        (b"To: Bea", b"To: v@x.test\r\nTo: Bea"),
        (b"Reply-To:", b"Reply-To: v@x.test\r\nReply-To:"),
    ),
)
def test_a_changed_or_added_field_or_octet_does_not_verify(kind: str, old: bytes, new: bytes) -> None:
    data = LETTER.message(BEA)
    signature = SIGNERS[kind].sign(data)
    assert data.count(old) >= 1
    assert verified(kind, signature + data)
    assert not verified(kind, signature + data.replace(old, new, 1))


@pytest.mark.parametrize("kind", KEYS)
def test_a_field_added_in_front_or_text_behind_does_not_verify(kind: str) -> None:
    data = LETTER.message(BEA)
    signature = SIGNERS[kind].sign(data)
    for name in (b"From", b"To", b"Cc", b"Subject", b"Reply-To", b"List-Unsubscribe", b"Content-Type"):
        assert not verified(kind, signature + name + b": <https://evil.test/>\r\n" + data)
    assert not verified(kind, signature + data + b"more\r\n")


def test_two_signatures_stand_beside_each_other() -> None:
    data = LETTER.message(BEA)
    both = SIGNERS["ed25519"].sign(data) + SIGNERS["rsa"].sign(data) + data
    assert verified("ed25519", both)
    record = "".join(re.findall('"([^"]*)"', dkim.dns_record(KEYS["rsa"]))).encode()
    assert judge.DKIM(both).verify(idx=1, dnsfunc=lambda name, timeout=5: record)


def test_the_signature_says_what_it_should_and_nothing_more() -> None:
    data = LETTER.message(BEA)
    field = SIGNERS["rsa"].sign(data)
    assert headers.read_names(field) == ["DKIM-Signature"]
    assert max(map(len, field.split(b"\r\n"))) <= 78
    tags = dict(
        tag.strip().split("=", 1) for tag in re.sub(r"\s+", "", field.decode().partition(":")[2]).split(";")
    )
    assert set(tags) == {"v", "a", "c", "d", "s", "bh", "h", "b"}
    assert (tags["a"], tags["c"], tags["d"]) == ("rsa-sha256", "relaxed/simple", "news.example.com")
    signed = tags["h"].split(":")
    for name in ("from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post"):
        assert signed.count(name) == 2
    for name in ("reply-to", "mime-version", "content-type", "list-id"):
        assert signed.count(name) == 2
    assert signed.count("cc") == 1


def test_the_same_message_has_the_same_signature_in_any_thread() -> None:
    data = LETTER.message(BEA)
    for signer in SIGNERS.values():
        with ThreadPoolExecutor(4) as threads:
            assert len(set(threads.map(signer.sign, [data] * 20))) == 1


def test_records_are_in_strings_that_dns_can_hold() -> None:
    chunks = re.findall('"([^"]*)"', dkim.dns_record(KEYS["rsa"]))
    assert len(chunks) == 2
    assert max(map(len, chunks)) <= 255
    assert "".join(chunks).startswith("v=DKIM1; k=rsa; p=MII")
    (only,) = re.findall('"([^"]*)"', dkim.dns_record(KEYS["ed25519"]))
    assert len(base64.b64decode(only.partition("p=")[2])) == 32


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    guard = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, guard)


def test_keys_that_receivers_would_not_take_are_refused_without_being_shown() -> None:
    short = pem_of(rsa.generate_private_key(65_537, 1_024))  # noqa: S505 - it is to be refused
    other = pem_of(ec.generate_private_key(ec.SECP256R1()))
    locked = pem_of(rsa.generate_private_key(65_537, 2_048), b"secret")
    for wrong in (short, other, locked, b"", b"not a key", KEYS["rsa"][:200]):
        with pytest.raises(ValueError, match="key") as refusal:
            dkim.Signer("example.com", "s1", wrong)
        assert "MII" not in str(refusal.value)


@pytest.mark.parametrize(
    ("domain", "selector"),
    (
        ("a b.test", "s"),
        ("x;d=y.test", "s"),
        ("x.test", ""),
        ("x.test", "s;t"),
        ("x.test", "a\r\nb"),
        ("x", "s"),
    ),
)
def test_a_domain_or_selector_that_breaks_the_field_is_refused(domain: str, selector: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        dkim.Signer(domain, selector, KEYS["ed25519"])


def test_a_domain_beyond_ascii_is_signed_by_its_a_label() -> None:
    assert dkim.Signer("exämple.test", "s", KEYS["ed25519"]).domain == "xn--exmple-cua.test"


def test_what_nobody_sent_is_not_signed() -> None:
    with pytest.raises(ValueError, match="From"):
        SIGNERS["rsa"].sign(b"To: a@b.test\r\n\r\nx\r\n")
