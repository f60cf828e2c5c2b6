"""The rig of webhooks: real notifier processes, a sink that keeps what it took, and a reckoning.

    with NoticeRig(url, folder, notices=5_000) as rig:
        rig.die(rig.start("told-not-settled:3"))
        rig.finish()
        assert rig.wrong() == []

The ledger says what became of each notice, the sink's record what was taken; `wrong` holds one against
the other.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from standardwebhooks import Webhook as Verifier

from tests.core.cast import rows
from tests.proof.noticed import KEY
from tidings.core import accounts, notices, webhooks
from tidings.core.accounts import INSTALLATION
from tidings.core.notices import Notice
from tidings.core.webhooks import keys
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Tx

SEED = int(os.environ.get("TIDINGS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
# Each is passed by notices on their way, in this order.
POINTS = ("notices-claimed", "told-not-settled", "notices-settled")
HERE = Path(__file__).parent
# Of the notices one in ten goes to a receiver that always fails.
FAILING = 10
HOOKS = 5


class NoticeRig:
    """One database, one sink, and notifiers that are killed and started again."""

    def __init__(self, url: str, folder: Path, *, n: int, bug: str = "") -> None:
        self.url, self.folder, self.bug = url, folder, bug
        self.random = random.Random(SEED)
        self.kills = 0
        # Claims (notice and lease) that a kill left nobody knowing of: the bound of second copies.
        self.doubtful: set[tuple[int, int]] = set()
        self._engines: list[subprocess.Popen[bytes]] = []
        self._record = folder / "posted.jsonl"
        command = [sys.executable, "-m", "tests.proof.http_sink", "--record", str(self._record)]
        self._sink = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._sink.stdout is not None
        self._fine, self._broken = map(int, self._sink.stdout.readline().split())
        self.db = Database(url)
        migrate.migrate(self.db)
        self.account = self.db.write_now(INSTALLATION, accounts.create, "Ada", "ada@example.com").account_id
        self.failing: set[int] = set()
        self.n = 0
        self.queue(n)

    def __enter__(self) -> "NoticeRig":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for engine in self._engines:
            if engine.poll() is None:
                engine.kill()
            engine.wait()
        self._sink.terminate()
        self._sink.communicate(timeout=10)
        self.db.close()

    def _queue(self, tx: Tx, first: int, until: int) -> None:
        found = webhooks.all_webhooks(tx)
        if not found:
            found = [
                webhooks.create(tx, "purchase_create", f"http://127.0.0.1:{self._fine}/{at}")
                for at in range(HOOKS)
            ]
            broken = f"http://127.0.0.1:{self._broken}/broken"
            found.append(webhooks.create(tx, "purchase_create", broken))
        self.failing = {found[-1].id}
        for at in range(first, until):
            webhook = found[-1] if at % FAILING == 0 else found[at % HOOKS]
            body = json.dumps({"at": at})
            notices.queue(tx, webhook, "purchase_create", body, event_id=at + 1, subscriber_id=None)

    def queue(self, n: int) -> None:
        """Queue so many notices more."""
        until = self.n + n
        while self.n < until:
            first, self.n = self.n, min(until, self.n + 500)
            self.db.write_now(self.account, self._queue, first, self.n)

    # -- what runs -------------------------------------------------------------------

    def start(self, failpoint: str = "") -> "subprocess.Popen[bytes]":
        """Start one more notifier; its log is kept in the folder."""
        command = [sys.executable, "-m", "tests.proof.noticed", self.url, *([self.bug] if self.bug else [])]
        with (self.folder / "notifier.log").open("ab") as log:
            engine = subprocess.Popen(
                command, env={**os.environ, "TIDINGS_FAILPOINT": failpoint}, stdout=log, stderr=log
            )
        self._engines.append(engine)
        return engine

    def die(self, engine: "subprocess.Popen[bytes]", patience_s: float = 20.0) -> None:
        """Wait until its failpoint has killed it, or kill it after so long; then note what is in doubt."""
        until = time.monotonic() + patience_s
        while engine.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        self.kill(engine)

    def kill(self, engine: "subprocess.Popen[bytes]") -> None:
        """Kill it, if it is not dead already, and note what is in doubt."""
        if engine.poll() is None:
            engine.kill()
        assert engine.wait() == -signal.SIGKILL, self.log()
        self.kills += 1
        held = rows(self.db, "SELECT id, lease FROM notices WHERE state = 'claimed'")
        self.doubtful |= {(int(str(notice_id)), int(str(lease))) for notice_id, lease in held}

    def finish(self, patience_s: float = 120.0) -> None:
        """Run one notifier until each notice was tried, and end it in peace."""
        engine = self.start()
        self.wait_for(lambda: not self.open(), patience_s)
        engine.terminate()
        assert engine.wait(30) == 0, self.log()

    def open(self) -> int:
        """Return how many notices were never tried."""
        asked = "SELECT COUNT(*) FROM notices WHERE state IN ('queued', 'claimed') AND attempts = 0"
        return int(str(rows(self.db, asked)[0][0]))

    def wait_for(self, what: Callable[[], bool], patience_s: float) -> None:
        """Look again and again until it is so."""
        until = time.monotonic() + patience_s
        while not what():
            assert time.monotonic() < until, f"seed {SEED}: {self.states()}\n{self.log()}"
            time.sleep(0.02)

    def wait_for_posts(self, more: int = 1, patience_s: float = 20.0) -> None:
        """Wait until the sink has taken something new."""
        before = self.taken()
        self.wait_for(lambda: self.taken() >= before + more, patience_s)

    def taken(self) -> int:
        """Return how many bytes of record there are."""
        return self._record.stat().st_size if self._record.exists() else 0

    def log(self) -> str:
        """Return the end of what the notifiers said."""
        path = self.folder / "notifier.log"
        return path.read_text("utf-8", "replace")[-3_000:] if path.exists() else ""

    # -- the reckoning ---------------------------------------------------------------

    def states(self) -> dict[str, int]:
        """Return how many notices are in each state."""
        found = rows(self.db, "SELECT state, COUNT(*) FROM notices GROUP BY state")
        return {str(state): int(str(n)) for state, n in found}

    def posts(self) -> list[dict[str, str]]:
        """Return all that the sink took, in the order of arrival."""
        text = self._record.read_text("utf-8") if self._record.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def extra(self) -> int:
        """Return how many posts of the fine receivers came beyond the first of each notice."""
        fine = [one["body"] for one in self.posts() if one["status"] == 200]  # type: ignore[comparison-overlap]
        return len(fine) - len(set(fine))

    def wrong(self) -> list[str]:
        """Return a line for whatever is not as promised; each notice must have been tried."""
        by_body: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
        for one in self.posts():
            by_body[one["body"]].append(one)
        asked = (
            "SELECT n.id, n.webhook_id, n.body, n.state, n.attempts, n.created_at, COUNT(a.id)"
            " FROM notices AS n LEFT JOIN notice_attempts AS a"
            " ON a.account_id = n.account_id AND a.notice_id = n.id"
            " GROUP BY n.id, n.webhook_id, n.body, n.state, n.attempts, n.created_at ORDER BY n.id"
        )
        found: list[str] = []
        for row in rows(self.db, asked):
            found += self._wrong_row(*row, posts=by_body.pop(str(row[2]), []))  # type: ignore[arg-type]
        found += [f"posts of no notice: {body}" for body in by_body]
        if self.extra() > len(self.doubtful):
            found.append(f"{self.extra()} extra posts, more than {len(self.doubtful)} in doubt at kills")
        return found

    def _wrong_row(
        self,
        notice_id: int,
        webhook_id: int,
        body: str,
        state: str,
        attempts: int,
        created_at: int,
        logged: int,
        *,
        posts: list[dict[str, str]],
    ) -> list[str]:
        name = f"notice {notice_id} ({state}, {attempts} tries, {len(posts)} posts)"
        found = []
        if not posts:
            found.append(f"{name} is lost")
        if webhook_id in self.failing:
            if state not in ("queued", "claimed", "failed") or not logged:
                found.append(f"{name} does not stand in the log with its failures")
        elif state != "told" or not logged:
            found.append(f"{name} is not told")
        if logged < attempts:
            found.append(f"{name} has {logged} tries in the log")
        right = Notice(self.account, notice_id, webhook_id, "", body, 0, 0, 0, created_at, "").message_id
        if {one["id"] for one in posts} - {right}:
            found.append(f"{name} has another id than {right}")
        verifier = Verifier(keys.shown(keys.secret(KEY, self.account, webhook_id, 1)))
        for one in posts:
            at = int(one["timestamp"])
            signed = keys.signature(verifier._whsecret, one["id"], at, one["body"].encode())
            if signed != one["signature"]:
                found.append(f"{name} is not signed")
        return found
