"""What was acknowledged survives SIGKILL, at whatever moment, and every counter stays right."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.core.recount import differences
from tests.setup import postgres
from tidings.core import accounts, forms, tags
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Rx

# CI figures and release figures of reliability.md, promise L1.
KILLS = 1_000 if os.environ.get("TIDINGS_PROOF") == "release" else 50
CLIENTS = 8
SERVED = Path(__file__).parent / "served.py"
SEED = int(os.environ.get("TIDINGS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)


@dataclass
class Acknowledged:
    """What the server said 200 or 201 to, as the clients noted it."""

    people: dict[str, int] = field(default_factory=dict)
    tagged: set[tuple[str, int]] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    purchases: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def writes(self) -> int:
        return len(self.people) + len(self.tagged) + len(self.cancelled) + len(self.purchases)


class Rig:
    """One database, a server that is killed again and again, clients that never stop."""

    def __init__(self, url: str, *bug: str) -> None:
        self.url, self.bug = url, bug
        self.acknowledged = Acknowledged()
        self.random = random.Random(SEED)
        self.stop = threading.Event()
        db = Database(url)
        migrate.migrate(db)
        self.keys = db.write_now(0, accounts.create, "Ada", "ada@example.com")
        settings = forms.FormSettings(name="Plain", confirmation="none")
        self.form = db.write_now(self.keys.account_id, forms.create, settings)
        self.double = db.write_now(self.keys.account_id, forms.create, forms.FormSettings(name="Double"))
        self.tags = [one.id for one in db.write_now(self.keys.account_id, tags.create, ["a", "b"])]
        db.close()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def run(self, kills: int) -> None:
        """Kill the server so many times under load, each time at a random moment of its life."""
        clients = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for one in clients:
            one.start()
        try:
            for _ in range(kills):
                server = self._start()
                time.sleep(self.random.uniform(0.02, 0.5))
                server.send_signal(signal.SIGKILL)
                server.wait()
        finally:
            self.stop.set()
            for one in clients:
                one.join()

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "TIDINGS_DATABASE": self.url,
            "TIDINGS_RATE_LIMIT": "0",
            "TIDINGS_LOG": "off",
            "TIDINGS_MASTER_KEY": "k" * 32,
        }
        server = subprocess.Popen([sys.executable, str(SERVED), str(self.port), *self.bug], env=environment)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert server.poll() is None, f"the server ended with {server.returncode} (seed {SEED})"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return server
        raise AssertionError("the server does not listen")

    def _client(self, number: int) -> None:
        chance = random.Random(SEED * 1_000 + number)
        count = 0
        link: http.client.HTTPConnection | None = None
        while not self.stop.is_set():
            count += 1
            try:
                link = link or http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                self._one(link, f"p{number}-{count}@example.com", chance)
            except (OSError, http.client.HTTPException):
                if link:
                    link.close()
                link = None
                time.sleep(0.005)

    def _one(self, link: http.client.HTTPConnection, email: str, chance: random.Random) -> None:
        """Sign somebody up, and sometimes tag them, sell to them or let them go."""
        form = chance.choice([self.form, self.double])
        said = self._post(link, "POST", f"/v3/forms/{form}/subscribe", email=email)
        with self.acknowledged.lock:
            self.acknowledged.people[email] = said["subscription"]["subscriber"]["id"]
        act = chance.randrange(4)
        if act == 0:
            tag = chance.choice(self.tags)
            self._post(link, "POST", f"/v3/tags/{tag}/subscribe", email=email)
            with self.acknowledged.lock:
                self.acknowledged.tagged.add((email, tag))
        elif act == 1:
            self._post(link, "PUT", "/v3/unsubscribe", email=email)
            with self.acknowledged.lock:
                self.acknowledged.cancelled.add(email)
        elif act == 2:
            line = {"pid": 1, "lid": 1, "name": "Disk", "unit_price": 5}
            order = {"transaction_id": email, "email_address": email, "total": 5, "products": [line]}
            self._post(link, "POST", "/v3/purchases", purchase=order)
            with self.acknowledged.lock:
                self.acknowledged.purchases.add(email)

    def _post(self, link: http.client.HTTPConnection, method: str, path: str, **given: object) -> dict:  # type: ignore[type-arg]
        body = json.dumps({"api_secret": self.keys.api_secret, **given})
        link.request(method, path, body, {"Content-Type": "application/json"})
        answer = link.getresponse()
        said = answer.read()
        assert answer.status in (200, 201), (answer.status, said)
        return json.loads(said)  # type: ignore[no-any-return]

    def lost(self) -> list[str]:
        """Return a line for whatever was acknowledged and is not there."""
        db = Database(self.url)
        try:
            people, tagged, bought, events = db.read_now(self.keys.account_id, _there)
            wrong = differences(db)
        finally:
            db.close()
        done = self.acknowledged
        nobody = (0, "")
        wrong += [
            f"{one} is missing" for one, id_ in done.people.items() if people.get(one, nobody)[0] != id_
        ]
        wrong += [f"{one} is not tagged" for one in done.tagged if one not in tagged]
        states = {one: people.get(one, nobody)[1] for one in done.cancelled}
        wrong += [f"{one} is {state}, not cancelled" for one, state in states.items() if state != "cancelled"]
        wrong += [f"{one} is not bought" for one in done.purchases if one not in bought]
        wrong += [f"{one} happened {n} times" for one, n in events.items() if n != 1]
        return wrong


def _there(rx: Rx) -> tuple[dict, set, set, dict]:  # type: ignore[type-arg]
    people = {row[1]: (row[0], row[2]) for row in rx.all("SELECT id, email, state FROM subscribers")}
    tagged = rx.all(
        "SELECT email, tag_id FROM subscriptions JOIN subscribers ON subscribers.id = subscriber_id"
        " WHERE tag_id IS NOT NULL"
    )
    bought = rx.all("SELECT transaction_id FROM purchases")
    events = rx.all(
        "SELECT name, subscriber_id, COUNT(*) FROM events WHERE name IN"
        " ('subscriber_activate', 'subscriber_unsubscribe', 'purchase_create') GROUP BY name, subscriber_id"
    )
    return (
        people,
        {tuple(row) for row in tagged},
        {row[0] for row in bought},
        {(row[0], row[1]): row[2] for row in events},
    )


def _url(kind: str, folder: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{folder}/kill.db"
    return postgres.fresh_database(postgres.shared_server())


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_nothing_acknowledged_is_lost_and_every_counter_is_right(kind: str, tmp_path: Path) -> None:
    rig = Rig(_url(kind, tmp_path))
    rig.run(KILLS)
    print(f"{kind}: {KILLS} kills, {rig.acknowledged.writes} acknowledged writes, seed {SEED}")
    assert rig.acknowledged.writes > KILLS
    assert rig.lost() == [], f"seed {SEED}"


def test_the_rig_sees_a_server_that_answers_before_its_commit(tmp_path: Path) -> None:
    rig = Rig(_url("sqlite", tmp_path), "early")
    # Between answer and commit lies one write to the disk: a kill hits it within a few tries.
    for _ in range(10):
        rig.stop.clear()
        rig.run(5)
        if rig.lost():
            return
    raise AssertionError("50 kills did not show the planted bug")
