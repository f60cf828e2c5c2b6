"""The schedule: ten tries in 75 h 35 min give or take a fifth, over a hundred simulated weeks; its end."""

import itertools
import random

import pytest

from tests.core.cast import DAY, HOUR, SECOND, Cast, Clock, Owner, rows
from tests.core.test_notices import BROKEN, FINE, TARGET, claim, hook, queue, settle, states
from tidings.core import events, notices, webhooks
from tidings.core.accounts import INSTALLATION
from tidings.core.notices import TRIES, WAITS_MS, Notice, Told, schedule
from tidings.store.db import Database

MINUTE = 60 * SECOND
WEEK = 7 * DAY


def test_the_waits_are_those_of_the_standard() -> None:
    printed = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24))]
    assert list(WAITS_MS) == printed
    assert sum(WAITS_MS) == 75 * HOUR + 35 * MINUTE + 5 * SECOND
    assert TRIES == 10


def simulated(luck: random.Random, made_at: int) -> list[int]:
    """Return when each try of one notice came that always fails, by the schedule alone."""
    notice = Notice(1, 1, 1, "tag_add", "{}", 0, made_at, 1, made_at, TARGET)
    times = []
    for n in itertools.count():
        times.append(notice.due_at)
        said = notices.outcome(
            Notice(1, 1, 1, "tag_add", "{}", n, notice.due_at, 1, made_at, TARGET),
            BROKEN,
            times[-1],
            luck.random(),
        )
        if said.state == "failed":
            return times
        assert said.state == "queued"
        notice = Notice(1, 1, 1, "tag_add", "{}", n + 1, said.due_at, 1, made_at, TARGET)
    return times


def test_over_a_hundred_simulated_weeks_each_wait_is_within_its_fifth_and_uses_all_of_it() -> None:
    luck = random.Random(20_260_801)
    lucks: dict[int, list[float]] = {}
    for made_at in range(0, 100 * WEEK, HOUR):
        times = simulated(luck, made_at)
        assert len(times) == TRIES
        assert times[0] == made_at
        for at, (before, after) in enumerate(itertools.pairwise(times)):
            part = (after - before) / WAITS_MS[at]
            assert 0.8 <= part <= 1.2
            lucks.setdefault(at, []).append(part)
    for parts in lucks.values():
        assert min(parts) < 0.81
        assert max(parts) > 1.19
        assert abs(sum(parts) / len(parts) - 1) < 0.01


@pytest.mark.parametrize(("luck", "part"), ((0.0, 0.8), (0.5, 1.0), (0.999_999, 1.2)))
def test_the_random_source_alone_decides_within_the_fifth(luck: float, part: float) -> None:
    for tries, wait in enumerate(WAITS_MS, start=1):
        assert notices.wait_ms(tries, luck) == pytest.approx(wait * part, rel=1e-5)
    assert notices.wait_ms(TRIES, luck) is None


@pytest.mark.parametrize(
    ("asked_s", "wait"),
    ((None, 5 * SECOND), (0, 5 * SECOND), (-7, 5 * SECOND), (3, 5 * SECOND), (120, 120 * SECOND),
     (86_400, DAY), (10**12, DAY)),
)  # fmt: skip
def test_retry_after_puts_off_by_a_day_at_most_and_hurries_nothing(asked_s: int | None, wait: int) -> None:
    assert notices.wait_ms(1, 0.5, asked_s) == wait


def test_retry_after_does_not_give_further_tries() -> None:
    assert notices.wait_ms(TRIES, 0.5, 60) is None


@pytest.mark.parametrize(
    ("status", "fine", "overloaded"),
    ((200, True, False), (204, True, False), (299, True, False), (199, False, False), (301, False, False),
     (302, False, False), (404, False, False), (410, False, False), (429, False, True), (500, False, True),
     (504, False, True), (None, False, True)),
)  # fmt: skip
def test_only_a_2xx_is_a_success(status: int | None, fine: bool, overloaded: bool) -> None:
    told = Told(status)
    assert (told.fine, told.overloaded) == (fine, overloaded)


def test_the_rows_go_by_the_schedule_to_the_last_try(db: Database, ada: Owner, clock: Clock) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook)
    for at, wait in enumerate(WAITS_MS):
        (one,) = claim(db, ada, webhook)
        assert one.attempts == at
        settle(db, BROKEN, one)
        clock.move(wait - 1)
        assert claim(db, ada, webhook) == []
        clock.move(1)
    settle(db, BROKEN, *claim(db, ada, webhook))
    assert states(db) == {"failed": 1}
    assert [one.n for one in reversed(db.read_now(ada.id, notices.log, webhook.id))] == list(range(1, 11))
    clock.move(WEEK)
    assert claim(db, ada, webhook) == []


def test_gone_disables_at_once_and_the_owner_hears_of_it_once(db: Database, cast: Cast) -> None:
    ada = cast.ada
    webhook, other = hook(db, ada), hook(db, ada)
    queue(db, ada, webhook, 3)
    first, second = claim(db, ada, webhook, 2)
    settle(db, Told(410), first, second)
    ended = db.read_now(ada.id, webhooks.find, webhook.id)
    assert "410" in (ended.disabled_why or "")
    assert claim(db, ada, webhook, 5) == []
    assert states(db) == {"failed": 2, "dropped": 1}
    ((account_id, text),) = rows(db, "SELECT account_id, text FROM owner_notes")
    assert account_id == ada.id
    assert TARGET in str(text)
    assert f"webhook enable {webhook.id}" in str(text)
    assert db.read_now(ada.id, webhooks.find, other.id).disabled_at is None
    assert db.read_now(ada.id, events.listened) == {"purchase_create"}


def fail_until(db: Database, ada: Owner, clock: Clock, webhook: webhooks.Webhook, until: int) -> None:
    """Let an event come every six hours, and each try fail."""
    while clock.now < until:
        queue(db, ada, webhook)
        settle(db, BROKEN, *claim(db, ada, webhook, 100))
        clock.move(6 * HOUR)


def test_five_days_of_failures_without_a_success_disable(db: Database, ada: Owner, clock: Clock) -> None:
    webhook = hook(db, ada)
    began = clock.now
    fail_until(db, ada, clock, webhook, began + 5 * DAY)
    held = db.read_now(ada.id, webhooks.find, webhook.id)
    assert (held.failing_since_at, held.disabled_at) == (began, None)
    queue(db, ada, webhook)
    settle(db, BROKEN, *claim(db, ada, webhook, 100))
    held = db.read_now(ada.id, webhooks.find, webhook.id)
    assert held.disabled_at == clock.now
    assert "five days" in (held.disabled_why or "")
    assert len(rows(db, "SELECT 1 FROM owner_notes")) == 1
    assert db.read_now(ada.id, events.listened) == frozenset()
    claim(db, ada, webhook, 100)
    assert states(db).get("queued") is None


def test_one_success_begins_the_five_days_anew(db: Database, ada: Owner, clock: Clock) -> None:
    webhook = hook(db, ada)
    began = clock.now
    fail_until(db, ada, clock, webhook, began + 4 * DAY)
    queue(db, ada, webhook)
    settle(db, FINE, *claim(db, ada, webhook, 1))
    assert db.read_now(ada.id, webhooks.find, webhook.id).failing_since_at is None
    fail_until(db, ada, clock, webhook, began + 8 * DAY)
    assert db.read_now(ada.id, webhooks.find, webhook.id).disabled_at is None
    fail_until(db, ada, clock, webhook, began + 9 * DAY + HOUR)
    assert db.read_now(ada.id, webhooks.find, webhook.id).disabled_at is not None


def test_an_enabled_webhook_hears_again_and_starts_without_its_past(
    db: Database, ada: Owner, clock: Clock
) -> None:
    webhook = hook(db, ada)
    fail_until(db, ada, clock, webhook, clock.now + 5 * DAY + 7 * HOUR)
    assert db.write_now(ada.id, webhooks.enable, webhook.id)
    assert not db.write_now(ada.id, webhooks.enable, webhook.id)
    held = db.read_now(ada.id, webhooks.find, webhook.id)
    assert (held.disabled_at, held.disabled_why, held.failing_since_at) == (None, None, None)
    assert db.read_now(ada.id, events.listened) == {"purchase_create"}
    queue(db, ada, webhook)
    settle(db, BROKEN, *claim(db, ada, webhook, 100))
    assert db.read_now(ada.id, webhooks.find, webhook.id).failing_since_at == clock.now


def test_a_planted_schedule_that_never_ends_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "WAITS_MS", (*WAITS_MS, DAY))
    monkeypatch.setattr(schedule, "TRIES", TRIES + 1)
    assert len(simulated(random.Random(1), 0)) != TRIES


def test_a_lapsed_try_is_not_counted_as_one_of_the_ten(db: Database, ada: Owner, clock: Clock) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook)
    for _ in range(3):
        claim(db, ada, webhook)
        clock.move(60_000)
        db.write_now(INSTALLATION, notices.release_lapsed)
    (one,) = claim(db, ada, webhook)
    assert one.attempts == 0
