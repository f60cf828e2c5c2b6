"""What a sent broadcast shows: numbers by the hour, recipients by their fate, refusals by code."""

import pytest

from tests.core import ledger
from tests.core.cast import API, HOUR, Cast, Clock, Owner, rows
from tidings.core import audience, broadcasts, subscribers, subscriptions, tracking
from tidings.core.broadcasts import course, hours
from tidings.core.broadcasts.course import Part
from tidings.core.deliveries import Outcome, log
from tidings.core.tracking import Hit
from tidings.store.db import Database
from tidings.store.tx import Tx


def count(db: Database, owner: Owner, made: int, **changes: int) -> None:
    db.write_now(owner.id, lambda tx: broadcasts.count(tx, made, **changes))


def test_hours_begin_with_the_sending_and_add_up_to_the_totals(
    db: Database, ada: Owner, clock: Clock
) -> None:
    made = ledger.begin(db, ada)
    began = clock.now
    assert db.read_now(ada.id, hours.series, made).opens == []
    clock.move(HOUR + 60_000)
    count(db, ada, made, opens=3, clicks=1)
    count(db, ada, made, opens=2)
    clock.move(2 * HOUR)
    count(db, ada, made, opens=1, clicks=-1, unsubscribes=1, sent=5)
    found = db.read_now(ada.id, hours.series, made)
    assert found.first_at == began - began % HOUR
    assert (found.opens, found.clicks, found.unsubscribes) == ([0, 5, 0, 1], [0, 1, 0, -1], [0, 0, 0, 1])
    one = ledger.look(db, ada, made)
    assert (sum(found.opens), sum(found.clicks)) == (one.opens, one.clicks)


def test_hours_beyond_what_a_plot_shows_are_left_out(db: Database, ada: Owner, clock: Clock) -> None:
    made = ledger.begin(db, ada)
    count(db, ada, made, opens=1)
    clock.move(5 * HOUR)
    count(db, ada, made, opens=7)
    found = db.read_now(ada.id, hours.series, made, 5)
    assert found.opens == [1]


def test_an_open_and_a_click_are_booked_on_their_hour(db: Database, ada: Owner, clock: Clock) -> None:
    made = ledger.started(db, ada)
    ledger.send(db)
    ((delivery, person),) = rows(
        db, "SELECT id, subscriber_id FROM deliveries WHERE broadcast_id = :made", made=made
    )
    (link_id,) = db.write_now(ada.id, tracking.link_ids, f"broadcast:{made}", ["https://example.com/"])
    clock.move(HOUR)
    link = db.read_now(ada.id, tracking.link, link_id)
    hits = [Hit(int(str(delivery)), int(str(person)), clock.now, one) for one in (None, link, link)]
    db.write_now(ada.id, tracking.record, hits)
    found = db.read_now(ada.id, hours.series, made)
    assert (found.opens, found.clicks) == ([0, 1], [0, 1])


@pytest.fixture
def ended(db: Database, ada: Owner) -> tuple[int, dict[str, list[int]]]:
    """A broadcast with mails of every end, and the subscribers by how theirs ended."""
    ledger.people(db, ada, 12)
    made = ledger.started(db, ada)
    claimed = ledger.hand(db, ledger.claim(db))
    ends = ("sent", "sent", "sent", "failed", "failed", "failed", "uncertain")
    replies = {"sent": "250 ok", "failed": "550 5.1.1 no such user", "uncertain": "the connection broke"}
    whose: dict[str, list[int]] = {}
    for at, one in enumerate(claimed):
        end = ends[at] if at < len(ends) else "deferred"
        said = "554 5.7.1 refused" if at == 5 else replies.get(end, "451 later")
        ledger.settle(db, Outcome(one, end, said, due_at=10**15 if end == "deferred" else 0))
        whose.setdefault(end, []).append(one.subscriber_id)
    opener = whose["sent"][0]
    db.write_now(
        ada.id,
        lambda tx: tx.run("UPDATE deliveries SET opened_at = 5 WHERE subscriber_id = :id", id=opener),
    )
    return made, whose


def test_recipients_are_found_by_their_fate(
    db: Database, ada: Owner, ended: tuple[int, dict[str, list[int]]]
) -> None:
    made, whose = ended
    everybody = sorted(one for some in whose.values() for one in some)
    wanted = {
        "all": everybody,
        "waiting": whose["deferred"],
        "sent": whose["sent"],
        "failed": whose["failed"],
        "uncertain": whose["uncertain"],
        "suppressed": [],
        "opened": whose["sent"][:1],
        "clicked": [],
        "unopened": whose["sent"][1:],
    }
    assert set(wanted) == set(log.FATES)
    for fate, people in wanted.items():
        found = db.read_now(ada.id, log.leaf, made, fate)
        assert ([one.subscriber_id for one in found.rows], found.next_id) == (sorted(people), None), fate


def test_pages_follow_each_other_even_where_one_is_empty(
    db: Database, ada: Owner, ended: tuple[int, dict[str, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, whose = ended
    monkeypatch.setattr(log, "LOOKED_MOST", 2)
    monkeypatch.setattr(log, "PAGE", 2)
    for fate, people in (
        ("uncertain", whose["uncertain"]),
        ("failed", whose["failed"]),
        ("opened", whose["sent"][:1]),
        ("waiting", sorted(whose["deferred"])),
    ):
        got: list[int] = []
        after: int | None = 0
        turns = 0
        while after is not None:
            found = db.read_now(ada.id, log.leaf, made, fate, after_id=after)
            got += [one.subscriber_id for one in found.rows]
            after = found.next_id
            turns += 1
            assert turns < 20
        assert got == people


def test_another_accounts_recipients_are_nobody(
    db: Database, cast: Cast, ended: tuple[int, dict[str, list[int]]]
) -> None:
    made, whose = ended
    for fate in log.FATES:
        assert db.read_now(cast.eve.id, log.leaf, made, fate).rows == []
    assert db.read_now(cast.eve.id, log.refusals, made) == []
    assert db.read_now(cast.eve.id, log.of_person, made, whose["sent"][0]) is None
    mine = db.read_now(cast.ada.id, log.of_person, made, whose["sent"][0])
    assert mine is not None
    assert mine.state == "sent"


def test_refusals_are_grouped_by_their_codes(
    db: Database, ada: Owner, ended: tuple[int, dict[str, list[int]]]
) -> None:
    made, _ = ended
    found = db.read_now(ada.id, log.refusals, made)
    assert [(one.state, one.code, one.n, one.example) for one in found] == [
        ("failed", "550", 2, "550 5.1.1 no such user"),
        ("failed", "554", 1, "554 5.7.1 refused"),
        ("uncertain", "", 1, "the connection broke"),
    ]


def test_the_size_of_an_audience_is_its_count(db: Database, cast: Cast) -> None:
    ledger.people(db, cast.ada, 3)
    made = ledger.draft(db, cast.ada)
    tag = Part("tag", cast.ada.tag)
    form = Part("form", cast.ada.plain)
    tried = (
        [],
        [tag],
        [form],
        [tag, form],
        [Part("tag", cast.ada.tag, excluded=True)],
        [Part("tag", cast.ada.vip)],
    )
    sizes = []
    for parts in tried:
        db.write_now(cast.ada.id, course.set_audience, made, parts)
        found = db.read_now(cast.ada.id, audience.size, made)
        assert found == (db.read_now(cast.ada.id, audience.count, made), True)
        sizes.append(found.people)
    assert sizes == [4, 0, 4, 4, 4, 0]


def test_a_large_audience_is_estimated_by_a_sample(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = [cast.bea, *ledger.people(db, cast.ada, 60)]
    made = ledger.draft(db, cast.ada)
    tagged = [who for who in everybody if who % 3 == 0]

    def tag(tx: Tx) -> None:
        for who in tagged:
            subscriptions.start(tx, subscribers.get(tx, who), "tag", cast.ada.vip, API)

    db.write_now(cast.ada.id, tag)
    parts = [Part("tag", cast.ada.vip), Part("tag", cast.ada.tag)]
    db.write_now(cast.ada.id, course.set_audience, made, parts)
    # Every third in each range: the sample says nearly what there is.
    for sampled in (3, 6, 60):
        monkeypatch.setattr(audience, "SAMPLED", sampled)
        found = db.read_now(cast.ada.id, lambda rx: audience.size(rx, made, most=10))
        assert not found.exact
        assert abs(found.people - len(tagged)) <= 2
    db.write_now(cast.ada.id, course.set_audience, made, [Part("tag", cast.ada.vip, excluded=True)])
    found = db.read_now(cast.ada.id, lambda rx: audience.size(rx, made, most=10))
    assert abs(found.people - (len(everybody) - len(tagged))) <= 2
