"""Writing a sequence while people are inside it."""

from hypothesis import given
from hypothesis import strategies as st

from tests.core.cast import DAY, HOUR, Clock, Owner
from tests.core.test_sequences import enter, entry, queued, tick, write
from tidings.core import sequences
from tidings.core.sequences import SequenceEmail, order
from tidings.store.db import Database


def email(subject: str, delay: int = DAY, html: str = "", published: bool = True) -> SequenceEmail:
    return SequenceEmail(subject, html or f"<p>{subject}</p>", delay, published=published)


def subjects(db: Database, owner: Owner) -> list[str]:
    return [one.subject for one in db.read_now(owner.id, sequences.emails, owner.sequence)]


def add(db: Database, owner: Owner, subject: str, rank: int | None = None) -> int:
    return db.write_now(
        owner.id, lambda tx: sequences.add_email(tx, owner.sequence, email(subject), rank=rank)
    )


def test_an_email_is_kept_as_it_was_written(db: Database, ada: Owner) -> None:
    whole = SequenceEmail("S", "<p>h</p>", HOUR, "text", "pre", published=False, weekdays=3, hour=7)
    made = db.write_now(ada.id, sequences.add_email, ada.sequence, whole)
    assert db.read_now(ada.id, sequences.emails_by_id, ada.sequence) == {made: whole}
    words = db.read_now(ada.id, sequences.email, made)
    assert (words.subject, words.html, words.text, words.preheader) == ("S", "<p>h</p>", "text", "pre")
    assert (words.id, words.sequence_id, words.sequence_name) == (made, ada.sequence, "Onboarding")
    other = SequenceEmail("T", "<p>i</p>", 0, None, "", published=True, weekdays=127, hour=None)
    db.write_now(ada.id, sequences.change_email, made, other)
    assert db.read_now(ada.id, sequences.emails_by_id, ada.sequence) == {made: other}


def test_emails_are_added_and_moved_to_any_place(db: Database, ada: Owner) -> None:
    b = add(db, ada, "b")
    add(db, ada, "d")
    add(db, ada, "a", 1)
    add(db, ada, "c", 3)
    assert subjects(db, ada) == ["a", "b", "c", "d"]
    for rank, expected in ((4, "acdb"), (1, "bacd"), (3, "acbd"), (3, "acbd"), (2, "abcd")):
        db.write_now(ada.id, sequences.move_email, b, rank)
        assert subjects(db, ada) == list(expected)
    db.write_now(ada.id, sequences.remove_email, b)
    assert subjects(db, ada) == ["a", "c", "d"]


def test_any_number_of_emails_fits_between_two(db: Database, ada: Owner, clock: Clock) -> None:
    first, last = write(db, ada, 0, DAY)
    nia = enter(db, ada)
    tick(db)
    # Twice the halvings that 2^40 has: the ranks behind must move, and so must nobody's place.
    middle = [add(db, ada, str(n), 2) for n in range(85)]
    assert subjects(db, ada) == ["Email 1", *(str(n) for n in reversed(range(85))), "Email 2"]
    for _ in range(90):
        clock.move(DAY)
        tick(db)
    assert queued(db, ada, nia) == [first, *reversed(middle), last]


def test_ranks_that_must_move_take_the_reader_with_them(db: Database, ada: Owner, clock: Clock) -> None:
    db.write_now(ada.id, sequences.update, ada.sequence, name="H", hold=True, repeat=False)
    one, two = write(db, ada, 0, 0)
    nia = enter(db, ada)
    tick(db)
    for n in range(85):
        add(db, ada, str(n), 2)
    for _ in range(3):
        clock.move(DAY)
        tick(db)
    assert queued(db, ada, nia) == [one, two]


def test_what_is_added_behind_the_reader_comes_and_what_is_added_before_does_not(
    db: Database, ada: Owner, clock: Clock
) -> None:
    one, two, three = write(db, ada, 0, DAY, DAY)
    nia = enter(db, ada)
    tick(db)
    clock.move(DAY)
    tick(db)
    add(db, ada, "before", 1)
    behind = add(db, ada, "behind", 4)
    for _ in range(4):
        clock.move(DAY)
        tick(db)
    assert queued(db, ada, nia) == [one, two, behind, three]


def test_an_email_moved_over_the_reader_is_neither_sent_twice_nor_at_all(
    db: Database, ada: Owner, clock: Clock
) -> None:
    one, two, three = write(db, ada, 0, DAY, DAY)
    nia = enter(db, ada)
    tick(db)
    clock.move(DAY)
    tick(db)
    db.write_now(ada.id, sequences.move_email, one, 3)
    db.write_now(ada.id, sequences.move_email, three, 1)
    for _ in range(3):
        clock.move(DAY)
        tick(db)
    assert queued(db, ada, nia) == [one, two]
    # Not by grace of the ledger, which forgets its oldest rows some day.
    assert (entry(db, ada, nia).state, entry(db, ada, nia).had) == ("ended", f"{one},{two}")


def test_moving_the_email_that_somebody_stands_at_leaves_them_where_they_are(
    db: Database, ada: Owner, clock: Clock
) -> None:
    one, two, three = write(db, ada, 0, DAY, DAY)
    nia = enter(db, ada)
    tick(db)
    db.write_now(ada.id, sequences.move_email, one, 3)
    for _ in range(3):
        clock.move(DAY)
        tick(db)
    assert queued(db, ada, nia) == [one, two, three]


def test_an_addition_at_the_end_lies_behind_every_reader_whatever_was_moved_or_removed(
    db: Database, ada: Owner, clock: Clock
) -> None:
    db.write_now(ada.id, sequences.update, ada.sequence, name="H", hold=True, repeat=False)
    one, two, three = write(db, ada, 0, 0, 0)
    nia = enter(db, ada)
    tick(db)
    db.write_now(ada.id, sequences.move_email, three, 1)
    db.write_now(ada.id, sequences.remove_email, two)
    added = add(db, ada, "added")
    clock.move(DAY)
    tick(db)
    assert queued(db, ada, nia) == [one, two, three, added]


def test_a_shorter_delay_and_a_removal_are_felt_by_those_who_wait(
    db: Database, ada: Owner, clock: Clock
) -> None:
    one, two, three = write(db, ada, 0, 9 * DAY, DAY)
    nia = enter(db, ada)
    tick(db)
    db.write_now(ada.id, sequences.remove_email, two)
    clock.move(DAY)
    tick(db)
    assert queued(db, ada, nia) == [one, three]
    four = add(db, ada, "later")
    ben = enter(db, ada, "ben@example.com")
    clock.move(DAY)
    tick(db)
    clock.move(DAY)
    tick(db)
    db.write_now(ada.id, sequences.change_email, four, email("sooner", 0))
    tick(db)
    assert queued(db, ada, ben) == [one, three, four]


def test_an_unpublished_email_is_passed_over(db: Database, ada: Owner, clock: Clock) -> None:
    one, two, three = write(db, ada, 0, DAY, DAY)
    db.write_now(ada.id, sequences.unpublish, two)
    nia = enter(db, ada)
    for _ in range(4):
        tick(db)
        clock.move(DAY)
    assert queued(db, ada, nia) == [one, three]


def test_a_declared_order_keeps_what_is_known_and_places_what_is_new(
    db: Database, ada: Owner, clock: Clock
) -> None:
    db.write_now(ada.id, sequences.set_emails, ada.sequence, [email("a", 0), email("b"), email("c")])
    a, b, c = db.read_now(ada.id, sequences.emails_by_id, ada.sequence)
    nia = enter(db, ada)
    tick(db)
    clock.move(DAY)
    tick(db)
    wanted = [email("new", 0), email("a", 0), email("b", html="<p>other words</p>"), email("x"), email("c")]
    db.write_now(ada.id, sequences.set_emails, ada.sequence, wanted)
    ids = list(db.read_now(ada.id, sequences.emails_by_id, ada.sequence))
    assert db.read_now(ada.id, sequences.emails, ada.sequence) == wanted
    assert (ids[1], ids[2], ids[4]) == (a, b, c)
    for _ in range(4):
        clock.move(DAY)
        tick(db)
    assert queued(db, ada, nia) == [a, b, ids[3], c]


def test_a_new_wording_at_the_same_place_is_the_same_email(db: Database, ada: Owner) -> None:
    db.write_now(ada.id, sequences.set_emails, ada.sequence, [email("a"), email("b"), email("c")])
    before = list(db.read_now(ada.id, sequences.emails_by_id, ada.sequence))
    db.write_now(ada.id, sequences.set_emails, ada.sequence, [email("a"), email("B, reworded"), email("c")])
    assert list(db.read_now(ada.id, sequences.emails_by_id, ada.sequence)) == before


bodies = st.sampled_from(("<p>1</p>", "<p>2</p>"))
words = st.lists(st.builds(email, st.sampled_from("abcd"), st.just(0), bodies), max_size=7)


def test_a_declared_list_is_had_exactly_whatever_was_there(db: Database, ada: Owner) -> None:
    @given(words, words)
    def check(before: list[SequenceEmail], after: list[SequenceEmail]) -> None:
        for wanted in (before, after):
            db.write_now(ada.id, sequences.set_emails, ada.sequence, wanted)
            assert db.read_now(ada.id, sequences.emails, ada.sequence) == wanted
        there = list(db.read_now(ada.id, sequences.emails_by_id, ada.sequence))
        db.write_now(ada.id, sequences.set_emails, ada.sequence, after)
        assert list(db.read_now(ada.id, sequences.emails_by_id, ada.sequence)) == there

    check()


@given(st.lists(st.one_of(st.none(), st.integers(1, 9)), max_size=8))
def test_as_many_ranks_stay_as_can(ranks: list[int | None]) -> None:
    kept = order.in_place(ranks)
    stay = [rank for at, rank in enumerate(ranks) if at in kept and rank is not None]
    assert len(stay) == len(kept)
    assert stay == sorted(set(stay))
    longest = [0] * (len(ranks) + 1)
    for at, rank in enumerate(ranks):
        if rank is not None:
            before = [longest[one] for one in range(at) if (ranks[one] or 99) < rank]
            longest[at] = 1 + max(before, default=0)
    assert len(kept) == max(longest)
