"""The audience: everybody active, or who is in any part included and in none excluded, once."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.cast import API, Cast, Owner, join, open_account, rows
from tests.core.ledger import begin, draft, fan_out, people, send, started, states
from tidings.core import audience, signup, subscribers, subscriptions
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import course
from tidings.core.broadcasts.course import Part
from tidings.errors import Invalid
from tidings.store.db import Database
from tidings.store.tx import Tx

THINGS = ("plain", "double", "sequence", "tag", "vip")
KIND = {"plain": "form", "double": "form", "sequence": "sequence", "tag": "tag", "vip": "tag"}
STATES = ("active", "inactive", "cancelled", "bounced", "complained")


@dataclass
class Person:
    """One person as the model has them; joined things may be left again."""

    state: str
    joined: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    id: int = 0


crowds = st.lists(
    st.builds(
        Person,
        st.sampled_from(("active", "active", "active", *STATES)),
        st.sets(st.sampled_from(THINGS)),
        st.sets(st.sampled_from(THINGS), max_size=2),
    ),
    max_size=8,
)
wishes = st.lists(st.tuples(st.sampled_from(THINGS), st.booleans()), max_size=7)


def wanted(crowd: list[Person], parts: list[tuple[str, bool]]) -> list[int]:
    """Who should have it, in plain Python."""
    included = {thing for thing, excluded in parts if not excluded}
    kept_out = {thing for thing, excluded in parts if excluded}
    found = []
    for one in crowd:
        there = one.joined - one.left
        if one.state == "active" and (not included or there & included) and not there & kept_out:
            found.append(one.id)
    return sorted(found)


def gather(tx: Tx, owner: Owner, crowd: list[Person]) -> None:
    """Make these people, in one verb."""
    for at, one in enumerate(crowd):
        who, _ = subscribers.meet(tx, subscribers.person(f"p{at}.{owner.id}@example.com"), "active")
        for thing in sorted(one.joined):
            subscriptions.start(tx, who, KIND[thing], getattr(owner, thing), API)
        for thing in sorted(one.left):
            subscriptions.leave(tx, who, KIND[thing], getattr(owner, thing), API)
        if one.state != "active":
            subscriptions.turn(tx, who, one.state)
        one.id = who.id


def recipients(db: Database, made: int) -> list[int]:
    found = rows(db, "SELECT subscriber_id FROM deliveries WHERE broadcast_id = :id ORDER BY 1", id=made)
    return [int(str(row[0])) for row in found]


def parts_of(owner: Owner, parts: list[tuple[str, bool]]) -> list[Part]:
    return [Part(KIND[thing], getattr(owner, thing), excluded) for thing, excluded in parts]


def test_any_audience_is_who_a_plain_model_says_and_nobody_twice(db: Database) -> None:
    proof = settings.get_profile(settings.get_current_profile_name()).max_examples

    @settings(max_examples=max(300, proof))
    @given(crowds, wishes, st.integers(1, 4))
    def check(crowd: list[Person], parts: list[tuple[str, bool]], size: int) -> None:
        # An account of its own for each crowd: cheaper than a database.
        owner = db.write_now(INSTALLATION, open_account, "Ada")
        db.write_now(owner.id, gather, owner, crowd)
        made = begin(db, owner, *parts_of(owner, parts))
        should = wanted(crowd, parts)
        assert db.read_now(owner.id, audience.count, made) == len(should)
        fan_out(db, owner, made, size)
        assert recipients(db, made) == should

    check()


@pytest.fixture
def ada(db: Database, cast: Cast) -> Owner:
    send(db, lane="now")
    return cast.ada


def test_everybody_active_is_the_audience_that_nobody_chose(db: Database, ada: Owner, cast: Cast) -> None:
    people(db, cast.eve, 3)
    assert recipients(db, started(db, ada)) == [cast.bea]


def test_who_is_in_by_many_ways_gets_one_mail(db: Database, ada: Owner, cast: Cast) -> None:
    for kind, ref_id in (("sequence", ada.sequence), ("tag", ada.tag), ("tag", ada.vip)):
        join(db, ada, kind, ref_id, "BEA@example.com")
    parts = [
        Part("form", ada.plain),
        Part("sequence", ada.sequence),
        Part("tag", ada.tag),
        Part("tag", ada.vip),
    ]
    assert recipients(db, started(db, ada, *parts, *parts)) == [cast.bea]


def test_an_audience_that_has_nobody_left_does_not_become_everybody(
    db: Database, ada: Owner, cast: Cast
) -> None:
    assert recipients(db, started(db, ada, Part("tag", ada.vip))) == []
    # A tag that is gone, or another account's.
    assert recipients(db, started(db, ada, Part("tag", 2**40))) == []
    assert recipients(db, started(db, ada, Part("tag", cast.eve.vip))) == []


def test_only_excluded_parts_leave_everybody_else(db: Database, ada: Owner, cast: Cast) -> None:
    more = people(db, ada, 2)
    join(db, ada, "tag", ada.vip, f"p0.{ada.id}@example.com")
    assert recipients(db, started(db, ada, Part("tag", ada.vip, excluded=True))) == [cast.bea, more[1]]


def test_an_audience_is_chosen_anew_as_often_as_wished_before_it_is_sent(db: Database, ada: Owner) -> None:
    made = draft(db, ada)
    db.write_now(ada.id, course.set_audience, made, [Part("tag", ada.vip)])
    assert db.read_now(ada.id, audience.count, made) == 0
    db.write_now(ada.id, course.set_audience, made, [])
    assert db.read_now(ada.id, audience.count, made) == 1


def test_an_audience_of_too_many_parts_is_refused(db: Database, ada: Owner) -> None:
    made = draft(db, ada)
    with pytest.raises(Invalid, match="too many"):
        db.write_now(ada.id, course.set_audience, made, [Part("tag", n) for n in range(201)])


def test_who_unsubscribes_before_their_slice_gets_no_row(db: Database, ada: Owner) -> None:
    people(db, ada, 4)
    made = begin(db, ada)
    db.write_now(ada.id, course.fan_out, made, 2)
    db.write_now(ada.id, signup.unsubscribe, f"p3.{ada.id}@example.com", API)
    fan_out(db, ada, made)
    assert states(db, made) == {"queued": 4}


@pytest.mark.parametrize("size", (1, 2, 3, 50))
def test_a_slice_ends_where_so_many_people_are(db: Database, cast: Cast, size: int) -> None:
    ids = people(db, cast.eve, 5)
    end = db.read_now(cast.eve.id, audience.slice_end, 0, ids[-1], size)
    assert end == (ids[size - 1] if size <= 5 else ids[-1])
    assert db.read_now(cast.eve.id, audience.slice_end, ids[-1], ids[-1], size) is None
    assert db.read_now(cast.eve.id, audience.highest_id) == ids[-1]


def test_a_size_is_exact_for_few_and_near_for_many_however_they_lie(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = people(db, ada, 400)
    # Of the first hundred everybody is active, of the others one in four: an even look at the ids
    # alone would think of the first as a fifth, though they are more than half.
    for n in range(100, 400):
        if n % 4:
            db.write_now(ada.id, signup.unsubscribe, f"p{n}.{ada.id}@example.com", API)
    for n in range(90):
        join(db, ada, "tag", ada.vip, f"p{n}.{ada.id}@example.com")
    made = draft(db, ada)
    db.write_now(ada.id, course.set_audience, made, [Part("tag", ada.vip, excluded=True)])
    exact = db.read_now(ada.id, audience.size, made)
    assert exact == (len(crowd) - 225 - 90 + 1, True)
    monkeypatch.setattr(audience, "SAMPLED", 2)
    near = db.read_now(ada.id, lambda rx: audience.size(rx, made, most=0))
    assert not near.exact
    assert abs(near.people - exact.people) <= 10
    db.write_now(ada.id, course.set_audience, made, [])
    everybody = db.read_now(ada.id, lambda rx: audience.size(rx, made, most=0))
    assert everybody == (176, True)
