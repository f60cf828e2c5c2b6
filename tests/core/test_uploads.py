"""Uploads: a file arrives in pieces, is counted and imported under a lease, and leaves when it is over."""

from collections.abc import Callable

import pytest

from tests.core.cast import Cast, Clock, Owner, rows
from tidings.core import importing, uploads
from tidings.core.accounts import INSTALLATION
from tidings.core.importing import Place, Tally, Wishes
from tidings.core.uploads import BYTES_MAX, CHUNK_MAX, OPEN_MAX, Counted, Refusal, Seen, Upload, work
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.db import Database

SEEN = Seen("ConvertKit", "utf-8", ",", [], [])
COUNTED = Counted(Tally(made=2), [("no address", 1)], [], [], [], [], [])
CONSENT = "They agreed to get my mail."


def sent(db: Database, owner: Owner, *pieces: bytes, name: str = "people.csv") -> int:
    """Send a file, whole."""
    made = db.write_now(owner.id, uploads.begin, name)
    for number, piece in enumerate(pieces or (b"email\n",)):
        db.write_now(owner.id, uploads.keep, made, number, len(piece), piece)
    db.write_now(owner.id, uploads.arrive, made)
    return made


def claimed(db: Database, owner: Owner, upload_id: int, worker: str = "w") -> Upload:
    one = db.write_now(owner.id, work.claim, upload_id, worker)
    assert one is not None
    return one


def read(db: Database, owner: Owner) -> int:
    """Send a file and have it looked at."""
    made = sent(db, owner)
    claimed(db, owner, made)
    db.write_now(owner.id, work.understood, made, "w", SEEN, size=6)
    return made


def counted(db: Database, owner: Owner) -> int:
    """Send a file and have it counted."""
    made = read(db, owner)
    db.write_now(owner.id, uploads.ask, made, Wishes())
    claimed(db, owner, made)
    db.write_now(owner.id, work.counted, made, "w", SEEN, COUNTED)
    return made


def importing_one(db: Database, owner: Owner) -> int:
    made = counted(db, owner)
    db.write_now(owner.id, uploads.start, made, consent=CONSENT, by="ada@example.com")
    claimed(db, owner, made)
    return made


def find(db: Database, owner: Owner, upload_id: int) -> Upload:
    return db.read_now(owner.id, uploads.find, upload_id)


def test_a_file_goes_all_the_way(db: Database, ada: Owner) -> None:
    made = sent(db, ada, b"email\n", b"bea@example.com\n", name="C:\\lists\\People \x07of May.csv")
    assert find(db, ada, made).name == "People of May.csv"
    assert db.read_now(INSTALLATION, work.waiting, ("arrived",), "w") == (ada.id, made)
    claimed(db, ada, made)
    assert [db.read_now(ada.id, work.piece, made, n) for n in (0, 1)] == [
        (6, b"email\n"),
        (16, b"bea@example.com\n"),
    ]
    db.write_now(ada.id, work.understood, made, "w", SEEN, size=22)
    db.write_now(ada.id, uploads.ask, made, Wishes(also=(("tag", "moved"),)))
    claimed(db, ada, made)
    db.write_now(ada.id, work.counted, made, "w", SEEN, COUNTED)
    db.write_now(ada.id, uploads.start, made, consent=CONSENT, by="ada@example.com")
    claimed(db, ada, made)
    begun = db.write_now(ada.id, work.begin_import, made, "w", "digest")
    db.write_now(ada.id, work.finish, made, "w")
    one = find(db, ada, made)
    assert (one.state, one.import_id, one.consent, one.consent_by) == (
        "done", begun.id, CONSENT, "ada@example.com",
    )  # fmt: skip
    assert one.consented_at is not None
    assert begun.wishes == '{"also":[["tag","moved"]]}'


def test_pieces_come_in_their_order_and_bounded(db: Database, ada: Owner) -> None:
    made = db.write_now(ada.id, uploads.begin, "x.csv")
    db.write_now(ada.id, uploads.keep, made, 0, 3, b"abc")
    for number in (0, 2):
        with pytest.raises(Conflict):
            db.write_now(ada.id, uploads.keep, made, number, 3, b"abc")
    with pytest.raises(Invalid):
        db.write_now(ada.id, uploads.keep, made, 1, CHUNK_MAX + 1, b"x")
    with pytest.raises(Invalid):
        db.write_now(ada.id, uploads.keep, made, 1, 2, b"xyz")
    assert (find(db, ada, made).chunks, find(db, ada, made).bytes) == (1, 3)


def test_a_file_may_not_grow_past_its_bound(db: Database, ada: Owner) -> None:
    made = db.write_now(ada.id, uploads.begin, "x.csv")
    # Packed text may be short: what counts is what was sent.
    full = BYTES_MAX // CHUNK_MAX
    for number in range(full):
        db.write_now(ada.id, uploads.keep, made, number, CHUNK_MAX, b"")
    with pytest.raises(Conflict, match="too large"):
        db.write_now(ada.id, uploads.keep, made, full, CHUNK_MAX, b"")


def test_an_empty_file_is_refused(db: Database, ada: Owner) -> None:
    made = db.write_now(ada.id, uploads.begin, "x.csv")
    with pytest.raises(Invalid, match="empty"):
        db.write_now(ada.id, uploads.arrive, made)


def test_so_many_files_lie_here_and_no_more(db: Database, cast: Cast) -> None:
    made = [sent(db, cast.ada) for _ in range(OPEN_MAX)]
    with pytest.raises(Conflict, match="here already"):
        db.write_now(cast.ada.id, uploads.begin, "one-more.csv")
    sent(db, cast.eve)
    db.write_now(cast.ada.id, uploads.cancel, made[0])
    sent(db, cast.ada)


def test_nobody_sees_or_moves_what_is_another_accounts(db: Database, cast: Cast) -> None:
    made = read(db, cast.ada)
    assert db.read_now(cast.eve.id, uploads.latest) == []
    for verb in (uploads.find, uploads.cancel, uploads.arrive):
        with pytest.raises(NotFound):
            db.write_now(cast.eve.id, verb, made)
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, uploads.ask, made, Wishes())
    assert db.read_now(cast.eve.id, uploads.refusals, made, 0) == ([], None)


@pytest.mark.parametrize(
    "wishes",
    (
        Wishes(state="dead"),
        Wishes(mapped={"a": "x" * 300}),
        Wishes(mapped={f"#{n}": "-" for n in range(1_001)}),
        Wishes(also=(("broadcast", "x"),)),
        Wishes(also=(("tag", "  "),)),
        Wishes(also=(("tag", "x"),) * 21),
    ),
)
def test_wishes_that_no_page_makes_are_refused(db: Database, ada: Owner, wishes: Wishes) -> None:
    made = read(db, ada)
    with pytest.raises(Invalid):
        db.write_now(ada.id, uploads.ask, made, wishes)
    assert find(db, ada, made).state == "read"


def test_nothing_begins_without_a_consent(db: Database, ada: Owner) -> None:
    made = counted(db, ada)
    with pytest.raises(Invalid, match="consent"):
        db.write_now(ada.id, uploads.start, made, consent="  ", by="ada")
    assert find(db, ada, made).state == "counted"


def test_what_was_not_counted_cannot_begin_and_twice_is_once(db: Database, ada: Owner) -> None:
    made = read(db, ada)
    with pytest.raises(Conflict, match="check the file first"):
        db.write_now(ada.id, uploads.start, made, consent=CONSENT, by="ada")
    made = counted(db, ada)
    db.write_now(ada.id, uploads.start, made, consent=CONSENT, by="ada")
    db.write_now(ada.id, uploads.start, made, consent="another", by="eve")
    assert find(db, ada, made).consent == CONSENT
    with pytest.raises(Conflict, match="begun already"):
        db.write_now(ada.id, uploads.ask, made, Wishes())


def test_other_wishes_take_the_work_from_whoever_counts(db: Database, ada: Owner) -> None:
    made = read(db, ada)
    db.write_now(ada.id, uploads.ask, made, Wishes())
    claimed(db, ada, made)
    db.write_now(ada.id, uploads.ask, made, Wishes(state="inactive"))
    with pytest.raises(Conflict):
        db.write_now(ada.id, work.counted, made, "w", SEEN, COUNTED)
    assert find(db, ada, made).state == "counting"
    assert claimed(db, ada, made).wishes.state == "inactive"


def test_one_worker_at_a_time_until_it_is_silent(db: Database, ada: Owner, clock: Clock) -> None:
    made = sent(db, ada)
    claimed(db, ada, made, "first")
    assert db.write_now(ada.id, work.claim, made, "second") is None
    assert db.read_now(INSTALLATION, work.waiting, ("arrived",), "second") is None
    clock.move(work.LEASE_MS - 1)
    db.write_now(ada.id, work.note, made, "first", 3, 6)
    clock.move(work.LEASE_MS - 1)
    assert db.write_now(ada.id, work.claim, made, "second") is None
    clock.move(1)
    claimed(db, ada, made, "second")
    for late in (
        lambda: db.write_now(ada.id, work.note, made, "first", 4, 6),
        lambda: db.write_now(ada.id, work.understood, made, "first", SEEN, size=6),
        lambda: db.write_now(ada.id, work.fail, made, "first", "no"),
    ):
        with pytest.raises(Conflict):
            late()


def test_what_ends_every_worker_is_set_aside(db: Database, ada: Owner) -> None:
    made = sent(db, ada)
    for _ in range(work.TRIES_MAX):
        claimed(db, ada, made)
        db.write_now(ada.id, work.note, made, "w", 3, 6)
    assert db.write_now(ada.id, work.claim, made, "w") is None
    one = find(db, ada, made)
    assert one.state == "failed"
    assert one.said is not None
    assert "could not be processed" in one.said


def test_who_waits_longest_is_next_and_others_are_known(db: Database, cast: Cast, clock: Clock) -> None:
    first, second = read(db, cast.ada), read(db, cast.eve)
    for owner, made in ((cast.ada, first), (cast.eve, second)):
        clock.move(10)
        db.write_now(owner.id, uploads.ask, made, Wishes())
    states = ("counting", "importing")
    assert db.read_now(INSTALLATION, work.waiting, states, "w") == (cast.ada.id, first)
    clock.move(10)
    claimed(db, cast.ada, first)
    assert db.read_now(INSTALLATION, work.queued, first)
    clock.move(10)
    db.write_now(cast.ada.id, work.release, first, "w")
    assert db.read_now(INSTALLATION, work.waiting, states, "w") == (cast.eve.id, second)
    db.write_now(cast.eve.id, uploads.cancel, second)
    assert not db.read_now(INSTALLATION, work.queued, first)


def test_given_up_not_one_more_record_comes_in(db: Database, ada: Owner) -> None:
    made = importing_one(db, ada)
    begun = db.write_now(ada.id, work.begin_import, made, "w", "digest")
    db.write_now(ada.id, importing.take, begun.id, Place(0), importing.Slice([], [], [[]], 10))
    assert db.write_now(ada.id, uploads.cancel, made).state == "cancelled"
    with pytest.raises(Conflict):
        db.write_now(ada.id, importing.take, begun.id, Place(10), importing.Slice([], [], [[]], 20))
    with pytest.raises(Conflict):
        db.write_now(ada.id, work.note, made, "w", 3, 6)
    # The same file, sent again, begins anew.
    again = importing_one(db, ada)
    assert db.write_now(ada.id, work.begin_import, again, "w", "digest").place == Place(0)


def refusal(record: int) -> Refusal:
    return Refusal(record, record + 1, "no address", ["x"])


def test_refused_records_are_kept_once_in_order_and_bounded(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "REFUSALS_MAX", 5)
    made = importing_one(db, ada)
    begun = db.write_now(ada.id, work.begin_import, made, "w", "digest")
    db.write_now(ada.id, work.refuse, made, "w", [refusal(n) for n in (2, 5)])
    db.write_now(ada.id, importing.take, begun.id, Place(0), importing.Slice([], [], [[]], 6))
    db.write_now(ada.id, work.refuse, made, "w", [refusal(n) for n in (7, 8, 9)])
    db.write_now(ada.id, importing.take, begun.id, Place(6), importing.Slice([], [], [[]], 7))
    # Killed here: what came after record 7 is said again.
    db.write_now(ada.id, work.begin_import, made, "w", "digest")
    assert find(db, ada, made).refused == 3
    db.write_now(ada.id, work.refuse, made, "w", [refusal(n) for n in (8, 9, 10)])
    found, after = db.read_now(ada.id, uploads.refusals, made, 0)
    assert [one.record for one in found] == [2, 5, 7, 8, 9]
    assert after == 9
    assert db.read_now(ada.id, uploads.refusals, made, 9) == ([], None)


def test_what_is_over_leaves_slice_by_slice(
    db: Database, ada: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "DROP_SLICE", 2)
    made = sent(db, ada, *(b"x",) * 5)
    assert db.read_now(INSTALLATION, work.over) is None
    db.write_now(ada.id, uploads.cancel, made)
    assert db.read_now(INSTALLATION, work.over) == (ada.id, made)
    assert [db.write_now(ada.id, work.drop, made) for _ in range(3)] == [True, True, False]
    assert db.read_now(INSTALLATION, work.over) is None
    one = find(db, ada, made)
    assert (one.dropped_at, one.seen, one.counted) == (clock(), None, None)
    assert rows(db, "SELECT COUNT(*) FROM upload_chunks") == [(0,)]


@pytest.mark.parametrize(
    ("make", "waits"),
    (
        (lambda db, owner: db.write_now(owner.id, uploads.begin, "x.csv"), work.ARRIVES_MS),
        (read, work.WAITS_MS),
        (counted, work.WAITS_MS),
    ),
)
def test_what_nobody_comes_back_to_is_given_up(
    db: Database, ada: Owner, clock: Clock, make: Callable[[Database, Owner], int], waits: int
) -> None:
    made = make(db, ada)
    clock.move(waits)
    assert db.read_now(INSTALLATION, work.late) is None
    db.write_now(ada.id, work.lapse, made)
    assert find(db, ada, made).state != "failed"
    clock.move(1)
    assert db.read_now(INSTALLATION, work.late) == (ada.id, made)
    db.write_now(ada.id, work.lapse, made)
    assert find(db, ada, made).state == "failed"
    assert db.read_now(INSTALLATION, work.late) is None


def test_refused_records_are_forgotten_in_time(db: Database, ada: Owner, clock: Clock) -> None:
    made = importing_one(db, ada)
    db.write_now(ada.id, work.begin_import, made, "w", "digest")
    db.write_now(ada.id, work.refuse, made, "w", [refusal(1)])
    db.write_now(ada.id, work.finish, made, "w")
    db.write_now(ada.id, work.drop, made)
    clock.move(work.REFUSALS_KEPT_MS)
    assert db.write_now(INSTALLATION, work.forget) == 0
    clock.move(1)
    assert db.write_now(INSTALLATION, work.forget) > 0
    assert find(db, ada, made).refused == 0
    assert rows(db, "SELECT COUNT(*) FROM upload_refusals") == [(0,)]
    assert db.write_now(INSTALLATION, work.forget) == 0


def test_imports_of_commands_stand_in_the_list_too(db: Database, ada: Owner, clock: Clock) -> None:
    typed = db.write_now(ada.id, importing.begin, "typed.csv", "other", "{}")
    clock.move(1_000)
    made = importing_one(db, ada)
    begun = db.write_now(ada.id, work.begin_import, made, "w", "digest")
    clock.move(1_000)
    waits = sent(db, ada)
    assert [
        (one.id if one else None, theirs.id if theirs else None)
        for one, theirs in db.read_now(ada.id, uploads.history)
    ] == [(waits, None), (made, begun.id), (None, typed.id)]


def test_the_time_left_follows_the_speed_so_far(db: Database, ada: Owner, clock: Clock) -> None:
    made = importing_one(db, ada)
    assert find(db, ada, made).left_s(clock()) is None
    clock.move(10_000)
    db.write_now(ada.id, work.note, made, "w", 25, 100)
    assert find(db, ada, made).left_s(clock()) == 30
