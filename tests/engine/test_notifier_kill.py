"""One kill of a notifier at each point, and how it ends; the rig sees the bugs that are planted."""

from pathlib import Path

import pytest

from tests.proof.noticing import POINTS, SEED, NoticeRig

NOTICES = 60


def _url(folder: Path) -> str:
    return f"sqlite:///{folder}/notices.db"


def test_a_kill_at_each_point_loses_no_notice(tmp_path: Path) -> None:
    with NoticeRig(_url(tmp_path), tmp_path, n=NOTICES) as rig:
        for point in POINTS:
            rig.die(rig.start(point))
        # What was posted and not settled is in doubt, and posted once more under the same id.
        assert rig.doubtful
        rig.finish()
        assert rig.kills == len(POINTS)
        assert rig.wrong() == [], f"seed {SEED}"
        assert rig.extra() > 0


@pytest.mark.postgres
def test_a_kill_after_the_post_loses_no_notice_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    with NoticeRig(postgres_url, tmp_path, n=NOTICES) as rig:
        rig.die(rig.start("told-not-settled:2"))
        rig.finish()
        assert rig.wrong() == [], f"seed {SEED}"


# The rig must see each of these; what it says of them tells that it is the bug it sees.
BUGS = {
    "early": ("notices-claimed:2", "is lost"),
    "renamed": ("told-not-settled:2", "has another id"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_rig_sees_a_planted_bug(bug: str, tmp_path: Path) -> None:
    point, seen = BUGS[bug]
    with NoticeRig(_url(tmp_path), tmp_path, n=20, bug=bug) as rig:
        rig.die(rig.start(point))
        rig.finish()
        assert [line for line in rig.wrong() if seen in line]


def test_the_rig_sees_that_nobody_takes_back_what_a_dead_notifier_held(tmp_path: Path) -> None:
    with NoticeRig(_url(tmp_path), tmp_path, n=20, bug="deaf") as rig:
        rig.die(rig.start("notices-claimed"))
        with pytest.raises(AssertionError, match="seed"):
            rig.finish(6)
        assert [line for line in rig.wrong() if "is not told" in line or "does not stand" in line]
