"""Nothing leaves a sandbox: no mail, no webhook but to loopback, no question to a name server."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sandbox.asked import CUSTOMER, HELD, NEWSLETTER, ask, receiver, until
from tests.sandbox.conftest import Asked
from tests.sandbox.test_controls import hook
from tidings.sandbox.outside import is_loopback
from tidings.testing import Sandbox


@contextmanager
def canary(host: str) -> Iterator[tuple[int, socket.socket]]:
    """A listener that nobody must come to: its port, and itself, not blocking."""
    with socket.create_server((host, 0)) as listening:
        listening.setblocking(False)
        yield listening.getsockname()[1], listening


def assert_nobody_came(listening: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listening.accept()


def own_address() -> str | None:
    """An address of this machine that is not loopback; None where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: the system only chooses the way.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = str(probe.getsockname()[0])
        return None if is_loopback(found) else found


def told(sandbox: Sandbox, v3: Asked, url: str) -> tuple[int | None, str]:
    hook(v3, url, "subscriber.tag_add", tag_id=CUSTOMER)
    v3("POST", f"/tags/{CUSTOMER}/subscribe", email=HELD)
    (posted,) = [one for one in sandbox.webhooks() if one["url"] == url]
    return posted["status"], posted["error"]


def test_a_webhook_reaches_loopback_by_number_and_by_name(sandbox: Sandbox, v3: Asked) -> None:
    with receiver() as heard:
        assert told(sandbox, v3, heard.url) == (200, "")
        sandbox.reset()
        assert told(sandbox, v3, heard.url.replace("127.0.0.1", "localhost")) == (200, "")
    assert len(heard.bodies) == 2


def test_a_webhook_does_not_reach_this_machine_by_its_address_in_the_network(
    sandbox: Sandbox, v3: Asked
) -> None:
    address = own_address()
    if address is None:
        # Where there is no network the wildcard stands for it: Linux takes it for loopback.
        address = "0.0.0.0"
    with canary("0.0.0.0") as (port, listening):
        status, error = told(sandbox, v3, f"http://{address}:{port}/")
        assert status is None
        assert "is not reached" in error
        assert_nobody_came(listening)


@pytest.mark.parametrize(
    "host",
    (
        "0.0.0.0", "[::ffff:127.0.0.1]", "[::]", "198.51.100.7", "example.com", "localhost.example.com",
        "127.0.0.1.example.com", "sub.localhost",
    ),
)  # fmt: skip
def test_a_webhook_reaches_no_other_address(sandbox: Sandbox, v3: Asked, host: str) -> None:
    with canary("0.0.0.0") as (port, listening):
        status, error = told(sandbox, v3, f"http://{host}:{port}/")
        assert status is None
        assert "is not reached" in error
        assert_nobody_came(listening)


@pytest.mark.parametrize("host", ("127.0.0.1", "127.255.255.254", "::1", "localhost", "LOCALHOST."))
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ("128.0.0.1", "126.255.255.255", "::2", "::", "10.0.0.1", "localhost.", "", "0x7f000001", "127.1", "x"),
)
def test_everything_else_is_not(host: str) -> None:
    assert is_loopback(host) is (host == "localhost.")


def test_settings_of_the_environment_are_ignored(tmp_path: Path) -> None:
    """The SMTP server, the database, the networks of webhooks: none of them counts."""
    with canary("127.0.0.1") as (port, listening), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDINGS_SMTP_URL", f"smtp://127.0.0.1:{port}")
        patch.setenv("TIDINGS_DATABASE", f"sqlite:///{tmp_path}/real.db")
        patch.setenv("TIDINGS_WEBHOOK_ALLOW", "0.0.0.0/0")
        patch.setenv("TIDINGS_PORT", "1")
        patch.setenv("TIDINGS_BASE_URL", "https://real.example.com")
        patch.setenv("TIDINGS_FAILPOINT", "handed")
        with Sandbox() as one:
            form = f"/v3/forms/{NEWSLETTER}/subscribe"
            assert ask(one, "POST", form, {"api_key": one.api_key, "email": HELD}).status == 200
            (mail,) = one.mails()
            assert mail["to"] == HELD
            assert mail["links"][0].startswith(one.base_url)
        assert_nobody_came(listening)
    assert list(tmp_path.iterdir()) == []


def test_it_listens_on_loopback_alone(sandbox: Sandbox) -> None:
    address = own_address()
    port = int(sandbox.base_url.rpartition(":")[2])
    # With no other address there is none to be reached by.
    for host in {address} - {None}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port), 5)


def test_its_folder_goes_with_it(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path))
        with Sandbox() as one:
            one.reset()
            (folder,) = tmp_path.iterdir()
            assert folder.stat().st_mode & 0o077 == 0
            names = {path.name for path in folder.iterdir()}
            assert {"seed.db", "2.db"} <= names
            assert not {name for name in names if name.startswith("1.db")}
    assert list(tmp_path.iterdir()) == []


def test_it_never_outlives_who_started_it(tmp_path: Path) -> None:
    starts = (
        "import os, tidings.testing as t; s = t.Sandbox().start();"
        "print(s.base_url, flush=True); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", starts],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    port = int(ended.stdout.strip().rpartition(":")[2])
    # It sees the end of its standard input and clears up.
    until(lambda: not list(tmp_path.glob("tidings-sandbox-*")))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
