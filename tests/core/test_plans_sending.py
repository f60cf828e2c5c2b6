"""Every statement of the sending path goes by an index, on both databases, among 20,000 rows."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from tests.core.cast import DAY, HOUR, Cast, Clock
from tests.core.ledger import TIMING, fill
from tests.core.test_plans import Recording, plan, whole_reads
from tidings.core import deliveries, sending, trials
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import course, hours
from tidings.core.broadcasts.course import Part
from tidings.core.deliveries import Delivery, Outcome, Source, log
from tidings.store.db import Database
from tidings.store.definitions import Definitions
from tidings.store.tx import Tx

ROWS = 20_000
MOST = 320
# They hold nothing but what is looked for: broadcasts under way, rows in hands.
SMALL = (
    "broadcasts_sending",
    "broadcasts_due",
    "deliveries_held",
    "custom_fields",
    "SCAN given",
    "VALUES CLAUSE",
)


def some(made: int, n: int = MOST) -> list[Delivery]:
    """Claimed deliveries, as a worker has them."""
    return [Delivery(2, at, f"broadcast:{made}", at, 1, 77, 0, made, ambiguous=1) for at in range(1, n + 1)]


def settling(ending: str, **more: Any) -> Callable[[Tx, int], object]:
    return lambda tx, made: sending.settle(
        tx, [Outcome(one, ending, "said", **more) for one in some(made)], TIMING
    )


def claiming(*, alone: bool, whole_account: bool = False) -> Callable[[Tx, int], object]:
    def ask(tx: Tx, made: int) -> object:
        source = Source(tx.account_id, None if whole_account else made)
        return deliveries.claim(tx, source, lane="bulk", limit=MOST, lease=5, timing=TIMING, alone=alone)

    return ask


def fanning_out(tx: Tx, made: int) -> object:
    tx.run("UPDATE broadcasts SET status = 'draft' WHERE id = :id", id=made)
    for excluded in (False, True):
        parts = [Part("tag", 1, excluded), Part("form", 1, excluded), Part("sequence", 1, excluded)]
        course.set_audience(tx, made, parts)
    tx.run(
        "UPDATE broadcasts SET status = 'sending', fanned_at = NULL, cursor_id = 0, highest_id = 100000"
        " WHERE id = :id",
        id=made,
    )
    return course.fan_out(tx, made)


def _leaf(tx: Tx, made: int, fate: str) -> object:
    return log.leaf(tx, made, fate, after_id=9_000)


SENDING: dict[str, Callable[[Tx, int], object]] = {
    "where bulk mail is due": lambda tx, _: sending.sources(tx, lane="bulk"),
    "where mail is due at once": lambda tx, _: sending.sources(tx, lane="now"),
    "claiming of a broadcast": claiming(alone=False),
    "claiming one that has seen a crash": claiming(alone=True),
    "claiming of an account": claiming(alone=False, whole_account=True),
    "claiming one of an account that has seen a crash": claiming(alone=True, whole_account=True),
    "what was opened meanwhile": lambda tx, made: deliveries.proved(tx, some(made)),
    "handing many": lambda tx, made: sending.hand(tx, some(made)),
    "handing one": lambda tx, made: sending.hand(tx, some(made, 1)),
    "giving back": lambda tx, made: deliveries.unclaim(tx, tx.account_id, [1, 2], 77),
    "settling what was sent": settling("sent"),
    "settling what failed": settling("failed", verdict="mailbox"),
    "settling what a full mailbox refused": settling("failed", verdict="mailbox-full"),
    "settling what nobody knows": settling("unknown"),
    "renewing a lease": lambda tx, _: deliveries.keep_lease(tx, [77, 78], TIMING),
    "whether a worker is silent": lambda tx, _: deliveries.any_lapsed(tx),
    "taking back": lambda tx, _: sending.release(tx, TIMING),
    "what is to begin": lambda tx, _: course.due(tx),
    "what is to be fanned out": lambda tx, _: course.unfanned(tx),
    "fanning out": fanning_out,
    "what is cancelled": lambda tx, _: course.cancelled(tx),
    "calling off": sending.call_off,
    "what is done": lambda tx, _: course.finished(tx),
    "completing": course.finish,
    "trying again": course.retry,
    "the last look at a broadcast": course.standing,
    "recipients": lambda tx, made: deliveries.of_broadcast(tx, made, after_id=9_000),
    "recipients without mail": lambda tx, made: deliveries.of_broadcast(tx, made, unsent=True),
    "a person's mails": lambda tx, _: deliveries.of_subscriber(tx, 9),
    "the tries of a mail": lambda tx, _: deliveries.attempts_of(tx, 9),
    "the tries of a page of mails": lambda tx, _: deliveries.attempts_of_many(tx, [8, 9]),
    "one person of a broadcast": lambda tx, made: log.of_person(tx, made, 9),
    "refusals by code": log.refusals,
    "numbers by the hour": hours.series,
    "test mails that are due": lambda tx, _: (trials.any_due(tx), trials.claim(tx)),
    "test mails of a broadcast": trials.of_broadcast,
    **{f"recipients: {fate}": partial(_leaf, fate=fate) for fate in log.FATES},
}


@pytest.fixture(params=("counted", "uncounted"))
def session(
    request: pytest.FixtureRequest, db: Database, cast: Cast, clock: Clock
) -> Iterator[tuple[Any, int, int]]:
    """A transaction among 20,000 deliveries in every state, with and without statistics; rolled back."""
    made = fill(db, cast.eve, ROWS)
    db.write_now(INSTALLATION, _mix, made, cast.eve.id)
    with closing(db.session(writer=True)) as session:
        if request.param == "counted":
            session.begin()
            session.change("ANALYZE", {})
            session.commit()
        session.begin()
        yield session, made, cast.eve.id
        session.rollback()


def _mix(tx: Tx, made: int, account_id: int) -> None:
    """Some two in ten wait, of which a few have seen a crash; the others are at their end or in hands."""
    tx.run(
        "UPDATE deliveries SET due_at = :now, lease = 77,"
        " crashes = CASE WHEN id % 1000 = 0 THEN 1 ELSE 0 END,"
        " lease_until = CASE WHEN id % 10 IN (2, 3) THEN :until END, state = CASE id % 10"
        " WHEN 0 THEN 'queued' WHEN 1 THEN 'deferred' WHEN 2 THEN 'claimed' WHEN 3 THEN 'handed'"
        " WHEN 4 THEN 'failed' WHEN 5 THEN 'uncertain' ELSE 'sent' END"
        " WHERE broadcast_id = :made",
        now=tx.now - HOUR,
        until=tx.now + DAY,
        made=made,
    )
    tx.run(
        "INSERT INTO broadcasts (account_id, status, visibility, published_at, email_address,"
        " email_layout_template, recipients, opens, clicks, total_clicks, unsubscribes, settled, created_at,"
        " updated_at) SELECT account_id, 'completed', 'private', 0, '', '', 0, 0, 0, 0, 0, 0, 0, 0"
        " FROM deliveries WHERE id % 20 = 0",
    )
    tx.run(
        "INSERT INTO attempts (account_id, delivery_id, subscriber_id, n, state, verdict, reply, at)"
        " SELECT account_id, id, subscriber_id, 1, 'failed', 'soft', '452', due_at FROM deliveries"
        " WHERE account_id = :account_id",
        account_id=account_id,
    )


def test_no_statement_of_the_sending_path_reads_a_table_whole(
    session: tuple[Any, int, int], clock: Clock
) -> None:
    own, made, account_id = session
    wrong = []
    for name, question in SENDING.items():
        recording = Recording(own)
        question(Tx(recording, Definitions(stale_ms=0), account_id, clock.now), made)
        assert recording.asked, name
        for sql, params in dict(recording.asked).items():
            lines = plan(own, sql, params)
            if [line for line in whole_reads(lines) if not any(one in line for one in SMALL)]:
                wrong += [f"{name}:", sql[:300], *lines, ""]
    assert not wrong, "\n".join(wrong)


def test_what_has_seen_a_crash_is_found_without_going_past_all_that_waits(
    session: tuple[Any, int, int], clock: Clock
) -> None:
    own, made, account_id = session
    recording = Recording(own)
    claiming(alone=True)(Tx(recording, Definitions(stale_ms=0), account_id, clock.now), made)
    lines = plan(own, *recording.asked[0])
    assert any("deliveries_crashed" in line for line in lines), "\n".join(lines)


def test_the_last_look_does_not_begin_with_all_people_of_the_account(
    session: tuple[Any, int, int], clock: Clock
) -> None:
    own, made, account_id = session
    for n in (1, MOST):
        recording = Recording(own)
        sending.hand(Tx(recording, Definitions(stale_ms=0), account_id, clock.now), some(made, n))
        for sql, params in recording.asked:
            lines = plan(own, sql, params)
            assert not any("subscribers_by_state" in line for line in lines), "\n".join(lines)
