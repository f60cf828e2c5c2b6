"""A house that people move into, live in and leave: a server, a client that signs others up, the commands."""

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
from urllib.parse import urlencode

from tests.proof.test_kill import SEED

STATES = ("active",) * 6 + ("inactive", "cancelled", "bounced", "complained")
HEADER = "email,first_name,state,created_at,state_at,tags,fields.city,fields.last_name"


@dataclass
class House:
    """One installation: its place, and the commands that are typed there."""

    folder: Path
    url: str
    secret: str = "s" * 32
    key: str = "k" * 22
    form: int = 0
    server: "subprocess.Popen[bytes] | None" = None
    port: int = 0
    acknowledged: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def _environment(self) -> dict[str, str]:
        own = {
            "TIDINGS_DATABASE": self.url,
            "TIDINGS_MASTER_KEY": "k" * 32,
            "TIDINGS_RATE_LIMIT": "0",
            "TIDINGS_LOG": "off",
        }
        return {**os.environ, **own}

    def typed(self, *words: str, code: int = 0) -> str:
        """Run a command; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "tidings", *words],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def settle_in(self) -> None:
        """Migrate the place and open an account."""
        self.folder.mkdir(exist_ok=True)
        self.typed("migrate")
        words = ("account", "create", "--name", "Ada", "--email", "ada@example.com")
        self.typed(*words, "--api-key", self.key, "--api-secret", self.secret)

    def serve(self) -> None:
        """Start web and engine, and wait until they answer."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "tidings", "serve", "--port", str(self.port)]
        self.server = subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert self.server.poll() is None, "the server ended"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("the server does not listen")

    def kill(self) -> None:
        """Kill web and engine at this moment."""
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
            self.server = None

    def sign_up(self, stop: threading.Event, name: str) -> None:
        """Subscribe one person after another until told to stop; note whom the server said yes to."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        number = 0
        while not stop.is_set():
            number += 1
            email = f"{name}{number}@beside.example"
            began = time.monotonic()
            try:
                body = json.dumps({"api_key": self.key, "email": email, "first_name": "Beside"})
                headers = {"Content-Type": "application/json"}
                link.request("POST", f"/v3/forms/{self.form}/subscribe", body, headers)
                answer = link.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as problem:
                if self.server is not None and not stop.is_set():
                    self.failures.append(repr(problem))
                return
            self.waits.append(time.monotonic() - began)
            if answer.status == 200:
                self.acknowledged.append(email)
            else:
                self.failures.append(f"{answer.status} {said[:200]!r}")
            time.sleep(0.005)

    def forms(self) -> dict[str, int]:
        """Return the forms by name, as the API shows them."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        link.request("GET", "/v3/forms?" + urlencode({"api_key": self.key}))
        return {one["name"]: one["id"] for one in json.loads(link.getresponse().read())["forms"]}

    def people(self) -> dict[str, dict[str, object]]:
        """Return everybody as an export has them, by address; ids are of a place."""
        found = {}
        for line in self.typed("export", "--format", "jsonl").splitlines():
            one = json.loads(line)
            del one["id"]
            found[one["email"]] = one
        return found


def made_up(number: int) -> str:
    """Return a file of so many people, shuffled."""
    chance = random.Random(SEED)
    lines = []
    for n in range(number):
        year, state = 2015 + n % 10, STATES[n % len(STATES)]
        tags = ('"one, two"', "one", "")[n % 3]
        moments = f"{year}-03-0{1 + n % 9}T10:00:00Z,{year}-04-01T10:00:00Z"
        lines.append(f"p{n}@moved.example,Person {n},{state},{moments},{tags},City {n % 50},'=Snow\n")
    chance.shuffle(lines)
    return HEADER + "\n" + "".join(lines)


def different(one: dict[str, dict[str, object]], other: dict[str, dict[str, object]]) -> list[str]:
    """Return a line for everybody who is not the same in two places, at most 20."""
    return [
        f"{email}: {one.get(email)} here, {other.get(email)} there (seed {SEED})"
        for email in sorted(set(one) | set(other))
        if one.get(email) != other.get(email)
    ][:20]
