"""Notifiers are killed at every point and at random: each notice is told at least once, under one id.

`TIDINGS_SEED=… make proof` repeats a run as far as processes can be repeated; the seed is printed.
"""

import os
import time
from pathlib import Path

import pytest

from tests.proof.noticing import POINTS, SEED, NoticeRig
from tests.setup import postgres

RELEASE = os.environ.get("TIDINGS_PROOF") == "release"
TIMES = 10 if RELEASE else 1
KILLS = {"sqlite": 50 * TIMES, "postgresql": 25 * TIMES, "two": 25 * TIMES}
NOTICES = {"sqlite": 5_000 * TIMES, "postgresql": 3_000 * TIMES, "two": 3_000 * TIMES}


def _url(kind: str, folder: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{folder}/notices.db"
    return postgres.fresh_database(postgres.shared_server())


def _lives(rig: NoticeRig, kills: int) -> list[str]:
    """Return how each life ends: at the n-th pass of a point, or (empty) at a random moment."""
    aimed = [f"{POINTS[at % len(POINTS)]}:{rig.random.choice((1, 1, 2, 3))}" for at in range(kills * 3 // 5)]
    lives = aimed + [""] * (kills - len(aimed))
    rig.random.shuffle(lives)
    return lives


def _live(rig: NoticeRig, failpoint: str) -> None:
    engine = rig.start(failpoint)
    if failpoint:
        rig.die(engine)
        return
    before, until = rig.taken(), time.monotonic() + 10
    while rig.taken() == before and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(rig.random.uniform(0, 0.2))
    rig.kill(engine)


def _report(rig: NoticeRig, kind: str) -> None:
    doubt = f"{len(rig.doubtful)} in doubt, {rig.extra()} posted again"
    print(f"{kind}: {rig.kills} kills over {rig.n} notices, {doubt}, {rig.states()}, seed {SEED}")


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_each_notice_is_told_or_stands_in_the_log_however_often_its_teller_dies(
    kind: str, tmp_path: Path
) -> None:
    with NoticeRig(_url(kind, tmp_path), tmp_path, n=NOTICES[kind]) as rig:
        for failpoint in _lives(rig, KILLS[kind]):
            _live(rig, failpoint)
        rig.finish(300)
        _report(rig, kind)
        assert rig.kills == KILLS[kind]
        assert rig.wrong() == [], f"seed {SEED}"


def test_two_notifiers_of_whom_one_is_always_dying_lose_nothing(tmp_path: Path) -> None:
    with NoticeRig(_url("two", tmp_path), tmp_path, n=100) as rig:
        other = rig.start()
        for failpoint in _lives(rig, KILLS["two"]):
            engine = rig.start(failpoint)
            time.sleep(rig.random.uniform(0.6, 1.2))
            # Two at work at once: what is queued now is divided between them.
            rig.queue(NOTICES["two"] // KILLS["two"])
            time.sleep(rig.random.uniform(0, 0.15))
            rig.kill(engine)
            if rig.random.random() < 0.2:
                rig.kill(other)
                other = rig.start()
        rig.kill(other)
        rig.finish(300)
        _report(rig, "two")
        assert rig.doubtful
        assert rig.wrong() == [], f"seed {SEED}"
