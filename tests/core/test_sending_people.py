"""Sending: what a refusal means for a person, and what an owner sees."""

import pytest

from tests.core.cast import DAY, Cast, Clock, Owner, names
from tests.core.ledger import (
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
from tidings.core import broadcasts, deliveries, sending, subscribers, subscriptions
from tidings.core.broadcasts import course
from tidings.core.deliveries import Delivery, Outcome, Source
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


def someone(db: Database, owner: Owner, one: Delivery) -> subscribers.Subscriber:
    return db.read_now(owner.id, subscribers.get, one.subscriber_id)


def test_proof_about_the_mailbox_ends_all_mail_to_it(db: Database, ada: Owner, made: int) -> None:
    second = started(db, ada)
    first = hand(db, claim(db, Source(ada.id, made)))[0]
    settle(db, Outcome(first, "failed", "550 5.1.1 no such user", verdict="mailbox"))
    assert someone(db, ada, first).state == "bounced"
    assert names(db, ada, first.subscriber_id)[-1] == "subscriber_bounce"
    others = hand(db, claim(db, Source(ada.id, second)))
    assert first.subscriber_id not in {one.subscriber_id for one in others}
    assert states(db, second) == {"suppressed": 1, "handed": PEOPLE - 1}
    recount(db)


@pytest.mark.parametrize("verdict", ("policy", "relay", "temporary", ""))
def test_a_refusal_of_us_or_of_the_content_does_not_touch_the_person(
    db: Database, ada: Owner, made: int, verdict: str
) -> None:
    first = handed(db)[0]
    settle(db, Outcome(first, "failed", "550 5.7.1 refused", verdict=verdict))
    assert someone(db, ada, first).state == "active"
    assert state(db, first) == "failed"


def refuse_softly(
    db: Database, owner: Owner, verdict: str = "mailbox-full", ending: str = "failed"
) -> Delivery:
    """Send everybody a broadcast, and have the last mailbox refuse it."""
    going = hand(db, claim(db, Source(owner.id, started(db, owner))))
    settle(db, *(Outcome(one, "sent") for one in going[:-1]))
    settle(db, Outcome(going[-1], ending, "452 4.2.2 full", db.clock() + 30 * DAY, verdict=verdict))
    return going[-1]


@pytest.mark.parametrize("verdict", ("soft", "mailbox-full"))
def test_a_soft_refusal_counts_after_three_mails_over_a_week(
    db: Database, ada: Owner, clock: Clock, verdict: str
) -> None:
    assert someone(db, ada, refuse_softly(db, ada, verdict)).state == "active"
    clock.move(4 * DAY)
    assert someone(db, ada, refuse_softly(db, ada, verdict)).state == "active"
    clock.move(3 * DAY - 1)
    assert someone(db, ada, refuse_softly(db, ada, verdict)).state == "active"
    clock.move(1)
    assert someone(db, ada, refuse_softly(db, ada, verdict)).state == "bounced"
    recount(db)


def test_one_mail_that_a_full_mailbox_refuses_again_and_again_counts_once(
    db: Database, ada: Owner, clock: Clock
) -> None:
    refuse_softly(db, ada)
    clock.move(8 * DAY)
    last = refuse_softly(db, ada)
    assert last.broadcast_id is not None
    db.write_now(ada.id, course.retry, last.broadcast_id)
    again = hand(db, claim(db))[0]
    assert again.id == last.id
    settle(db, Outcome(again, "failed", "full again", verdict="mailbox-full"))
    assert someone(db, ada, last).state == "active"


def test_a_soft_refusal_that_passed_does_not_count(db: Database, ada: Owner, clock: Clock) -> None:
    for _ in range(3):
        refuse_softly(db, ada, ending="deferred")
        clock.move(5 * DAY)
    assert someone(db, ada, refuse_softly(db, ada)).state == "active"


def test_soft_refusals_of_long_ago_are_forgotten(db: Database, ada: Owner, clock: Clock) -> None:
    for _ in range(2):
        refuse_softly(db, ada)
    clock.move(70 * DAY)
    assert someone(db, ada, refuse_softly(db, ada)).state == "active"


@pytest.mark.parametrize("before", ("cancelled", "complained"))
def test_who_left_before_the_bounce_came_has_left(db: Database, ada: Owner, made: int, before: str) -> None:
    first = handed(db)[0]
    db.write_now(ada.id, subscriptions.turn, someone(db, ada, first), before)
    settle(db, Outcome(first, "failed", "550 5.1.1", verdict="mailbox"))
    assert someone(db, ada, first).state == before
    recount(db)


@pytest.mark.parametrize("becomes", ("cancelled", "bounced", "complained", "inactive"))
def test_the_last_look_keeps_mail_from_who_is_not_active_any_more(
    db: Database, ada: Owner, made: int, becomes: str
) -> None:
    claimed = claim(db)
    db.write_now(ada.id, subscriptions.turn, someone(db, ada, claimed[0]), becomes)
    assert hand(db, claimed) == claimed[1:]
    assert state(db, claimed[0]) == "suppressed"
    assert numbers(db, ada, made) == {"recipients": PEOPLE, "settled": 1, "suppressed": 1}


def test_every_recipient_can_be_listed_with_what_became_of_them(db: Database, ada: Owner, made: int) -> None:
    first, second, *others = handed(db)
    settle(db, Outcome(first, "failed", "550 no"), Outcome(second, "uncertain", "broke"))
    settle(db, *(Outcome(one, "sent") for one in others))
    found: list[deliveries.Row] = []
    while some := db.read_now(
        ada.id,
        deliveries.of_broadcast,
        made,
        after_id=found[-1].subscriber_id if found else 0,
        limit=2,
    ):
        found += some
    assert [row.state for row in found] == ["failed", "uncertain"] + ["sent"] * (PEOPLE - 2)
    unsent = db.read_now(ada.id, deliveries.of_broadcast, made, unsent=True)
    assert [(row.state, row.reply) for row in unsent] == [("failed", "550 no"), ("uncertain", "broke")]
    one = db.read_now(ada.id, deliveries.of_subscriber, first.subscriber_id)
    assert one[0].occasion == f"broadcast:{made}"


def test_what_a_broadcast_lacks_is_said_before_it_begins(db: Database, ada: Owner) -> None:
    for words, lacking in (({"subject": ""}, "subject"), ({"content": ""}, "content")):
        made = draft(db, ada, **words)
        db.write_now(ada.id, course.schedule, made)
        with pytest.raises(sending.NotReady, match=lacking):
            db.write_now(ada.id, sending.start, made, outbox=False)
        assert look(db, ada, made).status == "scheduled"


def test_without_a_postal_address_nothing_but_the_outbox_gets_bulk_mail(db: Database, cast: Cast) -> None:
    eve = cast.eve
    written = broadcasts.Draft(subject="Hello", content="<p>Hi</p>", send_at=db.clock())
    made = db.write_now(eve.id, broadcasts.create, written, "eve@example.com").id
    with pytest.raises(sending.NotReady, match="postal address"):
        db.write_now(eve.id, sending.start, made, outbox=False)
    assert db.write_now(eve.id, sending.start, made, outbox=True)
    fan_out(db, eve, made)
