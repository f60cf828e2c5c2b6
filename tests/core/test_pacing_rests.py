"""Rests: a domain that puts our mail off is left alone for a while, and the others are not."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from tests.core.cast import DAY, HOUR, SECOND, Cast, Clock, join, rows
from tidings.core import deliveries, pacing
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import Delivery, Outcome
from tidings.core.pacing import rests
from tidings.core.pacing.rests import DEFERRALS_MOST, PROBE_MS, REST_FIRST_MS, REST_MOST_MS
from tidings.store.db import Database
from tidings.store.tx import Tx

SLOW, QUICK = "slow.example", "quick.example"


def learn(db: Database, answered: set[str] | None = None, **deferred: int) -> None:
    counts = {name.replace("_", "."): n for name, n in deferred.items()}
    db.write_now(INSTALLATION, pacing.learn, answered or set(), counts)


def put_off(db: Database, given: list[tuple[Delivery, str]]) -> tuple[list[int], list[Outcome]]:
    def verb(tx: Tx) -> tuple[list[int], list[Outcome]]:
        going, put = pacing.put_off(tx, given, pacing.resting(tx))
        return [one.id for one in going], put

    return db.write_now(INSTALLATION, verb)


def mail(clock: Clock, *domains: str, made_at: int | None = None) -> list[tuple[Delivery, str]]:
    """Claimed mail, one to each of the domains; ids from 1."""
    at = clock.now if made_at is None else made_at
    return [(Delivery(1, n, "broadcast:7", n, 1, 9, at, 7), one) for n, one in enumerate(domains, 1)]


def until(db: Database) -> int:
    return pacing_rest(db).until_at


def pacing_rest(db: Database, domain: str = SLOW) -> pacing.Rest:
    return db.read_now(INSTALLATION, pacing.resting)[domain]


def test_five_deferrals_in_a_row_let_a_domain_rest_and_only_it(db: Database, clock: Clock) -> None:
    mixed = mail(clock, SLOW, QUICK, SLOW, QUICK)
    for _ in range(DEFERRALS_MOST - 1):
        learn(db, slow_example=1)
        assert put_off(db, mixed) == ([1, 2, 3, 4], [])
    learn(db, slow_example=1, quick_example=3)
    going, put = put_off(db, mixed)
    assert going == [2, 4]
    assert [one.delivery.id for one in put] == [1, 3]
    assert {(one.state, one.due_at, one.untried) for one in put} == {
        ("deferred", clock.now + REST_FIRST_MS, True)
    }
    assert all(SLOW in one.reply for one in put)


def test_one_answer_between_them_clears_the_count_and_ends_a_rest(db: Database, clock: Clock) -> None:
    for _ in range(10):
        learn(db, slow_example=DEFERRALS_MOST - 1)
        learn(db, {SLOW})
    assert db.read_now(INSTALLATION, pacing.resting) == {}
    learn(db, slow_example=DEFERRALS_MOST)
    assert put_off(db, mail(clock, SLOW))[0] == []
    learn(db, {SLOW})
    assert put_off(db, mail(clock, SLOW)) == ([1], [])


def test_after_a_rest_one_mail_is_tried_and_each_rest_is_twice_as_long(db: Database, clock: Clock) -> None:
    learn(db, slow_example=DEFERRALS_MOST)
    expected = REST_FIRST_MS
    for _ in range(10):
        assert until(db) == clock.now + expected
        # What was on its way when the rest began says nothing new.
        learn(db, slow_example=40)
        assert until(db) == clock.now + expected
        clock.move(expected - 1)
        assert put_off(db, mail(clock, SLOW, SLOW))[0] == []
        clock.move(1)
        going, put = put_off(db, mail(clock, SLOW, SLOW, QUICK, SLOW))
        assert going == [1, 3]
        assert {one.due_at for one in put} == {clock.now + PROBE_MS}
        assert put_off(db, mail(clock, SLOW))[0] == []
        clock.move(5 * SECOND)
        learn(db, slow_example=1)
        expected = min(expected * 2, REST_MOST_MS)
    assert expected == REST_MOST_MS


def test_a_mail_that_is_tried_and_taken_ends_it_and_one_that_is_lost_is_followed(
    db: Database, clock: Clock
) -> None:
    learn(db, slow_example=DEFERRALS_MOST)
    clock.move(REST_FIRST_MS)
    assert put_off(db, mail(clock, SLOW, SLOW))[0] == [1]
    clock.move(PROBE_MS)
    assert put_off(db, mail(clock, SLOW, SLOW))[0] == [1]
    learn(db, {SLOW})
    assert put_off(db, mail(clock, SLOW, SLOW))[0] == [1, 2]


def test_two_processes_try_one_mail_between_them(
    db: Database, open_db: Callable[[], Database], clock: Clock
) -> None:
    learn(db, slow_example=DEFERRALS_MOST)
    clock.move(REST_FIRST_MS)
    with ThreadPoolExecutor(4) as pool:
        tries = [pool.submit(put_off, open_db(), mail(clock, SLOW, SLOW, SLOW)) for _ in range(4)]
        assert sorted(one.result()[0] for one in tries) == [[], [], [], [1]]


def test_what_a_domain_has_kept_waiting_for_four_days_is_given_up(db: Database, clock: Clock) -> None:
    learn(db, slow_example=DEFERRALS_MOST)
    began_at, old = clock.now, clock.now - 30 * DAY
    states = []
    while clock.now < began_at + 5 * DAY:
        clock.move(max(until(db) - clock.now, 0))
        tried, waiting, new = mail(clock, SLOW, SLOW, SLOW)
        aged = (msgspec.structs.replace(waiting[0], created_at=old), SLOW)
        going, put = put_off(db, [tried, aged, new])
        assert going == [1]
        states.append((put[0].state, put[1].state))
        learn(db, slow_example=1)
    # What was queued today is not given up, however long the domain has been so.
    assert [state for _, state in states] == ["deferred"] * len(states)
    assert [state for state, _ in states] == sorted(state for state, _ in states)
    assert states[-1][0] == "failed"
    assert 20 < states.index(("failed", "deferred")) < 30


def test_a_clock_that_was_set_back_lets_no_domain_rest_for_longer_than_it_may(
    db: Database, clock: Clock
) -> None:
    learn(db, slow_example=DEFERRALS_MOST)
    clock.move(-DAY)
    _, put = put_off(db, mail(clock, SLOW))
    assert put[0].due_at == clock.now + REST_MOST_MS


def test_no_more_domains_are_known_than_fit_and_those_that_rest_stay(
    db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rests, "DOMAINS_MOST", 5)
    learn(db, slow_example=DEFERRALS_MOST)
    for n in range(20):
        clock.move(SECOND)
        learn(db, None, **{f"d{n}_example": 1})
    known = db.read_now(INSTALLATION, pacing.resting)
    assert set(known) == {SLOW, *(f"d{n}.example" for n in range(16, 20))}
    for n in range(30, 40):
        learn(db, None, **{f"d{n}_example": DEFERRALS_MOST})
    assert len(db.read_now(INSTALLATION, pacing.resting)) == 5
    assert pacing_rest(db).rest_ms


def test_domains_of_which_nothing_is_heard_are_forgotten(db: Database, clock: Clock) -> None:
    learn(db, slow_example=DEFERRALS_MOST, quick_example=1)
    clock.move(HOUR)
    assert db.write_now(INSTALLATION, pacing.sweep) == 0
    clock.move(1)
    assert db.write_now(INSTALLATION, pacing.sweep) == 1
    clock.move(DAY + REST_FIRST_MS)
    assert db.write_now(INSTALLATION, pacing.sweep) == 1
    assert rows(db, "SELECT COUNT(*) FROM domain_rests") == [(0,)]


def test_a_mail_that_rests_is_due_after_it_and_its_try_is_not_counted(
    db: Database, cast: Cast, clock: Clock
) -> None:
    _, who = join(db, cast.eve, "form", cast.eve.plain, f"x@{SLOW}")
    db.write_now(cast.eve.id, deliveries.queue, "sequence-email:1:1", who.id, lane="bulk")
    learn(db, slow_example=DEFERRALS_MOST)
    source = deliveries.Source(cast.eve.id)

    def claim(tx: Tx) -> list[Delivery]:
        return deliveries.claim(tx, source, lane="bulk", limit=9, lease=5, timing=deliveries.Timing())

    def hand(tx: Tx, claimed: list[Delivery]) -> None:
        _, put = pacing.put_off(tx, [(one, SLOW) for one in claimed], pacing.resting(tx))
        deliveries.settle(tx, put)

    db.write_now(INSTALLATION, hand, db.write_now(INSTALLATION, claim))
    assert rows(
        db, "SELECT state, attempts, due_at FROM deliveries WHERE subscriber_id = :id", id=who.id
    ) == [("deferred", 0, clock.now + REST_FIRST_MS)]
    assert rows(db, "SELECT COUNT(*) FROM attempts") == [(0,)]
    assert db.write_now(INSTALLATION, claim) == []
    clock.move(REST_FIRST_MS)
    assert len(db.write_now(INSTALLATION, claim)) == 1
