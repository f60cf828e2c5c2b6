"""`tidings export`: files that nobody else may read, and that are whole or not there."""

import stat
from pathlib import Path

from tests.cli.typed import Run, refused


def test_an_export_is_a_new_private_file(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    written = run("export", "people.csv")
    assert written.out == "people.csv: 0 people\n"
    path = tmp_path / "people.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    refused(run("export", "people.csv"), "is there already")


def test_a_name_that_nobody_knows_is_a_refusal(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    refused(run("export", "people.csv", "--tag", "none"), "there is no tag none")
    assert not (tmp_path / "people.csv").exists()
    refused(run("export", "--what", "all", "--format", "csv"), "jsonl")


def test_all_of_an_account_is_a_line_for_each_thing(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_text("email,tags\nbea@example.com,customer\n")
    run("import", "p.csv")
    lines = run("export", "--what", "all").out.splitlines()
    assert [line[:20] for line in lines] == ['{"kind":"tag","id":1', '{"kind":"subscriber"']
