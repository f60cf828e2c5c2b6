"""Commands that run until they are stopped, and how a command ends that is cut short."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.typed import Ended, Run, refused
from tidings.store import health, migrate
from tidings.store.db import Database


def test_a_port_in_use_is_said_before_anything_is_made(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        refused(run("serve", "--port", port), f"port {port} of 127.0.0.1 is in use")
    refused(run("serve", "--port", "70000"), "there is no port 70000: the highest is 65535")
    refused(run("serve", "--host", "198.51.100.7", "--port", "0"), "cannot listen on 198.51.100.7 port 0")
    assert list(tmp_path.iterdir()) == []


def test_serving_says_the_keys_answers_and_ends_well_when_told(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serving = subprocess.Popen(
        [sys.executable, "-m", "tidings", "serve", "--demo", "--port", str(port)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert serving.stdout is not None
        said = ""
        while "stop with Ctrl-C" not in said:
            line = serving.stdout.readline()
            assert line, said
            said += line
        secret = re.search(r"API_SECRET=(\S+)", said)
        assert secret is not None
        answer = _wait_for(
            f"http://127.0.0.1:{port}/v3/subscribers/1579118532?api_secret={secret[1]}", serving
        )
        assert json.loads(answer)["subscriber"]["email_address"] == "arya@example.com"
    finally:
        serving.send_signal(signal.SIGTERM)
        code = serving.wait(30)
        serving.stdout.close()
    assert code == 0


def test_the_supervised_engine_ends_with_its_standard_input(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tidings", "engine", "--supervised"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def _wait_for(address: str, serving: subprocess.Popen[str]) -> bytes:
    """Ask until the server listens; fail when it has ended."""
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.URLError as problem:
            if not isinstance(problem.reason, ConnectionRefusedError):
                raise
            assert serving.poll() is None


def test_a_mistake_of_ours_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "migrate", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run("migrate")


def test_ctrl_c_ends_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> Database:
        raise KeyboardInterrupt

    monkeypatch.setattr(health, "opened", interrupted)
    assert run("migrate") == Ended(130, "", "")


def test_a_reader_who_stops_is_no_fault(tmp_path: Path) -> None:
    program = "import sys; from tidings.cli import main; sys.exit(main(['migrate']))"
    running = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    said = running.stderr.read()
    running.stderr.close()
    assert (running.wait(30), said) == (1, b"")
