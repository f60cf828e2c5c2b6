"""Whatever happens, rules do what a small model of people, events and a clock says, and come to an end.

A machine does at random what people and owners do, on a real database; events are told and runs done
at any time in between. The model of `rules_model` must hold the same people, mails, posts and counts.
"""

import os
from collections import Counter

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.core import ruled
from tests.core.cast import API, Clock, Owner, join, open_account, rows
from tests.core.rules_model import (
    CHAINED,
    CIRCLES,
    CITIES,
    LENGTHS,
    LIVES,
    PEOPLE_MOST,
    RULES_MOST,
    WAITS,
    Human,
    Ruled,
    WishWords,
    World,
    action,
    condition,
    trigger,
    which,
    wishes,
)
from tidings.core import automations, purchases, signup, subscribers, subscriptions
from tidings.core.accounts import INSTALLATION
from tidings.core.automations import actions, runs
from tidings.core.automations.actions import Step
from tidings.core.automations.view import View
from tidings.core.purchases import Order
from tidings.store.db import Database


class Rules(RuleBasedStateMachine):
    """One account; `db` and `clock` are set by who runs it."""

    db: Database
    clock: Clock

    @initialize(first=st.lists(wishes, min_size=1, max_size=3), circle=st.sampled_from(CIRCLES))
    def begin(self, first: list[WishWords], circle: list[WishWords]) -> None:
        self.owner: Owner = self.db.write_now(INSTALLATION, open_account, "Ada")
        self.world = World()
        self.world.now = self.clock.now
        self.bought = 0
        for wish in first + circle:
            self.make(wish)
        for _ in range(2):
            self.sign_up()

    # -- people ---------------------------------------------------------------------

    @rule()
    def sign_up(self) -> None:
        if len(self.world.people) < PEOPLE_MOST:
            email = f"p{len(self.world.people)}.{self.owner.id}@example.com"
            _, who = join(self.db, self.owner, "form", self.owner.plain, email)
            self.world.sign_up(who.id, email)

    @rule(one=which, what=st.sampled_from(LIVES), rest=st.booleans())
    def live(self, one: int, what: str, rest: bool) -> None:
        """Something happens to somebody, and perhaps all that follows from it."""
        self._live(list(self.world.people.values())[one % len(self.world.people)], what)
        if rest:
            self.come_to_rest()

    def _live(self, who: Human, what: str) -> None:
        world, owner = self.world, self.owner
        person = self.db.read_now(owner.id, subscribers.get, who.id)
        match what:
            case "tag" | "vip":
                join(self.db, owner, "tag", owner.tag if what == "tag" else owner.vip, who.email)
                world.put(who, what, "tag_add")
            case "untag" | "unvip":
                kind = what.removeprefix("un")
                tag = owner.tag if kind == "tag" else owner.vip
                self.db.write_now(owner.id, subscriptions.leave, person, "tag", tag, API)
                world.untag(who, kind)
            case "Berlin" | "Oslo" | "nowhere":
                value = what if what in CITIES else None
                names = {"email": None, "first_name": None, "fields": {"city": value}, "origin": API}
                self.db.write_now(owner.id, subscribers.update, who.id, **names)
                world.move(who, value)
            case "buy":
                self._buy(who.email)
                world.buy(who)
            case "course" if who.state == "active":
                join(self.db, owner, "sequence", owner.sequence, who.email)
                world.put(who, "sequence", "course_subscribe")
            case "off form":
                self.db.write_now(owner.id, subscriptions.leave, person, "form", owner.plain, API)
                who.inside.discard("form")
            case "leave":
                self.db.write_now(owner.id, signup.unsubscribe, who.email, API)
                world.leave(who)
            case "rejoin":
                join(self.db, owner, "form", owner.plain, who.email)
                world.rejoin(who)
            case "bounce" if who.state == "active":
                self.db.write_now(owner.id, subscriptions.turn, person, "bounced")
                who.state = "bounced"

    def _buy(self, email: str) -> None:
        self.bought += 1
        line: dict[str, object] = {"pid": "7", "lid": "1", "name": "Disk", "sku": "x"}
        order = Order(transaction_id=f"{self.owner.id}.{self.bought}", email=email, products=[line])
        self.db.write_now(self.owner.id, purchases.record, order, API)

    # -- the owner ------------------------------------------------------------------

    @rule(wish=wishes)
    def make(self, wish: WishWords) -> None:
        if len(self.world.rules) < RULES_MOST:
            when, conditions, actions = wish
            made = ruled.rule(
                self.db,
                self.owner,
                trigger(self.owner, when),
                *(action(self.owner, one) for one in actions),
                conditions=tuple(condition(self.owner, kind, no) for kind, no in conditions),
                name=f"Rule {len(self.world.rules)} {len(self.world.deleted)}",
            )
            self.world.rules[made.id] = Ruled(when, conditions, actions, self.clock.now)

    @rule(one=which, on=st.booleans())
    def switch(self, one: int, on: bool) -> None:
        number = list(self.world.rules)[one % len(self.world.rules)]
        self.db.write_now(self.owner.id, automations.switch, number, on=on)
        model = self.world.rules[number]
        if on and model.on_since is None:
            model.on_since, model.problem = self.clock.now, False
        elif not on:
            model.on_since = None

    @rule(one=which)
    def delete(self, one: int) -> None:
        if len(self.world.rules) == RULES_MOST:
            number = list(self.world.rules)[one % RULES_MOST]
            self.db.write_now(self.owner.id, automations.delete, number)
            self.world.deleted.add(number)
            del self.world.rules[number]

    # -- the engine -----------------------------------------------------------------

    @rule(ms=st.sampled_from(WAITS))
    def wait(self, ms: int) -> None:
        self.clock.move(ms)
        self.world.now = self.clock.now

    @rule()
    def tell(self) -> None:
        ruled.tell(self.db)
        self.world.tell()

    @rule()
    def do(self) -> None:
        ruled.do(self.db)
        self.world.do()

    @rule()
    def come_to_rest(self) -> None:
        """Let everything follow that follows."""
        for _ in range(200):
            self.tell()
            self.do()
            if not self.world.events and not self.world.due:
                assert ruled.settle(self.db) == []
                return
        raise AssertionError("rules go on for ever")

    # -- what must always hold ------------------------------------------------------

    @invariant()
    def people_are_as_the_model_has_them(self) -> None:
        found = self.db.read_now(self.owner.id, subscribers.by_ids, list(self.world.people))
        assert {one.id: (one.state, one.fields["city"]) for one in found.values()} == {
            one.id: (one.state, one.city) for one in self.world.people.values()
        }
        inside = rows(
            self.db,
            "SELECT subscriber_id, form_id, sequence_id, tag_id FROM subscriptions"
            " WHERE account_id = :id AND ended_at IS NULL",
            id=self.owner.id,
        )
        words = {self.owner.tag: "tag", self.owner.vip: "vip"}
        held = {
            (one, "form" if form else "sequence" if sequence else words[int(str(tag))])
            for one, form, sequence, tag in inside
        }
        assert held == {(one.id, what) for one in self.world.people.values() for what in one.inside}

    @invariant()
    def runs_ended_as_the_model_has_them(self) -> None:
        for number, model in self.world.rules.items():
            shown = self.db.read_now(self.owner.id, automations.show, number)
            assert (shown.ran, shown.problem is not None) == (model.ran, model.problem), number
            counts = Counter(dict(self.db.read_now(self.owner.id, automations.counts, number)))
            counts.pop("due", None)
            assert counts == model.ended, number

    @invariant()
    def what_goes_out_is_what_the_model_says(self) -> None:
        mails = rows(
            self.db,
            "SELECT occasion, subscriber_id FROM deliveries WHERE account_id = :id"
            " AND substr(occasion, 1, 11) = 'rule-email:'",
            id=self.owner.id,
        )
        sent = Counter((int(str(occasion).split(":")[1]), one) for occasion, one in mails)
        assert sent == self.world.mails
        posted = rows(
            self.db,
            "SELECT webhooks.rule_id, notices.subscriber_id FROM notices JOIN webhooks"
            " ON webhooks.id = notices.webhook_id WHERE notices.account_id = :id",
            id=self.owner.id,
        )
        there = {key: n for key, n in self.world.posts.items() if key[0] not in self.world.deleted}
        assert Counter(posted) == Counter(there)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.come_to_rest()
            self.people_are_as_the_model_has_them()
            self.runs_ended_as_the_model_has_them()


def test_no_history_of_rules_differs_from_the_model(
    db: Database, clock: Clock, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "postgres" if "postgres" in request.node.name else "sqlite"
    histories, steps = LENGTHS[kind][os.environ.get("TIDINGS_PROOF") or "test"]
    monkeypatch.setattr(runs, "CHAINED_MOST", CHAINED)

    class Here(Rules):
        pass

    Here.db, Here.clock = db, clock
    run_state_machine_as_test(Here, settings=settings(max_examples=histories, stateful_step_count=steps))


@pytest.mark.parametrize(
    "bug", ("a rule more deep", "one run more in an hour", "brings back", "mails anybody")
)
def test_a_planted_bug_is_seen(
    sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, bug: str
) -> None:
    monkeypatch.setattr(runs, "CHAINED_MOST", CHAINED)
    match bug:
        case "a rule more deep":
            monkeypatch.setattr(runs, "DEPTH_MAX", runs.DEPTH_MAX + 1)
        case "one run more in an hour":
            monkeypatch.setattr(runs, "CHAINED_MOST", CHAINED + 1)
        case "brings back":
            monkeypatch.setattr(View, "gone", False)
        case "mails anybody":
            sound = actions.plan
            monkeypatch.setattr(
                actions,
                "plan",
                lambda view, one: Step("mail") if one.kind == "send_email" else sound(view, one),
            )

    class Here(Rules):
        pass

    Here.db, Here.clock = Database(sqlite_url, clock=clock), clock
    # The same histories each time, and no search for the shortest that shows it.
    search = settings(
        max_examples=1500, stateful_step_count=40, derandomize=True, phases=(Phase.generate,), database=None
    )
    try:
        with pytest.raises(AssertionError):
            run_state_machine_as_test(Here, settings=search)
    finally:
        Here.db.close()
