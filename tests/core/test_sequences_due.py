"""Who is due is found by index, however many are inside."""

from tests.core.cast import DAY, Clock, Owner, rows
from tidings.core import advance, entries, sequences
from tidings.core.accounts import INSTALLATION
from tidings.store.db import Database
from tidings.store.tx import Tx

INSIDE = 20_000


def crowd(db: Database, owner: Owner, clock: Clock, count: int) -> None:
    """Put many people inside a sequence, all waiting for tomorrow."""

    def fill(tx: Tx) -> None:
        tx.run(
            "INSERT INTO subscribers (account_id, email, email_key, state, fields, created_at, updated_at)"
            " WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"
            " SELECT :account_id, 'crowd' || n, 'crowd' || n, 'active', '{}', :now, :now FROM numbers",
            count=count,
            account_id=tx.account_id,
            now=tx.now,
        )
        tx.run(
            "INSERT INTO entries (account_id, sequence_id, subscriber_id, n, position, had, since_at,"
            " next_at, state, created_at, updated_at) SELECT account_id, :sequence_id, id, 1, 0, '', :now,"
            " :now + :day + id, 'inside', :now, :now FROM subscribers WHERE account_id = :account_id"
            " AND email LIKE 'crowd%'",
            account_id=tx.account_id,
            sequence_id=owner.sequence,
            now=tx.now,
            day=DAY,
        )

    db.write_now(owner.id, fill)
    session = db.session(writer=True)
    session.script("ANALYZE")
    session.close()


def plan(db: Database, sql: str, **params: object) -> str:
    """The database's plan of a statement, in its own words."""
    session = db.session(writer=False)
    try:
        explain = "EXPLAIN QUERY PLAN " if session.savepoints else "EXPLAIN "
        return "\n".join(str(row) for row in session.fetch(explain + sql, params))
    finally:
        session.close()


def test_idle_and_due_looks_go_by_index_among_many(db: Database, ada: Owner, clock: Clock) -> None:
    crowd(db, ada, clock, INSIDE)
    asked: list[tuple[str, dict[str, object]]] = []

    def watch(tx: Tx) -> None:
        class Watched(Tx):
            __slots__ = ()

            def one(self, sql: str, **params: object) -> None:
                asked.append((sql, params))

            def all(self, sql: str, **params: object) -> list[tuple[object, ...]]:
                asked.append((sql, params))
                return []

        watched = Watched(tx._session, tx._remembered, tx.account_id, tx.now)
        entries.any_due(watched)
        sequences.any_to_replan(watched)
        entries.claim_due(watched, advance.SLICE)
        entries.claim_after(watched.for_account(ada.id), ada.sequence, 0, advance.SLICE)
        sequences.next_to_replan(watched)

    db.write_now(INSTALLATION, watch)
    plans = [plan(db, sql, **params) for sql, params in asked]
    for shown, index in zip(
        plans, ("entries_due", "sequences_to_replan", "entries_due", "sequences_to_replan"), strict=True
    ):
        assert index in shown, shown
        assert "SCAN entries" not in shown.replace("SCAN entries USING", ""), shown
        assert "Seq Scan on entries" not in shown, shown


def test_a_slice_at_a_time_is_taken_however_many_are_due(db: Database, ada: Owner, clock: Clock) -> None:
    crowd(db, ada, clock, 2 * advance.SLICE + 100)
    words = sequences.SequenceEmail("S", "<p>x</p>", 0)
    db.write_now(ada.id, sequences.set_emails, ada.sequence, [words])
    db.write_now(ada.id, lambda tx: tx.run("UPDATE sequences SET replan_from = NULL"))
    clock.move(30 * DAY)
    done = []
    while took := db.write_now(INSTALLATION, advance.tick, 10**9):
        done.append(took)
    assert done == [advance.SLICE, advance.SLICE, 100]
    assert rows(db, "SELECT COUNT(*), COUNT(DISTINCT subscriber_id) FROM deliveries WHERE lane = 'bulk'") == [
        (1_100, 1_100)
    ]
