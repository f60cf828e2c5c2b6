"""Purchases: one for a transaction however often it is told, money exact, what is missing named."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cast import API, DAY, HOUR, Cast, Clock, Owner, names, rows, told
from tests.core.recount import recount
from tests.store.notes import held
from tidings.core import purchases, signup, subscribers
from tidings.core.purchases import DIGITS_MAX, PRODUCTS_MAX, Order, Purchase, money
from tidings.errors import Invalid, Missing, NotFound
from tidings.store.db import Database

FLOPPY: dict[str, object] = {
    "pid": "9999",
    "lid": "7777",
    "name": "Floppy Disk (512k)",
    "sku": "7890-ijkl",
    "unit_price": 5.00,
    "quantity": 2,
}
CORD: dict[str, object] = {"pid": "5555", "lid": "7778", "name": "Cord", "unit_price": 10.0}


def order(**changed: Any) -> Order:
    given = {
        "transaction_id": "123-abcd",
        "email": "buyer@example.com",
        "products": [FLOPPY, CORD],
        **changed,
    }
    return Order(**given)


def record(db: Database, owner: Owner, **changed: Any) -> Purchase:
    return db.write_now(owner.id, purchases.record, order(**changed), API)


def test_a_purchase_makes_its_buyer_and_tells_each_product_once(
    db: Database, ada: Owner, clock: Clock
) -> None:
    again = {**FLOPPY, "lid": "7779"}
    made = record(db, ada, products=[FLOPPY, again, CORD], total="35.0", first_name="Bo", currency="eur")
    buyer = db.read_now(ada.id, subscribers.find, "buyer@example.com")
    assert buyer is not None
    assert (buyer.id, buyer.state, buyer.first_name) == (made.subscriber_id, "active", "Bo")
    assert (made.currency, made.total, made.status, made.transaction_at) == ("EUR", "35.0", "paid", clock.now)
    assert [(one.pid, one.lid, one.quantity, one.unit_price) for one in made.products] == [
        ("9999", "7777", 2, "5.0"),
        ("9999", "7779", 2, "5.0"),
        ("5555", "7778", 1, "10.0"),
    ]
    events = [(one.name, one.value) for one in told(db, ada, buyer.id)]
    assert sorted(events, key=str) == sorted(
        [
            ("subscriber_activate", None),
            ("purchase_create", None),
            ("product_purchase", "9999"),
            ("product_purchase", "5555"),
        ],
        key=str,
    )
    assert db.read_now(ada.id, purchases.find, made.id) == made
    recount(db)


def test_a_known_transaction_is_updated_and_told_no_more(db: Database, ada: Owner, clock: Clock) -> None:
    first = record(db, ada, total="15.0")
    clock.move(DAY)
    again = record(db, ada, total="10.0", products=[CORD], status="refunded")
    assert again.id == first.id
    assert (again.total, again.status, len(again.products)) == ("10.0", "refunded", 1)
    assert again.transaction_at == first.transaction_at
    assert record(db, ada, transaction_at=5_000).transaction_at == 5_000
    assert names(db, ada, first.subscriber_id).count("purchase_create") == 1
    assert names(db, ada, first.subscriber_id).count("product_purchase") == 2
    assert db.read_now(ada.id, purchases.page, 1)[0] == 1
    recount(db)


def test_the_same_transaction_fifty_times_at_once_is_one_purchase_and_one_event(
    db: Database, ada: Owner
) -> None:
    async def check() -> None:
        calls = (
            db.write_sorted(subscribers.sort_key("buyer@example.com"), ada.id, purchases.record, order(), API)
            for _ in range(50)
        )
        assert len({one.id for one in await asyncio.gather(*calls)}) == 1

    asyncio.run(check())
    total, found = db.read_now(ada.id, purchases.page, 1)
    assert (total, len(found), len(found[0].products)) == (1, 1, 2)
    assert sorted(names(db, ada, found[0].subscriber_id)) == [
        "product_purchase",
        "product_purchase",
        "purchase_create",
        "subscriber_activate",
    ]
    recount(db)


@pytest.mark.parametrize("known", (False, True))
@pytest.mark.parametrize(
    "lines", ((5, 1), (1, 5), (3, 3), (2, 0), (0, 2), (0, 0, 4), (4, 2, 1), (1, 2, 3, 4, 5) * 4)
)
def test_one_transaction_told_for_many_people_at_once_keeps_the_lines_of_one_of_them(
    db: Database, ada: Owner, lines: tuple[int, ...], known: bool
) -> None:
    def products(n: int) -> list[dict[str, object]]:
        return [{"pid": f"{n}", "lid": f"{n}-{line}", "name": "X"} for line in range(lines[n])]

    async def check() -> None:
        if known:
            await db.write(ada.id, purchases.record, order(), API)
        async with held(db):
            waiting = [
                asyncio.ensure_future(
                    db.write_sorted(
                        subscribers.sort_key(f"p{n}@example.com"),
                        ada.id,
                        purchases.record,
                        order(email=f"p{n}@example.com", products=products(n), total=f"{n}.0"),
                        API,
                    )
                )
                for n in range(len(lines))
            ]
        await asyncio.gather(*waiting)

    asyncio.run(check())
    total, found = db.read_now(ada.id, purchases.page, 1)
    assert (total, len(found)) == (1, 1)
    kept = found[0]
    n = int(kept.email.partition("@")[0][1:])
    assert kept.total == f"{n}.0"
    assert [one.lid for one in kept.products] == [str(line["lid"]) for line in products(n)]
    assert rows(db, "SELECT COUNT(*) FROM events WHERE name = 'purchase_create'") == [(1,)]
    recount(db)


def test_one_transaction_id_is_two_purchases_in_two_accounts(db: Database, cast: Cast) -> None:
    hers, other = record(db, cast.ada), record(db, cast.eve)
    assert hers.id != other.id
    with pytest.raises(NotFound):
        db.read_now(cast.eve.id, purchases.find, hers.id)
    assert db.read_now(cast.eve.id, purchases.page, 1) == (1, [other])
    recount(db)


def test_a_cancelled_buyer_stays_cancelled(db: Database, cast: Cast) -> None:
    db.write_now(cast.ada.id, signup.unsubscribe, "bea@example.com", API)
    made = record(db, cast.ada, email="BEA@example.com", first_name="Beatrice")
    bea = db.read_now(cast.ada.id, subscribers.get, cast.bea)
    assert (made.subscriber_id, bea.state, bea.first_name) == (cast.bea, "cancelled", "Beatrice")
    recount(db)


@pytest.mark.parametrize(
    ("changed", "message"),
    (
        (
            {"transaction_id": None, "products": [{**FLOPPY, "sku": None}]},
            "transaction_id can't be blank, Sku can't be blank for product: Floppy Disk (512k)",
        ),
        (
            {"transaction_id": None, "email": None, "products": []},
            "transaction_id can't be blank, email_address can't be blank",
        ),
        (
            {"products": [{}]},
            ", ".join(f"{name} can't be blank for product:" for name in ("Pid", "Lid", "Name", "Sku")),
        ),
        (
            {"products": [{**CORD, "pid": None, "sku": "s"}, {**FLOPPY, "lid": None}]},
            "Pid can't be blank for product: Cord, Lid can't be blank for product: Floppy Disk (512k)",
        ),
        ({"products": [FLOPPY, {**CORD, "lid": "7777"}]}, "Lid must be unique for product: Cord"),
    ),
)
def test_what_is_missing_is_named_in_order_and_nothing_is_kept(
    db: Database, ada: Owner, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(Missing) as problem:
        record(db, ada, **changed)
    assert problem.value.message == message
    assert db.read_now(ada.id, purchases.page, 1) == (0, [])
    assert db.read_now(ada.id, subscribers.find, "buyer@example.com") is None


def test_only_a_sku_may_be_missing_and_a_purchase_may_have_no_products(db: Database, ada: Owner) -> None:
    assert record(db, ada, products=[CORD]).products[0].sku is None
    assert record(db, ada, transaction_id="none", products=[]).products == []


def test_a_malformed_address_too_many_products_and_odd_quantities_are_refused(
    db: Database, ada: Owner
) -> None:
    many = [{**CORD, "lid": str(n)} for n in range(PRODUCTS_MAX + 1)]
    for changed in (
        {"email": "no address"},
        {"products": many},
        {"products": [{**CORD, "quantity": "two"}]},
        {"products": [{**CORD, "quantity": 10**30}]},
        {"products": [{**CORD, "quantity": "1e3"}]},
        {"products": [{**CORD, "unit_price": "free"}]},
    ):
        with pytest.raises(Invalid):
            record(db, ada, **changed)
    assert db.read_now(ada.id, purchases.page, 1) == (0, [])
    assert len(record(db, ada, products=many[:PRODUCTS_MAX]).products) == PRODUCTS_MAX


@pytest.mark.parametrize(
    ("given", "kept"),
    (
        (21, "21.0"),
        (21.00, "21.0"),
        ("21.00", "21.0"),
        (0.1, "0.1"),
        ("0.10000000000000001", "0.10000000000000001"),
        ("999999999999999.99", "999999999999999.99"),
        ("-5.50", "-5.5"),
        ("1e3", "1000.0"),
        (" 7 ", "7.0"),
        ("", "0.0"),
        (None, "0.0"),
        (0, "0.0"),
        (1e-07, "0.0000001"),
    ),
)
def test_money_is_kept_to_the_last_digit(db: Database, ada: Owner, given: object, kept: str) -> None:
    assert money(given, "total") == kept
    made = record(db, ada, total=money(given, "total"), products=[{**CORD, "unit_price": given}])
    assert (made.total, made.products[0].unit_price) == (kept, kept)


@pytest.mark.parametrize(
    "given",
    (True, "abc", "1,000", "NaN", "inf", float("nan"), float("inf"), "1e999999999", [], {}, "0x10", "1" * 40),
)
def test_what_is_no_amount_is_refused(given: object) -> None:
    with pytest.raises(Invalid):
        money(given, "total")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_an_amount_read_back_is_the_amount_given(amount: Any) -> None:
    kept = money(str(amount), "total")
    assert type(amount)(kept) == amount
    assert money(kept, "total") == kept
    assert len(kept) <= DIGITS_MAX + 3


def test_purchases_are_listed_newest_first(db: Database, cast: Cast, clock: Clock) -> None:
    ids = []
    for n in range(3):
        clock.move(-HOUR)
        ids.append(record(db, cast.ada, transaction_id=f"t{n}").id)
    total, found = db.read_now(cast.ada.id, purchases.page, 1)
    assert (total, [one.id for one in found]) == (3, ids[::-1])
    assert db.read_now(cast.ada.id, purchases.page, 2) == (3, [])
    assert db.read_now(cast.ada.id, purchases.page, 10**12) == (3, [])
