"""Checking: a sound database is found sound, and each kind of fault is found and said."""

import pytest

from tests.core.cast import API, DAY, Cast, Clock, Owner, join, rows
from tests.core.ledger import begin, claim, draft, hand, people, send, settle, started
from tests.core.recount import recount
from tidings.core import (
    accounts,
    broadcasts,
    checking,
    erasure,
    heartbeats,
    purchases,
    subscriptions,
    webhooks,
)
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import course
from tidings.core.checking import Unsent
from tidings.core.deliveries import Outcome, folding
from tidings.store.db import Database


def wrong(db: Database, before_at: int = 0) -> dict[str, tuple[str, ...]]:
    """What is wrong, by what was looked at."""
    found = db.read_now(INSTALLATION, checking.look, folded_before_at=before_at)
    return {one.what: one.wrong for one in found if one.wrong}


def change(db: Database, sql: str) -> None:
    assert db.write_now(INSTALLATION, lambda tx: tx.run(sql))


@pytest.fixture
def lived(db: Database, cast: Cast, clock: Clock) -> Owner:
    """Ada's account after some days of everything."""
    ada = cast.ada
    people(db, ada, 9)
    clock.move(3 * DAY)
    _, gus = join(db, ada, "tag", ada.vip, "gus@example.com")
    db.write_now(ada.id, subscriptions.turn, gus, "cancelled")
    db.write_now(ada.id, webhooks.create, "subscriber_activate", "https://example.com/hook")
    send(db, lane="now")
    started(db, ada)
    one, two, *rest = hand(db, claim(db))
    settle(db, Outcome(one, "failed", "550 no", verdict="other"), Outcome(two, "unknown", "gone"))
    settle(db, *(Outcome(each, "sent", "250 ok") for each in rest))
    started(db, ada)
    send(db, limit=3)
    return ada


def test_a_database_that_lived_is_sound(db: Database, lived: Owner) -> None:
    recount(db)
    assert wrong(db) == {}
    assert len(db.read_now(INSTALLATION, checking.look)) == 10


@pytest.mark.parametrize(
    ("sql", "what", "sentence"),
    (
        (
            "UPDATE counters SET n = 17 WHERE kind = 'subscribers' AND state = 'active' AND bucket = -1",
            "counts of subscribers",
            "account 1: the count of subscribers active is kept as 17 and is 10",
        ),
        (
            "DELETE FROM counters WHERE kind = 'tag' AND bucket >= 0",
            "counts of forms, sequences and tags",
            "account 1: the count of tag 2 cancelled bucket 0 is kept as 0 and is 1",
        ),
        (
            "UPDATE counters SET day = day + 1 WHERE kind = 'subscribers.updated'",
            "counts of subscribers by day",
            "",
        ),
        (
            "UPDATE subscribers SET cancelled_at = cancelled_at + 86400000 WHERE cancelled_at IS NOT NULL",
            "counts of cancelled subscribers",
            "",
        ),
        (
            "UPDATE subscriptions SET subscriber_state = 'bounced' WHERE subscriber_state = 'cancelled'",
            "states of subscribers in their subscriptions",
            "says bounced, subscriber 13 is cancelled",
        ),
        (
            "UPDATE subscriptions SET subscriber_id = 999 WHERE id = 1",
            "subscriptions of somebody in something",
            "account 1: subscription 1 is about subscriber 999, which is not there",
        ),
        (
            "UPDATE subscriptions SET tag_id = 998 WHERE tag_id = 2",
            "subscriptions of somebody in something",
            "is about tag 998, which is not there",
        ),
        (
            "UPDATE counters SET n = n + 1 WHERE kind = 'broadcasts' AND bucket = -1",
            "counts of broadcasts",
            "account 1: the count of broadcasts is kept as 3 and is 2",
        ),
        (
            "UPDATE broadcasts SET sent = sent + 1, settled = settled + 1 WHERE id = 2",
            "numbers of broadcasts",
            "",
        ),
        (
            "UPDATE broadcasts SET settled = settled + 1 WHERE id = 1",
            "numbers of broadcasts",
            "broadcast 1 says",
        ),
        ("DELETE FROM deliveries WHERE state = 'failed'", "numbers of broadcasts", "broadcast 1 says"),
        (
            "UPDATE listeners SET n = n + 1",
            "who listens to which events",
            "account 1: 2 are noted to listen to subscriber_activate and 1 do",
        ),
        ("DELETE FROM webhooks", "who listens to which events", "and 0 do"),
    ),
)
def test_each_fault_is_found_and_said(db: Database, lived: Owner, sql: str, what: str, sentence: str) -> None:
    change(db, sql)
    found = wrong(db)
    assert what in found
    assert sentence in "\n".join(found[what])


def test_purchases_are_counted_too(db: Database, cast: Cast) -> None:
    change(
        db,
        "INSERT INTO purchases (account_id, transaction_id, subscriber_id, email, status, currency, subtotal,"
        " discount, tax, shipping, total, transaction_at, created_at, updated_at)"
        " SELECT account_id, 't', id, email, 'paid', 'EUR', '1', '0', '0', '0', '1', 0, 0, 0 FROM subscribers"
        " WHERE email_key = 'bea@example.com'",
    )
    assert db.read_now(cast.ada.id, purchases.page, 1)
    assert list(wrong(db)) == ["counts of purchases"]


def test_many_faults_are_told_in_part(db: Database, cast: Cast) -> None:
    people(db, cast.ada, 30)
    change(db, "UPDATE subscriptions SET subscriber_state = 'complained'")
    found = wrong(db)["states of subscribers in their subscriptions"]
    assert len(found) == checking.TOLD


def test_days_before_1970_are_counted_right(db: Database, cast: Cast, clock: Clock) -> None:
    clock.now = -5 * DAY - 1
    join(db, cast.ada, "form", cast.ada.plain, "old@example.com")
    clock.now = -5 * DAY
    join(db, cast.ada, "form", cast.ada.plain, "older@example.com")
    recount(db)
    assert wrong(db) == {}


def test_mail_that_was_folded_away_is_no_fault(db: Database, lived: Owner, clock: Clock) -> None:
    before_at = clock.now + 1
    db.write_now(lived.id, folding.fold, 0, 5, before_at)
    assert "numbers of broadcasts" in wrong(db)
    assert wrong(db, before_at) == {}
    # More rows than the numbers say are a fault whenever that was.
    change(db, "UPDATE broadcasts SET failed = 0, settled = settled - 1 WHERE failed = 1")
    assert list(wrong(db, before_at)) in ([], ["numbers of broadcasts"])


def test_mail_of_an_erased_person_is_no_fault(db: Database, lived: Owner) -> None:
    db.pepper = b"k" * 32
    (found,) = rows(db, "SELECT id FROM subscribers WHERE email = 'p3.1@example.com'")
    db.write_now(lived.id, erasure.erase, int(str(found[0])), API)
    while waiting := db.read_now(INSTALLATION, erasure.waiting):
        db.write_now(waiting.account_id, erasure.step, waiting.id)
    assert wrong(db) == {}


# -- what an old copy may repeat ----------------------------------------------------------


def unsent(db: Database) -> Unsent:
    return db.read_now(INSTALLATION, checking.unsent)


def test_what_may_be_repeated_is_counted(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    people(db, ada, 9)
    send(db, lane="now", limit=1_000)
    assert unsent(db).most == 0
    started(db, ada)
    assert unsent(db) == Unsent(0, 10, 0, 0, 0)
    send(db, limit=4)
    assert unsent(db).most == 6
    # Nobody has a delivery of this one yet.
    begin(db, ada)
    assert unsent(db) == Unsent(0, 6, 0, 10, 0)
    later = draft(db, ada)
    db.write_now(ada.id, course.schedule, later, clock.now + DAY)
    assert unsent(db).people == 10
    clock.move(2 * DAY)
    assert unsent(db).people == 20


def test_while_it_is_held_the_number_is_told_and_release_lets_go(
    db: Database, cast: Cast, clock: Clock
) -> None:
    assert db.read_now(INSTALLATION, heartbeats.held) == ""
    started(db, cast.ada)
    assert db.write_now(INSTALLATION, heartbeats.hold, "restored from a backup") == 1
    assert db.read_now(INSTALLATION, heartbeats.held) == "restored from a backup"
    assert unsent(db).broadcasts == 1
    assert db.write_now(INSTALLATION, heartbeats.release)
    assert not db.write_now(INSTALLATION, heartbeats.release)
    clock.move(2_000)
    assert db.read_now(INSTALLATION, heartbeats.held) == ""
    # Each broadcast waits for its own word.
    assert unsent(db).broadcasts == 1


def test_after_a_restore_in_the_same_place_it_counts_as_another_installation(
    db: Database, cast: Cast, clock: Clock
) -> None:
    db.write_now(INSTALLATION, heartbeats.wake, "engine", "here")
    made = draft(db, cast.ada)
    db.write_now(cast.ada.id, course.schedule, made, clock.now + 60_000)
    db.write_now(INSTALLATION, heartbeats.hold, "restored from a backup")
    clock.move(61_000)
    assert db.write_now(INSTALLATION, heartbeats.wake, "engine", "here") == 1
    assert "held" in str(db.read_now(cast.ada.id, broadcasts.find, made).paused_why)


def test_another_process_hears_that_it_is_held(db: Database, open_db: object, clock: Clock) -> None:
    other = open_db()  # type: ignore[operator]
    assert other.read_now(INSTALLATION, heartbeats.held) == ""
    db.write_now(INSTALLATION, heartbeats.hold, "moved")
    clock.move(2_000)
    assert other.read_now(INSTALLATION, heartbeats.held) == "moved"


def test_accounts_are_counted_apart(db: Database, cast: Cast) -> None:
    assert len(db.read_now(INSTALLATION, accounts.all_accounts)) == 2
    change(db, "UPDATE counters SET account_id = 2 WHERE kind = 'subscribers' AND account_id = 1")
    found = wrong(db)["counts of subscribers"]
    assert {one.split(":")[0] for one in found} == {"account 1", "account 2"}
