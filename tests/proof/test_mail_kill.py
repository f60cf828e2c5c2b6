"""Engines are killed at every state and at random: nobody is lost, and extra copies stay within the bound.

Promises L4, D2, D3 and D8 of the reliability paper. `TIDINGS_SEED=… make proof` repeats a run as far as
processes can be repeated; the seed is printed.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.proof.mailing import LEASE_S, POINTS, SEED, Rig, stopped
from tests.setup import postgres

RELEASE = os.environ.get("TIDINGS_PROOF") == "release"
# 80 aimed and 70 random kills over 20,000 recipients in all; 1,000 over 200,000 before a release.
TIMES = 7 if RELEASE else 1
MANY = 10 if RELEASE else 1
PEOPLE = {"sqlite": 8_000 * MANY, "postgresql": 7_000 * MANY, "two": 5_000 * MANY}
AIMED = {"sqlite": 32 * TIMES, "postgresql": 28 * TIMES, "two": 24 * TIMES}
RANDOM = {"sqlite": 28 * TIMES, "postgresql": 24 * TIMES, "two": 18 * TIMES}
# Of one message: it lets a life be long enough to be ended at a moment, and a broadcast outlive the kills.
DELAY_MS = {"sqlite": 3, "postgresql": 3, "two": 40}


def _url(kind: str, folder: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{folder}/mail.db"
    return postgres.fresh_database(postgres.shared_server())


def _lives(rig: Rig, kind: str) -> list[str]:
    """Return how each life of an engine ends: at the n-th pass of a point, or (empty) at a random moment.

    Those of the fan-out come first, where there is something to fan out.
    """
    first = ["started", "slice", "slice", "slice"]
    points = [*POINTS[:5] * (AIMED[kind] // 5 + 1)][: AIMED[kind] - len(first)]
    lives = [f"{point}:{rig.random.choice((1, 1, 2))}" for point in points] + [""] * RANDOM[kind]
    rig.random.shuffle(lives)
    return [*first, *lives]


def _live(rig: Rig, failpoint: str) -> None:
    """One life of one engine, to its end."""
    engine = rig.start(failpoint)
    if failpoint:
        rig.die(engine)
        return
    before = rig.sink.taken()
    if rig.random.random() < 0.8:
        until = time.monotonic() + 10
        while rig.sink.taken() == before and time.monotonic() < until:
            time.sleep(0.005)
    time.sleep(rig.random.uniform(0, 0.5))
    rig.kill(engine)


def _report(rig: Rig, kind: str) -> None:
    doubt = f"{len(rig.kills.handed)} in doubt, {rig.extra()} extra copies"
    print(f"{kind}: {dict(rig.kills.count)} over {rig.people} people, {doubt}, {rig.states()}, seed {SEED}")


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_nobody_is_lost_and_extra_copies_stay_within_the_bound(kind: str, tmp_path: Path) -> None:
    with Rig(_url(kind, tmp_path), tmp_path, people=PEOPLE[kind], delay_ms=DELAY_MS[kind]) as rig:
        rig.broadcast()
        for failpoint in _lives(rig, kind):
            if not rig.open():
                rig.broadcast()
            _live(rig, failpoint)
        rig.finish(300 * MANY)
        _report(rig, kind)
        assert rig.kills.count["failpoint"] >= AIMED[kind] * 0.9
        assert rig.wrong() == [], f"seed {SEED}"


def test_two_workers_of_whom_one_is_always_dying_lose_nobody(tmp_path: Path) -> None:
    kind = "two"
    with Rig(_url(kind, tmp_path), tmp_path, people=PEOPLE[kind], delay_ms=DELAY_MS[kind]) as rig:
        rig.broadcast()
        other = rig.start()
        for failpoint in _lives(rig, kind):
            if not rig.open():
                rig.broadcast()
            _live(rig, failpoint)
            if rig.random.random() < 0.2:
                rig.kill(other)
                other = rig.start()
        rig.kill(other)
        rig.finish(300 * MANY)
        _report(rig, kind)
        assert rig.wrong() == [], f"seed {SEED}"


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_restarts_in_peace_lose_nothing_and_repeat_nothing(kind: str, tmp_path: Path) -> None:
    with Rig(_url(kind, tmp_path), tmp_path, people=1_500, delay_ms=3) as rig:
        rig.broadcast()
        for _ in range(8 * TIMES):
            engine = rig.start()
            if rig.open():
                rig.wait_for_mail()
            time.sleep(rig.random.uniform(0, 0.4))
            rig.stop(engine)
            rig.note("restart")
            assert rig.kills.handed == set(), "an engine left mail in doubt"
            assert rig.states().get("claimed", 0) == 0, "an engine kept what it had claimed"
        rig.finish()
        _report(rig, kind)
        assert rig.extra() == 0
        assert rig.wrong() == [], f"seed {SEED}"
        assert rig.states() == {"sent": rig.people}


@pytest.mark.parametrize("policy", ("retry-once", "hold"))
def test_workers_that_slept_past_their_leases_repeat_nothing_beyond_the_bound(
    policy: str, tmp_path: Path
) -> None:
    """Each is stopped at another point, another one takes their mail back, and then all wake."""
    with Rig(_url("postgresql", tmp_path), tmp_path, people=600, delay_ms=10, policy=policy) as rig:
        for _ in range(3 * TIMES):
            rig.broadcast()
            points = ("claimed", "composed", "handed", "sent")
            sleepers = [rig.start(f"stop:{point}") for point in points]
            for sleeper in sleepers:
                rig.wait_for(lambda it=sleeper: stopped(it), 30, "no engine came to its point")
                rig.note("stopped at a point")
            sleepers.append(rig.start())
            rig.wait_for_mail()
            time.sleep(rig.random.uniform(0, 0.5))
            sleepers[-1].send_signal(signal.SIGSTOP)
            rig.wait_for(lambda it=sleepers[-1]: stopped(it), 30, "no engine stopped")
            rig.note("stopped at random")
            other = rig.start()
            # Long enough for the other to take back what the sleepers held, and to send it once more.
            time.sleep(2 * LEASE_S + 1)
            for sleeper in sleepers:
                sleeper.send_signal(signal.SIGCONT)
            time.sleep(0.5)
            for engine in (*sleepers, other):
                rig.stop(engine)
        rig.finish()
        _report(rig, policy)
        assert rig.wrong() == [], f"seed {SEED}"
        # A 250 that came to a worker after its lease is evidence: nothing that was taken stays in doubt.
        taken = {one.delivery_id for one in rig.sink.copies()}
        assert [row for row in rig.ledger() if row.state == "uncertain" and row.id in taken] == []


@pytest.mark.parametrize("bug", ("", "deaf"))
def test_an_answer_that_comes_after_the_lease_is_evidence(bug: str, tmp_path: Path) -> None:
    """A worker sleeps between the 250 and the ledger; the planted bug lets it say nothing."""
    url = _url("sqlite", tmp_path)
    with Rig(url, tmp_path, people=20, connections=1, policy="hold", bug=bug) as rig:
        rig.broadcast()
        sleeper = rig.start("stop:sent")
        rig.wait_for(lambda: stopped(sleeper), 15, "no engine came so far")
        rig.note("stopped")
        other = rig.start()
        rig.wait_for(lambda: rig.states().get("uncertain", 0) > 0, 20, "nothing was taken back")
        sleeper.send_signal(signal.SIGCONT)
        rig.wait_for(lambda: not rig.open(), 20, "the broadcast did not end")
        time.sleep(1)
        rig.stop(sleeper)
        rig.stop(other)
        assert rig.extra() == 0
        assert rig.wrong() == [], f"seed {SEED}"
        assert bool(rig.states().get("uncertain")) == bool(bug)


FAREWELLS = ("421 4.3.2 busy", "554 5.0.0 no", "GARBAGE", "HALF", "FIN", "RST", "STALL")


@pytest.mark.parametrize("farewell", FAREWELLS)
def test_however_the_server_takes_leave_each_mail_goes_once(farewell: str, tmp_path: Path) -> None:
    script = json.dumps({"quit": farewell})
    with Rig(_url("sqlite", tmp_path), tmp_path, people=200, script=script, options="&messages=7") as rig:
        rig.broadcast()
        engine = rig.start()
        rig.wait_for_mail()
        rig.stop(engine)
        rig.finish()
        assert rig.extra() == 0
        assert rig.wrong() == [], f"seed {SEED}"
        assert rig.states() == {"sent": 200}


# The rig must see each of these; what it says of them tells that it is the bug it sees.
BUGS = {
    "early": (("handed",), "is lost"),
    "cursor": (("composed",), "is lost"),
    "careless": (("sent", "sent", "sent"), "was taken more than 2 times"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_rig_sees_a_planted_bug(bug: str, tmp_path: Path) -> None:
    points, seen = BUGS[bug]
    with Rig(_url("sqlite", tmp_path), tmp_path, people=8, connections=1, bug=bug) as rig:
        rig.broadcast()
        for point in points:
            assert rig.die(rig.start(point))
        rig.finish()
        assert [line for line in rig.wrong() if seen in line]


def test_the_rig_sees_an_engine_that_believes_the_farewell(tmp_path: Path) -> None:
    script = json.dumps({"quit": ["421 4.3.2 busy"]})
    with Rig(_url("sqlite", tmp_path), tmp_path, people=20, script=script, bug="farewell") as rig:
        rig.broadcast()
        rig.start(TIDINGS_CLOCK_SPEED="300")
        rig.wait_for(lambda: rig.extra() > 0, 30, "nobody has a second copy")
        assert [line for line in rig.wrong() if "was taken more than 1 times" in line]
