"""Contract 1.7: lists of more than one page, whole lists, and odd page numbers."""

from typing import Any

import pytest

from tests.api_v3.client import Api, read
from tests.api_v3.world import ADA, EVE, ORIGIN
from tests.core.recount import recount
from tidings.core import broadcasts, purchases, signup, subscribers
from tidings.core.purchases import Order
from tidings.core.signup import Also
from tidings.store.tx import Tx

S = ADA.secret
MANY = 120
PATHS = {
    "subscribers": "/v3/subscribers",
    "forms": f"/v3/forms/{ADA.hosted}/subscriptions",
    "sequences": f"/v3/sequences/{ADA.repeating}/subscriptions",
    "courses": f"/v3/courses/{ADA.repeating}/subscriptions",
    "tags": f"/v3/tags/{ADA.vip}/subscriptions",
    "purchases": "/v3/purchases",
    "broadcasts": "/v3/broadcasts",
}
NAMES = {"subscribers": "subscribers", "purchases": "purchases", "broadcasts": "broadcasts"}
PAGED = pytest.mark.parametrize("what", PATHS)


def _fill(tx: Tx) -> None:
    also = Also(tags=[ADA.vip], sequences=[ADA.repeating])
    for at in range(MANY):
        person = subscribers.person(f"p{at:03}@example.com")
        signup.sign_up(tx, "form", ADA.hosted, person, also, ORIGIN)
        broadcasts.create(tx, broadcasts.Draft(subject=str(at)), "ada@example.com")
        order = Order(transaction_id=f"many-{at}", email="bea@example.com")
        purchases.record(tx, order, ORIGIN)


@pytest.fixture
def full(api: Api) -> Api:
    api.db.write_now(ADA.number, _fill)
    return api


def page(api: Api, what: str, **params: Any) -> tuple[dict[str, Any], list[int]]:
    """A page as it came, and the ids on it."""
    listed = read(api.ask("GET", PATHS[what], {**S, **params}))
    return listed, [one["id"] for one in listed[NAMES.get(what, "subscriptions")]]


@PAGED
def test_pages_of_fifty_follow_each_other_and_show_everything_once(full: Api, what: str) -> None:
    newest_first = what == "purchases"
    for order in ("asc", "desc"):
        found: list[int] = []
        number = 1
        while True:
            listed, ids = page(full, what, page=number, sort_order=order)
            found += ids
            assert len(ids) <= 50
            if what != "broadcasts":
                assert listed["page"] == number
                assert listed["total_pages"] == 3
            if len(ids) < 50:
                break
            number += 1
        assert number == 3
        assert found == sorted(found, reverse=order == "desc" or newest_first)
        assert len(set(found)) == len(found) >= MANY
        if what != "broadcasts":
            assert listed[f"total_{NAMES.get(what, 'subscriptions')}"] == len(found)
    assert page(full, what, page=4)[1] == []
    recount(full.db)


@PAGED
def test_a_page_that_is_no_page_is_the_first_and_text_is_a_number(full: Api, what: str) -> None:
    first = page(full, what)
    assert len(first[1]) == 50
    for odd in (0, -1, "", " ", "x", "1.5", 1.5, [2], {"a": 2}, True, "２", None, 2**64):
        assert page(full, what, page=odd) == first, odd
    assert page(full, what, page="2") == page(full, what, page=2) != first


@PAGED
def test_the_size_of_a_page_is_not_for_callers_to_choose(full: Api, what: str) -> None:
    for name in ("per_page", "limit", "page_size"):
        assert len(page(full, what, **{name: 7})[1]) == 50


@pytest.mark.parametrize("path", ("/v3/forms", "/v3/sequences", "/v3/tags", "/v3/custom_fields"))
def test_other_lists_come_whole_whatever_page_is_asked_for(api: Api, path: str) -> None:
    tags = [{"name": f"tag {at:02}"} for at in range(60)]
    api.ask("POST", "/v3/tags", {**S, "tag": tags})
    whole = read(api.ask("GET", path, S))
    assert read(api.ask("GET", path, {**S, "page": 2})) == whole
    if path == "/v3/tags":
        names = [one["name"] for one in whole["tags"]]
        assert len(names) == 62
        assert names == sorted(names, key=str.casefold)


@PAGED
def test_an_empty_list_has_one_page(api: Api, what: str) -> None:
    path = PATHS[what].replace(str(ADA.vip), str(EVE.vip)).replace(str(ADA.repeating), str(EVE.repeating))
    path = path.replace(str(ADA.hosted), str(EVE.hosted))
    kind = NAMES.get(what, "subscriptions")
    for table in (
        "purchase_products",
        "purchases",
        "broadcasts",
        "deliveries",
        "entries",
        "subscriptions",
        "subscribers",
    ):
        api.db.write_now(
            EVE.number,
            lambda tx, table=table: tx.run(f"DELETE FROM {table} WHERE account_id = 2"),  # noqa: S608
        )
    api.db.write_now(EVE.number, lambda tx: tx.run("DELETE FROM counters WHERE account_id = 2"))
    listed = read(api.ask("GET", path, EVE.secret))
    if what == "broadcasts":
        assert listed == {"broadcasts": []}
    else:
        assert listed == {f"total_{kind}": 0, "page": 1, "total_pages": 1, kind: []}
