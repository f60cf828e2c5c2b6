"""Writing: two people at one draft, another audience, sending once, taking it back, a copy."""

import pytest

from tests.core import ledger
from tests.core.cast import Cast, Clock, Owner, rows
from tests.core.recount import recount
from tidings.core import accounts, broadcasts, launch, sending
from tidings.core.broadcasts import Broadcast, Draft, course, shown, writing
from tidings.core.broadcasts.course import Part
from tidings.core.broadcasts.writing import Changed
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.db import Database

SENDER = "ada@example.com"


def save(db: Database, owner: Owner, one: Broadcast, **given: object) -> Broadcast:
    """Save what somebody wrote who had `one` before them."""
    return db.write_now(owner.id, writing.save, one.id, given, SENDER, version=one.version)


def send_off(db: Database, owner: Owner, one: Broadcast, send_at: int | None = None) -> Broadcast:
    seen = shown.fingerprint(db.read_now(owner.id, shown.parts, one.id))
    return db.write_now(
        owner.id,
        launch.send_off,
        one.id,
        version=one.version,
        audience=seen,
        send_at=send_at,
        outbox=False,
    )


@pytest.fixture
def draft(db: Database, ada: Owner) -> Broadcast:
    return ledger.look(db, ada, ledger.draft(db, ada, content="<p>One</p>"))


def test_who_saves_over_a_change_not_seen_is_told_and_nothing_is_written(
    db: Database, ada: Owner, draft: Broadcast
) -> None:
    hers = save(db, ada, draft, content="<p>Hers</p>")
    assert hers.version == draft.version + 1
    with pytest.raises(Changed) as told:
        save(db, ada, draft, content="<p>His</p>", subject="His")
    assert told.value.current == hers
    assert ledger.look(db, ada, draft.id) == hers
    mine = save(db, ada, told.value.current, content="<p>His</p>")
    assert mine.content == "<p>His</p>"


def test_a_change_by_the_api_counts_as_one_not_seen(db: Database, ada: Owner, draft: Broadcast) -> None:
    db.write_now(ada.id, broadcasts.revise, draft.id, {"subject": "By the API"}, SENDER)
    with pytest.raises(Changed):
        save(db, ada, draft, preheader="Mine")


def test_saving_what_is_there_already_changes_nothing(db: Database, ada: Owner, draft: Broadcast) -> None:
    assert save(db, ada, draft, content=draft.content, preheader="") == draft
    save(db, ada, draft, content="<p>Two</p>")
    # The answer to the first was lost; the same words come again.
    again = db.write_now(
        ada.id, writing.save, draft.id, {"content": "<p>Two</p>"}, SENDER, version=draft.version
    )
    assert again.version == draft.version + 1


@pytest.mark.parametrize("status", ("scheduled", "sending", "completed"))
def test_only_a_draft_is_written_at(db: Database, ada: Owner, status: str) -> None:
    made = db.write_now(ada.id, broadcasts.create, Draft(subject="S", send_at=1), SENDER, status=status)
    with pytest.raises(Conflict):
        save(db, ada, made, subject="Late")
    assert ledger.look(db, ada, made.id) == made


def test_words_without_end_and_words_of_no_kind_are_refused(
    db: Database, ada: Owner, draft: Broadcast
) -> None:
    for given in ({"content": "x" * (writing.WORDS_MAX + 1)}, {"source_kind": "mjml"}):
        with pytest.raises(Invalid):
            save(db, ada, draft, **given)
    with pytest.raises(NotFound):
        db.write_now(ada.id, writing.save, 10**9, {}, SENDER, version=1)


def test_markdown_keeps_its_source_until_other_words_come(db: Database, ada: Owner, draft: Broadcast) -> None:
    words = {"source_kind": "markdown", "source": "*Hi*", "content": "<p><em>Hi</em></p>"}
    made = save(db, ada, draft, **words)
    assert (made.source_kind, made.source, made.content) == ("markdown", "*Hi*", "<p><em>Hi</em></p>")
    kept = db.write_now(ada.id, broadcasts.revise, draft.id, {"subject": "Other"}, SENDER)
    assert (kept.source_kind, kept.source) == ("markdown", "*Hi*")
    other = db.write_now(ada.id, broadcasts.revise, draft.id, {"content": "<p>By the API</p>"}, SENDER)
    assert (other.source_kind, other.source) == ("html", None)


def test_sending_twice_sends_once_and_can_be_taken_back(
    db: Database, ada: Owner, draft: Broadcast, clock: Clock
) -> None:
    first = send_off(db, ada, draft)
    assert (first.status, first.send_at) == ("scheduled", clock.now + launch.UNDO_MS)
    clock.move(3_000)
    assert send_off(db, ada, draft) == first
    back = db.write_now(ada.id, course.take_back, draft.id)
    assert (back.status, back.send_at) == ("draft", None)
    assert db.write_now(ada.id, course.take_back, draft.id) == back
    clock.move(launch.UNDO_MS)
    assert not db.write_now(ada.id, sending.start, draft.id, outbox=False)


def test_what_has_begun_is_neither_sent_again_nor_taken_back(
    db: Database, ada: Owner, draft: Broadcast, clock: Clock
) -> None:
    send_off(db, ada, draft)
    clock.move(launch.UNDO_MS)
    assert db.write_now(ada.id, sending.start, draft.id, outbox=False)
    begun = ledger.look(db, ada, draft.id)
    assert send_off(db, ada, draft) == begun
    with pytest.raises(Conflict):
        db.write_now(ada.id, course.take_back, draft.id)
    assert ledger.look(db, ada, draft.id) == begun


def test_what_changed_since_it_was_looked_at_is_not_sent(db: Database, ada: Owner, draft: Broadcast) -> None:
    save(db, ada, draft, subject="Another")
    with pytest.raises(Changed):
        send_off(db, ada, draft)
    seen = shown.fingerprint([])
    now = ledger.look(db, ada, draft.id)
    db.write_now(ada.id, course.set_audience, draft.id, [Part("tag", ada.tag)])
    with pytest.raises(launch.AnotherAudience):
        db.write_now(ada.id, launch.send_off, draft.id, version=now.version, audience=seen, outbox=False)
    assert ledger.look(db, ada, draft.id).status == "draft"


def test_a_time_must_be_to_come_and_can_be_moved(
    db: Database, ada: Owner, draft: Broadcast, clock: Clock
) -> None:
    for bad in (clock.now, clock.now - 1, clock.now + launch.FURTHEST_MS + 1):
        with pytest.raises(Invalid):
            send_off(db, ada, draft, bad)
    assert send_off(db, ada, draft, clock.now + 60_000).send_at == clock.now + 60_000
    assert send_off(db, ada, draft, clock.now + 90_000).send_at == clock.now + 90_000
    assert send_off(db, ada, draft).send_at == clock.now + 90_000


def test_what_lacks_something_is_not_scheduled(db: Database, ada: Owner, draft: Broadcast) -> None:
    db.write_now(ada.id, accounts.describe, postal_address="")
    with pytest.raises(sending.NotReady):
        send_off(db, ada, draft)
    assert ledger.look(db, ada, draft.id).status == "draft"


def test_a_fingerprint_tells_audiences_apart_and_not_their_order() -> None:
    one, two = Part("tag", 1), Part("form", 1)
    assert shown.fingerprint([one, two]) == shown.fingerprint([two, one, one])
    others = ([], [one], [Part("tag", 1, excluded=True)], [Part("tag", 2)], [two])
    assert len({shown.fingerprint(parts) for parts in others}) == len(others)


def test_a_copy_is_a_draft_with_the_words_and_the_audience(db: Database, cast: Cast) -> None:
    made = ledger.begin(db, cast.ada, Part("tag", cast.ada.tag), Part("form", cast.ada.plain, excluded=True))
    copy = db.write_now(cast.ada.id, writing.duplicate, made, SENDER)
    held = ledger.look(db, cast.ada, made)
    assert (copy.status, copy.send_at, copy.started_at, copy.version) == ("draft", None, None, 1)
    assert (copy.subject, copy.content, copy.preheader) == (held.subject, held.content, held.preheader)
    parts = [db.read_now(cast.ada.id, shown.parts, one) for one in (made, copy.id)]
    assert parts[0] == parts[1] != []
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, writing.duplicate, made, SENDER)
    recount(db)


def test_a_deleted_broadcast_leaves_no_hours(db: Database, cast: Cast) -> None:
    made = ledger.draft(db, cast.ada)
    db.write_now(cast.ada.id, lambda tx: broadcasts.count(tx, made, opens=2, clicks=1))
    assert len(rows(db, "SELECT kind FROM broadcast_hours")) == 2
    db.write_now(cast.ada.id, broadcasts.delete, made)
    assert rows(db, "SELECT kind FROM broadcast_hours") == []
