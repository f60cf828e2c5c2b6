"""Contract section 1.4: the errors. `test_row_1_4_NN` is row NN of its table."""

from typing import Any

import pytest

from tests.api_v3.client import Api, read, said
from tests.api_v3.operations import OPERATIONS, WITH_IDS, Operation, good
from tests.api_v3.world import ADA, UNKNOWN
from tidings import errors
from tidings.errors import Unavailable
from tidings.web.api_v3 import shapes, subscribables

K, S = ADA.key, ADA.secret
GENERIC = (404, "Not Found", "The entity you were trying to find doesn't exist")
SUBSCRIBABLE = {
    "forms": ADA.plain,
    "sequences": ADA.sequence,
    "courses": ADA.sequence,
    "tags": ADA.tag,
}


def _purchase(api: Api, purchase: object) -> tuple[int, str, str]:
    return said(api.ask("POST", "/v3/purchases", {**S, "purchase": purchase}))


def test_row_1_4_01_a_purchase_that_lacks_data_names_what_is_missing_in_order(api: Api) -> None:
    title = "Your request is missing parameters"
    printed = {
        "email_address": "jon@example.com",
        "products": [{"pid": 9999, "lid": 7777, "name": "Floppy Disk (512k)", "unit_price": 5}],
    }
    assert _purchase(api, printed) == (
        400,
        title,
        "transaction_id can't be blank, Sku can't be blank for product: Floppy Disk (512k)",
    )
    lines = [{"name": "A", "sku": "a"}, {"pid": 1, "lid": 2, "sku": "b"}, {"pid": 1, "lid": 3, "name": "C"}]
    assert _purchase(api, {"transaction_id": " ", "email_address": "", "products": lines}) == (
        400,
        title,
        ", ".join(
            (
                "transaction_id can't be blank",
                "email_address can't be blank",
                "Pid can't be blank for product: A",
                "Lid can't be blank for product: A",
                "Name can't be blank for product:",
                "Sku can't be blank for product: C",
            )
        ),
    )
    for nothing in (None, "", [], "x", 5, {}):
        assert _purchase(api, nothing)[:2] == (400, title)


def test_row_1_4_02_more_fields_than_allowed_are_400(api: Api) -> None:
    many = {f"field_{at}": "x" for at in range(126)}
    status, _, message = said(api.ask("PUT", f"/v3/subscribers/{ADA.bea}", {**S, "fields": many}))
    assert status == 400
    assert "125" in message


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_row_1_4_03_the_four_refusals_of_credentials(api: Api, operation: Operation) -> None:
    def refusal(given: dict[str, Any]) -> tuple[int, str, str]:
        return said(api.ask(operation.method, operation.of(ADA), {**good(operation, ADA), **given}))

    assert refusal({}) == (401, "Authorization Failed", "API Key not present")
    assert refusal({"api_key": "wrong"}) == (401, "Authorization Failed", "API Key not valid")
    assert refusal({"api_secret": "wrong"}) == (401, "Authorization Failed", "API Key not valid")
    if not operation.opens_with_key:
        assert refusal(K) == (
            401,
            "Authorization Failed",
            "You do not have sufficient permissions to access this resource",
        )


def test_row_1_4_04_a_used_up_plan_is_403_with_its_own_words() -> None:
    reply = shapes.problem(errors.Forbidden("The plan is used up"), subscribing=True, missing="")
    assert (reply.status, reply.body) == (403, b'{"error":"Forbidden","message":"The plan is used up"}')


@pytest.mark.parametrize("operation", WITH_IDS, ids=str)
def test_row_1_4_05_what_is_not_there_is_not_found(api: Api, operation: Operation) -> None:
    answer = api.ask(operation.method, operation.missing, {**good(operation, ADA), **S})
    if operation.template.endswith("/subscribe") and not operation.template.startswith("/v3/forms"):
        assert answer.status == 404
    else:
        assert said(answer) == GENERIC


@pytest.mark.parametrize("email", ("nobody@example.com", "malformed"))
def test_row_1_4_05_unsubscribing_nobody_is_not_found(api: Api, email: str) -> None:
    assert said(api.ask("PUT", "/v3/unsubscribe", {**S, "email": email})) == GENERIC


@pytest.mark.parametrize("number", (UNKNOWN, "abc", "-1", "0", 2**64))
@pytest.mark.parametrize("kind", ("sequences", "courses"))
def test_row_1_4_06_subscribing_to_an_unknown_sequence_has_an_empty_message(
    api: Api, kind: str, number: object
) -> None:
    answer = api.ask("POST", f"/v3/{kind}/{number}/subscribe", {**K, "email": "jon@example.com"})
    assert said(answer) == (404, "Course not found", "")


@pytest.mark.parametrize("number", (UNKNOWN, "abc", "-1", "0", 2**64))
def test_row_1_4_07_subscribing_to_an_unknown_tag_has_an_empty_message(api: Api, number: object) -> None:
    answer = api.ask("POST", f"/v3/tags/{number}/subscribe", {**K, "email": "jon@example.com"})
    assert said(answer) == (404, "Tag not found", "")


@pytest.mark.parametrize("given", ({}, {"email": ""}, {"email": " "}, {"email": None}), ids=str)
@pytest.mark.parametrize("kind", SUBSCRIBABLE)
def test_row_1_4_08_subscribing_without_an_address_is_a_missing_parameter(
    api: Api, kind: str, given: dict[str, Any]
) -> None:
    answer = api.ask("POST", f"/v3/{kind}/{SUBSCRIBABLE[kind]}/subscribe", {**K, **given})
    assert said(answer) == (400, "Missing parameter", "Subscriber email is required")


@pytest.mark.parametrize("email", ("jon", "jon@", ["jon@example.com"], {"a": "b"}, 5, True), ids=str)
@pytest.mark.parametrize("kind", SUBSCRIBABLE)
def test_row_1_4_09_a_malformed_address_is_said_to_be_invalid(api: Api, kind: str, email: Any) -> None:
    answer = api.ask("POST", f"/v3/{kind}/{SUBSCRIBABLE[kind]}/subscribe", {**K, "email": email})
    assert said(answer) == (422, "Error updating subscriber", "Email address is invalid")


def test_row_1_4_10_bad_data_is_422_and_says_what_is_wrong(api: Api) -> None:
    def refused(method: str, path: str, **params: object) -> str:
        status, _, message = said(api.ask(method, path, {**S, **params}))
        assert status == 422
        return message

    assert refused("POST", "/v3/tags", tag={"name": " "}) == "Name can't be blank"
    assert refused("POST", "/v3/tags", tag={"name": "vip"}) == "Name has already been taken"
    assert refused("POST", "/v3/custom_fields", label="") == "Label can't be blank"
    assert refused("POST", "/v3/custom_fields", label="last NAME") == "Label has already been taken"
    taken = refused("PUT", f"/v3/subscribers/{ADA.bea}", email_address="kim@example.com")
    assert taken == "Email address has already been taken"
    assert "event" in refused("POST", "/v3/automations/hooks", event={"name": "x"}, target_url="http://x.de")
    assert "sort_order" in refused("GET", "/v3/subscribers", sort_order="sideways")


def test_row_1_4_11_over_the_limit_is_429_with_when_to_come_back(api: Api) -> None:
    limited = Api(api.db, rate_limit=1)
    limited.ask("GET", "/v3/account", S)
    answer = limited.ask("GET", "/v3/account", S)
    assert said(answer)[:2] == (429, "Rate limit exceeded")
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_row_1_4_12_a_crash_is_500_with_the_same_two_keys(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(subscribables.accounts, "get", crash)
    with pytest.raises(AssertionError, match="500") as told:
        api.ask("GET", "/v3/account", S)
    assert '{"error":"Internal Server Error","message":' in str(told.value)
    assert "detail" not in str(told.value)


def test_row_1_4_13_a_write_that_cannot_be_kept_is_503_with_when_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Unavailable("The disk is full")

    monkeypatch.setattr(subscribables.tags, "create", refuse)
    answer = api.ask("POST", "/v3/tags", {**S, "tag": {"name": "New"}})
    assert said(answer) == (503, "Service Unavailable", "The disk is full")
    assert int(answer.headers["retry-after"]) > 0


def test_credentials_are_looked_at_before_ids_and_ids_before_parameters(api: Api) -> None:
    wrong_everything = {"email": "malformed", "sort_order": "up", "label": "", "api_key": "wrong"}
    for operation in WITH_IDS:
        first = api.ask(operation.method, operation.missing, wrong_everything)
        assert said(first)[2] == "API Key not valid"
        second = api.ask(operation.method, operation.missing, {**wrong_everything, **S})
        assert second.status == 404, operation
    known = api.ask("GET", f"/v3/forms/{ADA.plain}/subscriptions", {**wrong_everything, **S})
    assert known.status == 422


def test_every_answer_of_an_error_has_no_validator_and_may_not_be_kept(api: Api) -> None:
    answer = api.ask("GET", "/v3/account")
    assert answer.headers["cache-control"] == "no-cache"
    assert "etag" not in answer.headers
    assert read(answer, 401) == {"error": "Authorization Failed", "message": "API Key not present"}
