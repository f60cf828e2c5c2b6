"""Sending: the ways of a mail through the ledger, and the ends that nobody knows."""

import itertools

import pytest

from tests.core.cast import DAY, HOUR, Cast, Clock, Owner
from tests.core.ledger import (
    TIMING,
    attempts,
    claim,
    hand,
    handed,
    hold,
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
from tidings.core.deliveries import Delivery, Mark, Outcome, Source, mark_opened, retry_at
from tidings.store.db import Database

MINUTE = 60_000
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


def test_a_mail_goes_from_queued_to_sent_and_is_counted(db: Database, ada: Owner, made: int) -> None:
    assert states(db, made) == {"queued": PEOPLE}
    claimed = claim(db)
    assert states(db, made) == {"claimed": PEOPLE}
    assert len(hand(db, claimed)) == PEOPLE
    assert states(db, made) == {"handed": PEOPLE}
    settle(db, *(Outcome(one, "sent", "250 ok") for one in claimed))
    assert states(db, made) == {"sent": PEOPLE}
    assert numbers(db, ada, made) == {"recipients": PEOPLE, "settled": PEOPLE, "sent": PEOPLE}
    assert attempts(db, ada, claimed[0]) == []


def test_what_the_outbox_keeps_is_counted_apart(db: Database, ada: Owner, made: int) -> None:
    settle(db, *(Outcome(one, "sent", kept=True) for one in handed(db)))
    assert numbers(db, ada, made) == {"recipients": PEOPLE, "settled": PEOPLE, "kept": PEOPLE}


@pytest.mark.parametrize("ending", ("failed", "uncertain", "suppressed"))
def test_every_other_end_is_counted_by_its_name(db: Database, ada: Owner, made: int, ending: str) -> None:
    first, *others = handed(db)
    settle(db, Outcome(first, ending, "because"), *(Outcome(one, "sent") for one in others))
    assert (state(db, first), reply(db, first)) == (ending, "because")
    assert numbers(db, ada, made) == {
        "recipients": PEOPLE,
        "settled": PEOPLE,
        "sent": PEOPLE - 1,
        ending: 1,
    }
    assert attempts(db, ada, first) == [(1, ending, "")]


def test_one_outcome_told_twice_counts_once(db: Database, ada: Owner, made: int) -> None:
    first, second, *_ = handed(db)
    for _ in range(3):
        settle(db, Outcome(first, "sent"), Outcome(second, "failed"))
    settle(db, Outcome(first, "failed"), Outcome(second, "sent"))
    assert (state(db, first), state(db, second)) == ("sent", "failed")
    assert numbers(db, ada, made) == {"recipients": PEOPLE, "settled": 2, "sent": 1, "failed": 1}


def test_many_outcomes_of_several_accounts_settle_at_once(db: Database, cast: Cast, ada: Owner) -> None:
    people(db, cast.eve, 400)
    mine, hers = started(db, ada), started(db, cast.eve)
    going = hand(db, claim(db, limit=500))
    assert len(going) == 400 + PEOPLE
    settle(db, *(Outcome(one, "sent") for one in going))
    assert states(db, mine) == {"sent": PEOPLE}
    assert states(db, hers) == {"sent": 400}
    recount(db)


def test_a_deferred_mail_waits_is_tried_again_and_then_sent(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    first, *others = handed(db)
    settle(db, Outcome(first, "deferred", "451 later", clock.now + HOUR, verdict="temporary"))
    settle(db, *(Outcome(one, "sent") for one in others))
    assert (state(db, first), reply(db, first)) == ("deferred", "451 later")
    assert numbers(db, ada, made) == {"recipients": PEOPLE, "settled": PEOPLE - 1, "sent": PEOPLE - 1}
    clock.move(HOUR - 1)
    assert claim(db, Source(ada.id, made)) == []
    clock.move(1)
    again = claim(db)
    assert [(one.id, one.attempts, one.ambiguous) for one in again] == [(first.id, 2, 0)]
    assert hand(db, again) == again
    settle(db, Outcome(again[0], "sent"))
    assert numbers(db, ada, made) == {"recipients": PEOPLE, "settled": PEOPLE, "sent": PEOPLE}
    assert attempts(db, ada, first) == [(1, "deferred", "temporary")]


def test_what_was_never_offered_is_due_at_once_and_does_not_count_as_a_try(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    first, *others = handed(db)
    settle(db, Outcome(first, "queued", "no connection", clock.now, untried=True))
    settle(db, *(Outcome(one, "sent") for one in others))
    again = claim(db)
    assert [(one.id, one.attempts) for one in again] == [(first.id, 1)]
    assert attempts(db, ada, first) == []


def schedule_of(occasion: str, clock: Clock) -> list[int]:
    """Wait as one is told until given up; return the waits."""
    made_at, waits = clock.now, []
    for n in range(1, 100):
        at = retry_at(clock.now, Delivery(1, 77, occasion, 1, n, n, made_at))
        if at is None:
            return waits
        waits.append(at - clock.now)
        clock.move(waits[-1])
    pytest.fail("it is never given up")


@pytest.mark.parametrize(("occasion", "days"), (("broadcast:1", 4), ("confirm:1:1", 1)))
def test_a_passing_failure_is_retried_ever_later_and_given_up_in_the_end(
    clock: Clock, occasion: str, days: int
) -> None:
    waits = schedule_of(occasion, clock)
    assert 0.8 * 5 * MINUTE <= waits[0] <= 1.2 * 5 * MINUTE
    doubling = waits[:6]
    assert all(1.3 < later / early < 3 for early, later in itertools.pairwise(doubling))
    assert max(waits) <= 1.2 * 4 * HOUR
    assert (days - 0.8) * DAY < sum(waits) < (days + 0.8) * DAY


def test_who_fails_together_does_not_come_back_together(clock: Clock) -> None:
    times = [retry_at(clock.now, Delivery(1, n, "broadcast:1", 1, 1, 1, clock.now)) for n in range(1_000)]
    assert len(set(times)) > 300


def test_a_broadcast_that_was_paused_for_a_week_is_still_retried(clock: Clock) -> None:
    made_at = clock.now
    clock.move(7 * DAY)
    assert retry_at(clock.now, Delivery(1, 1, "broadcast:1", 1, 1, 1, made_at)) is not None
    # A confirmation is worth nothing after its link has expired.
    assert retry_at(clock.now, Delivery(1, 1, "confirm:1:1", 1, 1, 1, made_at)) is None


def test_an_unknown_end_waits_and_is_tried_once_more(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    first = handed(db)[0]
    settle(db, Outcome(first, "unknown", "broke after the dot"))
    assert state(db, first) == "deferred"
    clock.move(TIMING.uncertain_ms - 1)
    assert not [one for one in claim(db, Source(ada.id, made)) if one.id == first.id]
    clock.move(1)
    again = claim(db)
    assert [(one.id, one.ambiguous) for one in again] == [(first.id, 1)]
    assert hand(db, again) == again
    settle(db, Outcome(again[0], "unknown", "and again"))
    assert (state(db, first), reply(db, first)) == ("uncertain", "and again")
    assert attempts(db, ada, first) == [(1, "deferred", ""), (2, "uncertain", "")]
    assert numbers(db, ada, made) == {"recipients": PEOPLE, "settled": 1, "uncertain": 1}


def test_under_hold_an_unknown_end_is_never_tried_again(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    hold(db, ada)
    first = handed(db)[0]
    settle(db, Outcome(first, "unknown", "broke after the dot"))
    assert state(db, first) == "uncertain"
    clock.move(30 * DAY)
    release(db)
    assert first.id not in {one.id for one in claim(db, Source(ada.id, made))}


def test_a_confirmation_is_tried_again_even_under_hold(
    db: Database, cast: Cast, ada: Owner, clock: Clock
) -> None:
    hold(db, ada)
    waiting(db, ada, "new@example.com")
    one = hand(db, claim(db, lane="now"))[0]
    settle(db, Outcome(one, "unknown"))
    assert state(db, one) == "deferred"
    clock.move(TIMING.uncertain_ms)
    assert [again.id for again in claim(db, lane="now")] == [one.id]


def opened(db: Database, owner: Owner, one: Delivery, machine: str | None = None) -> None:
    mark = Mark(one.id, one.subscriber_id, db.clock(), machine)
    db.write_now(owner.id, mark_opened, [mark])


@pytest.mark.parametrize("machine", (None, "prefetch"))
def test_an_open_proves_that_a_mail_arrived_and_calls_the_second_try_off(
    db: Database, ada: Owner, made: int, clock: Clock, machine: str | None
) -> None:
    first, second, *_ = handed(db)
    settle(db, Outcome(first, "unknown"), Outcome(second, "unknown"))
    opened(db, ada, first, machine)
    clock.move(TIMING.uncertain_ms)
    assert [one.id for one in claim(db, Source(ada.id, made))] == [second.id]
    assert state(db, first) == "sent"
    assert numbers(db, ada, made) == {"recipients": PEOPLE, "settled": 1, "sent": 1}


def test_an_open_of_a_mail_that_was_never_in_doubt_proves_nothing(
    db: Database, ada: Owner, made: int, clock: Clock
) -> None:
    first = handed(db)[0]
    settle(db, Outcome(first, "deferred", "451", clock.now))
    opened(db, ada, first)
    assert [one.id for one in claim(db, Source(ada.id, made))] == [first.id]
