"""What only SQLite has: the version gate, durable settings, the turnstile between processes."""

import fcntl
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.store.notes import make_tables, note, notes
from tidings.errors import Unavailable
from tidings.store import sqlite
from tidings.store.db import Database
from tidings.store.sqlite import TooOld, Turnstile

ROOT = Path(__file__).parents[2]
GROUPS = 60
# Of this process, in which the others must come to theirs.
MOST = 20_000
# Writes group after group without a pause, until told to stop; prints how many it wrote.
WRITER = """
import sys, threading
from tests.store.notes import note
from tidings.store.db import Database

db, first, stop = Database(sys.argv[1]), int(sys.argv[2]), threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
n = first
while not stop.is_set():
    db.write_now(0, note, n)
    if n == first:
        print("writes", flush=True)
    n += 1
print(n - first, flush=True)
"""


@pytest.mark.parametrize("version", ("3.51.3", "3.51.10", "3.52.0", "4.0.0", "3.100.0"))
def test_a_safe_sqlite_is_accepted(version: str) -> None:
    sqlite.check_version(version)


@pytest.mark.parametrize("version", ("3.51.2", "3.50.99", "3.40.1", "2.99.99"))
def test_an_sqlite_with_the_wal_race_is_refused(version: str) -> None:
    with pytest.raises(TooOld) as problem:
        sqlite.check_version(version)
    assert str(problem.value) == f"SQLite {version} can corrupt a database; 3.51.3 or later is needed"


def test_the_gate_stands_before_the_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.40.1")
    with pytest.raises(TooOld):
        Database(f"sqlite:///{tmp_path / 'old.db'}")
    assert not (tmp_path / "old.db").exists()


def test_the_writer_is_durable_and_a_reader_cannot_write(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as db:
        for writer in (True, False):
            with closing(db.session(writer=writer)) as session:
                assert session.fetch("PRAGMA journal_mode", {}) == [("wal",)]
                assert session.fetch("PRAGMA synchronous", {}) == [(2,)]
                assert session.fetch("PRAGMA foreign_keys", {}) == [(1,)]
        with pytest.raises(Unavailable, match="readonly"):
            db.read_now(0, lambda rx: rx.one("DELETE FROM counters RETURNING n"))


def test_the_folder_of_a_new_file_is_made(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'a' / 'b' / 'new.db'}")) as db:
        assert db.folder == str(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "new.db").exists()


def test_another_address_than_the_two_kinds_is_refused() -> None:
    for url in ("sqlite:///", "sqlite://x.db", "mysql://localhost/x", "", "x.db"):
        with pytest.raises(ValueError, match=r"sqlite:///FILE or postgresql://"):
            Database(url)


def test_who_waits_at_the_turnstile_goes_before_who_has_just_left(tmp_path: Path) -> None:
    mine, theirs = (Turnstile(str(tmp_path / "x.db")) for _ in range(2))
    order: list[str] = []
    at_the_gate = threading.Event()

    def wait_and_pass() -> None:
        at_the_gate.set()
        theirs.enter()
        order.append("theirs")
        theirs.leave()

    mine.enter()
    waiter = threading.Thread(target=wait_and_pass, daemon=True)
    waiter.start()
    at_the_gate.wait(10)
    wait_until_gate_is_held(tmp_path / "x.db")
    order.append("mine")
    mine.leave()
    mine.enter()
    order.append("mine again")
    mine.leave()
    waiter.join(10)
    assert order == ["mine", "theirs", "mine again"]
    mine.close()
    theirs.close()


def wait_until_gate_is_held(path: Path) -> None:
    pause = threading.Event()
    with Path(f"{path}-gate").open("rb") as gate:
        for _ in range(1_000):
            try:
                fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(gate, fcntl.LOCK_UN)
            pause.wait(0.01)
    pytest.fail("nobody waits at the gate")


def test_two_processes_write_to_one_file_and_neither_starves(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as db:
        make_tables(db)
        others = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, sqlite_url, str(first)],
                cwd=ROOT,
                env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for first in (1_000_000, 2_000_000)
        ]
        for other in others:
            assert other.stdout is not None
            assert other.stdout.readline() == "writes\n"
        # All three write without a pause until each has had its turns.
        written, first, second = 0, 0, 0
        while min(written, first, second) < GROUPS:
            db.write_now(0, note, written)
            written += 1
            numbers = notes(db)
            second = sum(n >= 2_000_000 for n in numbers)
            first = len(numbers) - second - written
            assert written < MOST, "the others do not get their turns"
        counts = [int(other.communicate(timeout=30)[0]) for other in others]
        assert min(counts) >= GROUPS
        assert len(notes(db)) == written + sum(counts)
