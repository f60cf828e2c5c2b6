"""backup, as it is typed: a file that only its owner reads, and loud words about the master key."""

import shlex
import stat
from pathlib import Path

import pytest

from tests.cli.typed import Run, refused
from tests.store.filled import contents
from tidings.cli import grammar
from tidings.store import backup

DATABASE = "sqlite:///data/tidings.db"
COMMANDS = ("backup", "restore", "resume", "check", "move")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_that_can_be_typed(run: Run, command: str) -> None:
    ended = run(command, "--help")
    assert ended.code == 0
    example = ended.out.partition("example:\n")[2].strip()
    program, *words = shlex.split(example)
    assert (program, words[0]) == ("tidings", command)
    assert callable(grammar.parser().parse_args(words).command)


def test_a_backup_is_written_and_the_missing_key_is_said_loudly(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    ended = run("backup", "monday.db")
    assert (ended.code, ended.err) == (0, "")
    assert "monday.db holds the whole database (" in ended.out
    assert "THE MASTER KEY IS NOT IN IT: keep the file data/master.key too" in ended.out
    assert stat.S_IMODE((tmp_path / "monday.db").stat().st_mode) == 0o600
    assert contents("sqlite:///monday.db") == contents(DATABASE)
    key = (tmp_path / "data" / "master.key").read_bytes().strip()
    assert key not in (tmp_path / "monday.db").read_bytes()


def test_the_key_lies_beside_it_where_that_is_asked_for(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    ended = run("backup", "monday.db", "--with-key")
    assert "monday.db.key holds the master key: keep it apart" in ended.out
    kept = tmp_path / "monday.db.key"
    assert kept.read_bytes() == (tmp_path / "data" / "master.key").read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text().strip() not in ended.out


def test_no_file_is_written_over_unless_forced(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "monday.db").write_text("precious")
    refused(run("backup", "monday.db"), "monday.db is there already; give --force to write over it")
    assert (tmp_path / "monday.db").read_text() == "precious"
    assert run("backup", "monday.db", "--force").code == 0
    (tmp_path / "tuesday.db.key").write_text("precious")
    refused(run("backup", "tuesday.db", "--with-key"), "tuesday.db.key is there already")
    assert not (tmp_path / "tuesday.db").exists()


def test_a_folder_that_is_not_there_is_said(run: Run, acme: dict[str, object]) -> None:
    refused(run("backup", "nowhere/monday.db"), "nowhere/monday.db.part: No such file or directory")


def test_a_backup_of_either_database_is_an_sqlite_file(run: Run, url: str, tmp_path: Path) -> None:
    run("account", "create", "--name", "A", "--email", "a@example.com", "--database", url)
    assert run("backup", "monday.db", "--database", url).code == 0
    assert (tmp_path / "monday.db").read_bytes().startswith(b"SQLite format 3\0")
    assert contents("sqlite:///monday.db") == contents(url)
    assert not backup.in_use(url)
