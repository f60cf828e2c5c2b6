"""What `tidings doctor` finds in a database, in a key file, and in the DNS of a sending domain."""

import base64
import os
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dns.resolver
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tidings import doctor
from tidings.core import accounts
from tidings.doctor import Finding, Patient, domain
from tidings.store import health
from tidings.store.db import Database

Records = dict[str, list[str]]
Usage = namedtuple("Usage", "total used free")


def answering(records: Records) -> Callable[[str], list[str]]:
    return lambda name: records.get(name, [])


def nobody_is_asked(name: str) -> list[str]:
    raise AssertionError(f"{name} was looked up")


def silent(name: str) -> list[str]:
    raise domain.CannotAsk(f"the DNS does not answer for {name}")


@pytest.fixture
def patient(url: str, tmp_path: Path) -> Patient:
    """A migrated database with an account, and everything set as it should be."""
    db = Database(url)
    made = db.write_now(accounts.INSTALLATION, accounts.create, "Acme", "you@example.com")
    db.write_now(made.account_id, accounts.describe, postal_address="1 Main Street")
    db.close()
    return Patient(url, "k" * 32, "smtp://mail.example.com:587", "https://mail.example.com")


def found(patient: Patient, lookup: Callable[[str], list[str]] = nobody_is_asked) -> dict[str, Finding]:
    return {one.what: one for one in doctor.examine(patient, lookup)}


def test_all_is_well_where_all_is_set(patient: Patient) -> None:
    assert {one.word for one in found(patient).values()} == {"ok"}


def test_a_finding_is_one_line_with_what_to_do() -> None:
    assert Finding("fail", "disk", "full", "make room").line() == "fail  disk: full; make room"
    assert Finding("ok", "disk", "empty").line() == "ok    disk: empty"


def test_durability_is_shown_for_each_kind_of_database(patient: Patient) -> None:
    shown = {one.removeprefix("database "): finding.said for one, finding in found(patient).items()}
    if patient.database.startswith("sqlite"):
        assert (shown["journal_mode"], shown["synchronous"]) == ("wal", "FULL")
    else:
        assert (shown["fsync"], shown["synchronous_commit"], shown["full_page_writes"]) == ("on",) * 3


def test_what_durability_rests_on_fails_when_it_is_off(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "durability", lambda _: [health.Fact("synchronous", "OFF", fine=False)])
    finding = found(patient)["database synchronous"]
    assert (finding.word, finding.said) == ("fail", "OFF")


@pytest.mark.parametrize(("free", "word"), ((50 << 20, "fail"), (500 << 20, "warn"), (5 << 30, "ok")))
def test_the_disk_of_a_file_must_have_room(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, free: int, word: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(1 << 40, 0, free))
    assert found(Patient(sqlite_url, "k" * 32, "outbox:", "http://127.0.0.1:8080"))["disk"].word == word


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    patient = Patient(f"sqlite:///{tmp_path}/none.db", "", "outbox:", "http://127.0.0.1:8080")
    assert found(patient)["database"].word == "fail"
    assert list(tmp_path.iterdir()) == []


def test_an_unmigrated_database_fails_and_its_accounts_are_not_asked_for(empty_url: str) -> None:
    Database(empty_url).close()
    findings = found(Patient(empty_url, "k" * 32, "outbox:", "http://127.0.0.1:8080"))
    assert findings["migrations"].word == "fail"
    assert "tidings migrate" in findings["migrations"].said
    assert "accounts" not in findings


def test_a_server_that_does_not_answer_fails_without_its_password() -> None:
    finding = found(Patient("postgresql://me:hush@127.0.0.1:1/x", "", "outbox:", "http://x.example"))[
        "database"
    ]
    assert finding.word == "fail"
    assert "hush" not in finding.line()


@pytest.mark.parametrize(
    ("changed", "what", "word"),
    (
        ({"smtp_url": "outbox:"}, "mail", "warn"),
        ({"smtp_url": "smtp://"}, "mail", "fail"),
        ({"base_url": "http://127.0.0.1:8080"}, "links", "warn"),
        ({"base_url": "http://mail.example.com"}, "links", "warn"),
        ({"master_key": "short"}, "master key", "fail"),
    ),
)
def test_settings_that_will_not_do_are_found(
    patient: Patient, changed: dict[str, str], what: str, word: str
) -> None:
    assert found(replace(patient, **changed))[what].word == word


def test_the_key_file_must_be_whole_and_for_nobody_else(sqlite_url: str, tmp_path: Path) -> None:
    patient = Patient(sqlite_url, "", "outbox:", "http://127.0.0.1:8080")
    assert found(patient)["master key"].word == "warn"
    path = tmp_path / "master.key"
    path.write_text("k" * 43)
    path.chmod(0o600)
    assert found(patient)["master key"].word == "ok"
    path.chmod(0o640)
    assert found(patient)["master key"].to_do == f"run: chmod 600 {path}"
    path.chmod(0o600)
    path.write_text("cut")
    assert found(patient)["master key"].word == "fail"
    assert os.stat(path).st_size == 3


def test_a_domain_that_does_not_answer_is_a_warning(sqlite_url: str) -> None:
    db = Database(sqlite_url)
    db.write_now(accounts.INSTALLATION, accounts.create, "Acme", "you@bücher.de")
    db.close()
    findings = found(Patient(sqlite_url, "k" * 32, "outbox:", "http://127.0.0.1:8080", "mail"), silent)
    shown = {what: one.word for what, one in findings.items() if "xn--bcher-kva.de" in what}
    assert set(shown.values()) == {"warn"}
    assert len(shown) == 3


@pytest.mark.parametrize("name", ("example.com", "mail.example.org", "a.example", "shop.test", "localhost"))
def test_example_domains_are_not_asked_for(name: str) -> None:
    assert domain.check(name, "mail", nobody_is_asked) == [Finding("ok", name, "example domain, not checked")]


@pytest.mark.parametrize(
    ("records", "word"),
    (
        ([], "fail"),
        (["other", "v=spf10 -all"], "fail"),
        (["v=spf1 include:_spf.x.de ~all"], "ok"),
        (["V=SPF1 mx -ALL"], "ok"),
        (["v=spf1 redirect=_spf.x.de"], "ok"),
        (["v=spf1 mx"], "warn"),
        (["v=spf1"], "warn"),
        (["v=spf1 mx ?all"], "warn"),
        (["v=spf1 +all"], "fail"),
        (["v=spf1 all"], "fail"),
        (["v=spf1 mx -all", "v=spf1 a -all"], "fail"),
    ),
)
def test_spf_must_be_there_once_and_name_an_end(records: list[str], word: str) -> None:
    assert domain.spf("x.de", answering({"x.de": records})).word == word


REJECT = "v=DMARC1; p=reject"


@pytest.mark.parametrize(
    ("records", "word", "said"),
    (
        ({}, "fail", "no record"),
        ({"_dmarc.a.x.de": ["v=DMARC1; p=reject; rua=mailto:d@x.de"]}, "ok", "p=reject"),
        ({"_dmarc.a.x.de": ["v=DMARC1; p=none"], "_dmarc.x.de": ["v=DMARC1; p=reject"]}, "ok", "p=none"),
        ({"_dmarc.x.de": ["v=DMARC1; p=none; sp=quarantine"]}, "ok", "p=quarantine from x.de"),
        ({"_dmarc.x.de": ["v=DMARC1; p=reject"]}, "ok", "p=reject from x.de"),
        # Two records are as good as none, and the walk goes on.
        ({"_dmarc.a.x.de": ["v=DMARC1; p=none"] * 2, "_dmarc.x.de": [REJECT]}, "ok", "p=reject from x.de"),
        # A public suffix: the organisation is one below it, whose own record counts before the suffix's.
        ({"_dmarc.de": [REJECT + "; psd=y"]}, "ok", "p=reject from de"),
        ({"_dmarc.de": [REJECT + "; psd=y"], "_dmarc.x.de": ["v=DMARC1; p=none"]}, "ok", "p=none from x.de"),
        # psd=n ends the walk: what is above does not count.
        ({"_dmarc.x.de": ["v=DMARC1; psd=n"], "_dmarc.de": [REJECT]}, "ok", "p=none from x.de"),
        ({"_dmarc.a.x.de": ["p=reject; v=DMARC1"]}, "fail", "no record"),
        ({"_dmarc.a.x.de": ["v=DMARC1; p=maybe"]}, "fail", "no record"),
        ({"_dmarc.a.x.de": ["v=DMARC1; rua=mailto:d@x.de"]}, "ok", "p=none"),
        ({"_dmarc.a.x.de": ["v=DMARC1; p=reject; t=y"]}, "warn", "p=reject, marked as a test (t=y)"),
    ),
)  # fmt: skip
def test_dmarc_is_found_by_walking_up(records: Records, word: str, said: str) -> None:
    finding = domain.dmarc("a.x.de", answering(records))
    assert (finding.word, finding.said) == (word, said)


def test_a_long_name_is_cut_to_seven_labels_at_the_first_step() -> None:
    asked: list[str] = []

    def lookup(name: str) -> list[str]:
        asked.append(name.removeprefix("_dmarc."))
        return []

    domain.dmarc("a.b.c.d.e.f.g.h.x.de", lookup)
    domain.dmarc("f.g.x.de", lookup)
    assert asked == [
        "a.b.c.d.e.f.g.h.x.de", "d.e.f.g.h.x.de", "e.f.g.h.x.de", "f.g.h.x.de", "g.h.x.de", "h.x.de", "x.de",
        "de", "f.g.x.de", "g.x.de", "x.de", "de",
    ]  # fmt: skip


def _rsa(bits: int) -> str:
    key = rsa.generate_private_key(65_537, bits).public_key()
    raw = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(raw).decode()


ED25519 = base64.b64encode(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()


@pytest.mark.parametrize(
    ("records", "word"),
    (
        ([], "fail"),
        ([f"v=DKIM1; k=rsa; p={_rsa(2_048)}"], "ok"),
        ([f"p={_rsa(2_048)}"], "ok"),
        ([f"v=DKIM1; t=y; p={_rsa(2_048)}"], "warn"),
        ([f"v=DKIM1; p={_rsa(1_024)}"], "warn"),
        ([f"v=DKIM1; k=ed25519; p={ED25519}"], "ok"),
        ([f"v=DKIM1; k=ed25519; p={ED25519[:-8]}"], "fail"),
        ([f"v=DKIM1; p={ED25519}"], "fail"),
        (["v=DKIM1; p="], "fail"),
        (["v=DKIM1; p=###"], "fail"),
        (["v=DKIM2; p=abcd"], "fail"),
        (["v=DKIM1; p=abcd", "v=DKIM1; p=abcd"], "fail"),
    ),
    # Fresh keys would give each worker other names.
    ids=[f"record{n}" for n in range(12)],
)  # fmt: skip
def test_a_dkim_key_must_be_there_and_long_enough(records: list[str], word: str) -> None:
    assert domain.dkim("x.de", "mail", answering({"mail._domainkey.x.de": records})).word == word


def test_a_selector_that_is_no_name_is_not_asked_for() -> None:
    assert domain.dkim("x.de", "a b", nobody_is_asked).word == "fail"


def test_without_a_selector_dkim_is_not_looked_at() -> None:
    assert [one.what for one in domain.check("x.de", None, answering({}))] == ["SPF of x.de", "DMARC of x.de"]


@pytest.mark.parametrize(
    ("raised", "answer"),
    (
        (dns.resolver.NXDOMAIN(), []),
        (
            dns.resolver.NoAnswer(response=dns.message.make_response(dns.message.make_query("x.de", "TXT"))),
            [],
        ),
        (dns.resolver.LifetimeTimeout(timeout=1, errors=[]), None),
        (dns.resolver.NoNameservers(), None),
        (OSError("no network"), None),
    ),
)
def test_a_no_of_the_dns_is_told_from_its_silence(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, answer: list[str] | None
) -> None:
    def resolve(*_: object) -> None:
        raise raised

    monkeypatch.setattr(dns.resolver.Resolver, "resolve", resolve)
    lookup = domain.resolver()
    if answer is None:
        with pytest.raises(domain.CannotAsk):
            lookup("x.de")
    else:
        assert lookup("x.de") == answer
