"""Confirmations: three to a mailbox in 24 hours, good for a week, and never against somebody's will."""

import asyncio
from collections.abc import Callable

import pytest

from tests.core.cast import API, DAY, HOUR, SECOND, Cast, Clock, Owner, join, names, rows
from tests.core.recount import recount
from tidings.core import confirmations, events, signup, subscribers, subscriptions
from tidings.core.confirmations import CAP_MS, LINK_MS, Expired
from tidings.core.signup import Also
from tidings.core.subscribers import Subscriber
from tidings.core.subscriptions import Subscription
from tidings.errors import NotFound
from tidings.store.db import Database

LINK = events.Origin("link", "198.51.100.9")


def mails(db: Database) -> int:
    """Return how many confirmations were queued, but for Cal's."""
    found = rows(
        db,
        "SELECT COUNT(*) FROM deliveries WHERE occasion LIKE 'confirm:%' AND subscriber_id NOT IN"
        " (SELECT id FROM subscribers WHERE email = 'cal@example.com')",
    )
    return int(str(found[0][0]))


def confirm(
    db: Database, owner: Owner, joined: Subscription, asked_at: int
) -> tuple[Subscription, Subscriber]:
    return db.write_now(owner.id, confirmations.confirm, joined.id, asked_at, LINK)


def confirmed_at(db: Database, joined: Subscription) -> object:
    return rows(db, "SELECT confirmed_at FROM subscriptions WHERE id = :id", id=joined.id)[0][0]


def test_confirming_activates_and_is_told_once(db: Database, ada: Owner, clock: Clock) -> None:
    joined, _ = join(db, ada, "form", ada.double, "new@example.com", also=Also(tags=[ada.tag]))
    asked_at = clock.now
    clock.move(HOUR)
    first_confirmed = clock.now
    for _ in range(3):
        confirmed, who = confirm(db, ada, joined, asked_at)
        assert (confirmed.id, confirmed.state, who.state) == (joined.id, "active", "active")
        clock.move(HOUR)
    assert names(db, ada, who.id).count("subscriber_activate") == 1
    assert confirmed_at(db, joined) == first_confirmed
    tagged = db.read_now(ada.id, subscriptions.find, who.id, "tag", ada.tag)
    assert tagged is not None
    assert tagged.state == "active"
    recount(db)


def test_the_event_of_a_confirmation_says_where_the_click_came_from(
    db: Database, ada: Owner, clock: Clock
) -> None:
    joined, who = join(db, ada, "form", ada.double, "new@example.com")
    confirm(db, ada, joined, clock.now)
    told = db.read_now(ada.id, events.of_subscriber, who.id)
    assert [(one.name, one.subject_id) for one in told] == [
        ("form_subscribe", ada.double),
        ("subscriber_activate", ada.double),
    ]
    assert '"link"' in told[1].cause
    assert "198.51.100.9" in told[1].cause
    assert '"active"' in told[1].snapshot


def test_a_link_works_for_seven_days_and_not_a_moment_longer(db: Database, ada: Owner, clock: Clock) -> None:
    joined, who = join(db, ada, "form", ada.double, "new@example.com")
    asked_at = clock.now
    clock.move(LINK_MS + 1)
    with pytest.raises(Expired, match="older than 7 days"):
        confirm(db, ada, joined, asked_at)
    assert db.read_now(ada.id, subscribers.get, who.id).state == "inactive"
    clock.move(-1)
    assert confirm(db, ada, joined, asked_at)[1].state == "active"


@pytest.mark.parametrize("state", ("cancelled", "bounced", "complained"))
def test_a_click_never_revives_who_left_or_bounced(
    db: Database, ada: Owner, clock: Clock, state: str
) -> None:
    joined, who = join(db, ada, "form", ada.double, "new@example.com")
    db.write_now(ada.id, subscriptions.turn, who, state)
    assert confirm(db, ada, joined, clock.now)[1].state == state
    assert confirmed_at(db, joined) is None
    assert "subscriber_activate" not in names(db, ada, who.id)
    recount(db)


def test_a_subscription_that_does_not_exist_or_is_another_accounts_is_not_found(
    db: Database, cast: Cast, clock: Clock
) -> None:
    joined, who = join(db, cast.ada, "form", cast.ada.double, "new@example.com")
    with pytest.raises(NotFound):
        confirm(db, cast.eve, joined, clock.now)
    with pytest.raises(NotFound):
        db.write_now(cast.ada.id, confirmations.confirm, 2**62, clock.now, LINK)
    assert db.read_now(cast.ada.id, subscribers.get, who.id).state == "inactive"


def test_who_asks_again_gets_another_mail_up_to_three_in_24_hours(
    db: Database, ada: Owner, clock: Clock
) -> None:
    for n in range(1, 6):
        joined, who = join(db, ada, "form", ada.double, "new@example.com")
        assert mails(db) == min(n, 3)
        clock.move(HOUR)
    found = rows(db, "SELECT occasion FROM deliveries WHERE subscriber_id = :id ORDER BY id", id=who.id)
    occasions = [row[0] for row in found]
    assert occasions == [f"confirm:{joined.id}:{n}" for n in (1, 2, 3)]
    assert names(db, ada, who.id) == ["form_subscribe"]
    # 24 hours after the first of them one place is free again, and only one.
    clock.move(CAP_MS - 5 * HOUR - 1)
    join(db, ada, "form", ada.double, "new@example.com")
    assert mails(db) == 3
    clock.move(1)
    for _ in range(2):
        join(db, ada, "form", ada.double, "new@example.com")
        assert mails(db) == 4
    recount(db)


@pytest.mark.parametrize(
    "spellings",
    (
        ("cap+a@example.com", "cap+b@example.com", "CAP@Example.com", "cap+c+d@EXAMPLE.COM"),
        ("b.oa.x@gmail.com", "boax@gmail.com", "bo.ax+news@googlemail.com", "BOAX@gmail.com"),
        ("x@müller.example", "x@xn--mller-kva.example", "X+1@MÜLLER.example", "x+2@müller.example"),
    ),
)
def test_the_cap_is_one_for_a_mailbox_however_it_is_spelt(
    db: Database, cast: Cast, spellings: tuple[str, ...]
) -> None:
    before = mails(db)
    for at, email in enumerate(spellings):
        owner = (cast.ada, cast.eve)[at % 2]
        _, who = join(db, owner, "form", owner.double, email)
        assert who.state == "inactive"
    assert mails(db) - before == 3
    recount(db)


def test_two_mailboxes_do_not_share_a_cap(db: Database, ada: Owner) -> None:
    for email in ("b.oa@example.com", "boa@example.com", "boa@example.net", "+boa@example.com"):
        for _ in range(4):
            join(db, ada, "form", ada.double, email)
    assert mails(db) == 4 * 3


def test_the_cap_holds_within_one_group_of_concurrent_calls(db: Database, cast: Cast) -> None:
    before = mails(db)

    async def check() -> None:
        people = [subscribers.person(f"flood+{n % 50}@example.com") for n in range(150)]
        calls = []
        for at, one in enumerate(people):
            owner = (cast.ada, cast.eve)[at % 2]
            key = f"{one.address.mailbox}\0{one.address.key}"
            calls.append(
                db.write_sorted(key, owner.id, signup.sign_up, "form", owner.double, one, Also(), API)
            )
        await asyncio.gather(*calls)

    asyncio.run(check())
    assert mails(db) - before == 3
    recount(db)


def test_the_cap_holds_over_two_processes(db: Database, cast: Cast, open_db: Callable[[], Database]) -> None:
    other, before = open_db(), mails(db)

    async def flood(one: Database, owner: Owner) -> None:
        people = [subscribers.person(f"flood+{n}@example.com") for n in range(40)]
        await asyncio.gather(
            *(
                one.write_sorted(
                    subscribers.sort_key(person.address.email),
                    owner.id,
                    signup.sign_up,
                    "form",
                    owner.double,
                    person,
                    Also(),
                    API,
                )
                for person in people
            )
        )

    async def check() -> None:
        await asyncio.gather(flood(db, cast.ada), flood(other, cast.eve))

    asyncio.run(check())
    assert mails(db) - before == 3
    recount(db)


def test_a_clock_set_back_does_not_open_the_cap(db: Database, ada: Owner, clock: Clock) -> None:
    for _ in range(3):
        join(db, ada, "form", ada.double, "new@example.com")
    clock.move(-10 * SECOND)
    join(db, ada, "form", ada.double, "new@example.com")
    assert mails(db) == 3


def test_who_comes_back_may_confirm_by_the_new_link(db: Database, ada: Owner, clock: Clock) -> None:
    joined, who = join(db, ada, "form", ada.double, "new@example.com")
    confirm(db, ada, joined, clock.now)
    db.write_now(ada.id, signup.unsubscribe, "new@example.com", API)
    clock.move(DAY)
    again, back = join(db, ada, "form", ada.double, "new@example.com")
    assert (again.id, back.state) == (joined.id, "inactive")
    assert mails(db) == 2
    assert confirm(db, ada, again, clock.now)[1].state == "active"
    assert names(db, ada, who.id).count("subscriber_activate") == 2
    recount(db)
