"""The published clients drive a sandbox, unchanged but for their base address."""

import json
import shutil
from pathlib import Path

import pytest

from tests.clients import test_clients as clients
from tidings.testing import Sandbox

NEWSLETTER, WEBINAR, TAG = 11, 12, 13
# What the drivers expect: two forms, nobody, and for the Node client a tag.
SEED = f"""
[[forms]]
id = {NEWSLETTER}
name = "Newsletter"
type = "embed"

[[forms]]
id = {WEBINAR}
name = "Webinar"
type = "embed"
confirm = false
"""
TAGGED = f'{SEED}\n[[tags]]\nid = {TAG}\nname = "node"\n'


def world(sandbox: Sandbox, tag: int) -> str:
    given = {"base": sandbox.base_url, "api_key": sandbox.api_key, "api_secret": sandbox.api_secret}
    return json.dumps({**given, "plain": WEBINAR, "tag": tag})


def started(folder: Path, seed: str) -> Sandbox:
    file = folder / "seed.toml"
    file.write_text(seed, encoding="utf-8")
    return Sandbox(seed=file, rate_limit=False)


@pytest.mark.parametrize(
    ("package", "driver"),
    (("convertkit", "drive_convertkit.py"), ("convertkit-py", "drive_convertkit_py.py")),
)
def test_a_python_client_drives_a_sandbox(package: str, driver: str, tmp_path: Path) -> None:
    python = clients._python(package)
    with started(tmp_path, SEED) as sandbox:
        driven = clients._run([str(python), str(clients.HERE / driver), world(sandbox, 0)])
    assert driven.returncode == 0, driven.stdout + driven.stderr
    assert driven.stdout.endswith("driven\n")


def test_the_node_client_drives_a_sandbox(tmp_path: Path) -> None:
    node, npm = clients._node()
    home = clients.CACHE / "convertkit-node"
    lock = clients.HERE / "node" / "package-lock.json"
    if not clients._made(home, lock):
        shutil.copytree(clients.HERE / "node", home)
        clients._install([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], home)
        clients._mark(home, lock)
    shutil.copy(clients.HERE / "node" / "drive.js", home)
    with started(tmp_path, TAGGED) as sandbox:
        driven = clients._run([node, str(home / "drive.js"), world(sandbox, TAG)], home)
    assert driven.returncode == 0, driven.stdout + driven.stderr
    assert driven.stdout.endswith("driven\n")
