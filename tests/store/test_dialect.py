"""One text of SQL for both databases: what is translated, and what is left alone."""

import pytest

from tests.core.cast import rows
from tidings.core.accounts import INSTALLATION
from tidings.store import ids
from tidings.store.db import Database
from tidings.store.dialect import POSTGRES, SQLITE
from tidings.store.tx import Rx, Tx


@pytest.mark.parametrize(
    ("sql", "translated"),
    (
        ("SELECT :a, :b_2", "SELECT %(a)s, %(b_2)s"),
        ("SELECT n::text, :n::bigint, (1)::text", "SELECT n::text, %(n)s::bigint, (1)::text"),
        ("SELECT ':a', :a", "SELECT ':a', %(a)s"),
        ("SELECT 'it''s :a', :a", "SELECT 'it''s :a', %(a)s"),
        ("SELECT '12:30:00', 'a::b' || :a", "SELECT '12:30:00', 'a::b' || %(a)s"),
        ("SELECT 7 % 4, '%', :a", "SELECT 7 %% 4, '%%', %(a)s"),
        ("SELECT a LIKE '%:a%'", "SELECT a LIKE '%%:a%%'"),
        ("(:a,:b)", "(%(a)s,%(b)s)"),
        ("SELECT x {for_update}", "SELECT x FOR UPDATE"),
    ),
)
def test_the_text_for_postgresql(sql: str, translated: str) -> None:
    assert POSTGRES.text(sql) == translated


def test_sqlite_takes_the_text_with_numbered_parameters() -> None:
    assert SQLITE.text("SELECT :a, '%', ':b'{for_update}") == "SELECT ?1, '%', ':b'"


@pytest.mark.parametrize("dialect", (SQLITE, POSTGRES), ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("sql", "writes"),
    (
        ("SELECT 1", False),
        ("  select 1", False),
        ("WITH a AS (SELECT 1) SELECT * FROM a", False),
        ("WITH a AS (SELECT 'x') INSERT INTO b SELECT * FROM a", True),
        ("WITH a AS (SELECT 1) UPDATE b SET n = 1", True),
        ("WITH a AS (SELECT 1) DELETE FROM b", True),
        ("WITH a AS (DELETE FROM b RETURNING n) SELECT * FROM a", True),
        ("INSERT INTO b VALUES (1)", True),
        ("UPDATE b SET n = 1 RETURNING n", True),
        ("DELETE FROM b", True),
        ("SELECT updated_at, deleted_at FROM b {for_update}", False),
    ),
)
def test_what_counts_as_writing(dialect: object, sql: str, writes: bool) -> None:
    assert dialect.statement(sql).writes is writes  # type: ignore[attr-defined]


def test_both_databases_read_a_text_alike(db: Database) -> None:
    row = rows(
        db,
        "SELECT 'it''s :a %', 7 % 4, CAST(:a AS TEXT), CAST(:n AS BIGINT), 'x' LIKE '%', :a || '::' || :a",
        a="%s :b",
        n=2**62,
    )[0]
    assert row[0] == "it's :a %"
    assert row[1] == 3
    assert row[2:4] == ("%s :b", 2**62)
    assert row[4] in (1, True)
    assert row[5] == "%s :b::%s :b"


def test_text_of_every_kind_comes_back_as_it_went(db: Database) -> None:
    for text in ("", "ß Ω 漢 🎉", "a\nb\tc", "'; DROP TABLE tags; --", "\\x00", "e\u0301", "\ufeff"):
        assert rows(db, "SELECT CAST(:text AS TEXT)", text=text) == [(text,)]


def test_ids_go_on_after_given_ones(db: Database) -> None:
    def make(tx: Tx, given: int | None) -> int:
        columns, values = ("id, ", ":id, ") if given else ("", "")
        names = {"id": given} if given else {}
        row = tx.one(
            f"INSERT INTO field_erasures ({columns}account_id, field_id, after_id, created_at)"  # noqa: S608 (columns of ours)
            f" VALUES ({values}0, 1, 0, 0) RETURNING id",
            **names,
        )
        assert row is not None
        return int(row[0])

    first = db.write_now(INSTALLATION, make, None)
    db.write_now(INSTALLATION, make, 6_204_968_295)
    ids.move_past(db, "field_erasures", 6_204_968_295)
    assert db.write_now(INSTALLATION, make, None) == 6_204_968_296
    db.write_now(INSTALLATION, make, first + 10)
    ids.move_past(db, "field_erasures", first + 10)
    # Never backwards: an id that was given out is not given again.
    assert db.write_now(INSTALLATION, make, None) == 6_204_968_297


def test_the_id_of_a_removed_last_row_is_not_given_again(db: Database) -> None:
    def make_and_remove(tx: Tx) -> int:
        row = tx.one(
            "INSERT INTO field_erasures (account_id, field_id, after_id, created_at)"
            " VALUES (0, 1, 0, 0) RETURNING id"
        )
        assert row is not None
        tx.run("DELETE FROM field_erasures WHERE account_id = 0 AND id = :id", id=row[0])
        return int(row[0])

    ids = [db.write_now(INSTALLATION, make_and_remove) for _ in range(3)]
    assert len(set(ids)) == 3


def test_a_question_cannot_write(db: Database) -> None:
    def write(rx: Rx) -> None:
        rx.one("INSERT INTO generations (account_id, n) VALUES (1, 1) RETURNING n")

    with pytest.raises(Exception, match=r"(?i)read.?only"):
        db.read_now(INSTALLATION, write)
    assert rows(db, "SELECT COUNT(*) FROM generations") == [(0,)]
