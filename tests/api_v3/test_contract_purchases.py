"""Purchases: rows 20, 23, 24 and 29 of contract section 8, and what section 3.10 says beside them."""

from typing import Any

import pytest

from tests.api_v3.client import Api, read, said
from tests.api_v3.operations import PURCHASE
from tests.api_v3.world import ADA, EVE, dump
from tests.core.cast import Clock, rows
from tests.core.recount import recount
from tidings.core import accounts

K, S = ADA.key, ADA.secret
MISSING = "Your request is missing parameters"
LINE = {"pid": "p", "lid": "l", "name": "Disk", "sku": "s"}
BARE = {"transaction_id": "t", "email_address": "jon@example.com"}


def buy(api: Api, order: object = None, **params: Any) -> Any:
    """Post a purchase that is taken; the bare purchase."""
    order = PURCHASE if order is None else order
    return read(api.ask("POST", "/v3/purchases", {**S, **params, "purchase": order}), 201)


def refused(api: Api, order: object, **params: Any) -> tuple[int, str, str]:
    """Post a purchase that is refused and must leave nothing behind."""
    before = dump(api.db)
    answer = said(api.ask("POST", "/v3/purchases", {**S, **params, "purchase": order}))
    assert dump(api.db) == before
    return answer


def told(api: Api, name: str) -> list[tuple[object, ...]]:
    """Subject and value of the events of this name since the world began."""
    question = "SELECT subject_id, value FROM events WHERE name = :name AND account_id = 1 AND subject_id > 2"
    return rows(api.db, f"{question} ORDER BY id", name=name)


def issue(api: Api, clock: Clock, **options: Any) -> str:
    key: str = api.db.write_now(0, accounts.create_integration, "Stripe", key="stripe-key", **options)
    # Readers may be a second late.
    clock.move(2_000)
    return key


def test_row_8_20_a_known_integration_is_kept_with_the_purchase(api: Api, clock: Clock) -> None:
    key = issue(api, clock)
    bought = buy(api, BARE, integration_key=key)
    question = "SELECT integration, integration_id FROM purchases WHERE id = :id"
    assert rows(api.db, question, id=bought["id"]) == [("Stripe", 1)]
    named = buy(api, {**BARE, "transaction_id": "t2", "integration": "My shop"})
    assert rows(api.db, question, id=named["id"]) == [("My shop", None)]


def test_row_8_20_an_unknown_or_revoked_integration_key_is_401(api: Api, clock: Clock) -> None:
    not_valid = (401, "Authorization Failed", "Integration key not valid")
    for wrong in ("nobodys", "x" * 600, "a\0b"):
        assert refused(api, BARE, integration_key=wrong) == not_valid
    key = issue(api, clock)
    api.db.write_now(0, accounts.revoke_integration, 1)
    clock.move(2_000)
    assert refused(api, BARE, integration_key=key) == not_valid
    assert buy(api, BARE, integration_key="")["transaction_id"] == "t"


def test_row_8_23_needed_are_transaction_address_and_of_each_line_pid_lid_and_name(api: Api) -> None:
    assert buy(api, {**BARE, "products": [{"pid": "p", "lid": "l", "name": "Disk"}]})["products"] == [
        {"quantity": 1, "lid": "l", "unit_price": 0.0, "sku": None, "name": "Disk", "pid": "p"}
    ]
    for name in ("transaction_id", "email_address"):
        for blank in ("", " ", None):
            assert refused(api, {**BARE, name: blank}) == (400, MISSING, f"{name} can't be blank")
    for name in ("pid", "lid", "name"):
        for blank in ("", " ", None):
            status, title, message = refused(api, {**BARE, "products": [LINE, {**LINE, name: blank}]})
            product = "" if name == "name" else " Disk"
            assert (status, title) == (400, MISSING)
            assert message == f"{name.capitalize()} can't be blank for product:{product}"


def test_row_8_23_a_blank_sku_alone_passes_and_is_named_when_more_is_missing(api: Api) -> None:
    for blank in ("", " ", None):
        assert buy(api, {**BARE, "products": [{**LINE, "sku": blank}]})["products"][0]["sku"] is None
    status, _, message = refused(api, {**BARE, "transaction_id": "", "products": [{**LINE, "sku": ""}]})
    assert (status, message) == (400, "transaction_id can't be blank, Sku can't be blank for product: Disk")


def test_row_8_23_the_same_pid_may_repeat_and_the_same_lid_may_not(api: Api) -> None:
    variants = [{**LINE, "lid": "1"}, {**LINE, "lid": "2"}]
    assert [line["lid"] for line in buy(api, {**BARE, "products": variants})["products"]] == ["1", "2"]
    status, title, message = refused(api, {**BARE, "products": [LINE, {**LINE, "name": "Tape"}]})
    assert (status, title) == (400, MISSING)
    assert "Tape" in message


def test_row_8_23_history_is_kept_and_lists_go_by_id_newest_first(api: Api) -> None:
    old = buy(api, {**BARE, "transaction_time": "1999-12-31 23:59:59"})
    new = buy(api, {**BARE, "transaction_id": "t2", "status": "refunded"})
    assert (old["transaction_time"], old["status"]) == ("1999-12-31T23:59:59.000Z", "paid")
    assert (new["transaction_time"], new["status"]) == ("2023-06-17T11:06:40.000Z", "refunded")
    listed = read(api.ask("GET", "/v3/purchases", S))
    assert [one["id"] for one in listed["purchases"]] == [new["id"], old["id"], ADA.purchase]
    assert listed["total_purchases"] == 3


def test_row_8_24_a_product_is_told_once_for_each_new_purchase_and_pid(api: Api) -> None:
    lines = [{**LINE, "lid": "1"}, {**LINE, "lid": "2"}, {**LINE, "pid": 7, "lid": "3"}]
    first = buy(api, {**BARE, "products": lines})["id"]
    assert buy(api, {**BARE, "products": lines, "total": 5})["id"] == first
    assert told(api, "product_purchase") == [(first, "p"), (first, "7")]
    assert told(api, "purchase_create") == [(first, None)]
    second = buy(api, {**BARE, "transaction_id": "t2", "products": lines[:1]})["id"]
    assert told(api, "product_purchase")[2:] == [(second, "p")]
    recount(api.db)


def test_row_8_29_without_credentials_or_with_the_public_key(api: Api) -> None:
    for method, path in (("GET", "/v3/purchases"), ("POST", "/v3/purchases"), ("GET", "/v3/purchases/1")):
        assert said(api.ask(method, path))[2] == "API Key not present"
        enough = "You do not have sufficient permissions to access this resource"
        assert said(api.ask(method, path, K)) == (401, "Authorization Failed", enough)


def test_a_transaction_told_again_is_the_same_purchase_with_new_values(api: Api) -> None:
    first = buy(api)
    again = buy(api, {**PURCHASE, "total": 1, "products": [LINE], "email_address": "ned@example.com"})
    assert (again["id"], again["total"], again["email_address"]) == (first["id"], 1.0, "ned@example.com")
    assert [line["name"] for line in again["products"]] == ["Disk"]
    assert again["transaction_time"] == first["transaction_time"]
    assert read(api.ask("GET", f"/v3/purchases/{first['id']}", S)) == again


def test_two_accounts_may_have_the_same_transaction(api: Api) -> None:
    mine = buy(api)
    theirs = read(api.ask("POST", "/v3/purchases", {**EVE.secret, "purchase": PURCHASE}), 201)
    assert theirs["id"] != mine["id"]
    assert read(api.ask("GET", f"/v3/purchases/{mine['id']}", S)) == mine


@pytest.mark.parametrize(
    ("sent", "shown"),
    (
        (20.1, b"20.1"),
        (20, b"20.0"),
        ("20.10", b"20.1"),
        (0.1, b"0.1"),
        ("0.30000000000000004", b"0.30000000000000004"),
        ("12345678901234.5678", b"12345678901234.5678"),
        (-5.25, b"-5.25"),
        (None, b"0.0"),
        ("", b"0.0"),
    ),
)
def test_money_is_answered_digit_for_digit(api: Api, sent: object, shown: bytes) -> None:
    order = {**BARE, "total": sent, "products": [{**LINE, "unit_price": sent}]}
    body = api.ask("POST", "/v3/purchases", {**S, "purchase": order}).body
    assert b'"total":' + shown + b"," in body
    assert b'"unit_price":' + shown + b"," in body


@pytest.mark.parametrize("amount", ("much", "1,5", "NaN", "Infinity", "1e400", "9" * 30, True, [1], {"a": 1}))
@pytest.mark.parametrize("name", ("subtotal", "tax", "shipping", "discount", "total"))
def test_what_is_no_amount_is_refused(api: Api, name: str, amount: object) -> None:
    status, _, message = refused(api, {**BARE, name: amount})
    assert status == 422
    assert message.startswith(name)


def test_a_buyer_is_made_active_and_their_name_replaced_but_nobody_is_revived(api: Api) -> None:
    buy(api, {**BARE, "first_name": "Jon"})
    found = read(api.ask("GET", "/v3/subscribers", {**S, "email_address": "jon@example.com"}))["subscribers"]
    assert (found[0]["first_name"], found[0]["state"]) == ("Jon", "active")
    for name, number, state in (("kim", ADA.kim, "cancelled"), ("dee", ADA.dee, "bounced")):
        order = {"transaction_id": name, "email_address": f"{name}@example.com", "first_name": "New"}
        buy(api, order)
        person = read(api.ask("GET", f"/v3/subscribers/{number}", S))["subscriber"]
        assert (person["first_name"], person["state"]) == ("New", state)
    recount(api.db)


def test_numbers_and_text_are_the_same_ids(api: Api) -> None:
    one = buy(api, {**BARE, "transaction_id": 123, "products": [{**LINE, "pid": 9, "lid": 8}]})
    assert (one["transaction_id"], one["products"][0]["pid"], one["products"][0]["lid"]) == ("123", "9", "8")
    assert buy(api, {**BARE, "transaction_id": "123"})["id"] == one["id"]
