"""Sending: workers that end, workers that sleep, and who comes first."""

from collections.abc import Callable

import pytest

from tests.core.cast import HOUR, Cast, Clock, Owner, rows
from tests.core.ledger import (
    TIMING,
    attempts,
    claim,
    hand,
    handed,
    numbers,
    people,
    release,
    reply,
    send,
    settle,
    started,
    state,
    states,
    waiting,
)
from tests.core.recount import recount
from tidings.core import accounts, deliveries, sending
from tidings.core.accounts import INSTALLATION
from tidings.core.deliveries import CRASHES_MOST, Outcome, Source
from tidings.store.db import Database

# A broadcast to Bea and three more.
PEOPLE = 4


@pytest.fixture
def ada(db: Database, cast: Cast) -> Owner:
    """Ada, with nothing else waiting."""
    send(db, lane="now")
    people(db, cast.ada, PEOPLE - 1)
    return cast.ada


@pytest.fixture
def made(db: Database, ada: Owner) -> int:
    """A broadcast that has begun."""
    return started(db, ada)


def test_what_was_claimed_by_a_dead_worker_is_certainly_not_sent_and_queued_again(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    claim(db)
    clock.move(TIMING.lease_ms - 1)
    assert release(db) == 0
    clock.move(1)
    assert db.read_now(INSTALLATION, deliveries.any_lapsed)
    assert release(db) == PEOPLE
    assert states(db, made) == {"queued": PEOPLE}
    assert not db.read_now(INSTALLATION, deliveries.any_lapsed)
    assert rows(db, "SELECT DISTINCT ambiguous, crashes FROM deliveries WHERE broadcast_id > 0") == [(0, 1)]


@pytest.mark.parametrize(
    ("policy", "becomes", "ambiguous"), (("retry-once", "deferred", 1), ("hold", "uncertain", 1))
)
def test_what_was_handed_by_a_dead_worker_is_in_doubt(
    db: Database, ada: Owner, made: int, clock: Clock, policy: str, becomes: str, ambiguous: int
) -> None:
    db.write_now(ada.id, accounts.set_ambiguity, policy)
    handed(db)
    clock.move(TIMING.lease_ms)
    assert release(db) == PEOPLE
    assert states(db, made) == {becomes: PEOPLE}
    found = rows(db, "SELECT DISTINCT ambiguous FROM deliveries WHERE broadcast_id > 0")
    assert found == [(ambiguous,)]
    assert release(db) == 0
    recount(db)


def test_a_lease_that_is_renewed_does_not_lapse(db: Database, ada: Owner, made: int, clock: Clock) -> None:
    claimed = claim(db)
    for _ in range(5):
        clock.move(TIMING.lease_ms - 1)
        db.write_now(INSTALLATION, deliveries.keep_lease, [claimed[0].lease], TIMING)
    assert release(db) == 0
    assert len(hand(db, claimed)) == PEOPLE


def test_a_worker_that_slept_past_its_lease_hands_nothing(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    claimed = claim(db)
    clock.move(TIMING.lease_ms)
    # Nobody has released it yet: even so it may be, at any moment.
    assert hand(db, claimed) == []
    assert states(db, made) == {"claimed": PEOPLE}
    release(db)
    assert states(db, made) == {"queued": PEOPLE}


@pytest.mark.parametrize("ending", ("failed", "deferred", "unknown", "queued", "uncertain"))
def test_a_worker_that_slept_past_its_lease_changes_nothing(
    db: Database, ada: Owner, made: int, clock: Clock, ending: str
) -> None:
    first = handed(db)[0]
    clock.move(TIMING.lease_ms)
    release(db)
    before = rows(db, "SELECT * FROM deliveries WHERE id = :id", id=first.id)
    settle(db, Outcome(first, ending, "550 too late"))
    assert rows(db, "SELECT * FROM deliveries WHERE id = :id", id=first.id) == before
    recount(db)


@pytest.mark.parametrize("policy", ("retry-once", "hold"))
def test_a_late_250_is_kept_as_evidence(
    db: Database, ada: Owner, made: int, clock: Clock, policy: str
) -> None:
    db.write_now(ada.id, accounts.set_ambiguity, policy)
    first = handed(db)[0]
    clock.move(TIMING.lease_ms)
    release(db)
    settle(db, Outcome(first, "sent", "250 late"))
    assert (state(db, first), reply(db, first)) == ("sent", "250 late")
    clock.move(TIMING.uncertain_ms)
    assert first.id not in {one.id for one in claim(db, Source(ada.id, made))}
    found = numbers(db, ada, made)
    assert found["sent"] == 1
    assert found["settled"] == 1 + (PEOPLE - 1) * (policy == "hold")
    assert attempts(db, ada, first)[-1] == (1, "sent", "late")


def test_a_late_250_takes_a_mail_out_of_the_hands_of_who_would_send_it_again(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    first = handed(db)[0]
    settle(db, Outcome(first, "unknown"))
    clock.move(TIMING.uncertain_ms)
    again = [one for one in claim(db, Source(ada.id, made)) if one.id == first.id]
    settle(db, Outcome(first, "sent", "250 late"))
    assert hand(db, again) == []
    assert state(db, first) == "sent"
    settle(db, Outcome(again[0], "failed", "too late itself"))
    assert state(db, first) == "sent"
    assert numbers(db, ada, made)["sent"] == 1


def test_a_late_250_while_the_second_try_is_on_the_wire_leaves_that_to_end(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    first = handed(db)[0]
    settle(db, Outcome(first, "unknown"))
    clock.move(TIMING.uncertain_ms)
    again = hand(db, [one for one in claim(db, Source(ada.id, made)) if one.id == first.id])
    settle(db, Outcome(first, "sent", "250 late"))
    assert state(db, first) == "handed"
    settle(db, Outcome(again[0], "sent", "250 second"))
    assert numbers(db, ada, made)["sent"] == 1
    assert attempts(db, ada, first) == [(1, "deferred", ""), (1, "sent", "late")]


def test_a_late_250_corrects_the_failure_of_the_second_try(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    first = handed(db)[0]
    settle(db, Outcome(first, "unknown"))
    clock.move(TIMING.uncertain_ms)
    again = hand(db, [one for one in claim(db, Source(ada.id, made)) if one.id == first.id])
    settle(db, Outcome(again[0], "failed", "550 no"))
    assert numbers(db, ada, made)["failed"] == 1
    settle(db, Outcome(first, "sent", "250 late"))
    found = numbers(db, ada, made)
    assert (found["sent"], found.get("failed", 0), found["settled"]) == (1, 0, 1)


def test_a_row_that_outlives_three_workers_is_set_aside_and_the_others_are_not_delayed(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    poison = claim(db)[0].id
    for crash in range(1, CRASHES_MOST):
        clock.move(TIMING.lease_ms)
        release(db)
        assert state(db, poison) == "queued"
        # Those that have seen a crash are never together again with others.
        assert claim(db, Source(ada.id, made)) == []
        taken = []
        while one := claim(db, Source(ada.id, made), alone=True):
            assert len(one) == 1
            if one[0].id != poison:
                assert hand(db, one) == one
                settle(db, Outcome(one[0], "sent"))
            taken += one
        assert poison in {one.id for one in taken}
        assert states(db, made) == {"sent": PEOPLE - 1, "claimed": 1}, crash
    clock.move(TIMING.lease_ms)
    release(db)
    assert state(db, poison) == "failed"
    assert numbers(db, ada, made) == {
        "recipients": PEOPLE,
        "settled": PEOPLE,
        "sent": PEOPLE - 1,
        "failed": 1,
    }


def test_a_crash_of_one_row_leaves_fresh_mail_in_full_batches(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    claim(db, limit=1)
    clock.move(TIMING.lease_ms)
    release(db)
    assert len(claim(db)) == PEOPLE - 1
    assert len(claim(db, alone=True)) == 1


def test_what_is_given_back_costs_no_try(db: Database, ada: Owner, made: int) -> None:
    claimed = claim(db)
    db.write_now(ada.id, deliveries.unclaim, ada.id, [one.id for one in claimed], claimed[0].lease)
    assert states(db, made) == {"queued": PEOPLE}
    assert {one.attempts for one in claim(db)} == {1}


def test_nobody_gives_back_what_another_has_claimed(db: Database, ada: Owner, made: int) -> None:
    claimed = claim(db)
    db.write_now(ada.id, deliveries.unclaim, ada.id, [one.id for one in claimed], claimed[0].lease + 10**9)
    assert states(db, made) == {"claimed": PEOPLE}


def test_no_source_starves_another(db: Database, cast: Cast, ada: Owner) -> None:
    people(db, cast.eve, 100)
    big, small = started(db, cast.eve), started(db, ada)
    found = db.read_now(INSTALLATION, sending.sources, lane="bulk")
    assert set(found) == {Source(cast.eve.id, big), Source(ada.id, small)}
    claimed = claim(db, limit=8)
    assert {one.account_id for one in claimed} == {ada.id, cast.eve.id}
    assert sum(one.account_id == ada.id for one in claimed) == PEOPLE


def test_the_lane_now_knows_nothing_of_bulk(db: Database, ada: Owner, made: int) -> None:
    waiting(db, ada, "new@example.com")
    assert db.read_now(INSTALLATION, sending.sources, lane="now") == [Source(ada.id)]
    assert [one.occasion.split(":")[0] for one in claim(db, lane="now")] == ["confirm"]
    assert {one.occasion for one in claim(db)} == {f"broadcast:{made}"}


def test_a_broadcast_that_has_nothing_due_is_no_source(db: Database, ada: Owner, clock: Clock) -> None:
    made = started(db, ada)
    going = handed(db)
    assert db.read_now(INSTALLATION, sending.sources, lane="bulk") == []
    settle(db, *(Outcome(one, "deferred", "451", clock.now + HOUR) for one in going))
    assert db.read_now(INSTALLATION, sending.sources, lane="bulk") == []
    clock.move(HOUR)
    assert db.read_now(INSTALLATION, sending.sources, lane="bulk") == [Source(ada.id, made)]


@pytest.mark.parametrize("n", (1, 7, 8, 9, 63, 64, 65, 319, 320, 321, 700))
def test_batches_of_any_size_are_claimed_handed_and_settled_whole(db: Database, cast: Cast, n: int) -> None:
    people(db, cast.eve, n)
    made = started(db, cast.eve)
    going = hand(db, claim(db, limit=1_000))
    assert len(going) == n
    settle(db, *(Outcome(one, "sent") for one in going))
    assert states(db, made) == {"sent": n}
    recount(db)


def test_a_claim_never_takes_more_than_its_share(
    db: Database, cast: Cast, open_db: Callable[[], Database]
) -> None:
    people(db, cast.eve, 50)
    made = started(db, cast.eve)
    for limit in (1, 2, 3, 20):
        assert len(claim(open_db(), Source(cast.eve.id, made), limit=limit)) == limit
