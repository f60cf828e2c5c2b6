"""One running Tidings is pulled into another, as an account of ConvertKit is."""

import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.core.cast import Cast, Clock, Owner, engage, join
from tests.core.recount import recount
from tidings.core import (
    accounts,
    broadcasts,
    events,
    exporting,
    purchases,
    subscribers,
    subscriptions,
    tags,
    webhooks,
)
from tidings.core.events import Origin
from tidings.core.importing import Tally
from tidings.core.signup import Also
from tidings.moving import kit
from tidings.moving.kit import Remote
from tidings.moving.source import Unreadable
from tidings.store.db import Database

LOOPBACK = (ip_network("127.0.0.0/8"),)
ORDER = {
    "transaction_id": "t-1", "email": "bea@example.com", "total": "12.5", "subtotal": "12.5",
    "products": [{"pid": "7", "lid": "1", "name": "Book", "sku": "b", "unit_price": 12.5, "quantity": 1}],
}  # fmt: skip


class Running:
    """A Tidings that is served, with its database."""

    def __init__(self, url: str, db: Database, cast: Cast) -> None:
        self.url = url
        self.db = db
        self.cast = cast


@pytest.fixture
def there(tmp_path: Path, migrated_file: Path, clock: Clock) -> Iterator[Running]:
    """A cast with 120 more people, two tags, a purchase and somebody who left, behind HTTP."""
    path = tmp_path / "there.db"
    shutil.copyfile(migrated_file, path)
    db = Database(f"sqlite:///{path}", clock=clock)
    cast = db.write_now(accounts.INSTALLATION, engage)
    ada = cast.ada
    for n in range(120):
        join(
            db, ada, "form", ada.plain, f"p{n}@example.com", f"P{n}", {"city": "Bremen"}, Also(tags=[ada.tag])
        )
    left = db.read_now(ada.id, subscribers.find, "p7@example.com")
    assert left is not None
    db.write_now(ada.id, subscriptions.unsubscribe, left, Origin("link"))
    db.write_now(ada.id, purchases.record, purchases.Order(**ORDER), Origin("api"))  # type: ignore[arg-type]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tidings", "web", "--port", str(port), "--host", "127.0.0.1"]
    env = {
        **os.environ,
        "TIDINGS_DATABASE": f"sqlite:///{path}",
        "TIDINGS_RATE_LIMIT": "0",
        "TIDINGS_LOG": "warning",
    }
    server = subprocess.Popen(command, env=env, cwd=tmp_path)
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Running(f"http://127.0.0.1:{port}", db, cast)
    finally:
        server.terminate()
        server.wait(20)
        db.close()


@pytest.fixture
def here(db: Database) -> tuple[Database, int]:
    db.pepper = b"k" * 32
    return db, db.write_now(0, accounts.create, "Here", "here@example.com").account_id


def pull(here: tuple[Database, int], there: Running, remote: Remote | None = None) -> Tally:
    asked = remote or Remote(there.url, there.cast.ada.api_secret, allow=LOOPBACK)
    one, left = kit.pull(*here, asked, there.url, lambda *_: None)
    assert left == []
    return one.tally


def people(db: Database, account_id: int) -> dict[str, tuple[object, ...]]:
    return {
        one.email: (
            one.first_name,
            one.state,
            one.created_at // 1_000,
            len(one.tags),
            len(one.forms),
            [*one.fields.values()],
        )
        for one in db.read_now(account_id, exporting.people, 0)
    }


def test_an_account_is_pulled_whole_and_again_only_what_changed(
    here: tuple[Database, int], there: Running
) -> None:
    ada = there.cast.ada
    assert pull(here, there).made == 123
    assert people(*here) == people(there.db, ada.id)
    assert here[0].read_now(here[1], purchases.page, 1)[0] == 1
    recount(here[0])
    _newcomer(there, ada)
    again = pull(here, there)
    assert (again.made, again.changed) == (1, 2)
    assert people(*here) == people(there.db, ada.id)
    recount(here[0])


def _newcomer(there: Running, ada: Owner) -> None:
    join(there.db, ada, "tag", ada.vip, "new@example.com")
    gone = there.db.read_now(ada.id, subscribers.find, "p9@example.com")
    assert gone is not None
    there.db.write_now(ada.id, subscriptions.unsubscribe, gone, Origin("link"))
    # Deep in every list, where only the day of the change leads to them.
    old = there.db.read_now(ada.id, subscribers.find, "p3@example.com")
    assert old is not None
    change = {"email": None, "first_name": "Changed", "fields": {"city": "Mainz"}}
    there.db.write_now(ada.id, subscribers.update, old.id, **change)  # type: ignore[arg-type]


def test_a_pull_that_was_stopped_goes_on(here: tuple[Database, int], there: Running) -> None:
    class Stopped(Remote):
        left = 9

        def get(self, path: str, **params: str) -> kit.Page:
            if "subscri" in path:
                self.left -= 1
            if not self.left:
                raise Unreadable("stopped")
            return super().get(path, **params)

    secret = there.cast.ada.api_secret
    with pytest.raises(Unreadable, match="stopped"):
        pull(here, there, Stopped(there.url, secret, allow=LOOPBACK))
    assert pull(here, there).records >= 123
    assert people(*here) == people(there.db, there.cast.ada.id)


def test_a_wrong_secret_is_a_sentence(here: tuple[Database, int], there: Running) -> None:
    with pytest.raises(Unreadable, match="the secret is refused"):
        pull(here, there, Remote(there.url, "wrong", allow=LOOPBACK))


def test_it_waits_when_told_to_and_asks_120_times_a_minute() -> None:
    answers = [429, 503, *[200] * 130]

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = answers.pop(0)
            self.send_response(status)
            self.send_header("Retry-After", "17")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    slept: list[float] = []
    try:
        remote = Remote(f"http://127.0.0.1:{server.server_port}", "s", slept.append, allow=LOOPBACK)
        for _ in range(121):
            remote.get("forms")
    finally:
        server.shutdown()
        server.server_close()
    assert slept[:2] == [17, 17]
    assert len(slept) == 2 + 3, "121 answers took 123 requests"
    assert all(50 < one <= 60 for one in slept[2:])


@pytest.mark.parametrize(
    "url",
    ("ftp://x/", "file:///etc/passwd", "https://u:p@x/", "x", "http://127.0.0.1:8000", "http://10.0.0.1/"),
)
def test_an_address_that_is_none_or_is_within_is_refused(url: str) -> None:
    with pytest.raises(Unreadable):
        Remote(url, "s")


def test_a_name_that_leads_within_is_not_reached(there: Running) -> None:
    url = there.url.replace("127.0.0.1", "localhost")
    with Remote(url, "s", lambda _: None) as remote, pytest.raises(Unreadable, match="is not reached"):
        remote.get("forms")


def test_broadcasts_and_webhooks_come_once_and_nothing_goes_out_by_them(
    here: tuple[Database, int], there: Running
) -> None:
    ada = there.cast.ada
    for subject, send_at in (("Sent", 1_700_000_000_000), ("To come", 4_000_000_000_000), ("A draft", None)):
        draft = broadcasts.Draft(subject=subject, content="<p>x</p>", send_at=send_at, published_at=1_600_000)
        there.db.write_now(ada.id, broadcasts.create, draft, "ada@example.com")
    url = "https://shop.example/in"
    there.db.write_now(ada.id, webhooks.create, "tag_add", url, subject="tag_id", subject_id=ada.vip)
    there.db.write_now(ada.id, webhooks.create, "purchase_create", url)
    there.db.write_now(
        ada.id, webhooks.create, "link_click", url, subject="initiator_value", value="https://x.example/"
    )
    for _ in range(2):
        pull(here, there)
        kept = here[0].read_now(here[1], broadcasts.page, newest_first=False, number=1)
        assert [(one.subject, one.status) for one in kept] == [
            ("Sent", "completed"), ("To come", "draft"), ("A draft", "draft"),
        ]  # fmt: skip
        assert {one.content for one in kept} == {"<p>x</p>"}
        hooks = here[0].read_now(here[1], webhooks.all_webhooks)
        vip = next(one.id for one in here[0].read_now(here[1], tags.all_tags).values() if one.name == "vip")
        assert [(one.event, one.subject_id, one.value) for one in hooks] == [
            ("tag_add", vip, None), ("purchase_create", None, None), ("link_click", None, "https://x.example/"),
        ]  # fmt: skip
        assert all(one.disabled_at is not None for one in hooks)
    assert here[0].read_now(here[1], events.listened) == frozenset()
