"""Trials: a broadcast to single addresses, in no number, bounded, forgotten."""

import pytest

from tests.core import ledger
from tests.core.cast import Cast, Clock, Owner, rows
from tests.core.recount import recount
from tidings.core import erasure, outbox, trials
from tidings.core.accounts import INSTALLATION
from tidings.core.events import Origin
from tidings.core.trials import Trial
from tidings.errors import Invalid, NotFound, TooMany
from tidings.store.db import Database
from tidings.tokens import Links

LINKS = Links("https://tidings.example", b"k" * 32)


def ask(db: Database, owner: Owner, made: int, *addresses: str, person: int | None = None) -> int:
    return db.write_now(owner.id, trials.ask, made, addresses, person)


def claimed(db: Database) -> list[Trial]:
    return db.write_now(INSTALLATION, trials.claim)


def test_a_trial_is_the_letter_as_one_person_gets_it(db: Database, cast: Cast) -> None:
    made = ledger.draft(db, cast.ada, subject="News", content="<p>Hi {{ subscriber.first_name }}</p>")
    assert ask(db, cast.ada, made, "me@example.com", person=cast.bea) == 1
    (one,) = claimed(db)
    words, who = db.read_now(cast.ada.id, trials.letter, one, LINKS)
    assert (words.content.subject, who.email, who.first_name) == ("[Test] News", "me@example.com", "Bea")
    assert (words.content.track_opens, words.content.track_clicks) == (False, False)
    assert who.leave == LINKS.leave_token(cast.ada.id, 0, 0)
    recount(db)
    assert rows(db, "SELECT id FROM deliveries WHERE occasion LIKE 'trial%'") == []


def test_what_is_tested_stays_as_it_was_when_it_was_asked_for(db: Database, ada: Owner) -> None:
    made = ledger.draft(db, ada, subject="Before")
    ask(db, ada, made, "me@example.com")
    db.write_now(ada.id, lambda tx: tx.run("UPDATE broadcasts SET subject = 'After'"))
    words, _ = db.read_now(ada.id, trials.letter, claimed(db)[0], LINKS)
    assert words.content.subject == "[Test] Before"


@pytest.mark.parametrize("given", ((), ("  ",), ("nobody",), tuple(f"a{n}@example.com" for n in range(6))))
def test_no_address_a_wrong_one_and_too_many_are_refused(
    db: Database, ada: Owner, given: tuple[str, ...]
) -> None:
    made = ledger.draft(db, ada)
    with pytest.raises(Invalid) as told:
        ask(db, ada, made, *given)
    assert told.value.field == "address"
    assert rows(db, "SELECT id FROM trials") == []


def test_the_same_address_twice_is_one_mail(db: Database, ada: Owner) -> None:
    assert ask(db, ada, ledger.draft(db, ada), "me@example.com", " me@example.com ") == 1


def test_an_empty_letter_and_anothers_broadcast_are_not_sent(db: Database, cast: Cast) -> None:
    with pytest.raises(Invalid):
        ask(db, cast.ada, ledger.draft(db, cast.ada, content=""), "me@example.com")
    with pytest.raises(NotFound):
        ask(db, cast.eve, ledger.draft(db, cast.ada), "me@example.com")


def test_an_hour_has_its_limit(db: Database, ada: Owner, clock: Clock) -> None:
    made = ledger.draft(db, ada)
    for _ in range(trials.HOURLY_MAX // 5):
        ask(db, ada, made, *(f"a{n}@example.com" for n in range(5)))
    with pytest.raises(TooMany):
        ask(db, ada, made, "me@example.com")
    clock.move(trials.HOUR_MS)
    assert ask(db, ada, made, "me@example.com") == 1


def test_a_try_that_fails_for_now_goes_again_and_ends(db: Database, ada: Owner, clock: Clock) -> None:
    ask(db, ada, ledger.draft(db, ada), "me@example.com")
    tries = 0
    for _ in range(10):
        for one in claimed(db):
            tries += 1
            db.write_now(ada.id, trials.settle, one, "451 later", sent=False, lasting=False)
        clock.move(trials.HOUR_MS)
    assert tries == len(trials.WAITS_MS)
    assert rows(db, "SELECT state, reply FROM trials") == [("failed", "451 later")]


def test_a_sent_one_is_forgotten_in_time_with_its_copy(db: Database, ada: Owner, clock: Clock) -> None:
    made = ledger.draft(db, ada)
    ask(db, ada, made, "me@example.com")
    (one,) = claimed(db)
    db.write_now(ada.id, outbox.keep, one.delivery.id, "me@example.com", "S", b"Subject: S\r\n\r\n")
    db.write_now(ada.id, trials.settle, one, "kept", sent=True, lasting=False)
    assert db.read_now(ada.id, trials.of_broadcast, made)[0].state == "sent"
    assert db.write_now(INSTALLATION, trials.fold, clock.now, 10) == 0
    clock.move(1)
    assert db.write_now(INSTALLATION, trials.fold, clock.now, 10) == 1
    assert db.read_now(ada.id, trials.of_broadcast, made) == []
    assert db.read_now(ada.id, outbox.newest) == []


def test_an_erased_person_is_in_no_trial_and_no_copy_of_one(db: Database, cast: Cast) -> None:
    made = ledger.draft(db, cast.ada)
    ask(db, cast.ada, made, "me@example.com", person=cast.bea)
    ask(db, cast.ada, made, "me@example.com")
    db.pepper = b"k" * 32
    first, second = claimed(db)
    for one in (first, second):
        db.write_now(cast.ada.id, outbox.keep, one.delivery.id, "me@example.com", "S", b"Subject: S\r\n\r\n")
    db.write_now(cast.ada.id, erasure.erase, cast.bea, Origin("command"))
    assert [one.delivery_id for one in db.read_now(cast.ada.id, outbox.newest)] == [second.delivery.id]
    with pytest.raises(NotFound):
        db.read_now(cast.ada.id, trials.letter, first, LINKS)


def test_a_note_and_a_trial_never_share_a_number() -> None:
    assert trials.number(1) != -1
    assert trials.number(1) < -(2**47)
