"""The pages of broadcasts over HTTP: written, aimed, looked over, sent, watched."""

import asyncio
import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.core import ledger
from tests.web.asgi import Answer, call
from tests.web.doors import Rooms, rooms
from tests.web.owners import Browser
from tidings.core import accounts, broadcasts, launch, sending, signup, subscribers, tags
from tidings.core.broadcasts import Broadcast, course, shown
from tidings.core.broadcasts.course import Part
from tidings.core.deliveries import Outcome
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.store.sqlite import SqliteSession

ACTS = (
    *("write", "draft", "apart", "written-as", "audience", "test", "send", "undo", "pause", "cancel"),
    *("resume", "retry", "copy", "delete"),
)
HOSTILE = "</textarea><script>alert(1)</script>\"'<img src=x onerror=alert(2)>{{ 7*7 }}"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        made.db.write_now(made.account_id, accounts.describe, postal_address="1 Main Street, Bern")
        yield made


@pytest.fixture
def ada(here: Rooms) -> Browser:
    return Browser(here)


def new(here: Rooms, ada: Browser, **words: str) -> Broadcast:
    """A draft as the page makes one, with these words saved."""
    answer = ada.post("/broadcasts")
    assert answer.status == 303
    found = re.fullmatch(r"/broadcasts/(\d+)/write", answer.headers["location"])
    assert found
    one = look(here, int(found[1]))
    saved = save(ada, one, **{"subject": "News", "content": "<p>Hello</p>", **words})
    assert saved.status == 303, saved.text
    return look(here, one.id)


def look(here: Rooms, broadcast_id: int) -> Broadcast:
    return here.db.read_now(here.account_id, broadcasts.find, broadcast_id)


def words_of(one: Broadcast, **changes: str) -> dict[str, str]:
    held = {
        "version": str(one.version), "subject": one.subject or "", "preheader": one.preheader,
        "source_kind": one.source_kind, "content": one.source or one.content or "",
        "layout": one.email_layout_template,
    }  # fmt: skip
    return held | changes


def save(ada: Browser, one: Broadcast, **changes: str) -> Answer:
    return ada.post(f"/broadcasts/{one.id}/write", words_of(one, **changes))


def autosave(ada: Browser, one: Broadcast, **changes: str) -> tuple[int, dict[str, object]]:
    answer = ada.post(f"/broadcasts/{one.id}/draft", words_of(one, **changes))
    return answer.status, json.loads(answer.body)


def send(here: Rooms, ada: Browser, one: Broadcast, **changes: str) -> Answer:
    seen = shown.fingerprint(here.db.read_now(here.account_id, shown.parts, one.id))
    values = {"version": str(one.version), "audience": seen, "when": "now", **changes}
    return ada.post(f"/broadcasts/{one.id}/send", values)


def join(here: Rooms, n: int) -> list[int]:
    form = here.form(confirmation="none")
    people = []
    for at in range(n):
        person = subscribers.person(f"p{at}@example.com", f"Reader{at}")
        _, who = here.db.write_now(
            here.account_id, signup.sign_up, "form", form.id, person, Also(), Origin("form")
        )
        people.append(who.id)
    return people


def test_a_new_broadcast_is_a_draft_that_is_written_at(here: Rooms, ada: Browser) -> None:
    assert "No broadcast yet" in ada.get("/broadcasts").text
    one = new(here, ada, subject="Tomatoes", preheader="Red ones")
    page = ada.get(f"/broadcasts/{one.id}/write").text
    assert 'value="Tomatoes"' in page
    assert 'value="Red ones"' in page
    assert "&lt;p&gt;Hello&lt;/p&gt;</textarea>" in page
    assert "Tomatoes" in ada.get("/broadcasts").text
    assert ada.get(f"/broadcasts/{one.id}").headers["location"] == f"/broadcasts/{one.id}/write"


def test_the_second_of_two_people_is_told_and_keeps_what_they_wrote(here: Rooms, ada: Browser) -> None:
    eve = Browser(here, "eve@example.com", "editor")
    one = new(here, ada)
    assert save(eve, one, content="<p>Of Eve</p>").status == 303
    told = save(ada, one, content="<p>Of Ada</p>", subject="Ada's")
    assert told.status == 409
    text = html.unescape(told.text)
    assert "Somebody else has changed this broadcast" in text
    assert "<p>Of Ada</p></textarea>" in text
    assert "<p>Of Eve</p></pre>" in text
    now = look(here, one.id)
    assert (now.content, now.subject) == ("<p>Of Eve</p>", "News")
    assert f'name="version" value="{now.version}"' in told.text
    apart = ada.post(f"/broadcasts/{one.id}/apart", words_of(one, content="<p>Of Ada</p>", subject="Ada's"))
    found = re.search(r"/broadcasts/(\d+)/write", apart.headers["location"])
    assert found
    assert look(here, int(found[1])).content == "<p>Of Ada</p>"
    assert look(here, one.id) == now


def test_a_script_saves_and_is_told_of_the_other_in_json(here: Rooms, ada: Browser) -> None:
    one = new(here, ada)
    assert autosave(ada, one, content="<p>1</p>") == (200, {"version": one.version + 1})
    # The answer was lost on the way: the same words again are no conflict.
    assert autosave(ada, one, content="<p>1</p>") == (200, {"version": one.version + 1})
    status, said = autosave(ada, one, content="<p>2</p>")
    assert (status, said["changed"], said["version"]) == (409, True, one.version + 1)
    status, said = autosave(ada, look(here, one.id), reply_to="nobody")
    assert (status, list(said["errors"])) == (422, ["reply_to"])  # type: ignore[call-overload]
    here.db.write_now(here.account_id, course.schedule, one.id)
    status, said = autosave(ada, look(here, one.id), content="<p>3</p>")
    assert (status, said["changed"]) == (409, False)


def test_what_goes_on_by_itself_is_in_the_audit_log_once(here: Rooms, ada: Browser) -> None:
    one = new(here, ada)
    for n in range(5):
        one = look(here, one.id)
        assert autosave(ada, one, content=f"<p>{n}</p>")[0] == 200
    acts = [row[0] for row in here.rows("SELECT act FROM audit ORDER BY id")]
    assert acts.count("broadcast.write") == 1
    assert acts[0] == "broadcast.create"


@pytest.mark.parametrize(
    ("field", "value"),
    (("subject", "x" * 999), ("reply_to", "nobody"), ("source_kind", "mjml"), ("preheader", "x" * 501)),
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_saved(
    here: Rooms, ada: Browser, field: str, value: str
) -> None:
    one = new(here, ada)
    answer = save(ada, one, **{field: value, "content": "<p>Mine</p>"})
    assert answer.status == 422
    assert "&lt;p&gt;Mine&lt;/p&gt;" in answer.text
    assert look(here, one.id) == one


def test_markdown_is_kept_and_its_html_is_sent(here: Rooms, ada: Browser) -> None:
    one = new(here, ada, source_kind="markdown", content="*Hi* {{ subscriber.first_name }}")
    assert one.source == "*Hi* {{ subscriber.first_name }}"
    assert one.content == "<p><em>Hi</em> {{ subscriber.first_name }}</p>\n"
    assert "*Hi* {{ subscriber.first_name }}</textarea>" in html.unescape(
        ada.get(f"/broadcasts/{one.id}/write").text
    )
    unfinished = autosave(ada, one, content="{% if x %}")
    assert unfinished[0] == 200
    assert look(here, one.id).source == "{% if x %}"
    assert "cannot be made into a mail" in ada.get(f"/broadcasts/{one.id}/review").text


def test_another_way_of_writing_asks_where_something_would_be_lost(here: Rooms, ada: Browser) -> None:
    one = new(here, ada, source_kind="rich", content="<h1>Hi</h1><p>{{ subscriber.first_name }}</p>")
    asks = save(ada, one, then="markdown")
    assert asks.status == 200
    assert "Go on in Markdown?" in asks.text
    assert look(here, one.id).source_kind == "rich"
    done = ada.post(f"/broadcasts/{one.id}/written-as", {"kind": "markdown", "version": str(one.version)})
    assert done.status == 303
    now = look(here, one.id)
    assert (now.source_kind, now.source) == ("markdown", "Hi\n\n{{ subscriber.first_name }}")
    assert save(ada, now, then="html").status == 303
    now = look(here, one.id)
    assert (now.source_kind, now.content) == ("html", "<p>Hi</p>\n<p>{{ subscriber.first_name }}</p>\n")
    stale = ada.post(f"/broadcasts/{one.id}/written-as", {"kind": "rich", "version": str(one.version)})
    assert "nothing was switched" in ada.follow(stale)


def test_the_audience_is_saved_and_counted(here: Rooms, ada: Browser) -> None:
    people = join(here, 5)
    (tag,) = here.db.write_now(here.account_id, tags.create, ["vip"])
    for who in people[:2]:
        here.db.write_now(
            here.account_id,
            signup.sign_up,
            "tag",
            tag.id,
            subscribers.person(f"p{who - 1}@example.com"),
            Also(),
            Origin("api"),
        )
    one = new(here, ada)
    place = f"/broadcasts/{one.id}/audience"
    assert '<p class="big-number">5</p>' in ada.get(f"{place}/size").text
    assert ada.post(place, {"to": "some", f"tag-{tag.id}": "include"}).status == 303
    assert here.db.read_now(here.account_id, shown.parts, one.id) == [Part("tag", tag.id)]
    assert '<p class="big-number">2</p>' in ada.get(f"{place}/size").text
    ada.post(place, {"to": "everybody", f"tag-{tag.id}": "exclude", "form-1": "include"})
    assert here.db.read_now(here.account_id, shown.parts, one.id) == [Part("tag", tag.id, excluded=True)]
    assert "<strong>3 people</strong>" in ada.get(f"{place}/number").text
    size = ada.get(f"{place}/size").text
    assert '<p class="big-number">3</p>' in size
    assert "not with the tag “vip”" in size
    ada.post(place, {"to": "some", "tag-999": "include", "tag-": "include", "x-1": "include", "tag-1": "all"})
    assert here.db.read_now(here.account_id, shown.parts, one.id) == []


def test_a_script_that_changes_the_audience_gets_the_number_alone(here: Rooms, ada: Browser) -> None:
    one = new(here, ada)
    headers = ada.headers | {"hx-request": "true", "x-seal": ada.seal}
    answer = asyncio.run(
        call(ada.door, "POST", f"/broadcasts/{one.id}/audience", headers, {"to": "everybody"})
    )
    assert answer.status == 200
    assert answer.text.startswith('<div id="size">')


def test_the_letter_is_shown_as_a_chosen_reader_gets_it_and_lets_nothing_run(
    here: Rooms, ada: Browser
) -> None:
    people = join(here, 2)
    one = new(here, ada, content=f"<p>Dear {{{{ subscriber.first_name }}}}</p>{HOSTILE[:-9]}")

    async def letters() -> list[Answer]:
        try:
            return [
                await call(ada.door, "GET", f"/broadcasts/{one.id}/letter{of}", ada.headers)
                for of in ("", f"?as={people[1]}")
            ]
        finally:
            await here.house.press.stop()

    first, chosen = asyncio.run(letters())
    assert "Dear Reader0" in first.text
    assert "Dear Reader1" in chosen.text
    policy = chosen.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy
    page = ada.get(f"/broadcasts/{one.id}/review?as=p1@example.com").text
    assert f"/letter?as={people[1]}" in page
    assert "Nobody here has the address" in ada.get(f"/broadcasts/{one.id}/review?as=no@example.com").text


def test_sending_twice_sends_once_and_can_be_undone(here: Rooms, ada: Browser) -> None:
    join(here, 1)
    one = new(here, ada)
    for _ in range(2):
        assert send(here, ada, one).headers["location"] == f"/broadcasts/{one.id}"
    waiting = look(here, one.id)
    assert (waiting.status, waiting.send_at) == ("scheduled", here.now + launch.UNDO_MS)
    assert "Take it back" in ada.get(f"/broadcasts/{one.id}").text
    assert "Nothing was sent" in ada.follow(ada.post(f"/broadcasts/{one.id}/undo"))
    assert look(here, one.id).status == "draft"
    assert send(here, ada, look(here, one.id)).status == 303
    here.now += launch.UNDO_MS
    assert here.db.write_now(here.account_id, sending.start, one.id, outbox=True)
    assert "on its way already" in ada.follow(ada.post(f"/broadcasts/{one.id}/undo"))
    assert look(here, one.id).cancelled_at is None


def test_what_changed_since_the_review_is_not_sent(here: Rooms, ada: Browser) -> None:
    one = new(here, ada)
    save(ada, one, subject="Another")
    answer = send(here, ada, one)
    assert answer.status == 422
    assert "nothing was sent" in answer.text
    now = look(here, one.id)
    stale = send(here, ada, now, audience="0" * 16)
    assert stale.status == 422
    assert "whom this broadcast goes to" in stale.text
    assert look(here, one.id).status == "draft"


def test_a_broadcast_that_lacks_something_has_no_way_out(here: Rooms, ada: Browser) -> None:
    one = new(here, ada, subject="")
    page = ada.get(f"/broadcasts/{one.id}/review").text
    assert "The subject is empty." in page
    assert re.search(r'<button type="submit" class="button" disabled>Send', page)
    answer = send(here, ada, one)
    assert answer.status == 422
    assert "has no subject" in answer.text


@pytest.mark.parametrize(
    ("date", "time", "said"),
    (
        ("2020-01-01", "09:00", "is past"),
        ("2031-01-01", "09:00", "more than a year"),
        ("31.12.2025", "09:00", "must be like"),
        ("2025-02-30", "09:00", "no such day"),
        ("2025-12-31", "25:00", "must be like"),
        ("", "09:00", "is needed"),
        ("9999-12-31", "23:59", "more than a year"),
        ("0001-01-01", "00:00", "past"),
    ),
)
def test_a_time_that_cannot_be_is_said_beside_it(
    here: Rooms, ada: Browser, date: str, time: str, said: str
) -> None:
    one = new(here, ada)
    answer = send(here, ada, one, when="later", date=date, time=time)
    assert answer.status == 422
    assert said in html.unescape(answer.text)
    assert look(here, one.id).status == "draft"


def test_a_time_is_of_the_accounts_zone(here: Rooms, ada: Browser) -> None:
    here.db.write_now(here.account_id, accounts.set_time_zone, "Europe/Berlin")
    one = new(here, ada)
    assert send(here, ada, one, when="later", date="2025-12-24", time="18:30").status == 303
    # 17:30 UTC in winter.
    assert look(here, one.id).send_at == 1_766_597_400_000
    assert "24 Dec 2025, 18:30" in ada.get(f"/broadcasts/{one.id}").text


def test_a_test_mail_is_asked_for_and_its_limits_are_said(here: Rooms, ada: Browser) -> None:
    one = new(here, ada)
    place = f"/broadcasts/{one.id}/test"
    assert "2 test mails on the way" in ada.follow(
        ada.post(place, {"address": "a@example.com, b@example.com"})
    )
    assert here.rows("SELECT address FROM trials ORDER BY id") == [("a@example.com",), ("b@example.com",)]
    for wrong in ("", "nobody", ",".join(f"a{n}@example.com" for n in range(9))):
        answer = ada.post(place, {"address": wrong})
        assert answer.status == 422
        assert 'id="address-wrong"' in answer.text


def test_it_is_paused_resumed_and_cancelled(here: Rooms, ada: Browser) -> None:
    join(here, 3)
    one = new(here, ada)
    here.db.write_now(here.account_id, course.schedule, one.id)
    assert here.db.write_now(here.account_id, sending.start, one.id, outbox=True)
    here.db.write_now(here.account_id, course.fan_out, one.id)
    page = ada.get(f"/broadcasts/{one.id}").text
    assert 'hx-trigger="every 2s"' in page
    assert "It is paused" in ada.follow(ada.post(f"/broadcasts/{one.id}/pause"))
    assert "is not being sent" not in ada.follow(ada.post(f"/broadcasts/{one.id}/pause"))
    assert "It goes on" in ada.follow(ada.post(f"/broadcasts/{one.id}/resume"))
    assert "is not paused" in ada.follow(ada.post(f"/broadcasts/{one.id}/resume"))
    assert "nobody else gets it" in ada.follow(ada.post(f"/broadcasts/{one.id}/cancel"))
    live = ada.get(f"/broadcasts/{one.id}/live?was=sending")
    assert live.headers["hx-refresh"] == "true"
    assert "hx-refresh" not in ada.get(f"/broadcasts/{one.id}/live?was=cancelled").headers
    assert "p2@example.com" in ada.get(f"/broadcasts/{one.id}/recipients").text


def test_the_report_and_the_log_say_what_the_rows_say(here: Rooms, ada: Browser) -> None:
    people = join(here, 3)
    one = new(here, ada)
    here.db.write_now(here.account_id, course.schedule, one.id)
    assert here.db.write_now(here.account_id, sending.start, one.id, outbox=True)
    here.db.write_now(here.account_id, course.fan_out, one.id)
    here.db.write_now(here.account_id, lambda tx: broadcasts.count(tx, one.id, opens=2, clicks=1))
    here.db.write_now(
        here.account_id,
        lambda tx: tx.run(
            "UPDATE deliveries SET state = 'failed', settled_at = 5, reply = '550 no such <b>user</b>'"
            " WHERE subscriber_id = :id",
            id=people[0],
        ),
    )
    page = ada.get(f"/broadcasts/{one.id}").text
    assert '<table id="hours-table">' in page
    assert "550 no such &lt;b&gt;user&lt;/b&gt;" in page
    log = f"/broadcasts/{one.id}/recipients"
    assert "p0@example.com" in ada.get(f"{log}?fate=failed").text
    assert "p1@example.com" not in ada.get(f"{log}?fate=failed").text
    assert "p0@example.com" not in ada.get(f"{log}?fate=waiting").text
    assert "p1@example.com" in ada.get(f"{log}?q=p1@example.com").text
    assert "Nobody of that address" in ada.get(f"{log}?q=nobody@example.com").text
    assert "p0@example.com" in ada.get(f"{log}?fate=nonsense").text


def test_those_that_failed_are_tried_again_and_nobody_else(here: Rooms, ada: Browser) -> None:
    join(here, 3)
    one = new(here, ada)
    place = f"/broadcasts/{one.id}"
    here.db.write_now(here.account_id, course.schedule, one.id)
    assert here.db.write_now(here.account_id, sending.start, one.id, outbox=False)
    here.db.write_now(here.account_id, course.fan_out, one.id)
    first, second, third = ledger.hand(here.db, ledger.claim(here.db))
    ledger.settle(
        here.db,
        Outcome(first, "failed", "552 full", verdict="soft"),
        Outcome(second, "sent", "250 ok"),
        Outcome(third, "failed", "554 not today", verdict="policy"),
    )
    assert "Try 2 failed mails again" in ada.get(place).text
    assert "2 mails that failed are tried again" in ada.follow(ada.post(f"{place}/retry"))
    assert "failed mail" not in ada.get(place).text
    again = ledger.hand(here.db, ledger.claim(here.db))
    assert {two.subscriber_id for two in again} == {first.subscriber_id, third.subscriber_id}
    ledger.settle(here.db, *(Outcome(two, "sent", "250 ok") for two in again))
    found = look(here, one.id)
    assert (found.recipients, found.settled, found.failed) == (3, 3, 0)
    # A second press finds nobody, and a draft has nobody to try again.
    assert "0 mails" in ada.follow(ada.post(f"{place}/retry"))
    draft = new(here, ada)
    assert ada.post(f"/broadcasts/{draft.id}/retry").status == 303
    assert look(here, draft.id).status == "draft"
    acts = here.rows("SELECT act FROM audit WHERE act = 'broadcast.retry'")
    assert len(acts) == 2


def test_a_copy_and_the_end_of_a_draft(here: Rooms, ada: Browser) -> None:
    one = new(here, ada, subject="Again")
    assert "This is the copy" in ada.follow(ada.post(f"/broadcasts/{one.id}/copy"))
    assert "“Again” is deleted" in ada.follow(ada.post(f"/broadcasts/{one.id}/delete"))
    assert ada.get(f"/broadcasts/{one.id}").status == 404
    assert here.rows("SELECT COUNT(*) FROM broadcasts") == [(1,)]


def test_a_viewer_looks_and_changes_nothing(here: Rooms, ada: Browser) -> None:
    one = new(here, ada)
    vic = Browser(here, "vic@example.com", "viewer")
    for step in ("/write", "/audience"):
        assert vic.get(f"/broadcasts/{one.id}{step}").headers["location"] == f"/broadcasts/{one.id}"
    assert vic.get(f"/broadcasts/{one.id}").headers["location"] == f"/broadcasts/{one.id}/review"
    assert vic.get(f"/broadcasts/{one.id}/review").status == 200
    assert "Send a test" not in vic.get(f"/broadcasts/{one.id}/review").text
    before = here.dump()["broadcasts"]
    for act in ACTS:
        assert vic.post(f"/broadcasts/{one.id}/{act}", words_of(one, subject="Vic's")).status == 403
    assert here.dump()["broadcasts"] == before


def test_anothers_broadcast_is_not_there(here: Rooms, ada: Browser) -> None:
    one = new(here, ada)
    other = Browser(here, account_id=here.account("Eve's", "eve@example.com"))
    for place in ("", "/write", "/audience", "/audience/size", "/review", "/letter", "/live", "/recipients"):
        assert other.get(f"/broadcasts/{one.id}{place}").status == 404, place
    for act in ACTS:
        assert other.post(f"/broadcasts/{one.id}/{act}", words_of(one)).status == 404, act
    assert look(here, one.id) == one


def test_words_of_a_stranger_stay_words_on_every_page(here: Rooms, ada: Browser) -> None:
    one = new(here, ada, subject=HOSTILE, preheader=HOSTILE, from_name=HOSTILE, content=HOSTILE, text=HOSTILE)
    for place in (
        "s",
        f"s/{one.id}/write",
        f"s/{one.id}/audience",
        f"s/{one.id}/review",
        f"s/{one.id}/review?as={HOSTILE}",
    ):
        page = ada.get(f"/broadcast{place}").text
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_the_number_of_questions_does_not_grow_with_the_rows(
    here: Rooms, ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = counted(monkeypatch)
    one = new(here, ada)
    pages: tuple[Callable[[], str], ...] = (
        lambda: "/broadcasts",
        lambda: f"/broadcasts/{one.id}/write",
        lambda: f"/broadcasts/{one.id}/audience",
        lambda: f"/broadcasts/{one.id}/review",
    )

    def each() -> list[int]:
        found = []
        for page in pages:
            asked.clear()
            assert ada.get(page()).status == 200
            found.append(len(asked))
        return found

    each()
    before = each()
    join(here, 20)
    here.db.write_now(here.account_id, tags.create, [f"tag {n}" for n in range(20)])
    for _ in range(20):
        new(here, ada)
    each()
    assert each() == before


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    real = SqliteSession.fetch

    def fetch(self: SqliteSession, sql: str, params: dict[str, object]) -> list[tuple[object, ...]]:
        asked.append(sql)
        return real(self, sql, params)

    monkeypatch.setattr(SqliteSession, "fetch", fetch)
    return asked
