"""Two workers on one ledger: no row is ever in two hands."""

import os
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from tests.core.cast import Cast, Clock, rows
from tests.core.ledger import claim as claim_from
from tests.core.ledger import fill, hand, release, settle, states
from tidings.core.deliveries import Outcome, Source
from tidings.store.db import Database

ROWS = {None: 3_000, "ci": 20_000, "release": 200_000}[os.environ.get("TIDINGS_PROOF")]
WORKERS = 2


@pytest.fixture
def source(db: Database, cast: Cast) -> Source:
    return Source(cast.eve.id, fill(db, cast.eve, ROWS))


def test_no_row_is_ever_claimed_by_two(db: Database, source: Source, open_db: Callable[[], Database]) -> None:
    held: list[list[int]] = [[] for _ in range(WORKERS)]
    start, failed = threading.Barrier(WORKERS), []

    def hurry(mine: list[int], own: Database) -> None:
        start.wait(10)
        try:
            while batch := claim_from(own, source, limit=37):
                assert len(batch) <= 37
                mine.extend(one.id for one in hand(own, batch))
                settle(own, *(Outcome(one, "sent") for one in batch))
        except Exception as problem:  # noqa: BLE001 - told below, where the test fails of it
            failed.append(problem)

    workers = [threading.Thread(target=hurry, args=(mine, open_db())) for mine in held]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert failed == []
    found = Counter(one for mine in held for one in mine)
    assert max(found.values()) == 1
    assert found.total() == ROWS
    assert states(db, source.broadcast_id) == {"sent": ROWS}
    assert rows(db, "SELECT DISTINCT attempts FROM deliveries WHERE broadcast_id > 0") == [(1,)]


def test_what_lapses_while_two_release_it_is_released_once(
    db: Database, source: Source, clock: Clock, open_db: Callable[[], Database]
) -> None:
    hand(db, claim_from(db, source, limit=400))
    clock.move(60_000)
    start = threading.Barrier(WORKERS)

    def hurry(own: Database) -> None:
        start.wait(10)
        while release(own):
            pass

    workers = [threading.Thread(target=hurry, args=(open_db(),)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert rows(
        db,
        "SELECT state, ambiguous, COUNT(*) FROM deliveries WHERE state <> 'queued'"
        " AND broadcast_id > 0 GROUP BY 1, 2",
    ) == [("deferred", 1, 400)]
    assert rows(db, "SELECT COUNT(*) FROM attempts") == [(400,)]
