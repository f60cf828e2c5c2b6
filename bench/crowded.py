"""An account as pages find it after years: so many people, a letter that all of them had, 300 of the rest."""

from bench.fill import Filled
from tests.core.cast import DAY
from tests.dashboard.crowd import crowd
from tests.dashboard.words import natural
from tests.dashboard.world import Account, Filling
from tidings.store.db import Database
from tidings.store.tx import Rx, Tx

# Broadcasts, forms, tags and so on.
THINGS = 300
SLICE = 50_000


def crowded(db: Database, now: list[int], people: int) -> Account:
    """Fill an account; `now` is the clock of the database, which ends some days later."""
    filled = Filled(db, people)
    account = Filling(db, now, "Bench", natural, account_id=filled.keys.account_id).all()
    letter = db.read_now(account.id, _first_letter)
    for first in range(1, people + 1, SLICE):
        db.write_now(account.id, _delivered, letter, first, min(first + SLICE - 1, people))
    crowd(db, account.id, min(THINGS, people))
    db.refresh_statistics()
    now[0] += DAY
    return account


def _first_letter(rx: Rx) -> int:
    row = rx.one("SELECT MIN(id) FROM broadcasts WHERE account_id = :a", a=rx.account_id)
    assert row is not None
    return int(row[0])


def _delivered(tx: Tx, broadcast_id: int, first: int, last: int) -> None:
    """Let people have had the letter; of ten four opened it, one clicked, of a hundred one refused it."""
    names = {"a": tx.account_id, "letter": broadcast_id, "first": first, "last": last, "now": tx.now}
    tx.run(
        "INSERT INTO deliveries (account_id, occasion, subscriber_id, lane, state, attempts, due_at,"
        " settled_at, reply, created_at, broadcast_id, opened_at, clicked_at)"
        " SELECT :a, 'broadcast:' || CAST(:letter AS BIGINT), id, 'bulk',"
        " CASE WHEN id % 100 = 7 THEN 'failed' ELSE 'sent' END, 1, 0, :now,"
        " CASE WHEN id % 100 = 7 THEN '550 5.1.1 no such user' ELSE '250 2.0.0 OK' END, :now,"
        " CAST(:letter AS BIGINT), CASE WHEN id % 10 < 4 THEN CAST(:now AS BIGINT) END,"
        " CASE WHEN id % 10 = 1 THEN CAST(:now AS BIGINT) END"
        " FROM subscribers WHERE account_id = :a AND id BETWEEN :first AND :last",
        **names,
    )
    tx.run(
        "UPDATE broadcasts SET recipients = recipients + n.everybody, settled = settled + n.everybody,"
        " sent = sent + n.taken, failed = failed + n.everybody - n.taken, opens = opens + n.opened,"
        " clicks = clicks + n.clicked FROM"
        " (SELECT COUNT(*) AS everybody, COUNT(*) FILTER (WHERE id % 100 <> 7) AS taken,"
        " COUNT(*) FILTER (WHERE id % 10 < 4) AS opened, COUNT(*) FILTER (WHERE id % 10 = 1) AS clicked"
        " FROM subscribers WHERE account_id = :a AND id BETWEEN :first AND :last) AS n"
        " WHERE account_id = :a AND id = :letter",
        **{name: names[name] for name in ("a", "letter", "first", "last")},
    )
    tx.run(
        "INSERT INTO events (account_id, name, subscriber_id, snapshot, cause, created_at, told_at)"
        " SELECT :a, 'subscriber_activate', id, '{}', '{\"door\":\"api\"}', created_at, created_at"
        " FROM subscribers WHERE account_id = :a AND id BETWEEN :first AND :last",
        **{name: names[name] for name in ("a", "first", "last")},
    )
