"""The pages of sequences: made, set, their emails written, timed, moved, published, looked at and tested."""

import asyncio
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.asgi import Answer, call
from tests.web.doors import START_MS, Rooms, rooms
from tests.web.owners import Browser
from tests.web.test_forms_pages import wrong
from tidings.core import advance, outbox, sequences, signup, subscribers, tags, trials
from tidings.core.events import Origin
from tidings.core.sequences import Exclusions, SequenceEmail, numbers
from tidings.core.slots import DAY_MS, HOUR_MS
from tidings.mail.press import Press
from tidings.web.dashboard import sequences as pages

HOSTILE = "<script>alert(1)</script>\"'"
ALL_WEEK = {f"day{n}": "1" for n in range(1, 8)}
WORDS = {
    "subject": "Hello", "preheader": "", "html": "<p>Dear {{ subscriber.first_name }}</p>", "text": "",
    "amount": "2", "unit": "days", "hour": "", "published": "1",
} | ALL_WEEK  # fmt: skip


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def ada(here: Rooms) -> Browser:
    return Browser(here)


def sequence(here: Rooms, *emails: SequenceEmail, name: str = "Course") -> int:
    made = here.db.write_now(here.account_id, sequences.create, name)
    for one in emails:
        here.db.write_now(here.account_id, sequences.add_email, made, one)
    return made


def emails(here: Rooms, sequence_id: int) -> dict[int, SequenceEmail]:
    return here.db.read_now(here.account_id, sequences.emails_by_id, sequence_id)


def enter(here: Rooms, sequence_id: int, email: str, first_name: str | None = None) -> int:
    who = subscribers.person(email, first_name)
    also = signup.Also()
    _, person = here.db.write_now(
        here.account_id, signup.sign_up, "sequence", sequence_id, who, also, Origin("api")
    )
    return person.id


def body(here: Rooms, browser: Browser, path: str) -> Answer:
    """Look at a printed mail; the press belongs to one loop, and each request here has its own."""

    async def look() -> Answer:
        here.house.press = Press()
        try:
            return await call(browser.door, "GET", path, browser.headers)
        finally:
            await here.house.press.stop()

    return asyncio.run(look())


def simple(subject: str, **more: Any) -> SequenceEmail:
    return SequenceEmail(subject, f"<p>{subject}</p>", more.pop("delay_ms", 0), **more)


def test_an_account_without_sequences_is_told_what_one_is(ada: Browser) -> None:
    assert "Your first sequence" in ada.get("/sequences").text


def test_a_sequence_is_made_with_its_manner(ada: Browser, here: Rooms) -> None:
    answer = ada.post("/sequences/new", {"name": "Course", "hold": "1"})
    assert "Now write its first email." in ada.follow(answer)
    (one,) = here.db.read_now(here.account_id, sequences.all_sequences).values()
    assert (one.name, one.at_end, one.entry) == ("Course", "hold", "once")
    assert list(wrong(ada.post("/sequences/new", {"name": " "}))) == ["name"]
    assert 'name="hold" value="1" checked' in ada.post("/sequences/new", {"name": "", "hold": "1"}).text


def test_the_list_shows_people_and_rates_of_each(ada: Browser, here: Rooms) -> None:
    made = sequence(here, simple("One"))
    sequence(here, name="Empty")
    for n in range(4):
        enter(here, made, f"p{n}@example.com")
    (email,) = emails(here, made)
    here.db.write_now(
        here.account_id, numbers.count, f"sequence-email:{email}:1", sent=8, opens=4, clicks=1, unsubscribes=2
    )
    page = ada.get("/sequences").text
    row = re.search(r">Course</a>(.*?)</tr>", page, re.DOTALL)
    assert row
    cells = dict(re.findall(r'data-label="([^"]+)">([^<]*)<', row[1]))
    assert cells == {
        "Emails": "1 published", "Inside": "4", "At its end": "0", "Completed": "0", "Sent": "8",
        "Opened": "50 %", "Clicked": "12 %",
    }  # fmt: skip
    shown = ada.get(f"/sequences/{made}").text
    assert re.findall(r"<dt>(\w+)</dt><dd>([^<]+)</dd></div>", shown)[-4:] == [
        ("Sent", "8"), ("Opened", "50 %"), ("Clicked", "12 %"), ("Unsubscribed", "25 %"),
    ]  # fmt: skip
    assert "4 people wait for their first email." in shown


def test_people_stand_behind_the_email_they_had_last(ada: Browser, here: Rooms) -> None:
    made = sequence(here, simple("One"), simple("Two", delay_ms=DAY_MS))
    for n in range(3):
        enter(here, made, f"p{n}@example.com")
    here.db.write_now(0, advance.tick)
    enter(here, made, "late@example.com")
    page = ada.get(f"/sequences/{made}").text
    assert re.findall(r"People here</dt><dd>(\d+)", page) == ["3", "0"]
    assert "1 person waits for their first email." in page


def test_many_people_are_shown_as_so_many_and_more(
    ada: Browser, here: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "STEPS", (2,))
    made = sequence(here, simple("One"))
    for n in range(3):
        enter(here, made, f"p{n}@example.com")
    assert 'data-label="Inside">2+<' in ada.get("/sequences").text
    assert "2+ people wait" in ada.get(f"/sequences/{made}").text


def test_an_email_is_written_with_its_time(ada: Browser, here: Rooms) -> None:
    made = sequence(here)
    values = WORDS | {"hour": "9", "preheader": "Soon", "text": "Plain\r\nwords"}
    for weekend in ("day6", "day7"):
        del values[weekend]
    answer = ada.post(f"/sequences/{made}/emails/new", values)
    assert "the last of the sequence" in ada.follow(answer)
    ((email_id, one),) = emails(here, made).items()
    assert one == SequenceEmail("Hello", WORDS["html"], 2 * DAY_MS, "Plain\nwords", "Soon", True, 0b11111, 9)
    assert "2 days after joining · Mon, Tue, Wed, Thu, Fri at 09:00" in ada.get(f"/sequences/{made}").text
    page = ada.get(f"/sequences/{made}/emails/{email_id}").text
    assert '<textarea id="html" name="html"' in page
    assert re.search(r'<textarea[^>]*name="html"[^>]* data-editor', page)
    assert 'id="day5" name="day5" value="1" checked' in page
    assert 'id="day6" name="day6" value="1">' in page


@pytest.mark.parametrize(
    ("delay_ms", "amount", "unit"),
    ((0, "0", "days"), (3 * HOUR_MS, "3", "hours"), (DAY_MS, "1", "days"), (90 * 60_000, "90", "minutes")),
)
def test_a_delay_is_shown_in_the_unit_that_fits_and_stays_what_it_is(
    ada: Browser, here: Rooms, delay_ms: int, amount: str, unit: str
) -> None:
    made = sequence(here, simple("One", delay_ms=delay_ms))
    (email_id,) = emails(here, made)
    page = ada.get(f"/sequences/{made}/emails/{email_id}").text
    assert f'name="amount" value="{amount}"' in page
    assert f'<option value="{unit}" selected>' in page
    values = WORDS | {"version": "1", "amount": amount, "unit": unit}
    ada.follow(ada.post(f"/sequences/{made}/emails/{email_id}", values))
    assert emails(here, made)[email_id].delay_ms == delay_ms


def test_what_is_wrong_with_an_email_stands_beside_its_field(ada: Browser, here: Rooms) -> None:
    made = sequence(here, simple("One"))
    (email_id,) = emails(here, made)
    cases: tuple[tuple[dict[str, str], str], ...] = (
        ({"subject": " "}, "subject"),
        ({"subject": "a\nb"}, "subject"),
        ({"subject": "x" * 999}, "subject"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1.5"}, "amount"),
        ({"amount": "9999"}, "amount"),
        ({"unit": "weeks"}, "unit"),
        ({"hour": "24"}, "hour"),
        ({"html": "a\0b"}, "html"),
        ({"preheader": "a\x07b"}, "preheader"),
        (dict.fromkeys(ALL_WEEK, ""), "day1"),
    )
    before = emails(here, made)
    for place in (f"/sequences/{made}/emails/new", f"/sequences/{made}/emails/{email_id}"):
        for changed, field in cases:
            answer = ada.post(place, WORDS | {"version": "1"} | changed)
            assert list(wrong(answer)) == [field], (place, changed)
            assert "Nothing was saved yet" in answer.text
    assert emails(here, made) == before


def test_the_second_of_two_who_edit_an_email_is_told_and_loses_nothing(ada: Browser, here: Rooms) -> None:
    made = sequence(here, simple("One"))
    (email_id,) = emails(here, made)
    place = f"/sequences/{made}/emails/{email_id}"
    bob = Browser(here, "bob@example.com", "editor")
    ada.follow(ada.post(place, WORDS | {"version": "1", "html": "<p>Ada's</p>"}))
    answer = bob.post(place, WORDS | {"version": "1", "html": "<p>Bob's</p>", "amount": "3"})
    assert answer.status == 422
    shown = html.unescape(answer.text)
    assert "Somebody else has changed this email" in shown
    assert re.findall(r'aria-label="Their ([^"]+)"', shown) == ["Letter", "Delay"]
    assert "<p>Ada's</p></code>" in shown
    assert "<p>Bob's</p></textarea>" in shown
    assert emails(here, made)[email_id].html == "<p>Ada's</p>"
    version = re.search(r'name="version" value="(\d+)"', shown)
    assert version
    bob.follow(bob.post(place, WORDS | {"version": version[1], "html": "<p>Bob's</p>"}))
    assert emails(here, made)[email_id].html == "<p>Bob's</p>"


def test_emails_are_moved_switched_and_deleted(ada: Browser, here: Rooms) -> None:
    made = sequence(here, *(simple(name) for name in ("One", "Two", "Three")))
    one, two, three = emails(here, made)
    place = f"/sequences/{made}/emails"
    assert "is number 1 now" in ada.follow(ada.post(f"{place}/{two}/move", {"rank": "1"}))
    assert list(emails(here, made)) == [two, one, three]
    for rank in ("9", "0", "x", ""):
        assert ada.post(f"{place}/{two}/move", {"rank": rank}).status == 303
    assert list(emails(here, made)) == [two, one, three]
    assert "is passed over from now on" in ada.follow(ada.post(f"{place}/{one}/unpublish"))
    assert emails(here, made)[one].published is False
    assert "not published" in ada.get(f"/sequences/{made}").text
    ada.follow(ada.post(f"{place}/{one}/publish"))
    assert emails(here, made)[one].published is True
    assert "is gone" in ada.follow(ada.post(f"{place}/{three}/delete"))
    assert list(emails(here, made)) == [two, one]
    for ending in ("", "/body"):
        assert ada.get(f"{place}/{three}{ending}").status == 404
    for act in ("publish", "unpublish", "move", "delete", "test"):
        assert ada.post(f"{place}/{three}/{act}", {"rank": "1"}).status == 404


def test_an_archived_sequence_stands_apart_and_can_be_restored(ada: Browser, here: Rooms) -> None:
    made = sequence(here)
    values = {"name": "Course", "hour": "", "zone": "account", "public": "1"}
    ada.follow(ada.post(f"/sequences/{made}/settings", values))
    assert "it mails nobody any more" in ada.follow(ada.post(f"/sequences/{made}/archive"))
    assert "No sequence is open." in ada.get("/sequences").text
    assert "Course</a>" in ada.get("/sequences?archived=1").text
    assert "Archived since" in ada.get(f"/sequences/{made}").text
    # What is saved meanwhile does not open it, and does not take it from the people's choice for good.
    ada.follow(ada.post(f"/sequences/{made}/settings", values | {"name": "Lessons"}))
    assert here.db.read_now(here.account_id, sequences.find, made).archived_at
    assert "everybody inside goes on" in ada.follow(ada.post(f"/sequences/{made}/restore"))
    assert "Lessons</a>" in ada.get("/sequences").text
    assert here.db.read_now(here.account_id, sequences.public_names) == {made: "Lessons"}


def test_settings_are_changed_and_public_sequences_stand_on_the_preferences_page(
    ada: Browser, here: Rooms
) -> None:
    made = sequence(here)
    values = {"name": "Lessons", "hold": "1", "repeat": "1", "hour": "7", "zone": "subscriber", "public": "1"}
    ada.follow(ada.post(f"/sequences/{made}/settings", values))
    one = here.db.read_now(here.account_id, sequences.find, made)
    assert (one.name, one.at_end, one.entry, one.hour, one.zone) == (
        "Lessons",
        "hold",
        "repeat",
        7,
        "subscriber",
    )
    assert here.db.read_now(here.account_id, sequences.public_names) == {made: "Lessons"}
    ada.follow(ada.post(f"/sequences/{made}/settings", {"name": "Lessons", "hour": "", "zone": "account"}))
    one = here.db.read_now(here.account_id, sequences.find, made)
    assert (one.at_end, one.entry, one.hour, one.zone) == ("leave", "once", None, "account")
    for changed, field in (({"name": ""}, "name"), ({"zone": "moon"}, "zone"), ({"hour": "99"}, "hour")):
        assert list(wrong(ada.post(f"/sequences/{made}/settings", values | changed))) == [field]


def test_who_has_a_tag_or_came_by_a_form_is_left_out_and_let_in_again(ada: Browser, here: Rooms) -> None:
    made = sequence(here)
    form = here.form()
    (tag,) = here.db.write_now(here.account_id, tags.create, ["Customer"])
    place = f"/sequences/{made}/exclusions"

    def held() -> Exclusions:
        return here.db.read_now(here.account_id, sequences.exclusions, made)

    ada.follow(ada.post(place, {"tag": "customer"}))
    page = ada.follow(ada.post(place, {"form": str(form.id)}))
    assert held() == Exclusions([tag.id], [form.id])
    assert "tag: Customer" in page
    assert "form: Letters" in page
    ada.follow(ada.post(place, {"drop_tag": str(tag.id)}))
    ada.follow(ada.post(place, {"drop_form": str(form.id)}))
    assert held() == Exclusions([], [])
    assert wrong(ada.post(place, {"tag": "nobody's"})) == {"tag": "Tag with this name is not there."}
    assert wrong(ada.post(place, {"tag": ""})) == {"tag": "Choose a tag or a form."}
    assert ada.post(place, {"form": str(2**62)}).status == 404


def test_an_email_is_shown_as_a_chosen_subscriber_gets_it(ada: Browser, here: Rooms) -> None:
    made = sequence(here, SequenceEmail("Hi", "<p>Dear {{ subscriber.first_name | upcase }}</p>", 0))
    (email_id,) = emails(here, made)
    enter(here, made, "bea@example.com", "Bea")
    cal = enter(here, made, "cal@example.com", "Cal")
    place = f"/sequences/{made}/emails/{email_id}"
    page = ada.get(f"{place}?who=CAL@example.com").text
    assert f'src="{place}/body?as={cal}"' in page
    assert f'name="as" value="{cal}"' in page
    shown = body(here, ada, f"{place}/body?as={cal}")
    assert "Dear CAL" in shown.text
    assert "sandbox allow-popups" in shown.headers["content-security-policy"]
    assert "/o/" not in shown.text
    assert "Dear BEA" in body(here, ada, f"{place}/body").text
    ada.follow(ada.post(place, WORDS | {"version": "1", "html": "<p>Now {{ subscriber.first_name }}</p>"}))
    assert "Now Cal" in body(here, ada, f"{place}/body?as={cal}").text
    assert "Nobody has the address x@example.com." in ada.get(f"{place}?who=x@example.com").text
    assert body(here, ada, f"{place}/body?as={2**62}").status == 404
    assert "not there" in ada.get(f"{place}?as={2**62}").text


def test_the_checks_name_what_nobody_has_and_what_cannot_be_made(ada: Browser, here: Rooms) -> None:
    made = sequence(
        here,
        SequenceEmail("Hi", "<p>{{ subscriber.town }}</p>", 0),
        SequenceEmail("Bad", "<p>{% if %}</p>", 0),
    )
    one, bad = emails(here, made)
    page = html.unescape(ada.get(f"/sequences/{made}/emails/{one}").text)
    assert "Nobody has {{ subscriber.town }}" in page
    assert "A link to unsubscribe is added at its foot." in page
    assert "cannot be made into a mail" in ada.get(f"/sequences/{made}/emails/{bad}").text
    assert "cannot be made into a mail" in body(here, ada, f"/sequences/{made}/emails/{bad}/body").text


def test_a_test_goes_to_who_asks_as_the_chosen_subscriber_and_counts_nowhere(
    ada: Browser, here: Rooms
) -> None:
    made = sequence(here, simple("One"), SequenceEmail("Empty", "", 0))
    one, empty = emails(here, made)
    cal = enter(here, made, "cal@example.com", "Cal")
    bob = Browser(here, "bob@example.com", "editor")
    said = bob.follow(bob.post(f"/sequences/{made}/emails/{one}/test", {"as": str(cal)}))
    assert "on its way to the Outbox" in said
    (asked,) = here.db.read_now(here.account_id, trials.of_email, one)
    assert (asked.address, asked.subscriber_id) == ("bob@example.com", cal)
    assert "bob@example.com" in ada.get(f"/sequences/{made}/emails/{one}").text
    assert here.rows("SELECT * FROM sequence_numbers") == []
    assert "Nothing was sent" in bob.follow(bob.post(f"/sequences/{made}/emails/{empty}/test"))
    assert here.db.read_now(here.account_id, outbox.newest) == []


def test_hostile_words_stay_words(ada: Browser, here: Rooms) -> None:
    made = sequence(here, SequenceEmail(HOSTILE, HOSTILE, 0, text=HOSTILE, preheader=HOSTILE), name=HOSTILE)
    here.db.write_now(here.account_id, tags.create, [HOSTILE])
    here.form(HOSTILE)
    ada.post(f"/sequences/{made}/exclusions", {"tag": HOSTILE})
    (email_id,) = emails(here, made)
    for path in ("", f"/{made}", f"/{made}/settings", f"/{made}/emails/{email_id}", f"/{made}/emails/new",
                 f"/{made}/emails/{email_id}?who={HOSTILE}"):  # fmt: skip
        page = ada.get(f"/sequences{path}").text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in body(here, ada, f"/sequences/{made}/emails/{email_id}/body").text


def test_a_viewer_sees_every_page_and_changes_nothing(here: Rooms) -> None:
    made = sequence(here, simple("One"), simple("Two"))
    one, _ = emails(here, made)
    viewer = Browser(here, "vic@example.com", "viewer")
    before = here.dump()
    for path in ("", f"/{made}", f"/{made}/settings", f"/{made}/emails/{one}", f"/{made}/emails/{one}/body"):
        page = body(here, viewer, f"/sequences{path}")
        assert page.status == 200
        assert not re.search(r'<button type="submit" class="button[^"]*">(?!Show<)', page.text)
    for path in ("/new", f"/{made}/emails/new"):
        assert viewer.get(f"/sequences{path}").status == 403
    mail = f"/{made}/emails/{one}"
    acts = ("publish", "unpublish", "move", "delete", "test")
    for path in ("/new", f"/{made}/settings", f"/{made}/exclusions", f"/{made}/emails/new", mail,
                 *(f"{mail}/{act}" for act in acts)):  # fmt: skip
        assert viewer.post(f"/sequences{path}", WORDS | {"version": "1", "name": "x"}).status == 403
    assert here.dump() == before


def test_another_accounts_sequences_are_as_good_as_missing(here: Rooms) -> None:
    made = sequence(here, simple("One"))
    (one,) = emails(here, made)
    eve = Browser(here, account_id=here.account("Eve's", "eve@example.com"))
    own = here.db.write_now(eve.account_id, sequences.create, "Hers")
    mail = f"/{made}/emails/{one}"
    for path in (
        f"/{made}",
        f"/{made}/settings",
        f"/{made}/emails/new",
        mail,
        f"{mail}/body",
        f"/{own}/emails/{one}",
    ):
        answer = eve.get(f"/sequences{path}")
        assert answer.status == 404
        assert answer.body == eve.get(f"/sequences/{2**62}").body
    acts = ("publish", "unpublish", "move", "delete", "test")
    there = (f"/{made}/settings", f"/{made}/exclusions", f"/{made}/emails/new", mail)
    for path in (*there, *(f"/{ref}/emails/{one}/{act}" for ref in (made, own) for act in acts)):
        values = WORDS | {"version": "1", "name": "x", "zone": "account", "rank": "1", "tag": "x"}
        assert eve.post(f"/sequences{path}", values).status in (404, 422)
    assert emails(here, made) == {one: simple("One")}
    assert here.now == START_MS
