"""The course of a broadcast: started, frozen, fanned out, paused, cancelled, tried again, completed."""

from collections.abc import Callable

import pytest

from tests.core.cast import DAY, HOUR, Cast, Clock, Owner
from tests.core.ledger import (
    attempts,
    begin,
    claim,
    draft,
    fan_out,
    hand,
    handed,
    look,
    numbers,
    people,
    send,
    settle,
    started,
    state,
    states,
)
from tests.core.recount import recount
from tidings.core import broadcasts, deliveries, sending
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import Draft, course
from tidings.core.deliveries import Outcome, Source
from tidings.errors import Conflict, NotFound
from tidings.store.db import Database

PEOPLE = 4


@pytest.fixture
def ada(db: Database, cast: Cast) -> Owner:
    """Ada with Bea and three more active people, and nothing else waiting."""
    send(db, lane="now")
    people(db, cast.ada, PEOPLE - 1)
    return cast.ada


def due(db: Database) -> list[Source]:
    return db.read_now(INSTALLATION, course.due)


def sources(db: Database) -> list[Source]:
    return db.read_now(INSTALLATION, sending.sources, lane="bulk")


def finish(db: Database, owner: Owner, made: int) -> bool:
    return db.write_now(owner.id, course.finish, made)


def pause(db: Database, owner: Owner, made: int) -> broadcasts.Broadcast:
    return db.write_now(owner.id, course.pause, made)


def resume(db: Database, owner: Owner, made: int) -> broadcasts.Broadcast:
    return db.write_now(owner.id, course.resume, made)


def cancel(db: Database, owner: Owner, made: int) -> broadcasts.Broadcast:
    return db.write_now(owner.id, course.cancel, made)


def call_off(db: Database, owner: Owner, made: int) -> None:
    """Keep back what a cancelled broadcast has waiting, as the scheduler does."""
    while Source(owner.id, made) in db.read_now(INSTALLATION, course.cancelled):
        assert db.write_now(owner.id, sending.call_off, made)


# -- beginning --------------------------------------------------------------------


def test_a_broadcast_begins_when_its_time_has_come_and_only_once(
    db: Database, ada: Owner, clock: Clock
) -> None:
    made = draft(db, ada)
    db.write_now(ada.id, course.schedule, made, clock.now + HOUR)
    assert due(db) == []
    assert not db.write_now(ada.id, sending.start, made, outbox=False)
    clock.move(HOUR)
    assert due(db) == [Source(ada.id, made)]
    assert db.write_now(ada.id, sending.start, made, outbox=False)
    assert not db.write_now(ada.id, sending.start, made, outbox=False)
    assert due(db) == []
    assert look(db, ada, made).started_at == clock.now


def test_a_draft_and_a_paused_one_do_not_begin(db: Database, ada: Owner) -> None:
    made = draft(db, ada)
    assert not db.write_now(ada.id, sending.start, made, outbox=False)
    db.write_now(ada.id, course.schedule, made)
    pause(db, ada, made)
    assert due(db) == []
    assert not db.write_now(ada.id, sending.start, made, outbox=False)
    resume(db, ada, made)
    assert due(db) == [Source(ada.id, made)]


def test_who_joins_after_the_start_gets_nothing(db: Database, ada: Owner) -> None:
    made = begin(db, ada)
    people(db, ada, 3, start=100)
    fan_out(db, ada, made)
    assert look(db, ada, made).recipients == PEOPLE
    assert states(db, made) == {"queued": PEOPLE}


def test_nobody_edits_what_is_being_sent(db: Database, ada: Owner) -> None:
    made = begin(db, ada)
    frozen = db.read_now(ada.id, course.frozen, made)
    with pytest.raises(Conflict):
        db.write_now(ada.id, broadcasts.update, made, Draft(subject="Other"), "ada@example.com")
    with pytest.raises(Conflict):
        db.write_now(ada.id, course.set_audience, made, [course.Part("tag", ada.vip)])
    with pytest.raises(Conflict):
        db.write_now(ada.id, course.schedule, made)
    assert db.read_now(ada.id, course.frozen, made) == frozen
    assert frozen is not None
    assert (frozen.subject, frozen.from_address) == ("Hello", "ada@example.com")


def test_another_account_has_no_hand_in_it(db: Database, cast: Cast, ada: Owner) -> None:
    made = begin(db, ada)
    for verb in (course.pause, course.resume, course.cancel, course.schedule, course.retry):
        with pytest.raises(NotFound):
            db.write_now(cast.eve.id, verb, made)
    assert not db.write_now(cast.eve.id, course.finish, made)
    assert db.write_now(cast.eve.id, course.fan_out, made) == 0
    assert db.read_now(cast.eve.id, course.frozen, made) is None
    assert db.read_now(cast.eve.id, course.standing, made) == "cancelled"


# -- everybody gets their row -----------------------------------------------------


@pytest.mark.parametrize("size", (1, 2, 3, 4, 5, 1_000))
def test_slices_of_any_size_reach_everybody_once(db: Database, ada: Owner, size: int) -> None:
    made = begin(db, ada)
    fan_out(db, ada, made, size)
    fan_out(db, ada, made, size)
    assert states(db, made) == {"queued": PEOPLE}
    found = look(db, ada, made)
    assert found.recipients == PEOPLE
    assert found.fanned_at is not None
    assert db.read_now(INSTALLATION, course.unfanned) == []


def test_a_slice_that_is_done_again_is_harmless(db: Database, ada: Owner, cast: Cast) -> None:
    made = begin(db, ada)
    db.write_now(ada.id, course.fan_out, made, 2)
    assert db.read_now(INSTALLATION, course.unfanned) == [Source(ada.id, made)]
    assert db.write_now(ada.id, deliveries.queue_slice, made, 0, 2**40) == PEOPLE - 2
    fan_out(db, ada, made, 1)
    assert states(db, made) == {"queued": PEOPLE}


def test_a_slice_that_fails_leaves_neither_rows_nor_a_moved_cursor(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begin(db, ada)

    def killed(tx: object, *args: object) -> int:
        course.fan_out(tx, made, 2)  # type: ignore[arg-type]
        raise RuntimeError("between rows and commit")

    with pytest.raises(RuntimeError):
        db.write_now(ada.id, killed)
    assert states(db, made) == {}
    fan_out(db, ada, made, 2)
    assert states(db, made) == {"queued": PEOPLE}
    assert look(db, ada, made).recipients == PEOPLE


def test_two_schedulers_fan_out_one_broadcast(
    db: Database, ada: Owner, open_db: Callable[[], Database]
) -> None:
    people(db, ada, 40, start=100)
    made, other = begin(db, ada), open_db()
    while any(
        [db.write_now(ada.id, course.fan_out, made, 3), other.write_now(ada.id, course.fan_out, made, 3)]
    ):
        pass
    assert states(db, made) == {"queued": PEOPLE + 40}
    recount(db)


def test_a_broadcast_to_nobody_is_completed(db: Database, cast: Cast) -> None:
    made = started(db, cast.eve)
    assert db.read_now(INSTALLATION, course.finished) == [Source(cast.eve.id, made)]
    assert finish(db, cast.eve, made)
    assert look(db, cast.eve, made).status == "completed"


def test_it_is_completed_when_everybody_has_come_to_an_end(db: Database, ada: Owner, clock: Clock) -> None:
    made = started(db, ada)
    first, second, *others = handed(db)
    settle(db, *(Outcome(one, "sent") for one in others), Outcome(second, "unknown"))
    settle(db, Outcome(first, "deferred", "451", clock.now + HOUR))
    assert not finish(db, ada, made)
    clock.move(HOUR)
    send(db)
    assert db.read_now(INSTALLATION, course.finished) == [Source(ada.id, made)]
    assert finish(db, ada, made)
    assert not finish(db, ada, made)
    found = look(db, ada, made)
    assert (found.status, found.completed_at) == ("completed", clock.now)
    assert numbers(db, ada, made) == {"recipients": PEOPLE, "settled": PEOPLE, "sent": PEOPLE}


def test_it_is_not_completed_before_all_have_their_row(db: Database, ada: Owner) -> None:
    made = begin(db, ada)
    db.write_now(ada.id, course.fan_out, made, 2)
    assert send(db) == 2
    assert not finish(db, ada, made)
    fan_out(db, ada, made)
    send(db)
    assert finish(db, ada, made)


# -- pause and resume -------------------------------------------------------------


def test_while_paused_nothing_is_fanned_out_claimed_or_handed(db: Database, ada: Owner) -> None:
    made = begin(db, ada)
    db.write_now(ada.id, course.fan_out, made, 2)
    claimed = claim(db, limit=1)
    pause(db, ada, made)
    assert sources(db) == []
    assert db.read_now(INSTALLATION, course.unfanned) == []
    assert db.write_now(ada.id, course.fan_out, made) == 0
    assert hand(db, claimed) == []
    assert states(db, made) == {"queued": 2}
    assert resume(db, ada, made).paused_why is None
    fan_out(db, ada, made)
    again = claim(db)
    assert len(again) == PEOPLE
    assert {one.attempts for one in again} == {1}


def test_what_is_on_the_wire_when_it_is_paused_comes_to_its_end(db: Database, ada: Owner) -> None:
    made = started(db, ada)
    going = handed(db)
    pause(db, ada, made)
    settle(db, *(Outcome(one, "sent") for one in going))
    assert finish(db, ada, made)
    found = look(db, ada, made)
    assert (found.status, found.paused_at, found.paused_why) == ("completed", None, None)


def test_pausing_says_why_and_twice_changes_nothing(db: Database, ada: Owner, clock: Clock) -> None:
    made = started(db, ada)
    db.write_now(ada.id, course.pause, made, "the provider refuses")
    clock.move(HOUR)
    again = pause(db, ada, made)
    assert (again.paused_at, again.paused_why) == (clock.now - HOUR, "the provider refuses")
    resume(db, ada, made)
    with pytest.raises(Conflict):
        resume(db, ada, made)


def test_what_is_not_under_way_can_be_neither_paused_nor_resumed(db: Database, ada: Owner) -> None:
    written = draft(db, ada)
    sent = started(db, ada)
    send(db)
    finish(db, ada, sent)
    for made in (written, sent):
        with pytest.raises(Conflict):
            pause(db, ada, made)
        with pytest.raises(Conflict):
            resume(db, ada, made)
        with pytest.raises(Conflict):
            cancel(db, ada, made)


# -- cancel -----------------------------------------------------------------------


def test_cancelling_a_scheduled_broadcast_makes_it_a_draft_again(db: Database, ada: Owner) -> None:
    made = draft(db, ada)
    db.write_now(ada.id, course.schedule, made)
    pause(db, ada, made)
    found = cancel(db, ada, made)
    assert (found.status, found.send_at, found.paused_at, found.cancelled_at) == ("draft", None, None, None)
    assert due(db) == []


@pytest.mark.parametrize("paused", (False, True))
def test_cancelling_one_that_is_being_sent_keeps_it_from_everybody_else(
    db: Database, ada: Owner, clock: Clock, paused: bool
) -> None:
    made = started(db, ada)
    on_the_wire = hand(db, claim(db, limit=1))
    claimed = claim(db, limit=1)
    deferred = hand(db, claim(db, limit=1))
    settle(db, Outcome(deferred[0], "deferred", "451", clock.now + HOUR))
    if paused:
        pause(db, ada, made)
    cancel(db, ada, made)
    assert cancel(db, ada, made).cancelled_at == clock.now
    assert sources(db) == []
    assert hand(db, claimed) == []
    assert state(db, claimed[0]) == "suppressed"
    call_off(db, ada, made)
    assert states(db, made) == {"suppressed": PEOPLE - 1, "handed": 1}
    assert not finish(db, ada, made)
    settle(db, Outcome(on_the_wire[0], "sent"))
    assert finish(db, ada, made)
    assert numbers(db, ada, made) == {
        "recipients": PEOPLE,
        "settled": PEOPLE,
        "sent": 1,
        "suppressed": PEOPLE - 1,
    }


def test_cancelling_in_the_middle_of_the_fan_out_ends_it(db: Database, ada: Owner) -> None:
    made = begin(db, ada)
    db.write_now(ada.id, course.fan_out, made, 2)
    cancel(db, ada, made)
    assert db.write_now(ada.id, course.fan_out, made) == 0
    call_off(db, ada, made)
    assert states(db, made) == {"suppressed": 2}
    assert finish(db, ada, made)


def test_a_cancelled_broadcast_can_be_neither_paused_nor_held_nor_tried_again(
    db: Database, ada: Owner, clock: Clock
) -> None:
    made = started(db, ada)
    going = hand(db, claim(db, limit=1))
    settle(db, Outcome(going[0], "failed"))
    cancel(db, ada, made)
    with pytest.raises(Conflict):
        pause(db, ada, made)
    with pytest.raises(Conflict):
        db.write_now(ada.id, course.retry, made)
    clock.move(DAY)
    assert db.write_now(INSTALLATION, course.hold_overdue, clock.now) == 0
    call_off(db, ada, made)
    assert finish(db, ada, made)


def test_a_mail_that_comes_back_after_the_cancelling_is_kept_back_too(
    db: Database, ada: Owner, clock: Clock
) -> None:
    made = started(db, ada)
    going = handed(db)
    cancel(db, ada, made)
    settle(db, Outcome(going[0], "unknown"), *(Outcome(one, "queued", untried=True) for one in going[1:]))
    call_off(db, ada, made)
    assert states(db, made) == {"suppressed": PEOPLE}
    assert finish(db, ada, made)
    recount(db)


# -- try again those that failed --------------------------------------------------


def test_only_those_that_failed_are_tried_again(db: Database, ada: Owner, clock: Clock) -> None:
    made = started(db, ada)
    first, second, third, fourth = handed(db)
    settle(db, Outcome(first, "failed", "550"), Outcome(second, "uncertain"), Outcome(third, "sent"))
    settle(db, Outcome(fourth, "suppressed"))
    finish(db, ada, made)
    clock.move(30 * DAY)
    assert db.write_now(ada.id, course.retry, made) == 1
    assert db.write_now(ada.id, course.retry, made) == 0
    found = look(db, ada, made)
    assert (found.status, found.completed_at, found.failed, found.settled) == ("sending", None, 0, 3)
    again = hand(db, claim(db))
    assert [(one.id, one.attempts) for one in again] == [(first.id, 1)]
    settle(db, Outcome(again[0], "sent"))
    assert finish(db, ada, made)
    assert numbers(db, ada, made)["sent"] == 2
    assert attempts(db, ada, first) == [(1, "failed", "")]


def test_a_retry_goes_slice_by_slice(db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries.report, "RETRY_SLICE", 3)
    made = started(db, ada)
    settle(db, *(Outcome(one, "failed") for one in handed(db)))
    assert [db.write_now(ada.id, course.retry, made) for _ in range(3)] == [3, 1, 0]
    recount(db)


def test_a_draft_cannot_be_tried_again(db: Database, ada: Owner) -> None:
    with pytest.raises(Conflict):
        db.write_now(ada.id, course.retry, draft(db, ada))
