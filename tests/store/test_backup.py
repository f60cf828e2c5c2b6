"""Backups: whole, of one moment, private, beside writers who never wait; restored where nothing is."""

import fcntl
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.core.cast import Clock, engage
from tests.setup import postgres
from tests.store.filled import contents, fill
from tidings.core import accounts
from tidings.errors import Conflict, Problem, Unavailable
from tidings.store import backup, migrate, snapshot
from tidings.store.db import Database
from tidings.store.migrate import Migration, Newer


@pytest.fixture
def filled(url: str, clock: Clock) -> str:
    """A database with the cast in it, that nobody has open."""
    with closing(Database(url, clock=clock)) as db:
        db.write_now(accounts.INSTALLATION, engage)
    return url


@pytest.fixture(params=("sqlite", pytest.param("postgres", marks=pytest.mark.postgres)))
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place where nothing is, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/other/elsewhere.db"
        return
    dsn = postgres.fresh_database(postgres.shared_server())
    yield dsn
    postgres.drop_database(dsn)


def restored(file: Path, url: str) -> None:
    if url.startswith("sqlite:"):
        Path(backup.path_of(url)).parent.mkdir(exist_ok=True)
    answer, _ = backup.restore(str(file), url, lambda db: "prepared")
    assert answer == "prepared"


def test_a_backup_of_either_is_restored_into_either(filled: str, elsewhere: str, tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    size = backup.back_up(filled, str(file))
    assert size == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    restored(file, elsewhere)
    assert contents(elsewhere) == contents(filled)
    with closing(Database(elsewhere)) as db:
        migrate.check(db)
        assert len(db.read_now(0, accounts.all_accounts)) == 2
    # One file, and nothing beside it.
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("kept")] == ["kept.db"]


def test_a_backup_is_of_one_moment_and_writers_never_wait_for_it(filled: str, tmp_path: Path) -> None:
    with closing(Database(filled)) as db:
        db.write_now(
            0,
            lambda tx: tx.run(
                "INSERT INTO outbox (account_id, delivery_id, recipient, subject, raw, created_at)"
                " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)"
                " SELECT 1, i, 'a', :much, '', 0 FROM n",
                much="x" * 5_000,
            ),
        )
        stop = threading.Event()
        written: list[float] = []

        def write() -> None:
            while not stop.is_set():
                # Two tables in one transaction: a backup has both or neither.
                db.write_now(0, both, len(written) + 1)
                written.append(time.monotonic())
                stop.wait(0.001)

        def both(tx: object, n: int) -> None:
            for table in ("generations", "hits"):
                tx.run(_BOTH[table], n=n)  # type: ignore[attr-defined]

        def let_them_write(_: object) -> None:
            # Midway in the backup: it goes on only when somebody has written.
            before = len(written)
            for _ in range(2_000):
                if len(written) > before:
                    return
                time.sleep(0.005)
            pytest.fail("a writer waited for the backup")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            backup.back_up(filled, str(tmp_path / "kept.db"), let_them_write)
        finally:
            stop.set()
            writer.join()
    kept = contents(f"sqlite:///{tmp_path}/kept.db")
    numbers = sorted(row[1] for row in kept["generations"] if row[0] >= 1_000)
    assert sorted(row[kept_at("hits", "at")] for row in kept["hits"]) == numbers
    assert len(numbers) < len(written)


_BOTH = {
    "generations": "INSERT INTO generations (account_id, n) VALUES (1000 + :n, :n)",
    "hits": "INSERT INTO hits (account_id, delivery_id, subscriber_id, at, agent, address)"
    " VALUES (1, 1, 1, :n, '', '')",
}


def kept_at(table: str, column: str) -> int:
    """Where `contents` has a column: they are in the order of their names."""
    columns = {"hits": "account_id address agent at delivery_id id link_id machine subscriber_id"}
    return columns[table].split().index(column)


def test_a_file_that_is_there_is_not_written_over_unless_told(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    file.write_text("precious")
    with pytest.raises(Conflict, match=r"kept\.db is there already$"):
        backup.back_up(filled, str(file))
    assert file.read_text() == "precious"
    with pytest.raises(Conflict, match="is a folder"):
        backup.back_up(filled, str(tmp_path), replace=True)
    backup.back_up(filled, str(file), replace=True)
    restored(file, f"sqlite:///{tmp_path}/again.db")


def test_a_backup_that_fails_leaves_nothing(filled: str, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()

    def fail(_: object) -> None:
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        backup.back_up(filled, str(folder / "kept.db"), fail)
    assert list(folder.iterdir()) == []


def test_two_backups_to_one_file_at_once_are_refused(filled: str, tmp_path: Path) -> None:
    refused: list[str] = []

    def again(_: object) -> None:
        try:
            backup.back_up(filled, str(tmp_path / "kept.db"))
        except Conflict as problem:
            refused.append(str(problem))

    backup.back_up(filled, str(tmp_path / "kept.db"), again)
    assert refused
    assert set(refused) == {f"another process writes {tmp_path}/kept.db.part now"}


def test_who_comes_as_another_finishes_does_not_touch_their_file(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, part = tmp_path / "kept.db", tmp_path / "kept.db.part"
    lock = fcntl.flock

    def late(held: int, how: int) -> None:
        # Between our opening of the half file and our lock the other renames it.
        monkeypatch.undo()
        part.write_bytes(b"precious")
        part.rename(file)
        lock(held, how)

    monkeypatch.setattr(snapshot.fcntl, "flock", late)
    with pytest.raises(Conflict, match="another process has just written"):
        backup.back_up(sqlite_url, str(file))
    assert file.read_bytes() == b"precious"


def test_what_a_kill_left_half_is_begun_anew(filled: str, tmp_path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f"kept.db.part{ending}").write_bytes(b"half" * 1_000)
    backup.back_up(filled, str(tmp_path / "kept.db"))
    assert sorted(one.name for one in tmp_path.glob("kept*")) == ["kept.db"]
    restored(tmp_path / "kept.db", f"sqlite:///{tmp_path}/again.db")


def test_a_full_disk_is_said_before_anything_is_written(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not filled.startswith("sqlite:"):
        return
    monkeypatch.setattr(snapshot.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1_000_000))
    with pytest.raises(Unavailable, match=r"needs \d+ MB and the disk of .* has 1 MB free; nothing was "):
        backup.back_up(filled, str(tmp_path / "kept.db"))


# -- where it may be restored to ----------------------------------------------------------


def test_where_something_is_nothing_is_restored(filled: str, url: str, tmp_path: Path) -> None:
    backup.back_up(filled, str(tmp_path / "kept.db"))
    before = contents(filled)
    with pytest.raises(Conflict, match="there is a database already: its table accounts has rows"):
        restored(tmp_path / "kept.db", filled)
    assert contents(filled) == before


def test_a_database_that_somebody_uses_is_not_restored_over(filled: str, url: str, tmp_path: Path) -> None:
    backup.back_up(filled, str(tmp_path / "kept.db"))
    with closing(Database(url)) as db:
        db.read_now(0, accounts.all_accounts)
        with pytest.raises(Conflict, match="a server uses that database"):
            restored(tmp_path / "kept.db", url)


def test_an_empty_but_migrated_database_is_a_place(elsewhere: str, sqlite_url: str, tmp_path: Path) -> None:
    fill(backup.path_of(sqlite_url))
    backup.back_up(sqlite_url, str(tmp_path / "kept.db"))
    if elsewhere.startswith("sqlite:"):
        Path(backup.path_of(elsewhere)).parent.mkdir()
    backup.migrated(elsewhere)
    restored(tmp_path / "kept.db", elsewhere)
    assert contents(elsewhere) == contents(sqlite_url)


def test_the_log_of_a_lost_database_is_not_played_into_the_restored_one(
    sqlite_url: str, tmp_path: Path
) -> None:
    backup.back_up(sqlite_url, str(tmp_path / "kept.db"))
    (tmp_path / "lost.db-wal").write_bytes(b"what was not yet in the file")
    with pytest.raises(Conflict, match=r"lost\.db-wal belongs to a database that was there"):
        restored(tmp_path / "kept.db", f"sqlite:///{tmp_path}/lost.db")


def test_what_is_no_backup_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 500)
    with closing(apsw.Connection(str(tmp_path / "other.db"))) as other:
        other.execute("CREATE TABLE t (x)")
    target = tmp_path / "place"
    target.mkdir()
    for name, kind in (("text.db", apsw.NotADBError), ("other.db", Conflict), ("none.db", Conflict)):
        with pytest.raises(kind):
            restored(tmp_path / name, f"sqlite:///{target}/tidings.db")
    assert list(target.iterdir()) == []


def test_a_damaged_backup_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    fill(backup.path_of(sqlite_url), 200)
    file = tmp_path / "kept.db"
    backup.back_up(sqlite_url, str(file))
    raw = bytearray(file.read_bytes())
    for at in range(4_096 * 4, len(raw) - 4_096, 4_096 * 3):
        raw[at : at + 600] = os.urandom(600)
    file.write_bytes(raw)
    with pytest.raises((Problem, apsw.CorruptError)):
        restored(file, f"sqlite:///{tmp_path}/again.db")
    assert not (tmp_path / "again.db").exists()


def test_an_older_backup_is_brought_up_and_a_newer_one_refused(
    sqlite_url: str, elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.back_up(sqlite_url, str(tmp_path / "old.db"))
    known = migrate.known()
    more = Migration(known[-1].number + 1, "more", "CREATE TABLE more (account_id BIGINT PRIMARY KEY)")
    monkeypatch.setattr(migrate, "known", lambda: [*known, more])
    restored(tmp_path / "old.db", elsewhere)
    assert "more" in contents(elsewhere)
    backup.back_up(elsewhere, str(tmp_path / "new.db"))
    monkeypatch.undo()
    with pytest.raises(Newer):
        restored(tmp_path / "new.db", f"sqlite:///{tmp_path}/again.db")
    assert sorted(one.name for one in tmp_path.glob("*before*")) == []


# -- before a migration -------------------------------------------------------------------


def test_the_file_is_copied_before_a_migration_that_changes_it(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(backup.path_of(sqlite_url))
    before = contents(sqlite_url)
    known = migrate.known()
    number = known[-1].number + 1
    more = [Migration(number, "more", "DELETE FROM tags"), Migration(number + 1, "again", "DELETE FROM hits")]
    monkeypatch.setattr(migrate, "known", lambda: [*known, *more])
    said: list[str] = []
    with closing(Database(sqlite_url)) as db:
        # What refers to it stays: this is about the copy.
        session = db.session(writer=True)
        session._cursor.execute("PRAGMA foreign_keys = OFF")
        monkeypatch.setattr(db, "session", lambda *, writer: session)
        assert migrate.migrate(db, said.append) == 2
    kept = tmp_path / f"tidings.db.before-{number:04d}"
    assert said[-1] == f"the database as it was before is {kept}"
    assert contents(f"sqlite:///{kept}") == before
    assert contents(sqlite_url)["tags"] == []
    assert [one.name for one in tmp_path.glob("*before*")] == [kept.name]


def test_without_room_for_the_copy_nothing_is_migrated(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrate.known()
    more = Migration(known[-1].number + 1, "more", "CREATE TABLE more (n BIGINT)")
    monkeypatch.setattr(migrate, "known", lambda: [*known, more])
    monkeypatch.setattr(snapshot.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1_000_000))
    with closing(Database(sqlite_url)) as db:
        with pytest.raises(Unavailable, match="the copy needs"):
            migrate.migrate(db)
        with closing(db.session(writer=False)) as session:
            assert not session.has_table("more")


def test_an_empty_file_is_migrated_without_a_copy(tmp_path: Path) -> None:
    backup.migrated(f"sqlite:///{tmp_path}/new.db")
    assert list(tmp_path.glob("*before*")) == []


# -- while it is moved --------------------------------------------------------------------


def test_who_has_it_open_is_seen(url: str) -> None:
    assert not backup.in_use(url)
    with closing(Database(url)) as db:
        db.read_now(0, accounts.all_accounts)
        assert backup.in_use(url)
    assert not backup.in_use(url)


def test_nobody_writes_while_it_is_read_only(filled: str) -> None:
    done = threading.Event()

    def write() -> None:
        with closing(Database(filled)) as db:
            db.write_now(0, lambda tx: tx.run("DELETE FROM sessions"))
        done.set()

    writer = threading.Thread(target=write)
    with backup.read_only(filled):
        writer.start()
        assert contents(filled)["accounts"]
        assert not done.wait(0.4)
    writer.join(30)
    assert done.is_set()


def test_faults_of_the_storage_are_told(filled: str) -> None:
    assert backup.faults(filled) == []
    if not filled.startswith("sqlite:"):
        return
    with closing(apsw.Connection(backup.path_of(filled))) as shell:
        shell.execute("DELETE FROM subscribers")
    found = backup.faults(filled)
    assert any("deliveries refers to one of subscribers that is not there" in one for one in found)
