"""Whatever an owner edits and people do, everybody gets the right emails, each once, in order, in time.

The model keeps the emails in a list and each reader at the email they had last. Where that
email was itself moved or removed, the reader's place is not a matter of the list, and only
what must always hold is checked.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cast import API, HOUR, Clock, Owner, join, open_account, rows
from tidings.core import advance, entries, sequences, signup, subscribers, subscriptions
from tidings.core.accounts import INSTALLATION
from tidings.core.entries import Entry
from tidings.core.sequences import SequenceEmail, order
from tidings.store.db import Database
from tidings.store.tx import Tx

PEOPLE = 3
person = st.integers(0, PEOPLE - 1)
place = st.integers(0, 7)
delay = st.sampled_from((0, HOUR, 5 * HOUR))
passing = st.tuples(st.just("tick"), st.sampled_from((0, HOUR, 2 * HOUR, 6 * HOUR)))
steps = st.one_of(
    passing,
    passing,
    passing,
    st.tuples(st.just("subscribe"), person),
    st.tuples(st.just("leave"), person),
    st.tuples(st.just("unsubscribe"), person),
    st.tuples(st.just("pause"), person),
    st.tuples(st.just("pause"), person),
    st.tuples(st.just("add"), place, delay, st.booleans()),
    st.tuples(st.just("add"), place, delay, st.just(True)),
    st.tuples(st.just("move"), place, place),
    st.tuples(st.just("move"), place, place),
    st.tuples(st.just("remove"), place),
    st.tuples(st.just("change"), place, delay),
    st.tuples(st.just("publish"), place, st.booleans()),
)
# Most histories begin with a few emails and somebody inside, where there is something to get wrong.
beginnings = st.lists(st.tuples(delay, st.booleans()), max_size=4)
histories = st.lists(steps, min_size=10, max_size=40)


@dataclass
class Email:
    id: int
    delay: int
    published: bool


@dataclass
class Way:
    """One time through, as the model has it; `unsure` once the place is not that of `last`."""

    since: int
    state: str = "inside"
    had: list[int] = field(default_factory=list)
    unsure: bool = False


@dataclass
class Person:
    state: str = ""
    ways: list[Way] = field(default_factory=list)

    def inside(self) -> list[Way]:
        return [one for one in self.ways if one.state in ("inside", "held")]


class World:
    """One account's sequence beside its model; each step is done to both."""

    def __init__(self, db: Database, clock: Clock, *, hold: bool, repeat: bool) -> None:
        self.db, self.clock, self.hold, self.repeat = db, clock, hold, repeat
        self.owner: Owner = db.write_now(INSTALLATION, open_account, "Ada")
        self.sequence: int = db.write_now(self.owner.id, sequences.create, "S", hold=hold, repeat=repeat)
        self.list: list[Email] = []
        self.people = [Person() for _ in range(PEOPLE)]

    def address(self, number: int) -> str:
        return f"p{number}.{self.owner.id}@example.com"

    def verb(self, verb: Any, *args: Any, **options: Any) -> Any:
        return self.db.write_now(self.owner.id, verb, *args, **options)

    # -- what people do

    def subscribe(self, number: int) -> None:
        join(self.db, self.owner, "sequence", self.sequence, self.address(number))
        who = self.people[number]
        if who.state != "active":
            self._activate(who)
        latest = who.ways[-1] if who.ways else None
        if latest is None or (self.repeat and latest.state in ("left", "ended")):
            who.ways.append(Way(self.clock.now))
        elif latest.state == "left":
            latest.state, latest.since = "inside", self.clock.now

    def leave(self, number: int) -> None:
        self.verb(signup.leave, "sequence", self.sequence, self.address(number), API)
        for way in self.people[number].inside():
            way.state = "left"

    def unsubscribe(self, number: int) -> None:
        who = self.people[number]
        if who.state:
            self.verb(signup.unsubscribe, self.address(number), API)
            who.state = "cancelled"
            self.leave(number)

    def pause(self, number: int) -> None:
        """Turn an active person inactive, or such a one active again."""
        who = self.people[number]
        if who.state not in ("active", "inactive"):
            return
        state = "inactive" if who.state == "active" else "active"

        def turn(tx: Tx) -> None:
            found = subscribers.find(tx, self.address(number))
            assert found is not None
            subscriptions.turn(tx, found, state)

        self.verb(turn)
        if state == "active":
            self._activate(who)
        who.state = state

    def _activate(self, who: Person) -> None:
        who.state = "active"
        for way in who.inside():
            way.since = way.since if way.had else self.clock.now
            # Also who waited at the end is looked at again, if they stay for it.
            way.state = "inside"

    # -- what the owner does

    def add(self, at: int, delay_ms: int, published: bool) -> None:
        at = min(at, len(self.list))
        email = SequenceEmail("Subject", "<p>x</p>", delay_ms, published=published)
        made = self.verb(sequences.add_email, self.sequence, email, rank=at + 1)
        self.list.insert(at, Email(made, delay_ms, published))

    def move(self, one: int, at: int) -> None:
        if not self.list:
            return
        one, at = one % len(self.list), at % len(self.list)
        email = self.list.pop(one)
        self.list.insert(at, email)
        self.verb(sequences.move_email, email.id, at + 1)
        if one != at:
            self._lost(email)

    def remove(self, one: int) -> None:
        if self.list:
            email = self.list.pop(one % len(self.list))
            self.verb(sequences.remove_email, email.id)
            self._lost(email)

    def change(self, one: int, delay_ms: int) -> None:
        if self.list:
            email = self.list[one % len(self.list)]
            email.delay = delay_ms
            words = SequenceEmail("Other", "<p>y</p>", delay_ms, published=email.published)
            self.verb(sequences.change_email, email.id, words)

    def publish(self, one: int, published: bool) -> None:
        if self.list:
            email = self.list[one % len(self.list)]
            email.published = published
            self.verb(sequences.publish if published else sequences.unpublish, email.id)

    def _lost(self, email: Email) -> None:
        for way in (way for who in self.people for way in who.ways):
            way.unsure = way.unsure or (bool(way.had) and way.had[-1] == email.id)

    # -- what time does

    def tick(self, passing: int) -> None:
        self.clock.move(passing)
        while self.db.write_now(INSTALLATION, advance.tick, 7):
            pass
        sent = self.sent()
        for number, who in enumerate(self.people):
            held = self.entries(number)
            assert len(held) == len(who.ways)
            for entry, way in zip(held, who.ways, strict=True):
                self.follow(who, way, entry, sent.get(entry.id, []))

    def sent(self) -> dict[int, list[int]]:
        """Return what was queued since the last time, and forget it: a ledger does not keep all for ever."""
        found: dict[int, list[int]] = {}
        for (occasion,) in rows(
            self.db, "SELECT occasion FROM deliveries WHERE account_id = :id ORDER BY id", id=self.owner.id
        ):
            kind, email_id, entry_id = str(occasion).split(":")
            assert kind == entries.OCCASION
            found.setdefault(int(entry_id), []).append(int(email_id))
        self.verb(
            lambda tx: tx.run("DELETE FROM deliveries WHERE account_id = :id", id=tx.account_id),
        )
        return found

    def entries(self, number: int) -> list[Entry]:
        who = self.db.read_now(self.owner.id, subscribers.find, self.address(number))
        return self.db.read_now(self.owner.id, entries.of_subscriber, who.id) if who else []

    def follow(self, who: Person, way: Way, entry: Entry, sent: list[int]) -> None:
        """Let a reader of the model go as far as they can, and compare."""
        may_move = who.state == "active" and way.state in ("inside", "held")
        assert may_move or not sent
        assert not set(sent) & set(way.had), "an email was sent twice"
        assert len(set(sent)) == len(sent)
        if may_move and way.unsure:
            self._believe(way, entry, sent)
        elif may_move:
            assert sent == self._expected(way)
        assert entry.state == way.state
        assert [int(one) for one in entry.had.split(",") if one] == way.had

    def _believe(self, way: Way, entry: Entry, sent: list[int]) -> None:
        published = {one.id: one for one in self.list if one.published}
        assert set(sent) <= set(published)
        ranks = [one.id for one in self.list]
        assert [ranks.index(one) for one in sent] == sorted(ranks.index(one) for one in sent)
        way.had += sent
        way.state = entry.state
        assert entry.state != "left"
        if sent:
            way.unsure, way.since = False, self.clock.now
            assert self._expected(way) == [], "who was sent something goes on from there"

    def _expected(self, way: Way) -> list[int]:
        """Move a reader of the model on; return what they are sent."""
        sent: list[int] = []
        while True:
            email = self._next(way)
            if email is None:
                if way.had:
                    way.state = "held" if self.hold else "ended"
                return sent
            way.state = "inside"
            if way.since + email.delay > self.clock.now:
                return sent
            sent.append(email.id)
            way.had.append(email.id)
            way.since = self.clock.now

    def _next(self, way: Way) -> Email | None:
        ranks = [one.id for one in self.list]
        start = ranks.index(way.had[-1]) + 1 if way.had else 0
        later = (one for one in self.list[start:] if one.published and one.id not in way.had)
        return next(later, None)

    def check_the_end(self) -> None:
        """After enough time nobody is left on the way, and whoever came to the end is told of once."""
        for _ in range(len(self.list) + 1):
            self.tick(6 * HOUR)
        anything = any(one.published for one in self.list)
        completed = 0
        for number, who in enumerate(self.people):
            for entry in self.entries(number):
                waits = who.state != "active" or not (anything or entry.had)
                assert entry.state != "inside" or waits, "somebody was left behind"
                completed += entry.completed_at is not None
        told = rows(
            self.db,
            "SELECT COUNT(*) FROM events WHERE account_id = :id AND name = 'course_complete'",
            id=self.owner.id,
        )
        assert told == [(completed,)]


def test_any_history_of_edits_and_people_sends_each_email_once_in_order_and_strands_nobody(
    db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So little room between ranks that they must often be moved.
    monkeypatch.setattr(order, "GAP", 4)

    @given(beginnings, st.integers(0, PEOPLE), histories, st.booleans(), st.booleans())
    def check(
        beginning: list[tuple[int, bool]],
        count: int,
        history: list[tuple[Any, ...]],
        hold: bool,
        repeat: bool,
    ) -> None:
        world = World(db, clock, hold=hold, repeat=repeat)
        for at, (delay_ms, published) in enumerate(beginning):
            world.add(at, delay_ms, published)
        for number in range(count):
            world.subscribe(number)
        for word, *rest in history:
            getattr(world, word)(*rest)
        world.check_the_end()

    check()
