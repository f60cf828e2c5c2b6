"""One kill at each failpoint of one broadcast: what the ledger knows right after, and how it ends."""

from pathlib import Path

import pytest

from tests.core.cast import rows
from tests.proof.mailing import POINTS, SEED, Rig

PEOPLE = 200
# The first batch over one connection: nothing is known yet of how long a mail takes.
BATCH = 8


def _held(rig: Rig) -> set[tuple[object, ...]]:
    asked = "SELECT id, lease, state FROM deliveries WHERE state IN ('claimed', 'handed')"
    return set(rows(rig.db, asked))


def _killed_at(rig: Rig, point: str) -> tuple[int, int, int]:
    """Kill an engine there; return how many rows it had claimed and handed, and what the sink took of it."""
    before, taken = _held(rig), len(rig.sink.copies())
    assert rig.die(rig.start(point)), f"no engine came to {point}: {rig.states()}\n{rig.log()}"
    states = [state for _, _, state in _held(rig) - before]
    return states.count("claimed"), states.count("handed"), len(rig.sink.copies()) - taken


def _survives_each_point(rig: Rig) -> None:
    rig.broadcast()
    assert _killed_at(rig, "started") == (0, 0, 0)
    assert _killed_at(rig, "slice") == (0, 0, 0)
    assert rig.states() == {"queued": PEOPLE}
    assert _killed_at(rig, "claimed") == (BATCH, 0, 0)
    assert _killed_at(rig, "composed") == (BATCH, 0, 0)
    # While one batch is on the wire the next is claimed, or not yet.
    assert _killed_at(rig, "handed")[1:] == (BATCH, 0)
    assert _killed_at(rig, "sent")[1:] == (BATCH, BATCH)
    settled = rig.states().get("sent", 0)
    assert _killed_at(rig, "settled")[2] > 0
    assert rig.states()["sent"] > settled
    assert rig.kills.count["failpoint"] == len(POINTS)
    rig.finish()
    assert rig.wrong() == [], f"seed {SEED}"
    assert rig.states() == {"sent": PEOPLE}


@pytest.mark.long
@pytest.mark.parametrize("policy", ("retry-once", "hold"))
def test_a_kill_at_each_failpoint_loses_nobody_on_sqlite(policy: str, tmp_path: Path) -> None:
    with Rig(f"sqlite:///{tmp_path}/mail.db", tmp_path, people=PEOPLE, connections=1, policy=policy) as rig:
        if policy == "retry-once":
            _survives_each_point(rig)
            # All 32 that were taken and not settled went a second time, and nobody else.
            assert rig.extra() >= BATCH
        else:
            _holds_what_is_in_doubt(rig)


@pytest.mark.long
@pytest.mark.postgres
def test_a_kill_at_each_failpoint_loses_nobody_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    with Rig(postgres_url, tmp_path, people=PEOPLE, connections=1) as rig:
        _survives_each_point(rig)
        assert rig.extra() >= BATCH


def _holds_what_is_in_doubt(rig: Rig) -> None:
    """Under `hold` what was in doubt stays so, whether it was taken or not: nobody has two copies."""
    rig.broadcast()
    for point in ("handed", "sent"):
        assert _killed_at(rig, point)[1] == BATCH
    rig.finish()
    assert rig.wrong() == [], f"seed {SEED}"
    assert rig.states() == {"sent": PEOPLE - 2 * BATCH, "uncertain": 2 * BATCH}
    assert rig.extra() == 0
