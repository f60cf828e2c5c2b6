"""Moving in, living, moving out: what issue 5 ends with, at a CI figure, on both databases in one flow.

People are imported beside a serving process while a client signs up others; exported, imported into a
second, empty installation, and the two agree person by person; the first is killed, restored from its last
backup, and `tidings check` is clean.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.proof.moving_house import House, different, made_up
from tests.setup import postgres
from tidings.store.db import Database

PEOPLE = 1_000_000 if os.environ.get("TIDINGS_PROOF") == "release" else 5_000


@pytest.fixture
def second(tmp_path: Path) -> Iterator[House]:
    dsn = postgres.fresh_database(postgres.shared_server())
    yield House(tmp_path / "second", dsn)
    postgres.drop_database(dsn)


@pytest.fixture
def first(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "first", f"sqlite:///{tmp_path}/first/tidings.db")
    yield house
    house.kill()


def change(url: str, sql: str) -> None:
    with closing(Database(url)) as db:
        assert db.write_now(0, lambda tx: tx.run(sql)), sql


def test_who_moves_in_and_out_is_the_same_and_a_backup_brings_everybody_back(
    first: House, second: House, tmp_path: Path
) -> None:
    # Settled, and a form that asks nobody to confirm.
    first.settle_in()
    (first.folder / "forms.toml").write_text('[[forms]]\nname = "Beside"\nconfirm = false\n')
    first.typed("apply", "forms.toml")
    first.serve()
    first.form = first.forms()["Beside"]

    # Moved in beside a server and a client.
    (first.folder / "people.csv").write_text(made_up(PEOPLE))
    stop = threading.Event()
    client = threading.Thread(target=first.sign_up, args=(stop, "a"))
    client.start()
    first.typed("import", "people.csv", "--form", "Door", "--create-fields", "--create-things")
    stop.set()
    client.join()
    assert first.failures == []
    assert first.acknowledged
    here = first.people()
    assert set(here) == {*(f"p{n}@moved.example" for n in range(PEOPLE)), *first.acknowledged}
    assert here["p0@moved.example"]["forms"] == ["Door"]
    assert here["p0@moved.example"]["fields"] == {"city": "City 0", "last_name": "=Snow"}
    assert "wrong" not in first.typed("check")

    # Moved out, and into an empty installation on PostgreSQL.
    first.typed("export", "../out.csv")
    second.settle_in()
    second.typed("import", "../out.csv", "--create-fields", "--create-things")
    assert different(here, second.people()) == []
    second.typed("check")

    # Killed while the client signs up more, and brought back.
    first.typed("backup", "../kept.db")
    stop.clear()
    before = len(first.acknowledged)
    client = threading.Thread(target=first.sign_up, args=(stop, "b"))
    client.start()
    while len(first.acknowledged) < before + 20 and client.is_alive():
        stop.wait(0.02)
    stop.set()
    first.kill()
    client.join()
    restored = House(tmp_path / "restored", f"sqlite:///{tmp_path}/restored/tidings.db")
    restored.folder.mkdir()
    restored.typed("restore", "../kept.db")
    restored.typed("check")
    assert different(here, restored.people()) == []
    print(
        f"{PEOPLE} people, {len(first.acknowledged)} signed up beside them,"
        f" the longest wait {max(first.waits) * 1_000:.0f} ms"
    )

    # What this rig is for: each of these is seen.
    change(second.url, "DELETE FROM subscriptions WHERE id = (SELECT MAX(id) FROM subscriptions)")
    assert len(different(here, second.people())) == 1
    change(restored.url, "UPDATE subscribers SET state = 'active' WHERE email_key = 'p7@moved.example'")
    assert len(different(here, restored.people())) == 1
    assert "subscriber" in restored.typed("check", code=1)
