"""What pages ask of notices: the failed tries among the newest, and a range that is found by its time."""

import pytest

from tests.core.cast import DAY, Cast, Clock, rows
from tests.core.test_notices import BROKEN, FINE, claim, hook, queue, settle
from tidings.core import notices
from tidings.core.notices import again
from tidings.store.db import Database


def test_failed_tries_are_looked_for_among_the_newest(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, webhook = cast.ada, hook(db, cast.ada)
    for told in (BROKEN, FINE, BROKEN, FINE):
        queue(db, ada, webhook)
        settle(db, told, *claim(db, ada, webhook))
    tried = db.read_now(ada.id, notices.log, webhook.id, failed=True)
    assert [one.status for one in tried] == [500, 500]
    assert tried == [one for one in db.read_now(ada.id, notices.log, webhook.id) if one.status == 500]
    (older,) = db.read_now(ada.id, notices.log, webhook.id, failed=True, before_id=tried[0].id)
    assert older == tried[1]
    assert db.read_now(cast.eve.id, notices.log, webhook.id, failed=True) == []
    monkeypatch.setitem(notices.log.__globals__, "LATELY", 2)
    assert db.read_now(ada.id, notices.log, webhook.id, failed=True) == tried[:1]


def test_a_range_begins_at_its_time_and_ends_behind_it(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, webhook = cast.ada, hook(db, cast.ada)
    days = [clock.now + n * DAY for n in range(4)]
    for day in days:
        clock.now = day
        queue(db, ada, webhook, 2)
        settle(db, FINE, *claim(db, ada, webhook, 2))
    monkeypatch.setattr(again, "SLICE", 2)

    part = db.write_now(ada.id, notices.replay_range, webhook.id, days[1], days[2] + 1)
    # The first slice is the one of its first day, not of all that was before.
    assert part.n == 2
    assert part.last_id is not None
    part = db.write_now(ada.id, notices.replay_range, webhook.id, days[1], days[2] + 1, after_id=part.last_id)
    assert (part.n, part.last_id is None) == (2, False)
    part = db.write_now(
        ada.id, notices.replay_range, webhook.id, days[1], days[2] + 1, after_id=part.last_id or 0
    )
    assert (part.n, part.last_id) == (0, None)
    said = [row[0] for row in rows(db, "SELECT state FROM notices ORDER BY id")]
    assert said == ["told", "told", "queued", "queued", "queued", "queued", "told", "told"]


def test_a_range_in_which_nothing_was_made_is_empty(db: Database, cast: Cast, clock: Clock) -> None:
    webhook = hook(db, cast.ada)
    queue(db, cast.ada, webhook)
    settle(db, FINE, *claim(db, cast.ada, webhook))
    part = db.write_now(cast.ada.id, notices.replay_range, webhook.id, clock.now + DAY, clock.now + 2 * DAY)
    assert (part.n, part.last_id) == (0, None)
