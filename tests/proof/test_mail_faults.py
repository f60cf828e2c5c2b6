"""What goes wrong around a broadcast while it runs: disk, database, clock, relay, people who leave.

Promises L5, L6, D5, S3 and C3 of the reliability paper, and that confirmations overtake bulk mail.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.core.cast import rows
from tests.proof.mailing import BASE_URL, KEY, LEASE_S, SEED, Rig, stopped
from tests.setup import postgres
from tidings.core import signup, subscribers
from tidings.core.events import Origin
from tidings.engine import sender
from tidings.tokens import Links

RELEASE = os.environ.get("TIDINGS_PROOF") == "release"
HERE = Path(__file__).parent
HOUR = 3_600_000
LINKS = Links(BASE_URL, KEY.encode())


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/mail.db"


# -- the disk ----------------------------------------------------------------------


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 60 MB, where this machine lets us mount one."""
    disk = folder / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this machine lets nobody mount a small file system; the hook stands for it")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _refused_at(rig: Rig) -> float | None:
    """When an engine first said that something could not be written, in seconds of the wall clock."""
    for line in (rig.folder / "engine.log").read_text("utf-8").splitlines():
        if line.startswith("{"):
            return datetime.fromisoformat(json.loads(line)["at"]).timestamp()
    return None


def _fill(file: Path, piece: bytes) -> None:
    """Write pieces until nothing more goes in; a single byte is written once, it only is a sign."""
    with file.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while stream.write(piece) == len(piece) > 1:
            continue


def _sends_nothing_while_full(rig: Rig, fill: Path, much: bytes) -> None:
    """Fill the disk under a running broadcast, look, make room, and reckon."""
    rig.broadcast()
    engine = rig.start(TIDINGS_FREE_SPACE="0")
    rig.wait_for_mail()
    _fill(fill, much)
    rig.wait_for(lambda: _refused_at(rig) is not None or not rig.open(), 30, "nothing was refused")
    time.sleep(4)
    refused = _refused_at(rig)
    assert refused is not None, "the broadcast ended before the disk was full"
    late = [one for one in rig.sink.copies() if one.at > refused + 1]
    assert late == [], f"{len(late)} mails began later than 1 s after the first refusal"
    assert engine.poll() is None, rig.log()
    left = rig.states()
    fill.unlink()
    rig.wait_for_mail(patience_s=60)
    assert left.get("queued", 0) > 0
    rig.wait_for(lambda: not rig.open(), 60, "the broadcast did not go on")
    rig.stop(engine)
    assert rig.extra() == 0
    assert rig.wrong() == [], f"seed {SEED}"
    assert rig.states() == {"sent": rig.people}


def test_a_full_disk_stops_sending_and_room_lets_it_go_on(tmp_path: Path) -> None:
    with _small_disk(tmp_path) as disk, Rig(_sqlite(disk), tmp_path, people=1_500, delay_ms=10) as rig:
        _sends_nothing_while_full(rig, disk / "fill", b"x" * 65_536)


def test_a_commit_refused_for_want_of_room_stops_sending(tmp_path: Path) -> None:
    with Rig(_sqlite(tmp_path), tmp_path, people=600, delay_ms=10) as rig:
        rig.planted = True
        _sends_nothing_while_full(rig, rig.full_file, b"x")


@pytest.mark.parametrize("bug", ("pretend", "forgetful"))
def test_the_rig_sees_an_engine_that_takes_a_full_disk_lightly(bug: str, tmp_path: Path) -> None:
    with Rig(_sqlite(tmp_path), tmp_path, people=600, delay_ms=10, bug=bug) as rig:
        rig.broadcast()
        rig.start()
        rig.wait_for_mail()
        rig.full_file.touch()
        time.sleep(LEASE_S + 2)
        rig.full_file.unlink()
        rig.wait_for(lambda: rig.extra() > 0, 60, "nobody has a second copy")
        assert [line for line in rig.wrong() if "was taken more than 1 times" in line]


# -- the database ------------------------------------------------------------------


@contextlib.contextmanager
def _own_server() -> Iterator[postgres.Server]:
    """A PostgreSQL that nobody else uses; a socket's path has room for some 100 characters only."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-mail-", dir="/tmp"))
    server = postgres.Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


def test_a_database_that_restarts_every_3_s_costs_nobody_a_mail(tmp_path: Path) -> None:
    with (
        _own_server() as server,
        Rig(postgres.fresh_database(server.dsn), tmp_path, people=3_000, delay_ms=15) as rig,
    ):
        rig.broadcast()
        engine = rig.start()
        restarts = 0
        while restarts < (200 if RELEASE else 6):
            time.sleep(3)
            server.stop("immediate" if restarts % 2 else "fast")
            server.start()
            restarts += 1
            if not rig.open():
                rig.broadcast()
        assert engine.poll() is None, rig.log()
        rig.wait_for(lambda: not rig.open(), 90, "the broadcast did not go on")
        rig.stop(engine)
        print(f"{restarts} restarts, {rig.extra()} extra copies, {rig.states()}, seed {SEED}")
        assert rig.extra() == 0
        assert rig.wrong() == [], f"seed {SEED}"


# -- the clock ---------------------------------------------------------------------


@pytest.mark.parametrize("jump", (HOUR, -HOUR, -24 * HOUR, 5 * 24 * HOUR))
def test_a_clock_that_jumps_repeats_nothing_and_skips_nobody(jump: int, tmp_path: Path) -> None:
    with Rig(_sqlite(tmp_path), tmp_path, people=400, delay_ms=15) as rig:
        rig.planted = True
        rig.broadcast()
        engine = rig.start()
        rig.wait_for_mail()
        rig.clock_file.write_text(str(jump))
        rig.wait_for(lambda: not rig.open(), 60, "the broadcast did not go on")
        rig.stop(engine)
        assert rig.extra() == 0
        assert rig.wrong() == [], f"seed {SEED}"
        assert rig.states() == {"sent": rig.people}


def test_workers_whose_clocks_disagree_by_2_h_repeat_nothing(postgres_url: str, tmp_path: Path) -> None:
    with Rig(postgres_url, tmp_path, people=600, delay_ms=15) as rig:
        rig.planted = True
        rig.broadcast()
        ahead = tmp_path / "ahead"
        ahead.write_text(str(2 * HOUR))
        engines = [rig.start(), rig.start(TIDINGS_RIG_CLOCK=str(ahead))]
        rig.wait_for(lambda: not rig.open(), 60, "the broadcast did not end")
        for engine in engines:
            rig.stop(engine)
        assert rig.extra() == 0
        assert rig.wrong() == [], f"seed {SEED}"
        assert rig.states() == {"sent": rig.people}


# -- the relay ---------------------------------------------------------------------


@pytest.mark.parametrize("step", ("mail", "rcpt", "dot"))
def test_a_relay_that_refuses_everything_pauses_the_broadcast(step: str, tmp_path: Path) -> None:
    script = json.dumps({step: "554 5.7.1 you are listed as a sender of spam"})
    with Rig(_sqlite(tmp_path), tmp_path, people=2_000, script=script) as rig:
        one = rig.broadcast()
        engine = rig.start()
        rig.wait_for(lambda: rig.find(one).paused_at is not None, 30, "the broadcast is not paused")
        rig.stop(engine)
        states = rig.states()
        assert states["queued"] > 1_500
        assert "5.7.1" in (rig.find(one).paused_why or "")
        # What is said about us says nothing about them.
        assert rows(rig.db, "SELECT COUNT(*) FROM subscribers WHERE state = 'active'") == [(2_000,)]


def test_a_relay_that_greets_nobody_is_left_alone_and_nothing_is_used_up(tmp_path: Path) -> None:
    script = json.dumps({"banner": "554 5.3.2 closed"})
    with Rig(_sqlite(tmp_path), tmp_path, people=300, script=script) as rig:
        one = rig.broadcast()
        engine = rig.start()
        rig.wait_for(lambda: bool(rig.find(one).fanned_at), 15, "nothing was queued")
        time.sleep(4)
        rig.stop(engine)
        assert rig.states() == {"queued": 300}
        assert rows(rig.db, "SELECT COUNT(*) FROM deliveries WHERE attempts > 0") == [(0,)]


def test_a_stalled_connection_holds_up_nobody_else(tmp_path: Path) -> None:
    # The first connection never answers the end of its first message.
    script = json.dumps([{"dot": "STALL"}])
    with Rig(_sqlite(tmp_path), tmp_path, people=1_000, connections=4, delay_ms=5, script=script) as rig:
        rig.broadcast()
        engine = rig.start()
        rig.wait_for(lambda: rig.states().get("sent", 0) >= 1_000 - 32, 40, "the others waited")
        assert 0 < rig.states().get("handed", 0) <= 32
        rig.kill(engine)
        rig.finish()
        assert rig.extra() == 0
        assert rig.wrong() == [], f"seed {SEED}"
        assert rig.states() == {"sent": 1_000}


@pytest.mark.parametrize("bug", ("", "eager"))
def test_a_slow_relay_has_no_more_in_doubt_than_its_connections_carry(bug: str, tmp_path: Path) -> None:
    """Nothing is handed that waits for a connection; the planted bug does so, and must be seen."""
    with Rig(_sqlite(tmp_path), tmp_path, people=500, connections=2, delay_ms=700, bug=bug) as rig:
        rig.broadcast()
        rig.start()
        rig.wait_for_mail()
        most, until = 0, time.monotonic() + 10
        while time.monotonic() < until:
            most = max(most, rig.states().get("handed", 0))
            time.sleep(0.05)
        # Of two connections, at the first chunk's size: a mail that takes 0.7 s makes the next ones smaller.
        assert (most > 2 * sender.CHUNK_FIRST) == bool(bug)


# -- people ------------------------------------------------------------------------


@contextlib.contextmanager
def _web(rig: Rig) -> Iterator[int]:
    """Serve the public pages from this rig's database; gives the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(HERE / "served.py"), str(port)], env=rig.environment())
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert server.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield port
    finally:
        server.terminate()
        server.wait()


def _leave(port: int, token: str) -> float:
    """Press the button of the mail program (RFC 8058); return when it was answered 200."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    link.request("POST", f"/u/{token}", b"List-Unsubscribe=One-Click", headers)
    answer = link.getresponse()
    answer.read()
    link.close()
    assert answer.status == 200
    return time.time()


@pytest.mark.parametrize(("delay_ms", "bug"), ((5, ""), (120, ""), (120, "crowd")))
def test_who_has_left_gets_no_mail_that_begins_later_than_1_s(
    delay_ms: int, bug: str, tmp_path: Path
) -> None:
    """On a quick relay and on a slow one, where many mails would wait behind one another: the bug."""
    leavers, threads = (50_000, 16) if RELEASE and not bug else (200, 4)
    sizes = {"people": leavers * 10, "connections": 4, "delay_ms": delay_ms}
    with Rig(_sqlite(tmp_path), tmp_path, bug=bug, **sizes) as rig, _web(rig) as port:
        one = rig.broadcast()
        engine = rig.start()
        rig.wait_for(lambda: bool(rig.find(one).fanned_at), 60, "nothing was queued")
        rig.wait_for_mail()
        # Those whose mail is near: the queue goes by their ids.
        near = [row for row in rig.ledger() if row.state != "sent"][: leavers * 2 : 2]
        asked = [(row.email, LINKS.leave_token(rig.account, row.subscriber_id, row.id)) for row in near]
        answered = _all_leave(port, asked, threads)
        time.sleep(3)
        engine.kill()
        late = [one for one in rig.sink.copies() if one.at > answered.get(one.rcpt, time.time()) + 1]
        mailed = {one.rcpt for one in rig.sink.copies()} & answered.keys()
        print(f"{len(answered)} left, {len(mailed)} of them had their mail, {len(late)} late, seed {SEED}")
        assert len(answered) == leavers > len(mailed)
        assert bool(late) == bool(bug), f"seed {SEED}"


def _all_leave(port: int, asked: list[tuple[str, str]], threads: int) -> dict[str, float]:
    """Let all of these (address and token) leave; return when each was answered."""
    answered: dict[str, float] = {}

    def leave(mine: list[tuple[str, str]]) -> None:
        for email, token in mine:
            answered[email] = _leave(port, token)

    workers = [threading.Thread(target=leave, args=(asked[at::threads],)) for at in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return answered


@pytest.mark.parametrize("bug", ("", "hasty"))
def test_the_last_look_spares_who_left_after_the_claim(bug: str, tmp_path: Path) -> None:
    """A worker is stopped between claim and wire, and somebody leaves; the planted bug must be seen."""
    with Rig(_sqlite(tmp_path), tmp_path, people=40, connections=1, bug=bug) as rig:
        rig.broadcast()
        engine = rig.start("stop:composed", TIDINGS_LEASE="60")
        rig.wait_for(lambda: stopped(engine), 15, "no engine came so far")
        claimed = rows(rig.db, "SELECT subscriber_id FROM deliveries WHERE state = 'claimed' ORDER BY id")
        who = rig.db.read_now(rig.account, subscribers.get, int(str(claimed[-1][0])))
        rig.db.write_now(rig.account, signup.unsubscribe, who.email, Origin("api"))
        engine.send_signal(signal.SIGCONT)
        rig.wait_for(lambda: not rig.open(), 30, "the broadcast did not end")
        rig.stop(engine)
        mailed = who.email in {one.rcpt for one in rig.sink.copies()}
        assert mailed == bool(bug)
        if not bug:
            assert rig.states() == {"sent": 39, "suppressed": 1}


@pytest.mark.parametrize("bug", ("", "polite"))
def test_a_confirmation_overtakes_bulk_mail(bug: str, tmp_path: Path) -> None:
    with Rig(_sqlite(tmp_path), tmp_path, people=3_000, delay_ms=20, bug=bug) as rig:
        rig.broadcast()
        engine = rig.start()
        rig.wait_for_mail()
        asked: dict[str, float] = {}
        for n in range(10):
            person = subscribers.person(f"new{n}@example.com", "New")
            asked[f"new{n}@example.com"] = time.time()
            rig.db.write_now(
                rig.account, signup.sign_up, "form", rig.filled.double, person, signup.Also(), Origin("form")
            )
            time.sleep(0.3)
        time.sleep(2)
        assert rig.open(), "there was no bulk mail to overtake"
        rig.kill(engine)
        came = {one.rcpt: one.at for one in rig.sink.copies() if one.rcpt in asked}
        late = [email for email, at in asked.items() if came.get(email, at + 99) > at + 2]
        assert bool(late) == bool(bug), f"seed {SEED}"
