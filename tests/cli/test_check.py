"""check, as it is typed: 0 and what was looked at, or 1 and plain sentences."""

import json
from contextlib import closing

from tests.cli.typed import Run, refused
from tests.core.cast import engage
from tests.core.recount import recount
from tidings.core.accounts import INSTALLATION
from tidings.store import migrate
from tidings.store.db import Database


def fill(url: str) -> None:
    with closing(Database(url)) as db:
        migrate.migrate(db)
        db.write_now(INSTALLATION, engage)


def change(url: str, sql: str) -> None:
    with closing(Database(url)) as db:
        db.write_now(INSTALLATION, lambda tx: tx.run(sql))


def test_a_sound_database_ends_with_0_and_says_what_was_looked_at(run: Run, empty_url: str) -> None:
    fill(empty_url)
    ended = run("check", "--database", empty_url)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == "fine   storage, and rows that others refer to"
    assert "fine   numbers of broadcasts" in ended.out
    assert ended.out.splitlines()[-1] == "the database is sound"


def test_a_fault_ends_with_1_and_a_sentence(run: Run, empty_url: str) -> None:
    fill(empty_url)
    change(
        empty_url,
        "UPDATE counters SET n = 9 WHERE kind = 'subscribers' AND state = 'bounced' AND bucket = -1",
    )
    ended = run("check", "--database", empty_url)
    assert ended.code == 1
    assert "WRONG  counts of subscribers" in ended.out
    assert "account 1: the count of subscribers bounced is kept as 9 and is 1" in ended.out
    assert ended.out.splitlines()[-1] == "1 things are wrong"


def test_it_is_said_as_json_too(run: Run, empty_url: str) -> None:
    fill(empty_url)
    said = json.loads(run("check", "--json", "--database", empty_url).out)
    assert said["ok"] is True
    assert {"what": "counts of purchases", "wrong": []} in said["looked_at"]
    change(
        empty_url,
        "UPDATE counters SET n = 9 WHERE kind = 'subscribers' AND state = 'bounced' AND bucket = -1",
    )
    ended = run("check", "--json", "--database", empty_url)
    assert (ended.code, json.loads(ended.out)["ok"]) == (1, False)


def test_wrong_counts_can_be_repaired(run: Run, empty_url: str) -> None:
    fill(empty_url)
    change(empty_url, "UPDATE counters SET n = 9 WHERE kind = 'subscribers' AND state = 'bounced'")
    change(empty_url, "DELETE FROM counters WHERE kind = 'tag' OR kind = 'subscribers.updated'")
    assert run("check", "--database", empty_url).code == 1
    ended = run("check", "--repair-counters", "--database", empty_url)
    assert ended.code == 0
    assert "counts were wrong and are set right" in ended.out
    with closing(Database(empty_url)) as db:
        recount(db)
    assert "0 counts were wrong" in run("check", "--repair-counters", "--database", empty_url).out


def test_without_a_database_it_says_so(run: Run) -> None:
    refused(run("check"), "there is no database data/tidings.db yet")
