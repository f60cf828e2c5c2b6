"""A person's page: what it shows, and that it asks as many questions for anybody."""

from contextlib import closing

import pytest

from tests.core.cast import Cast, Clock, Owner, join
from tests.core.erased import PEPPER, live
from tests.core.test_plans import Recording, plan, whole_reads
from tidings.core import deliveries, history, subscriptions
from tidings.core.events import Origin
from tidings.core.history import profile
from tidings.errors import NotFound
from tidings.store.db import Database
from tidings.store.definitions import Definitions
from tidings.store.tx import Rx


@pytest.fixture(autouse=True)
def pepper(db: Database) -> None:
    db.pepper = PEPPER


def test_a_profile_has_all_that_a_person_has(db: Database, ada: Owner, clock: Clock) -> None:
    who = live(db, ada, clock)
    found = db.read_now(ada.id, profile.of, who)
    assert found.who.email == "canary.mail@example.com"
    assert {(one.kind, one.name) for one in found.joined} == {
        ("form", "Double"),
        ("sequence", "Onboarding"),
        ("tag", "customer"),
    }
    assert next(one for one in found.joined if one.kind == "form").confirmed_at
    assert [one.name for one in found.journeys] == ["Onboarding"]
    assert [(one.total, one.products) for one in found.bought] == [("12.5", [("Book", 1)])]
    assert {one.kind for one in found.consents} == {"consent"}
    assert any(one.title == "joined the form Double" for one in found.consents)
    assert found.held_since is None
    assert found.times.activated_at
    assert (found.numbers.mails, found.numbers.clicked) == (1, 1)


def test_mails_are_listed_with_their_fate_a_page_at_a_time(
    db: Database, ada: Owner, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        db.write_now(
            ada.id, lambda tx, n=n: deliveries.queue(tx, f"broadcast:{n + 1}", cast.bea, lane="bulk")
        )
        clock.move(1_000)
    monkeypatch.setattr(profile, "MAILS_PAGE", 2)
    seen: list[str] = []
    before_id = 2**62
    for _ in range(3):
        mails, older = db.read_now(ada.id, profile.mails, cast.bea, before_id=before_id)
        seen += [one.title for one in mails]
        assert {one.state for one in mails} == {"queued"}
        before_id = older or 0
    assert seen == [f"broadcast {n} (gone)" for n in (5, 4, 3, 2, 1)]
    assert before_id == 0


def test_nobody_has_no_profile_and_another_accounts_people_are_nobody(db: Database, cast: Cast) -> None:
    with pytest.raises(NotFound):
        db.read_now(cast.ada.id, profile.of, 999)
    with pytest.raises(NotFound):
        db.read_now(cast.eve.id, profile.of, cast.bea)
    assert db.read_now(cast.eve.id, profile.mails, cast.bea) == ([], None)


def test_as_many_questions_are_asked_whatever_somebody_has(
    db: Database, ada: Owner, cast: Cast, clock: Clock
) -> None:
    def questions(who: int) -> int:
        with closing(db.session(writer=False)) as session:
            known = Definitions(stale_ms=10**9, pepper=PEPPER)
            for _ in range(2):
                # The second time all definitions are in memory.
                recording = Recording(session)
                rx = Rx(recording, known, ada.id, clock.now)
                profile.of(rx, who)
                profile.mails(rx, who)
                history.page(rx, who)
            for sql, params in recording.asked:
                assert not whole_reads(plan(session, sql, params)) or "ORDER BY" in sql, sql
            return len(recording.asked)

    one = live(db, ada, clock)
    before = questions(one)
    _, who = join(db, ada, "form", ada.plain, "busy@example.com")
    for n in range(30):
        db.write_now(ada.id, lambda tx, n=n: deliveries.queue(tx, f"broadcast:{n + 1}", who.id, lane="bulk"))
        kind = subscriptions.start if n % 2 == 0 else subscriptions.leave
        db.write_now(ada.id, kind, who, "tag", ada.vip, Origin("api"))
    assert questions(who.id) <= before
    assert before <= 28
