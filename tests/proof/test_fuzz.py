"""Whatever the OpenAPI document allows, or forbids, the server answers as the document says.

schemathesis makes the requests, from a seed: `TIDINGS_SEED=… make proof` repeats a run. Its checks are those
of `schemathesis.toml`; every answer is held to `tests.api_v3.conformance` as well, which is stricter.
"""

import base64
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api_v3 import conformance
from tests.core.recount import differences
from tests.setup import postgres
from tidings.core import (
    accounts,
    broadcasts,
    custom_fields,
    forms,
    purchases,
    sequences,
    signup,
    subscribers,
    tags,
    webhooks,
)
from tidings.core.events import Origin
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Tx

RELEASE = os.environ.get("TIDINGS_PROOF") == "release"
# Half of it on each database.
REQUESTS = 200_000 if RELEASE else 10_000
# Test cases of one operation in one round: 300 make about 9,000 requests, whose report is 30 MB.
EXAMPLES = 300 if RELEASE else 30
SEED = int(os.environ.get("TIDINGS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
HERE = Path(__file__).parent
ST = Path(sys.executable).with_name("st")
CHECKS = {
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
    "unsupported_method",
    "allow_header_conformance",
}
KEY, SECRET = "key-of-ada-0123456789", "secret-of-ada-0123456789"
LATER = 4_000_000_000_000


@dataclass
class Seen:
    """What the reports of schemathesis tell of the rounds so far."""

    requests: int = 0
    wrong: list[str] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)
    # Operations (`GET /v3/account`) that were answered with a success.
    reached: set[str] = field(default_factory=set)

    def read(self, folder: Path) -> None:
        """Add one round: its summary, and every exchange, held to the document once more."""
        summary = json.loads(next(folder.glob("json-*.json")).read_text("utf-8"))
        self.wrong += [f"{one['type']}: {', '.join(one['operations'])}" for one in summary["failures"]]
        self.wrong += [f"schemathesis: {one}" for one in summary["errors"]]
        with next(folder.glob("ndjson-*.ndjson")).open("rb") as lines:
            for line in lines:
                recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
                for checks in recorder.get("checks", {}).values():
                    self.checks.update(one["name"] for one in checks)
                cases = recorder.get("cases", {})
                for name, exchange in recorder.get("interactions", {}).items():
                    self._exchange(cases.get(name, {}).get("value", {}), exchange)

    def _exchange(self, case: dict[str, Any], exchange: dict[str, Any]) -> None:
        asked, said = exchange["request"], exchange.get("response")
        if not said:
            self.wrong.append(f"no answer to {asked}")
            return
        self.requests += 1
        uri, status = urlsplit(asked["uri"]), said["status_code"]
        headers = {name: values[0] for name, values in said["headers"].items()}
        body = base64.b64decode((said.get("content") or {}).get("$base64", ""))
        for problem in conformance.check(asked["method"], uri.path, status, headers, body):
            sent = base64.b64decode((asked.get("body") or {}).get("$base64", ""))
            self.wrong.append(f"{problem} (asked {asked['uri']} with {sent!r:.500})")
        if 200 <= status < 300:
            self.reached.add(f"{case.get('method')} {case.get('path')}")


class Rig:
    """A database with something of everything, a server on it, and schemathesis against both."""

    def __init__(self, url: str, folder: Path, *bug: str) -> None:
        self.url, self.folder, self.bug = url, folder, bug
        self.seen = Seen()
        self.rounds = 0
        # Not the same requests to both databases.
        self.seed = SEED + 1_000 * url.startswith("postgresql")
        db = Database(url)
        migrate.migrate(db)
        keys = db.write_now(0, accounts.create, "Ada", "ada@example.com", api_key=KEY, api_secret=SECRET)
        other = db.write_now(0, accounts.create, "Bob", "bob@example.com")
        mine, theirs = (db.write_now(one.account_id, _seed) for one in (keys, other))
        db.close()
        # One in eight belongs to somebody else or to nobody.
        self.ids = {
            name: [*(mine[name] * 7)[:7], random.Random(SEED).choice([theirs[name][0], 10**9])]
            for name in mine
        }
        self.document = folder / "openapi.json"
        self.document.write_text(json.dumps(_everywhere()))

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Run the server, its warnings and errors written to a file."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {
            **os.environ,
            "TIDINGS_DATABASE": self.url,
            "TIDINGS_RATE_LIMIT": "0",
            "TIDINGS_LOG": "warning",
            "TIDINGS_MASTER_KEY": "k" * 32,
        }
        script = HERE / ("served_wrong.py" if self.bug else "served.py")
        log = self.folder / "log"
        with log.open("wb") as stream:
            command = [sys.executable, str(script), str(self.port), *self.bug]
            server = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        try:
            self._wait(server)
            yield
        finally:
            server.terminate()
            server.wait()

    def _wait(self, server: "subprocess.Popen[bytes]") -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert server.poll() is None, (self.folder / "log").read_text("utf-8")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("the server does not listen")

    def fuzz(self, phases: str, *options: str, scheme: str = "apiSecret") -> None:
        """Run one round of schemathesis, of these of its phases, and read what it saw."""
        seed = self.seed + self.rounds
        reports = self.folder / f"round-{self.rounds}"
        self.rounds += 1
        config = self.folder / "schemathesis.toml"
        config.write_text((HERE / config.name).read_text("utf-8") + _bound(self.ids, scheme), "utf-8")
        command: list[str] = [
            *(str(ST), "--config-file", str(config), "run", str(self.document)),
            *("--url", f"http://127.0.0.1:{self.port}", "--max-examples", str(EXAMPLES), "--seed", str(seed)),
            *("--report", "json,ndjson", "--report-dir", str(reports), "--generation-database", "none"),
            *("--continue-on-failure", "--no-color", "--warnings", "off", "--phases", phases, *options),
        ]
        ended = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        # 0: nothing found; 1: failures, which the report tells.
        assert ended.returncode in (0, 1), f"{ended.stdout}\n{ended.stderr}"
        wrong, requests = len(self.seen.wrong), self.seen.requests
        self.seen.read(reports)
        assert self.seen.requests > requests, ended.stdout
        print(f"round {self.rounds}: {self.seen.requests - requests} requests, seed {seed}")
        if ended.returncode and not self.bug:
            print(ended.stdout)
        assert ended.returncode == 0 or len(self.seen.wrong) > wrong, ended.stdout
        shutil.rmtree(reports)

    def wrong(self) -> list[str]:
        """Return a line for all that was wrong: answers, what the server logged, counters."""
        logged = (self.folder / "log").read_text("utf-8").splitlines()
        db = Database(self.url)
        counted = differences(db)
        db.close()
        return [
            *self.seen.wrong,
            *(f"log: {line}" for line in logged),
            *(f"counter {one}" for one in counted),
        ]


def _seed(tx: Tx) -> dict[str, list[int]]:
    """Make something of everything; return the ids by the names of the path parameters."""
    origin = Origin(door="api")
    plain = forms.create(tx, forms.FormSettings(name="Plain", confirmation="none"))
    double = forms.create(tx, forms.FormSettings(name="Double", type="hosted", description="<p>Hello"))
    courses = [sequences.create(tx, "Often", repeat=True), sequences.create(tx, "Once", hold=True)]
    marks = [one.id for one in tags.create(tx, ["red", "green", "blue"])]
    labels = [one.id for one in custom_fields.create(tx, ["Last name", "City"])]
    people = []
    places = [("form", plain), ("form", double), *(("sequence", one) for one in courses), ("tag", marks[0])]
    for number in range(60):
        person = subscribers.person(f"p{number}@example.com", f"P {number}", {"city": "Oslo"})
        also = signup.Also(tags=marks[: number % 4])
        people.append(signup.sign_up(tx, *places[number % 5], person, also, origin)[1].id)
        if number % 7 == 0:
            signup.unsubscribe(tx, person.address.email, origin)
    drafts = [broadcasts.Draft(subject="Draft"), broadcasts.Draft(subject="Later", send_at=LATER)]
    written = [broadcasts.create(tx, one, "ada@example.com").id for one in drafts]
    written.append(
        broadcasts.create(tx, broadcasts.Draft(subject="Now"), "ada@example.com", status="sending").id
    )
    hooks = [
        webhooks.create(tx, "tag_add", "https://example.com/", subject="tag_id", subject_id=marks[0]),
        webhooks.create(tx, "subscriber_activate", "https://example.com/"),
    ]
    line = {"pid": "1", "lid": "1", "name": "Disk", "unit_price": 5}
    order = purchases.Order(transaction_id="t1", email="p1@example.com", total="5.0", products=[line])
    return {
        "form_id": [plain, double],
        "sequence_id": courses,
        "tag_id": marks,
        "custom_field_id": labels,
        "subscriber_id": people[:7],
        "broadcast_id": written,
        "rule_id": [one.id for one in hooks],
        "purchase_id": [purchases.record(tx, order, origin).id],
    }


def _bound(ids: dict[str, list[int]], scheme: str) -> str:
    """Return the lines of configuration that hold one credential and the ids."""
    lines = [f'"path.{name}" = {{ dictionary = "{name}", probability = 0.7 }}' for name in ids]
    lines += [f"[dictionaries.{name}]\nvalues = {known}" for name, known in ids.items()]
    lines.append(f'[auth.openapi.{scheme}]\napi_key = "{SECRET if scheme == "apiSecret" else KEY}"')
    return "\n".join(lines) + "\n"


def _everywhere() -> dict[str, Any]:
    """Return the document with what stands for every path written out at every call."""
    document: dict[str, Any] = json.loads(json.dumps(conformance.SPEC))
    for item in document["paths"].values():
        for operation in item.values():
            for status, name in conformance.EVERYWHERE.items():
                if status < 500:
                    operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
    return document


def _opened_by_key() -> list[str]:
    """Return the options that choose the calls which the public key opens."""
    return [
        option
        for item in conformance.SPEC["paths"].values()
        for operation in item.values()
        if {"apiKey": []} in operation["security"]
        for option in ("--include-operation-id", operation["operationId"])
    ]


def _url(kind: str, folder: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{folder}/fuzz.db"
    return postgres.fresh_database(postgres.shared_server())


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_every_answer_to_a_fuzzed_request_is_one_that_the_document_promises(
    kind: str, tmp_path: Path
) -> None:
    rig = Rig(_url(kind, tmp_path), tmp_path)
    print(f"{kind}: seed {SEED}")
    with rig.serve():
        rig.fuzz("examples,coverage")
        rig.fuzz("fuzzing", *_opened_by_key(), scheme="apiKey")
        # A stateful round ends once the state of the server surprises Hypothesis: so there are many.
        phases = cycle(("stateful", "stateful", "fuzzing", "stateful"))
        while rig.seen.requests < REQUESTS // 2 and not rig.seen.wrong:
            rig.fuzz(next(phases))
    print(f"{kind}: {rig.seen.requests} requests in {rig.rounds} rounds, seed {SEED}")
    assert rig.wrong() == [], f"seed {SEED}"
    assert rig.seen.requests >= REQUESTS // 2
    assert set(rig.seen.checks) >= CHECKS
    calls = {f"{verb.upper()} {path}" for path, item in conformance.SPEC["paths"].items() for verb in item}
    assert calls - rig.seen.reached == set(), f"never answered with a success (seed {SEED})"


BROADCASTS = ("stateful", "--include-path-regex", "^/v3/broadcasts")
ACCOUNT = ("coverage,fuzzing", "--include-path", "/v3/account")


@pytest.mark.parametrize(
    ("bug", "found", "options"),
    (
        ("crash", {"ServerError", "log"}, ("fuzzing", "--include-path", "/v3/broadcasts")),
        ("status", {"UndefinedStatusCode"}, ("fuzzing", "--include-path", "/v3/broadcasts/{broadcast_id}")),
        ("content_type", {"UndefinedContentType"}, ACCOUNT),
        ("location", {"MissingHeaders"}, ("examples", "--include-path", "/v3/custom_fields")),
        ("shape", {"JsonSchemaError"}, ACCOUNT),
        ("whole", {"is not a 'double'"}, ("fuzzing", "--include-path-regex", "stats$")),
        ("open_door", {"IgnoredAuth"}, ACCOUNT),
        ("undead", {"UseAfterFree"}, BROADCASTS),
        ("lost", {"EnsureResourceAvailability"}, BROADCASTS),
        ("no_allow", {"UnsupportedMethodResponse"}, ACCOUNT),
        ("uncounted", {"counter"}, ("examples", "--include-path", "/v3/broadcasts")),
    ),
)
def test_the_rig_sees_a_planted_bug(
    bug: str, found: set[str], options: tuple[str, ...], tmp_path: Path
) -> None:
    rig = Rig(_url("sqlite", tmp_path), tmp_path, bug)
    missed = found
    with rig.serve():
        # What a check needs may take a few tries of chance; each round has another seed.
        while missed and rig.rounds < 5:
            rig.fuzz(*options)
            missed = {one for one in found if not any(one in line for line in rig.wrong())}
    assert not missed, (rig.wrong(), SEED)
