"""Contract section 8, which wins over all others. `test_row_8_NN` is row NN of its table.

Rows on purchases and integrations (20, 23, 24, 29) stand in `test_contract_purchases`, those on the rate
limit (17, 21) in `test_rate_limit`.
"""

import asyncio
import json
from typing import Any

import pytest

from tests.api_v3.client import BASE, Api, read, said
from tests.api_v3.world import ADA, UNKNOWN, dump
from tests.core.cast import DAY, Clock, rows
from tests.core.recount import recount
from tests.web.asgi import call
from tidings.web.public.door import Door as PublicDoor

K, S = ADA.key, ADA.secret
JON = {"email": "jon@example.com"}
KIM = {"email": "kim@example.com"}
KINDS = {"forms": ADA.plain, "sequences": ADA.sequence, "tags": ADA.tag}


def refused(api: Api, method: str, path: str, **params: Any) -> str:
    """The message of a 422."""
    status, _, message = said(api.ask(method, path, {**S, **params}))
    assert status == 422, message
    return message


def events_of(api: Api, subscriber_id: int) -> list[str]:
    """The names of a person's events, oldest first."""
    told = rows(api.db, "SELECT name FROM events WHERE subscriber_id = :id ORDER BY id", id=subscriber_id)
    return [str(row[0]) for row in told]


def confirmations(api: Api) -> int:
    found = rows(api.db, "SELECT COUNT(*) FROM deliveries WHERE account_id = 1")[0][0]
    assert isinstance(found, int)
    return found


def test_row_8_01_a_missing_parameter_is_400(api: Api) -> None:
    answer = api.ask("POST", f"/v3/forms/{ADA.plain}/subscribe", K)
    assert said(answer) == (400, "Missing parameter", "Subscriber email is required")


def test_row_8_02_an_unknown_sequence_or_tag_is_404(api: Api) -> None:
    for kind, error in (("sequences", "Course not found"), ("tags", "Tag not found")):
        assert said(api.ask("POST", f"/v3/{kind}/{UNKNOWN}/subscribe", {**K, **JON})) == (404, error, "")


@pytest.mark.parametrize("blank", ("", " ", "\t\n", None, "\0", "\x07"), ids=repr)
def test_row_8_03_a_blank_name_or_label_is_422(api: Api, blank: str | None) -> None:
    assert refused(api, "POST", "/v3/tags", tag={"name": blank}) == "Name can't be blank"
    assert refused(api, "POST", "/v3/tags", tag=[{"name": "New"}, {"name": blank}]) == "Name can't be blank"
    assert refused(api, "POST", "/v3/custom_fields", label=blank) == "Label can't be blank"
    assert refused(api, "POST", "/v3/custom_fields", label=["New", blank]) == "Label can't be blank"


def test_row_8_04_a_taken_name_or_label_is_422_whatever_its_case(api: Api) -> None:
    for name in ("VIP", "vip", " ViP "):
        assert refused(api, "POST", "/v3/tags", tag={"name": name}) == "Name has already been taken"
    for label in ("Last name", "LAST NAME", "last-name", "Läst_name!", "größe", "Grosse"):
        message = refused(api, "POST", "/v3/custom_fields", label=label)
        assert message == "Label has already been taken", label


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    (
        ("sort_order", "up", ("asc", "desc")),
        ("sort_order", "1", ("asc", "desc")),
        ("sort_field", "created_at", ("cancelled_at",)),
        ("from", "2023-02-30", ("2026-02-28",)),
        ("to", "13.06.2023", ("2026-02-28",)),
        ("updated_from", "2023-6-1", ("2026-02-28",)),
        ("updated_to", "2023-W24-1", ("2026-02-28",)),
        ("updated_to", "2023-06-01T00:00:00", ("2026-02-28",)),
    ),
)
def test_row_8_05_a_bad_order_field_or_date_is_422_and_says_what_is_allowed(
    api: Api, name: str, value: str, allowed: tuple[str, ...]
) -> None:
    message = refused(api, "GET", "/v3/subscribers", **{name: value})
    assert message.startswith(name)
    assert all(one in message for one in allowed)


@pytest.mark.parametrize(
    ("event", "target", "told"),
    (
        ({"name": "subscriber.unknown"}, "https://x.example", "event"),
        ({"name": "purchase.tag_add", "tag_id": 1}, "https://x.example", "event"),
        ({}, "https://x.example", "event"),
        (None, "https://x.example", "event"),
        ({"name": "subscriber.form_subscribe"}, "https://x.example", "form_id"),
        ({"name": "subscriber.tag_add", "tag_id": "abc"}, "https://x.example", "tag_id"),
        ({"name": "subscriber.tag_remove", "form_id": 1}, "https://x.example", "tag_id"),
        ({"name": "subscriber.course_complete"}, "https://x.example", "sequence_id"),
        ({"name": "subscriber.link_click"}, "https://x.example", "initiator_value"),
        ({"name": "subscriber.product_purchase", "product_id": ""}, "https://x.example", "product_id"),
        ({"name": "purchase.purchase_create"}, "", "target_url"),
        ({"name": "purchase.purchase_create"}, "ftp://x.example", "target_url"),
        ({"name": "purchase.purchase_create"}, "//x.example", "target_url"),
        ({"name": "purchase.purchase_create"}, "https://", "target_url"),
        ({"name": "purchase.purchase_create"}, "https://a:b@x.example", "target_url"),
    ),
    ids=str,
)
def test_row_8_06_a_bad_webhook_is_422_and_says_which_part(
    api: Api, event: object, target: str, told: str
) -> None:
    assert told in refused(api, "POST", "/v3/automations/hooks", event=event, target_url=target)


@pytest.mark.parametrize("target", ("http://127.0.0.1/x", "http://10.0.0.1", "https://no.such.host.example"))
def test_row_8_06_private_and_unresolvable_targets_are_taken_at_creation(api: Api, target: str) -> None:
    event = {"name": "purchase.purchase_create"}
    made = read(api.ask("POST", "/v3/automations/hooks", {**S, "event": event, "target_url": target}))
    assert made["rule"]["target_url"] == target


def test_row_8_07_an_account_holds_125_fields_and_a_request_updates_125(api: Api) -> None:
    labels = [f"Field {at}" for at in range(123)]
    assert len(read(api.ask("POST", "/v3/custom_fields", {**S, "label": labels}), 201)) == 123
    assert "125" in refused(api, "POST", "/v3/custom_fields", label="One more")
    values = {f"field_{at}": str(at) for at in range(123)}
    path = f"/v3/subscribers/{ADA.bea}"
    whole = {**values, "last_name": "x", "grosse": "y"}
    changed = read(api.ask("PUT", path, {**S, "fields": whole}), 202)
    assert changed["subscriber"]["fields"] == whole
    before = dump(api.db)
    assert said(api.ask("PUT", path, {**S, "fields": {**whole, "more": "z"}}))[0] == 400
    assert dump(api.db) == before


def test_row_8_08_the_list_of_subscribers_shows_the_active_unless_asked_otherwise(api: Api) -> None:
    def ids(**params: str) -> list[int]:
        listed = read(api.ask("GET", "/v3/subscribers", {**S, **params}))["subscribers"]
        return [one["id"] for one in listed]

    assert ids() == [ADA.bea]
    assert ids(sort_field="cancelled_at") == [ADA.kim]
    for name, one in (("bea", ADA.bea), ("cal", ADA.cal), ("dee", ADA.dee), ("kim", ADA.kim)):
        assert ids(email_address=f" {name.upper()}@EXAMPLE.COM ") == [one]


@pytest.mark.parametrize("kind", KINDS)
def test_row_8_09_the_state_filter_of_subscriptions_goes_by_the_persons_state(api: Api, kind: str) -> None:
    def people(**params: str) -> list[int]:
        path = f"/v3/{kind}/{KINDS[kind]}/subscriptions"
        listed = read(api.ask("GET", path, {**S, **params}))
        assert listed["total_subscriptions"] == len(listed["subscriptions"])
        return [one["subscriber"]["id"] for one in listed["subscriptions"]]

    assert people(subscriber_state="active") == [ADA.bea]
    assert people(subscriber_state="cancelled") == [ADA.kim]
    assert {ADA.bea, ADA.kim} <= set(people())


@pytest.mark.parametrize(
    ("kind", "one", "state"),
    (
        ("forms", ADA.double, "inactive"),
        ("forms", ADA.plain, "active"),
        ("sequences", ADA.sequence, "active"),
        ("tags", ADA.vip, "cancelled"),
    ),
)
def test_row_8_10_a_form_or_sequence_brings_a_cancelled_person_back_and_a_tag_does_not(
    api: Api, kind: str, one: int, state: str
) -> None:
    before = confirmations(api)
    joined = read(api.ask("POST", f"/v3/{kind}/{one}/subscribe", {**S, **KIM}))["subscription"]
    assert (joined["subscriber"]["id"], joined["subscriber"]["state"], joined["state"]) == (
        ADA.kim,
        state,
        state,
    )
    assert confirmations(api) - before == (1 if state == "inactive" else 0)
    recount(api.db)


@pytest.mark.parametrize("path", (f"forms/{ADA.double}", f"forms/{ADA.plain}", f"sequences/{ADA.sequence}"))
@pytest.mark.parametrize("state", ("bounced", "complained"))
def test_row_8_10_bounced_and_complained_stay_so(api: Api, path: str, state: str) -> None:
    api.db.write_now(
        1, lambda tx: tx.run("UPDATE subscribers SET state = :state WHERE id = :id", state=state, id=ADA.dee)
    )
    before = confirmations(api)
    joined = read(api.ask("POST", f"/v3/{path}/subscribe", {**S, "email": "dee@example.com"}))
    assert joined["subscription"]["subscriber"]["state"] == state
    assert confirmations(api) == before


def test_row_8_11_one_tag_in_an_array_is_answered_by_one_object(api: Api) -> None:
    assert read(api.ask("POST", "/v3/tags", {**K, "tag": [{"name": "New"}]}), 201)["name"] == "New"
    two = read(api.ask("POST", "/v3/tags", {**K, "tag": [{"name": "A"}, {"name": "B"}]}), 201)
    assert [one["name"] for one in two] == ["A", "B"]


@pytest.mark.parametrize(
    "given", ("2018-03-17 11:28:04", "2018-03-17T11:28:04Z", "2018-03-17T12:28:04+01:00")
)
def test_row_8_12_the_time_of_a_transaction_is_answered_in_utc_with_zeros(api: Api, given: str) -> None:
    order = {"transaction_id": "t", "email_address": JON["email"], "transaction_time": given}
    bought = read(api.ask("POST", "/v3/purchases", {**S, "purchase": order}), 201)
    assert bought["transaction_time"] == "2018-03-17T11:28:04.000Z"


def test_row_8_13_a_created_tag_has_the_long_shape_in_the_printed_order(api: Api) -> None:
    made = read(api.ask("POST", "/v3/tags", {**K, "tag": {"name": "New"}}), 201)
    names = ["account_id", "created_at", "deleted_at", "id", "name", "state", "updated_at"]
    assert list(made) == names
    assert (made["account_id"], made["deleted_at"], made["state"]) == (1, None, "available")


def test_row_8_14_stats_have_floats_for_percents_even_when_whole(api: Api) -> None:
    body = api.ask("GET", f"/v3/broadcasts/{ADA.sent}/stats", S).body
    assert b'"open_rate":100.0' in body
    assert b'"progress":100.0' in body
    assert json.loads(body)["broadcast"]["id"] == ADA.sent


@pytest.mark.parametrize("email", ("bea@example.com", "CAL@example.com", "kim@example.com"))
def test_row_8_15_unsubscribing_answers_cancelled_and_twice_changes_nothing(api: Api, email: str) -> None:
    first = read(api.ask("PUT", "/v3/unsubscribe", {**S, "email": email}))["subscriber"]
    assert first["state"] == "cancelled"
    before = dump(api.db)
    assert read(api.ask("PUT", "/v3/unsubscribe", {**S, "email": email}))["subscriber"] == first
    assert dump(api.db) == before
    assert events_of(api, first["id"]).count("subscriber_unsubscribe") == 1


@pytest.mark.parametrize(("count", "status"), ((0, 200), (10, 200), (11, 202), (125, 202)))
def test_row_8_16_many_fields_are_written_at_once_and_answered_202(api: Api, count: int, status: int) -> None:
    fields = {f"unknown_{at}": "x" for at in range(count - 1)}
    if count:
        fields["grosse"] = "9"
    path = f"/v3/subscribers/{ADA.bea}"
    changed = read(api.ask("PUT", path, {**S, "fields": fields}), status)
    assert changed["subscriber"]["fields"]["grosse"] == ("9" if count else "7")
    assert read(api.ask("GET", path, S)) == changed


def test_row_8_18_an_unknown_path_is_404_and_another_method_405_with_allow(api: Api) -> None:
    generic = (404, "Not Found", "The entity you were trying to find doesn't exist")
    for path in ("/v3", "/v3/", "/v3/nothing", "/v3/forms/1/2/3", "/v3/subscribers/1/nothing", "/v3/Forms"):
        assert said(api.ask("GET", path, S)) == generic, path
    allowed = {
        "/v3/account": "GET",
        "/v3/tags": "GET, POST",
        f"/v3/broadcasts/{ADA.draft}": "DELETE, GET, PUT",
        "/v3/unsubscribe": "PUT",
        f"/v3/purchases/{ADA.purchase}": "GET",
    }
    for path, names in allowed.items():
        answer = api.ask("PATCH", path, S)
        assert said(answer)[:2] == (405, "Method Not Allowed")
        assert answer.headers["allow"] == names


def test_row_8_19_malformed_json_is_400(api: Api) -> None:
    answer = api.send("POST", "/v3/tags", b'{"tag": ', {"content-type": "application/json"})
    assert said(answer)[:2] == (400, "Bad Request")


@pytest.mark.parametrize("days", (-1, 0))
def test_row_8_22_a_broadcast_due_now_or_before_is_due_at_once(api: Api, clock: Clock, days: int) -> None:
    times = {-1: "2023-06-16T11:06:40.000Z", 0: "2023-06-17T11:06:40.000Z"}
    made = read(api.ask("POST", "/v3/broadcasts", {**S, "subject": "Hi", "send_at": times[days]}), 201)
    assert made["broadcast"]["send_at"] == times[days]
    question = "SELECT status FROM broadcasts WHERE id = :id AND send_at <= :now"
    due = rows(api.db, question, id=made["broadcast"]["id"], now=clock.now)
    assert due == [("scheduled",)]


@pytest.mark.parametrize(
    ("filters", "found"),
    (
        ({"from": "2023-06-13"}, [501, 504]),
        ({"from": "2023-06-14"}, [504]),
        ({"to": "2023-06-13"}, [501]),
        ({"to": "2023-06-12"}, []),
        ({"from": "2023-06-13", "to": "2023-06-16"}, [501, 504]),
        ({"from": "2023-06-16", "to": "2023-06-13"}, []),
        ({"from": "0001-01-01", "to": "9999-12-31"}, [501, 504]),
        ({"updated_from": "2023-06-17"}, [504]),
        ({"updated_to": "2023-06-16"}, [501]),
        ({"from": "2023-06-14", "updated_to": "2023-06-16"}, []),
        ({"from": "2023-06-13", "updated_from": "2023-06-17"}, [504]),
    ),
    ids=str,
)
def test_row_8_25_date_filters_are_inclusive_utc_days(
    api: Api, filters: dict[str, str], found: list[int]
) -> None:
    # Kim comes back today, so that two active people differ in both dates.
    api.ask("POST", f"/v3/forms/{ADA.plain}/subscribe", {**S, **KIM})
    for order in ("asc", "desc"):
        listed = read(api.ask("GET", "/v3/subscribers", {**S, **filters, "sort_order": order}))
        wanted = found if order == "asc" else found[::-1]
        assert [one["id"] for one in listed["subscribers"]] == wanted
        assert listed["total_subscribers"] == len(found)


def test_row_8_25_cancelled_people_are_ordered_by_when_they_left(api: Api, clock: Clock) -> None:
    clock.move(DAY)
    for email in ("cal@example.com", "bea@example.com"):
        clock.move(1_000)
        api.ask("PUT", "/v3/unsubscribe", {**S, "email": email})
    for order, wanted in (("asc", [ADA.kim, ADA.cal, ADA.bea]), ("desc", [ADA.bea, ADA.cal, ADA.kim])):
        params = {**S, "sort_field": "cancelled_at", "sort_order": order}
        listed = read(api.ask("GET", "/v3/subscribers", params))["subscribers"]
        assert [one["id"] for one in listed] == wanted
    bad = refused(api, "GET", f"/v3/forms/{ADA.plain}/subscriptions", subscriber_state="bounced")
    assert bad == "subscriber_state must be active or cancelled"


def test_row_8_26_unsubscribing_ends_forms_and_sequences_and_keeps_tags(api: Api) -> None:
    api.ask("PUT", "/v3/unsubscribe", {**S, "email": "bea@example.com"})
    for kind in ("forms", "sequences"):
        path = f"/v3/{kind}/{KINDS[kind]}/subscriptions"
        listed = read(api.ask("GET", path, {**S, "subscriber_state": "cancelled"}))["subscriptions"]
        assert {(one["subscriber"]["id"], one["state"]) for one in listed} == {
            (ADA.bea, "cancelled"),
            (ADA.kim, "cancelled"),
        }
    tags = read(api.ask("GET", f"/v3/subscribers/{ADA.bea}/tags", S))["tags"]
    assert [one["id"] for one in tags] == [ADA.tag]
    recount(api.db)


def test_row_8_27_unsubscribing_without_an_address_is_a_missing_parameter(api: Api) -> None:
    for method, path in (
        ("PUT", "/v3/unsubscribe"),
        *(("POST", f"/v3/{kind}/{one}/unsubscribe") for kind, one in KINDS.items()),
    ):
        answer = api.ask(method, path, {**S, "email": " "})
        assert said(answer) == (400, "Missing parameter", "Subscriber email is required")


def test_row_8_28_a_renamed_field_is_trimmed_and_keeps_its_key(api: Api) -> None:
    path = f"/v3/custom_fields/{ADA.last_name}"
    for label in (" Surname ", "surname", "Last name"):
        assert api.ask("PUT", path, {**S, "label": label}).status == 204
        field = read(api.ask("GET", path, S))
        assert field["label"] == label.strip()
        assert (field["key"], field["name"]) == ("last_name", "ck_field_401_last_name")
    assert refused(api, "PUT", path, label=" ") == "Label can't be blank"
    assert refused(api, "PUT", path, label="GRÖSSE") == "Label has already been taken"


def test_row_8_30_an_event_keeps_fields_by_key(api: Api) -> None:
    api.ask("PUT", "/v3/unsubscribe", {**S, "email": "bea@example.com"})
    question = "SELECT snapshot FROM events WHERE subscriber_id = :id ORDER BY id DESC LIMIT 1"
    ((snapshot,),) = rows(api.db, question, id=ADA.bea)
    assert json.loads(str(snapshot))["fields"] == {"last_name": "Ó Brien", "grosse": "7"}


@pytest.mark.parametrize("kind", ("sequences", "tags"))
def test_row_8_31_a_tag_or_sequence_call_makes_an_active_person(api: Api, kind: str) -> None:
    joined = read(api.ask("POST", f"/v3/{kind}/{KINDS[kind]}/subscribe", {**S, **JON}))["subscription"]
    assert (joined["state"], joined["subscriber"]["state"]) == ("active", "active")
    effect = {"sequences": "course_subscribe", "tags": "tag_add"}[kind]
    assert sorted(events_of(api, joined["subscriber"]["id"])) == sorted([effect, "subscriber_activate"])


@pytest.mark.parametrize("form", (ADA.double, ADA.plain))
def test_row_8_32_the_embed_addresses_and_the_page_are_served(api: Api, form: int) -> None:
    shown = read(api.ask("GET", f"/v3/forms/{form}", K))
    door = PublicDoor(api.house)
    for name, ending in (("embed_js", "js"), ("embed_url", "html")):
        assert shown[name] == f"{BASE}/v3/forms/{form}.{ending}?api_key={K['api_key']}"
    for name in ("embed_js", "embed_url", "url"):
        assert asyncio.run(call(door, "GET", shown[name].removeprefix(BASE))).status == 200, name
