"""Any history, one by one or at once, ends as a simple model of the contract says.

One subscriber for an address, one subscription for a thing, each event once and only for
what is new, and every counter equal to its recount.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.core.cast import API, DAY, HOUR, Clock, Owner, open_account, rows
from tests.core.recount import recount
from tidings.core import confirmations, events, purchases, signup, subscribers, subscriptions
from tidings.core.accounts import INSTALLATION
from tidings.core.purchases import Order
from tidings.core.signup import Also
from tidings.errors import NotFound
from tidings.store.db import Database
from tidings.store.tx import Tx

THINGS = ("double", "plain", "sequence", "tag", "vip")
KIND = {"double": "form", "plain": "form", "sequence": "sequence", "tag": "tag", "vip": "tag"}
JOINED = {"form": "form_subscribe", "sequence": "course_subscribe", "tag": "tag_add"}
PIDS = ("a", "b")

people = st.integers(0, 3)
things = st.sampled_from(THINGS)
steps = st.one_of(
    st.tuples(st.just("join"), people, things, st.lists(things, max_size=3)),
    st.tuples(st.just("join"), people, things, st.just([])),
    st.tuples(st.just("unsubscribe"), people),
    st.tuples(st.just("confirm"), people),
    st.tuples(st.just("leave"), people, things),
    st.tuples(st.just("update"), people, st.sampled_from(("A", "B"))),
    st.tuples(st.just("purchase"), people, st.integers(0, 1)),
    st.tuples(st.just("feedback"), people, st.sampled_from(("bounced", "complained"))),
)
# What is in one list is done at once; then some time passes.
histories = st.lists(
    st.tuples(st.lists(steps, min_size=1, max_size=6), st.sampled_from((0, HOUR, DAY, 3 * DAY))), max_size=8
)


@dataclass
class Person:
    """One person as the contract has them."""

    owner: Owner
    state: str | None = None
    name: str | None = None
    joined: dict[str, bool] = field(default_factory=dict)
    told: list[tuple[str, str | None]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    bought: set[int] = field(default_factory=set)

    def join(self, now: int, thing: str, also: list[str]) -> None:
        # Forms come before sequences, and those before tags, whatever their order in the call.
        order = ("form", "sequence", "tag")
        wanted = list(dict.fromkeys([thing, *sorted(also, key=lambda one: order.index(KIND[one]))]))
        target = "inactive" if "double" in wanted else "active"
        before = self.state
        if self.state is None or (
            any(KIND[one] != "tag" for one in wanted) and self.state in ("inactive", "cancelled")
        ):
            self.state = target
        if "double" in wanted and self.state == "inactive":
            within = [at for at in self.asked if now - at < DAY]
            self.asked += [now] if len(within) < 3 else []
        for one in wanted:
            if not self.joined.get(one):
                self.joined[one] = True
                self.told.append((JOINED[KIND[one]], one))
        if self.state == "active" and before != "active":
            self.told.append(("subscriber_activate", None))

    def unsubscribe(self, _: int) -> None:
        # Who is bounced or complained stays so, but is in no form and no sequence any more.
        self.joined = {one: lasts and KIND[one] == "tag" for one, lasts in self.joined.items()}
        if self.state in ("active", "inactive"):
            self.state = "cancelled"
            self.told.append(("subscriber_unsubscribe", None))

    def confirm(self, _: int) -> None:
        if "double" in self.joined and self.state == "inactive":
            self.state = "active"
            self.told.append(("subscriber_activate", "double"))

    def leave(self, _: int, thing: str) -> None:
        if self.joined.get(thing):
            if KIND[thing] == "tag":
                del self.joined[thing]
                self.told.append(("tag_remove", thing))
            else:
                self.joined[thing] = False

    def update(self, _: int, name: str) -> None:
        if self.state is not None and self.name != name:
            self.name = name
            self.told.append(("name_change", name))

    def purchase(self, _: int, number: int) -> None:
        if self.state is None:
            self.state = "active"
            self.told.append(("subscriber_activate", None))
        if number not in self.bought:
            self.bought.add(number)
            self.told.append(("purchase_create", None))
            self.told += [("product_purchase", pid) for pid in PIDS]

    def feedback(self, _: int, state: str) -> None:
        if self.state in ("active", "inactive"):
            self.state = state


class Doing:
    """The verbs of one account, by the words of the steps."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    def email(self, number: int) -> str:
        return f"p{number}.{self.owner.id}@example.com"

    def ref(self, thing: str) -> tuple[str, int]:
        ref_id: int = getattr(self.owner, thing)
        return KIND[thing], ref_id

    def join(self, tx: Tx, number: int, thing: str, also: list[str]) -> None:
        more = {kind: [self.ref(one)[1] for one in also if KIND[one] == kind] for kind in JOINED}
        signup.sign_up(
            tx,
            *self.ref(thing),
            subscribers.person(self.email(number)),
            Also(tags=more["tag"], forms=more["form"], sequences=more["sequence"]),
            API,
        )

    def unsubscribe(self, tx: Tx, number: int) -> None:
        signup.unsubscribe(tx, self.email(number), API)

    def confirm(self, tx: Tx, number: int) -> None:
        who = self._find(tx, number)
        joined = subscriptions.find(tx, who.id, *self.ref("double"))
        if joined is not None:
            confirmations.confirm(tx, joined.id, tx.now, API)

    def leave(self, tx: Tx, number: int, thing: str) -> None:
        signup.leave(tx, *self.ref(thing), self.email(number), API)

    def update(self, tx: Tx, number: int, name: str) -> None:
        who = self._find(tx, number)
        subscribers.update(tx, who.id, email=None, first_name=name, fields={})

    def purchase(self, tx: Tx, number: int, transaction: int) -> None:
        products: list[dict[str, object]] = [{"pid": pid, "lid": pid, "name": pid} for pid in PIDS]
        order = Order(transaction_id=f"{number}/{transaction}", email=self.email(number), products=products)
        purchases.record(tx, order, API)

    def feedback(self, tx: Tx, number: int, state: str) -> None:
        who = self._find(tx, number)
        if who.state in ("active", "inactive"):
            subscriptions.turn(tx, who, state)

    def _find(self, tx: Tx, number: int) -> subscribers.Subscriber:
        who = subscribers.find(tx, self.email(number))
        if who is None:
            raise NotFound("subscriber")
        return who


async def live(
    db: Database, doing: Doing, model: list[Person], history: list[tuple[list[Any], int]], clock: Clock
) -> None:
    """Do all this, and let the model do it too."""
    for at_once, passing in history:
        calls = []
        for word, number, *rest in at_once:
            verb: Callable[..., None] = getattr(doing, word)
            key = subscribers.sort_key(doing.email(number))
            calls.append(db.write_sorted(key, doing.owner.id, verb, number, *rest))
            getattr(model[number], word)(clock.now, *rest)
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert result is None or isinstance(result, NotFound), repr(result)
        clock.move(passing)


def check_person(db: Database, doing: Doing, number: int, person: Person) -> None:
    owner = doing.owner
    who = db.read_now(owner.id, subscribers.find, doing.email(number))
    if person.state is None:
        assert who is None
        return
    assert who is not None
    assert (who.state, who.first_name) == (person.state, person.name)
    found = rows(
        db,
        "SELECT form_id, sequence_id, tag_id, subscriber_state, ended_at FROM subscriptions"
        " WHERE subscriber_id = :id",
        id=who.id,
    )
    refs = {doing.ref(thing): thing for thing in THINGS}
    there = {}
    for form_id, sequence_id, tag_id, state, ended_at in found:
        assert state == who.state
        kind, ref_id = next(
            (kind, one)
            for kind, one in (("form", form_id), ("sequence", sequence_id), ("tag", tag_id))
            if isinstance(one, int)
        )
        there[refs[kind, ref_id]] = ended_at is None
    assert len(found) == len(there)
    assert there == person.joined
    subject = {JOINED[kind] + str(ref_id): thing for (kind, ref_id), thing in refs.items()}
    told: list[tuple[str, str | None]] = []
    for event in db.read_now(owner.id, events.of_subscriber, who.id):
        word = event.value
        if event.name in JOINED.values():
            word = subject[f"{event.name}{event.subject_id}"]
        elif event.name == "tag_remove":
            word = subject[f"tag_add{event.subject_id}"]
        elif event.name == "subscriber_activate" and event.subject_id is not None:
            word = "double"
        told.append((event.name, word))
    assert told == person.told


def test_any_history_ends_as_the_model_says(db: Database, clock: Clock) -> None:
    @given(histories)
    def check(history: list[tuple[list[Any], int]]) -> None:
        # An account of its own for each history: cheaper than a database.
        owner = db.write_now(INSTALLATION, open_account, "Ada")
        doing, model = Doing(owner), [Person(owner) for _ in range(4)]
        asyncio.run(live(db, doing, model, history, clock))
        for number, person in enumerate(model):
            check_person(db, doing, number, person)
        mailed = rows(
            db, "SELECT COUNT(*) FROM deliveries WHERE account_id = :id AND lane = 'now'", id=owner.id
        )
        assert mailed == [(sum(len(person.asked) for person in model),)]

    check()
    recount(db)


def test_the_same_sign_ups_in_any_order_and_number_end_alike(db: Database, clock: Clock) -> None:
    joins = st.tuples(people, things)

    @given(st.lists(joins, min_size=1, max_size=8), st.randoms(use_true_random=False))
    def check(wanted: list[tuple[int, str]], random: Any) -> None:
        owner = db.write_now(INSTALLATION, open_account, "Ada")
        doing = Doing(owner)
        calls = wanted * random.randrange(1, 4)
        random.shuffle(calls)

        async def all_at_once() -> None:
            await asyncio.gather(
                *(
                    db.write_sorted(
                        subscribers.sort_key(doing.email(number)), owner.id, doing.join, number, thing, []
                    )
                    for number, thing in calls
                )
            )

        asyncio.run(all_at_once())
        for number in {number for number, _ in wanted}:
            who = db.read_now(owner.id, subscribers.find, doing.email(number))
            assert who is not None
            told = [event.name for event in db.read_now(owner.id, events.of_subscriber, who.id)]
            expected = [JOINED[KIND[thing]] for thing in {thing for one, thing in wanted if one == number}]
            expected += ["subscriber_activate"] * (who.state == "active")
            assert sorted(told) == sorted(expected)

    check()
    recount(db)
