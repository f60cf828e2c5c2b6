"""The ledger of notices: each told at least once, held by one notifier at a time, logged at every try."""

import itertools
import json
from collections.abc import Callable

import pytest

from tests.core.cast import API, DAY, HOUR, Cast, Clock, Owner, rows
from tidings.core import erasure, notices, webhooks
from tidings.core.accounts import INSTALLATION
from tidings.core.events import Event
from tidings.core.notices import Notice, Outcome, Share, Told
from tidings.core.webhooks import Webhook
from tidings.errors import Conflict, NotFound
from tidings.store.db import Database
from tidings.store.tx import Tx

TARGET = "https://shop.example/hook"
LEASE_MS = 60_000
FINE = Told(200, body=b"thank you", took_ms=12)
BROKEN = Told(500, body=b"oh no")
LEASES = itertools.count(1)
EVENTS = itertools.count(1)


def hook(db: Database, owner: Owner, target: str = TARGET) -> Webhook:
    return db.write_now(owner.id, webhooks.create, "purchase_create", target)


def queueing(webhook: Webhook, n: int = 1, about: int | None = None) -> Callable[[Tx], list[int]]:
    """Return a verb that queues so many notices of fresh events and returns the events."""
    made = [next(EVENTS) for _ in range(n)]

    def verb(tx: Tx) -> list[int]:
        for event_id in made:
            body = json.dumps({"event": event_id})
            notices.queue(tx, webhook, "purchase_create", body, event_id=event_id, subscriber_id=about)
        return made

    return verb


def queue(db: Database, owner: Owner, webhook: Webhook, n: int = 1, about: int | None = None) -> list[int]:
    """Queue so many notices; return their events."""
    return db.write_now(owner.id, queueing(webhook, n, about))


def claim(db: Database, owner: Owner, webhook: Webhook, n: int = 1) -> list[Notice]:
    shares = [Share(owner.id, webhook.id, n)]
    return db.write_now(INSTALLATION, notices.claim, shares, lease=next(LEASES), lease_ms=LEASE_MS)


def settle(db: Database, told: Told, *tried: Notice) -> int:
    outcomes = [notices.outcome(one, told, db.clock(), 0.5) for one in tried]
    return db.write_now(INSTALLATION, notices.settle, outcomes)


def states(db: Database) -> dict[str, int]:
    found = rows(db, "SELECT state, COUNT(*) FROM notices GROUP BY state")
    return {str(state): int(str(n)) for state, n in found}


def tries(db: Database) -> int:
    return int(str(rows(db, "SELECT COUNT(*) FROM notice_attempts")[0][0]))


def test_a_notice_is_claimed_posted_and_told_and_stands_in_the_log(db: Database, ada: Owner) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook, about=7)
    (one,) = claim(db, ada, webhook)
    assert (one.url, one.name, one.attempts, one.signers) == (TARGET, "purchase_create", 0, (1,))
    assert json.loads(one.body)["event"]
    assert settle(db, FINE, one) == 1
    assert states(db) == {"told": 1}
    (entry,) = db.read_now(ada.id, notices.log, webhook.id)
    assert (entry.notice_id, entry.n, entry.status, entry.answer) == (one.id, 1, 200, "thank you")
    assert (entry.took_ms, entry.name, entry.state) == (12, "purchase_create", "told")
    assert claim(db, ada, webhook) == []


def test_the_same_event_is_told_to_a_webhook_once_however_often_it_is_queued(
    db: Database, ada: Owner
) -> None:
    webhook, other = hook(db, ada), hook(db, ada)

    def verb(tx: Tx) -> None:
        for one in (webhook, webhook, other):
            notices.queue(tx, one, "purchase_create", "{}", event_id=1_000_000, subscriber_id=None)

    for _ in range(2):
        db.write_now(ada.id, verb)
    assert states(db) == {"queued": 2}


def test_two_workers_never_hold_the_same_notice(db: Database, ada: Owner) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook, 30)
    claimed = [one.id for _ in range(4) for one in claim(db, ada, webhook, 10)]
    assert len(claimed) == len(set(claimed)) == 30


def test_a_worker_claims_only_what_is_due_and_the_oldest_first(
    db: Database, ada: Owner, clock: Clock
) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook, 3)
    first, second, _ = claim(db, ada, webhook, 3)
    settle(db, BROKEN, second)
    settle(db, FINE, first)
    assert claim(db, ada, webhook, 3) == []
    clock.move(5_000)
    queue(db, ada, webhook)
    again, fresh = claim(db, ada, webhook, 3)
    assert (again.id, again.attempts) == (second.id, 1)
    assert fresh.attempts == 0


def test_a_lapsed_lease_gives_a_notice_to_somebody_else(db: Database, ada: Owner, clock: Clock) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook)
    (one,) = claim(db, ada, webhook)
    clock.move(LEASE_MS - 1)
    assert not db.read_now(INSTALLATION, notices.any_lapsed)
    assert db.write_now(INSTALLATION, notices.release_lapsed) == 0
    clock.move(1)
    assert db.read_now(INSTALLATION, notices.any_lapsed)
    assert db.write_now(INSTALLATION, notices.release_lapsed) == 1
    (again,) = claim(db, ada, webhook)
    assert again.message_id == one.message_id
    assert again.attempts == 0
    assert again.lease != one.lease


def test_a_settle_by_a_lapsed_lease_changes_no_notice_and_is_logged(
    db: Database, ada: Owner, clock: Clock
) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook)
    (late,) = claim(db, ada, webhook)
    clock.move(LEASE_MS)
    db.write_now(INSTALLATION, notices.release_lapsed)
    (now,) = claim(db, ada, webhook)
    before = rows(db, "SELECT * FROM notices")
    assert settle(db, FINE, late) == 0
    assert rows(db, "SELECT * FROM notices") == before
    assert tries(db) == 1
    assert settle(db, FINE, now) == 1
    assert settle(db, BROKEN, now) == 0
    assert states(db) == {"told": 1}


def test_how_many_wait_is_counted_up_to_a_bound(db: Database, cast: Cast) -> None:
    webhook = hook(db, cast.ada)
    queue(db, cast.ada, webhook, 3)
    assert db.read_now(cast.ada.id, notices.queued, webhook.id) == 3
    assert db.read_now(cast.ada.id, notices.queued, webhook.id, 2) == 2
    assert db.read_now(cast.eve.id, notices.queued, webhook.id) == 0


def test_a_settle_of_an_erased_notice_leaves_no_trace(db: Database, cast: Cast) -> None:
    webhook = hook(db, cast.ada)
    queue(db, cast.ada, webhook, 3, about=cast.bea)
    queue(db, cast.ada, webhook, 1, about=cast.cal)
    first, second, third, _ = claim(db, cast.ada, webhook, 4)
    settle(db, FINE, first)
    settle(db, BROKEN, second)
    db.pepper = b"k" * 32
    db.write_now(cast.ada.id, erasure.erase, cast.bea, API)
    assert settle(db, FINE, third) == 0
    assert tries(db) == 0
    assert states(db) == {"claimed": 1}


def test_many_outcomes_of_several_accounts_are_settled_in_one_write(db: Database, cast: Cast) -> None:
    hooks = {cast.ada: hook(db, cast.ada), cast.eve: hook(db, cast.eve)}
    outcomes: list[Outcome] = []
    for owner, webhook in hooks.items():
        queue(db, owner, webhook, 200)
        told = [(one, FINE if at % 2 else BROKEN) for at, one in enumerate(claim(db, owner, webhook, 200))]
        outcomes += [notices.outcome(one, said, db.clock(), 0.5) for one, said in told]
    assert db.write_now(INSTALLATION, notices.settle, outcomes) == 400
    assert states(db) == {"told": 200, "queued": 200}
    assert tries(db) == 400


def test_what_is_given_back_counts_no_try_and_is_due_at_once(db: Database, ada: Owner) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook)
    (one,) = claim(db, ada, webhook)
    db.write_now(INSTALLATION, notices.settle, [notices.given_back(one)])
    (again,) = claim(db, ada, webhook)
    assert (again.id, again.attempts) == (one.id, 0)
    assert tries(db) == 0


def test_who_waits_is_listed_once_each_with_the_oldest_due_time(
    db: Database, cast: Cast, clock: Clock
) -> None:
    a, b, other = hook(db, cast.ada), hook(db, cast.ada), hook(db, cast.eve)
    queue(db, cast.ada, b, 50)
    queue(db, cast.eve, other, 2)
    clock.move(1_000)
    queue(db, cast.ada, a, 50)
    due = db.read_now(INSTALLATION, notices.waiting)
    assert [(one.account_id, one.webhook_id, one.due_at) for one in due] == [
        (cast.ada.id, a.id, clock.now),
        (cast.ada.id, b.id, clock.now - 1_000),
        (cast.eve.id, other.id, clock.now - 1_000),
    ]
    assert {one.url for one in due} == {TARGET}
    settle(db, BROKEN, *claim(db, cast.ada, b, 50))
    later = {one.webhook_id: one.due_at for one in db.read_now(INSTALLATION, notices.waiting)}
    assert later[b.id] == clock.now + 5_000


def test_nothing_waits_where_nothing_is_queued(db: Database, ada: Owner) -> None:
    assert db.read_now(INSTALLATION, notices.waiting) == []


@pytest.mark.parametrize("how", ("delete", "disable"))
def test_what_waits_for_a_webhook_that_ends_is_dropped(db: Database, ada: Owner, how: str) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook, 3)
    if how == "delete":
        db.write_now(ada.id, webhooks.delete, webhook.id)
    else:
        db.write_now(ada.id, webhooks.disable, webhook.id, "not wanted")
    (due,) = db.read_now(INSTALLATION, notices.waiting)
    assert due.url == ""
    assert claim(db, ada, webhook, 10) == []
    assert states(db) == {"dropped": 3}
    assert db.read_now(INSTALLATION, notices.waiting) == []


def test_an_answer_that_no_database_can_hold_is_logged_as_far_as_it_can(db: Database, ada: Owner) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook, 2)
    one, two = claim(db, ada, webhook, 2)
    settle(db, Told(500, body=b"a\x00b\xff\xfe" + b"x" * 5_000), one)
    settle(db, Told(None, error="cut\x00off\ud800"), two)
    newest, oldest = db.read_now(ada.id, notices.log, webhook.id)
    assert oldest.answer.startswith("ab��xxx")
    assert len(oldest.answer) <= 1_024
    assert (newest.status, newest.error) == (None, "cutoff?")


def test_the_log_is_paged_newest_first_and_can_show_failures_only(db: Database, cast: Cast) -> None:
    ada = cast.ada
    webhook = hook(db, ada)
    queue(db, ada, webhook, 7)
    for at, one in enumerate(claim(db, ada, webhook, 7)):
        settle(db, (FINE, BROKEN, Told(None, "no answer"), Told(302))[at % 4], one)
    pages, before = [], None
    while page := db.read_now(ada.id, notices.log, webhook.id, before_id=before, limit=3):
        pages.append([one.id for one in page])
        before = page[-1].id
    assert [len(page) for page in pages] == [3, 3, 1]
    ids = [one for page in pages for one in page]
    assert ids == sorted(ids, reverse=True)
    failed = db.read_now(ada.id, notices.log, webhook.id, failed=True)
    assert {one.status for one in failed} == {500, None, 302}
    assert len(failed) == 5
    assert db.read_now(cast.eve.id, notices.log, webhook.id) == []


def test_tries_and_settled_notices_are_forgotten_after_their_time_in_slices(
    db: Database, ada: Owner, clock: Clock
) -> None:
    webhook, other = hook(db, ada), hook(db, ada)
    queue(db, ada, webhook, 5)
    settle(db, FINE, *claim(db, ada, webhook, 4))
    clock.move(31 * DAY)
    queue(db, ada, other, 2)
    settle(db, FINE, *claim(db, ada, other, 1))
    before = clock.now - notices.KEEP_MS
    gone = []
    while n := db.write_now(INSTALLATION, notices.fold, before, 3):
        gone.append(n)
    assert sum(gone) == 8
    assert max(gone) <= 6
    assert states(db) == {"queued": 2, "told": 1}
    assert tries(db) == 1


@pytest.mark.parametrize("end", ("told", "failed", "dropped", "queued"))
def test_a_replay_tells_again_under_the_same_id_with_tries_counted_anew(
    db: Database, ada: Owner, clock: Clock, end: str
) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook)
    (one,) = claim(db, ada, webhook)
    if end == "told":
        settle(db, FINE, one)
    elif end == "dropped":
        db.write_now(INSTALLATION, notices.settle, [Outcome(one, "dropped", clock.now)])
    else:
        settle(db, BROKEN, one)
        for wait in notices.WAITS_MS if end == "failed" else ():
            clock.move(wait)
            settle(db, BROKEN, *claim(db, ada, webhook))
    assert states(db) == {end: 1}
    clock.move(1_000)
    db.write_now(ada.id, notices.replay, one.id)
    (again,) = claim(db, ada, webhook)
    assert (again.message_id, again.body, again.attempts) == (one.message_id, one.body, 0)
    settle(db, FINE, again)
    assert db.read_now(ada.id, notices.attempts, one.id)[-1].n == 1


def test_what_is_on_its_way_or_strange_or_disabled_is_not_replayed(db: Database, cast: Cast) -> None:
    ada = cast.ada
    webhook = hook(db, ada)
    queue(db, ada, webhook)
    (one,) = claim(db, ada, webhook)
    with pytest.raises(Conflict, match="on its way"):
        db.write_now(ada.id, notices.replay, one.id)
    settle(db, FINE, one)
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, notices.replay, one.id)
    db.write_now(ada.id, webhooks.disable, webhook.id, "not wanted")
    with pytest.raises(Conflict, match="disabled"):
        db.write_now(ada.id, notices.replay, one.id)
    with pytest.raises(Conflict, match="disabled"):
        db.write_now(ada.id, notices.test, webhook.id, lambda event: event.name)
    db.write_now(ada.id, webhooks.delete, webhook.id)
    with pytest.raises(NotFound):
        db.write_now(ada.id, notices.replay, one.id)


def test_a_range_is_replayed_slice_by_slice_and_what_waits_is_left(
    db: Database, ada: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidings.core.notices.again.SLICE", 2)
    webhook, other = hook(db, ada), hook(db, ada)
    began = clock.now
    for _ in range(5):
        queue(db, ada, webhook)
        queue(db, ada, other)
        clock.move(HOUR)
    settle(db, FINE, *claim(db, ada, webhook, 3))
    settle(db, FINE, *claim(db, ada, other, 5))
    after, n, slices = 0, 0, 0
    until = began + 4 * HOUR
    while True:
        part = db.write_now(ada.id, notices.replay_range, webhook.id, began + HOUR, until, after_id=after)
        n, slices = n + part.n, slices + 1
        if part.last_id is None:
            break
        after = part.last_id
    assert (n, slices) == (2, 3)
    assert states(db) == {"told": 6, "queued": 4}
    assert len(claim(db, ada, webhook, 10)) == 4


def test_only_what_failed_of_a_range_is_replayed_if_so_asked(db: Database, ada: Owner, clock: Clock) -> None:
    webhook = hook(db, ada)
    queue(db, ada, webhook, 2)
    fine, gone = claim(db, ada, webhook, 2)
    settle(db, FINE, fine)
    db.write_now(INSTALLATION, notices.settle, [Outcome(gone, "failed", clock.now, BROKEN)])
    part = db.write_now(ada.id, notices.replay_range, webhook.id, 0, clock.now + 1, failed=True)
    assert part.n == 1
    (again,) = claim(db, ada, webhook, 5)
    assert again.id == gone.id


@pytest.mark.parametrize("event", tuple(webhooks.NEEDS))
def test_a_test_carries_what_the_event_would_and_names_nobody(db: Database, ada: Owner, event: str) -> None:
    needed = {"subject": webhooks.NEEDS[event][0], "subject_id": 5} if webhooks.NEEDS[event] else {}
    webhook = db.write_now(ada.id, webhooks.create, event, TARGET, **needed)
    seen = []

    def shape(event_: Event) -> str:
        seen.append(event_)
        return '{"sample":true}'

    made = db.write_now(ada.id, notices.test, webhook.id, shape)
    db.write_now(ada.id, notices.test, webhook.id, shape)
    assert (seen[0].name, seen[0].subject_id) == (event, needed.get("subject_id"))
    assert json.loads(seen[0].snapshot)["email"] == "sample@example.com"
    assert json.loads(seen[0].detail)["products"][0]["pid"] == str(needed.get("subject_id", 1))
    one, _ = claim(db, ada, webhook, 2)
    assert (one.id, one.name, one.body) == (made, event, '{"sample":true}')


def test_message_ids_differ_between_accounts_notices_and_restored_databases() -> None:
    one = Notice(1, 2, 3, "tag_add", "{}", 0, 0, 9, 1_000, TARGET)
    ids = {
        one.message_id,
        Notice(2, 2, 3, "tag_add", "{}", 0, 0, 9, 1_000, TARGET).message_id,
        Notice(1, 3, 3, "tag_add", "{}", 0, 0, 9, 1_000, TARGET).message_id,
        Notice(1, 2, 3, "tag_add", "{}", 0, 0, 9, 2_000, TARGET).message_id,
    }
    assert len(ids) == 4
    assert one.message_id == "msg_1_2_3e8"
