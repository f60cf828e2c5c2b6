"""`tidings dkim …`: keys made, their records printed, and mail that they sign."""

import re
from pathlib import Path

import pytest

from tests.cli.typed import Run, refused
from tidings import app, settings
from tidings.core import signing
from tidings.mail import dkim
from tidings.store.db import Database


def keys(tmp_path: Path, account_id: int = 1) -> list[signing.Key]:
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    found = db.read_now(account_id, signing.keys)
    db.close()
    return found


def test_the_record_to_publish_is_printed_in_both_ways(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    said = run("dkim", "create", "--domain", "example.com").out
    [key] = keys(tmp_path)
    assert (key.domain, key.selector, key.kind) == ("example.com", "tidings", "rsa")
    value = re.search(r"^value: (.+)$", said, re.MULTILINE)
    assert value is not None
    assert re.fullmatch(r"v=DKIM1; k=rsa; p=[A-Za-z0-9+/]{300,}=*", value[1])
    assert "name:  tidings._domainkey.example.com\n" in said
    line = re.search(r"^tidings\._domainkey\.example\.com\. IN TXT (.+)$", said, re.MULTILINE)
    assert line is not None
    pieces = re.findall(r'"([^"]{1,255})"', line[1])
    assert ("".join(pieces), len(pieces)) == (value[1], 2)
    assert "PRIVATE" not in said


def test_the_printed_record_is_that_of_the_key_that_signs(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    said = run("dkim", "create", "--domain", "example.com", "--kind", "ed25519").out
    [key] = keys(tmp_path)
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    links = app.links(settings.load({"TIDINGS_DATABASE": f"sqlite:///{tmp_path}/data/tidings.db"}, None), db)
    db.close()
    signature = key.signer(links).sign(b"From: a@example.com\r\n\r\nHello\r\n")
    assert b"d=example.com;\r\n s=tidings-ed;" in signature
    assert key.record in said


def test_both_kinds_stand_beside_each_other_and_are_listed(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    assert run("dkim", "list").out == (
        "no key signs this account's mail; run: tidings dkim create --domain DOMAIN\n"
    )
    run("dkim", "create", "--domain", "example.com")
    run("dkim", "create", "--domain", "example.com", "--kind", "ed25519")
    lines = run("dkim", "list").out.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["1", "example.com", "tidings", "rsa"], ["2", "example.com", "tidings-ed", "ed25519"],
    ]  # fmt: skip
    assert sum(line.startswith("value: v=DKIM1; ") for line in lines) == 2


def test_a_domain_is_written_as_mail_has_it(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    run("dkim", "create", "--domain", "Bücher.De.", "--kind", "ed25519")
    assert [one.domain for one in keys(tmp_path)] == ["xn--bcher-kva.de"]
    refused(
        run("dkim", "create", "--domain", "bücher.de", "--kind", "ed25519"),
        "there is a key tidings-ed of xn--bcher-kva.de already; choose another with --selector",
    )
    ended = run("dkim", "create", "--domain", "bücher.de", "--kind", "ed25519", "--selector", "second")
    assert "second._domainkey.xn--bcher-kva.de" in ended.out
    assert len(keys(tmp_path)) == 2


def test_a_key_of_another_domain_than_the_senders_says_that_it_signs_nothing(
    run: Run, acme: dict[str, object]
) -> None:
    sentence = "This account sends as you@example.com: the key signs nothing until it sends from other.de."
    made = run("dkim", "create", "--domain", "other.de", "--kind", "ed25519")
    assert sentence in made.out
    assert "signs nothing" not in run("dkim", "create", "--domain", "example.com", "--kind", "ed25519").out


@pytest.mark.parametrize("domain", ("", "a b", "no_domain", "-x.de", "x..de", "a@b.de", "x" * 300, "\x1b.de"))
def test_a_domain_that_is_none_is_refused(
    run: Run, acme: dict[str, object], tmp_path: Path, domain: str
) -> None:
    refused(run("dkim", "create", f"--domain={domain}"), "domain")
    assert keys(tmp_path) == []


@pytest.mark.parametrize("selector", ("a b", "x;y", "-x", "x" * 70, "ü"))
def test_a_selector_that_is_none_is_refused(
    run: Run, acme: dict[str, object], tmp_path: Path, selector: str
) -> None:
    ended = run("dkim", "create", "--domain", "example.com", "--kind", "ed25519", f"--selector={selector}")
    refused(ended, "the selector is not made of letters, digits, hyphens and dots")
    assert keys(tmp_path) == []


def test_a_retired_key_signs_no_more(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    run("dkim", "create", "--domain", "example.com", "--kind", "ed25519")
    assert run("dkim", "retire", "1").out.startswith("key 1 signs no more; leave its DNS record for a week")
    assert keys(tmp_path) == []
    refused(run("dkim", "retire", "1"), "signing key not found")
    refused(run("dkim", "retire", "9"), "signing key not found")


def test_keys_of_another_account_are_neither_listed_nor_retired(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    run("dkim", "create", "--domain", "example.com", "--kind", "ed25519")
    run("account", "create", "--name", "B", "--email", "b@example.com")
    assert "no key signs" in run("dkim", "list", "--account", "2").out
    refused(run("dkim", "retire", "1", "--account", "2"), "signing key not found")
    assert len(keys(tmp_path)) == 1


def test_a_key_is_long_enough_to_be_believed(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    run("dkim", "create", "--domain", "example.com")
    # 2048 bits in DER: 294 octets, 392 characters.
    assert len(keys(tmp_path)[0].record.replace('" "', "").partition("p=")[2].strip('"')) == 392
    assert dkim.RSA_BITS == 2_048
