"""Lists by page number: whatever happened before, they equal the naive reading of every row.

Buckets and pages are made small, so that a few rows cross many of them.
"""

import os
from itertools import product
from random import Random
from typing import Any

import pytest

from tests.core.cast import API, DAY, Cast, Clock, Owner, join, rows
from tests.core.recount import recount
from tidings.core import broadcasts, counters, events, purchases, signup, subscribers, subscriptions
from tidings.core.counters import DAY_MS
from tidings.core.purchases import Order
from tidings.core.subscribers import lists
from tidings.core.subscribers.lists import Query
from tidings.store.db import Database

PEOPLE = 60
STEPS = 240
# Days that hold every row; given, so that the first page is counted like every other.
EVER = (0, 10**5)
SEEDS = (1,) if "TIDINGS_PROOF" not in os.environ else tuple(range(1, 20))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets of 4 and 8 ids, pages of 3 and 5 rows."""
    monkeypatch.setattr(counters, "BITS", 2)
    monkeypatch.setattr(counters, "DATED_BITS", 3)
    assert counters.edge.__kwdefaults__ is not None
    monkeypatch.setitem(counters.edge.__kwdefaults__, "bits", 2)
    monkeypatch.setattr(subscriptions, "PAGE", 3)
    monkeypatch.setattr(lists, "PAGE", 5)
    monkeypatch.setattr(purchases, "PAGE", 3)
    monkeypatch.setattr(broadcasts, "PAGE", 3)


def history(db: Database, owner: Owner, clock: Clock, random: Random) -> None:
    """Let much happen, over many days, in one order of many."""
    kinds = [("form", owner.plain), ("form", owner.double), ("sequence", owner.sequence), ("tag", owner.tag)]
    for _ in range(STEPS):
        clock.move(random.choice((0, 1, DAY // 3, DAY)))
        email = f"p{random.randrange(PEOPLE)}@example.com"
        who = db.read_now(owner.id, subscribers.find, email)
        what = random.random()
        if who is None or what < 0.45:
            join(db, owner, *random.choice(kinds), email, random.choice((None, "A", "B")))
        elif what < 0.6:
            db.write_now(owner.id, signup.unsubscribe, email, API)
        elif what < 0.75:
            db.write_now(owner.id, signup.leave, *random.choice(kinds), email, API)
        elif what < 0.85 and who.state in ("active", "inactive"):
            state = random.choice(("active", "bounced", "complained"))
            if state != who.state:
                db.write_now(owner.id, subscriptions.turn, who, state)
        else:
            name = random.choice(("C", "D"))
            db.write_now(owner.id, subscribers.update, who.id, email=None, first_name=name, fields={})


@pytest.fixture(params=SEEDS)
def told(request: pytest.FixtureRequest, small: None, db: Database, cast: Cast, clock: Clock) -> Owner:
    """Ada's account after a long history, beside Eve's with a short one."""
    random = Random(request.param)
    start = clock.now
    history(db, cast.ada, clock, random)
    for n in range(5):
        join(db, cast.eve, "form", cast.eve.plain, f"e{n}@example.com")
    recount(db)
    clock.now = start
    return cast.ada


def people(db: Database, owner: Owner) -> list[dict[str, Any]]:
    names = ("id", "state", "created_at", "updated_at", "cancelled_at")
    found = rows(
        db,
        f"SELECT {', '.join(names)} FROM subscribers WHERE account_id = :id ORDER BY id",  # noqa: S608
        id=owner.id,
    )
    return [dict(zip(names, row, strict=True)) for row in found]


def naive(everybody: list[dict[str, Any]], query: Query) -> list[int]:
    """Return the ids of all that the query finds, in its order."""
    found = [one for one in everybody if one["state"] == query.state]
    for column, days in (("created_at", query.created), ("updated_at", query.updated)):
        if days is not None:
            found = [one for one in found if days[0] <= one[column] // DAY_MS <= days[1]]
    if query.by_cancelled:
        found.sort(key=lambda one: (one["cancelled_at"], one["id"]))
    return [one["id"] for one in (found[::-1] if query.newest_first else found)]


def all_pages(db: Database, owner: Owner, **options: Any) -> tuple[set[int], list[int]]:
    """Walk a list page by page; return the totals it said and every id."""
    totals, ids, number = set(), [], 1
    while True:
        total, found = db.read_now(owner.id, lists.page, Query(number=number, **options))
        totals.add(total)
        ids += [one.id for one in found]
        number += 1
        if not found:
            return totals, ids
        assert len(found) == lists.PAGE or len(ids) == total


def test_every_page_of_people_is_what_the_rows_say(db: Database, told: Owner, clock: Clock) -> None:
    everybody = people(db, told)
    first = clock.now // DAY_MS
    spans = (None, (first, first), (first + 3, first + 20), (first - 5, first + 400), (first + 9, first + 2))
    for state, newest_first, created, updated in product(
        subscribers.STATES, (False, True), spans, (None, *spans[1:3])
    ):
        options: dict[str, Any] = {
            "state": state,
            "newest_first": newest_first,
            "created": created,
            "updated": updated,
        }
        expected = naive(everybody, Query(**options))
        totals, ids = all_pages(db, told, **options)
        assert (totals, ids) == ({len(expected)}, expected), options


def test_who_cancelled_is_listed_by_the_time_of_it(db: Database, told: Owner, clock: Clock) -> None:
    everybody = people(db, told)
    first = clock.now // DAY_MS
    for newest_first, created, updated in product(
        (False, True), (None, (first, first + 10)), (None, (first + 20, first + 60))
    ):
        options: dict[str, Any] = {
            "state": "cancelled",
            "by_cancelled": True,
            "newest_first": newest_first,
            "created": created,
            "updated": updated,
        }
        expected = naive(everybody, Query(**options))
        assert all_pages(db, told, **options) == ({len(expected)}, expected), options
    assert naive(everybody, Query(state="cancelled")), "the history has nobody who left"


def test_a_page_is_the_same_reached_directly(db: Database, told: Owner) -> None:
    expected = naive(people(db, told), Query())
    for number in range(1, len(expected) // 5 + 3):
        total, found = db.read_now(told.id, lists.page, Query(number=number))
        assert total == len(expected)
        assert [one.id for one in found] == expected[(number - 1) * 5 : number * 5]


def test_every_page_of_subscriptions_is_what_the_rows_say(db: Database, told: Owner) -> None:
    found = rows(
        db,
        "SELECT id, subscriber_id, form_id, sequence_id, tag_id, subscriber_state FROM subscriptions"
        " WHERE account_id = :id ORDER BY id",
        id=told.id,
    )
    things = (
        ("form", told.plain, 2),
        ("form", told.double, 2),
        ("sequence", told.sequence, 3),
        ("tag", told.tag, 4),
    )
    for (kind, ref_id, column), state, newest_first in product(
        things, (None, *subscribers.STATES), (False, True)
    ):
        expected = [
            (one[0], one[1]) for one in found if one[column] == ref_id and (state is None or one[5] == state)
        ]
        if newest_first:
            expected.reverse()
        listed: list[tuple[object, object]] = []
        number = 1
        while True:
            total, rows_of_page = db.read_now(
                told.id,
                subscriptions.page,
                kind,
                ref_id,
                state=state,
                newest_first=newest_first,
                number=number,
            )
            assert total == len(expected)
            listed += [(joined.id, who.id) for joined, who in rows_of_page]
            assert all(joined.subscriber_state == who.state for joined, who in rows_of_page)
            number += 1
            if not rows_of_page:
                break
        assert listed == expected, (kind, state, newest_first)


def test_gaps_of_removed_tags_do_not_shift_a_page(db: Database, small: None, ada: Owner) -> None:
    emails = [f"p{n}@example.com" for n in range(40)]
    ids = [join(db, ada, "tag", ada.tag, email)[0].id for email in emails]
    gone = [at for at in range(40) if at % 4 != 1 and at not in (38, 39)]
    for at in gone:
        db.write_now(ada.id, signup.leave, "tag", ada.tag, emails[at], API)
    left = [row_id for at, row_id in enumerate(ids) if at not in gone]
    for newest_first in (False, True):
        expected = left[::-1] if newest_first else left
        for number in range(1, 7):
            total, found = db.read_now(
                ada.id,
                subscriptions.page,
                "tag",
                ada.tag,
                state="active",
                newest_first=newest_first,
                number=number,
            )
            assert total == len(left)
            assert [one.id for one, _ in found] == expected[(number - 1) * 3 : number * 3]


def test_pages_far_beyond_the_end_and_before_the_first_are_empty(db: Database, cast: Cast) -> None:
    for number in (2, 10**6, 10**12, 0, -1):
        assert db.read_now(cast.ada.id, lists.page, Query(number=number)) == (1, [])
        for kind in ("form", "sequence", "tag"):
            ref_id = {"form": cast.ada.plain, "sequence": cast.ada.sequence, "tag": cast.ada.tag}[kind]
            _, found = db.read_now(
                cast.ada.id,
                subscriptions.page,
                kind,
                ref_id,
                state=None,
                newest_first=False,
                number=number,
            )
            assert found == []
    assert db.read_now(cast.ada.id, lists.page, Query(state="nonsense")) == (0, [])


def test_purchases_and_broadcasts_are_paged_alike(
    db: Database, small: None, cast: Cast, clock: Clock
) -> None:
    sold, written = [], []
    for n in range(25):
        owner = cast.ada if n % 3 else cast.eve
        order = Order(transaction_id=f"t{n}", email=f"b{n % 4}@example.com")
        one = db.write_now(owner.id, purchases.record, order, events.Origin("api"))
        two = db.write_now(owner.id, broadcasts.create, broadcasts.Draft(subject=f"s{n}"), "a@example.com")
        if owner is cast.ada:
            sold.append(one.id)
            written.append(two.id)
    for at in (0, 3, 4, 9):
        db.write_now(cast.ada.id, broadcasts.delete, written[at])
    written = [one for at, one in enumerate(written) if at not in (0, 3, 4, 9)]
    for number in range(1, 8):
        part = slice((number - 1) * 3, number * 3)
        total, found = db.read_now(cast.ada.id, purchases.page, number)
        assert (total, [one.id for one in found]) == (len(sold), sold[::-1][part])
        for newest_first in (False, True):
            page = db.read_now(cast.ada.id, broadcasts.page, newest_first=newest_first, number=number)
            assert [one.id for one in page] == (written[::-1] if newest_first else written)[part]
    recount(db)


@pytest.mark.parametrize("kind", ("subscribers", "subscribers.created"))
def test_a_place_is_found_in_the_bucket_that_holds_it(
    db: Database, small: None, ada: Owner, kind: str
) -> None:
    for n in range(30):
        join(db, ada, "form", ada.plain, f"p{n}@example.com")
    bits = counters.BITS if kind == "subscribers" else counters.DATED_BITS
    ids = [one["id"] for one in people(db, ada) if one["state"] == "active"]
    for newest_first in (False, True):
        ordered = ids[::-1] if newest_first else ids
        for offset, row_id in enumerate(ordered):
            place = db.read_now(
                ada.id, counters.locate, kind, 0, "active", offset, newest_first=newest_first, days=EVER
            )
            before = [one for one in ordered[:offset] if one >> bits == row_id >> bits]
            assert place == (row_id >> bits, len(before))
        assert (
            db.read_now(ada.id, counters.locate, kind, 0, "active", len(ids), newest_first=newest_first)
            is None
        )


def test_the_newest_page_begins_with_the_largest_given_id(db: Database, ada: Owner) -> None:
    given = 2**62
    person = subscribers.person("moved@example.com")
    db.write_now(ada.id, lambda tx: subscribers.meet(tx, person, "active", given_id=given))
    total, found = db.read_now(ada.id, lists.page, Query(newest_first=True))
    assert (total, found[0].id) == (2, given)
    recount(db)
