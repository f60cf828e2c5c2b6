"""What the tests stand on: skips that fail in CI, and a PostgreSQL that leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.setup import postgres

ROOT = Path(__file__).parents[2]
SKIPS = """
import pytest

def test_tool():
    pytest.skip("no such tool")

def test_case():
    pytest.skip("does not apply: another database")

@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    assert False
"""
# Starts a server as a session does, tells where it is, and waits to be killed.
SESSION = """
import sys
from tests.setup import postgres

print(postgres.fresh_database(postgres.shared_server()), flush=True)
sys.stdin.read()
"""


def run_skips(folder: Path, ci: str) -> str:
    (folder / "conftest.py").write_text("from tests.setup.strict_skips import *\n")
    (folder / "test_skips.py").write_text(SKIPS)
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        str(folder),
    ]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    ).stdout


def test_in_ci_a_skip_fails_unless_the_case_does_not_apply(tmp_path: Path) -> None:
    assert "1 failed, 1 skipped, 1 xfailed" in run_skips(tmp_path, "true")


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    assert "2 skipped, 1 xfailed" in run_skips(tmp_path, "")


def test_a_killed_session_leaves_no_server_and_no_directory(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_XDIST_TESTRUNUID": f"killed-{tmp_path}"}
    environment.pop("TIDINGS_TEST_POSTGRES", None)
    session = subprocess.Popen(
        [sys.executable, "-c", SESSION],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert session.stdout is not None
    dsn = session.stdout.readline().strip()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    directory = Path(dsn.partition("?host=")[2]).parent
    assert directory.exists()
    session.send_signal(signal.SIGKILL)
    session.communicate()
    end = time.monotonic() + postgres.STOP_S
    while directory.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not directory.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)
