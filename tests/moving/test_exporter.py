"""The process that writes an export: it writes what the command writes, and ends with its reader."""

import asyncio
import io
import os
import subprocess
import sys
import time

import pytest

from tests.core.cast import Owner
from tests.core.test_importing import bring, one
from tidings.core import importing
from tidings.core.exporting import Wanted
from tidings.moving import exporter, outward
from tidings.moving.exporter import Task, exported
from tidings.store.db import Database


@pytest.fixture(autouse=True)
def pepper(db: Database) -> None:
    db.pepper = b"k" * 32


async def whole(task: Task) -> bytes:
    return b"".join([piece async for piece in exported(task)])


def test_it_writes_what_the_command_writes(db: Database, url: str, ada: Owner) -> None:
    bring(db, ada, *(one(n, f"p{n}@new.example", first_name="Zoë") for n in range(1, 20)))
    text = io.StringIO(newline="")
    outward.as_csv(db, ada.id, Wanted(), text)
    assert asyncio.run(whole(Task(url, ada.id, "csv", Wanted()))).decode() == text.getvalue()
    text = io.StringIO(newline="")
    wanted = Wanted(state="active", tags=frozenset((ada.tag,)))
    outward.as_lines(db, ada.id, wanted, text, whole=False)
    assert asyncio.run(whole(Task(url, ada.id, "jsonl", wanted))).decode() == text.getvalue()


def test_it_ends_when_nobody_reads_on(
    db: Database, url: str, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [one(n, f"p{n}@new.example", first_name="x" * 200) for n in range(1, 2_000)]
    begun = db.write_now(ada.id, importing.begin, "x.csv", "digest", "{}")
    given = importing.Slice(many, [0] * len(many), ((),), 2_000)
    db.write_now(ada.id, importing.take, begun.id, begun.place, given)
    monkeypatch.setattr(exporter, "PIECE", 1_000)

    async def briefly() -> list[int]:
        before = children()
        pieces = exported(Task(url, ada.id, "csv", Wanted()))
        await anext(pieces)
        made = [child for child in children() if child not in before]
        assert len(made) == 1
        await pieces.aclose()  # type: ignore[attr-defined]
        return made

    (child,) = asyncio.run(briefly())
    for _ in range(100):
        if child not in children():
            return
        time.sleep(0.05)
    pytest.fail("the process lives on")


def children() -> list[int]:
    """Return the exporters that this process has started and that live."""
    said = subprocess.run(
        ["ps", "-o", "pid=,stat=,args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split(maxsplit=2) for line in said.stdout.splitlines() if "moving.exporter" in line]
    return [int(pid) for pid, stat, _ in rows if not stat.startswith("Z")]


def test_what_goes_wrong_is_raised(tmp_path: object) -> None:
    task = Task("sqlite:////nowhere/at/all.db", 1, "csv", Wanted())
    with pytest.raises(RuntimeError, match="before its end"):
        asyncio.run(whole(task))


def test_the_database_is_named_in_no_list_of_processes(url: str, ada: Owner) -> None:
    """It may hold a password: it goes through the pipe."""
    seen: list[tuple[str, ...]] = []

    async def listen() -> None:
        made = asyncio.create_subprocess_exec

        async def noted(*command: str, **options: object) -> object:
            seen.append(command)
            return await made(*command, **options)  # type: ignore[arg-type]

        asyncio.create_subprocess_exec = noted  # type: ignore[assignment]
        try:
            await whole(Task(url, ada.id, "csv", Wanted()))
        finally:
            asyncio.create_subprocess_exec = made

    asyncio.run(listen())
    assert seen == [(sys.executable, "-m", "tidings.moving.exporter")]
