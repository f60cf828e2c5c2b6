"""What a notifier posts is verified by the published Node library of Standard Webhooks, unchanged."""

import json
import random
import shutil
from pathlib import Path

import pytest

from tests.clients import test_clients as clients
from tests.core.cast import Clock, engage
from tests.core.test_notices import hook
from tests.engine.receivers import Receivers
from tests.engine.test_notifier import KEY, run
from tidings.core import notices, webhooks
from tidings.core.accounts import INSTALLATION
from tidings.core.webhooks import keys
from tidings.store.db import Database, wall_clock
from tidings.store.tx import Tx

HERE = Path(__file__).parent / "node_webhooks"
PAYLOADS = 1_000
SIGNS = 'aé漢🎉"\\\n\u2028.<>& '


def _posted(url: str, folder: Path) -> Path:
    """Post a thousand payloads, some under two keys; return the file of what arrived."""
    db = Database(url, clock=Clock(wall_clock()))
    receivers = Receivers()
    luck = random.Random(4)
    try:
        ada = db.write_now(INSTALLATION, engage).ada
        hooks = [hook(db, ada), hook(db, ada, "https://other.example/")]
        db.write_now(ada.id, webhooks.rotate, hooks[1].id)

        def verb(tx: Tx) -> None:
            for at in range(PAYLOADS):
                text = "".join(luck.choice(SIGNS) for _ in range(luck.randrange(60)))
                body = json.dumps({"at": at, "text": text}, ensure_ascii=bool(at % 3))
                notices.queue(tx, hooks[at % 2], "tag_add", body, event_id=at + 1, subscriber_id=None)

        db.write_now(ada.id, verb)
        run(db, receivers)
    finally:
        db.close()
    # Of the second the former key is asked, which still signs.
    secrets = {one.target_url: keys.shown(keys.secret(KEY, ada.id, one.id, 1)) for one in hooks}
    lines = [
        json.dumps({"secret": secrets[one.url], "headers": dict(one.headers), "body": one.body.decode()})
        for one in receivers.posted
    ]
    file = folder / "posted.jsonl"
    file.write_text("\n".join(lines), "utf-8")
    return file


@pytest.fixture(scope="module")
def home() -> Path:
    """The folder with the library, installed once from its lock."""
    _, npm = clients._node()
    home = clients.CACHE / "standardwebhooks-node"
    lock = HERE / "package-lock.json"
    if not clients._made(home, lock):
        shutil.copytree(HERE, home)
        clients._install([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], home)
        clients._mark(home, lock)
    shutil.copy(HERE / "verify.js", home)
    return home


def test_the_node_library_verifies_a_thousand_payloads(home: Path, sqlite_url: str, tmp_path: Path) -> None:
    node, _ = clients._node()
    file = _posted(sqlite_url, tmp_path)
    said = clients._run([node, str(home / "verify.js"), str(file)], home)
    assert said.stdout == f"verified {PAYLOADS}\n", said.stderr


def test_the_node_library_refuses_another_key(home: Path, sqlite_url: str, tmp_path: Path) -> None:
    node, _ = clients._node()
    file = _posted(sqlite_url, tmp_path)
    one = json.loads(file.read_text("utf-8").splitlines()[0])
    one["secret"] = keys.shown(b"x" * 32)
    file.write_text(json.dumps(one), "utf-8")
    assert clients._run([node, str(home / "verify.js"), str(file)], home).returncode != 0
