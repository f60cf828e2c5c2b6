"""Erasing a person: nothing of them stays in any table, and every counter is right."""

import pytest

from tests.core.cast import Cast, Clock, Owner, rows
from tests.core.erased import EMAIL, PEPPER, WORDS, columns, erase, live, pointing, tables, traces
from tests.core.recount import recount
from tidings.core import broadcasts, deliveries, erasure, events, purchases, sending, subscribers
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import course
from tidings.core.deliveries import Outcome, Timing
from tidings.core.events import Origin
from tidings.errors import NotFound
from tidings.store.db import Database
from tidings.store.tx import Collected, Tx

COMMAND = Origin("command")


@pytest.fixture(autouse=True)
def pepper(db: Database) -> None:
    db.pepper = PEPPER


def test_the_planted_words_are_in_the_database_before(db: Database, ada: Owner, clock: Clock) -> None:
    live(db, ada, clock)
    found = traces(db, list(WORDS.values()))
    assert {line.partition(": ")[2] for line in found} == set(WORDS.values())
    # Every table that erasure names has something to lose, or the search below would prove nothing.
    assert {line.partition(":")[0] for line in found} >= set(erasure.TABLES) - {
        "entries", "purchase_products", "leaves", "search_pairs",
    }  # fmt: skip


def test_nothing_of_an_erased_person_is_in_any_table(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)
    erase(db, ada, who)
    assert traces(db, list(WORDS.values())) == []
    assert pointing(db, who) == []
    assert db.read_now(ada.id, subscribers.find, EMAIL) is None
    recount(db)


# Statements of which each alone, forgotten, must be seen.
FORGOTTEN = (
    "_TRIES",
    "_HITS",
    "_EVENTS",
    "_RUNS",
    "_LEAVES",
    "_ENTRIES",
    "_COPIES",
    "_ANSWERS",
    "_NOTICES",
)


@pytest.mark.parametrize("name", FORGOTTEN)
def test_a_table_that_was_forgotten_is_seen(
    db: Database, ada: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    who = live(db, ada, clock)
    nothing = "DELETE FROM hits WHERE account_id = :account_id AND 1 = 0"
    known = getattr(erasure, name)
    forgets: object = nothing
    if isinstance(known, dict):
        forgets = dict.fromkeys(known, nothing)
    elif "RETURNING" in known:
        forgets = f"{nothing} RETURNING id"
    monkeypatch.setattr(erasure, name, forgets)
    if name in ("_LEAVES", "_ENTRIES"):
        # The database itself refuses: both point at the person.
        with pytest.raises(Exception, match=r"(?i)foreign key"):
            erase(db, ada, who)
        return
    erase(db, ada, who)
    assert traces(db, list(WORDS.values())) + pointing(db, who) != []


def test_every_table_with_people_in_it_is_one_that_erasure_knows(db: Database) -> None:
    kept = {"subscribers", "erasures"}
    with_people = {name for name in tables(db) if "subscriber_id" in columns(db, name)}
    assert len(with_people) > 8
    assert with_people - kept <= set(erasure.TABLES)
    assert set(erasure.TABLES) <= set(tables(db))


def test_the_books_stay_without_anybody(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)
    [(bought_at,)] = rows(db, "SELECT transaction_at FROM purchases")
    erase(db, ada, who)
    [row] = rows(db, "SELECT total, currency, status, transaction_at, products FROM sales")
    assert row[:4] == ("12.5", "USD", "paid", bought_at)
    assert row[4] == '[{"pid":"p","name":"Book","sku":"s","unit_price":"12.5","quantity":1}]'
    assert db.read_now(ada.id, purchases.page, 1) == (0, [])


def test_others_keep_all_that_is_theirs(db: Database, cast: Cast, clock: Clock) -> None:
    who = live(db, cast.ada, clock)
    other = live(db, cast.eve, clock)
    erase(db, cast.ada, who)
    assert db.read_now(cast.eve.id, subscribers.get, other).email == EMAIL
    assert db.read_now(cast.ada.id, subscribers.get, cast.bea).email == "bea@example.com"
    left = {line.partition(": ")[2] for line in traces(db, list(WORDS.values()))}
    assert left == set(WORDS.values())
    recount(db)


def test_a_person_with_more_rows_than_a_slice_goes_slice_by_slice(
    db: Database, ada: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "SLICE", 2)
    who = live(db, ada, clock)
    erasure_id = db.write_now(ada.id, erasure.erase, who, COMMAND)
    hollow = db.read_now(ada.id, subscribers.get, who)
    assert (hollow.email, hollow.first_name, hollow.state) == ("", None, "cancelled")
    assert db.read_now(ada.id, erasure.find, erasure_id)[0] == "rows"
    recount(db)
    while db.write_now(ada.id, erasure.step, erasure_id):
        recount(db)
    assert traces(db, list(WORDS.values())) + pointing(db, who) == []
    with pytest.raises(NotFound):
        db.read_now(ada.id, subscribers.get, who)
    recount(db)


def test_an_erasure_ends_with_a_second_sweep_and_the_storage(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)
    erasure_id = erase(db, ada, who)
    assert db.read_now(INSTALLATION, erasure.waiting) is None
    # What a worker wrote that had this person in its hands.
    db.write_now(ada.id, lambda tx: tx.run(LATE, account_id=ada.id, id=who, now=clock.now))
    clock.move(erasure.LATE_MS)
    found = db.read_now(INSTALLATION, erasure.waiting)
    assert found is not None
    assert found.id == erasure_id
    assert db.write_now(ada.id, erasure.step, erasure_id) is False
    assert pointing(db, who) == []
    waiting = db.read_now(INSTALLATION, erasure.unscrubbed)
    assert [one.id for one in waiting] == [erasure_id]
    assert db.scrub(erasure.TABLES)
    db.write_now(INSTALLATION, erasure.scrubbed, waiting)
    assert db.read_now(ada.id, erasure.find, erasure_id) == ("done", clock.now)
    assert db.read_now(INSTALLATION, erasure.unscrubbed) == []


LATE = (
    "INSERT INTO rule_runs (account_id, rule_id, subscriber_id, occasion, depth, state, due_at, said,"
    " created_at) VALUES (:account_id, 1, :id, 'late', 0, 'due', :now, '', :now)"
)


def test_what_others_collected_in_the_same_group_goes_too(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)

    def together(tx: Tx) -> int:
        person = subscribers.get(tx, who)
        events.record(tx, "field_change", person, who, COMMAND, value=WORDS["field"])
        erasure_id = erasure.erase(tx, who, COMMAND)
        tx.append(ANSWER, (ada.id, 999, tx.now, WORDS["answer"]))
        return erasure_id

    erasure_id = db.write_now(ada.id, together)
    assert traces(db, list(WORDS.values())) != []
    while db.write_now(ada.id, erasure.step, erasure_id):
        pass
    assert traces(db, list(WORDS.values())) + pointing(db, who) == []


ANSWER = Collected(
    "INSERT INTO notice_attempts (account_id, notice_id, webhook_id, n, at, took_ms, error, answer)"
    " VALUES (:account_id, :notice_id, 1, 1, :at, 1, '', :answer)",
    ("account_id", "notice_id", "at", "answer"),
)


def test_nobody_is_erased_twice_or_by_another_account(db: Database, cast: Cast) -> None:
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, erasure.erase, cast.bea, COMMAND)
    erase(db, cast.ada, cast.bea)
    with pytest.raises(NotFound):
        db.write_now(cast.ada.id, erasure.erase, cast.bea, COMMAND)
    recount(db)


@pytest.mark.parametrize("state", ("sent", "deferred", "unknown"))
def test_how_a_mail_ended_that_was_in_a_workers_hands_is_not_written(
    db: Database, cast: Cast, clock: Clock, state: str
) -> None:
    db.write_now(cast.ada.id, lambda tx: deliveries.queue(tx, "confirm:9:9", cast.bea, lane="now"))
    taken = db.write_now(
        cast.ada.id,
        deliveries.claim,
        deliveries.Source(cast.ada.id),
        lane="now",
        limit=9,
        lease=7,
        timing=Timing(),
    )
    [one] = [each for each in taken if each.subscriber_id == cast.bea]
    erase(db, cast.ada, cast.bea)
    assert db.write_now(cast.ada.id, deliveries.hand, [one], wanted="active") == ([], [])
    outcome = Outcome(one, state, f"250 for <{EMAIL}>", clock.now)
    db.write_now(INSTALLATION, sending.settle, [outcome], Timing())
    db.write_now(cast.ada.id, erasure.keep_unless_erased, [(one.id, EMAIL, "s", b"raw")])
    assert traces(db, ["canary"]) + pointing(db, cast.bea) == []


def test_a_broadcast_completes_although_one_of_its_people_is_erased(
    db: Database, cast: Cast, clock: Clock
) -> None:
    draft = broadcasts.Draft(subject="News", content="<p>Hello</p>", send_at=clock.now)
    one = db.write_now(cast.ada.id, broadcasts.create, draft, "ada@example.com")
    db.write_now(cast.ada.id, sending.start, one.id, outbox=True)
    while db.write_now(cast.ada.id, course.fan_out, one.id):
        pass
    assert rows(db, "SELECT COUNT(*) FROM deliveries WHERE broadcast_id IS NOT NULL") == [(1,)]
    erase(db, cast.ada, cast.bea)
    kept = rows(db, "SELECT recipients, settled, suppressed FROM broadcasts WHERE id = :id", id=one.id)
    assert kept == [(1, 1, 1)]
    assert db.write_now(cast.ada.id, course.finish, one.id)
