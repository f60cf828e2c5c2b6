"""Contract section 0: what a naive implementation gets wrong. `test_row_0_NN` is row NN of its table."""

import json
import re
from typing import Any

import pytest

from tests.api_v3.client import BASE, FORM, Api, read, said
from tests.api_v3.world import ADA, UNKNOWN, dump

K, S = ADA.key, ADA.secret
SUBSCRIBE = f"/v3/forms/{ADA.plain}/subscribe"
JON = {"email": "jon@example.com"}
GENERIC = (404, "Not Found", "The entity you were trying to find doesn't exist")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z")


def test_row_0_01_any_parameter_may_come_in_any_way_for_every_verb(api: Api) -> None:
    by_body = api.ask("GET", "/v3/subscribers", {**S, "email_address": "bea@example.com"})
    assert read(by_body)["subscribers"][0]["id"] == ADA.bea
    by_query = api.ask("POST", SUBSCRIBE, {**K, **JON}, how="query")
    assert read(by_query)["subscription"]["state"] == "active"
    by_form = api.ask("PUT", "/v3/unsubscribe", {**S, **JON}, how="form")
    assert read(by_form)["subscriber"]["state"] == "cancelled"
    assert api.ask("DELETE", f"/v3/broadcasts/{ADA.draft}", S, how="json").status == 204
    assert api.ask("DELETE", f"/v3/custom_fields/{ADA.size}", S, how="form").status == 204


def test_row_0_02_the_key_sees_an_id_where_the_secret_sees_the_person(api: Api) -> None:
    with_key = read(api.ask("POST", SUBSCRIBE, {**K, "email": "bea@example.com"}))
    with_secret = read(api.ask("POST", SUBSCRIBE, {**S, "email": "bea@example.com"}))
    assert with_key["subscription"].pop("subscriber") == {"id": ADA.bea}
    person = with_secret["subscription"].pop("subscriber")
    assert list(person) == ["id", "first_name", "email_address", "state", "created_at", "fields"]
    assert with_key == with_secret


def test_row_0_03_subscribing_and_a_webhook_are_200_and_what_is_created_is_201(api: Api) -> None:
    hook = {"target_url": "https://hooks.example/x", "event": {"name": "purchase.purchase_create"}}
    bought = {"transaction_id": "t", "email_address": "jon@example.com"}
    expected: list[tuple[str, dict[str, Any], int]] = [
        (SUBSCRIBE, JON, 200),
        (f"/v3/sequences/{ADA.sequence}/subscribe", JON, 200),
        (f"/v3/tags/{ADA.tag}/subscribe", JON, 200),
        ("/v3/automations/hooks", hook, 200),
        ("/v3/tags", {"tag": {"name": "New"}}, 201),
        ("/v3/custom_fields", {"label": "New"}, 201),
        ("/v3/broadcasts", {}, 201),
        ("/v3/purchases", {"purchase": bought}, 201),
    ]
    assert [api.ask("POST", path, {**S, **params}).status for path, params, _ in expected] == [
        status for _, _, status in expected
    ]


def test_row_0_04_what_is_removed_is_204_but_a_webhook_and_a_tag_are_200(api: Api) -> None:
    field = f"/v3/custom_fields/{ADA.size}"
    for method, path in (("PUT", field), ("DELETE", field), ("DELETE", f"/v3/broadcasts/{ADA.draft}")):
        answer = api.ask(method, path, {**S, "label": "New"})
        assert (answer.status, answer.body, answer.headers["cache-control"]) == (204, b"", "no-cache")
        assert not {"content-type", "content-length", "etag"} & set(answer.headers)
    hook = api.ask("DELETE", f"/v3/automations/hooks/{ADA.hook}", S)
    assert (hook.status, hook.body) == (200, b'{"success":true}')
    tag = read(api.ask("DELETE", f"/v3/subscribers/{ADA.bea}/tags/{ADA.tag}", S))
    assert (tag["id"], tag["name"]) == (ADA.tag, "customer")


def test_row_0_05_unknown_forms_sequences_and_tags_have_errors_of_their_own(api: Api) -> None:
    def unknown(kind: str, verb: str) -> tuple[int, str, str]:
        return said(api.ask("POST", f"/v3/{kind}/{UNKNOWN}/{verb}", {**S, **JON}))

    assert unknown("forms", "subscribe") == GENERIC
    assert unknown("sequences", "subscribe") == (404, "Course not found", "")
    assert unknown("courses", "subscribe") == (404, "Course not found", "")
    assert unknown("tags", "subscribe") == (404, "Tag not found", "")
    assert {unknown(kind, "unsubscribe") for kind in ("forms", "sequences", "courses", "tags")} == {GENERIC}


@pytest.mark.parametrize("kind", ("forms", "sequences", "courses", "tags"))
def test_row_0_06_a_malformed_address_cannot_subscribe_to_anything(api: Api, kind: str) -> None:
    one = {"forms": ADA.plain, "tags": ADA.tag}.get(kind, ADA.sequence)
    answer = api.ask("POST", f"/v3/{kind}/{one}/subscribe", {**K, "email": "jon"})
    assert said(answer) == (422, "Error updating subscriber", "Email address is invalid")


@pytest.mark.parametrize("email", ("nobody@example.com", "jon"))
def test_row_0_07_leaving_a_tag_is_no_error_for_nobody_but_unsubscribing_is(api: Api, email: str) -> None:
    before = dump(api.db)
    tag = read(api.ask("POST", f"/v3/tags/{ADA.tag}/unsubscribe", {**S, "email": email}))
    assert tag["id"] == ADA.tag
    assert said(api.ask("PUT", "/v3/unsubscribe", {**S, "email": email})) == GENERIC
    assert dump(api.db) == before


@pytest.mark.parametrize("email", ("nobody@example.com", "jon"))
def test_row_0_08_looking_for_nobody_gives_an_empty_list(api: Api, email: str) -> None:
    listed = read(api.ask("GET", "/v3/subscribers", {**S, "email_address": email}))
    assert listed == {"total_subscribers": 0, "page": 1, "total_pages": 1, "subscribers": []}


def test_row_0_09_the_stats_of_a_broadcast_are_an_object(api: Api) -> None:
    stats = read(api.ask("GET", f"/v3/broadcasts/{ADA.sent}/stats", S))
    assert list(stats) == ["broadcast"]
    assert list(stats["broadcast"]) == ["id", "stats"]
    assert isinstance(stats["broadcast"]["stats"], dict)


def test_row_0_10_fields_has_all_of_the_account_as_text_or_null(api: Api) -> None:
    values = {"last_name": 7, "grosse": 1.5, "nothing": "x"}
    joined = read(api.ask("POST", SUBSCRIBE, {**S, **JON, "fields": values}))
    assert joined["subscription"]["subscriber"]["fields"] == {"last_name": "7", "grosse": "1.5"}
    path = f"/v3/subscribers/{joined['subscription']['subscriber']['id']}"
    cleared = read(api.ask("PUT", path, {**S, "fields": {"last_name": None, "grosse": True}}))
    assert cleared["subscriber"]["fields"] == {"last_name": None, "grosse": "true"}
    for field in (ADA.last_name, ADA.size):
        api.ask("DELETE", f"/v3/custom_fields/{field}", S)
    assert read(api.ask("GET", path, S))["subscriber"]["fields"] == {}


def test_row_0_11_every_time_ends_in_three_zeros(api: Api) -> None:
    paths = [
        "/v3/forms",
        "/v3/sequences",
        "/v3/tags",
        "/v3/subscribers",
        f"/v3/forms/{ADA.plain}/subscriptions",
        f"/v3/broadcasts/{ADA.scheduled}",
        "/v3/purchases",
    ]
    for path in paths:
        times = [value for name, value in _walk(read(api.ask("GET", path, S))) if _is_time(name) and value]
        assert times, path
        assert all(STAMP.fullmatch(one) for one in times), times
    api.house.db.clock = lambda: 1_687_000_000_987
    made = read(api.ask("POST", "/v3/tags", {**S, "tag": {"name": "New"}}), 201)
    assert made["created_at"] == "2023-06-17T11:06:40.000Z"


def _is_time(name: str) -> bool:
    return name.endswith("_at") or name == "transaction_time"


def _walk(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _walk(item, key)]
    if isinstance(value, list):
        return [pair for item in value for pair in _walk(item, name)]
    return [(name, value)]


def test_row_0_12_one_label_in_an_array_is_answered_by_one_object(api: Api) -> None:
    one = read(api.ask("POST", "/v3/custom_fields", {**S, "label": ["Hat"]}), 201)
    two = read(api.ask("POST", "/v3/custom_fields", {**S, "label": ["Shoe", "Coat"]}), 201)
    assert one["key"] == "hat"
    assert [field["key"] for field in two] == ["shoe", "coat"]


@pytest.mark.parametrize(
    ("path", "params"),
    (
        ("/v3/tags", {"tag": {"name": "VIP"}}),
        ("/v3/tags", {"tag": {"name": ""}}),
        ("/v3/tags", {"tag": [{"name": "New"}, {"name": "new"}]}),
        ("/v3/custom_fields", {"label": "Last name"}),
        ("/v3/custom_fields", {"label": ""}),
        ("/v3/custom_fields", {"label": ["New", "NEW"]}),
    ),
    ids=str,
)
def test_row_0_13_blank_and_taken_names_are_refused_and_nothing_is_made(
    api: Api, path: str, params: dict[str, Any]
) -> None:
    before = dump(api.db)
    assert api.ask("POST", path, {**S, **params}).status == 422
    assert dump(api.db) == before


def test_row_0_14_an_event_comes_back_without_its_group_and_both_names_of_a_sequence_are_taken(
    api: Api,
) -> None:
    def made(**event: object) -> dict[str, Any]:
        params = {**S, "target_url": "https://hooks.example/x", "event": event}
        found: dict[str, Any] = read(api.ask("POST", "/v3/automations/hooks", params))["rule"]["event"]
        return found

    assert made(name="subscriber.tag_add", tag_id="301") == {"name": "tag_add", "tag_id": 301}
    by_course = made(name="subscriber.course_subscribe", course_id=201)
    by_sequence = made(name="subscriber.course_subscribe", sequence_id="201")
    assert by_course == {"name": "course_subscribe", "course_id": 201}
    assert by_sequence == {"name": "course_subscribe", "sequence_id": 201}


def test_row_0_15_undocumented_endpoints_that_clients_call_are_there(api: Api) -> None:
    assert read(api.ask("GET", f"/v3/forms/{ADA.plain}", K))["name"] == "Plain"
    assert [one["form_id"] for one in read(api.ask("GET", "/v3/subscription_forms", K))] == [101, 102, 103]
    assert [list(one) for one in read(api.ask("GET", "/v3/automations/hooks", S))] == [["rule"]]
    assert read(api.ask("GET", f"/v3/custom_fields/{ADA.size}", K))["key"] == "grosse"


@pytest.mark.parametrize("rest", ("", "/{id}/subscriptions", "/{id}/subscribe", "/{id}/unsubscribe"))
def test_row_0_16_courses_are_sequences_and_odd_slashes_are_fine(api: Api, rest: str) -> None:
    method = "GET" if rest in ("", "/{id}/subscriptions") else "POST"
    path = rest.replace("{id}", str(ADA.sequence))
    answers = [
        api.ask(method, f"{prefix}{path}{end}", {**S, "email": "bea@example.com"})
        for prefix in ("/v3/sequences", "/v3/courses", "/v3//courses", "//v3/courses", "/api/v3/sequences")
        for end in ("", "/", "//")
    ]
    assert {one.status for one in answers} == {200}
    assert len({one.body for one in answers}) == 1


def test_row_0_17_a_bare_key_is_absent(api: Api) -> None:
    query = f"api_secret={S['api_secret']}&email=bea@example.com&fields&first_name&tags"
    joined = read(api.send("POST", f"{SUBSCRIBE}?{query}"))["subscription"]["subscriber"]
    assert (joined["first_name"], joined["fields"]["last_name"]) == ("Bea", "Ó Brien")
    by_form = read(api.send("POST", SUBSCRIBE, query.encode(), {"content-type": FORM}))
    assert by_form["subscription"]["subscriber"] == joined


@pytest.mark.parametrize("tags", ([301, 302], ["301", "302"], "301,302", " 301 , 302 ", ["301,302"]), ids=str)
@pytest.mark.parametrize("how", ("json", "form", "query"))
def test_row_0_18_tags_come_as_numbers_as_text_or_joined_by_commas(api: Api, tags: Any, how: Any) -> None:
    joined = read(api.ask("POST", SUBSCRIBE, {**S, **JON, "tags": tags}, how=how))
    person = joined["subscription"]["subscriber"]["id"]
    applied = read(api.ask("GET", f"/v3/subscribers/{person}/tags", K))["tags"]
    assert [tag["id"] for tag in applied] == [301, 302]


def test_row_0_19_the_rate_limit_is_a_setting_and_its_answer_is_json(api: Api) -> None:
    limited = Api(api.db, rate_limit=1)
    assert limited.ask("GET", "/v3/account", S).status == 200
    status, error, message = said(limited.ask("GET", "/v3/account", S))
    assert (status, error) == (429, "Rate limit exceeded")
    assert message.startswith("Try again in ")
    assert {api.ask("GET", "/v3/account", S).status for _ in range(130)} == {200}


@pytest.mark.parametrize("page", (2, 900, 2**63 - 1))
def test_row_0_20_a_page_beyond_the_end_is_empty_and_echoed(api: Api, page: int) -> None:
    lists = {
        "/v3/subscribers": "subscribers",
        "/v3/purchases": "purchases",
        f"/v3/forms/{ADA.plain}/subscriptions": "subscriptions",
        f"/v3/sequences/{ADA.sequence}/subscriptions": "subscriptions",
        f"/v3/tags/{ADA.tag}/subscriptions": "subscriptions",
    }
    for path, name in lists.items():
        listed = read(api.ask("GET", path, {**S, "page": page}))
        assert (listed["page"], listed[name], listed["total_pages"]) == (page, [], 1)
        assert listed[f"total_{name}"] > 0
    assert read(api.ask("GET", "/v3/broadcasts", {**S, "page": page})) == {"broadcasts": []}


def test_the_base_of_these_tests_is_the_one_in_the_links(api: Api) -> None:
    form = json.loads(api.ask("GET", f"/v3/forms/{ADA.plain}", K).body)
    assert form["url"].startswith(BASE)
