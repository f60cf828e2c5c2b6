"""Copying: every table, every value, both ways; into an empty place only, wholly or not at all."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.cast import Clock, engage, join
from tests.core.ledger import send, started
from tests.setup import postgres
from tests.store.filled import contents, fill, place
from tidings.core import accounts
from tidings.errors import Conflict
from tidings.store import copying, places
from tidings.store.copying import Progress
from tidings.store.db import Database

pytestmark = pytest.mark.postgres
# What PostgreSQL can keep: no NUL, and no half of a surrogate pair.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)


@pytest.fixture
def second_url(tmp_path: Path, migrated_file: Path) -> str:
    """One more migrated, empty SQLite file."""
    shutil.copyfile(migrated_file, tmp_path / "second.db")
    return f"sqlite:///{tmp_path / 'second.db'}"


def path_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def test_every_row_of_every_table_goes_there_and_back(
    sqlite_url: str, postgres_url: str, second_url: str
) -> None:
    fill(path_of(sqlite_url), 12)
    there = copying.copy(sqlite_url, postgres_url)
    back = copying.copy(postgres_url, second_url)
    before = contents(sqlite_url)
    assert len(before) > 40
    assert all(len(rows) == 12 for rows in before.values())
    assert contents(postgres_url) == before
    assert contents(second_url) == before
    assert {one.table: (one.source, one.target) for one in there} == dict.fromkeys(before, (12, 12))
    assert len(back) == len(there)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(TEXT, min_size=1, max_size=8), st.lists(st.binary(max_size=40), min_size=1), st.integers(1, 99)
)
def test_any_text_and_bytes_go_there_and_back(
    migrated_file: Path,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    blobs: list[bytes],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("copies")
    for name in ("one.db", "two.db"):
        shutil.copyfile(migrated_file, folder / name)
    dsn = postgres.fresh_database(postgres.shared_server(), template=migrated_template)
    try:
        fill(str(folder / "one.db"), 4, texts, blobs, seed)
        copying.copy(f"sqlite:///{folder}/one.db", dsn)
        copying.copy(dsn, f"sqlite:///{folder}/two.db")
        assert contents(f"sqlite:///{folder}/two.db") == contents(f"sqlite:///{folder}/one.db")
    finally:
        postgres.drop_database(dsn)


def test_the_cast_lives_on_there_with_fresh_ids(sqlite_url: str, postgres_url: str, clock: Clock) -> None:
    with closing(Database(sqlite_url, clock=clock)) as db:
        cast = db.write_now(accounts.INSTALLATION, engage)
        started(db, cast.ada)
        send(db)
        _, gone = join(db, cast.ada, "form", cast.ada.plain, "gone@example.com")
        db.write_now(0, lambda tx: tx.run("DELETE FROM subscriptions WHERE subscriber_id = :id", id=gone.id))
        db.write_now(0, lambda tx: tx.run("DELETE FROM subscribers WHERE id = :id", id=gone.id))
    copying.copy(sqlite_url, postgres_url)
    assert contents(postgres_url) == contents(sqlite_url)
    for url in (sqlite_url, postgres_url):
        with closing(Database(url, clock=clock)) as db:
            _, who = join(db, cast.ada, "form", cast.ada.plain, "eli@example.com")
            # The id of whoever was there last is never given again.
            assert who.id == gone.id + 1


def test_a_table_that_is_forgotten_is_seen(
    sqlite_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path_of(sqlite_url))
    whole = places.SqlitePlace.tables
    monkeypatch.setattr(
        places.SqlitePlace,
        "tables",
        lambda self: {name: one for name, one in whole(self).items() if name != "leaves"},
    )
    copying.copy(sqlite_url, postgres_url)
    monkeypatch.undo()
    assert contents(postgres_url) != contents(sqlite_url)


def test_a_row_that_does_not_arrive_is_seen_and_nothing_stays(
    sqlite_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path_of(sqlite_url))
    write = places.PostgresPlace.write
    monkeypatch.setattr(
        places.PostgresPlace, "write", lambda self, one, rows: write(self, one, rows[one.name == "hits" :])
    )
    with pytest.raises(Conflict, match=r"^hits has 3 rows and 2 arrived$"):
        copying.copy(sqlite_url, postgres_url)
    assert copying.first_full(postgres_url) is None


def test_a_target_with_rows_is_refused(url: str, tmp_path: Path, migrated_file: Path) -> None:
    shutil.copyfile(migrated_file, tmp_path / "source.db")
    fill(str(tmp_path / "source.db"))
    with closing(Database(url)) as db:
        db.write_now(0, accounts.create, "A", "a@example.com")
    before = contents(url)
    with pytest.raises(Conflict, match="the target is not empty: there are rows in "):
        copying.copy(f"sqlite:///{tmp_path}/source.db", url)
    if url.startswith("postgres"):
        assert contents(url) == before


def test_databases_of_different_versions_are_refused(sqlite_url: str, postgres_url: str) -> None:
    with closing(Database(sqlite_url)) as db:
        db.write_now(0, lambda tx: tx.run("DELETE FROM migrations WHERE number = 5"))
    for source, target in ((sqlite_url, postgres_url), (postgres_url, sqlite_url)):
        with pytest.raises(Conflict, match="both databases must be of this version first"):
            copying.copy(source, target)


@pytest.mark.parametrize(
    ("change", "sentence"),
    (
        ("UPDATE tags SET name = 'a' || char(0) || 'b'", "a text in tags holds a NUL character"),
        ("UPDATE tags SET name = x'c3'", "kept as bytes"),
        ("UPDATE tags SET created_at = 'soon'", "PostgreSQL refuses a row of tags"),
        ("UPDATE tags SET account_id = 77 WHERE id = 3", "PostgreSQL refuses a row of "),
    ),
)
def test_what_cannot_be_kept_is_said_in_words(
    sqlite_url: str, postgres_url: str, change: str, sentence: str
) -> None:
    fill(path_of(sqlite_url))
    with closing(place(sqlite_url)) as there:
        assert isinstance(there, places.SqlitePlace)
        there.begin()
        there.fetch(change, {})
        there._connection.execute("COMMIT")
    with pytest.raises(Conflict, match=sentence):
        copying.copy(sqlite_url, postgres_url)
    assert copying.first_full(postgres_url) is None


def test_progress_goes_to_the_end(sqlite_url: str, postgres_url: str) -> None:
    fill(path_of(sqlite_url), 5)
    said: list[Progress] = []
    copying.copy(sqlite_url, postgres_url, said.append)
    assert [one.done for one in said] == sorted(one.done for one in said)
    assert (said[-1].done, said[-1].left_s) == (said[-1].total, 0)
    assert {one.table for one in said} == set(contents(sqlite_url))


def test_slices_are_bounded_by_rows_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "ROWS", 3)
    monkeypatch.setattr(copying, "BYTES", 100)
    rows = [(1, "x" * n, None, b"") for n in (1, 1, 1, 1, 99, 200, 5)]
    assert [len(some) for some in copying.slices(iter(rows))] == [3, 2, 1, 1]


KILLED = """
import os, signal, sys
from tidings.store import copying
def said(one):
    if one.done > one.total // 2:
        os.kill(os.getpid(), signal.SIGKILL)
copying.copy(sys.argv[1], sys.argv[2], said)
"""


def test_a_copy_that_is_killed_leaves_nothing_and_can_be_begun_again(
    sqlite_url: str, postgres_url: str
) -> None:
    fill(path_of(sqlite_url), 20)
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, sqlite_url, postgres_url],
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert copying.first_full(postgres_url) is None
    copying.copy(sqlite_url, postgres_url)
    assert contents(postgres_url) == contents(sqlite_url)


def test_every_table_is_told_by_the_schema(sqlite_url: str, postgres_url: str) -> None:
    with closing(place(sqlite_url)) as here, closing(place(postgres_url)) as there:
        ours, theirs = here.tables(), there.tables()
    assert ours.keys() == theirs.keys()
    for name, one in ours.items():
        assert set(one.columns) == set(theirs[name].columns)
        assert one.parents == theirs[name].parents
