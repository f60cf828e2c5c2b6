"""What became of a sequence's emails, who stands behind which, and two people who edit one of them."""

import msgspec
import pytest

from tests.core import ledger
from tests.core.cast import API, DAY, Cast, Clock, Owner, rows
from tests.core.recount import recount
from tests.core.test_sequences import enter, tick, turn, write
from tidings.core import entries, forms, preferences, sequences, subscriptions, tracking
from tidings.core.deliveries import Delivery, Outcome, Source
from tidings.core.forms import FormSettings
from tidings.core.sequences import numbers
from tidings.core.sequences.numbers import Numbers
from tidings.core.tracking import Hit
from tidings.errors import Conflict, NotFound
from tidings.store.db import Database


def sent(db: Database, owner: Owner) -> list[Delivery]:
    """Let everything that is queued be sent; return the deliveries."""
    handed = ledger.hand(db, ledger.claim(db, Source(owner.id)))
    ledger.settle(db, *(Outcome(one, "sent") for one in handed))
    return handed


def counted(db: Database, owner: Owner, email_id: int) -> Numbers:
    return db.read_now(owner.id, numbers.of_sequence, owner.sequence).get(email_id, Numbers())


def hit(db: Database, owner: Owner, one: Delivery, clock: Clock, link: tracking.Link | None = None) -> None:
    given = Hit(one.id, one.subscriber_id, clock.now, link)
    db.write_now(owner.id, tracking.record, [given])


def link_of(db: Database, owner: Owner, email_id: int) -> tracking.Link:
    who = f"sequence-email:{email_id}"
    (made,) = db.write_now(owner.id, tracking.link_ids, who, ["https://x.example/"])
    found = db.read_now(owner.id, tracking.link, made)
    assert found is not None
    return found


def test_sent_opened_clicked_and_left_are_counted_once_for_each_person(
    db: Database, ada: Owner, clock: Clock
) -> None:
    first, second = write(db, ada, 0, DAY)
    people = [enter(db, ada, f"p{n}@example.com") for n in range(3)]
    tick(db)
    done = sent(db, ada)
    assert len(done) == 3
    assert counted(db, ada, first) == Numbers(sent=3)
    clock.move(60_000)
    for one in done[:2]:
        for _ in range(2):
            hit(db, ada, one, clock)
    link = link_of(db, ada, first)
    for _ in range(2):
        hit(db, ada, done[0], clock, link)
    assert counted(db, ada, first) == Numbers(sent=3, opens=2, clicks=1)
    db.write_now(ada.id, preferences.leave_all, people[2], done[2].id, "page", API)
    db.write_now(ada.id, preferences.leave_all, people[2], done[2].id, "page", API)
    assert counted(db, ada, first) == Numbers(3, 2, 1, 1)
    db.write_now(ada.id, preferences.undo, people[2], done[2].id, API)
    assert counted(db, ada, first) == Numbers(3, 2, 1, 0)
    assert counted(db, ada, second) == Numbers()
    assert db.read_now(ada.id, numbers.of_all) == {ada.sequence: Numbers(3, 2, 1, 0)}
    recount(db)


def test_what_is_not_sent_and_what_machines_do_is_not_counted(db: Database, ada: Owner, clock: Clock) -> None:
    (first,) = write(db, ada, 0)
    enter(db, ada, "p0@example.com")
    enter(db, ada, "p1@example.com")
    tick(db)
    one, other = ledger.hand(db, ledger.claim(db, Source(ada.id)))
    ledger.settle(db, Outcome(one, "failed", "no"), Outcome(other, "deferred", "later", clock.now))
    assert counted(db, ada, first) == Numbers()
    (again,) = ledger.hand(db, ledger.claim(db, Source(ada.id)))
    ledger.settle(db, Outcome(again, "sent"))
    ledger.settle(db, Outcome(again, "sent"))
    assert counted(db, ada, first) == Numbers(sent=1)
    # Within three seconds of the handing over no person can have seen it.
    hit(db, ada, again, clock)
    assert counted(db, ada, first) == Numbers(sent=1)


def test_numbers_of_a_removed_email_stay_with_its_sequence(db: Database, ada: Owner) -> None:
    first, second = write(db, ada, 0, DAY)
    enter(db, ada)
    tick(db)
    sent(db, ada)
    db.write_now(ada.id, sequences.remove_email, first)
    assert db.read_now(ada.id, numbers.of_all) == {ada.sequence: Numbers(sent=1)}
    assert db.read_now(ada.id, numbers.emails_of_all) == {ada.sequence: (1, 1)}
    db.write_now(ada.id, sequences.unpublish, second)
    assert db.read_now(ada.id, numbers.emails_of_all) == {ada.sequence: (1, 0)}


def test_mails_of_broadcasts_and_confirmations_are_no_emails_of_sequences(db: Database, cast: Cast) -> None:
    for occasion in ("broadcast:7", "confirm:1:1", "sequence-email:x:1", "sequence-email", ""):
        db.write_now(cast.ada.id, lambda tx, said=occasion: numbers.count(tx, said, sent=1))
    assert rows(db, "SELECT * FROM sequence_numbers") == []


def test_everybody_inside_stands_behind_the_email_they_had_last(
    db: Database, cast: Cast, clock: Clock
) -> None:
    ada = cast.ada
    first, second = write(db, ada, 0, DAY)
    people = [enter(db, ada, f"p{n}@example.com") for n in range(4)]
    turn(db, ada, enter(db, ada, "asleep@example.com"), "bounced")
    behind = lambda: db.read_now(ada.id, entries.behind, ada.sequence, [first, second], 100)  # noqa: E731
    assert behind() == {0: 5, first: 0, second: 0}
    tick(db)
    assert behind() == {0: 1, first: 4, second: 0}
    turn(db, ada, people[0], "bounced")
    db.write_now(ada.id, subscriptions.leave, _who(db, ada, people[1]), "sequence", ada.sequence, API)
    assert behind() == {0: 1, first: 3, second: 0}
    clock.move(DAY)
    tick(db)
    assert behind() == {0: 1, first: 1, second: 0}
    found = db.read_now(ada.id, entries.counts, [ada.sequence, 99_999], 100)
    assert found[ada.sequence] == {"inside": 2, "held": 0, "ended": 2, "left": 1}
    assert found[99_999] == {"inside": 0, "held": 0, "ended": 0, "left": 0}
    assert db.read_now(cast.eve.id, entries.counts, [ada.sequence], 100)[ada.sequence]["inside"] == 0
    many = db.read_now(ada.id, entries.behind, ada.sequence, [first, *range(10_000, 10_120)], 100)
    assert (len(many), many[0], many[10_119]) == (122, 1, 0)


def _who(db: Database, owner: Owner, subscriber_id: int) -> subscriptions.Subscriber:
    return db.read_now(owner.id, subscriptions.subscribers.get, subscriber_id)


def test_people_are_counted_up_to_a_bound(db: Database, ada: Owner) -> None:
    (first,) = write(db, ada, 0)
    for n in range(4):
        enter(db, ada, f"p{n}@example.com")
    assert db.read_now(ada.id, entries.counts, [ada.sequence], 2)[ada.sequence]["inside"] == 2
    assert db.read_now(ada.id, entries.behind, ada.sequence, [], 2) == {0: 2}
    tick(db)
    assert db.read_now(ada.id, entries.behind, ada.sequence, [first], 3) == {0: 0, first: 0}
    assert db.read_now(ada.id, entries.counts, [ada.sequence], 3)[ada.sequence]["ended"] == 3


def test_of_two_who_edit_an_email_the_second_is_told_and_changes_nothing(db: Database, cast: Cast) -> None:
    ada = cast.ada
    (first,) = write(db, ada, 0)
    seen = db.read_now(ada.id, sequences.written, ada.sequence, first)
    mine = msgspec.structs.replace(seen.email, subject="Mine")
    theirs = msgspec.structs.replace(seen.email, subject="Theirs")
    db.write_now(ada.id, sequences.change_email, first, theirs, version=seen.version)
    with pytest.raises(Conflict):
        db.write_now(ada.id, sequences.change_email, first, mine, version=seen.version)
    now = db.read_now(ada.id, sequences.written, ada.sequence, first)
    assert (now.email.subject, now.version) == ("Theirs", seen.version + 1)
    db.write_now(ada.id, sequences.change_email, first, mine, version=now.version)
    db.write_now(ada.id, sequences.change_email, first, theirs)
    db.write_now(ada.id, sequences.unpublish, first)
    last = db.read_now(ada.id, sequences.written, ada.sequence, first)
    assert (last.version, last.email.published) == (seen.version + 4, False)


def test_an_email_is_found_in_its_own_sequence_alone(db: Database, cast: Cast) -> None:
    ada = cast.ada
    (first,) = write(db, ada, 0)
    other = db.write_now(ada.id, sequences.create, "Other")
    for owner, sequence_id, email_id in (
        (ada, other, first), (ada, ada.sequence, 2**62), (cast.eve, ada.sequence, first),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            db.read_now(owner.id, sequences.written, sequence_id, email_id)
    db.write_now(ada.id, sequences.remove_email, first)
    with pytest.raises(NotFound):
        db.read_now(ada.id, sequences.written, ada.sequence, first)


def test_of_two_who_edit_a_form_the_second_is_told_and_changes_nothing(db: Database, cast: Cast) -> None:
    ada = cast.ada
    seen = db.read_now(ada.id, forms.find, ada.plain)
    db.write_now(ada.id, forms.update, ada.plain, FormSettings(name="Theirs"), version=seen.version)
    with pytest.raises(Conflict):
        db.write_now(ada.id, forms.update, ada.plain, FormSettings(name="Mine"), version=seen.version)
    now = db.read_now(ada.id, forms.find, ada.plain)
    assert (now.name, now.version) == ("Theirs", seen.version + 1)
    for owner, form_id in ((ada, 2**62), (cast.eve, ada.plain)):
        with pytest.raises(NotFound):
            db.write_now(owner.id, forms.update, form_id, FormSettings(name="x"), version=1)


def test_a_form_is_archived_since_the_first_time_and_opened_again(
    db: Database, cast: Cast, clock: Clock
) -> None:
    ada = cast.ada
    at = clock.now
    db.write_now(ada.id, forms.archive, ada.plain)
    clock.move(1_000)
    db.write_now(ada.id, forms.archive, ada.plain)
    assert db.read_now(ada.id, forms.find, ada.plain).archived_at == at
    db.write_now(ada.id, forms.restore, ada.plain)
    after = db.read_now(ada.id, forms.find, ada.plain)
    assert (after.archived_at, after.version) == (None, 4)
    for verb in (forms.archive, forms.restore):
        with pytest.raises(NotFound):
            db.write_now(cast.eve.id, verb, ada.plain)
