"""`tidings import`: trials, refusals, going on where it was stopped."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.typed import Run, refused
from tests.core.cast import rows
from tests.core.recount import recount
from tidings.store.db import Database


@pytest.fixture
def file(tmp_path: Path, acme: dict[str, object]) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("email,first_name,City,tags\nbea@example.com,Bea,Bremen,customer\nwrong,=X,,\n")
    return path


def test_a_trial_counts_and_changes_nothing(run: Run, file: Path, tmp_path: Path) -> None:
    tried = run("import", "people.csv", "--dry-run")
    assert tried.code == 0
    assert "1 would be new" in tried.out
    assert "1 rejected" in tried.out
    assert "tags that would be made: customer" in tried.out
    assert "--create-fields" in tried.out
    assert not (tmp_path / "people.csv.rejected.csv").exists()
    assert run("export").out.count("\n") == 1


def test_what_is_refused_is_written_with_its_line_and_reason(run: Run, file: Path, tmp_path: Path) -> None:
    assert run("import", "people.csv", "--create-fields").code == 0
    lines = (tmp_path / "people.csv.rejected.csv").read_text().splitlines()
    assert lines[0] == "record,line,reason,email,first_name,City,tags"
    assert lines[1] == '2,3,"an address is one name, one @ and one domain",wrong,\'=X,,'
    assert json.loads(run("import", "people.csv", "--json").out)["tally"] == {
        "made": 0, "changed": 0, "same": 1, "kept": 0, "rejected": 1,
    }  # fmt: skip


def test_everybody_joins_what_is_typed(run: Run, file: Path, tmp_path: Path) -> None:
    done = run("import", "people.csv", "--tag", "moved", "--form", "nowhere", "--state", "inactive")
    assert "there is no form nowhere: nobody joined it" in done.out
    (line,) = run("export", "--format", "jsonl").out.splitlines()
    bea = json.loads(line)
    assert (bea["state"], bea["tags"]) == ("inactive", ["customer", "moved"])


def test_forms_and_sequences_are_made_when_asked_for(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text("email\nbea@example.com\n")
    wanted = (
        "import",
        "people.csv",
        "--form",
        "Door",
        "--form",
        "#7",
        "--sequence",
        "Course",
        "--tag",
        "new",
    )
    tried = run(*wanted, "--create-things", "--dry-run")
    for line in ("forms that would be made: Door", "sequences that would be made: Course", "1 would be new"):
        assert line in tried.out
    assert "there is no form #7: nobody joined it" in tried.out
    assert (
        "there is no form Door: nobody joined it; --create-things makes what is missing" in run(*wanted).out
    )
    # A trial says what would become of who is known: they would join what is made for them.
    assert "0 would be new, 1 changed" in run(*wanted, "--create-things", "--dry-run").out
    assert "0 are new, 1 changed" in run(*wanted, "--create-things").out
    assert "0 would be new, 0 changed, 1 as before" in run(*wanted, "--create-things", "--dry-run").out
    bea = json.loads(run("export", "--format", "jsonl").out)
    assert (bea["forms"], bea["sequences"], bea["tags"]) == (["Door"], ["Course"], ["new"])
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    assert rows(db, "SELECT confirmation, archived_at FROM forms WHERE name = 'Door'") == [("double", None)]
    recount(db)
    db.close()


def test_a_trial_counts_changed_values_as_changed(run: Run, file: Path, tmp_path: Path) -> None:
    assert run("import", "people.csv", "--create-fields").code == 0
    assert "0 changed, 1 as before" in run("import", "people.csv", "--dry-run").out
    (tmp_path / "people.csv").write_text("email,City,Street\nbea@example.com,Mainz,A\ncal@example.com,,\n")
    tried = run("import", "people.csv", "--dry-run")
    assert "1 would be new, 1 changed" in tried.out
    (tmp_path / "people.csv").write_text("email,City,Street\nbea@example.com,,A\n")
    assert "0 changed, 1 as before" in run("import", "people.csv", "--dry-run").out
    assert "1 changed" in run("import", "people.csv", "--dry-run", "--create-fields").out


def test_a_file_that_is_no_table_is_a_sentence(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"email\na\0@example.com\n")
    ended = run("import", "x.csv")
    assert (ended.code, ended.err) == (1, "tidings: line 2 holds a NUL: this is no text file\n")
    (tmp_path / "x.csv").write_text("who\nbea@example.com\n")
    refused(run("import", "x.csv"), "--map COLUMN=email")
    refused(run("import", "none.csv"), "No such file")
    (tmp_path / "x.csv").write_text("email\nbea@example.com\nx\n")
    (tmp_path / "x.csv.rejected.csv").write_text("mine\n")
    assert "in the way" in run("import", "x.csv").err


def test_an_import_that_was_killed_goes_on_and_doubles_nobody(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "many.csv"
    wrong = range(0, 20_000, 1_000)
    path.write_text("email,tags\n" + "".join(
        f"p{n},\n" if n in wrong else f"p{n}@example.com,customer\n" for n in range(20_000)
    ))  # fmt: skip
    command = [sys.executable, "-m", "tidings", "import", "many.csv"]
    killed = 0
    for n in (3, 2, 2):
        env = {**os.environ, "TIDINGS_FAILPOINT": f"import-committed:{n}"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False, timeout=60)
        killed += done.returncode == -signal.SIGKILL
    assert killed == 3
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    ((done_so_far,),) = rows(db, "SELECT place + within FROM imports")
    assert 0 < int(str(done_so_far)) < 20_000
    assert run("import", "many.csv").code == 0
    assert rows(db, "SELECT COUNT(*) FROM imports") == [(1,)]
    assert rows(db, "SELECT made, rejected, place, within FROM imports") == [(19_980, 20, 20_000, 0)]
    assert rows(db, "SELECT COUNT(*) FROM subscribers") == [(19_980,)]
    refusals = (tmp_path / "many.csv.rejected.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[0]) for line in refusals] == [n + 1 for n in wrong]
    recount(db)
    db.close()
