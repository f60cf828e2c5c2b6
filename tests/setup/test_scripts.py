"""The set-up of the dashboard's scripts: locked, built by anybody, and quick when nothing changed."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENDOR = Path("src/tidings/web/static/vendor")
BUILT = {"htmx.js", "uplot.js", "uplot.css", "editor.js", "licenses.txt"}
# Nobody listens on the discard port.
NO_NETWORK = {"npm_config_registry": "http://127.0.0.1:9/"}
# What requirements/scripts calls, node and npm left out.
TOOLS = ("sh", "cat", "cksum", "dirname", "env", "grep", "mktemp", "rm", "tail", "uname")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the set-up of scripts reads, in a folder of its own, with nothing fetched yet."""
    there = tmp_path / "checkout"
    for name in ("package.json", "package-lock.json", ".npmrc"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, there / name)
    shutil.copytree(ROOT / "requirements", there / "requirements")
    shutil.copytree(ROOT / "src/tidings/web/scripts", there / "src/tidings/web/scripts")
    return there


@pytest.fixture
def done(checkout: Path) -> Path:
    """The same after a set-up."""
    shutil.copytree(ROOT / "node_modules", checkout / "node_modules", symlinks=True)
    shutil.copytree(ROOT / VENDOR, checkout / VENDOR)
    # A script may have changed since the last set-up of this checkout.
    assert set_up(checkout).returncode == 0
    return checkout


def set_up(there: Path, python: str = sys.executable, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [there / "requirements/scripts", python],
        env={**os.environ, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def without_node(folder: Path) -> str:
    """A PATH on which there is everything but Node."""
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)


def test_every_package_is_fixed_by_version_and_hash_and_names_no_place() -> None:
    wanted = json.loads((ROOT / "package.json").read_text())
    named = {**wanted["dependencies"], **wanted["devDependencies"]}
    assert [name for name, version in named.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert len(locked) > len(named)
    packages = {name: entry for name, entry in locked.items() if name}
    assert [
        name for name, entry in packages.items() if not entry.get("integrity", "").startswith("sha512-")
    ] == []
    assert [name for name, entry in packages.items() if "resolved" in entry] == []


def test_what_is_built_goes_into_the_wheel_with_its_licences(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run([*command, "--wheel-dir", tmp_path, ROOT], check=True, capture_output=True, timeout=120)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if name.startswith("tidings/web/static/vendor/")}
        licences = wheel.read("tidings/web/static/vendor/licenses.txt").decode()
    assert names == {f"tidings/web/static/vendor/{name}" for name in BUILT}
    for name in (
        "htmx.org",
        "uplot",
        "@tiptap/core",
        "@tiptap/extension-link",
        "prosemirror-view",
        "linkifyjs",
    ):
        assert f"== {name} " in licences
    for name in ("axe-core", "esbuild"):
        assert f"== {name} " not in licences


def test_a_set_up_that_is_done_asks_nobody(done: Path, tmp_path: Path) -> None:
    again = set_up(done, python="/nowhere", PATH=without_node(tmp_path / "bin"))
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_changed_script_is_built_anew_without_fetching(done: Path) -> None:
    script = done / "src/tidings/web/scripts/editor.js"
    script.write_text(script.read_text() + "\nconsole.info('planted words');\n")
    again = set_up(done, **NO_NETWORK)
    assert again.returncode == 0, again.stderr
    assert "planted words" in (done / VENDOR / "editor.js").read_text()
    assert {entry.name for entry in (done / VENDOR).iterdir()} == BUILT


def test_a_script_that_cannot_be_built_leaves_what_was_there(done: Path) -> None:
    (done / "src/tidings/web/scripts/editor.js").write_text("import { nothing } from 'no-such-package';\n")
    again = set_up(done)
    assert again.returncode == 1
    assert "no-such-package" in again.stderr
    assert "could not build the dashboard's scripts" in again.stderr
    assert "ProseMirror" in (done / VENDOR / "editor.js").read_text()
    assert set_up(done).returncode == 1


@pytest.mark.long
def test_without_a_network_it_says_so_and_is_not_taken_for_done(checkout: Path, tmp_path: Path) -> None:
    nowhere = {**NO_NETWORK, "npm_config_cache": str(tmp_path / "cache")}
    first = set_up(checkout, **nowhere)
    assert first.returncode == 1
    assert (
        "could not fetch the scripts that package-lock.json locks (the first time needs the network"
        in first.stderr
    )
    assert not (checkout / VENDOR).exists()
    assert set_up(checkout, **nowhere).returncode == 1


@pytest.mark.long
def test_a_package_with_another_hash_is_refused(checkout: Path, tmp_path: Path) -> None:
    lock = checkout / "package-lock.json"
    locked = json.loads(lock.read_text())
    locked["packages"]["node_modules/uplot"]["integrity"] = "sha512-" + "A" * 86 + "=="
    lock.write_text(json.dumps(locked))
    refused = set_up(checkout, npm_config_cache=str(tmp_path / "cache"))
    assert refused.returncode == 1
    assert "EINTEGRITY" in refused.stderr
    assert not (checkout / VENDOR).exists()


@pytest.mark.long
def test_a_machine_without_node_gets_one_beside_tidings(checkout: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    python = str(tmp_path / "venv/bin/python")
    path = without_node(tmp_path / "bin")
    first = set_up(checkout, python=python, PATH=path)
    assert first.returncode == 0, first.stderr
    assert "installing one beside tidings" in first.stdout
    assert {entry.name for entry in (checkout / VENDOR).iterdir()} == BUILT
    for name in BUILT:
        assert (checkout / VENDOR / name).read_bytes() == (ROOT / VENDOR / name).read_bytes()
    shutil.rmtree(checkout / "node_modules")
    second = set_up(checkout, python=python, PATH=path)
    assert second.returncode == 0, second.stderr
    assert "installing one beside tidings" not in second.stdout
