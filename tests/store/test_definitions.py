"""Definitions kept in memory: asked once while they stand, never stale for who writes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.cast import Clock
from tests.store.notes import in_one_group, make_tables, note
from tidings.errors import Invalid
from tidings.store.db import Database
from tidings.store.definitions import STALE_MS
from tidings.store.tx import Rx, Tx

ACCOUNT = 7
asked: list[int] = []


@pytest.fixture(autouse=True)
def _tables(db: Database) -> None:
    make_tables(db)
    asked.clear()


def texts(rx: Rx) -> tuple[str, ...]:
    """A question about definitions; it keeps count of how often the database was asked."""
    asked.append(rx.account_id)
    return tuple(row[0] for row in rx.all("SELECT text FROM notes ORDER BY n"))


def nothing(rx: Rx) -> None:
    asked.append(rx.account_id)


def remembered(rx: Rx) -> tuple[str, ...]:
    return rx.remember(texts)


def define(tx: Tx, n: int, text: str) -> tuple[str, ...]:
    note(tx, n, text)
    tx.redefine()
    return remembered(tx)


def read(db: Database, question: Callable[..., Any] = remembered) -> Any:
    return db.read_now(ACCOUNT, question)


def test_a_reader_asks_once_while_the_definitions_stand(db: Database, clock: Clock) -> None:
    db.write_now(ACCOUNT, define, 1, "one")
    asked.clear()
    for _ in range(5):
        assert read(db) == ("one",)
        clock.move(10 * STALE_MS)
    assert asked == [ACCOUNT]


def test_an_absent_answer_is_asked_for_again(db: Database) -> None:
    for _ in range(3):
        assert read(db, lambda rx: rx.remember(nothing)) is None
    assert asked == [ACCOUNT] * 3


def test_who_redefines_sees_it_at_once_and_so_do_readers_of_the_same_process(db: Database) -> None:
    assert read(db) == ()
    assert db.write_now(ACCOUNT, define, 1, "one") == ("one",)
    assert read(db) == ("one",)
    assert db.write_now(ACCOUNT, define, 2, "two") == ("one", "two")
    assert read(db) == ("one", "two")


def test_a_reader_of_another_process_is_at_most_a_second_late(
    open_db: Callable[[], Database], db: Database, clock: Clock
) -> None:
    other = open_db()
    assert read(other) == ()
    db.write_now(ACCOUNT, define, 1, "one")
    clock.move(STALE_MS + 1)
    assert read(other) == ("one",)


def test_a_reader_asks_for_the_generation_once_a_second(
    open_db: Callable[[], Database], db: Database, clock: Clock
) -> None:
    other = open_db()
    assert read(other) == ()
    db.write_now(ACCOUNT, define, 1, "one")
    clock.move(STALE_MS)
    # Within the second the answer comes from memory: what makes reads cheap.
    assert read(other) == ()


def test_a_writer_of_another_process_is_never_late(
    open_db: Callable[[], Database], db: Database, clock: Clock
) -> None:
    other = open_db()
    assert other.write_now(ACCOUNT, remembered) == ()
    for n, text in enumerate(("one", "two", "three"), 1):
        db.write_now(ACCOUNT, define, n, text)
        # The clock stands: even a change of the same millisecond is seen.
        assert other.write_now(ACCOUNT, remembered)[-1] == text


def test_a_clock_set_back_does_not_make_old_answers_fresh(
    open_db: Callable[[], Database], db: Database, clock: Clock
) -> None:
    other = open_db()
    assert read(other) == ()
    db.write_now(ACCOUNT, define, 1, "one")
    clock.move(-10 * STALE_MS)
    assert read(other) == ("one",)


def test_another_account_keeps_its_answers(db: Database) -> None:
    read(db)
    db.read_now(8, remembered)
    db.write_now(8, define, 1, "one")
    asked.clear()
    read(db)
    assert asked == []


def test_a_redefinition_that_is_undone_is_seen_by_nobody(db: Database) -> None:
    def define_and_fail(tx: Tx) -> None:
        define(tx, 1, "never")
        raise Invalid("n", "is refused")

    results = asyncio.run(in_one_group_of_account(db, define_and_fail))
    assert isinstance(results[0], Invalid)
    assert results[1:] == [(), ("two",), ("two",)]
    assert read(db) == ("two",)


async def in_one_group_of_account(db: Database, failing: Callable[[Tx], None]) -> list[Any]:
    def failing_own(tx: Tx) -> None:
        failing(tx.for_account(ACCOUNT))

    def defining(tx: Tx) -> tuple[str, ...]:
        return define(tx.for_account(ACCOUNT), 2, "two")

    def reading(tx: Tx) -> tuple[str, ...]:
        return remembered(tx.for_account(ACCOUNT))

    return await in_one_group(db, (failing_own,), (reading,), (defining,), (reading,))


def test_what_a_verb_remembers_before_it_fails_is_forgotten(db: Database) -> None:
    def remember_unfinished(tx: Tx) -> None:
        note(tx, 1, "never")
        tx.redefine()
        remembered(tx)
        raise Invalid("n", "is refused")

    with pytest.raises(Invalid):
        db.write_now(ACCOUNT, remember_unfinished)
    assert db.write_now(ACCOUNT, remembered) == ()


def test_only_a_fresh_answer_is_peeked_at(db: Database, clock: Clock) -> None:
    assert db.peek(ACCOUNT, texts) is None
    read(db)
    assert db.peek(ACCOUNT, texts) == ()
    clock.move(STALE_MS + 1)
    assert db.peek(ACCOUNT, texts) is None
    read(db)
    db.write_now(ACCOUNT, define, 1, "one")
    assert db.peek(ACCOUNT, texts) is None


def test_the_memory_for_accounts_is_bounded(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidings.store.definitions.ACCOUNTS_KEPT", 3)
    for account in range(10):
        db.read_now(account, remembered)
    assert [db.peek(account, texts) for account in range(10)] == [None] * 7 + [()] * 3
