"""The pages of forms: made, shared, changed, archived; and the mail that asks for confirmation."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.asgi import Answer
from tests.web.doors import BASE, Rooms, ask, rooms
from tests.web.owners import Browser
from tidings.core import accounts, forms, subscriptions, trials
from tidings.core.forms import Form
from tidings.web.public.door import Door as PublicDoor

HOSTILE = "<script>alert(1)</script>\"'{{ x }}"
WORDS = {
    "name": "Letters",
    "title": "Join",
    "description": "Once a week.",
    "button": "Go",
    "success": "Look at your mail.",
    "redirect_url": "",
    "type": "hosted",
    "confirms": "1",
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def ada(here: Rooms) -> Browser:
    return Browser(here)


def form_of(here: Rooms, form_id: int) -> Form:
    return here.db.read_now(here.account_id, forms.find, form_id)


def wrong(answer: Answer) -> dict[str, str]:
    """What is said beside the fields of a form that came back."""
    assert answer.status == 422, answer.text
    found = re.findall(r'<p class="wrong" id="([a-z_0-9]+)-wrong">([^<]*)</p>', answer.text)
    return {name: html.unescape(said) for name, said in found}


def test_an_account_without_forms_is_told_what_a_form_is(ada: Browser, here: Rooms) -> None:
    assert "Make a form" in ada.get("/forms").text
    viewer = Browser(here, "vic@example.com", "viewer")
    assert "Your first form" in viewer.get("/forms").text
    assert "/forms/new" not in viewer.get("/forms").text


def test_a_form_is_made_listed_and_shown_with_its_codes(ada: Browser, here: Rooms) -> None:
    answer = ada.post("/forms/new", WORDS)
    said = ada.follow(answer)
    assert "The form Letters is there." in said
    form_id = int(answer.headers["location"].rpartition("/")[2])
    form = form_of(here, form_id)
    assert (form.title, form.description, form.type, form.confirmation) == (
        "Join",
        "Once a week.",
        "hosted",
        "double",
    )
    key = here.db.read_now(here.account_id, accounts.get).api_key
    assert f'<script async src="{BASE}/v3/forms/{form_id}.js?api_key={key}"></script>' in said
    assert f'<iframe src="{BASE}/f/{form.uid}?frame=1" title="Join"' in said
    assert f'<form method="post" action="{BASE}/f/{form.uid}">' in said
    assert f'<iframe title="The form as people see it" sandbox src="/f/{form.uid}?frame=1">' in said
    assert f'href="/forms/{form_id}">Letters</a>' in ada.get("/forms").text


def test_the_plain_html_code_signs_somebody_up(ada: Browser, here: Rooms) -> None:
    form = here.form()
    page = html.unescape(ada.get(f"/forms/{form.id}").text)
    code = re.search(
        r'<form method="post" action="http://tidings\.test(/f/[\w-]+)">(.*?)</form>', page, re.DOTALL
    )
    assert code
    assert re.findall(r'name="(\w+)"', code[2]) == ["first_name", "email"]
    ask(PublicDoor(here.house), "POST", code[1], {"email": "bea@example.com", "first_name": "Bea"})
    assert here.person("bea@example.com") is not None


def test_the_numbers_of_a_form_are_those_of_its_counters(ada: Browser, here: Rooms) -> None:
    form = here.form(confirmation="none")
    for n in range(3):
        here.sign_up(form, f"p{n}@example.com")
    gone = here.person("p0@example.com")
    assert gone is not None
    here.db.write_now(here.account_id, subscriptions.turn, gone, "cancelled")
    page = ada.get(f"/forms/{form.id}").text
    numbers = re.findall(r"<dt>([^<]+)</dt><dd>([\d,+]+)", page)
    assert dict(numbers) == {
        "Signed up": "3", "Active": "2", "Not confirmed": "0", "Left or refused": "1", "Last 30 days": "3",
    }  # fmt: skip
    here.now += 31 * 86_400_000
    later = Browser(here).get(f"/forms/{form.id}").text
    assert dict(re.findall(r"<dt>([^<]+)</dt><dd>([\d,+]+)", later))["Last 30 days"] == "0"
    row = re.search(
        r'>Letters</a>.*?data-label="Active">(\d+)<.*?data-label="Signed up">(\d+)<',
        Browser(here).get("/forms").text,
        re.DOTALL,
    )
    assert row
    assert row.groups() == ("2", "3")


def test_what_is_wrong_stands_beside_its_field_and_nothing_is_made(ada: Browser, here: Rooms) -> None:
    cases = (
        ({"name": " "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"redirect_url": "javascript:alert(1)"}, "redirect_url"),
        ({"redirect_url": "https://"}, "redirect_url"),
        ({"redirect_url": "example.com"}, "redirect_url"),
        ({"redirect_url": "https://a b.example"}, "redirect_url"),
        ({"type": "popup"}, "type"),
        ({"title": "a\0b"}, "title"),
        ({"description": "x" * 10_001}, "description"),
    )
    for changed, field in cases:
        answer = ada.post("/forms/new", WORDS | changed)
        assert list(wrong(answer)) == [field], changed
        assert "Once a week." in answer.text or field == "description"
    assert here.db.read_now(here.account_id, forms.all_forms) == {}


def test_words_are_changed_and_what_the_page_does_not_show_stays(ada: Browser, here: Rooms) -> None:
    form = here.form(format="modal", confirmation_html="<p>{{ confirmation_url }}</p>")
    place = f"/forms/{form.id}/edit"
    values = WORDS | {"version": "1", "redirect_url": "https://example.com/thanks?a=1"}
    del values["confirms"]
    assert "Saved." in ada.follow(ada.post(place, values))
    after = form_of(here, form.id)
    assert (after.title, after.confirmation, after.redirect_url) == (
        "Join",
        "none",
        "https://example.com/thanks?a=1",
    )
    assert (after.format, after.confirmation_html, after.version) == (
        "modal",
        "<p>{{ confirmation_url }}</p>",
        2,
    )


def test_the_second_of_two_who_edit_a_form_is_told_and_loses_nothing(ada: Browser, here: Rooms) -> None:
    form = here.form()
    place = f"/forms/{form.id}/edit"
    bob = Browser(here, "bob@example.com", "editor")
    ada.follow(ada.post(place, WORDS | {"version": "1", "title": "Ada's title"}))
    answer = bob.post(place, WORDS | {"version": "1", "title": "Bob's title"})
    assert answer.status == 422
    shown = html.unescape(answer.text)
    assert "Somebody else has changed this form" in shown
    assert "What they saved" in shown
    assert "Ada's title" in shown
    assert 'value="Bob\'s title"' in shown
    assert "Their Description" not in shown
    assert form_of(here, form.id).title == "Ada's title"
    version = re.search(r'name="version" value="(\d+)"', shown)
    assert version
    bob.follow(bob.post(place, WORDS | {"version": version[1], "title": "Bob's title"}))
    assert form_of(here, form.id).title == "Bob's title"


def test_an_archived_form_is_closed_stands_apart_and_can_be_opened_again(ada: Browser, here: Rooms) -> None:
    form = here.form()
    public = PublicDoor(here.house)
    said = ada.follow(ada.post(f"/forms/{form.id}/archive"))
    assert "takes no sign-ups any more" in said
    assert ask(public, "GET", f"/f/{form.uid}").status == 410
    assert "Letters</a>" not in ada.get("/forms").text
    assert "Letters</a>" in ada.get("/forms?archived=1").text
    ada.follow(ada.post(f"/forms/{form.id}/restore"))
    assert ask(public, "GET", f"/f/{form.uid}").status == 200
    assert "Letters</a>" in ada.get("/forms").text


def test_many_forms_come_in_pages_newest_first(ada: Browser, here: Rooms) -> None:
    for n in range(51):
        here.form(f"Form {n}!")
    first = ada.get("/forms").text
    assert re.findall(r"Form (\d+)!</a>", first) == [str(n) for n in range(50, 0, -1)]
    assert 'href="/forms?page=2"' in first
    second = ada.get("/forms?page=2").text
    assert re.findall(r"Form (\d+)!</a>", second) == ["0"]
    for page in ("0", "x", "9" * 30, "7"):
        assert ada.get(f"/forms?page={page}").status == 200


def test_hostile_words_stay_words_on_every_page(ada: Browser, here: Rooms) -> None:
    form = here.form(
        HOSTILE, title=HOSTILE, description=HOSTILE, sign_up_button_text=HOSTILE, success_message=HOSTILE,
        redirect_url='https://x.example/"><b>', confirmation_subject=HOSTILE,
        confirmation_html="<b onclick='x'>hi</b>",
    )  # fmt: skip
    for path in ("/forms", f"/forms/{form.id}", f"/forms/{form.id}/edit", f"/forms/{form.id}/confirmation"):
        page = ada.get(path).text
        assert "<script>alert" not in page
        assert "<b onclick" not in page
        assert "&lt;script&gt;alert(1)" in page
    shown = html.unescape(ada.get(f"/forms/{form.id}").text)
    assert f">{html.escape(HOSTILE)}</button>" in shown
    assert ada.post(f"/forms/{form.id}/edit", WORDS | {"name": HOSTILE, "version": "x"}).status == 422


def test_the_confirmation_is_shown_as_it_is_sent_in_a_frame_that_lets_nothing_run(
    ada: Browser, here: Rooms
) -> None:
    form = here.form()
    page = ada.get(f"/forms/{form.id}/confirmation").text
    assert "<strong>Please confirm your subscription</strong>" in page
    assert f'src="/forms/{form.id}/confirmation/body"' in page
    body = ada.get(f"/forms/{form.id}/confirmation/body")
    assert "Hello Ada," in body.text
    policy = body.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups" in policy
    link = re.search(r'href="http://tidings\.test(/confirm/[\w-]+)"', body.text)
    assert link
    assert ask(PublicDoor(here.house), "POST", link[1]).status != 200


def test_own_words_of_a_confirmation_are_kept_checked_and_shown(ada: Browser, here: Rooms) -> None:
    form = here.form()
    place = f"/forms/{form.id}/confirmation"
    values = {
        "version": "1",
        "subject": "Well, {{ subscriber.first_name }}?",
        "html": "<p>Yes: {{ subscriber.town }}</p>",
    }
    shown = ada.follow(ada.post(place, values))
    assert "<strong>Well, Ada?</strong>" in shown
    assert "Nobody has {{ subscriber.town }}" in shown
    assert "a link to confirm is added" in shown
    body = ada.get(place + "/body").text
    assert "<p>Yes: </p>" in body
    assert "Confirm your subscription</a>" in body
    again = ada.post(place, {"version": "2", "subject": "", "html": ""})
    assert "<strong>Please confirm your subscription</strong>" in ada.follow(again)


@pytest.mark.parametrize(
    ("field", "source"),
    (
        ("subject", "Hi {{ subscriber.first_name"),
        ("html", "<p>{% if %}</p>"),
        ("html", "{{ x | nosuchfilter }}"),
        ("html", "{% for a in (1..1000000000) %}{{ a }}{% endfor %}"),
    ),
)
def test_a_confirmation_that_cannot_be_made_is_refused_beside_its_field(
    ada: Browser, here: Rooms, field: str, source: str
) -> None:
    form = here.form()
    answer = ada.post(
        f"/forms/{form.id}/confirmation", {"version": "1", "subject": "", "html": ""} | {field: source}
    )
    assert list(wrong(answer)) == [field]
    assert html.escape(source, quote=False).split("{")[0] in answer.text
    assert form_of(here, form.id).version == 1


def test_a_broken_confirmation_of_before_shows_what_is_wrong_instead_of_failing(
    ada: Browser, here: Rooms
) -> None:
    form = here.form(confirmation_html="{{ x | nosuchfilter }}")
    assert "cannot be read" in ada.get(f"/forms/{form.id}/confirmation").text
    assert "cannot be read" in ada.get(f"/forms/{form.id}/confirmation/body").text
    assert "Nothing was sent" in ada.follow(ada.post(f"/forms/{form.id}/confirmation/test"))


def test_a_test_of_the_confirmation_goes_to_who_asks_for_it(ada: Browser, here: Rooms) -> None:
    form = here.form()
    bob = Browser(here, "bob@example.com", "editor")
    said = bob.follow(bob.post(f"/forms/{form.id}/confirmation/test"))
    assert "The test is on its way to the Outbox." in said
    assert "Tests so far" in said
    (one,) = here.db.read_now(here.account_id, trials.of_form, form.id)
    assert (one.address, one.form_id, one.state) == ("bob@example.com", form.id, "queued")
    for _ in range(trials.HOURLY_MAX - 1):
        bob.post(f"/forms/{form.id}/confirmation/test")
    assert "an hour are enough" in bob.follow(bob.post(f"/forms/{form.id}/confirmation/test"))


def test_a_viewer_sees_every_page_and_changes_nothing(here: Rooms) -> None:
    form = here.form()
    viewer = Browser(here, "vic@example.com", "viewer")
    before = here.dump()
    for path in ("/forms", f"/forms/{form.id}", f"/forms/{form.id}/edit", f"/forms/{form.id}/confirmation"):
        page = viewer.get(path)
        assert page.status == 200
        assert f'action="/forms/{form.id}/archive"' not in page.text
        assert ">Save</button>" not in page.text
    assert viewer.get("/forms/new").status == 403
    for path in (
        "/forms/new",
        *(
            f"/forms/{form.id}/{one}"
            for one in ("edit", "archive", "restore", "confirmation", "confirmation/test")
        ),
    ):
        assert viewer.post(path, WORDS | {"version": "1"}).status == 403
    assert here.dump() == before


def test_another_accounts_forms_are_as_good_as_missing(ada: Browser, here: Rooms) -> None:
    form = here.form()
    eve = Browser(here, account_id=here.account("Eve's", "eve@example.com"))
    for ending in ("", "/edit", "/confirmation", "/confirmation/body"):
        foreign, missing = eve.get(f"/forms/{form.id}{ending}"), eve.get(f"/forms/{2**62}{ending}")
        assert foreign.status == missing.status == 404
        assert foreign.body == missing.body
    for ending in ("/edit", "/archive", "/restore", "/confirmation", "/confirmation/test"):
        assert eve.post(f"/forms/{form.id}{ending}", WORDS | {"version": "1"}).status == 404
    assert form_of(here, form.id) == form
    assert ada.get("/forms/99999999999999999999").status == 404
