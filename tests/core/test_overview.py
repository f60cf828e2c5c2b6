"""The first page's numbers: they agree with a recount and belong to one account."""

from collections import Counter

from tests.core.cast import API, DAY, Cast, Clock, rows
from tidings.core import accounts, broadcasts, heartbeats, overview, signup, webhooks
from tidings.core.accounts import INSTALLATION
from tidings.core.signup import Also
from tidings.core.subscribers import person
from tidings.store.db import Database

PEOPLE = "SELECT state FROM subscribers WHERE account_id = :account_id"


def joined(db: Database, account_id: int, form_id: int, email: str) -> None:
    db.write_now(account_id, signup.sign_up, "form", form_id, person(email), Also(), API)


def test_growth_counts_who_came_and_who_left_on_each_day(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    before = db.read_now(ada.id, overview.growth, 1)[0].new
    assert before == len(rows(db, PEOPLE, account_id=ada.id))
    clock.move(2 * DAY)
    for n in range(5):
        joined(db, ada.id, ada.plain, f"n{n}@example.com")
    clock.move(DAY)
    for n in range(2):
        db.write_now(ada.id, signup.unsubscribe, f"n{n}@example.com", API)
    grown = db.read_now(ada.id, overview.growth, 4)
    assert [(one.new, one.left, one.net) for one in grown] == [
        (before, 0, before), (0, 0, 0), (5, 0, 5), (0, 2, -2),
    ]  # fmt: skip
    assert [one.day for one in grown] == list(range(grown[0].day, grown[0].day + 4))
    eve = db.read_now(cast.eve.id, overview.growth, 3)
    assert [(one.new, one.left) for one in eve] == [(0, 0)] * 3


def test_people_are_told_by_state(db: Database, cast: Cast) -> None:
    told = db.read_now(cast.ada.id, overview.overview).people
    counted = Counter(state for (state,) in rows(db, PEOPLE, account_id=cast.ada.id))
    assert {state: n for state, n in told.items() if n} == dict(counted)


def test_steps_are_done_one_by_one(db: Database, cast: Cast) -> None:
    new = db.write_now(0, accounts.create, "New", overview.UNNAMED).account_id
    steps = db.read_now(new, overview.overview).steps
    assert not any((steps.form, steps.sender, steps.postal_address, steps.subscriber, steps.broadcast))
    db.write_now(new, accounts.describe, primary_email="new@example.com", postal_address="1 Road")
    db.write_now(new, broadcasts.create, broadcasts.Draft(subject="Hi"), "new@example.com")
    steps = db.read_now(new, overview.overview).steps
    assert (steps.sender, steps.postal_address, steps.broadcast, steps.all_done) == (True, True, True, False)
    theirs = db.read_now(cast.ada.id, overview.overview).steps
    assert (theirs.form, theirs.subscriber) == (True, True)


def test_what_is_scheduled_stands_in_the_order_of_its_time(db: Database, cast: Cast, clock: Clock) -> None:
    for hours in (5, 3, 4):
        draft = broadcasts.Draft(subject=f"In {hours}", send_at=clock.now + hours * 3_600_000)
        db.write_now(cast.ada.id, broadcasts.create, draft, "ada@example.com")
    coming = db.read_now(cast.ada.id, overview.overview).upcoming
    assert [one.subject for one in coming] == ["In 3", "In 4", "In 5"]
    assert db.read_now(cast.eve.id, overview.overview).upcoming == []


def test_webhooks_in_trouble_and_a_held_installation_are_told(db: Database, cast: Cast) -> None:
    url = "https://example.com/hook"
    hook = db.write_now(cast.ada.id, webhooks.create, "subscriber_activate", url).id
    db.write_now(cast.ada.id, webhooks.went_wrong, hook)
    assert [one.id for one in db.read_now(cast.ada.id, overview.overview).failing] == [hook]
    db.write_now(cast.ada.id, webhooks.disable, hook, "it said 410 Gone")
    found = db.read_now(cast.ada.id, overview.overview)
    assert ([one.id for one in found.disabled], found.failing) == ([hook], [])
    assert db.read_now(cast.eve.id, overview.overview).disabled == []
    assert found.held == ""
    db.write_now(INSTALLATION, heartbeats.hold, "it was restored")
    held = db.read_now(cast.eve.id, overview.overview)
    assert held.held == "it was restored"
    assert held.engine_at is not None


def test_refusals_of_a_broadcast_are_told_for_a_week(db: Database, cast: Cast, clock: Clock) -> None:
    def ended(subject: str, **numbers: int) -> int:
        draft = broadcasts.Draft(subject=subject)
        made = db.write_now(cast.ada.id, broadcasts.create, draft, "ada@example.com", status="completed").id
        db.write_now(cast.ada.id, broadcasts.count, made, **numbers)
        return made

    bad, _ = ended("Bad", sent=7, failed=3), ended("Good", sent=10)
    told = db.read_now(cast.ada.id, overview.overview)
    assert [(one.id, one.failed, one.delivered) for one in told.refused] == [(bad, 3, 7)]
    assert len(told.lately) == 2
    assert db.read_now(cast.eve.id, overview.overview).refused == []
    clock.move(overview.REFUSED_MS)
    assert db.read_now(cast.ada.id, overview.overview).refused == []
