"""The pages of sending: the provider, the queue, refusals, a restored copy, signatures, suppressions."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.doors import Rooms, rooms
from tests.web.signed_in import Browser, wrong_at
from tidings.core import broadcasts, deliveries, heartbeats, pacing, signing, suppressions, users
from tidings.core.broadcasts import Draft, course
from tidings.core.deliveries import Outcome, Source, Timing
from tidings.core.pacing import Limits
from tidings.mail import dkim
from tidings.web.dashboard.door import Door
from tidings.web.house import Provider

LIMITS = Limits("smtp.example.com:587", per_hour=5_000, ramps=True)
SERVER = Provider("smtp.example.com", 587, "TLS is required (STARTTLS)", True, 10, LIMITS)
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def door(here: Rooms) -> Door:
    return Door(here.house)


@pytest.fixture
def owner(here: Rooms, door: Door) -> Browser:
    return Browser(here, door)


def mail(here: Rooms, occasion: str, email: str, state: str, reply: str, verdict: str = "") -> int:
    """Let somebody's mail end so."""
    if here.person(email) is None:
        here.sign_up(here.form(f"Form {here.now}", confirmation="none"), email)
    person = here.person(email)
    assert person
    here.db.write_now(here.account_id, deliveries.queue, occasion, person.id, lane="bulk")
    here.now += 1_000
    timing = Timing(60_000, 60_000)

    def verb(tx: Any) -> None:
        claimed = deliveries.claim(
            tx, Source(here.account_id), lane="bulk", limit=50, lease=here.now, timing=timing
        )
        handed, _ = deliveries.hand(tx, claimed, wanted="active")
        (one,) = handed
        deliveries.settle(tx, [Outcome(one, state, reply, here.now + 60_000, verdict=verdict)])

    here.db.write_now(here.account_id, verb)
    return person.id


def test_a_quiet_machine_says_that_mail_is_kept_and_that_no_engine_ran(here: Rooms, owner: Browser) -> None:
    page = owner.text("/sending")
    assert "nothing leaves this machine" in page
    assert "The engine has never run here" in page
    assert "Nothing waits." in page
    here.db.write_now(0, heartbeats.beat, "engine", "x")
    here.now += 20_000
    assert ">alive</span>" in owner.text("/sending")
    assert "20 seconds ago" in owner.text("/sending")
    here.now += 71_000
    assert "The engine is silent" in owner.text("/sending")


def test_the_provider_is_named_without_its_secrets_and_with_its_speed(here: Rooms, owner: Browser) -> None:
    here.house.provider = SERVER

    def spend(tx: Any) -> None:
        pacing.spend(tx, pacing.allow(tx, LIMITS, 8, lane="bulk"), 8)

    assert "nothing was sent yet" in owner.text("/sending")
    here.db.write_now(0, spend)
    page = owner.text("/sending")
    assert "smtp.example.com, port 587" in page
    assert "TLS is required (STARTTLS), signed in; up to 10 connections" in page
    assert "0.8 a second" in page
    assert "10 a second at most" in page
    assert "8 of 5,000" in page


def test_what_waits_is_shown_with_why(here: Rooms, owner: Browser) -> None:
    mail(here, "rule-email:1:1", "bea@example.com", "deferred", f"451 4.7.1 later {EVIL}", "soft")
    draft = Draft(subject=EVIL, content="x", send_at=here.now + 60_000)
    made = here.db.write_now(here.account_id, broadcasts.create, draft, "a@b.example").id
    here.db.write_now(
        here.account_id, course.pause, made, "paused: the provider refused 11 of the last 92 mails"
    )
    answer = owner.get("/sending").text
    assert "<script>alert" not in answer
    page = html.unescape(answer)
    assert f"451 4.7.1 later {EVIL}" in page
    assert "put off" in page
    assert f'<a class="name" href="/broadcasts/{made}">{EVIL}</a>' in page
    assert "the provider refused 11 of the last 92 mails" in page


def test_refusals_are_counted_by_code_and_what_failed_leads_to_its_person(
    here: Rooms, door: Door, owner: Browser
) -> None:
    mail(here, "rule-email:7:1", "bea@example.com", "failed", "550 5.1.1 no such user", "mailbox")
    bea = mail(here, "rule-email:7:2", "bea@example.com", "failed", f"550 5.1.1 unknown {EVIL}", "mailbox")
    mail(here, "rule-email:7:3", "cal@example.com", "uncertain", "the connection broke off", "")
    mail(here, "rule-email:7:4", "dan@example.com", "deferred", "452 4.2.2 full", "mailbox-full")
    answer = owner.get("/sending").text
    assert "<script>alert" not in answer
    rows = [
        re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.unescape(row)))
        for row in re.findall(r"<tr>(.*?)</tr>", answer, re.DOTALL)
    ]
    assert any("550 5.1.1" in row and "failed mailbox 2" in row for row in rows)
    assert any("452 4.2.2" in row and "tried again mailbox full 1" in row for row in rows)
    assert any("no answer" in row and "uncertain" in row for row in rows)
    failed = [row for row in rows if "a rule that is gone" in row]
    assert len(failed) == 3
    assert f'href="/subscribers/{bea}"' in answer
    # What is older than thirty days is counted no more.
    here.now += 31 * 86_400_000
    later = Browser(here, door)
    assert "None." in later.text("/sending").partition('id="refusals"')[2][:200]


def test_a_restored_copy_says_what_may_be_repeated_and_only_owners_let_it_go(
    here: Rooms, door: Door, owner: Browser
) -> None:
    bea = mail(here, "rule-email:1:1", "bea@example.com", "deferred", "451 later")
    assert bea
    here.db.write_now(0, heartbeats.hold, "restored from a backup")
    page = owner.text("/sending")
    assert "No mail leaves: restored from a backup." in page
    assert re.search(r"up to <strong>1 mail</strong>", page)
    editor, viewer = Browser(here, door, "editor"), Browser(here, door, "viewer")
    for browser in (editor, viewer):
        assert "/sending/resume" not in browser.text("/sending")
        assert "Who owns every account of this installation can" in browser.text("/sending")
        assert browser.post("/sending/resume").status == 403
    # Another account came to be, which the owner of this one does not own: its mail would go too.
    other = here.account("Second", "second@example.com")
    assert "/sending/resume" not in owner.text("/sending")
    assert "up to <strong>" not in owner.text("/sending")
    assert owner.post("/sending/resume").status == 403
    assert here.db.read_now(0, heartbeats.held)
    here.db.write_now(other, users.admit, "ada@example.com", "owner")
    assert owner.said(owner.post("/sending/resume")).startswith("Mail and webhooks leave again")
    assert here.db.read_now(0, heartbeats.held) == ""
    assert owner.said(owner.post("/sending/resume")) == "Nothing was held."


def test_a_full_disk_is_said(here: Rooms, owner: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "shutil.disk_usage", lambda _: type("Usage", (), {"total": 10**10, "free": 150_000_000})
    )
    here.house.free_space = 200_000_000
    assert "150 MB are free, and bulk mail waits below 200 MB" in owner.text("/sending")
    here.house.free_space = 100_000_000
    assert "nearly full" in owner.text("/sending")  # 2 % of the disk are more
    here.house.free_space = 0
    assert "nearly full" not in owner.text("/sending")


def test_a_key_is_made_its_record_shown_and_it_is_retired(here: Rooms, door: Door, owner: Browser) -> None:
    assert "No key signs" in owner.text("/sending/keys")
    answer = owner.post("/sending/keys", {"domain": "Münster.example.", "kind": "ed25519", "selector": ""})
    assert answer.status == 303, wrong_at(answer)
    (key,) = here.db.read_now(here.account_id, signing.keys)
    assert key.name == "tidings-ed._domainkey.xn--mnster-3ya.example"
    page = owner.text("/sending/keys")
    assert key.name in page
    assert key.value in page
    assert "v=DKIM1" in page
    assert "signs nothing until it sends from" in page
    assert "PRIVATE" not in page
    again = owner.post("/sending/keys", {"domain": "münster.example", "kind": "ed25519"})
    assert "Choose another" in wrong_at(again)["selector"]
    for role in ("viewer", "editor"):
        other = Browser(here, door, role)
        assert other.get("/sending/keys").status == 200
        assert other.post("/sending/keys", {"domain": "x.example", "kind": "rsa"}).status == 403
        assert other.post(f"/sending/keys/{key.id}/retire").status == 403
    owner.post(f"/sending/keys/{key.id}/retire")
    assert here.db.read_now(here.account_id, signing.keys) == []
    assert owner.post(f"/sending/keys/{key.id}/retire").status == 404


@pytest.mark.parametrize(
    ("given", "at"),
    (
        ({"domain": ""}, "domain"),
        ({"domain": "no domain"}, "domain"),
        ({"domain": EVIL}, "domain"),
        ({"kind": "rot13"}, "kind"),
        ({"selector": "a b"}, "selector"),
        ({"selector": "-a"}, "selector"),
        ({"selector": "x" * 64}, "selector"),
    ),
)
def test_a_key_that_cannot_be_is_refused_beside_its_field(
    here: Rooms, owner: Browser, given: dict[str, str], at: str
) -> None:
    answer = owner.post("/sending/keys", {"domain": "x.example", "kind": "rsa", **given})
    assert answer.status == 422
    assert at in wrong_at(answer)
    assert "<script>alert" not in answer.text
    assert here.db.read_now(here.account_id, signing.keys) == []


def test_another_accounts_key_is_not_retired(here: Rooms, owner: Browser) -> None:
    eves = here.account("Eve's", "eve@example.com")
    pem = dkim.make_key("ed25519")
    key = here.db.write_now(eves, signing.create, here.house.links, "eve.example", "a", pem)
    assert owner.post(f"/sending/keys/{key.id}/retire").status == 404
    assert "eve.example" not in owner.text("/sending/keys")
    assert here.db.read_now(eves, signing.keys) == [key]


def test_an_address_is_suppressed_looked_up_and_taken_out(here: Rooms, door: Door, owner: Browser) -> None:
    here.sign_up(here.form(confirmation="none"), "bea@example.com")
    answer = owner.post("/sending/suppressions", {"add": " bea@example.com "})
    assert owner.said(answer) == "bea@example.com gets no mail any more, and is unsubscribed from everything."
    bea = here.person("bea@example.com")
    assert bea
    assert bea.state == "cancelled"
    page = owner.text("/sending/suppressions?email=BEA@example.com")
    assert "is suppressed" in page
    assert "added by the account" in page
    assert f'href="/subscribers/{bea.id}"' in page
    assert "is not suppressed" in owner.text("/sending/suppressions?email=cal@example.com")
    digest = re.search(r'name="digest" value="([0-9a-f]{64})"', page)
    assert digest
    assert owner.post("/sending/suppressions/remove", {"digest": digest[1]}).status == 303
    assert here.rows("SELECT COUNT(*) FROM suppressions") == [(0,)]
    acts = [row[0] for row in here.rows("SELECT act FROM audit WHERE act LIKE 'suppression%' ORDER BY id")]
    assert acts == ["suppression.add", "suppression.remove"]


def test_what_a_person_has_asked_for_is_not_taken_out(here: Rooms, owner: Browser) -> None:
    here.db.write_now(here.account_id, suppressions.add, "bea@example.com", "asked never to be mailed again")
    digest = here.rows("SELECT digest FROM suppressions")[0][0]
    assert "/sending/suppressions/remove" not in owner.text("/sending/suppressions")
    said = owner.said(owner.post("/sending/suppressions/remove", {"digest": digest}))
    assert "only its owner can lift this" in said
    assert here.rows("SELECT COUNT(*) FROM suppressions") == [(1,)]
    for junk in ("", "x", "0" * 64, EVIL):
        assert owner.post("/sending/suppressions/remove", {"digest": junk}).status == 303


def test_an_address_that_is_none_is_said(owner: Browser) -> None:
    assert list(wrong_at(owner.post("/sending/suppressions", {"add": "nobody"}))) == ["add"]
    assert list(wrong_at(owner.post("/sending/suppressions", {"add": ""}))) == ["add"]
    answer = owner.get(f"/sending/suppressions?email={EVIL}")
    assert answer.status == 200
    assert list(wrong_at(answer)) == ["email"]
    assert "<script>alert" not in answer.text


def test_suppressions_have_pages_and_roles(here: Rooms, door: Door) -> None:
    def many(tx: Any) -> None:
        for n in range(suppressions.PAGE + 3):
            suppressions.add(tx, f"p{n}@example.com", suppressions.BY_OWNER)

    here.db.write_now(here.account_id, many)
    here.db.write_now(here.account("Eve's", "eve@example.com"), suppressions.add, "eve@x.example", "eves own")
    viewer, editor = Browser(here, door, "viewer"), Browser(here, door, "editor")
    first = viewer.text("/sending/suppressions")
    assert "53 mailboxes are suppressed" in first
    older = re.search(r'href="(/sending/suppressions\?before=[^"]+)"', first)
    assert older
    second = viewer.text(older[1])
    assert (first.count("added by the account"), second.count("added by the account")) == (50, 3)
    assert "eves own" not in first + second
    for junk in ("x", "1-x", "-", "9" * 30):
        assert viewer.get(f"/sending/suppressions?before={junk}").status == 200
    digest = here.rows("SELECT digest FROM suppressions LIMIT 1")[0][0]
    assert viewer.post("/sending/suppressions", {"add": "x@example.com"}).status == 403
    for browser in (viewer, editor):
        assert "/sending/suppressions/remove" not in browser.text("/sending/suppressions")
        assert browser.post("/sending/suppressions/remove", {"digest": digest}).status == 403
    assert editor.post("/sending/suppressions", {"add": "x@example.com"}).status == 303


def test_a_look_at_any_of_it_changes_nothing(here: Rooms, owner: Browser) -> None:
    mail(here, "rule-email:1:1", "bea@example.com", "failed", "550 no")
    here.house.provider = SERVER
    before = here.dump()
    for path in (
        "/sending",
        "/sending/keys",
        "/sending/suppressions",
        "/sending/suppressions?email=a@b.example",
    ):
        assert owner.get(path).status == 200
    assert here.dump() == before
