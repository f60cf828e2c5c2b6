"""Contract 1.1 and 1.2: the same call in every way that shipped clients make it."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.api_v3.client import FORM, JSON, Api, How, bracketed, read, said
from tests.api_v3.operations import OPERATIONS, Operation, good
from tests.api_v3.world import ADA
from tests.web.asgi import Answer

K, S = ADA.key, ADA.secret
SECRET = S["api_secret"]
SUBSCRIBE = f"/v3/forms/{ADA.plain}/subscribe"
WAYS: tuple[How, ...] = ("json", "form", "query")
EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


def alike(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.body


@EVERY
@pytest.mark.parametrize("how", WAYS)
def test_a_good_call_succeeds_as_json_as_a_form_and_in_the_query(
    api: Api, operation: Operation, how: How
) -> None:
    params = {name: value for name, value in good(operation, ADA).items() if value is not None}
    answer = api.ask(operation.method, operation.of(ADA), {**params, **S}, how=how)
    assert answer.status in (200, 201, 204), answer.text


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.method == "GET"], ids=str)
def test_a_question_has_the_same_answer_however_it_is_asked(api: Api, operation: Operation) -> None:
    path, params = operation.of(ADA), {**good(operation, ADA), **S}
    prefixed = ["/api" + path, path + "/", path.replace("/", "//") + "//", "/api/" + path + "/"]
    answers = [api.ask("GET", path, params, how=how) for how in WAYS]
    answers += [api.ask("GET", other, params, how="query") for other in prefixed]
    answers.append(api.send("GET", path, json.dumps(params).encode(), {"content-type": "text/plain"}))
    answers.append(api.send("GET", path, json.dumps(params).encode() + b"\n\n"))
    answers.append(api.send("GET", path, b"\n " + json.dumps(params).encode(), {"content-type": JSON}))
    assert {alike(one) for one in answers} == {alike(answers[0])}
    assert answers[0].status == 200


@pytest.mark.parametrize(
    "kind",
    (
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "",
    ),
)
def test_an_empty_body_of_any_type_leaves_what_the_query_says(api: Api, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    for body in (b"", b" \n"):
        answer = api.send("GET", f"/v3/account?api_secret={SECRET}", body, headers)
        assert read(answer)["name"] == "Ada's letters"


@pytest.mark.parametrize("body", (b"[]", b"null", b"1", b'"x"', b"[1, 2]", b'[{"api_key": "x"}]'))
def test_a_body_that_is_no_object_is_an_empty_one(api: Api, body: bytes) -> None:
    answer = api.send("GET", f"/v3/account?api_secret={SECRET}", body, {"content-type": JSON})
    assert answer.status == 200


def test_the_body_wins_over_the_query_and_null_does_not(api: Api) -> None:
    path = f"/v3/subscribers?api_secret={SECRET}&email_address=kim@example.com"
    for body, found in (
        (b'{"email_address": "bea@example.com"}', ADA.bea),
        (b"email_address=bea@example.com", ADA.bea),
        (b'{"email_address": null}', ADA.kim),
        (b"email_address", ADA.kim),
    ):
        assert read(api.send("GET", path, body))["subscribers"][0]["id"] == found


@pytest.mark.parametrize(
    ("query", "names"),
    (
        ("tag[name]=A", ["A"]),
        ("tag%5Bname%5D=A", ["A"]),
        ("tag[][name]=A&tag[][name]=B", ["A", "B"]),
        ("tag[0][name]=A&tag[1][name]=B", ["A", "B"]),
        ("tag[1][name]=B&tag[0][name]=A", ["A", "B"]),
        ("tag[name]=A+%26+B", ["A & B"]),
    ),
)
def test_tags_are_named_with_brackets_as_rails_reads_them(api: Api, query: str, names: list[str]) -> None:
    made = read(api.send("POST", f"/v3/tags?api_key={K['api_key']}&{query}"), 201)
    assert [one["name"] for one in (made if isinstance(made, list) else [made])] == names
    again = api.send("POST", "/v3/tags", f"api_key={K['api_key']}&{query}".encode(), {"content-type": FORM})
    assert said(again)[2] == "Name has already been taken"


@pytest.mark.parametrize("source", ("query", "form"))
@pytest.mark.parametrize(
    ("pairs", "found"),
    (
        ("fields[last_name]=Snow&tags[]=301&tags[]=302", ("Snow", [301, 302])),
        ("fields[last_name]=Snow&tags[0]=302&tags[1]=301", ("Snow", [302, 301])),
        ("fields[last_name]=Snow&tags=301,302", ("Snow", [301, 302])),
        ("fields[last_name]=%C3%93+B&tags=301", ("Ó B", [301])),
        ("ck_field_401_last_name=Snow&tags[]=", ("Snow", [])),
        ("fields[ck_field_401_last_name]=Snow", ("Snow", [])),
        ("fields[unknown]=Snow&tags=9999,abc,-1", (None, [])),
    ),
)
def test_fields_and_tags_in_brackets(api: Api, source: str, pairs: str, found: tuple[Any, Any]) -> None:
    sent = f"api_secret={SECRET}&email=jon@example.com&{pairs}"
    if source == "query":
        answer = api.send("POST", f"{SUBSCRIBE}?{sent}")
    else:
        answer = api.send("POST", SUBSCRIBE, sent.encode(), {"content-type": FORM})
    person = read(answer)["subscription"]["subscriber"]
    tags = read(api.ask("GET", f"/v3/subscribers/{person['id']}/tags", S))["tags"]
    assert (person["fields"]["last_name"], [one["id"] for one in tags]) == found


def test_labels_and_events_in_brackets(api: Api) -> None:
    labels = api.send("POST", f"/v3/custom_fields?api_secret={SECRET}&label[]=Hat&label[]=Coat")
    assert [one["key"] for one in read(labels, 201)] == ["hat", "coat"]
    event = "event[name]=subscriber.tag_add&event[tag_id]=301&target_url=" + quote("https://x.example/?a=b&c")
    made = read(api.send("POST", f"/v3/automations/hooks/?api_secret={SECRET}&{event}"))["rule"]
    assert made["event"] == {"name": "tag_add", "tag_id": 301}
    assert made["target_url"] == "https://x.example/?a=b&c"


def test_a_purchase_in_brackets_is_the_one_in_json(api: Api) -> None:
    lines = [{"pid": "1", "lid": "1", "name": "A", "unit_price": 5}, {"pid": "2", "lid": "2", "name": "B"}]
    order = {"transaction_id": "t", "email_address": "jon@example.com", "products": lines, "total": 5}
    bought = [read(api.ask("POST", "/v3/purchases", {**S, "purchase": order}, how=how), 201) for how in WAYS]
    assert bought[0] == bought[1] == bought[2]
    assert [line["name"] for line in bought[0]["products"]] == ["A", "B"]


def test_multipart_forms_are_read(api: Api) -> None:
    parts = {**S, "email": "jon@example.com", "fields[last_name]": "Snow"}
    body = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in parts.items()
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = api.send("POST", SUBSCRIBE, f"{body}--b--\r\n".encode(), headers)
    assert read(answer)["subscription"]["subscriber"]["fields"]["last_name"] == "Snow"


def test_unknown_parameters_are_ignored(api: Api) -> None:
    odd = {"limit": 50, "per_page": 1, "x": {"y": [1]}, "id": ADA.kim, "account_id": 2, "state": "bounced"}
    for how in WAYS:
        listed = read(api.ask("GET", "/v3/subscribers", {**S, **odd}, how=how))
        assert [one["id"] for one in listed["subscribers"]] == [ADA.bea]
    changed = read(api.ask("PUT", f"/v3/subscribers/{ADA.bea}", {**S, **odd}))["subscriber"]
    assert (changed["id"], changed["state"]) == (ADA.bea, "active")


def test_an_address_is_trimmed_compared_without_case_and_kept_as_given(api: Api) -> None:
    first = read(api.ask("POST", SUBSCRIBE, {**S, "email": "  Jon.Snow@Example.COM\n"}))
    again = read(api.ask("POST", SUBSCRIBE, {**S, "email": "jon.snow@EXAMPLE.com"}))
    assert first["subscription"] == again["subscription"]
    assert first["subscription"]["subscriber"]["email_address"] == "Jon.Snow@Example.COM"


def test_a_first_name_replaces_and_a_blank_one_leaves_what_was(api: Api) -> None:
    def named(**params: Any) -> str | None:
        joined = read(api.ask("POST", SUBSCRIBE, {**S, "email": "bea@example.com", **params}))
        name: str | None = joined["subscription"]["subscriber"]["first_name"]
        return name

    assert named() == "Bea"
    assert named(first_name="") == named(first_name=None) == named(first_name=" ") == "Bea"
    assert named(name="Old") == "Old"
    assert named(name="Old", first_name="New") == "New"


def test_forms_and_courses_may_be_given_along(api: Api) -> None:
    also = {"forms": [ADA.hosted], "courses": str(ADA.repeating), "tags": [ADA.vip]}
    joined = read(api.ask("POST", SUBSCRIBE, {**S, "email": "jon@example.com", **also}))["subscription"]
    assert (joined["subscribable_id"], joined["subscribable_type"]) == (ADA.plain, "form")
    for path in (f"forms/{ADA.hosted}", f"sequences/{ADA.repeating}", f"tags/{ADA.vip}"):
        listed = read(api.ask("GET", f"/v3/{path}/subscriptions", S))["subscriptions"]
        assert joined["subscriber"]["id"] in [one["subscriber"]["id"] for one in listed]


def test_how_the_ruby_client_calls(api: Api) -> None:
    """Both credentials and everything else in the query, for every verb, with an empty body."""
    sent = {"api_key": K["api_key"], "api_secret": SECRET, "email": "jon@example.com"}
    answer = api.send("POST", f"{SUBSCRIBE}?{urlencode(sent)}&fields&first_name&tags")
    assert read(answer)["subscription"]["subscriber"]["first_name"] is None
    both = f"api_key={K['api_key']}&api_secret={SECRET}"
    headers = {"content-type": "application/vnd.api+json"}
    assert api.send("PUT", f"/v3/unsubscribe?{both}&email=jon@example.com", b"", headers).status == 200
    assert api.send("DELETE", f"/v3/custom_fields/{ADA.size}?{both}", b"", headers).status == 204
    assert api.send("POST", f"/v3/custom_fields?{both}&label=Hat", b"", headers).status == 201


def test_how_the_crystal_client_calls(api: Api) -> None:
    """A form with index arrays."""
    pairs = bracketed({"api_secret": SECRET, "tag": [{"name": "A"}, {"name": "B"}]})
    body = urlencode(pairs).encode()
    assert body == f"api_secret={SECRET}&tag%5B0%5D%5Bname%5D=A&tag%5B1%5D%5Bname%5D=B".encode()
    assert len(read(api.send("POST", "/v3/tags", body, {"content-type": FORM}), 201)) == 2
