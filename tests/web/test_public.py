"""The public door: forms, embeds, confirmation pages, static files."""

import gzip
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.doors import BASE, START_MS, Rooms, ask, rooms
from tidings.core import accounts, custom_fields, events, forms, tags
from tidings.web import files
from tidings.web.public import embed, form_page
from tidings.web.public.door import Door

JSON = {"accept": "application/json"}
HOSTILE = """</script><script>alert(1)</script>"'`\u2028\u2029&\\<img src=x onerror=alert(2)>${x}{{ 7*7 }}"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def door(here: Rooms) -> Door:
    return Door(here.house)


def subscription_of(here: Rooms, email: str) -> tuple[object, ...]:
    return here.rows(
        "SELECT form_id, sequence_id, tag_id, source FROM subscriptions JOIN subscribers"
        " ON subscribers.id = subscriber_id WHERE email = :email",
        email=email,
    )[0]


def test_a_form_page_works_without_a_script(here: Rooms, door: Door) -> None:
    form = here.form(title="Garden letters", sign_up_button_text="Send them")
    shown = ask(door, "GET", f"/f/{form.uid}")
    assert shown.status == 200
    assert "<script" not in shown.text
    assert "style=" not in shown.text
    assert f'action="/f/{form.uid}"' in shown.text
    assert "Garden letters" in shown.text
    assert "Send them" in shown.text
    answer = ask(
        door, "POST", f"/f/{form.uid}", {"email": "bea@example.com", "first_name": "Bea", "website": ""}
    )
    assert answer.status == 200
    assert forms.SUCCESS in answer.text
    who = here.person("bea@example.com")
    assert who is not None
    assert (who.state, who.first_name) == ("inactive", "Bea")
    assert subscription_of(here, "bea@example.com") == (form.id, None, None, "form page")


def test_the_event_of_a_sign_up_proves_the_consent(here: Rooms, door: Door) -> None:
    form = here.form(confirmation="none")
    ask(door, "POST", f"/f/{form.uid}", {"email_address": "bea@example.com"}, client="198.51.100.9")
    who = here.person("bea@example.com")
    assert who is not None
    recorded = here.db.read_now(here.account_id, events.of_subscriber, who.id)
    joined = next(one for one in recorded if one.name == "form_subscribe")
    assert json.loads(joined.cause) == {
        "door": "form", "address": "198.51.100.9", "source": "form page", "text": form.text_version,
    }  # fmt: skip


@pytest.mark.parametrize("path", ("/f//{uid}/", "//f/{uid}", "/f/{uid}/"))
def test_doubled_and_trailing_slashes_reach_the_form(here: Rooms, door: Door, path: str) -> None:
    assert ask(door, "GET", path.format(uid=here.form().uid)).status == 200


def test_a_malformed_address_is_said_beside_its_input_and_values_are_kept(here: Rooms, door: Door) -> None:
    form = here.form()
    given = {"email": 'bea"@@x', "first_name": "<b>Bea", "fields[city]": "Köln", "ck_field_1_pet": '">cat'}
    answer = ask(door, "POST", f"/f/{form.uid}", given)
    assert answer.status == 422
    assert 'id="email-wrong"' in answer.text
    assert 'aria-describedby="email-wrong"' in answer.text
    assert 'value="bea&#34;@@x"' in answer.text
    assert 'value="&lt;b&gt;Bea"' in answer.text
    assert 'name="fields[city]" value="Köln"' in answer.text
    assert 'name="ck_field_1_pet" value="&#34;&gt;cat"' in answer.text
    assert here.rows("SELECT id FROM subscribers") == []


@pytest.mark.parametrize(
    ("given", "field"),
    (
        ({}, "email"),
        ({"email": " "}, "email"),
        ({"email[]": "bea@example.com"}, "email"),
        ({"email": "bea@example.com", "first_name": "x" * 256}, "first_name"),
        ({"email": "bea@example.com", "fields[city]": "x" * 70_000}, None),
        ({"email": "bea@example.com", **{f"fields[f{n}]": "x" for n in range(126)}}, None),
    ),
)
def test_every_mistake_is_said_to_page_and_script(
    here: Rooms, door: Door, given: dict[str, str], field: str | None
) -> None:
    here.db.write_now(here.account_id, custom_fields.create, ["City"])
    form = here.form()
    page = ask(door, "POST", f"/f/{form.uid}", given)
    assert page.status == 422
    said = ask(door, "POST", f"/f/{form.uid}", given, JSON)
    assert said.status == 422
    answer = json.loads(said.body)
    assert answer["error"] == "Unprocessable Entity"
    assert answer["field"] == field
    assert html.escape(answer["message"], quote=True).replace("&quot;", "&#34;") in page.text
    assert here.rows("SELECT id FROM subscribers") == []


def test_custom_fields_are_taken_by_key_and_by_name_and_blanks_clear_nothing(here: Rooms, door: Door) -> None:
    city, pet = here.db.write_now(here.account_id, custom_fields.create, ["City", "Pet"])
    form = here.form(confirmation="none")
    given = {"email": "bea@example.com", "fields[city]": "Köln", pet.name: "cat"}
    ask(door, "POST", f"/f/{form.uid}", given)
    ask(door, "POST", f"/f/{form.uid}", {"email": "bea@example.com", "fields[city]": "", city.name: ""})
    who = here.person("bea@example.com")
    assert who is not None
    assert who.fields == {"city": "Köln", "pet": "cat"}


def test_a_stranger_cannot_tag_or_join_anything_else(here: Rooms, door: Door) -> None:
    form, other = here.form(confirmation="none"), here.form("Other")
    tag = here.db.write_now(here.account_id, tags.create, ["vip"])[0].id
    given = {"email": "bea@example.com", "tags": str(tag), "forms": str(other.id), "courses[]": "1"}
    assert ask(door, "POST", f"/f/{form.uid}", given).status == 200
    assert here.rows("SELECT form_id, tag_id, sequence_id FROM subscriptions") == [(form.id, None, None)]


def test_the_query_signs_nobody_up(here: Rooms, door: Door) -> None:
    form = here.form()
    assert ask(door, "POST", f"/f/{form.uid}?email=bea@example.com").status == 422


@pytest.mark.parametrize("headers", ({}, JSON))
def test_what_fills_the_hidden_field_hears_success_and_changes_nothing(
    here: Rooms, door: Door, headers: dict[str, str]
) -> None:
    form = here.form()
    before = here.dump()
    answer = ask(door, "POST", f"/f/{form.uid}", {"email": "bot@example.com", "website": "x"}, headers)
    honest = ask(door, "POST", f"/f/{form.uid}", {"email": "bea@example.com", "website": ""}, headers)
    assert (answer.status, answer.body) == (honest.status, honest.body)
    assert here.person("bot@example.com") is None
    assert before["subscribers"] == []


def test_success_sends_on_to_the_redirect_and_the_page_allows_it(here: Rooms, door: Door) -> None:
    form = here.form(redirect_url="https://example.com/danke?a=ü&b=1")
    answer = ask(door, "POST", f"/f/{form.uid}", {"email": "bea@example.com"})
    assert answer.status == 303
    assert answer.headers["location"] == "https://example.com/danke?a=%C3%BC&b=1"
    policy = ask(door, "GET", f"/f/{form.uid}").headers["content-security-policy"]
    assert "form-action 'self' https: http:" in policy


@pytest.mark.parametrize(
    "url",
    (
        "javascript:alert(1)",
        "//evil.example",
        "https://",
        "ftp://x.example",
        "https://a.example/\r\nx: y",
        "http://[",
        " ",
    ),
)
def test_a_redirect_to_anything_but_http_is_not_followed(here: Rooms, door: Door, url: str) -> None:
    form = here.form(redirect_url=url)
    assert form_page.redirect(form) is None
    assert ask(door, "POST", f"/f/{form.uid}", {"email": "bea@example.com"}).status == 200


def test_the_script_is_answered_in_json_for_any_origin(here: Rooms, door: Door) -> None:
    form = here.form(success_message="Thanks, <you>", redirect_url="https://example.com/x")
    answer = ask(door, "POST", f"/f/{form.uid}", {"email": "bea@example.com"}, JSON)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert json.loads(answer.body) == {
        "status": "success", "message": "Thanks, <you>", "redirect_url": "https://example.com/x",
    }  # fmt: skip
    asked = ask(door, "OPTIONS", f"/f/{form.uid}", headers={"origin": "https://blog.example"})
    assert asked.status == 204
    assert asked.headers["access-control-allow-origin"] == "*"
    assert "POST" in asked.headers["access-control-allow-methods"]


def test_unknown_and_archived_forms_say_so(here: Rooms, door: Door) -> None:
    form = here.form("Old", archived_at=START_MS)
    for method in ("GET", "POST"):
        assert ask(door, method, f"/f/{form.uid}", {"email": "bea@example.com"}).status == 410
        assert ask(door, method, "/f/nobody", {"email": "bea@example.com"}).status == 404
        assert ask(door, method, "/f/%00%ff<x>", {"email": "bea@example.com"}).status == 404
    said = ask(door, "POST", f"/f/{form.uid}", {"email": "bea@example.com"}, JSON)
    assert (said.status, json.loads(said.body)["error"]) == (410, "Gone")
    assert here.rows("SELECT id FROM subscribers") == []


@pytest.mark.parametrize("ending", ("js", "html"))
def test_embeds_need_no_key_and_hide_archived_forms(here: Rooms, door: Door, ending: str) -> None:
    form, old = here.form(), here.form("Old", archived_at=START_MS)
    for prefix in ("", "/api"):
        assert ask(door, "GET", f"{prefix}/v3/forms/{form.id}.{ending}?api_key=wrong").status == 200
    for name in (str(old.id), "999", "0", "9" * 30, "-1", "x"):
        answer = ask(door, "GET", f"/v3/forms/{name}.{ending}")
        assert answer.status == 404
        assert json.loads(answer.body) == {
            "error": "Not Found", "message": "The entity you were trying to find doesn't exist",
        }  # fmt: skip
    head = ask(door, "HEAD", f"/v3/forms/{form.id}.{ending}")
    assert (head.status, head.body) == (200, b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused = ask(door, method, f"/v3/forms/{form.id}.{ending}")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


def test_the_bare_page_may_be_framed_and_its_answers_too(here: Rooms, door: Door) -> None:
    form = here.form()
    shown = ask(door, "GET", f"/v3/forms/{form.id}.html")
    assert "frame-ancestors *" in shown.headers["content-security-policy"]
    action = re.search(r'action="([^"]+)"', shown.text)
    assert action
    for email in ("bea@example.com", "wrong"):
        answer = ask(door, "POST", action[1], {"email": email})
        assert "frame-ancestors *" in answer.headers["content-security-policy"]
        assert 'class="bare"' in answer.text


def test_the_script_has_its_headers(here: Rooms, door: Door) -> None:
    answer = ask(door, "GET", f"/v3/forms/{here.form().id}.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_hostile_words_of_a_form_stay_words(here: Rooms, door: Door) -> None:
    form = here.form(HOSTILE, title=HOSTILE, description=f"<p>{HOSTILE}</p>", sign_up_button_text=HOSTILE,
                     success_message=HOSTILE)  # fmt: skip
    shown = ask(door, "GET", f"/f/{form.uid}").text
    done = ask(door, "POST", f"/f/{form.uid}", {"email": "bea@example.com"}).text
    for page in (shown, done):
        assert "<script" not in page
        assert "<img" not in page
        assert str(7 * 7) not in re.sub(r'(?:action|value)="[^"]*"', "", page)
    script = ask(door, "GET", f"/v3/forms/{form.id}.js").text
    values = re.search(r"var form = (\{.*\});\n", script)
    assert values
    assert not re.search(r"[<>&\u0080-\uffff]", values[1])
    assert json.loads(values[1])["title"] == HOSTILE


def test_a_literal_is_read_back_as_it_was() -> None:
    for value in (HOSTILE, "", "\0\n\r", "😀", {"a": ["</script>", None, 1]}, '"__FORM__"'):
        written = embed.literal(value)
        assert json.loads(written) == value
        assert written.isascii()
        assert not set("<>&") & set(written)


def test_a_description_is_shown_as_its_text() -> None:
    source = "<p>One &amp; two<br>three</p>\n<p><a href='x'>four</a></p>"
    assert form_page.plain(source) == "One & two\nthree\n\nfour"


def test_too_many_sign_ups_from_one_network_are_refused_for_a_minute(tmp_path: Path) -> None:
    with rooms(tmp_path, rate_limit=2) as here:
        door, form = Door(here.house), here.form()
        for n in (1, 2):
            given = {"email": f"reader{n}@example.com"}
            assert ask(door, "POST", f"/f/{form.uid}", given, client=f"2001:db8::{n}").status == 200
        given = {"email": "reader3@example.com"}
        refused = ask(door, "POST", f"/f/{form.uid}", given, client="2001:db8::3")
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert 'value="reader3@example.com"' in refused.text
        said = ask(door, "POST", f"/f/{form.uid}", given, JSON, client="2001:db8::3")
        assert (said.status, json.loads(said.body)["error"]) == (429, "Rate limit exceeded")
        assert ask(door, "POST", f"/f/{form.uid}", given, client="192.0.2.1").status == 200


def test_static_files_are_found_by_name_alone(here: Rooms, door: Door) -> None:
    sheet = ask(door, "GET", "/static/pages.css")
    assert sheet.status == 200
    assert sheet.headers["content-type"] == "text/css; charset=utf-8"
    assert sheet.headers["x-content-type-options"] == "nosniff"
    known = f'"x", W/{sheet.headers["etag"]}'
    fresh = ask(door, "GET", "/static/pages.css", headers={"if-none-match": known})
    assert (fresh.status, fresh.body) == (304, b"")
    for name in (
        "",
        "../public/door.py",
        "%2e%2e/house.py",
        "pages.css%00",
        "/etc/passwd",
        "..%2fhouse.py",
        "vendor/htmx.js",
        "x.css",
    ):
        assert ask(door, "GET", f"/static/{name}").status == 404
    assert ask(door, "POST", "/static/pages.css").status == 405


def test_a_static_file_is_kept_for_good_only_under_the_hash_that_it_has(here: Rooms, door: Door) -> None:
    address = files.address("htmx.js")
    assert address.startswith("/static/htmx.js?v=")
    script = ask(door, "GET", address)
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    for other in ("/static/htmx.js", "/static/htmx.js?v=", f"{address}0", f"{address}&x=1"):
        assert ask(door, "GET", other).headers["cache-control"] == "public, max-age=3600"


def test_static_files_are_packed_for_who_takes_it(here: Rooms, door: Door) -> None:
    plain = ask(door, "GET", "/static/editor.js")
    packed = ask(
        door, "GET", "/static/editor.js", headers={"accept-encoding": "br;q=1.0, gzip;q=0.8, *;q=0.1"}
    )
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    assert packed.headers["etag"] != plain.headers["etag"]
    for refusing in ("gzip;q=0", "gzip;q=0.000, br", "identity", "xgzip", ""):
        answer = ask(door, "GET", "/static/editor.js", headers={"accept-encoding": refusing})
        assert "content-encoding" not in answer.headers
        assert answer.body == plain.body


def test_no_reading_method_changes_a_row(here: Rooms, door: Door) -> None:
    form = here.form()
    joined = here.sign_up(form, "bea@example.com")
    path = here.house.links.confirm(here.account_id, joined, here.now).removeprefix(BASE)
    pages = (f"/f/{form.uid}", f"/f/{form.uid}?email=x@example.com", path, "/static/pages.css",
             f"/v3/forms/{form.id}.js", f"/v3/forms/{form.id}.html")  # fmt: skip
    before = here.dump()
    for page in pages:
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"):
            answer = ask(door, method, page, {"email": "eve@example.com"})
            assert answer.status in (200, 204, 405)
            assert answer.status != 405 or answer.headers["allow"]
    assert here.dump() == before


@pytest.mark.parametrize(
    ("kind", "body"),
    (
        ("application/json", b'{"email": {"a": [1]}, "fields": [1], "first_name": 5}'),
        (
            "application/json",
            b'{"email": "bea@example.com", "fields": {"city": {"a": 1}}, "first_name": ["x"]}',
        ),
        ("application/json", b"{" * 100_000),
        ("application/json", b'{"email": "\\ud800@example.com"}'),
        ("multipart/form-data; boundary=x", b"--x\r\ncontent-disposition: form-data"),
        ("multipart/form-data", b"email=x"),
        ("application/x-www-form-urlencoded", b"email=%ff%00@x.example&first_name=%00" + b"&a=b" * 2_000),
        ("text/plain", b"\xff\xfe\x00"),
    ),
)
def test_hostile_bodies_get_an_answer_and_change_nothing(
    here: Rooms, door: Door, kind: str, body: bytes
) -> None:
    here.db.write_now(here.account_id, custom_fields.create, ["City"])
    form = here.form()
    for accept in ("text/html", "application/json"):
        headers = {"content-type": kind, "accept": accept}
        assert ask(door, "POST", f"/f/{form.uid}", body, headers).status in (400, 422)
    assert here.rows("SELECT id FROM subscribers") == []


def test_another_accounts_form_signs_up_for_that_account_alone(here: Rooms, door: Door) -> None:
    other = here.db.write_now(0, accounts.create, "Eve's", "eve@example.com").account_id
    form_id = here.db.write_now(other, forms.create, forms.FormSettings(name="Eve", confirmation="none"))
    uid = here.db.read_now(other, forms.find, form_id).uid
    ask(door, "POST", f"/f/{uid}", {"email": "bea@example.com"})
    assert here.rows("SELECT account_id FROM subscribers") == [(other,)]
