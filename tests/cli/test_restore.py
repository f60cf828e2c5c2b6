"""restore and resume, as they are typed: into an empty place, and nothing leaves before somebody says so."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.typed import Run, refused
from tests.core.cast import Cast, engage
from tests.core.ledger import draft, send, started
from tests.setup import postgres
from tidings.core import heartbeats
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import course
from tidings.store import migrate
from tidings.store.db import Database, wall_clock

HERE = "sqlite:///data/tidings.db"


@pytest.fixture
def monday(run: Run) -> Cast:
    """A backup made while a broadcast was sent; the database is as it was."""
    Path("data").mkdir()
    with closing(Database(HERE)) as db:
        migrate.migrate(db)
        cast = db.write_now(INSTALLATION, engage)
        send(db, lane="now")
        db.write_now(INSTALLATION, heartbeats.wake, "engine", "here")
        started(db, cast.ada)
        db.write_now(cast.ada.id, course.schedule, draft(db, cast.ada))
    assert run("backup", "monday.db", "--with-key").code == 0
    return cast


@pytest.fixture(params=("sqlite", pytest.param("postgres", marks=pytest.mark.postgres)))
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty place, once of each kind."""
    if request.param == "sqlite":
        yield "sqlite:///other/tidings.db"
        return
    dsn = postgres.fresh_database(postgres.shared_server())
    yield dsn
    postgres.drop_database(dsn)


def test_what_may_be_repeated_is_said_and_held_until_somebody_resumes(
    run: Run, monday: Cast, place: str
) -> None:
    ended = run("restore", "monday.db", "--database", place)
    assert (ended.code, ended.err) == (0, "")
    assert "NO MAIL LEAVES UNTIL YOU SAY SO" in ended.out
    assert "Repeated may be up to 2 mails and 0 webhook posts" in ended.out
    assert "tidings resume" in ended.out
    assert "2 broadcasts are held beside it, each until:   tidings broadcast resume ID" in ended.out
    with closing(Database(place)) as db:
        assert db.read_now(INSTALLATION, heartbeats.held) == "restored from a backup"
        assert db.read_now(INSTALLATION, course.sending) == []
        assert db.read_now(INSTALLATION, course.due) == []
    resumed = run("resume", "--database", place)
    assert "mail and webhooks leave again" in resumed.out
    assert "2 broadcasts are held, each until you say: tidings broadcast resume ID" in resumed.out
    with closing(Database(place)) as db:
        assert db.read_now(INSTALLATION, heartbeats.held) == ""
        assert db.read_now(INSTALLATION, course.sending) == []
    assert run("broadcast", "resume", "1", "--account", "1", "--database", place).code == 0
    with closing(Database(place)) as db:
        assert len(db.read_now(INSTALLATION, course.sending)) == 1
    assert "nothing was held" in run("resume", "--database", place).out


def test_a_restore_in_the_same_folder_counts_as_another_installation(run: Run, monday: Cast) -> None:
    for one in Path("data").glob("tidings.db*"):
        one.unlink()
    ended = run("restore", "monday.db")
    assert "the database was restored to data/tidings.db" in ended.out
    assert "the master key is data/master.key: it must be the one of the backup" in ended.out
    with closing(Database(HERE)) as db:
        db.write_now(monday.ada.id, course.schedule, draft(db, monday.ada))
    # What becomes due between the restore and the first start is held too.
    with closing(Database(HERE, clock=lambda: wall_clock() + 60_000)) as db:
        assert db.write_now(INSTALLATION, heartbeats.wake, "engine", "here") == 1
    assert run("check").code == 0


def test_the_key_beside_the_backup_is_put_where_it_belongs(run: Run, monday: Cast) -> None:
    ended = run("restore", "monday.db", "--database", "sqlite:///other/tidings.db")
    assert "the master key was put at other/master.key" in ended.out
    assert Path("other/master.key").read_bytes() == Path("data/master.key").read_bytes()


def test_a_missing_key_is_said_loudly(run: Run, monday: Cast) -> None:
    Path("monday.db.key").unlink()
    ended = run("restore", "monday.db", "--database", "sqlite:///other/tidings.db")
    assert "THE MASTER KEY IS MISSING: put it at other/master.key" in ended.out
    assert not Path("other/master.key").exists()


def test_where_something_is_nothing_is_restored(run: Run, monday: Cast) -> None:
    refused(run("restore", "monday.db"), "there is a database already: its table accounts has rows")
    refused(run("restore", "none.db", "--database", "sqlite:///x.db"), "there is no file none.db")
    refused(run("restore", "monday.db", "--database", "mysql://x"), "the database must be sqlite:///FILE")
    Path("text.db").write_text("no database " * 500)
    refused(run("restore", "text.db", "--database", "sqlite:///x.db"), "is not an SQLite database")
    assert not Path("x.db").exists()


def test_a_database_in_use_is_not_restored_over(run: Run, monday: Cast) -> None:
    shutil.rmtree("data")
    with closing(Database(HERE)) as db:
        migrate.migrate(db)
        db.read_now(INSTALLATION, heartbeats.last, "engine")
        refused(run("restore", "monday.db"), "a server uses that database; stop it first")
