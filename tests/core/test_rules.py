"""Every trigger starts its rule once for what is new, and every action does what it says."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.core.cast import API, DAY, Cast, Clock, Owner, join
from tests.core.ruled import URL, mails, notes, posts, rule, runs, settle
from tidings.core import (
    automations,
    events,
    purchases,
    signup,
    subscribers,
    subscriptions,
)
from tidings.core.automations import Action, Trigger
from tidings.core.purchases import Order
from tidings.core.subscribers import Subscriber
from tidings.store.db import Database
from tidings.store.tx import Tx

Fire = Callable[[Database, Owner, Clock, Subscriber], None]


def buy(db: Database, owner: Owner, who: Subscriber, pid: str, number: int = 0) -> None:
    line: dict[str, object] = {"pid": pid, "lid": "1", "name": "Disk", "sku": "x", "unit_price": "1"}
    transaction = f"t{who.id}.{pid}.{number}"
    order = Order(transaction_id=transaction, email=who.email, products=[line])
    db.write_now(owner.id, purchases.record, order, API)


def click(db: Database, owner: Owner, who: Subscriber, url: str) -> None:
    """A person's first click on a link, as tracking records it."""

    def verb(tx: Tx) -> None:
        origin = events.Origin("link", "203.0.113.9", source="click")
        events.record(tx, "link_click", who, who.id, origin, subject_id=1, value=url)

    db.write_now(owner.id, verb)


def set_field(db: Database, owner: Owner, who: Subscriber, key: str, value: str | None) -> Subscriber:
    return db.write_now(
        owner.id, subscribers.update, who.id, email=None, first_name=None, fields={key: value}, origin=API
    )


def complete(db: Database, owner: Owner, who: Subscriber) -> None:
    db.write_now(
        owner.id,
        lambda tx: events.record(tx, "course_complete", who, who.id, API, subject_id=owner.sequence),
    )


def untag(db: Database, owner: Owner, who: Subscriber) -> None:
    join(db, owner, "tag", owner.vip, who.email)
    db.write_now(owner.id, subscriptions.leave, who, "tag", owner.vip, API)


def activate(db: Database, owner: Owner, who: Subscriber) -> None:
    db.write_now(owner.id, lambda tx: events.record(tx, "subscriber_activate", who, who.id, API))


def go_quiet(db: Database, clock: Clock, who: Subscriber, owner: Owner) -> None:
    """A mail reaches them within the week, and nothing comes back."""
    clock.move(10 * DAY)
    db.write_now(
        owner.id,
        lambda tx: tx.run(
            "INSERT INTO deliveries (account_id, occasion, subscriber_id, lane, state, attempts, due_at,"
            " handed_at, settled_at, created_at) VALUES (:account_id, :occasion, :id, 'bulk', 'sent', 1, 0,"
            " :at, :at, :at)",
            account_id=owner.id,
            occasion=f"broadcast:{clock.now}",
            id=who.id,
            at=clock.now - DAY,
        ),
    )


def today(clock: Clock) -> str:
    return datetime.fromtimestamp(clock.now / 1_000, UTC).date().isoformat()


def triggers(owner: Owner) -> dict[str, tuple[Trigger, Fire]]:
    """Each trigger, and what makes it happen to somebody."""
    page = "https://shop.example.com/disk?color=red"
    return {
        "form_subscribe": (
            Trigger("form_subscribe", owner.double),
            lambda db, ada, _, who: (
                db.write_now(ada.id, lambda tx: subscriptions.start(tx, who, "form", ada.double, API))
                and None
            ),
        ),
        "course_subscribe": (
            Trigger("course_subscribe", owner.sequence),
            lambda db, ada, _, who: join(db, ada, "sequence", ada.sequence, who.email) and None,
        ),
        "course_complete": (
            Trigger("course_complete", owner.sequence),
            lambda db, ada, _, who: complete(db, ada, who),
        ),
        "tag_add": (
            Trigger("tag_add", owner.vip),
            lambda db, ada, _, who: join(db, ada, "tag", ada.vip, who.email) and None,
        ),
        "tag_remove": (Trigger("tag_remove", owner.vip), lambda db, ada, _, who: untag(db, ada, who)),
        "link_click": (
            Trigger("link_click", value=page + "#reviews"),
            lambda db, ada, _, who: click(db, ada, who, page + "&utm_source=letter"),
        ),
        "product_purchase": (
            Trigger("product_purchase", value="7"),
            lambda db, ada, _, who: buy(db, ada, who, "7"),
        ),
        "purchase_create": (
            Trigger("purchase_create"),
            lambda db, ada, _, who: buy(db, ada, who, "8"),
        ),
        "field_change": (
            Trigger("field_change", owner.city, "Berlin"),
            lambda db, ada, _, who: set_field(db, ada, who, "city", "Berlin") and None,
        ),
        "subscriber_activate": (
            Trigger("subscriber_activate"),
            lambda db, ada, _, who: activate(db, ada, who),
        ),
        "subscriber_unsubscribe": (
            Trigger("subscriber_unsubscribe"),
            lambda db, ada, _, who: db.write_now(ada.id, signup.unsubscribe, who.email, API) and None,
        ),
        "date_arrives": (
            Trigger("date_arrives", owner.city, hour=0),
            _on_a_day_to_come,
        ),
        "goes_quiet": (
            Trigger("goes_quiet", days=7, hour=0),
            lambda db, ada, clock, who: go_quiet(db, clock, who, ada),
        ),
    }


def _on_a_day_to_come(db: Database, owner: Owner, clock: Clock, who: Subscriber) -> None:
    clock.move(DAY)
    set_field(db, owner, who, "city", today(clock))


def done(db: Database, owner: Owner, one: automations.Rule, who: Subscriber, kind: str) -> bool:
    """Say whether an action has been done for somebody, by what the database holds."""
    now = db.read_now(owner.id, subscribers.get, who.id)

    def inside(what: str, ref_id: int) -> bool:
        found = db.read_now(owner.id, subscriptions.find, who.id, what, ref_id)
        return found is not None and found.ended_at is None

    place = {
        "tag": ("tag", owner.tag),
        "sequence": ("sequence", owner.sequence),
        "form": ("form", owner.plain),
    }.get(automations.ACTIONS[kind])
    if place is not None:
        return inside(*place) == kind.startswith("add_")
    match kind:
        case "set_field":
            return now.fields["last_name"] == "Ruled"
        case "send_email":
            return [row[0] for row in mails(db, f"rule-email:{one.id}:")] == [who.id]
        case "unsubscribe":
            return now.state == "cancelled"
        case "post":
            return [post["subscriber"]["email_address"] for post in posts(db, one)] == [who.email]
    return any(who.email in str(text) and subject == f"Look {one.id}" for subject, text in notes(db))


def actions(owner: Owner, serial: int) -> dict[str, Action]:
    return {
        "add_tag": Action("add_tag", owner.tag),
        "remove_tag": Action("remove_tag", owner.tag),
        "add_to_sequence": Action("add_to_sequence", owner.sequence),
        "remove_from_sequence": Action("remove_from_sequence", owner.sequence),
        "add_to_form": Action("add_to_form", owner.plain),
        "remove_from_form": Action("remove_from_form", owner.plain),
        "set_field": Action("set_field", owner.last_name, "Ruled"),
        "send_email": Action("send_email", subject="Hello", html="<p>Hello</p>"),
        "unsubscribe": Action("unsubscribe"),
        "post": Action("post", value=URL),
        "tell_owner": Action("tell_owner", subject=f"Look {serial}"),
    }


def prepared(db: Database, owner: Owner, email: str, kind: str, trigger: str) -> Subscriber:
    """Somebody active for whom an action has something to do."""
    who = join(db, owner, "form", owner.plain, email)[1]
    if kind == "remove_tag":
        join(db, owner, "tag", owner.tag, email)
    if kind == "remove_from_sequence" and trigger != "course_subscribe":
        join(db, owner, "sequence", owner.sequence, email)
    if kind == "add_to_form":
        db.write_now(owner.id, subscriptions.leave, who, "form", owner.plain, API)
    return who


@pytest.mark.parametrize("name", sorted(automations.TRIGGERS))
def test_a_trigger_starts_each_action_once(db: Database, cast: Cast, clock: Clock, name: str) -> None:
    ada = cast.ada
    trigger, fire = triggers(ada)[name]
    # Who has left is in nothing, cannot leave again and is not mailed; who has joined is in it.
    nothing_to_do = {
        "subscriber_unsubscribe": {
            "remove_from_form", "remove_from_sequence", "add_to_form", "add_to_sequence", "send_email",
            "unsubscribe",
        },
        "course_subscribe": {"add_to_sequence"},
    }.get(name, set())  # fmt: skip
    for number, kind in enumerate(automations.ACTIONS):
        who = prepared(db, ada, f"{name}.{number}@example.com", kind, name)
        settle(db)
        serial = max((one.rule.id for one in db.read_now(ada.id, automations.all_rules)), default=0) + 1
        one = rule(db, ada, trigger, actions(ada, serial)[kind])
        assert one.id == serial
        fire(db, ada, clock, who)
        settle(db)
        mine = [run for run in runs(db, ada, one) if run.subscriber_id == who.id]
        assert [run.state for run in mine] == ["done"], (kind, mine)
        assert ("skipped" in mine[0].said) == (kind in nothing_to_do), (kind, mine)
        if kind not in nothing_to_do:
            assert done(db, ada, one, who, kind), kind
        settle(db)
        assert len([run for run in runs(db, ada, one) if run.subscriber_id == who.id]) == 1
        db.write_now(ada.id, automations.switch, one.id, on=False)
        # Else the next walk finds them again.
        db.write_now(ada.id, signup.unsubscribe, who.email, API)
