"""The loops about people: the index of the search is laid, changes of many are done to their end."""

import asyncio
from collections.abc import Callable

import pytest

from tests.core.cast import Cast, Clock, Owner, join, rows
from tests.core.recount import recount
from tidings.core import bulk, finding, subscribers
from tidings.core.bulk import Change, Chosen
from tidings.core.finding import Query
from tidings.core.search import blocks
from tidings.engine import bulk as bulk_loop
from tidings.engine import indexing
from tidings.engine.bulk import Bulk
from tidings.engine.indexing import Indexing
from tidings.store.db import Database


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "PAUSE_S", 0)
    monkeypatch.setattr(bulk_loop, "PAUSE_S", 0)
    monkeypatch.setattr(blocks, "BLOCK", 5)
    monkeypatch.setattr(bulk, "SLICE", 4)


@pytest.fixture
def people(db: Database, ada: Owner) -> list[int]:
    return [join(db, ada, "form", ada.plain, f"person{n}@example.com")[1].id for n in range(13)]


def run(step: Callable[[], object], most: int = 50) -> int:
    """Step until nothing is left to do; return how many steps did something."""

    async def stepping() -> int:
        done = 0
        while await step():  # type: ignore[misc]
            done += 1
            assert done < most
        return done

    return asyncio.run(stepping())


def ask(db: Database, owner: Owner, chosen: Chosen) -> Change:
    return db.write_now(owner.id, bulk.ask, "tag", chosen, asked_by="ada", expected=0, tag_id=owner.vip)


def test_the_index_is_laid_in_turn_for_each_account_and_then_rests(
    db: Database, cast: Cast, clock: Clock, people: list[int]
) -> None:
    for n in range(7):
        join(db, cast.eve, "form", cast.eve.plain, f"eve{n}@example.com")
    loop = Indexing(db)
    assert run(loop.step) == 4
    laid = rows(db, "SELECT account_id, COUNT(*) FROM search_blocks GROUP BY account_id ORDER BY account_id")
    assert laid == [(cast.ada.id, 3), (cast.eve.id, 1)]
    assert len(db.read_now(cast.ada.id, finding.page, Query(text="person")).people) == 13
    assert run(loop.step) == 0
    clock.move(blocks.SETTLE_MS)
    assert run(loop.step) == 4
    assert rows(db, "SELECT COUNT(*) FROM search_blocks WHERE settled_at IS NULL") == [(0,)]


def test_a_change_of_many_is_done_to_its_end(db: Database, ada: Owner, people: list[int]) -> None:
    change = ask(db, ada, Chosen(text="person"))
    assert run(Bulk(db).step) >= 4
    done = db.read_now(ada.id, bulk.find, change.id)
    assert (done.state, done.matched, done.changed) == ("done", 13, 13)
    recount(db)


def test_a_change_whose_tag_is_gone_is_given_up_with_its_reason(
    db: Database, ada: Owner, people: list[int]
) -> None:
    change = ask(db, ada, Chosen())
    db.write_now(ada.id, lambda tx: tx.run("UPDATE bulk_changes SET tag_id = 999"))
    run(Bulk(db).step)
    failed = db.read_now(ada.id, bulk.find, change.id)
    assert failed.state == "failed"
    assert failed.said


def test_a_fault_of_ours_gives_up_one_change_and_others_go_on(
    db: Database, cast: Cast, ada: Owner, people: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = ask(db, ada, Chosen())
    good = ask(db, cast.eve, Chosen())
    join(db, cast.eve, "form", cast.eve.plain, "eve@example.com")
    act = bulk._act

    def faulty(tx: object, change: Change, who: list[subscribers.Subscriber]) -> int:
        if change.id == bad.id:
            raise RuntimeError("planted")
        return act(tx, change, who)  # type: ignore[arg-type]

    monkeypatch.setattr(bulk, "_act", faulty)
    run(Bulk(db).step)
    assert db.read_now(ada.id, bulk.find, bad.id).state == "failed"
    assert "RuntimeError" in str(db.read_now(ada.id, bulk.find, bad.id).said)
    assert db.read_now(cast.eve.id, bulk.find, good.id).state == "done"
    assert db.read_now(ada.id, bulk.find, bad.id).matched == 0
