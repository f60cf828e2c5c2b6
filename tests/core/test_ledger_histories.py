"""Whatever happens while broadcasts are sent, nobody is lost and nobody is mailed twice beyond the bound.

A machine does at random what owners, people, workers and providers do, on a real database; workers
are killed between any two phases and sleep past their leases. Beside it stands a model of plain
dictionaries: who should have a row, what arrived where, and what was ever in doubt.
"""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.core.cast import API, DAY, HOUR, Clock, Owner, join, open_account, rows
from tests.core.ledger import FINAL, LEASES, TIMING, draft, hand, release, settle, state
from tests.core.ledger_model import (
    AUDIENCES,
    BROADCASTS_MOST,
    ENDS,
    LENGTHS,
    LIVES,
    PEOPLE_MOST,
    STEERS,
    WAITS,
    WORK,
    Key,
    OnWire,
    Sent,
    key_of,
    outcome_of,
    which,
)
from tests.core.recount import of_broadcasts
from tidings.core import accounts, sending, signup, subscribers, subscriptions
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import course
from tidings.core.broadcasts.course import Part
from tidings.core.deliveries import Delivery, Mark, Source, mark_opened
from tidings.errors import Conflict
from tidings.store.db import Database


class Ledger(RuleBasedStateMachine):
    """One account; `db` and `clock` are set by who runs it."""

    db: Database
    clock: Clock

    @initialize(policy=st.sampled_from(("retry-once", "hold")), n=st.integers(3, 4))
    def begin(self, policy: str, n: int) -> None:
        self.policy = policy
        self.owner: Owner = self.db.write_now(INSTALLATION, open_account, "Ada")
        self.db.write_now(self.owner.id, accounts.set_ambiguity, policy)
        self.people: dict[int, str] = {}
        self.vips: set[int] = set()
        self.sent: dict[int, Sent] = {}
        self.batches: list[tuple[list[Delivery], int]] = []
        self.wire: list[OnWire] = []
        self.copies: Counter[Key] = Counter()
        self.doubted: set[Key] = set()
        self.refused: set[Key] = set()
        self.opened: set[Key] = set()
        for _ in range(n):
            self.sign_up()
        self.schedule("all", 0)
        self.tick(n)

    # -- people ---------------------------------------------------------------------

    @rule(what=st.sampled_from((*LIVES, *STEERS, "sign up", *AUDIENCES)), one=which)
    def happen(self, what: str, one: int) -> None:
        """People and the owner do this and that."""
        if what == "sign up" and len(self.people) < PEOPLE_MOST:
            self.sign_up()
        elif what in AUDIENCES and len(self.sent) < BROADCASTS_MOST:
            self.schedule(what, HOUR * (one % 2))
        elif what in LIVES:
            self.live(one, what)
        elif what in STEERS and self.sent:
            self.steer(one, what)

    def sign_up(self) -> None:
        """Somebody new joins."""
        email = f"p{len(self.people)}.{self.owner.id}@example.com"
        _, who = join(self.db, self.owner, "form", self.owner.plain, email)
        self.people[who.id] = "active"

    def live(self, who: int, becomes: str) -> None:
        """Somebody leaves, comes back, or is tagged."""
        person = self.db.read_now(self.owner.id, subscribers.get, list(self.people)[who % len(self.people)])
        if becomes == "vip":
            join(self.db, self.owner, "tag", self.owner.vip, person.email)
            self.vips.add(person.id)
        elif becomes == "active":
            join(self.db, self.owner, "form", self.owner.plain, person.email)
            if person.state == "cancelled":
                self.people[person.id] = "active"
        elif person.state == "active":
            if becomes == "cancelled":
                self.db.write_now(self.owner.id, signup.unsubscribe, person.email, API)
            else:
                self.db.write_now(self.owner.id, subscriptions.turn, person, becomes)
            self.people[person.id] = becomes

    # -- the owner ------------------------------------------------------------------

    def schedule(self, audience: str, wait: int) -> None:
        """A broadcast is written for an audience."""
        made = draft(self.db, self.owner)
        parts = [] if audience == "all" else [Part("tag", self.owner.vip, audience == "not vip")]
        self.db.write_now(self.owner.id, course.set_audience, made, parts)
        self.db.write_now(self.owner.id, course.schedule, made, self.clock.now + wait)
        self.sent[made] = Sent(audience)

    def steer(self, one: int, does: str) -> None:
        """The owner does something to a broadcast, as far as it can be done."""
        made, model = list(self.sent.items())[one % len(self.sent)]
        goes_on = model.status in ("scheduled", "sending") and not model.cancelled
        match does:
            case "pause":
                self._either(goes_on or model.paused, course.pause, made)
                model.paused = model.paused or goes_on
            case "resume":
                self._either(model.paused, course.resume, made)
                model.paused = False
            case "cancel":
                self._either(goes_on or model.cancelled, course.cancel, made)
                if model.status == "scheduled":
                    model.status = "draft"
                model.cancelled = model.cancelled or model.status == "sending"
                model.fanned, model.paused = model.fanned or model.cancelled, False
            case "retry":
                able = model.status in ("sending", "completed") and not model.cancelled
                if self._either(able, course.retry, made):
                    model.status = "sending"

    # -- the scheduler --------------------------------------------------------------

    @rule(ms=st.sampled_from(WAITS), size=st.integers(1, 3))
    def wait(self, ms: int, size: int) -> None:
        self.clock.move(ms)
        # What has lapsed is not always released at once.
        if size > 1:
            self.doubted |= {key_of(one.delivery) for one in self.wire if one.until <= self.clock.now}
            release(self.db)
        self.tick(size)

    def tick(self, size: int) -> None:
        """One step of the scheduler."""
        for source in self._mine(course.due):
            made = self._id(source)
            model = self.sent[made]
            assert (model.status, model.paused) == ("scheduled", False)
            assert self.db.write_now(self.owner.id, sending.start, made, outbox=False)
            model.status, model.highest = "sending", max(self.people, default=0)
        for source in self._mine(course.unfanned):
            self._slice(self._id(source), size)
        for source in self._mine(course.cancelled):
            assert self.db.write_now(self.owner.id, sending.call_off, self._id(source))
        for source in self._mine(course.finished):
            assert self.db.write_now(self.owner.id, course.finish, self._id(source))
            self.sent[self._id(source)].status = "completed"
            self.sent[self._id(source)].paused = False

    # -- workers and providers ------------------------------------------------------

    @rule(its=WORK)
    def work(self, its: dict[str, Any]) -> None:
        """After a while a worker claims, and gets so far with it; something comes in between."""
        self.wait(its["ms"], its["limit"])
        before = len(self.batches)
        self.claim(its["limit"], its["alone"])
        self.come_between(its["between"][0], its["one"])
        if its["far"] and len(self.batches) > before:
            self.hand(before)
        self.come_between(its["between"][1], its["one"])
        for ending in its["endings"] if its["far"] == 2 else []:
            if self.wire:
                self._end(self.wire.pop(0), ending)

    def come_between(self, what: str, one: int) -> None:
        """The owner or somebody acts, the worker sleeps, or is taken for dead and followed by a second."""
        if what == "lapse":
            self.clock.move(TIMING.lease_ms)
        elif what == "second":
            self.wait(TIMING.lease_ms, 2)
            self.wait(TIMING.uncertain_ms, 2)
            self.claim(4, False)
            if self.batches:
                self.hand(len(self.batches) - 1)
        elif what:
            self.happen(what, one)

    def claim(self, limit: int, alone: bool) -> None:
        """Claim from every broadcast."""
        shares = [(one, limit) for one in self._mine(sending.sources, lane="bulk")]
        claimed = self.db.write_now(
            INSTALLATION, sending.claim, shares, lane="bulk", lease=next(LEASES), alone=alone, timing=TIMING
        )
        assert len(claimed) <= (1 if alone else limit * len(shares))
        for one in claimed:
            assert not (one.ambiguous and key_of(one) in self.opened), "an open proved that it arrived"
        if claimed:
            self.batches.append((claimed, self.clock.now + TIMING.lease_ms))

    @precondition(lambda self: self.batches or self.wire)
    @rule(one=which, ending=st.sampled_from(ENDS), taken=st.booleans())
    def work_on(self, one: int, ending: str, taken: bool) -> None:
        """A worker goes on with what it has; the provider may have a mail before the worker knows."""
        if self.batches and (taken or not self.wire):
            self.hand(one)
        elif taken:
            self._taken(self.wire[one % len(self.wire)])
        else:
            self._end(self.wire.pop(one % len(self.wire)), ending)

    def hand(self, one: int) -> None:
        """Take the last look at one batch."""
        claimed, until = self.batches.pop(one % len(self.batches))
        for delivery in hand(self.db, claimed):
            made, person = key_of(delivery)
            model = self.sent[made]
            assert self.people[person] == "active", "somebody who has left gets a new mail"
            assert (model.status, model.paused, model.cancelled) == ("sending", False, False)
            assert person in model.recipients
            assert self.clock.now < until
            assert not [other for other in self.wire if self._holds(other, delivery)], "two hold one row"
            self.wire.append(OnWire(delivery, until))

    @precondition(lambda self: self.wire or self.batches)
    @rule(some=st.sets(st.integers(0, 3)))
    def kill(self, some: set[int]) -> None:
        """All workers end: what they had in memory is gone, and some of it had just been taken."""
        for at, one in enumerate(self.wire):
            if at in some:
                self._taken(one)
            self.doubted.add(key_of(one.delivery))
        self.wire.clear()
        self.batches.clear()

    @precondition(lambda self: self.copies)
    @rule(one=which)
    def open(self, one: int) -> None:
        key = sorted(self.copies)[one % len(self.copies)]
        row = rows(
            self.db,
            "SELECT id FROM deliveries WHERE broadcast_id = :made AND subscriber_id = :id",
            made=key[0],
            id=key[1],
        )[0]
        mark = Mark(int(str(row[0])), key[1], self.clock.now)
        self.db.write_now(self.owner.id, mark_opened, [mark])
        self.opened.add(key)

    # -- what must always hold ------------------------------------------------------

    @invariant()
    def nobody_has_too_many(self) -> None:
        for key, n in self.copies.items():
            assert n <= (1 if self.policy == "hold" else 2), f"{key} has {n} copies"
            assert n == 1 or key in self.doubted, f"{key} has {n} copies and was never in doubt"

    @invariant()
    def everybody_has_the_row_they_should(self) -> None:
        found: dict[int, set[int]] = {made: set() for made in self.sent}
        most = 1 if self.policy == "hold" else 2
        for made, person, ambiguous, now in self._rows("broadcast_id, subscriber_id, ambiguous, state"):
            found[made].add(person)
            assert ambiguous < most or now in FINAL, "it is tried again in spite of the policy"
            assert not ambiguous or (made, person) in self.doubted
        assert found == {made: model.recipients for made, model in self.sent.items()}

    @invariant()
    def the_numbers_are_those_of_the_rows(self) -> None:
        assert of_broadcasts(self.db, self.owner.id) == []

    def teardown(self) -> None:
        """Let all come to its end, and count."""
        if not hasattr(self, "owner"):
            return
        self.kill(set())
        for at, model in enumerate(self.sent.values()):
            if model.paused:
                self.steer(at, "resume")
        for _ in range(60):
            if all(model.status in ("completed", "draft") for model in self.sent.values()):
                break
            self.wait(DAY, 3)
            for alone in (False, True, True, True):
                self.claim(4, alone)
                while self.batches:
                    self.hand(0)
                while self.wire:
                    self._end(self.wire.pop(), "sent")
        self._count()

    def _count(self) -> None:
        for made, model in self.sent.items():
            assert model.status in ("completed", "draft"), f"{made} never ends"
        for made, person, ending, said in self._rows("broadcast_id, subscriber_id, state, reply"):
            key = (made, person)
            assert ending in FINAL, f"{key} is {ending} for ever"
            if ending == "sent":
                assert self.copies[key] >= 1, f"{key} is called sent and never arrived"
            else:
                assert self.copies[key] == 0 or key in self.doubted
            if ending == "uncertain":
                assert key in self.doubted
            if ending == "failed":
                assert key in self.refused or said.startswith("set aside")
        self.nobody_has_too_many()
        self.the_numbers_are_those_of_the_rows()

    # -- by the way -----------------------------------------------------------------

    def _mine(self, question: Callable[..., list[Source]], **options: Any) -> list[Source]:
        found = self.db.read_now(INSTALLATION, question, **options)
        return [one for one in found if one.account_id == self.owner.id]

    def _id(self, source: Source) -> int:
        assert source.broadcast_id is not None
        return source.broadcast_id

    def _rows(self, columns: str) -> list[tuple[Any, ...]]:
        return rows(
            self.db,
            f"SELECT {columns} FROM deliveries WHERE account_id = :id AND broadcast_id > 0",  # noqa: S608
            id=self.owner.id,
        )

    def _either(self, able: bool, verb: Callable[..., Any], made: int) -> Any:
        """Do it where the model says that it can be done; else it must be refused."""
        if able:
            return self.db.write_now(self.owner.id, verb, made)
        with pytest.raises(Conflict):
            self.db.write_now(self.owner.id, verb, made)
        return None

    def _slice(self, made: int, size: int) -> None:
        model = self.sent[made]
        people = sorted(one for one in self.people if model.cursor < one <= model.highest)
        active = [one for one in people if self.people[one] == "active"]
        end = active[size - 1] if len(active) >= size else model.highest
        self.db.write_now(self.owner.id, course.fan_out, made, size)
        for one in active:
            wanted = model.audience == "all" or (one in self.vips) == (model.audience == "vip")
            if one <= end and wanted:
                model.recipients.add(one)
        model.cursor, model.fanned = end, end >= model.highest

    def _holds(self, other: OnWire, delivery: Delivery) -> bool:
        return other.delivery.id == delivery.id and other.until > self.clock.now

    def _taken(self, one: OnWire) -> None:
        if not one.taken:
            one.taken = True
            self.copies[key_of(one.delivery)] += 1

    def _end(self, one: OnWire, ending: str) -> None:
        key = key_of(one.delivery)
        # A provider that has it says so, or the connection breaks before it can.
        if one.taken and ending not in ("sent", "kept", "unknown", "vanished"):
            ending = "sent"
        if ending in ("sent", "kept", "vanished"):
            self._taken(one)
        if ending == "vanished":
            ending = "unknown"
        if ending == "unknown":
            self.doubted.add(key)
        if ending in ("failed", "mailbox"):
            self.refused.add(key)
        settle(self.db, outcome_of(one.delivery, ending, self.clock.now))
        if ending == "mailbox" and self.people[key[1]] == "active":
            self.people[key[1]] = "bounced"
        if ending in ("sent", "kept"):
            assert state(self.db, one.delivery) in ("sent", "handed"), "a 250 was forgotten"


def test_no_history_loses_anybody_or_mails_them_twice_beyond_the_bound(
    db: Database, clock: Clock, request: pytest.FixtureRequest
) -> None:
    kind = "postgres" if "postgres" in request.node.name else "sqlite"
    runs, steps = LENGTHS[kind][os.environ.get("TIDINGS_PROOF") or "test"]

    class Here(Ledger):
        pass

    Here.db, Here.clock = db, clock
    run_state_machine_as_test(Here, settings=settings(max_examples=runs, stateful_step_count=steps))
