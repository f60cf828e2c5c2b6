"""The dashboard's door: sign-in, sessions, forged posts, and the Outbox."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.doors import BASE, Rooms, ask, rooms
from tidings.core import accounts, broadcasts, deliveries, outbox, signup
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.core.subscribers import person
from tidings.core.users import sessions
from tidings.web.dashboard import mail
from tidings.web.dashboard.door import Door
from tidings.web.public.door import Door as PublicDoor

OURS = {"sec-fetch-site": "same-origin"}
RAW = (
    b"From: =?utf-8?q?Ad=C3=A4?= <ada@example.com>\r\nTo: bea@example.com\r\n"
    b"Subject: =?utf-8?b?SGFsbMO2?=\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Gr=C3=BC=C3=9Fe: http://tidings.test/confirm/abc.\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b"<!doctype html><html><body><base href='https://evil.example'><script>alert(1)</script><p>Hi</p></body></html>"
    b"\r\n--b--\r\n"
)
# What a message is made of, to be put together wrongly.
PIECES = (
    *(b"Subject: ", b"=?utf-8?b?", b"=?nonsense?q?", b"=?utf-8?b?=?=", b"?=", b"\r\n", b"\n", b"\0", b"\xff"),
    *(
        b"Content-Type: ",
        b"text/plain",
        b"text/html",
        b"multipart/mixed",
        b"; boundary=",
        b"b",
        b"--b",
        b"--",
    ),
    *(b"; charset=", b"utf-16", b"unknown-8bit", b"rot13", b"\xc3", b"*0*=", b"us-ascii'en'%ff", b'"', b"="),
    *(b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"x-uuencode", b"message/rfc822"),
    *(b"Content-Disposition: ", b"attachment", b"; filename*="),
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def door(here: Rooms) -> Door:
    return Door(here.house)


def sign_in(here: Rooms, door: Door, account_id: int | None = None) -> dict[str, str]:
    """Sign in; return the headers of the browser from then on."""
    token = here.db.write_now(account_id or here.account_id, sessions.link)
    answer = ask(door, "POST", f"/sign-in/{token}", headers=OURS)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    return {"cookie": "theme=dark; " + answer.headers["set-cookie"].partition(";")[0]}


def seal_of(door: Door, who: dict[str, str]) -> str:
    found = re.search(r'name="seal" value="([0-9a-f]{64})"', ask(door, "GET", "/outbox", headers=who).text)
    assert found
    return found[1]


def test_a_look_at_the_sign_in_link_does_not_use_it_up(here: Rooms, door: Door) -> None:
    token = here.db.write_now(here.account_id, sessions.link)
    before = here.dump()
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = ask(door, method, f"/sign-in/{token}")
        assert "set-cookie" not in answer.headers
    assert here.dump() == before
    assert 'method="post"' in ask(door, "GET", f"/sign-in/{token}").text
    assert ask(door, "POST", f"/sign-in/{token}", headers=OURS).status == 303
    again = ask(door, "POST", f"/sign-in/{token}", headers=OURS)
    assert again.status == 403
    assert "set-cookie" not in again.headers
    assert "tidings sign-in" in again.text


def test_old_and_unknown_links_sign_nobody_in(here: Rooms, door: Door) -> None:
    token = here.db.write_now(here.account_id, sessions.link)
    here.now += sessions.LINK_MS["command"]
    before = here.dump()
    flipped = ("A" if token[0] != "A" else "B") + token[1:]
    for one in (token, flipped, "x" * 32, "x"):
        assert ask(door, "POST", f"/sign-in/{one}", headers=OURS).status == 403
    for one in ("a/b", "%00" * 20, "é" * 30):
        assert ask(door, "POST", f"/sign-in/{one}", headers=OURS).status == 404
    assert here.dump() == before
    assert "tidings sign-in" in ask(door, "GET", "/sign-in").text


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(
    here: Rooms, door: Door, tmp_path: Path
) -> None:
    token = here.db.write_now(here.account_id, sessions.link)
    cookie = ask(door, "POST", f"/sign-in/{token}", headers=OURS).headers["set-cookie"]
    assert re.fullmatch(r"tidings=[\w-]{32}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax", cookie)
    (tmp_path / "https").mkdir()
    with rooms(tmp_path / "https", base="https://mail.example.com") as other:
        token = other.db.write_now(other.account_id, sessions.link)
        cookie = ask(Door(other.house), "POST", f"/sign-in/{token}", headers=OURS).headers["set-cookie"]
        assert cookie.startswith("__Host-tidings=")
        assert cookie.endswith("; HttpOnly; SameSite=Lax; Secure")


@pytest.mark.parametrize(
    "headers",
    (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": BASE},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": BASE + ".evil.example"},
        {"host": "evil.example"},
        {"host": ""},
    ),
)
def test_a_forged_post_does_nothing(here: Rooms, door: Door, headers: dict[str, str]) -> None:
    who = sign_in(here, door)
    seal = seal_of(door, who)
    token = here.db.write_now(here.account_id, sessions.link)
    before = here.dump()
    assert ask(door, "POST", f"/sign-in/{token}", headers=headers).status == 403
    assert ask(door, "POST", "/sign-out", {"seal": seal}, who | headers).status == 403
    assert here.dump() == before


@pytest.mark.parametrize(
    "headers", (OURS, {"origin": BASE}, {}, {"origin": "http://x.test", "host": "x.test"})
)
def test_a_post_of_our_own_page_works_in_old_browsers_too(
    here: Rooms, door: Door, headers: dict[str, str]
) -> None:
    token = here.db.write_now(here.account_id, sessions.link)
    assert ask(door, "POST", f"/sign-in/{token}", headers=headers).status == 303


def test_pages_let_browsers_name_their_origin_in_posts(here: Rooms, door: Door) -> None:
    assert ask(door, "GET", "/sign-in").headers["referrer-policy"] == "same-origin"


def test_signing_out_needs_the_seal_and_ends_the_session(here: Rooms, door: Door) -> None:
    who, other = sign_in(here, door), sign_in(here, door)
    for seal in ("", "x", seal_of(door, other), "é"):
        assert ask(door, "POST", "/sign-out", {"seal": seal}, who | OURS).status == 403
    assert ask(door, "POST", "/sign-out", b'{"seal": [1]}', who | OURS).status == 403
    assert ask(door, "POST", "/sign-out", b'{"seal"', who | OURS).status == 400
    assert ask(door, "GET", "/outbox", headers=who).status == 200
    left = ask(door, "POST", "/sign-out", {"seal": seal_of(door, who)}, who | OURS)
    assert (left.status, left.headers["location"]) == (303, "/sign-in")
    assert "Max-Age=0" in left.headers["set-cookie"]
    assert ask(door, "GET", "/outbox", headers=who).status == 303
    assert ask(door, "GET", "/outbox", headers=other).status == 200


@pytest.mark.parametrize("path", ("/", "/outbox", "/outbox/1", "/outbox/1/body", "/outbox/1/raw"))
def test_nobody_sees_mail_without_a_living_session(here: Rooms, door: Door, path: str) -> None:
    here.keep(RAW)
    who = sign_in(here, door)
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"cookie": "tidings="},
        {"cookie": "tidings=" + "x" * 32},
        {"cookie": who["cookie"].replace("tidings", "__Host-tidings")},
        {"cookie": who["cookie"][:-1]},
    )
    for headers in wrong:
        answer = ask(door, "GET", path, headers=headers)
        back = "" if path == "/" else f"?next={path}"
        assert (answer.status, answer.headers["location"]) == (303, f"/sign-in{back}")
    assert ask(door, "GET", path, headers=who).status == 200
    here.now += sessions.SESSION_MS
    assert ask(door, "GET", path, headers=who).status == 303


def test_another_accounts_mail_is_as_good_as_missing(here: Rooms, door: Door) -> None:
    kept = here.keep(RAW)
    eve = sign_in(here, door, here.account("Eve's", "eve@example.com"))
    for ending in ("", "/body", "/raw"):
        foreign = ask(door, "GET", f"/outbox/{kept}{ending}", headers=eve)
        missing = ask(door, "GET", f"/outbox/{kept + 1}{ending}", headers=eve)
        assert foreign.status == missing.status == 404
        assert foreign.body == missing.body
    assert "bea@example.com" not in ask(door, "GET", "/outbox", headers=eve).text


def test_an_empty_outbox_says_what_to_do_first(here: Rooms, door: Door) -> None:
    who = sign_in(here, door)
    assert 'href="/forms/new"' in ask(door, "GET", "/outbox", headers=who).text
    here.form("Old", archived_at=here.now)
    form = here.form()
    key = here.db.read_now(here.account_id, accounts.get).api_key
    shown = ""
    for path in ("/", "/outbox"):
        shown = html.unescape(ask(door, "GET", path, headers=who).text)
        assert f"curl {BASE}/v3/forms/{form.id}/subscribe" in shown
        assert f"-d api_key={key} " in shown
    assert "Nothing leaves this machine" in shown
    assert "TIDINGS_SMTP_URL" in shown


def test_with_a_provider_the_outbox_does_not_claim_that_nothing_leaves(here: Rooms, door: Door) -> None:
    here.house.sends_nothing = False
    here.keep(RAW)
    shown = ask(door, "GET", "/outbox", headers=sign_in(here, door)).text
    assert "Nothing leaves" not in shown
    assert "goes to your mail provider" in shown
    assert "bea@example.com" in shown


def test_the_newest_mail_stands_first_and_pages_follow(here: Rooms, door: Door) -> None:
    for n in range(1, outbox.PAGE + 2):
        here.keep(RAW, f"Subject {n}!", delivery_id=n)
    who = sign_in(here, door)
    first = ask(door, "GET", "/outbox", headers=who).text
    assert re.findall(r"Subject (\d+)!", first) == [str(n) for n in range(outbox.PAGE + 1, 1, -1)]
    assert 'href="/outbox?page=2"' in first
    second = ask(door, "GET", "/outbox?page=2", headers=who).text
    assert re.findall(r"Subject (\d+)!", second) == ["1"]
    assert 'href="/outbox?page=1"' in second
    assert "page=3" not in second
    assert 'title="2025-10-09T08:53:20.000Z">9 Oct 2025, 08:53</time>' in second
    for page in ("0", "-1", "x", "9" * 30, "99999", "", "%00", "1&page[]=2"):
        assert ask(door, "GET", f"/outbox?page={page}", headers=who).status == 200


def test_one_mail_shows_its_fields_text_and_links(here: Rooms, door: Door) -> None:
    kept = here.keep(RAW)
    who = sign_in(here, door)
    answer = ask(door, "GET", f"/outbox/{kept}", headers=who)
    assert "Adä &lt;ada@example.com&gt;" in answer.text
    assert "<h1>Hallö</h1>" in answer.text
    assert "Grüße" in ask(door, "GET", f"/outbox/{kept}?part=text", headers=who).text
    assert '<a href="http://tidings.test/confirm/abc" target="_blank"' in answer.text
    assert f'sandbox="allow-popups allow-popups-to-escape-sandbox" src="/outbox/{kept}/body"' in answer.text
    assert "<script>" not in answer.text
    assert "frame-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("part", ("html", "phone", "text", "raw", "nonsense", "", "<script>"))
def test_the_parts_of_a_mail_stand_behind_tabs_and_run_nothing(here: Rooms, door: Door, part: str) -> None:
    kept = here.keep(RAW)
    answer = ask(door, "GET", f"/outbox/{kept}?part={part}", headers=sign_in(here, door))
    shown = part if part in ("phone", "text", "raw") else "html"
    assert f'href="/outbox/{kept}?part={shown}" aria-current="page"' in answer.text
    assert ("<iframe" in answer.text) == (shown in ("html", "phone"))
    assert ("&lt;script&gt;alert(1)" in answer.text) == (shown == "raw")
    assert "<script>" not in answer.text


def test_a_mail_leads_to_its_person_and_to_why_it_was_made(here: Rooms, door: Door) -> None:
    form = here.form("Letters & <b>")
    joined = here.sign_up(form, "bea@example.com")
    kept = here.deliver(joined)
    who, bea = sign_in(here, door), here.person("bea@example.com")
    assert bea
    for path in ("/outbox", f"/outbox/{kept}"):
        text = ask(door, "GET", path, headers=who).text
        assert f'href="/subscribers/{bea.id}"' in text
        assert f'<a href="/forms/{form.id}">confirmation of “Letters &amp; &lt;b&gt;”</a>' in text
    # What is kept of a mail whose row is folded away leads nowhere.
    here.keep(RAW, "Old", delivery_id=10**6, to="old@example.com")
    assert '<td data-label="To">old@example.com</td>' in ask(door, "GET", "/outbox", headers=who).text


def test_the_html_part_can_run_post_and_reach_nothing(here: Rooms, door: Door) -> None:
    kept = here.keep(RAW)
    answer = ask(door, "GET", f"/outbox/{kept}/body", headers=sign_in(here, door))
    assert answer.text.startswith('<!doctype html><meta charset="utf-8"><base target="_blank">')
    assert "<p>Hi</p>" in answer.text
    policy = answer.headers["content-security-policy"]
    rules = dict(one.strip().partition(" ")[::2] for one in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data: https:",
        "style-src": "'unsafe-inline'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'self'",
        "sandbox": "allow-popups allow-popups-to-escape-sandbox",
    }


def test_a_look_at_a_mail_is_no_open(here: Rooms, door: Door) -> None:
    pixel = here.house.links.open("token")
    kept = here.keep(RAW.replace(b"<p>Hi</p>", f'<p>Hi</p><img src="{pixel}" alt="">'.encode()))
    shown = ask(door, "GET", f"/outbox/{kept}/body", headers=sign_in(here, door)).text
    assert pixel not in shown
    assert '<img src="data:,' in shown
    assert pixel in ask(door, "GET", f"/outbox/{kept}/raw", headers=sign_in(here, door)).text


def test_the_message_is_had_as_it_would_be_sent(here: Rooms, door: Door) -> None:
    kept = here.keep(RAW)
    answer = ask(door, "GET", f"/outbox/{kept}/raw", headers=sign_in(here, door))
    assert answer.body == RAW
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-disposition"] == f'attachment; filename="mail-{kept}.eml"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_hostile_mail_stays_text(here: Rooms, door: Door) -> None:
    bad = "<script>alert(1)</script>\"'"
    raw = (f"From: {bad}\r\nTo: {bad}\r\nSubject: {bad}\r\n\r\n{bad} javascript:alert(1)"
           f' http://x.example/"onclick="a http://y.example/<b>\r\n').encode()  # fmt: skip
    kept = here.keep(raw, bad, to=bad)
    who = sign_in(here, door)
    shown = ""
    for path in ("/outbox", f"/outbox/{kept}"):
        shown = ask(door, "GET", path, headers=who).text
        assert "<script>" not in shown
        assert html.escape(bad).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in shown
    assert re.findall(r'<a href="(http[^"]*)"', shown) == ["http://x.example/", "http://y.example/"]


@given(st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)))
@settings(max_examples=400, deadline=None)
def test_any_bytes_can_be_read_as_mail(raw: bytes) -> None:
    letter = mail.read(raw)
    "".join((letter.text, letter.html, *letter.links, *(value for _, value in letter.fields)))


def test_deeply_nested_mail_can_be_read() -> None:
    opening = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    raw = b"".join(opening % (n, n) for n in range(3_000))
    assert mail.read(raw).html == ""


def test_links_lose_what_follows_them_and_come_once() -> None:
    text = "See http://a.example/x. (https://b.example/?q=1&r=2), http://a.example/x; ftp://c.example http://"
    assert mail.links(text) == ["http://a.example/x", "https://b.example/?q=1&r=2"]


@pytest.mark.parametrize("method", ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"))
def test_no_reading_method_changes_a_row(here: Rooms, door: Door, method: str) -> None:
    kept = here.keep(RAW)
    token = here.db.write_now(here.account_id, sessions.link)
    who = sign_in(here, door)
    before = here.dump()
    paths = ("/", "/outbox", f"/outbox/{kept}", f"/outbox/{kept}/body", f"/outbox/{kept}/raw",
             f"/sign-in/{token}", "/sign-out", "/nowhere", "/outbox/x", "/outbox/1/2/3")  # fmt: skip
    for path in paths:
        answer = ask(door, method, path, headers=who | OURS)
        assert answer.status in (200, 404, 405)
        assert method in ("GET", "HEAD") or answer.status in (404, 405)
        assert method != "HEAD" or not answer.body
    assert here.dump() == before


def test_posts_go_only_where_they_belong(here: Rooms, door: Door) -> None:
    who = sign_in(here, door)
    before = here.dump()
    for path in ("/", "/outbox", "/outbox/1"):
        answer = ask(door, "POST", path, {"seal": seal_of(door, who)}, who | OURS)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert here.dump() == before


def test_a_newcomer_gets_from_the_form_by_way_of_the_outbox_to_a_confirmed_subscription(
    here: Rooms, door: Door
) -> None:
    public = PublicDoor(here.house)
    form = here.form()
    ask(public, "POST", f"/f/{form.uid}", {"email": "bea@example.com", "first_name": "Bea"})
    kept = here.deliver(int(here.rows("SELECT id FROM subscriptions")[0][0]))
    shown = ask(door, "GET", f"/outbox/{kept}", headers=sign_in(here, door)).text
    found = re.search(r'<a href="http://tidings\.test(/confirm/[\w-]+)"', shown)
    assert found
    assert ask(public, "POST", found[1]).status == 200
    who = here.person("bea@example.com")
    assert who is not None
    assert who.state == "active"


def test_mail_of_broadcasts_is_counted_and_said_to_have_gone_nowhere(here: Rooms, door: Door) -> None:
    who = sign_in(here, door)
    assert "did not leave this machine" not in ask(door, "GET", "/outbox", headers=who).text
    form = here.form(confirmation="none")
    for number, email in enumerate(("bea@example.com", "cal@example.com"), 1):
        here.db.write_now(
            here.account_id, signup.sign_up, "form", form.id, person(email), Also(), Origin(door="api")
        )
        occasion = "broadcast:7" if number == 1 else "sequence-email:3:1"
        here.db.write_now(here.account_id, deliveries.queue, occasion, number, lane="bulk")
        here.db.write_now(here.account_id, outbox.keep, number, email, f"Mail {number}", RAW)
    here.db.write_now(here.account_id, outbox.keep, 99, "dan@example.com", "Single", RAW)
    draft = broadcasts.Draft(subject="News")
    made = here.db.write_now(here.account_id, broadcasts.create, draft, "ada@example.com").id
    here.db.write_now(here.account_id, broadcasts.count, made, kept=1_234)
    text = ask(door, "GET", "/outbox", headers=who).text
    assert "1,234 mails of 1 broadcast were kept here and did not leave this machine." in text
    assert '<a href="/broadcasts/7">broadcast 7</a>' in text
    assert '<span class="quiet">sequence</span>' in text
    assert "Single</a></td>" in text


def test_mail_of_broadcasts_is_counted_for_its_own_account_alone(here: Rooms, door: Door) -> None:
    draft = broadcasts.Draft(subject="News")
    other = here.db.write_now(0, accounts.create, "Eve", "eve@example.com").account_id
    made = here.db.write_now(other, broadcasts.create, draft, "eve@example.com").id
    here.db.write_now(other, broadcasts.count, made, kept=1)
    mine = ask(door, "GET", "/outbox", headers=sign_in(here, door)).text
    assert "did not leave this machine" not in mine
    theirs = ask(door, "GET", "/outbox", headers=sign_in(here, door, other)).text
    assert "1 mail of 1 broadcast was kept here and did not leave this machine." in theirs
