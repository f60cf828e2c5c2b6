"""Going through a sequence: entering, waiting, the end, repeating, leaving, being passed over."""

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.core.cast import API, DAY, HOUR, Clock, Owner, join, names, rows
from tests.core.recount import recount
from tidings.core import (
    accounts,
    advance,
    deliveries,
    entries,
    preferences,
    sequences,
    signup,
    subscribers,
    subscriptions,
)
from tidings.core.accounts import INSTALLATION
from tidings.core.entries import Entry
from tidings.core.sequences import Exclusions, SequenceEmail
from tidings.core.subscribers import zones
from tidings.errors import NotFound
from tidings.store.db import Database
from tidings.store.tx import Tx


def tick(db: Database) -> None:
    """Let everybody who is due go on, until nobody is."""
    for _ in range(100):
        if not db.write_now(INSTALLATION, advance.tick):
            return
    pytest.fail("the tick never comes to rest")


def write(db: Database, owner: Owner, *delays: int, sequence_id: int | None = None) -> list[int]:
    """Give a sequence emails with these delays; return their ids."""
    words = [SequenceEmail(f"Email {n}", f"<p>{n}</p>", delay) for n, delay in enumerate(delays, 1)]
    sequence_id = sequence_id or owner.sequence
    db.write_now(owner.id, sequences.set_emails, sequence_id, words)
    return list(db.read_now(owner.id, sequences.emails_by_id, sequence_id))


def queued(db: Database, owner: Owner, subscriber_id: int, state: str = "queued") -> list[int]:
    """The emails that are queued for somebody, by id, in the order of queueing."""
    found = rows(
        db,
        "SELECT occasion FROM deliveries WHERE account_id = :id AND subscriber_id = :who"
        " AND occasion LIKE 'sequence-email:%' AND state = :state ORDER BY id",
        id=owner.id,
        who=subscriber_id,
        state=state,
    )
    return [int(str(one[0]).split(":")[1]) for one in found]


def entry(db: Database, owner: Owner, subscriber_id: int) -> Entry:
    return db.read_now(owner.id, entries.of_subscriber, subscriber_id)[-1]


def enter(db: Database, owner: Owner, email: str = "nia@example.com") -> int:
    return join(db, owner, "sequence", owner.sequence, email)[1].id


def turn(db: Database, owner: Owner, subscriber_id: int, state: str) -> None:
    db.write_now(owner.id, lambda tx: subscriptions.turn(tx, subscribers.get(tx, subscriber_id), state))


def test_each_email_comes_its_delay_after_the_one_before(db: Database, ada: Owner, clock: Clock) -> None:
    one, two, three = write(db, ada, 0, DAY, 3 * HOUR)
    nia = enter(db, ada)
    for passing, expected in (
        (0, [one]),
        (DAY - 1, [one]),
        (1, [one, two]),
        (3 * HOUR - 1, [one, two]),
        (1, [one, two, three]),
        (30 * DAY, [one, two, three]),
    ):
        clock.move(passing)
        tick(db)
        assert queued(db, ada, nia) == expected
    assert entry(db, ada, nia).state == "ended"
    assert names(db, ada, nia) == ["course_subscribe", "subscriber_activate", "course_complete"]
    occasions = rows(
        db, "SELECT occasion, lane FROM deliveries WHERE subscriber_id = :id ORDER BY id", id=nia
    )
    first = entry(db, ada, nia).id
    assert occasions == [(f"sequence-email:{email}:{first}", "bulk") for email in (one, two, three)]
    recount(db)


def test_a_late_engine_keeps_the_distances_between_emails(db: Database, ada: Owner, clock: Clock) -> None:
    one, two = write(db, ada, DAY, DAY)
    nia = enter(db, ada)
    clock.move(10 * DAY)
    tick(db)
    assert queued(db, ada, nia) == [one]
    clock.move(DAY)
    tick(db)
    assert queued(db, ada, nia) == [one, two]


def test_subscribing_again_changes_nothing_for_who_is_inside(db: Database, ada: Owner, clock: Clock) -> None:
    one, two = write(db, ada, 0, DAY)
    nia = enter(db, ada)
    tick(db)
    enter(db, ada)
    clock.move(DAY)
    tick(db)
    enter(db, ada)
    tick(db)
    assert queued(db, ada, nia) == [one, two]
    assert len(db.read_now(ada.id, entries.of_subscriber, nia)) == 1


def test_a_sequence_that_repeats_begins_anew_only_after_the_end(
    db: Database, ada: Owner, clock: Clock
) -> None:
    one, two = write(db, ada, 0, DAY)
    db.write_now(ada.id, sequences.update, ada.sequence, name="Again", hold=False, repeat=True)
    nia = enter(db, ada)
    tick(db)
    enter(db, ada)
    tick(db)
    assert queued(db, ada, nia) == [one]
    clock.move(DAY)
    tick(db)
    enter(db, ada)
    tick(db)
    assert queued(db, ada, nia) == [one, two, one]
    assert [each.n for each in db.read_now(ada.id, entries.of_subscriber, nia)] == [1, 2]
    clock.move(DAY)
    tick(db)
    assert names(db, ada, nia).count("course_complete") == 2


def test_who_has_finished_is_held_for_what_is_added_at_the_end(
    db: Database, ada: Owner, clock: Clock
) -> None:
    write(db, ada, 0)
    db.write_now(ada.id, sequences.update, ada.sequence, name="Held", hold=True, repeat=True)
    nia = enter(db, ada)
    tick(db)
    assert entry(db, ada, nia).state == "held"
    enter(db, ada)
    assert len(db.read_now(ada.id, entries.of_subscriber, nia)) == 1
    clock.move(30 * DAY)
    added = db.write_now(ada.id, sequences.add_email, ada.sequence, SequenceEmail("New", "<p>n</p>", DAY))
    tick(db)
    assert queued(db, ada, nia)[-1] == added
    assert entry(db, ada, nia).state == "held"
    assert names(db, ada, nia).count("course_complete") == 1
    db.write_now(ada.id, sequences.update, ada.sequence, name="Held", hold=False, repeat=False)
    tick(db)
    assert entry(db, ada, nia).state == "ended"
    assert names(db, ada, nia).count("course_complete") == 1


def test_who_has_finished_without_hold_gets_nothing_more(db: Database, ada: Owner, clock: Clock) -> None:
    (one,) = write(db, ada, 0)
    nia = enter(db, ada)
    tick(db)
    db.write_now(ada.id, sequences.add_email, ada.sequence, SequenceEmail("New", "<p>n</p>", 0))
    clock.move(DAY)
    tick(db)
    assert queued(db, ada, nia) == [one]


def test_a_sequence_without_published_emails_lets_people_wait(db: Database, ada: Owner, clock: Clock) -> None:
    nia = enter(db, ada)
    tick(db)
    draft = db.write_now(
        ada.id, sequences.add_email, ada.sequence, SequenceEmail("Draft", "<p>d</p>", HOUR, published=False)
    )
    clock.move(DAY)
    tick(db)
    assert entry(db, ada, nia).state == "inside"
    assert "course_complete" not in names(db, ada, nia)
    db.write_now(ada.id, sequences.publish, draft)
    tick(db)
    assert queued(db, ada, nia) == [draft]


def test_who_is_not_active_waits_and_begins_when_they_are(db: Database, ada: Owner, clock: Clock) -> None:
    (one,) = write(db, ada, DAY)
    also = signup.Also(sequences=[ada.sequence])
    nia = join(db, ada, "form", ada.double, "nia@example.com", also=also)[1].id
    clock.move(5 * DAY)
    tick(db)
    assert queued(db, ada, nia) == []
    turn(db, ada, nia, "active")
    tick(db)
    assert queued(db, ada, nia) == []
    clock.move(DAY)
    tick(db)
    assert queued(db, ada, nia) == [one]


def test_who_bounces_on_the_way_is_sent_nothing_more(db: Database, ada: Owner, clock: Clock) -> None:
    one, _ = write(db, ada, 0, DAY)
    nia = enter(db, ada)
    tick(db)
    turn(db, ada, nia, "bounced")
    clock.move(9 * DAY)
    tick(db)
    assert queued(db, ada, nia) == [one]
    assert not db.read_now(INSTALLATION, advance.any_due)


LEAVINGS: dict[str, Callable[[Tx, Owner, int], object]] = {
    "out of the sequence": lambda tx, ada, _: signup.leave(
        tx, "sequence", ada.sequence, "nia@example.com", API
    ),
    "out of everything": lambda tx, _, __: signup.unsubscribe(tx, "nia@example.com", API),
    "by a rule": lambda tx, ada, who: entries.leave(tx, who, ada.sequence),
}


@pytest.mark.parametrize("how", LEAVINGS)
def test_who_leaves_is_sent_nothing_more_not_even_what_was_queued(
    db: Database, ada: Owner, clock: Clock, how: str
) -> None:
    one, two = write(db, ada, 0, DAY)
    nia, ben = enter(db, ada), enter(db, ada, "ben@example.com")
    tick(db)
    db.write_now(ada.id, LEAVINGS[how], ada, nia)
    assert queued(db, ada, nia) == []
    assert queued(db, ada, nia, "suppressed") == [one]
    assert entry(db, ada, nia).state == "left"
    assert not db.read_now(ada.id, entries.may_have, entry(db, ada, nia).id)
    clock.move(DAY)
    tick(db)
    assert queued(db, ada, nia) == []
    assert queued(db, ada, ben) == [one, two]
    assert db.read_now(ada.id, entries.may_have, entry(db, ada, ben).id)


def test_what_is_handed_already_is_not_called_suppressed(db: Database, ada: Owner) -> None:
    write(db, ada, 0)
    nia = enter(db, ada)
    tick(db)
    db.write_now(ada.id, lambda tx: tx.run("UPDATE deliveries SET state = 'handed'"))
    db.write_now(ada.id, entries.leave, nia, ada.sequence)
    assert len(queued(db, ada, nia, "handed")) == 1


def test_many_queued_mails_of_one_person_are_suppressed_together(db: Database, ada: Owner) -> None:
    nia = enter(db, ada)
    occasions = [f"sequence-email:{n}:1" for n in range(137)]

    def queue(tx: Tx) -> None:
        for one in [*occasions, "sequence-email:9000:2"]:
            deliveries.queue(tx, one, nia, lane="bulk")

    db.write_now(ada.id, queue)
    assert db.write_now(ada.id, deliveries.suppress_queued, nia, occasions, "left") == 137
    assert queued(db, ada, nia) == [9_000]


def test_who_comes_back_takes_up_where_they_were(db: Database, ada: Owner, clock: Clock) -> None:
    one, two = write(db, ada, 0, DAY)
    nia = enter(db, ada)
    tick(db)
    db.write_now(ada.id, LEAVINGS["out of everything"], ada, nia)
    clock.move(30 * DAY)
    assert enter(db, ada) == nia
    tick(db)
    assert queued(db, ada, nia) == []
    clock.move(DAY)
    tick(db)
    assert queued(db, ada, nia, "suppressed") == [one]
    assert queued(db, ada, nia) == [two]


def test_who_has_an_excluded_tag_or_form_is_passed_over_at_their_next_step(
    db: Database, ada: Owner, clock: Clock
) -> None:
    one, two = write(db, ada, 0, DAY)
    excluded = Exclusions(tags=[ada.vip], forms=[ada.plain])
    db.write_now(ada.id, sequences.set_exclusions, ada.sequence, excluded)
    people = {name: enter(db, ada, f"{name}@example.com") for name in ("tagged", "joined", "left", "other")}
    join(db, ada, "form", ada.plain, "left@example.com")
    db.write_now(ada.id, signup.leave, "form", ada.plain, "left@example.com", API)
    tick(db)
    join(db, ada, "tag", ada.vip, "tagged@example.com")
    join(db, ada, "form", ada.plain, "joined@example.com")
    join(db, ada, "tag", ada.tag, "other@example.com")
    clock.move(DAY)
    tick(db)
    for name, expected in (("tagged", [one]), ("joined", [one]), ("left", [one, two]), ("other", [one, two])):
        assert queued(db, ada, people[name]) == expected, name
    assert entry(db, ada, people["tagged"]).state == "left"
    assert db.read_now(ada.id, sequences.exclusions, ada.sequence) == excluded


def test_an_email_goes_out_at_its_hour_in_the_readers_or_the_accounts_zone(
    db: Database, ada: Owner, clock: Clock
) -> None:
    write(db, ada, DAY)
    db.write_now(ada.id, accounts.set_time_zone, "America/New_York")
    db.write_now(ada.id, sequences.set_schedule, ada.sequence, hour=9, zone="subscriber")
    tokyo, nowhere, unknown = (enter(db, ada, f"{n}@example.com") for n in ("tokyo", "nowhere", "unknown"))
    db.write_now(ada.id, zones.place, tokyo, "Asia/Tokyo")
    db.write_now(ada.id, zones.place, unknown, "Mars/Olympus")
    tick(db)
    at = {who: entry(db, ada, who).next_at or 0 for who in (tokyo, nowhere, unknown)}
    for who, zone in ((tokyo, "Asia/Tokyo"), (nowhere, "America/New_York"), (unknown, "America/New_York")):
        due = datetime.fromtimestamp(at[who] / 1_000, ZoneInfo(zone))
        entered = datetime.fromtimestamp(clock.now / 1_000, ZoneInfo(zone))
        assert (due.hour, due.minute, (due.date() - entered.date()).days) == (9, 0, 1)
    db.write_now(ada.id, sequences.set_schedule, ada.sequence, hour=9, zone="account")
    tick(db)
    assert entry(db, ada, tokyo).next_at == at[nowhere]


def test_two_ticks_at_once_double_nothing(
    open_db: Callable[[], Database], ada: Owner, db: Database, clock: Clock
) -> None:
    write(db, ada, 0, HOUR)
    people = [enter(db, ada, f"p{n}@example.com") for n in range(40)]
    other = open_db()

    async def both() -> None:
        calls = [one.write(INSTALLATION, advance.tick, 15) for one in (db, other) for _ in range(12)]
        await asyncio.gather(*calls)

    for _ in range(3):
        asyncio.run(both())
        clock.move(HOUR)
    tick(db)
    for who in people:
        assert len(queued(db, ada, who)) == 2
        assert names(db, ada, who).count("course_complete") == 1


def test_who_is_being_changed_by_somebody_else_is_not_waited_for(
    db: Database, ada: Owner, clock: Clock
) -> None:
    if not db.shared:
        pytest.skip("does not apply: on SQLite one process writes at a time")
    write(db, ada, 0)
    nia, ben = enter(db, ada), enter(db, ada, "ben@example.com")
    somebody_else = db.session(writer=True)
    somebody_else.begin()
    somebody_else.fetch("SELECT 1 FROM subscribers WHERE id = :id FOR UPDATE", {"id": nia})
    working = threading.Thread(target=tick, args=(db,))
    working.start()
    working.join(30)
    waited = working.is_alive()
    somebody_else.rollback()
    somebody_else.close()
    working.join()
    assert not waited
    assert (queued(db, ada, nia), len(queued(db, ada, ben))) == ([], 1)
    clock.move(entries.AGAIN_MS)
    tick(db)
    assert len(queued(db, ada, nia)) == 1


def test_who_was_held_while_inactive_gets_what_was_added_meanwhile(
    db: Database, ada: Owner, clock: Clock
) -> None:
    (one,) = write(db, ada, 0)
    db.write_now(ada.id, sequences.update, ada.sequence, name="Held", hold=True, repeat=False)
    nia = enter(db, ada)
    tick(db)
    turn(db, ada, nia, "inactive")
    words = SequenceEmail("New", "<p>n</p>", 0)
    added = db.write_now(ada.id, sequences.add_email, ada.sequence, words)
    tick(db)
    assert queued(db, ada, nia) == [one]
    turn(db, ada, nia, "active")
    tick(db)
    assert queued(db, ada, nia) == [one, added]


def test_an_archived_sequence_mails_nobody_and_goes_on_when_it_is_restored(
    db: Database, ada: Owner, clock: Clock
) -> None:
    one, two = write(db, ada, 0, DAY)
    db.write_now(ada.id, sequences.set_public, ada.sequence, public=True)
    nia = enter(db, ada)
    tick(db)
    db.write_now(ada.id, sequences.archive, ada.sequence)
    tick(db)
    # Who joins meanwhile waits too, and nobody is looked at again and again.
    ola = enter(db, ada, "ola@example.com")
    clock.move(30 * DAY)
    tick(db)
    assert (queued(db, ada, nia), queued(db, ada, ola)) == ([one], [])
    assert [entry(db, ada, who).next_at for who in (nia, ola)] == [None, None]
    assert db.read_now(ada.id, preferences.public) == []
    assert db.read_now(ada.id, sequences.public_names)
    # A person who turns active meanwhile does not set it going.
    for state in ("cancelled", "active"):
        turn(db, ada, nia, state)
        tick(db)
    assert queued(db, ada, nia) == [one]
    db.write_now(ada.id, sequences.restore, ada.sequence)
    tick(db)
    assert (queued(db, ada, nia), queued(db, ada, ola)) == ([one, two], [one])
    assert [choice.id for choice in db.read_now(ada.id, preferences.public)] == [ada.sequence]
    with pytest.raises(NotFound):
        db.write_now(ada.id, sequences.archive, 999)


def test_who_is_held_in_an_archived_sequence_is_held_in_it_again(
    db: Database, ada: Owner, clock: Clock
) -> None:
    db.write_now(ada.id, sequences.update, ada.sequence, name="Course", hold=True, repeat=False)
    (one,) = write(db, ada, 0)
    nia = enter(db, ada)
    tick(db)
    assert entry(db, ada, nia).state == "held"
    db.write_now(ada.id, sequences.archive, ada.sequence)
    tick(db)
    words = [SequenceEmail(f"Email {n}", f"<p>{n}</p>", delay) for n, delay in enumerate((0, 0), 1)]
    db.write_now(ada.id, sequences.set_emails, ada.sequence, words)
    tick(db)
    assert (entry(db, ada, nia).state, queued(db, ada, nia)) == ("held", [one])
    db.write_now(ada.id, sequences.restore, ada.sequence)
    tick(db)
    assert len(queued(db, ada, nia)) == 2
