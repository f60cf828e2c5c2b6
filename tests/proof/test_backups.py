"""Backups at random moments of a running broadcast restore to a consistent ledger.

Promise L8 of the reliability paper: 20 on each database, 200 before a release. Each is restored into an
empty place of its own and checked; what was sent after it is open there, and held.
"""

import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.proof.backed import away, restored, taken_before, url_of, wrong
from tests.proof.mailing import SEED, Rig
from tidings.core import checking
from tidings.core.accounts import INSTALLATION
from tidings.store import backup
from tidings.store.db import Database

RELEASE = os.environ.get("TIDINGS_PROOF") == "release"
TIMES = 200 if RELEASE else 20
PEOPLE = 4_000


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_backups_at_random_moments_of_a_broadcast_restore_to_a_consistent_ledger(
    kind: str, tmp_path: Path
) -> None:
    kinds = ("sqlite", "postgresql")
    midway = 0
    with Rig(url_of(kind, tmp_path), tmp_path, people=PEOPLE, delay_ms=8) as rig:
        rig.broadcast()
        rig.start()
        for at in range(TIMES):
            if not rig.open():
                rig.broadcast()
            taken = rig.sink.taken()
            # One that ends meanwhile is backed up too, as it is.
            rig.wait_for(lambda: rig.sink.taken() > taken or not rig.open(), 15, "nothing was sent")  # noqa: B023
            time.sleep(rig.random.uniform(0, 0.4))
            file = tmp_path / f"{at}.db"
            before = taken_before(rig)
            backup.back_up(rig.url, str(file))
            url = restored(tmp_path, kinds[at % 2], file)
            with closing(Database(url)) as db:
                midway += db.read_now(INSTALLATION, checking.unsent).queued > 0
            assert wrong(rig, url, before) == [], f"backup {at}, seed {SEED}"
            away(url)
            file.unlink()
        print(f"{kind}: {TIMES} backups of {PEOPLE} people, {midway} of them midway, seed {SEED}")
    assert midway >= TIMES * 0.5


def test_a_ledger_that_is_not_consistent_is_seen(tmp_path: Path) -> None:
    with Rig(url_of("sqlite", tmp_path), tmp_path, people=300, delay_ms=8) as rig:
        rig.broadcast()
        rig.start()
        rig.wait_for_mail()
        before = taken_before(rig)
        backup.back_up(rig.url, str(tmp_path / "kept.db"))
        url = restored(tmp_path, "sqlite", tmp_path / "kept.db")
        for bug in (
            "UPDATE deliveries SET state = 'sent' WHERE state = 'queued'",
            "UPDATE broadcasts SET paused_at = NULL",
            "DELETE FROM counters WHERE bucket = -1",
        ):
            assert wrong(rig, url, before, bug=bug), bug
