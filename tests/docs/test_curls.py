"""Every curl of the README and of docs/api-v3.md works as printed, against the demonstration."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/api-v3.md")
# A block of curls, and the block after it when nothing but words stand between.
_BLOCK = re.compile(r"```bash\n(.*?)```((?:(?!```).)*```json\n.*?```)?", re.DOTALL)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[tuple[dict[str, str], int]]:
    """A first start with the demonstration: the environment that it says to make, and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = tmp_path / "said"
    command = [sys.executable, "-m", "tidings", "serve", "--demo", "--port", str(port)]
    with said.open("wb") as out:
        environment = {**os.environ, "TIDINGS_LOG": "warning"}
        server = subprocess.Popen(command, cwd=tmp_path, stdout=out, env=environment)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        exports = dict(re.findall(r"export (\w+)=(\S+)", said.read_text()))
        assert set(exports) == {"API_KEY", "API_SECRET"}, said.read_text()
        yield {**os.environ, **exports}, port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def test_every_curl_of_the_documents_works_as_printed(shell: tuple[dict[str, str], int]) -> None:
    environment, port = shell
    wrong, calls = [], 0
    for page in PAGES:
        for block, answer in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
            if "curl" not in block:
                continue
            expects_error = '"error":' in answer
            script = re.sub(r"\bcurl\b", 'curl -s -w "\\n%{http_code}\\n"', block)
            script = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
            ran = subprocess.run(
                ["bash", "-c", script],
                capture_output=True,
                text=True,
                timeout=60,
                env=environment,
                check=False,
            )
            codes = [int(code) for code in re.findall(r"^(\d{3})$", ran.stdout, flags=re.MULTILINE)]
            calls += len(codes)
            if ran.returncode or not codes or any((code >= 400) != expects_error for code in codes):
                wrong.append(f"{page}: {block}=> {ran.stdout}{ran.stderr}")
    assert not wrong, "\n".join(wrong)
    assert calls > 50
