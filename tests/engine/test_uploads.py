"""Uploads in the engine: understood, counted, brought in; whatever ends the work, nobody comes in twice."""

import asyncio
import fcntl
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.core.cast import Cast, Clock, Owner, rows
from tests.core.recount import recount
from tidings.core import subscribers, subscriptions, suppressions, uploads
from tidings.core.importing import Import, Tally, Wishes
from tidings.core.uploads import CHUNK_MAX, Column, Refusal, Upload
from tidings.engine import uploads as working
from tidings.engine.uploads import FOLDER, Uploads, clear
from tidings.mail import address
from tidings.moving import uploaded
from tidings.store.db import Database, wall_clock

PEPPER = b"k" * 32
NO_ADDRESS = "an address is one name, one @ and one domain"
CONVERTKIT = (
    b"Email,First Name,Status,Created At,City,Tags\n"
    b'ann@new.example,Ann,active,2024-01-02,Bremen,"customer, vip"\n'
    b"wrong,=X,active,2024-01-02,,\n"
    b"bea@example.com,Bea,active,2024-01-02,Rome,\n"
)


@pytest.fixture(autouse=True)
def pepper(db: Database) -> None:
    db.pepper = PEPPER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "copies"
    made.mkdir()
    return made


@pytest.fixture
def engine(db: Database, folder: Path) -> Uploads:
    return Uploads(db, uploaded, str(folder))


def send(db: Database, owner: Owner, data: bytes, name: str = "people.csv") -> int:
    """Send a file as the door does."""
    made = db.write_now(owner.id, uploads.begin, name)
    for number, at in enumerate(range(0, len(data), CHUNK_MAX)):
        piece = data[at : at + CHUNK_MAX]
        packed = zlib.compress(piece, 1)
        body = packed if len(packed) < len(piece) else piece
        db.write_now(owner.id, uploads.keep, made, number, len(piece), body)
    db.write_now(owner.id, uploads.arrive, made)
    return made


def run(engine: Uploads) -> None:
    """Do all that waits."""

    async def all_of_it() -> None:
        while await engine.look() or await engine.bring():
            pass

    asyncio.run(all_of_it())


def find(db: Database, owner: Owner, upload_id: int) -> Upload:
    return db.read_now(owner.id, uploads.find, upload_id)


def start(db: Database, owner: Owner, upload_id: int) -> None:
    db.write_now(owner.id, uploads.start, upload_id, consent="They agreed.", by="ada")


def brought(db: Database, engine: Uploads, owner: Owner, data: bytes, wishes: Wishes) -> Upload:
    """Have a file brought in with these wishes."""
    made = send(db, owner, data)
    run(engine)
    db.write_now(owner.id, uploads.ask, made, wishes)
    run(engine)
    start(db, owner, made)
    run(engine)
    return find(db, owner, made)


def many(n: int) -> bytes:
    """Return a file of so many people, every 1,000th refused."""
    return b"email,tags\n" + b"".join(
        b"p%d,\n" % at if at % 1_000 == 0 else b"p%d@example.com,customer\n" % at for at in range(n)
    )


def tally(db: Database) -> list[tuple[object, ...]]:
    return rows(db, "SELECT state, made, rejected, place + within FROM imports")


@pytest.mark.parametrize("pack", (bytes, gzip.compress), ids=("plain", "packed"))
def test_a_file_is_understood_counted_and_brought_in(
    db: Database, ada: Owner, engine: Uploads, folder: Path, pack: Callable[[bytes], bytes]
) -> None:
    made = send(db, ada, pack(CONVERTKIT))
    run(engine)
    one = find(db, ada, made)
    assert one.state == "read"
    assert one.seen is not None
    assert (one.seen.format, one.seen.encoding, one.seen.separator) == ("ConvertKit", "utf-8", ",")
    assert one.seen.columns[:3] == [
        Column("Email", "email"), Column("First Name", "first_name"), Column("Status", "state"),
    ]  # fmt: skip
    assert one.seen.columns[4:] == [Column("City", "field:City"), Column("Tags", "tags")]
    first, second, _ = one.seen.samples
    assert (first.email, first.first_name, first.state) == ("ann@new.example", "Ann", "active")
    assert (first.things, first.fields) == (["customer", "vip"], {"City": "Bremen"})
    assert second.refused == NO_ADDRESS

    db.write_now(ada.id, uploads.ask, made, Wishes(also=(("tag", "moved"), ("form", "nowhere"))))
    run(engine)
    one = find(db, ada, made)
    assert one.state == "counted"
    assert one.counted is not None
    assert one.counted.tally == Tally(made=1, changed=1, rejected=1)
    assert one.counted.reasons == [(NO_ADDRESS, 1)]
    assert one.counted.unknown == [("form", "nowhere")]
    assert one.counted.tags == ["moved"]
    assert rows(db, "SELECT COUNT(*) FROM imports") == [(0,)]

    start(db, ada, made)
    run(engine)
    one = find(db, ada, made)
    assert (one.state, one.refused) == ("done", 1)
    assert tally(db) == [("done", 1, 1, 3)]
    assert db.read_now(ada.id, uploads.refusals, made, 0)[0] == [
        Refusal(2, 3, NO_ADDRESS, ["wrong", "'=X", "active", "2024-01-02", "", ""])
    ]
    ann = db.read_now(ada.id, subscribers.find, "ann@new.example")
    assert ann is not None
    assert len(db.read_now(ada.id, subscriptions.tag_ids, ann.id)) == 3
    # The file is gone, here and there.
    assert one.dropped_at is not None
    assert rows(db, "SELECT COUNT(*) FROM upload_chunks") == [(0,)]
    assert list(folder.iterdir()) == []
    recount(db)


def test_columns_are_mapped_by_number_and_fields_made_when_asked(
    db: Database, ada: Owner, engine: Uploads
) -> None:
    data = b"who,x,x,tags\nann@new.example,Ann,Blue,not a tag\n"
    made = send(db, ada, data)
    run(engine)
    one = find(db, ada, made)
    assert one.seen is not None
    assert one.seen.wrong == "Say which column holds the email address."
    assert one.seen.samples[0].cells == ["ann@new.example", "Ann", "Blue", "not a tag"]
    mapped = {"#1": "email", "#2": "first_name", "#3": "field:Colour", "#4": "field:tags"}
    db.write_now(ada.id, uploads.ask, made, Wishes(mapped=mapped, create_fields=True))
    run(engine)
    one = find(db, ada, made)
    assert one.counted is not None
    assert one.counted.fields == ["Colour", "tags"]
    assert one.seen is not None
    assert [column.meaning for column in one.seen.columns] == list(mapped.values())
    assert one.seen.samples[0].fields == {"Colour": "Blue", "tags": "not a tag"}
    start(db, ada, made)
    run(engine)
    ann = db.read_now(ada.id, subscribers.find, "ann@new.example")
    assert ann is not None
    assert (ann.first_name, ann.fields["colour"], ann.fields["tags"]) == ("Ann", "Blue", "not a tag")


def test_a_mapping_without_an_address_goes_back_to_its_owner(
    db: Database, ada: Owner, engine: Uploads
) -> None:
    made = send(db, ada, CONVERTKIT)
    run(engine)
    db.write_now(ada.id, uploads.ask, made, Wishes(mapped={"#1": "-"}))
    run(engine)
    one = find(db, ada, made)
    assert one.state == "read"
    assert one.seen is not None
    assert one.seen.wrong


def test_missing_fields_are_left_out_unless_they_are_wished(
    db: Database, ada: Owner, engine: Uploads
) -> None:
    made = send(db, ada, b"email,Colour\nann@new.example,Blue\n")
    run(engine)
    db.write_now(ada.id, uploads.ask, made, Wishes())
    run(engine)
    one = find(db, ada, made)
    assert one.counted is not None
    assert (one.counted.fields, one.counted.left_out) == ([], ["Colour"])


def test_the_suppressed_are_counted_and_named_as_refused(db: Database, ada: Owner, engine: Uploads) -> None:
    mailbox = address.parse("gone@example.com").mailbox
    db.write_now(ada.id, suppressions.add, mailbox, "erased by a test")
    one = brought(db, engine, ada, b"email\ngone@example.com\nann@new.example\n", Wishes())
    assert tally(db) == [("done", 1, 1, 2)]
    ((refusal,), _) = db.read_now(ada.id, uploads.refusals, one.id, 0)
    assert (refusal.record, refusal.cells) == (1, ["gone@example.com"])
    assert "suppressed" in refusal.reason


def bomb() -> bytes:
    """Return 100 MB of one sign, packed into 100 KB."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(b"email\n"), *(packer.compress(b"a" * 1_000_000) for _ in range(100))]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize(
    ("data", "sentence"),
    (
        (b"email\na\0b\n", "Line 2 holds a NUL"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"email" + b"," * 100_000, "100,001 columns"),
        (b"email" + b"," * 250 + b"\n", "251 columns; a page takes 250"),
        (b"email\n" + b"x" * 2_000_000, "longer than 1 MiB"),
        (b'email\n"' + b"x\n" * 200_000, "quotation mark missing"),
        (gzip.compress(CONVERTKIT, mtime=0)[:-9], "damaged"),
        (gzip.compress(b"email\n", mtime=0)[:10], "damaged"),
        (bomb(), "more than 300 times its size"),
        (b"\xff\xfeemail".ljust(4_001, b"\0"), "utf-16"),
        (random.Random(7).randbytes(100_000), "NUL"),
    ),
    ids=lambda one: one[:20] if isinstance(one, str) else "",
)
def test_a_hostile_file_ends_in_a_sentence(
    db: Database, ada: Owner, engine: Uploads, data: bytes, sentence: str
) -> None:
    made = send(db, ada, data)
    run(engine)
    one = find(db, ada, made)
    assert one.state == "failed"
    assert one.said is not None
    assert sentence in one.said
    assert one.dropped_at is not None


def test_a_file_that_unpacks_too_far_ends_in_a_sentence(
    db: Database, ada: Owner, engine: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploaded, "UNPACKED_MAX", 2_000_000)
    made = send(db, ada, gzip.compress(many(100_000)))
    run(engine)
    assert find(db, ada, made).said == "The file unpacks to more than 2 MB."


def test_a_file_that_ends_being_a_table_fails_with_what_came_before_in(
    db: Database, ada: Owner, engine: Uploads
) -> None:
    data = many(5_000) + b'x@example.com,"' + b"y\n" * 3_000_000
    made = send(db, ada, data)
    run(engine)
    db.write_now(ada.id, uploads.ask, made, Wishes())
    run(engine)
    one = find(db, ada, made)
    assert one.state == "failed"
    assert one.said is not None
    assert "quotation mark missing" in one.said


def test_given_up_while_it_runs_nothing_more_comes_in(db: Database, ada: Owner, folder: Path) -> None:
    class GivenUp:
        """Moving, but that its owner gives up after the first slice."""

        look = staticmethod(uploaded.look)
        count = staticmethod(uploaded.count)

        @staticmethod
        def bring(
            mine: Database, account_id: int, path: str, wishes: Wishes, begin: Callable[[str], Import],
            shown: Callable[[int, int], None], keep: Callable[[Sequence[Refusal]], None],
        ) -> None:  # fmt: skip
            def stopped(done: int, size: int) -> None:
                shown(done, size)
                mine.write_now(account_id, uploads.cancel, made)

            uploaded.bring(mine, account_id, path, wishes, begin, stopped, keep)

    engine = Uploads(db, GivenUp(), str(folder))
    made = send(db, ada, many(20_000))
    run(engine)
    db.write_now(ada.id, uploads.ask, made, Wishes())
    run(engine)
    start(db, ada, made)
    run(engine)
    assert find(db, ada, made).state == "cancelled"
    ((state, came, _, place),) = tally(db)
    assert state == "done"
    assert 0 < int(str(place)) < 20_000
    assert rows(db, "SELECT COUNT(*) FROM subscribers WHERE email LIKE 'p%'") == [(came,)]
    recount(db)


def test_stopped_by_our_own_end_it_goes_on_where_it_was(db: Database, ada: Owner, folder: Path) -> None:
    made = send(db, ada, many(20_000))
    run(Uploads(db, uploaded, str(folder)))
    db.write_now(ada.id, uploads.ask, made, Wishes())
    run(Uploads(db, uploaded, str(folder)))
    start(db, ada, made)
    asked = 0

    def ending() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    asyncio.run(Uploads(db, uploaded, str(folder), stopping=ending).bring())
    ((state, _, _, place),) = tally(db)
    assert state == "running"
    assert 0 < int(str(place)) < 20_000
    assert find(db, ada, made).worker is None
    run(Uploads(db, uploaded, str(folder)))
    assert tally(db) == [("done", 19_980, 20, 20_000)]
    assert find(db, ada, made).refused == 20
    recount(db)


def test_a_large_import_lets_others_in(
    db: Database, cast: Cast, engine: Uploads, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "TURN_S", 0.0)
    monkeypatch.setattr(working, "NOTE_S", 0.0)
    made = []
    for owner in (cast.ada, cast.eve):
        made.append(send(db, owner, many(10_000)))
        run(engine)
        db.write_now(owner.id, uploads.ask, made[-1], Wishes())
        run(engine)
    for owner, one in zip((cast.ada, cast.eve), made, strict=True):
        start(db, owner, one)
        clock.move(1)
    order: list[int] = []

    async def by_turns() -> None:
        while await engine.bring():
            clock.move(1)
            order.append(sum(int(str(place)) for (place,) in rows(db, "SELECT place + within FROM imports")))

    asyncio.run(by_turns())
    assert [find(db, owner, one).state for owner, one in zip((cast.ada, cast.eve), made, strict=True)] == [
        "done", "done",
    ]  # fmt: skip
    # One slice each in turn, but that the last may go on alone.
    assert len(order) >= 6
    assert order == sorted(order)
    assert tally(db) == [("done", 9_990, 10, 10_000)] * 2


def test_what_is_wrong_on_our_side_ends_in_a_sentence_after_some_tries(
    db: Database, ada: Owner, folder: Path
) -> None:
    class Broken:
        count = staticmethod(uploaded.count)
        bring = staticmethod(uploaded.bring)

        @staticmethod
        def look(*_: object) -> None:
            raise RuntimeError("a bug")

    engine = Uploads(db, Broken(), str(folder))  # type: ignore[arg-type]
    made = send(db, ada, CONVERTKIT)
    failed = 0
    while find(db, ada, made).state == "arrived":
        try:
            asyncio.run(engine.look())
        except RuntimeError:
            failed += 1
        assert failed < 20
    assert find(db, ada, made).state == "failed"
    assert failed == 10


def test_what_a_killed_process_left_is_cleared_and_what_is_worked_on_stays(folder: Path) -> None:
    left, used, young = (folder / f"{FOLDER}{name}" for name in ("left", "used", "young"))
    for one in (left, used, young):
        one.mkdir()
        (one / "people.csv").write_text("email\n")
        if one is not young:
            os.utime(one, (time.time() - 120,) * 2)
    (folder / "tidings.db").touch()
    with open(used / "people.csv") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        clear(str(folder))
        assert sorted(one.name for one in folder.iterdir()) == [used.name, young.name, "tidings.db"]


DRIVER = """
import asyncio, sys
from tidings import failpoints
from tidings.engine.uploads import Uploads
from tidings.moving import uploaded
from tidings.store.db import Database
db = Database(sys.argv[1], pepper=b"k" * 32)
failpoints.arm(sys.argv[3])
engine = Uploads(db, uploaded, sys.argv[2])
while asyncio.run(engine.bring()):
    pass
"""


def test_an_import_that_was_killed_goes_on_and_doubles_nobody(
    db: Database, url: str, ada: Owner, folder: Path
) -> None:
    made = send(db, ada, many(20_000))
    run(Uploads(db, uploaded, str(folder)))
    db.write_now(ada.id, uploads.ask, made, Wishes())
    run(Uploads(db, uploaded, str(folder)))
    start(db, ada, made)
    later = wall_clock
    for n in (3, 2, 2):
        command = [sys.executable, "-c", DRIVER, url, str(folder), f"import-committed:{n}"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        # Its lease has to lapse before another takes it.
        db.write_now(ada.id, lambda tx: tx.run("UPDATE uploads SET leased_until_at = 0"))
    ((place,),) = rows(db, "SELECT place + within FROM imports")
    assert 0 < int(str(place)) < 20_000
    with closing(Database(url, clock=later, pepper=PEPPER)) as again:
        run(Uploads(again, uploaded, str(folder)))
    assert tally(db) == [("done", 19_980, 20, 20_000)]
    assert rows(db, "SELECT COUNT(*) FROM imports") == [(1,)]
    refused, _ = db.read_now(ada.id, uploads.refusals, made, 0)
    assert [one.record for one in refused] == [n + 1 for n in range(0, 20_000, 1_000)]
    recount(db)


def test_what_is_shown_of_a_file_can_be_kept_as_json(db: Database, ada: Owner, engine: Uploads) -> None:
    made = send(db, ada, b"email,Tag \\u0000\nann@new.example,\\ud800\n")
    run(engine)
    assert find(db, ada, made).seen is not None
    ((seen,),) = rows(db, "SELECT seen FROM uploads")
    assert json.loads(str(seen))["columns"][1]["name"] == "Tag \\u0000"
