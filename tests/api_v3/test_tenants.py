"""Every operation of the document with every kind of caller: nobody sees or changes what is not theirs."""

import json
from typing import Any

import pytest

from tests.api_v3.client import Api, said
from tests.api_v3.operations import OPERATIONS, WITH_IDS, Operation, documented, good, ids_of
from tests.api_v3.world import ADA, EVE, UNKNOWN, dump, rows_of
from tests.core.cast import rows
from tests.core.recount import recount
from tidings.web.api_v3.routes import ROUTES

EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
READING = pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.method == "GET"], ids=str)
# Every operation with ids, with each credential that opens it.
OPENED = [(one, opens) for one in WITH_IDS for opens in ("secret", "key")[: 1 + one.opens_with_key]]
NOT_PRESENT = (401, "Authorization Failed", "API Key not present")
NOT_VALID = (401, "Authorization Failed", "API Key not valid")
NOT_ENOUGH = (
    401,
    "Authorization Failed",
    "You do not have sufficient permissions to access this resource",
)


def test_every_route_of_the_door_is_in_the_document_and_the_other_way_round() -> None:
    routes = {(one.method, one.pattern) for one in ROUTES if one.endpoint is not None}
    told = {(one.method, one.path(**dict.fromkeys(one.names, "{id}"))) for one in OPERATIONS}
    assert routes == told


@EVERY
def test_the_good_call_of_these_tests_gives_every_documented_parameter(operation: Operation) -> None:
    assert set(good(operation, ADA)) == documented(operation)


@EVERY
def test_the_document_and_the_routes_agree_on_who_may_call(operation: Operation) -> None:
    pattern = operation.path(**dict.fromkeys(operation.names, "{id}"))
    route = next(one for one in ROUTES if (one.method, one.pattern) == (operation.method, pattern))
    assert route.secret is not operation.opens_with_key


@EVERY
@pytest.mark.parametrize("given", ({}, {"api_key": ""}, {"api_secret": "  "}, {"api_key": None}), ids=str)
def test_without_credentials_it_says_so_and_nothing_changes(
    api: Api, operation: Operation, given: dict[str, Any]
) -> None:
    before = dump(api.db)
    answer = api.ask(operation.method, operation.of(ADA), {**good(operation, ADA), **given})
    assert said(answer) == NOT_PRESENT
    assert dump(api.db) == before


@EVERY
def test_unknown_credentials_are_called_not_valid_and_nothing_changes(api: Api, operation: Operation) -> None:
    before = dump(api.db)
    wrong: list[dict[str, Any]] = [
        {"api_key": "nobody-has-this"},
        {"api_secret": "nobody-has-this"},
        {"api_secret": ADA.key["api_key"]},
        {**ADA.key, "api_secret": "nobody-has-this"},
        {"api_secret": ["x"]},
        {"api_key": {"x": "y"}},
        {"api_key": "x" * 600},
        {"api_key": "a\0b"},
    ]
    for given in wrong:
        answer = api.ask(operation.method, operation.of(ADA), {**good(operation, ADA), **given})
        assert said(answer) == NOT_VALID, given
    assert dump(api.db) == before


@EVERY
def test_the_public_key_opens_what_the_document_says_and_nothing_else(api: Api, operation: Operation) -> None:
    before = dump(api.db)
    answer = api.ask(operation.method, operation.of(ADA), {**good(operation, ADA), **ADA.key})
    if operation.opens_with_key:
        assert answer.status in (200, 201)
        return
    assert said(answer) == NOT_ENOUGH
    assert dump(api.db) == before


@EVERY
def test_the_secret_opens_everything_even_as_api_key_or_beside_a_wrong_key(
    api: Api, operation: Operation
) -> None:
    for given in (ADA.secret, {"api_key": ADA.secret["api_secret"]}, {"api_key": "wrong", **ADA.secret}):
        answer = api.ask(operation.method, operation.of(ADA), {**good(operation, ADA), **given})
        # Made or removed by the first of the calls: then refused as such, not for its credentials.
        again = (404, 422) if given is not ADA.secret else ()
        assert answer.status in (200, 201, 202, 204, *again), answer.text
    recount(api.db)


@pytest.mark.parametrize(("operation", "opens"), OPENED, ids=str)
def test_anothers_id_is_answered_as_one_that_nobody_has(api: Api, operation: Operation, opens: str) -> None:
    credentials = getattr(EVE, opens)
    before = dump(api.db)
    params = {**good(operation, EVE), **credentials}
    foreign = api.ask(operation.method, operation.of(ADA), params)
    missing = api.ask(operation.method, operation.missing, params)
    assert foreign.status == missing.status == 404
    assert foreign.body == missing.body
    assert _alike(foreign.headers) == _alike(missing.headers)
    assert dump(api.db) == before


def _alike(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in ("x-request-id", "x-runtime")}


def test_an_own_subscriber_with_anothers_tag_is_not_found_and_the_other_way_round(api: Api) -> None:
    before = dump(api.db)
    pairs = [(EVE.bea, ADA.tag), (ADA.bea, EVE.tag), (EVE.bea, UNKNOWN), (UNKNOWN, EVE.tag)]
    answers = [api.ask("DELETE", f"/v3/subscribers/{one}/tags/{tag}", EVE.secret) for one, tag in pairs]
    assert {(one.status, one.body) for one in answers} == {(404, answers[0].body)}
    assert dump(api.db) == before


@EVERY
def test_whatever_eve_does_nothing_of_adas_changes(api: Api, operation: Operation) -> None:
    before = rows_of(dump(api.db), ADA)
    for ids in (EVE, ADA):
        for params in (good(operation, EVE), good(operation, ADA)):
            for credentials in (EVE.secret, EVE.key):
                api.ask(operation.method, operation.of(ids), {**params, **credentials})
    assert rows_of(dump(api.db), ADA) == before
    recount(api.db)


@READING
def test_what_eve_reads_holds_no_id_of_adas(api: Api, operation: Operation) -> None:
    answer = api.ask("GET", operation.of(EVE), EVE.secret)
    own = {ADA.purchase, *(value for value in ids_of(operation, ADA).values())}
    own |= {number for name in vars(type(ADA)) if isinstance(number := _number(name), int)}
    found = {number for key, number in _walk(json.loads(answer.body)) if key.endswith("id")}
    assert answer.status == 200
    assert not found & (own - {1, 2})
    assert ADA.key["api_key"] not in answer.text


def _number(name: str) -> object:
    value = getattr(type(ADA), name)
    return getattr(ADA, name) if isinstance(value, property) else None


def _walk(value: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for name, item in value.items() for pair in _walk(item, name)]
    if isinstance(value, list):
        return [pair for item in value for pair in _walk(item, key)]
    return [(key, value)]


@pytest.mark.parametrize("kind", ("forms", "sequences", "courses", "tags"))
def test_ids_of_another_account_in_a_body_do_what_unknown_ids_do(api: Api, kind: str) -> None:
    own = {"forms": EVE.plain, "sequences": EVE.sequence, "courses": EVE.sequence, "tags": EVE.tag}[kind]
    foreign = {"tags": [ADA.tag, ADA.vip], "forms": [ADA.plain, ADA.double], "courses": [ADA.sequence]}
    before = rows_of(dump(api.db), ADA)
    for email, also in (("jon@example.com", foreign), ("ned@example.com", {})):
        answer = api.ask("POST", f"/v3/{kind}/{own}/subscribe", {**EVE.secret, "email": email, **also})
        assert answer.status == 200
        subscriber = json.loads(answer.body)["subscription"]["subscriber"]
        assert subscriber["state"] == "active"
    newcomers = "SELECT COUNT(*) FROM subscriptions WHERE account_id = 2 AND subscriber_id > :last"
    assert rows(api.db, newcomers, last=EVE.kim) == [(2,)]
    assert rows_of(dump(api.db), ADA) == before


def test_an_address_that_only_ada_knows_is_nobody_to_eve(api: Api) -> None:
    known = {**ADA.key, "email": "only@ada.example"}
    api.ask("POST", f"/v3/forms/{ADA.plain}/subscribe", known)
    before = rows_of(dump(api.db), ADA)
    for email in ("only@ada.example", "nobody@ada.example"):
        unsubscribed = api.ask("PUT", "/v3/unsubscribe", {**EVE.secret, "email": email})
        assert said(unsubscribed) == (404, "Not Found", "The entity you were trying to find doesn't exist")
        found = api.ask("GET", "/v3/subscribers", {**EVE.secret, "email_address": email})
        assert json.loads(found.body)["total_subscribers"] == 0
        change = {**EVE.secret, "email_address": email}
        changed = api.ask("PUT", f"/v3/subscribers/{EVE.bea}", change)
        assert changed.status == 200
    assert rows_of(dump(api.db), ADA) == before
