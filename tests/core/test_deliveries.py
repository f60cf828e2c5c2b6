"""Deliveries: claimed by one, handed after a last look, settled by who holds the lease."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from tests.core.cast import API, DAY, HOUR, SECOND, Cast, Clock, Owner, join, rows
from tests.core.ledger import TIMING, claim, hand, release, reply, settle, state, waiting
from tidings.core import deliveries, outbox, sending, signup, subscribers, subscriptions
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Delivery, Outcome, Source
from tidings.store.db import Database


def claim_now(db: Database, limit: int = 32) -> list[Delivery]:
    return claim(db, lane="now", limit=limit)


def due(db: Database, lane: str = "now") -> list[Source]:
    return db.read_now(INSTALLATION, sending.sources, lane=lane)


@pytest.fixture
def eve(db: Database, cast: Cast) -> Owner:
    """An account with nothing waiting: Cal's mail is out of the way."""
    settle(db, Outcome(claim_now(db)[0], "sent"))
    assert not due(db)
    return cast.eve


@pytest.fixture
def one(db: Database, eve: Owner) -> Delivery:
    """The only delivery there is, claimed."""
    waiting(db, eve, "new@example.com")
    return claim_now(db)[0]


def test_one_occasion_reaches_a_person_once(db: Database, eve: Owner) -> None:
    waiting(db, eve, "new@example.com")
    delivery = claim_now(db)[0]
    db.write_now(eve.id, deliveries.queue, delivery.occasion, delivery.subscriber_id, lane="now")
    assert claim_now(db) == []
    assert rows(db, "SELECT COUNT(*) FROM deliveries WHERE account_id = :id", id=eve.id) == [(1,)]


def test_what_is_due_is_claimed_in_order_and_each_account_gets_its_share(
    db: Database, cast: Cast, clock: Clock
) -> None:
    for at, owner in enumerate((cast.ada, cast.eve, cast.ada, cast.eve)):
        clock.move(SECOND)
        waiting(db, owner, f"p{at}@example.com")
    assert due(db) == [Source(cast.ada.id), Source(cast.eve.id)]
    first = claim_now(db, 1)
    assert [one.account_id for one in first] == [cast.ada.id, cast.eve.id]
    second = claim_now(db, 1)
    assert [one.account_id for one in second] == [cast.ada.id, cast.eve.id]
    assert all(early.created_at < late.created_at for early, late in zip(first, second, strict=True))
    assert [one.attempts for one in first + second] == [1, 1, 1, 1]
    assert [one.account_id for one in claim_now(db, 3)] == [cast.ada.id]
    assert claim_now(db) == []
    assert not due(db)


def test_another_lane_is_left_alone(db: Database, eve: Owner) -> None:
    _, who = join(db, eve, "form", eve.plain, "new@example.com")
    db.write_now(eve.id, deliveries.queue, "sequence-email:1:1", who.id, lane="bulk")
    assert not due(db)
    assert claim_now(db) == []
    assert due(db, "bulk") == [Source(eve.id)]
    assert len(claim(db, lane="bulk")) == 1


def test_what_is_not_due_yet_waits(db: Database, one: Delivery, clock: Clock) -> None:
    assert hand(db, [one]) == [one]
    settle(db, Outcome(one, "deferred", "451 later", clock.now + HOUR))
    clock.move(HOUR - 1)
    assert not due(db)
    assert claim(db, Source(one.account_id), lane="now") == []
    clock.move(1)
    assert due(db) == [Source(one.account_id)]
    again = claim_now(db)[0]
    assert (again.id, again.attempts) == (one.id, 2)
    assert again.lease != one.lease


def test_a_delivery_is_handed_and_settled_once(db: Database, one: Delivery) -> None:
    assert hand(db, [one])
    assert not hand(db, [one])
    settle(db, Outcome(one, "sent", "250 first"))
    settle(db, Outcome(one, "failed", "550 second"))
    assert (state(db, one), reply(db, one)) == ("sent", "250 first")
    assert not due(db)


def test_who_lost_the_lease_can_neither_hand_nor_settle(db: Database, one: Delivery, clock: Clock) -> None:
    clock.move(TIMING.lease_ms - 1)
    assert release(db) == 0
    assert not due(db)
    clock.move(1)
    assert release(db) == 1
    assert not hand(db, [one])
    newer = claim(db, lane="now", alone=True)[0]
    assert newer.id == one.id
    assert not hand(db, [one])
    settle(db, Outcome(one, "failed", "too late"))
    assert state(db, newer) == "claimed"
    assert hand(db, [newer])
    settle(db, Outcome(one, "failed", "too late"))
    assert state(db, newer) == "handed"
    settle(db, Outcome(newer, "sent", "250 ok"))
    assert (state(db, newer), reply(db, newer)) == ("sent", "250 ok")


@pytest.mark.parametrize("becomes", ("active", "cancelled", "bounced", "complained"))
def test_the_last_look_suppresses_what_nobody_waits_for_any_more(
    db: Database, eve: Owner, one: Delivery, becomes: str
) -> None:
    who = db.read_now(eve.id, subscribers.get, one.subscriber_id)
    db.write_now(eve.id, subscriptions.turn, who, becomes)
    assert not hand(db, [one])
    assert (state(db, one), reply(db, one)) == ("suppressed", "the subscriber is not inactive any more")
    assert not due(db)


def test_unsubscribing_between_claim_and_hand_is_respected(db: Database, eve: Owner, one: Delivery) -> None:
    db.write_now(eve.id, signup.unsubscribe, "new@example.com", API)
    assert not hand(db, [one])
    assert state(db, one) == "suppressed"


@pytest.mark.parametrize("said", ("x" * 10_000, "250 ok\r\n\x00\x07", "250 ünïcode 🎉"))
def test_whatever_a_provider_says_settles_the_delivery(db: Database, one: Delivery, said: str) -> None:
    assert hand(db, [one])
    settle(db, Outcome(one, "sent", said))
    assert state(db, one) == "sent"
    assert 0 < len(reply(db, one)) <= 500


def test_two_senders_never_hold_the_same_delivery(
    db: Database, cast: Cast, open_db: Callable[[], Database]
) -> None:
    waiting(db, cast.eve, *(f"p{n}@example.com" for n in range(60)))
    claimed: list[int] = []
    start = threading.Barrier(4)

    def hurry(one: Database) -> None:
        start.wait(10)
        while batch := claim_now(one, 3):
            claimed.extend(delivery.id for delivery in hand(one, batch))
            settle(one, *(Outcome(each, "sent") for each in batch))

    senders = [threading.Thread(target=hurry, args=(open_db(),)) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert max(Counter(claimed).values()) == 1
    assert len(claimed) == 61
    assert rows(db, "SELECT DISTINCT state, attempts FROM deliveries") == [("sent", 1)]


def test_the_outbox_keeps_a_mail_once_and_only_the_newest(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(outbox, "KEPT", 5)
    for n in range(1, 9):
        for _ in range(2):
            db.write_now(
                cast.ada.id, outbox.keep, n, f"p{n}@example.com", f"Subject {n}", b"raw\x00\xff%d" % n
            )
        clock.move(DAY)
    db.write_now(cast.eve.id, outbox.keep, 1, "x@example.com", "Hers", b"hers")
    kept = db.read_now(cast.ada.id, outbox.newest)
    assert [one.subject for one in kept] == [f"Subject {n}" for n in (8, 7, 6, 5, 4)]
    assert db.read_now(cast.ada.id, outbox.raw, kept[0].id) == b"raw\x00\xff8"
    assert db.read_now(cast.eve.id, outbox.raw, kept[0].id) is None
    assert [one.subject for one in db.read_now(cast.eve.id, outbox.newest)] == ["Hers"]
    assert db.read_now(cast.ada.id, outbox.newest, 2) == []
