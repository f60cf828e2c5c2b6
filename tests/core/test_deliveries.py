"""Deliveries: claimed by one, handed after a last look, settled by who holds the lease."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from tests.core.cast import API, DAY, HOUR, SECOND, Cast, Clock, Owner, join, rows
from tidings.core import deliveries, outbox, signup, subscribers, subscriptions
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import GIVE_UP_MS, LEASE_MS, RETRY_FIRST_MS, RETRY_MOST_MS, Delivery, Outcome
from tidings.store.db import Database


def queue(db: Database, owner: Owner, *emails: str) -> None:
    for email in emails:
        join(db, owner, "form", owner.double, email)


def claim(db: Database, limit: int = 32) -> list[Delivery]:
    return db.write_now(INSTALLATION, deliveries.claim_due, lane="now", limit=limit)


def hand(db: Database, delivery: Delivery) -> bool:
    return db.write_now(INSTALLATION, deliveries.hand, delivery)


def settle(db: Database, delivery: Delivery, state: str, reply: str = "250 ok", due_at: int = 0) -> None:
    db.write_now(INSTALLATION, deliveries.settle, [Outcome(delivery, state, reply, due_at)])


def state(db: Database, delivery: Delivery) -> tuple[object, ...]:
    return rows(db, "SELECT state, reply FROM deliveries WHERE id = :id", id=delivery.id)[0]


def due(db: Database) -> bool:
    return db.read_now(INSTALLATION, deliveries.any_due, lane="now")


@pytest.fixture
def one(db: Database, eve: Owner) -> Delivery:
    """The only delivery there is, claimed."""
    queue(db, eve, "new@example.com")
    return claim(db)[0]


@pytest.fixture
def eve(db: Database, cast: Cast) -> Owner:
    """An account with nothing waiting: Cal's mail is out of the way."""
    settle(db, claim(db)[0], "sent")
    assert not due(db)
    return cast.eve


def test_one_occasion_reaches_a_person_once(db: Database, eve: Owner) -> None:
    queue(db, eve, "new@example.com")
    delivery = claim(db)[0]
    db.write_now(eve.id, deliveries.queue, delivery.occasion, delivery.subscriber_id, lane="now")
    assert claim(db) == []
    assert rows(db, "SELECT COUNT(*) FROM deliveries WHERE account_id = :id", id=eve.id) == [(1,)]


def test_what_is_due_is_claimed_in_order_over_all_accounts(db: Database, cast: Cast, clock: Clock) -> None:
    for at, owner in enumerate((cast.ada, cast.eve, cast.ada, cast.eve)):
        clock.move(SECOND)
        queue(db, owner, f"p{at}@example.com")
    assert due(db)
    first = claim(db, 3)
    assert [one.account_id for one in first] == [cast.ada.id, cast.ada.id, cast.eve.id]
    assert [one.attempts for one in first] == [1, 1, 1]
    assert [one.account_id for one in claim(db, 3)] == [cast.ada.id, cast.eve.id]
    assert claim(db) == []
    assert not due(db)


def test_another_lane_is_left_alone(db: Database, eve: Owner) -> None:
    _, who = join(db, eve, "form", eve.plain, "new@example.com")
    db.write_now(eve.id, deliveries.queue, "broadcast:1", who.id, lane="bulk")
    assert not due(db)
    assert claim(db) == []
    assert len(db.write_now(INSTALLATION, deliveries.claim_due, lane="bulk", limit=5)) == 1


def test_what_is_not_due_yet_waits(db: Database, one: Delivery, clock: Clock) -> None:
    assert hand(db, one)
    settle(db, one, "deferred", "451 later", clock.now + HOUR)
    clock.move(HOUR - 1)
    assert not due(db)
    assert claim(db) == []
    clock.move(1)
    assert due(db)
    again = claim(db)[0]
    assert (again.id, again.attempts, again.lease) == (one.id, 2, one.lease + 1)


def test_a_delivery_is_handed_and_settled_once(db: Database, one: Delivery) -> None:
    assert hand(db, one)
    assert not hand(db, one)
    settle(db, one, "sent", "250 first")
    settle(db, one, "failed", "550 second")
    assert state(db, one) == ("sent", "250 first")
    assert not due(db)


def test_who_lost_the_lease_can_neither_hand_nor_settle(db: Database, one: Delivery, clock: Clock) -> None:
    clock.move(LEASE_MS - 1)
    assert db.write_now(INSTALLATION, deliveries.release_lapsed) == 0
    assert not due(db)
    clock.move(1)
    assert due(db)
    assert db.write_now(INSTALLATION, deliveries.release_lapsed) == 1
    assert not hand(db, one)
    newer = claim(db)[0]
    assert (newer.id, newer.lease) == (one.id, one.lease + 1)
    assert not hand(db, one)
    settle(db, one, "failed", "too late")
    assert hand(db, newer)
    settle(db, one, "failed", "too late")
    assert state(db, newer)[0] == "handed"
    settle(db, newer, "sent")
    assert state(db, newer)[0] == "sent"


def test_a_confirmation_handed_by_a_dead_process_is_sent_again(
    db: Database, one: Delivery, clock: Clock
) -> None:
    assert hand(db, one)
    clock.move(LEASE_MS)
    assert db.write_now(INSTALLATION, deliveries.release_lapsed) == 1
    assert claim(db)[0].id == one.id


@pytest.mark.parametrize("becomes", ("active", "cancelled", "bounced", "complained"))
def test_the_last_look_suppresses_what_nobody_waits_for_any_more(
    db: Database, eve: Owner, one: Delivery, becomes: str
) -> None:
    who = db.read_now(eve.id, subscribers.get, one.subscriber_id)
    db.write_now(eve.id, subscriptions.turn, who, becomes)
    assert not hand(db, one)
    assert state(db, one) == ("suppressed", f"subscriber is {becomes}")
    assert not due(db)


def test_the_last_look_suppresses_an_occasion_that_nobody_knows(db: Database, eve: Owner) -> None:
    _, who = join(db, eve, "form", eve.plain, "new@example.com")
    db.write_now(eve.id, deliveries.queue, "surprise:1", who.id, lane="now")
    delivery = claim(db)[0]
    assert not hand(db, delivery)
    assert state(db, delivery)[0] == "suppressed"


def test_unsubscribing_between_claim_and_hand_is_respected(db: Database, eve: Owner, one: Delivery) -> None:
    db.write_now(eve.id, signup.unsubscribe, "new@example.com", API)
    assert not hand(db, one)
    assert state(db, one)[0] == "suppressed"


@pytest.mark.parametrize("reply", ("x" * 10_000, "250 ok\r\n\x00\x07", "250 ünïcode 🎉"))
def test_whatever_a_provider_says_settles_the_delivery(db: Database, one: Delivery, reply: str) -> None:
    assert hand(db, one)
    settle(db, one, "sent", reply)
    kept = state(db, one)
    assert kept[0] == "sent"
    assert len(str(kept[1])) <= deliveries.REPLY_MAX


def test_two_senders_never_hold_the_same_delivery(
    db: Database, cast: Cast, open_db: Callable[[], Database]
) -> None:
    queue(db, cast.eve, *(f"p{n}@example.com" for n in range(60)))
    claimed: list[int] = []
    start = threading.Barrier(4)

    def hurry(one: Database) -> None:
        start.wait(10)
        while batch := claim(one, 3):
            claimed.extend(delivery.id for delivery in batch if hand(one, delivery))
            one.write_now(INSTALLATION, deliveries.settle, [Outcome(each, "sent") for each in batch])

    senders = [threading.Thread(target=hurry, args=(open_db(),)) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert max(Counter(claimed).values()) == 1
    assert len(claimed) == 61
    assert rows(db, "SELECT DISTINCT state, attempts FROM deliveries") == [("sent", 1)]


def test_a_failure_is_retried_ever_later_and_given_up_after_a_day(clock: Clock) -> None:
    made_at = clock.now
    waits = []
    for attempts in range(1, 30):
        at = deliveries.retry_at(clock.now, Delivery(1, 77, "confirm:1:1", 1, attempts, attempts, made_at))
        if at is None:
            break
        waits.append(at - clock.now)
        clock.move(at - clock.now)
    assert at is None
    assert len(waits) >= 5
    assert RETRY_FIRST_MS * 0.8 <= waits[0] <= RETRY_FIRST_MS * 1.2
    assert max(waits) <= RETRY_MOST_MS * 1.2
    assert clock.now - made_at <= GIVE_UP_MS * 1.2
    # A provider that fails does so for many at once: they do not all come back in one moment.
    spread = {
        deliveries.retry_at(made_at, Delivery(1, n, "confirm:1:1", 1, 1, 1, made_at)) for n in range(1_000)
    }
    assert len(spread) > 300


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
