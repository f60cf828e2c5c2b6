"""Folding: old mail goes, its numbers stay, and nothing that could still go out is touched."""

from random import Random

import pytest

from tests.core.cast import DAY, HOUR, Cast, Clock, Owner, rows
from tests.core.ledger import people, started
from tidings.core import broadcasts, deliveries, tracking
from tidings.core.broadcasts import course
from tidings.core.deliveries import folding
from tidings.core.tracking import Hit
from tidings.store.db import Database
from tidings.store.tx import Tx

STATES = ("queued", "claimed", "handed", "sent", "deferred", "failed", "uncertain", "suppressed")
SETTLED = ("sent", "failed", "uncertain", "suppressed")


def fold_all(db: Database, owner: Owner, before_at: int, size: int = 7) -> int:
    """Fold one account, slice by slice; return how many deliveries went."""
    after, gone = 0, 0
    while (until := db.read_now(owner.id, folding.next_slice, after, before_at, size)) is not None:
        assert until > after
        gone += db.write_now(owner.id, folding.fold, after, until, before_at)
        after = until
    return gone


def settle(db: Database, owner: Owner, delivery_id: int, state: str, at: int) -> None:
    """Bring a delivery into a state as of a time, with an attempt."""

    def verb(tx: Tx) -> None:
        tx.run(
            "UPDATE deliveries SET state = :state, settled_at = :at WHERE account_id = :account_id"
            " AND id = :id",
            state=state,
            at=at if state in SETTLED else None,
            account_id=owner.id,
            id=delivery_id,
        )
        tx.run(
            "INSERT INTO attempts (account_id, delivery_id, subscriber_id, n, state, verdict, reply, at)"
            " VALUES (:account_id, :id, 1, 1, 'deferred', 'temporary', '451 later', :at)",
            account_id=owner.id,
            id=delivery_id,
            at=at,
        )

    db.write_now(owner.id, verb)


def sent_to(db: Database, owner: Owner, n: int) -> tuple[int, list[int]]:
    """Send a broadcast to n more people; return it and its deliveries."""
    people(db, owner, n)
    made = started(db, owner)
    found = rows(db, "SELECT id FROM deliveries WHERE broadcast_id = :id ORDER BY id", id=made)
    return made, [int(str(row[0])) for row in found]


def left(db: Database) -> list[object]:
    return [
        row[0] for row in rows(db, "SELECT id FROM deliveries WHERE broadcast_id IS NOT NULL ORDER BY id")
    ]


@pytest.mark.parametrize("size", (1, 7, 1_000))
def test_only_what_came_to_its_end_before_the_time_is_deleted(
    db: Database, cast: Cast, clock: Clock, size: int
) -> None:
    _, ids = sent_to(db, cast.ada, 47)
    chance, border, kept = Random(size), clock.now + 10 * DAY, []
    for one in ids:
        state, at = chance.choice(STATES), border + chance.choice((-DAY, -1, 0, DAY))
        settle(db, cast.ada, one, state, at)
        if state not in SETTLED or at >= border:
            kept.append(one)
    assert 0 < len(kept) < len(ids)
    clock.move(20 * DAY)
    assert fold_all(db, cast.ada, border, size) == len(ids) - len(kept)
    assert left(db) == kept
    told = rows(db, "SELECT DISTINCT delivery_id FROM attempts ORDER BY delivery_id")
    assert [row[0] for row in told] == kept
    assert fold_all(db, cast.ada, border, size) == 0


def test_a_broadcast_that_is_folded_away_keeps_its_numbers(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    made, ids = sent_to(db, ada, 12)
    for one in ids:
        settle(db, ada, one, "sent", clock.now)
    db.write_now(ada.id, lambda tx: broadcasts.count(tx, made, settled=len(ids), sent=len(ids)))
    assert db.write_now(ada.id, course.finish, made)
    link_id = db.write_now(ada.id, tracking.link_ids, f"broadcast:{made}", ["https://a.example/"])[0]
    link = db.read_now(ada.id, tracking.link, link_id)
    found = rows(db, "SELECT id, subscriber_id FROM deliveries WHERE broadcast_id = :id", id=made)
    who = [(int(str(one)), int(str(person))) for one, person in found]
    clock.move(HOUR)
    hits = [Hit(one, person, clock.now, which) for one, person in who[:5] for which in (None, link)]
    db.write_now(ada.id, tracking.record, hits)
    before = db.read_now(ada.id, broadcasts.find, made), rows(db, "SELECT * FROM links")
    clock.move(500 * DAY)
    border = clock.now - 400 * DAY
    assert fold_all(db, ada, border) == len(ids)
    while db.write_now(0, tracking.fold, border, 3):
        pass
    assert rows(db, "SELECT COUNT(*) FROM hits") == [(0,)]
    # Whoever clicks now is sent on, and counted no second time.
    assert db.write_now(ada.id, tracking.record, [Hit(*who[0], clock.now, link)]) == [True]
    assert (db.read_now(ada.id, broadcasts.find, made), rows(db, "SELECT * FROM links")) == before
    assert before[0].clicks == before[0].opens == 5
    assert db.write_now(ada.id, course.retry, made) == 0
    assert db.read_now(ada.id, deliveries.of_broadcast, made) == []


def test_another_account_s_mail_is_left_alone(db: Database, cast: Cast, clock: Clock) -> None:
    _, mine = sent_to(db, cast.ada, 5)
    _, hers = sent_to(db, cast.eve, 5)
    for owner, ids in ((cast.ada, mine), (cast.eve, hers)):
        for one in ids:
            settle(db, owner, one, "sent", clock.now)
    clock.move(DAY)
    assert fold_all(db, cast.ada, clock.now) == len(mine)
    assert left(db) == hers


def test_accounts_are_found_one_after_another(db: Database, cast: Cast) -> None:
    sent_to(db, cast.ada, 1)
    sent_to(db, cast.eve, 1)
    assert db.read_now(0, folding.next_account, 0) == cast.ada.id
    assert db.read_now(0, folding.next_account, cast.ada.id) == cast.eve.id
    assert db.read_now(0, folding.next_account, cast.eve.id) is None


def test_young_mail_is_not_even_looked_through(db: Database, cast: Cast, clock: Clock) -> None:
    sent_to(db, cast.ada, 20)
    assert db.read_now(cast.ada.id, folding.next_slice, 0, clock.now, 7) is None
