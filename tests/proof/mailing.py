"""The rig of the sending engine: real engine processes, a sink that keeps what it took, and a reckoning.

    with Rig(url, folder, people=2_000) as rig:
        rig.broadcast()
        engine = rig.start(failpoint="handed:2")
        rig.die(engine)
        rig.finish()
        assert rig.wrong() == []

The ledger says what became of everybody; the sink's record, on the disk before each 250, says what was
taken. `wrong` holds one against the other. A mail is known by its Message-ID, which names its delivery.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from bench.fill import Filled
from tests.core.cast import rows
from tests.core.recount import differences
from tidings.core import accounts, broadcasts
from tidings.core.broadcasts import Broadcast, Draft
from tidings.core.deliveries import CRASHES_MOST
from tidings.store import migrate
from tidings.store.db import Database

SEED = int(os.environ.get("TIDINGS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
KEY = "k" * 32
BASE_URL = "https://news.example.com"
LEASE_S = 3
UNCERTAIN_WAIT_S = 3
# Each is passed by a batch on its way, in this order; the last two by the fan-out.
POINTS = ("claimed", "composed", "handed", "sent", "settled", "started", "slice")
MAILED = Path(__file__).parent / "mailed.py"
CONTENT = (
    "<p>Hello {{ subscriber.first_name }} of {{ subscriber.city }}, here is what we made:"
    ' <a href="https://example.com/one?from=letter">one</a> and <a href="https://example.com/two">two</a>.</p>'
)
_MESSAGE_ID = re.compile(r"<\d+\.(\d+)\.\d+@")


@dataclass(frozen=True)
class Copy:
    """One message that the sink took."""

    delivery_id: int
    rcpt: str
    sha256: str
    at: float


@dataclass
class Row:
    """One delivery as the ledger has it."""

    id: int
    broadcast_id: int | None
    subscriber_id: int
    email: str
    state: str
    ambiguous: int
    crashes: int


class SinkProgram:
    """The scripted SMTP server as a process of its own, its record on the disk before each 250."""

    def __init__(self, record: Path, *, delay_ms: int = 0, script: str = "{}", port: int = 0) -> None:
        self.record = record
        command = [
            *(sys.executable, "-m", "tests.mail.sink", "--record", str(record), "--fsync"),
            *("--delay-ms", str(delay_ms), "--script", script, "--port", str(port)),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        self.port = int(said.rpartition(":")[2])

    def copies(self) -> list[Copy]:
        """Return all that was taken so far, in the order of arrival."""
        found = []
        for line in self.record.read_text("utf-8").splitlines() if self.record.exists() else []:
            one = json.loads(line)
            named = _MESSAGE_ID.match(one["message_id"])
            found.append(Copy(int(named[1]) if named else 0, one["rcpt"][0], one["sha256"], one["at"]))
        return found

    def taken(self) -> int:
        """Return how many bytes of record there are: it grows with every message."""
        return self.record.stat().st_size if self.record.exists() else 0

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.communicate(timeout=10)


@dataclass
class Kills:
    """What was in doubt at each kill, as the ledger had it before anything was started again."""

    count: Counter[str] = field(default_factory=Counter)
    # Claims (delivery and fencing number) that were handed and not settled: the bound of extra copies.
    handed: set[tuple[int, int]] = field(default_factory=set)

    @property
    def doubtful(self) -> set[int]:
        """The deliveries of which a kill left nobody knowing whether they arrived."""
        return {delivery_id for delivery_id, _ in self.handed}


class Rig:
    """One database, one sink, and engines that are killed, stopped and started again."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        people: int,
        bug: str = "",
        connections: int = 2,
        delay_ms: int = 0,
        script: str = "{}",
        policy: str = "retry-once",
        options: str = "",
    ) -> None:
        self.url, self.folder, self.bug, self.policy = url, folder, bug, policy
        self.people = people
        self.options = f"?connections={connections}{options}"
        self.random = random.Random(SEED)
        self.kills = Kills()
        # Rows that may be refused, put off or given up: a test with a faulty sink says so.
        self.may_fail = False
        # What `mailed.py` looks at while it runs; `planted` has engines run by it.
        self.clock_file, self.full_file = folder / "clock", folder / "full"
        self.planted = bool(bug)
        self._engines: list[subprocess.Popen[bytes]] = []
        self.db = Database(url)
        migrate.migrate(self.db)
        self.filled = Filled(self.db, people)
        self.account = self.filled.keys.account_id
        self.db.write_now(self.account, accounts.describe, postal_address="1 Main Street, Springfield")
        self.db.write_now(self.account, accounts.set_ambiguity, policy)
        self.sink = SinkProgram(folder / "taken.jsonl", delay_ms=delay_ms, script=script)

    def __enter__(self) -> "Rig":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for engine in self._engines:
            if engine.poll() is None:
                engine.send_signal(signal.SIGCONT)
                engine.kill()
            engine.wait()
        self.sink.close()
        self.db.close()

    # -- what runs -------------------------------------------------------------------

    def broadcast(self, *, send_at: int = 1) -> int:
        """Write a broadcast to everybody that is due; return its id."""
        draft = Draft(subject="News for {{ subscriber.first_name }}", content=CONTENT, send_at=send_at)
        return self.db.write_now(self.account, broadcasts.create, draft, "bench@example.com").id

    def environment(self, **more: str) -> dict[str, str]:
        """Return the settings of a process of this rig."""
        return {
            **os.environ,
            "TIDINGS_DATABASE": self.url,
            "TIDINGS_SMTP_URL": f"smtp://127.0.0.1:{self.sink.port}{self.options}",
            "TIDINGS_LEASE": str(LEASE_S),
            "TIDINGS_UNCERTAIN_WAIT": str(UNCERTAIN_WAIT_S),
            "TIDINGS_MASTER_KEY": KEY,
            "TIDINGS_BASE_URL": BASE_URL,
            "TIDINGS_LOG": "warning",
            "TIDINGS_RATE_LIMIT": "0",
            "TIDINGS_RIG_CLOCK": str(self.clock_file),
            "TIDINGS_RIG_FULL": str(self.full_file),
            **more,
        }

    def start(self, failpoint: str = "", **more: str) -> "subprocess.Popen[bytes]":
        """Start one more engine; its log is kept in the folder."""
        command = [sys.executable, "-m", "tidings", "engine"]
        if self.planted:
            command = [sys.executable, str(MAILED), self.bug]
        with (self.folder / "engine.log").open("ab") as log:
            engine = subprocess.Popen(
                command, env=self.environment(TIDINGS_FAILPOINT=failpoint, **more), stdout=log, stderr=log
            )
        self._engines.append(engine)
        return engine

    def die(self, engine: "subprocess.Popen[bytes]", patience_s: float = 15.0) -> bool:
        """Wait until its failpoint has killed it, then note what is in doubt.

        False when it was not passed in so long; the engine is dead all the same.
        """
        until = time.monotonic() + patience_s
        while engine.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        passed = engine.poll() is not None
        assert not passed or engine.returncode == -signal.SIGKILL, self.log()
        if not passed:
            engine.kill()
            engine.wait()
        self.note("failpoint" if passed else "late")
        return passed

    def kill(self, engine: "subprocess.Popen[bytes]") -> None:
        """Kill it now and note what is in doubt."""
        assert engine.poll() is None, self.log()
        engine.kill()
        engine.wait()
        self.note("random")

    def stop(self, engine: "subprocess.Popen[bytes]") -> None:
        """End it as a supervisor does; nothing may be in doubt afterwards but what was before."""
        engine.terminate()
        # Before it listens to signals it has done nothing yet, and simply ends.
        assert engine.wait(30) in (0, -signal.SIGTERM), self.log()

    def note(self, kind: str) -> None:
        """Read what is handed and not settled: it is in doubt."""
        self.kills.count[kind] += 1
        for row_id, lease in rows(self.db, "SELECT id, lease FROM deliveries WHERE state = 'handed'"):
            self.kills.handed.add((int(str(row_id)), int(str(lease))))

    # -- what it waits for -----------------------------------------------------------

    def find(self, broadcast_id: int) -> Broadcast:
        """Return the broadcast as it stands."""
        return self.db.read_now(self.account, broadcasts.find, broadcast_id)

    def open(self) -> bool:
        """Whether any broadcast is still to be sent."""
        return bool(rows(self.db, "SELECT 1 FROM broadcasts WHERE status IN ('scheduled', 'sending')"))

    def finish(self, patience_s: float = 90.0) -> None:
        """Run one engine until every broadcast is completed, and end it in peace."""
        if not self.open():
            return
        engine = self.start()
        self.wait_for(lambda: not self.open(), patience_s, "the broadcasts are not completed")
        self.stop(engine)

    def wait_for(self, what: Any, patience_s: float, why: str) -> None:
        """Look again and again until `what()` is true; fail with `why` after so long."""
        until = time.monotonic() + patience_s
        while not what():
            if time.monotonic() > until:
                stand = f"(seed {SEED}): {self.states()}\n{self.log()}"
                raise AssertionError(f"{why} after {patience_s:g} s {stand}")
            time.sleep(0.02)

    def wait_for_mail(self, more: int = 1, patience_s: float = 15.0) -> None:
        """Wait until the sink has taken something new."""
        before = self.sink.taken()
        self.wait_for(lambda: self.sink.taken() >= before + more, patience_s, "nothing was sent")

    def log(self) -> str:
        """Return the end of what the engines said."""
        path = self.folder / "engine.log"
        return path.read_text("utf-8", "replace")[-3_000:] if path.exists() else ""

    # -- the reckoning ---------------------------------------------------------------

    def states(self) -> dict[str, int]:
        """Return how many deliveries are in each state."""
        found = rows(self.db, "SELECT state, COUNT(*) FROM deliveries GROUP BY state")
        return {str(state): int(str(n)) for state, n in found}

    def ledger(self) -> list[Row]:
        """Return every delivery."""
        asked = (
            "SELECT d.id, d.broadcast_id, d.subscriber_id, s.email, d.state, d.ambiguous, d.crashes"
            " FROM deliveries AS d JOIN subscribers AS s ON s.account_id = d.account_id"
            " AND s.id = d.subscriber_id ORDER BY d.id"
        )
        return [Row(*one) for one in rows(self.db, asked)]  # type: ignore[arg-type]

    def extra(self) -> int:
        """Return how many copies were taken beyond the first of each."""
        copies = self.sink.copies()
        return len(copies) - len({one.delivery_id for one in copies})

    def wrong(self) -> list[str]:
        """Return a line for whatever is not as promised; the broadcasts must have come to their end."""
        ledger = self.ledger()
        copies: defaultdict[int, list[Copy]] = defaultdict(list)
        for one in self.sink.copies():
            copies[one.delivery_id].append(one)
        doubtful = self.kills.doubtful
        found: list[str] = []
        for row in ledger:
            found += self._wrong_row(row, copies.get(row.id, []), row.id in doubtful)
        known = {row.id for row in ledger}
        found += [f"a mail of no delivery: {some[0]}" for id_, some in copies.items() if id_ not in known]
        if self.extra() > len(self.kills.handed):
            found.append(f"{self.extra()} extra copies, more than {len(self.kills.handed)} in doubt at kills")
        for row in rows(self.db, "SELECT id FROM broadcasts ORDER BY id"):
            found += self._wrong_broadcast(int(str(row[0])), ledger)
        return found + [f"counter {one}" for one in differences(self.db)]

    def _wrong_row(self, row: Row, copies: list[Copy], doubtful: bool) -> list[str]:
        name = f"delivery {row.id} ({row.state}, {len(copies)} copies)"
        found = []
        if row.state == "sent" and not copies:
            found.append(f"{name} is lost")
        elif row.state == "uncertain" and not doubtful:
            found.append(f"{name} was never in doubt")
        elif row.state == "failed" and not self.may_fail and row.crashes < CRASHES_MOST:
            found.append(f"{name} has not failed by right")
        elif row.state in ("failed", "suppressed") and copies:
            found.append(f"{name} was taken")
        elif row.state not in ("sent", "failed", "uncertain", "suppressed"):
            found.append(f"{name} has not come to its end")
        most = 2 if self.policy == "retry-once" and doubtful else 1
        if len(copies) > most:
            found.append(f"{name} was taken more than {most} times")
        if len({one.sha256 for one in copies}) > 1:
            found.append(f"{name} has copies that differ")
        if any(one.rcpt != row.email for one in copies):
            found.append(f"{name} went to somebody else than {row.email}")
        return found

    def _wrong_broadcast(self, broadcast_id: int, ledger: list[Row]) -> list[str]:
        one = self.find(broadcast_id)
        states = Counter(row.state for row in ledger if row.broadcast_id == broadcast_id)
        kept = {name: getattr(one, name) for name in ("sent", "failed", "uncertain", "suppressed")}
        counted = {name: states[name] for name in kept}
        name = f"broadcast {broadcast_id}"
        found = []
        if one.status != "completed":
            found.append(f"{name} is {one.status}, {one.paused_why}")
        if kept != counted:
            found.append(f"{name} counts {kept}, its rows are {counted}")
        if not one.recipients == states.total() == sum(kept.values()) == one.settled:
            found.append(f"{name}: {one.recipients} recipients, {states.total()} rows, {one.settled} settled")
        if one.cancelled_at is None and one.recipients != self.people:
            found.append(f"{name} has {one.recipients} recipients of {self.people} people")
        return found


def stopped(engine: "subprocess.Popen[bytes]") -> bool:
    """Whether a process is stopped, not dead."""
    return engine.poll() is None and psutil.Process(engine.pid).status() == psutil.STATUS_STOPPED
