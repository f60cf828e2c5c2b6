"""Each control does what it says, seen through v3 as a client sees it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from tests.sandbox.asked import ARYA, CUSTOMER, HELD, NEWSLETTER, WEBINAR, ask, receiver
from tests.sandbox.conftest import Asked
from tests.web.asgi import call
from tidings import app, settings
from tidings.testing import Sandbox, Wrong


def state_of(v3: Asked, email: str) -> str | None:
    for state in ("active", "inactive", "cancelled", "bounced", "complained"):
        found = v3("GET", f"/subscribers?email_address={email}&status={state}")
        listed = found.json.get("subscribers", [])
        if [one for one in listed if one["email_address"] == email and one["state"] == state]:
            return state
    return None


def hook(v3: Asked, url: str, event: str, **more: object) -> None:
    made = v3("POST", "/automations/hooks", target_url=url, event={"name": event, **more})
    assert made.status == 200, made.raw


def test_the_state_shows_the_seed_and_the_keys(sandbox: Sandbox) -> None:
    state = sandbox.state()
    assert state["subscribers"] == dict.fromkeys(
        ("active", "inactive", "cancelled", "bounced", "complained"), 1
    )
    assert {"id": NEWSLETTER, "name": "Newsletter"} in state["forms"]
    assert {"id": CUSTOMER, "name": "customer"} in state["tags"]
    assert (state["mails"], state["webhooks"], state["faults"], state["ahead_seconds"]) == (0, 0, [], 0)
    assert (state["api_key"], state["api_secret"]) == (sandbox.api_key, sandbox.api_secret)
    assert state["quiet"] is True


def test_the_keys_are_the_same_in_every_sandbox(sandbox: Sandbox) -> None:
    assert (sandbox.api_key, sandbox.api_secret) == ("sandbox-api-key", "sandbox-api-secret")


def test_a_mail_that_was_asked_for_is_listed_with_its_words_and_links(sandbox: Sandbox, v3: Asked) -> None:
    v3("POST", f"/forms/{NEWSLETTER}/subscribe", email=HELD)
    (mail,) = sandbox.mails()
    assert (mail["to"], mail["subject"]) == (HELD, "Please confirm your subscription")
    assert "Please confirm that you want to hear from Acme Corp." in mail["text"]
    assert "\r" not in mail["text"]
    assert ["To", HELD] in mail["headers"]
    (link,) = [one for one in mail["links"] if "/confirm/" in one]
    assert link.startswith(sandbox.base_url)
    assert f'href="{link}"' in mail["html"]
    assert sandbox.mails(to=ARYA) == []
    assert sandbox.mails(to=HELD.upper()) == [mail]


def test_the_link_in_a_listed_mail_confirms(sandbox: Sandbox, v3: Asked) -> None:
    v3("POST", f"/forms/{NEWSLETTER}/subscribe", email=HELD)
    (mail,) = sandbox.mails()
    link = mail["links"][0].removeprefix(sandbox.base_url)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ask(sandbox, "POST", link, b"", form).status == 200
    assert state_of(v3, HELD) == "active"


def test_a_person_confirms_without_their_mail(sandbox: Sandbox, v3: Asked) -> None:
    v3("POST", f"/forms/{NEWSLETTER}/subscribe", email=HELD)
    assert state_of(v3, HELD) == "inactive"
    sandbox.confirm(HELD)
    assert state_of(v3, HELD) == "active"


def test_who_was_asked_by_no_form_cannot_confirm(sandbox: Sandbox, v3: Asked) -> None:
    v3("POST", f"/forms/{WEBINAR}/subscribe", email=HELD)
    with pytest.raises(Wrong, match="409 this person is in no form that asks"):
        sandbox.confirm(HELD)


@pytest.mark.parametrize(
    ("done", "state", "event"),
    (
        ("bounce", "bounced", "subscriber.subscriber_bounce"),
        ("complain", "complained", "subscriber.subscriber_complain"),
    ),
)
def test_an_address_bounces_or_complains_and_webhooks_hear_of_it(
    sandbox: Sandbox, v3: Asked, done: str, state: str, event: str
) -> None:
    with receiver() as heard:
        hook(v3, heard.url, event)
        getattr(sandbox, done)(ARYA)
        assert state_of(v3, ARYA) == state
        (posted,) = sandbox.webhooks()
    assert (posted["status"], posted["error"], posted["answer"]) == (200, "", "fine")
    assert [one["subscriber"]["email_address"] for one in heard.bodies] == [ARYA]
    assert heard.bodies[0]["subscriber"]["state"] == state


def test_who_has_bounced_does_not_complain_as_well(sandbox: Sandbox, v3: Asked) -> None:
    sandbox.bounce(ARYA)
    sandbox.complain(ARYA)
    assert state_of(v3, ARYA) == "bounced"


@pytest.mark.parametrize("done", ("confirm", "bounce", "complain"))
def test_nobody_can_be_made_to_do_anything(sandbox: Sandbox, done: str) -> None:
    with pytest.raises(Wrong, match="404 subscriber not found"):
        getattr(sandbox, done)("nobody@example.com")


def test_the_clock_sends_a_sequence_letter_by_letter(sandbox: Sandbox, v3: Asked) -> None:
    v3("POST", f"/tags/{CUSTOMER}/subscribe", email=HELD)
    subjects = ["Welcome, friend"]
    assert [one["subject"] for one in sandbox.mails(to=HELD)] == subjects
    sandbox.advance("23 hours")
    assert [one["subject"] for one in sandbox.mails(to=HELD)] == subjects
    sandbox.advance(timedelta(hours=1, minutes=1))
    assert [one["subject"] for one in sandbox.mails(to=HELD)] == [*subjects, "Where to start"]
    sandbox.advance("3 days")
    times = [datetime.fromisoformat(one["sent_at"]) for one in sandbox.mails(to=HELD)]
    assert len(times) == 3
    assert timedelta(days=3) <= times[2] - times[1] < timedelta(days=3, hours=2)


def test_a_month_in_one_turn_of_the_clock_keeps_its_days_apart(sandbox: Sandbox, v3: Asked) -> None:
    v3("POST", f"/tags/{CUSTOMER}/subscribe", email=HELD)
    sandbox.advance("31 days")
    first, second, third = (datetime.fromisoformat(one["sent_at"]) for one in sandbox.mails(to=HELD))
    assert timedelta(days=1) <= second - first < timedelta(days=1, hours=2)
    assert timedelta(days=3) <= third - second < timedelta(days=3, hours=2)


def test_the_clock_is_that_of_the_api_too(sandbox: Sandbox, v3: Asked) -> None:
    said = sandbox.advance("300 days")
    v3("POST", f"/forms/{WEBINAR}/subscribe", email=HELD)
    (who,) = v3("GET", f"/subscribers?email_address={HELD}").json["subscribers"]
    apart = datetime.fromisoformat(who["created_at"]) - datetime.fromisoformat(said)
    assert abs(apart) < timedelta(minutes=5)


def test_a_webhook_that_fails_is_tried_again_as_time_passes(sandbox: Sandbox, v3: Asked) -> None:
    with receiver() as heard:
        heard.status = 500
        hook(v3, heard.url, "subscriber.tag_add", tag_id=CUSTOMER)
        v3("POST", f"/tags/{CUSTOMER}/subscribe", email=HELD)
        tries = [one["status"] for one in sandbox.webhooks() if one["url"] == heard.url]
        assert tries == [500]
        heard.status = 200
        sandbox.advance("1 hour")
        tries = [one["status"] for one in sandbox.webhooks() if one["url"] == heard.url]
    assert tries == [500, 200]


def test_the_rate_limit_is_that_of_production_and_passes_with_the_clock(sandbox: Sandbox, v3: Asked) -> None:
    got = [v3("GET", "/tags").status for _ in range(121)]
    assert got == [200] * 120 + [429]
    sandbox.advance("10 seconds")
    assert v3("GET", "/tags").status == 429
    sandbox.advance("1 minute")
    assert v3("GET", "/tags").status == 200


def test_the_rate_limit_can_be_turned_off() -> None:
    with Sandbox(rate_limit=False) as one:
        got = {ask(one, "GET", f"/v3/tags?api_key={one.api_key}").status for _ in range(130)}
    assert got == {200}


def test_the_command_says_where_it_is_and_how_to_use_it() -> None:
    command = [sys.executable, "-m", "tidings", "sandbox", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = b""
    while b"docs/sandbox.md" not in said:
        more = os.read(process.stdout.fileno(), 4_096)
        assert more, said
        said += more
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    process.stdout.close()
    text = said.decode()
    (base,) = set(re.findall(r"http://127\.0\.0\.1:\d+", text))
    assert f"{base}/v3 in place of https://api.convertkit.com/v3" in text
    assert "export API_KEY=sandbox-api-key" in text
    assert "export API_SECRET=sandbox-api-secret" in text


def test_the_control_address_is_not_there_in_serve(sqlite_url: str) -> None:
    using = settings.load({"TIDINGS_DATABASE": sqlite_url})
    db = app.open_database(using)
    try:
        served = app.web(using, db)

        def asked(method: str, path: str) -> int:
            return asyncio.run(call(served, method, path, {"host": "127.0.0.1"}, client="127.0.0.1")).status

        assert asked("GET", "/sandbox") == asked("GET", "/sandbox/mails") == 404
        # A post from nowhere is refused before its address is looked for.
        assert asked("POST", "/sandbox/reset") == asked("POST", "/no/such/address") == 404
    finally:
        db.close()
