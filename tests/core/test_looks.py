"""What pages ask of mail: what waits and why, what was refused by code, what failed lately."""

import itertools

import pytest

from tests.core.cast import DAY, HOUR, Cast, Clock, Owner
from tidings.core import broadcasts, deliveries, preferences, sending, sequences, subscriptions, suppressions
from tidings.core.broadcasts import Draft, course, shown
from tidings.core.deliveries import Delivery, Outcome, Source, Timing, looks
from tidings.core.events import Origin
from tidings.core.sequences import SequenceEmail
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.db import Database
from tidings.store.tx import Tx

TIMING = Timing(60_000, 60_000)
LEASES = itertools.count(1)
ORIGIN = Origin("dashboard")


def queue(db: Database, owner: Owner, subscriber_id: int, n: int = 1, lane: str = "bulk") -> None:
    for _ in range(n):
        occasion = f"rule-email:1:{next(LEASES)}"
        db.write_now(owner.id, deliveries.queue, occasion, subscriber_id, lane=lane)


def claim(tx: Tx, owner: Owner, lane: str) -> list[Delivery]:
    source, lease = Source(owner.id), next(LEASES)
    return deliveries.claim(tx, source, lane=lane, limit=100, lease=lease, timing=TIMING)


def end(
    db: Database,
    owner: Owner,
    state: str,
    reply: str,
    *,
    at: int = 0,
    untried: bool = False,
    verdict: str = "",
) -> int:
    """Let all of the account's bulk mail that is due end so; return how many."""

    def verb(tx: Tx) -> int:
        claimed = claim(tx, owner, "bulk")
        handed, _ = deliveries.hand(tx, claimed, wanted="active")
        ended = [Outcome(one, state, reply, at, untried=untried, verdict=verdict) for one in handed]
        deliveries.settle(tx, ended)
        return len(handed)

    return db.write_now(owner.id, verb)


def test_waiting_mail_is_counted_by_lane_and_state_up_to_a_bound(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    queue(db, ada, cast.bea, 3)
    assert end(db, ada, "deferred", "451 later", at=clock.now + HOUR) == 3
    queue(db, ada, cast.bea, 2)
    queue(db, ada, cast.cal, 1, lane="now")
    db.write_now(ada.id, claim, ada, "now")
    queue(db, ada, cast.cal, 1, lane="now")

    def counted() -> dict[tuple[str, str], int]:
        found = db.read_now(ada.id, looks.waiting)
        return {(one.lane, one.state): one.n for one in found}

    # Cal's confirmation stands in the lane now already.
    claimed = counted().pop(("now", "claimed"))
    assert claimed >= 1
    assert counted() == {
        ("now", "queued"): 1,
        ("bulk", "queued"): 2,
        ("bulk", "deferred"): 3,
        ("now", "claimed"): claimed,
    }
    assert db.read_now(cast.eve.id, looks.waiting) == []
    monkeypatch.setattr(looks, "COUNTED_MOST", 2)
    assert counted()["now", "queued"] == 1
    assert sum(n for (lane, state), n in counted().items() if lane == "bulk") == 2


def test_the_reasons_are_the_words_of_the_last_try_most_frequent_first(
    db: Database, cast: Cast, clock: Clock
) -> None:
    ada = cast.ada
    queue(db, ada, cast.bea, 2)
    end(db, ada, "deferred", "451 later", at=clock.now + HOUR)
    queue(db, ada, cast.bea, 1)
    end(db, ada, "deferred", "452 full", at=clock.now + 2 * HOUR)
    queue(db, ada, cast.bea, 4)
    end(db, ada, "queued", "cannot connect", at=clock.now, untried=True)
    queue(db, ada, cast.bea, 5)
    found = db.read_now(ada.id, looks.reasons)
    assert [(one.said, one.n, one.due_at) for one in found] == [
        ("cannot connect", 4, clock.now),
        ("451 later", 2, clock.now + HOUR),
        ("452 full", 1, clock.now + 2 * HOUR),
    ]
    assert db.read_now(ada.id, looks.reasons, lane="now") == []
    assert db.read_now(cast.eve.id, looks.reasons) == []


def test_a_broadcasts_mail_is_looked_at_by_itself(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    draft = Draft(subject="News", content="x", send_at=clock.now)
    made = db.write_now(ada.id, broadcasts.create, draft, "ada@example.com").id

    assert db.read_now(ada.id, shown.under_way) == []
    db.write_now(ada.id, course.pause, made, "paused by hand")
    (one,) = db.read_now(ada.id, shown.under_way)
    assert (one.id, one.subject, one.status, one.paused_why) == (made, "News", "scheduled", "paused by hand")
    assert db.read_now(cast.eve.id, shown.under_way) == []
    assert db.read_now(ada.id, shown.subjects, [made, made + 1]) == {made: "News"}
    assert db.read_now(cast.eve.id, shown.subjects, [made]) == {}
    db.write_now(ada.id, course.resume, made)
    assert db.write_now(ada.id, sending.start, made, outbox=True)
    while db.write_now(ada.id, course.fan_out, made):
        pass

    def later(tx: Tx) -> None:
        given = deliveries.claim(
            tx, Source(ada.id, made), lane="bulk", limit=9, lease=next(LEASES), timing=TIMING
        )
        deliveries.settle(tx, [Outcome(one, "deferred", "451 later", clock.now + HOUR) for one in given])

    db.write_now(ada.id, later)
    (one,) = db.read_now(ada.id, shown.under_way)
    assert (one.status, one.recipients, one.settled) == ("sending", 1, 0)
    assert db.read_now(ada.id, looks.put_off, made) == 1
    reasons = db.read_now(ada.id, looks.reasons, broadcast_id=made)
    assert [(one.said, one.n) for one in reasons] == [("451 later", 1)]
    # It stands apart from all other mail.
    assert db.read_now(ada.id, looks.reasons) == []
    assert db.read_now(cast.eve.id, looks.put_off, made) == 0


def test_refusals_are_counted_by_code_for_a_time(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = cast.ada
    for reply, state, verdict in (
        ("550 5.1.1 old", "failed", "mailbox"),
        ("550 5.1.1 no such user", "failed", "mailbox"),
        ("550 5.1.1 unknown user", "failed", "mailbox"),
        ("given up: 451 4.7.1 greylisted", "failed", ""),
        ("452-4.2.2 full", "deferred", "mailbox-full"),
        ("550 no code here", "failed", "policy"),
        ("the connection broke off", "uncertain", ""),
    ):
        queue(db, ada, cast.bea)
        end(db, ada, state, reply, at=clock.now + 100 * DAY, verdict=verdict)
        if reply.endswith("old"):
            clock.move(DAY)
            since = clock.now
    found = db.read_now(ada.id, looks.refusals, since)
    assert found.whole
    assert [(one.code, one.enhanced, one.state, one.verdict, one.n) for one in found.found] == [
        ("550", "5.1.1", "failed", "mailbox", 2),
        ("", "", "uncertain", "", 1),
        ("451", "4.7.1", "failed", "", 1),
        ("452", "4.2.2", "deferred", "mailbox-full", 1),
        ("550", "", "failed", "policy", 1),
    ]
    assert found.found[0].example == "550 5.1.1 unknown user"
    assert db.read_now(cast.eve.id, looks.refusals, 0).found == []
    monkeypatch.setattr(looks, "REFUSALS_MOST", 2)
    cut = db.read_now(ada.id, looks.refusals, 0)
    assert (cut.whole, [one.n for one in cut.found]) == (False, [1, 1])


def test_what_failed_lately_is_listed_as_it_is_now(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    for state, reply in (("failed", "550 no"), ("uncertain", "broke off"), ("deferred", "451 later")):
        queue(db, ada, cast.bea)
        end(db, ada, state, reply, at=clock.now + DAY)
        clock.move(HOUR)
    found = db.read_now(ada.id, looks.unsent)
    assert [(one.state, one.reply, one.subscriber_id) for one in found] == [
        ("uncertain", "broke off", cast.bea),
        ("failed", "550 no", cast.bea),
    ]
    assert db.read_now(cast.eve.id, looks.unsent) == []


def test_why_and_for_whom_mail_was_made(db: Database, cast: Cast) -> None:
    ada = cast.ada
    queue(db, ada, cast.bea)
    (email,) = (db.write_now(ada.id, sequences.add_email, ada.sequence, SequenceEmail("Hi", "<p>x</p>", 0)),)
    assert db.read_now(ada.id, sequences.of_emails, [email, email + 1]) == {email: ada.sequence}
    assert db.read_now(cast.eve.id, sequences.of_emails, [email]) == {}
    joined = db.read_now(ada.id, subscriptions.find, cast.bea, "form", ada.plain)
    assert joined
    assert db.read_now(ada.id, subscriptions.about, [joined.id]) == {joined.id: ("form", ada.plain)}
    assert db.read_now(cast.eve.id, subscriptions.about, [joined.id]) == {}
    for question in (sequences.of_emails, subscriptions.about, deliveries.origins, shown.subjects):
        assert db.read_now(ada.id, question, []) == {}


def test_an_owner_suppresses_an_address_and_takes_only_that_out(db: Database, cast: Cast) -> None:
    db.pepper = b"a key of these tests, 32 octets long"
    ada = cast.ada
    gone = db.write_now(ada.id, preferences.hold, "Bea@example.com", ORIGIN)
    assert gone is not None
    assert (gone.id, gone.state) == (cast.bea, "cancelled")
    # Who bounced, and who is nobody, is only held.
    assert db.write_now(ada.id, preferences.hold, "dee@example.com", ORIGIN) is None
    assert db.write_now(ada.id, preferences.hold, "new@example.com", ORIGIN) is None
    with pytest.raises(Invalid):
        db.write_now(ada.id, preferences.hold, "no address", ORIGIN)
    db.write_now(ada.id, suppressions.add, "fay@example.com", "erased by api")
    assert db.read_now(ada.id, suppressions.count) == 4
    held = db.read_now(ada.id, suppressions.look, "fay@example.com")
    assert held is not None
    assert not held.by_owner
    with pytest.raises(Conflict):
        db.write_now(ada.id, suppressions.withdraw, held.digest)
    bea = db.read_now(ada.id, suppressions.look, "bea@example.com")
    assert bea is not None
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, suppressions.withdraw, bea.digest)
    db.write_now(ada.id, suppressions.withdraw, bea.digest)
    assert db.read_now(ada.id, suppressions.look, "bea@example.com") is None


def test_suppressions_are_paged_newest_first(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.pepper = b"a key of these tests, 32 octets long"
    monkeypatch.setattr(suppressions, "PAGE", 2)
    for n in range(5):
        db.write_now(cast.ada.id, suppressions.add, f"p{n}@example.com", f"{n}")
        # Two of the same moment stand in the order of their digests.
        clock.move(n % 2)
    db.write_now(cast.eve.id, suppressions.add, "x@example.com", "eves")
    found: list[suppressions.Held] = []
    while page := db.read_now(
        cast.ada.id, suppressions.page, (found[-1].created_at, found[-1].digest) if found else None
    ):
        found += page
    assert sorted(one.reason for one in found) == ["0", "1", "2", "3", "4"]
    order = [(one.created_at, one.digest) for one in found]
    assert order == sorted(order, reverse=True)
