"""move, as it is typed: everything is there afterwards, counted; the old one sends nothing more."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.typed import Run, refused
from tests.core.cast import Cast, engage, join
from tests.core.ledger import started
from tests.setup import postgres
from tests.store.filled import contents
from tidings.core import heartbeats
from tidings.core.accounts import INSTALLATION
from tidings.store import migrate
from tidings.store.db import Database

pytestmark = pytest.mark.postgres
HERE = "sqlite:///data/tidings.db"
# They say where and since when, and so differ.
OWN = ("heartbeats", "generations", "broadcasts")


@pytest.fixture
def cast(run: Run) -> Cast:
    Path("data").mkdir()
    with closing(Database(HERE)) as db:
        migrate.migrate(db)
        cast = db.write_now(INSTALLATION, engage)
        started(db, cast.ada)
        return cast


def test_outgrowing_the_file_is_one_command_and_so_is_the_way_back(run: Run, cast: Cast) -> None:
    before = contents(HERE)
    dsn = postgres.fresh_database(postgres.shared_server())
    try:
        ended = run("move", "--to", dsn)
        assert (ended.code, ended.err) == (0, "")
        assert "subscribers" in ended.out
        assert "counted on both sides, and the same" in ended.out
        assert "Now set TIDINGS_DATABASE to the address that you gave" in ended.out
        assert "1 broadcasts that were under way are held: tidings broadcast resume ID" in ended.out
        _same(contents(dsn), before)
        with closing(Database(HERE)) as db:
            assert db.read_now(INSTALLATION, heartbeats.held) == "it was moved to another database"
        with closing(Database(dsn)) as db:
            assert db.read_now(INSTALLATION, heartbeats.held) == ""
            join(db, cast.ada, "form", cast.ada.plain, "new@example.com")
        assert run("check", "--database", dsn).code == 0
        back = run("move", "--database", dsn, "--to", "sqlite:///back/tidings.db")
        assert back.code == 0, back.err
        assert "Now set TIDINGS_DATABASE to sqlite:///back/tidings.db" in back.out
        _same(contents("sqlite:///back/tidings.db"), contents(dsn))
        assert run("check", "--database", "sqlite:///back/tidings.db").code == 0
    finally:
        postgres.drop_database(dsn)


def _same(first: dict[str, list[tuple[object, ...]]], second: dict[str, list[tuple[object, ...]]]) -> None:
    assert {name: rows for name, rows in first.items() if name not in OWN} == {
        name: rows for name, rows in second.items() if name not in OWN
    }


def test_while_somebody_works_on_it_nothing_is_moved(run: Run, cast: Cast) -> None:
    with closing(Database(HERE)) as db:
        db.read_now(INSTALLATION, heartbeats.last, "engine")
        refused(run("move", "--to", "sqlite:///x.db"), "Tidings works on this database; stop")
    assert not Path("x.db").exists()


def test_a_target_with_something_in_it_is_refused_and_nothing_changes(run: Run, cast: Cast) -> None:
    run("account", "create", "--name", "A", "--email", "a@example.com", "--database", "sqlite:///x.db")
    before = contents(HERE)
    refused(run("move", "--to", "sqlite:///x.db"), "there is a database already: its table accounts has rows")
    refused(run("move", "--to", HERE), "--to is where the database is already")
    refused(run("move", "--to", "mysql://x"), "the database must be sqlite:///FILE or postgresql://…")
    refused(run("move", "--to", "postgresql://me:hush@127.0.0.1:1/x"), "the database cannot be reached")
    assert contents(HERE) == before
    refused(
        run("move", "--to", "sqlite:///y.db", "--database", "sqlite:///z.db"), "there is no database z.db"
    )
