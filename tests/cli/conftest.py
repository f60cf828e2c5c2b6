"""Commands run in this process, in an empty folder."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.typed import Ended, Run
from tidings.cli import main


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in an empty folder, with no setting in the environment."""
    for name in list(os.environ):
        if name.startswith("TIDINGS_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def typed(*words: str) -> Ended:
        capsys.readouterr()
        code = main(list(words))
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return typed


@pytest.fixture
def acme(run: Run) -> dict[str, object]:
    """An account in the database of the folder, with its keys."""
    made = run("account", "create", "--name", "Acme", "--email", "you@example.com", "--json")
    keys: dict[str, object] = json.loads(made.out)
    return keys
