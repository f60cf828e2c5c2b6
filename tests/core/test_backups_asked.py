"""Backups that somebody asked for: one at a time, noted as it goes, and its end in words."""

import pytest

from tests.core.cast import Clock
from tidings.core import backups
from tidings.core.accounts import INSTALLATION
from tidings.errors import NotFound
from tidings.store.db import Database


def test_one_is_on_its_way_and_a_second_asking_means_the_same(db: Database) -> None:
    one = db.write_now(INSTALLATION, backups.ask, "ada@example.com")
    assert db.write_now(INSTALLATION, backups.ask, "eve@example.com") == one
    assert db.read_now(INSTALLATION, backups.waiting) == one
    db.write_now(INSTALLATION, backups.note, one.id, 5, 10)
    found = db.read_now(INSTALLATION, backups.find, one.id)
    assert (found.state, found.done, found.total) == ("asked", 5, 10)
    db.write_now(INSTALLATION, backups.made, one.id, "tidings-20261123T190000Z.db", 4_096)
    assert db.read_now(INSTALLATION, backups.waiting) is None
    another = db.write_now(INSTALLATION, backups.ask, "ada@example.com")
    db.write_now(INSTALLATION, backups.failed, another.id, "the disk is full")
    assert [(one.state, one.name, one.said) for one in db.read_now(INSTALLATION, backups.latest)] == [
        ("failed", None, "the disk is full"),
        ("done", "tidings-20261123T190000Z.db", None),
    ]


def test_what_no_engine_took_for_an_hour_is_asked_no_more(db: Database, clock: Clock) -> None:
    one = db.write_now(INSTALLATION, backups.ask, "ada")
    clock.move(backups.ASKED_MS)
    assert db.read_now(INSTALLATION, backups.waiting) is None
    assert db.write_now(INSTALLATION, backups.ask, "ada").id != one.id


def test_old_ones_are_forgotten(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "KEPT", 3)
    made = []
    for _ in range(5):
        one = db.write_now(INSTALLATION, backups.ask, "ada")
        db.write_now(INSTALLATION, backups.made, one.id, "x", 1)
        made.append(one.id)
    assert [one.id for one in db.read_now(INSTALLATION, backups.latest)] == made[:1:-1]
    with pytest.raises(NotFound):
        db.read_now(INSTALLATION, backups.find, made[0])
