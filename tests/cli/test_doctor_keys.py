"""What the doctor says of the keys that sign mail, and of accounts that cannot send in bulk."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.cli.test_doctor import Records, answering, nobody_is_asked, silent
from tidings import doctor
from tidings.core import accounts, signing
from tidings.core.signing import Key
from tidings.doctor import Finding, Patient, domain
from tidings.mail.dkim import make_key
from tidings.store.db import Database
from tidings.tokens import Links

LINKS = Links("https://mail.x.de", b"k" * 32)
NAME = "tidings._domainkey.x.de"
PATIENT = Patient("", "k" * 32, "smtp://mail.example.com:587", "https://mail.x.de")


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    """A database whose only account sends from x.de and has a postal address."""
    opened = Database(url)
    made = opened.write_now(accounts.INSTALLATION, accounts.create, "Acme", "you@x.de")
    opened.write_now(made.account_id, accounts.describe, postal_address="1 Main Street")
    yield opened
    opened.close()


def key_of(db: Database, sender: str = "x.de") -> Key:
    # Ed25519: a key of RSA takes a tenth of a second to make.
    return db.write_now(1, signing.create, LINKS, sender, "tidings", make_key("ed25519"))


def found(url: str, lookup: Callable[[str], list[str]], patient: Patient = PATIENT) -> dict[str, Finding]:
    return {one.what: one for one in doctor.examine(replace(patient, database=url), lookup)}


def text(key: Key) -> str:
    return key.record.replace('" "', "").strip('"')


def test_a_key_whose_record_is_published_is_fine(db: Database, url: str) -> None:
    key = key_of(db)
    finding = found(url, answering({NAME: ["google-site-verification=x", text(key)]}))
    assert finding["DKIM key tidings of x.de"].line() == "ok    DKIM key tidings of x.de: an Ed25519 key"


@pytest.mark.parametrize(
    ("change", "said"),
    (
        (lambda _: [], f"no record at {NAME}"),
        (lambda it: [it, it], f"2 records at {NAME}"),
        (lambda it: [it.replace("p=", "p=A")], f"the record at {NAME} is of another key"),
        (lambda _: ["v=DKIM1; k=ed25519; p="], f"the record at {NAME} is of another key"),
        (lambda _: ["no DKIM at all"], f"no record at {NAME}"),
    ),
    ids=("missing", "twice", "another", "revoked", "something else"),
)
def test_a_key_whose_record_is_not_published_fails(
    db: Database, url: str, change: Callable[[str], list[str]], said: str
) -> None:
    records: Records = {NAME: change(text(key_of(db)))}
    finding = found(url, answering(records))["DKIM key tidings of x.de"]
    assert (finding.word, finding.said) == ("fail", said)


def test_a_record_in_pieces_with_spaces_between_is_the_same_key(db: Database, url: str) -> None:
    spaced = text(key_of(db)).replace("p=", "p= ")
    assert found(url, answering({NAME: [spaced]}))["DKIM key tidings of x.de"].word == "ok"


def test_the_silence_of_the_dns_is_a_warning(db: Database, url: str) -> None:
    key_of(db)
    assert found(url, silent)["DKIM key tidings of x.de"].word == "warn"


def test_a_key_of_a_domain_that_nothing_is_sent_from_is_a_warning(db: Database, url: str) -> None:
    key_of(db, "other.de")
    finding = found(url, answering({}))["DKIM key tidings of other.de"]
    assert finding.word == "warn"
    assert finding.said == "signs nothing: account 1 sends from x.de"


def test_a_key_of_an_example_domain_is_not_asked_for() -> None:
    assert domain.published("example.com", "tidings", '"p=x"', nobody_is_asked).word == "ok"


def test_a_retired_key_is_not_looked_for(db: Database, url: str) -> None:
    key = key_of(db)
    db.write_now(1, signing.retire, key.id)
    assert "DKIM key tidings of x.de" not in found(url, answering({}))


def test_an_account_without_a_postal_address_is_a_warning_once_mail_goes_out(url: str) -> None:
    opened = Database(url)
    opened.write_now(accounts.INSTALLATION, accounts.create, "Acme", "you@example.com")
    opened.close()
    finding = found(url, nobody_is_asked)["account 1"]
    assert finding.word == "warn"
    assert finding.to_do == "run: tidings account update --account 1 --address TEXT"
    kept = replace(PATIENT, smtp_url="outbox:")
    assert "account 1" not in found(url, nobody_is_asked, kept)
