"""Every hot question goes by an index, on both databases: no plan reads a whole table."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.core.cast import Cast, Clock
from tidings.core import (
    accounts,
    automations,
    broadcasts,
    bulk,
    confirmations,
    counters,
    custom_fields,
    deliveries,
    events,
    finding,
    forms,
    limits,
    notices,
    outbox,
    owner_notes,
    purchases,
    search,
    sending,
    subscribers,
    subscriptions,
    tags,
    webhooks,
)
from tidings.core.automations import rows
from tidings.core.bulk import Chosen
from tidings.core.deliveries import Source, Timing
from tidings.core.history import profile
from tidings.core.search import blocks
from tidings.core.subscribers import forgetting, lists, walks
from tidings.core.subscriptions import walks as joined_walks
from tidings.core.users import sessions
from tidings.store.db import Database
from tidings.store.definitions import Definitions
from tidings.store.tx import Tx

Question = Callable[[Tx, Cast], object]
DAYS = (20_000, 21_000)


def page(**options: Any) -> Question:
    return lambda tx, _: lists.page(tx, lists.Query(**options))


def joined(kind: str, **options: Any) -> Question:
    chosen: dict[str, Any] = {"state": None, "newest_first": False, "number": 1, **options}

    def ask(tx: Tx, cast: Cast) -> object:
        own = {"form": cast.ada.plain, "sequence": cast.ada.sequence, "tag": cast.ada.tag}
        return subscriptions.page(tx, kind, own[kind], **chosen)

    return ask


def found(**options: Any) -> Question:
    return lambda tx, _: finding.page(tx, finding.Query(**options))


HOT: dict[str, Question] = {
    "a person by id": lambda tx, cast: subscribers.get(tx, cast.bea),
    "a person by address": lambda tx, _: subscribers.find(tx, "bea@example.com"),
    "a page of people by id": lambda tx, cast: subscribers.by_ids(tx, [cast.bea, cast.cal]),
    "somebody who signs up again": lambda tx, _: subscribers.meet(
        tx, subscribers.person("bea@example.com", "B."), "active"
    ),
    "somebody new": lambda tx, _: subscribers.meet(tx, subscribers.person("new@example.com"), "active"),
    "an update": lambda tx, cast: subscribers.update(
        tx, cast.bea, email="b@example.com", first_name="B", fields={"city": "Bern"}
    ),
    "the first page of people": page(),
    "the newest people": page(newest_first=True),
    "people in a state": page(state="bounced"),
    "people made on these days": page(created=DAYS),
    "people changed on these days": page(updated=DAYS, newest_first=True),
    "people made and changed on these days": page(created=DAYS, updated=DAYS),
    "who cancelled, oldest first": page(state="cancelled", by_cancelled=True),
    "who cancelled, newest first": page(state="cancelled", by_cancelled=True, newest_first=True),
    "a slice of an erasure": lambda tx, _: forgetting.erase_field(tx, 1, 0),
    "one subscription": lambda tx, cast: subscriptions.find(tx, cast.bea, "form", cast.ada.plain),
    "subscriptions of a form": joined("form"),
    "subscriptions of a form by state": joined("form", state="active"),
    "newest subscriptions of a sequence": joined("sequence", newest_first=True),
    "subscriptions of a sequence by state": joined("sequence", state="active", newest_first=True),
    "subscriptions of a tag": joined("tag"),
    "subscriptions of a tag by state": joined("tag", state="active"),
    "a person's tags": lambda tx, cast: subscriptions.tag_ids(tx, cast.bea),
    "unsubscribing": lambda tx, cast: subscriptions.unsubscribe(
        tx, subscribers.get(tx, cast.bea), events.Origin("api")
    ),
    "leaving a tag": lambda tx, cast: subscriptions.leave(
        tx, subscribers.get(tx, cast.bea), "tag", cast.ada.tag, events.Origin("api")
    ),
    "a place in a list": lambda tx, _: counters.locate(tx, "subscribers", 0, "active", 1),
    "a place in a list of any state": lambda tx, cast: counters.locate(
        tx, "form", cast.ada.plain, counters.ANY, 1, newest_first=True
    ),
    "a place in a dated list": lambda tx, _: counters.locate(
        tx, "subscribers.created", 0, "active", 0, days=DAYS
    ),
    "a total": lambda tx, _: counters.total(tx, "subscribers"),
    "a dated total": lambda tx, _: counters.total_dated(tx, "subscribers.created", "active", *DAYS),
    "where mail is due": lambda tx, _: deliveries.due_sources(tx, lane="now"),
    "claiming due mail": lambda tx, cast: deliveries.claim(
        tx, Source(cast.ada.id), lane="now", limit=32, lease=1, timing=Timing()
    ),
    "whether a worker has fallen silent": lambda tx, _: deliveries.any_lapsed(tx),
    "taking back lapsed mail": lambda tx, _: sending.release(tx, Timing()),
    "a confirmation's cap": lambda tx, _: confirmations.admit(tx, "bea@example.com"),
    "purchases": lambda tx, _: purchases.page(tx, 1),
    "broadcasts": lambda tx, _: broadcasts.page(tx, newest_first=True, number=1),
    "a person's events": lambda tx, cast: events.of_subscriber(tx, cast.bea),
    "a credential": lambda tx, _: accounts.credential_by_digest(tx, "0" * 64),
    "an integration": lambda tx, _: accounts.integration_by_digest(tx, "0" * 64),
    "a session": lambda tx, _: sessions.current(tx, "secret"),
    "a form by its public name": lambda tx, cast: forms.account_of(tx, forms.find(tx, cast.ada.plain).uid),
    "a form by its id": lambda tx, cast: forms.account_of_id(tx, cast.ada.plain),
    "all tags": lambda tx, _: tags.all_tags(tx),
    "all fields": lambda tx, _: custom_fields.all_fields(tx),
    "all webhooks": lambda tx, _: webhooks.all_webhooks(tx),
    "kept mail": lambda tx, _: outbox.newest(tx),
    "keeping mail": lambda tx, _: outbox.keep(tx, 1, "bea@example.com", "Hello", b"raw"),
    "runs of rules that are due": lambda tx, _: automations.due(tx, 256),
    "how long somebody was quiet": lambda tx, cast: rows.quiet_since(tx, 1, cast.bea),
    "notices that wait": lambda tx, _: notices.waiting(tx),
    "notes to owners": lambda tx, _: owner_notes.claim(tx),
    "where the index of the search ends": lambda tx, _: search.cursor(tx),
    "who is changed since they were indexed": lambda tx, _: search.changed(tx, 2**62, 100),
    "a change that the index must see": lambda tx, cast: search.note(tx, cast.bea, "b@example.com", "B"),
    "what blocks have of some grams": lambda tx, _: blocks.places(tx, 2**62, 64, ["ex", "xa"]),
    "where blocks begin": lambda tx, _: blocks.firsts(tx, 2**62, 64),
    "the people of blocks": lambda tx, _: blocks.ids_of(tx, [1]),
    "the block of a person": lambda tx, cast: blocks.covering(tx, cast.bea),
    "taking somebody out of the index": lambda tx, cast: search.forget(tx, cast.bea, "b@example.com", "B"),
    "a search": found(text="bea"),
    "a search in a state": found(text="bea", state="active"),
    "everybody": found(),
    "the newest of a form and a state": found(kind="form", ref_id=1, state="active"),
    "a search in a tag": found(text="bea", kind="tag", ref_id=1),
    "a slice of a bulk change": lambda tx, cast: bulk.do(
        tx,
        bulk.look(
            tx,
            bulk.ask(
                tx,
                "tag",
                Chosen(text="bea", kind="form", ref_id=cast.ada.plain),
                asked_by="a",
                expected=1,
                tag_id=cast.ada.vip,
            ),
        ),
    ),
    "the tags of a page of people": lambda tx, cast: joined_walks.tags_of(tx, [cast.bea, cast.cal]),
    "who is in something": lambda tx, cast: joined_walks.ever_in(tx, "tag", cast.ada.tag, [cast.bea]),
    "who of a form comes next": lambda tx, cast: joined_walks.joined_after(
        tx, "form", cast.ada.plain, 0, 2**62, 10
    ),
    "who of a sequence came before": lambda tx, cast: joined_walks.joined_before(
        tx, "sequence", cast.ada.sequence, 2**62, 10
    ),
    "the newest of a state": lambda tx, _: walks.named_in_state(tx, "active", 2**62, 10),
    "people by their ids": lambda tx, cast: walks.named(tx, [cast.bea]),
    "the nth person behind another": lambda tx, _: walks.nth_after(tx, 0, 2),
    "people between two ids": lambda tx, _: walks.number_between(tx, 1, 2),
    "people in each state": lambda tx, _: counters.by_state(tx, "subscribers"),
    "a person's mails": lambda tx, cast: profile.mails(tx, cast.bea),
    "bulk changes that wait": lambda tx, _: bulk.due(tx),
    "bulk changes": lambda tx, _: bulk.newest(tx),
    "a rate limit": lambda tx, _: limits.admit(tx, "key", 120),
}


class Recording:
    """A session that keeps what was asked of it."""

    def __init__(self, session: Any) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._session = session

    def fetch(self, sql: str, params: dict[str, Any]) -> Any:
        self.asked.append((sql, params))
        return self._session.fetch(sql, params)

    def change(self, sql: str, params: dict[str, Any]) -> Any:
        self.asked.append((sql, params))
        return self._session.change(sql, params)

    def wrote(self, sql: str) -> Any:
        return self._session.wrote(sql)


@pytest.fixture
def session(db: Database, cast: Cast) -> Iterator[Any]:
    """A transaction that is rolled back in the end: a verb may be asked for its plans too."""
    with closing(db.session(writer=True)) as session:
        session.begin()
        yield session
        session.rollback()


@pytest.fixture
def asked(session: Any, cast: Cast, clock: Clock) -> Callable[[Question], list[tuple[str, dict[str, Any]]]]:
    def ask(question: Question) -> list[tuple[str, dict[str, Any]]]:
        recording = Recording(session)
        question(Tx(recording, Definitions(stale_ms=0), cast.ada.id, clock.now), cast)
        assert recording.asked
        return recording.asked

    return ask


def plan(session: Any, sql: str, params: dict[str, Any]) -> list[str]:
    if session.dialect.name == "sqlite":
        return [row[3] for row in session.fetch(f"EXPLAIN QUERY PLAN {sql}", params)]
    return [row[0] for row in session.fetch(f"EXPLAIN {sql}", params)]


def whole_reads(lines: list[str]) -> list[str]:
    """Return the lines of a plan that read a table or an index from end to end, or sort what they read."""
    # The buckets of one list are added up and sorted: a few hundred rows.
    adds_up = any("CO-ROUTINE" in line for line in lines)
    wrong = []
    for at, line in enumerate(lines):
        # SQLite: SEARCH goes by an index, SCAN reads all, but for what a subquery has made.
        sorts = "USE TEMP B-TREE FOR ORDER BY" in line and not adds_up
        if re.match(r"SCAN (?!added\b|chosen\b|\(subquery|CONSTANT ROW)", line) or sorts:
            wrong.append(line)
        # PostgreSQL: an index without a condition is read whole.
        if "Seq Scan" in line or (
            re.search(r"Index (Only )?Scan", line)
            and not any("Index Cond" in below for below in lines[at + 1 : at + 3])
        ):
            wrong.append(line)
    return wrong


def test_no_hot_question_reads_a_table_whole(
    session: Any, asked: Callable[[Question], list[tuple[str, dict[str, Any]]]]
) -> None:
    wrong = []
    for name, question in HOT.items():
        for sql, params in asked(question):
            lines = plan(session, sql, params)
            if whole_reads(lines):
                wrong += [f"{name}:", sql, *lines, ""]
    assert not wrong, "\n".join(wrong)


def test_a_question_without_an_index_would_be_noticed(session: Any) -> None:
    for sql in (
        "SELECT id FROM subscribers WHERE first_name = 'Bea'",
        "SELECT id FROM deliveries WHERE state = 'queued'",
    ):
        assert whole_reads(plan(session, sql, {})), sql
