"""Pages of moving out: people as a stream, backups for who owns everything."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.doors import Rooms, rooms
from tests.web.owners import Browser
from tidings import app
from tidings.core import subscriptions, tags, users
from tidings.core.events import Origin
from tidings.engine.backups import Backups


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        made.house.export = app._exporting(made.db)
        made.house.backups = str(tmp_path / "backups")
        yield made


@pytest.fixture
def ada(here: Rooms) -> Browser:
    return Browser(here)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_people_are_exported_as_a_table(here: Rooms, ada: Browser) -> None:
    form = here.form(confirmation="none")
    for n in range(3):
        here.sign_up(form, f"p{n}@example.com", "=1+1" if n == 0 else None)
    answer = ada.post("/subscribers/export", {"format": "csv", "state": ""})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="subscribers-2025-10-09.csv"'
    rows = table(answer.text)
    assert [row["email"] for row in rows] == [f"p{n}@example.com" for n in range(3)]
    assert rows[0]["first_name"] == "'=1+1"
    assert ("subscribers.export", "as csv") in here.rows("SELECT act, subject FROM audit")


def test_only_who_is_wanted_is_exported(here: Rooms, ada: Browser) -> None:
    form = here.form(confirmation="none")
    for n in range(3):
        here.sign_up(form, f"p{n}@example.com")
    (tag,) = here.db.write_now(here.account_id, tags.create, ["vip"])
    who = here.person("p1@example.com")
    assert who is not None
    here.db.write_now(here.account_id, subscriptions.start, who, "tag", tag.id, Origin("api"))
    asked = {"format": "jsonl", "state": "active", "tag": str(tag.id), "form": str(form.id), "sequence": ""}
    answer = ada.post("/subscribers/export", asked)
    assert [json.loads(line)["email"] for line in answer.text.splitlines()] == ["p1@example.com"]
    assert ada.post("/subscribers/export", {**asked, "state": "cancelled"}).text == ""


@pytest.mark.parametrize("given", ({"format": "exe", "state": ""}, {"format": "csv", "state": "dead"}))
def test_an_odd_choice_is_told(ada: Browser, given: dict[str, str]) -> None:
    answer = ada.post("/subscribers/export", given)
    assert answer.status == 422
    assert "Choose one of the options." in answer.text


def test_more_exports_than_a_process_bears_are_put_off(here: Rooms, ada: Browser) -> None:
    here.house.exports = 2
    answer = ada.post("/subscribers/export", {"format": "csv", "state": ""})
    assert answer.status == 422
    assert "Try again in a minute" in answer.text


def test_a_viewer_exports_nothing_and_fetches_no_backup(here: Rooms) -> None:
    vera = Browser(here, "vera@example.com", "viewer")
    assert vera.get("/subscribers/export").status == 403
    assert vera.post("/subscribers/export", {"format": "csv", "state": ""}).status == 403
    eddy = Browser(here, "eddy@example.com", "editor")
    assert eddy.get("/settings/backups").status == 403
    assert eddy.post("/settings/backups").status == 403
    assert eddy.post("/settings/backups/download", {"name": "tidings-20251009T100000Z.db"}).status == 403


def test_a_backup_is_made_shown_and_fetched(here: Rooms, ada: Browser) -> None:
    assert "No backup yet" in ada.get("/settings/backups").text
    page = ada.follow(ada.post("/settings/backups"))
    assert "A backup is being made." in page
    assert "everybody's data" in page
    engine = Backups(here.db, here.house.backups, every_ms=0, keep=3)
    assert asyncio.run(engine.step()) == 0
    assert asyncio.run(engine.asked()) == 1
    assert asyncio.run(engine.asked()) == 0
    page = ada.get("/settings/backups").text
    name = "tidings-20251009T085320Z.db"
    assert name in page
    assert "being made" not in page
    answer = ada.post("/settings/backups/download", {"name": name})
    assert answer.status == 200
    assert answer.body.startswith(b"SQLite format 3\0")
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.body == (Path(here.house.backups) / name).read_bytes()
    acts = here.rows("SELECT act, subject FROM audit")
    assert ("backup.make", "") in acts
    assert ("backup.download", name) in acts


@pytest.mark.parametrize(
    "name",
    (
        "",
        "../tidings.db",
        "tidings.db",
        "/etc/passwd",
        "tidings-20251009T085320Z.db\0",
        "tidings-20251009T085320Z.db",
    ),
)
def test_no_other_file_is_fetched(here: Rooms, ada: Browser, name: str) -> None:
    assert ada.post("/settings/backups/download", {"name": name}).status == 404


def test_a_backup_that_cannot_be_made_is_told(here: Rooms, ada: Browser, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("a file is in the way")
    ada.post("/settings/backups")
    assert asyncio.run(Backups(here.db, here.house.backups, every_ms=0, keep=3).asked()) == 1
    assert "could not be made: the folder cannot be written to" in ada.get("/settings/backups").text


def test_who_does_not_own_every_account_gets_no_backup(here: Rooms, ada: Browser) -> None:
    other = here.account("Eve's", "eve@example.com")
    assert "you do not own all of them" in ada.get("/settings/backups").text
    assert ada.post("/settings/backups").status == 403
    assert ada.post("/settings/backups/download", {"name": "tidings-20251009T085320Z.db"}).status == 403
    here.db.write_now(other, users.admit, "ada@example.com", "owner")
    assert ada.post("/settings/backups").status == 303
