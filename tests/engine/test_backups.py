"""Backups of the engine: one every so often, as many as are kept, never two at once; and held mail stays."""

import asyncio
import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.core.cast import Cast, Clock
from tests.core.ledger import waiting
from tests.proof.backed import restored, taken_before, wrong
from tests.proof.mailing import Rig
from tests.store.filled import contents
from tidings.core import checking, heartbeats
from tidings.core.accounts import INSTALLATION
from tidings.engine.backups import AGAIN_MS, HOUR_MS, Backups
from tidings.errors import Unavailable
from tidings.store import backup
from tidings.store.db import Database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def hourly(db: Database, folder: Path) -> Backups:
    return Backups(db, str(folder), every_ms=HOUR_MS, keep=3)


def step(work: Backups) -> None:
    assert asyncio.run(work.step()) == 0


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))


def test_one_is_made_every_so_often_and_the_oldest_go(
    hourly: Backups, cast: Cast, clock: Clock, folder: Path
) -> None:
    step(hourly)
    assert names(folder) == ["tidings-20260801T120000Z.db"]
    clock.move(HOUR_MS - 1)
    step(hourly)
    assert len(names(folder)) == 1
    for _ in range(4):
        clock.move(HOUR_MS)
        step(hourly)
    assert names(folder) == [f"tidings-20260801T{hour}5959Z.db" for hour in (14, 15, 16)]
    assert contents(f"sqlite:///{folder}/{names(folder)[-1]}")["subscribers"]


def test_after_a_restart_the_time_of_the_newest_file_counts(
    db: Database, hourly: Backups, clock: Clock, folder: Path
) -> None:
    step(hourly)
    clock.move(HOUR_MS - 1)
    step(Backups(db, str(folder), every_ms=HOUR_MS, keep=3))
    assert len(names(folder)) == 1
    # A clock that was set back must not stop it.
    clock.move(-HOUR_MS)
    step(hourly)
    assert len(names(folder)) == 2


def test_other_files_in_the_folder_are_left_alone(hourly: Backups, clock: Clock, folder: Path) -> None:
    folder.mkdir()
    others = ["monday.db", "tidings-of-mine.db", "tidings-20260801T000000Z.db.key"]
    for name in others:
        (folder / name).touch()
    for _ in range(6):
        step(hourly)
        clock.move(HOUR_MS)
    assert [name for name in names(folder) if name in others] == sorted(others)
    assert len(names(folder)) == 6


def test_what_a_kill_left_half_is_swept(hourly: Backups, folder: Path) -> None:
    folder.mkdir()
    for ending in ("part", "part-wal"):
        (folder / f"tidings-20200101T000000Z.db.{ending}").write_bytes(b"half")
    step(hourly)
    assert names(folder) == ["tidings-20260801T120000Z.db"]


def test_two_engines_never_write_two_at_once(hourly: Backups, folder: Path) -> None:
    folder.mkdir()
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    step(hourly)
    assert names(folder) == []
    os.close(lock)
    step(hourly)
    assert len(names(folder)) == 1


def test_after_a_failure_it_is_said_and_tried_again_later(
    db: Database, clock: Clock, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def full(*_: object, **__: object) -> int:
        tried.append(clock.now)
        raise Unavailable("the disk is full; nothing was changed")

    work = Backups(db, str(folder), every_ms=HOUR_MS, keep=3, make=full)
    with caplog.at_level(logging.ERROR):
        step(work)
        step(work)
    assert [one.message for one in caplog.records] == ["no backup could be made"]
    clock.move(AGAIN_MS)
    step(work)
    assert len(tried) == 2


def test_writers_beside_it_go_on(db: Database, cast: Cast, folder: Path) -> None:
    enough = threading.Event()

    def patient(*given: object, **options: object) -> int:
        # It ends only when three have written beside it.
        assert enough.wait(30)
        return 0

    async def both() -> None:
        making = asyncio.create_task(Backups(db, str(folder), every_ms=HOUR_MS, keep=3, make=patient).step())
        for at in range(3):
            await db.write(INSTALLATION, heartbeats.beat, "engine", str(at))
        assert not making.done()
        enough.set()
        await making

    asyncio.run(both())


def test_an_engine_of_a_restored_copy_sends_nothing_until_it_is_released(
    db: Database, cast: Cast, url: str, tmp_path: Path
) -> None:
    db.clock = lambda: time.time_ns() // 1_000_000
    waiting(db, cast.ada, "eli@example.com")
    db.write_now(INSTALLATION, heartbeats.hold, "restored from a backup")
    environment = {
        **os.environ,
        "TIDINGS_DATABASE": url,
        "TIDINGS_MASTER_KEY": "k" * 32,
        "TIDINGS_SMTP_URL": "outbox:",
        "TIDINGS_BACKUP": str(tmp_path / "backups"),
    }
    with (tmp_path / "engine.log").open("wb") as log:
        engine = subprocess.Popen([sys.executable, "-m", "tidings", "engine"], env=environment, stderr=log)
    try:
        # By the time of its first backup every loop has been through its first step.
        _wait_for(lambda: list((tmp_path / "backups").glob("*Z.db")), tmp_path)
        assert _sent(url) == 0
        db.write_now(INSTALLATION, heartbeats.release)
        _wait_for(lambda: _sent(url), tmp_path)
    finally:
        engine.terminate()
        engine.wait(30)
    assert "tidings resume" in (tmp_path / "engine.log").read_text()


def _sent(url: str) -> int:
    with closing(Database(url)) as other:
        return len(other.read_now(INSTALLATION, lambda rx: rx.all("SELECT id FROM outbox LIMIT 9")))


def _wait_for(what: object, folder: Path) -> None:
    until = time.monotonic() + 30
    while not what():  # type: ignore[operator]
        assert time.monotonic() < until, (folder / "engine.log").read_text()
        time.sleep(0.05)


def test_a_backup_midway_in_a_broadcast_restores_to_a_consistent_ledger(
    empty_url: str, tmp_path: Path
) -> None:
    with Rig(empty_url, tmp_path, people=400, delay_ms=8) as rig:
        rig.broadcast()
        rig.start()
        rig.wait_for_mail()
        before = taken_before(rig)
        backup.back_up(rig.url, str(tmp_path / "kept.db"))
        copy = restored(tmp_path, "sqlite", tmp_path / "kept.db")
        with closing(Database(copy)) as db:
            assert db.read_now(INSTALLATION, checking.unsent).most > 0
        assert wrong(rig, copy, before) == []
