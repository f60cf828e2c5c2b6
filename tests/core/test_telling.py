"""Telling: each event once to every webhook that waits for it, and to no other."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.cast import API, HOUR, Cast, Clock, Owner, join, rows
from tests.core.test_tracking import URLS, Post
from tidings import declare
from tidings.core import advance, events, purchases, sequences, signup, subscribers, telling, webhooks
from tidings.core.accounts import INSTALLATION
from tidings.core.events import Event
from tidings.core.purchases import Order
from tidings.core.webhooks import NEEDS, Webhook
from tidings.store.db import Database
from tidings.web.api_v3 import payloads

EMAIL = "nia@example.com"
Doing = Callable[["World"], object]


class World:
    """Ada's account, and what people do in it."""

    def __init__(self, db: Database, cast: Cast, clock: Clock) -> None:
        self.db, self.cast, self.clock, self.ada = db, cast, clock, cast.ada
        self.post: Post | None = None
        self.untagged = False

    def verb(self, verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self.db.write_now(self.ada.id, verb, *args, **options)

    def join(self, kind: str, ref_id: int) -> None:
        join(self.db, self.ada, kind, ref_id, EMAIL)

    def leave(self, kind: str, ref_id: int) -> None:
        self.verb(signup.leave, kind, ref_id, EMAIL, API)

    def become(self, state: str) -> None:
        text = f'[[subscribers]]\nemail = "{EMAIL}"\nstate = "{state}"\n'
        declare.apply_text(self.db, self.ada.id, text, lambda _: None)

    def buy(self, pid: str = "71") -> None:
        product: dict[str, object] = {"pid": pid, "lid": "1", "name": "Disk", "sku": "s"}
        order = Order(transaction_id="t-1", email=EMAIL, products=[product, {**product, "lid": "2"}])
        self.verb(purchases.record, order, API)

    def complete(self) -> None:
        if not self.db.read_now(self.ada.id, sequences.emails, self.ada.sequence):
            email = sequences.SequenceEmail("Hi", "<p>x</p>", 0)
            self.verb(sequences.add_email, self.ada.sequence, email)
        self.join("sequence", self.ada.sequence)
        for _ in range(3):
            self.clock.move(HOUR)
            while self.db.write_now(INSTALLATION, advance.tick, 100):
                pass

    def click(self) -> None:
        self.post = self.post or Post(self.db, self.cast, self.clock)
        self.post.record(self.post.clicked(), self.post.clicked())

    def untag(self) -> None:
        """Take a tag off that was on; a second time there is none to take."""
        if not self.untagged:
            self.join("tag", self.ada.tag)
        self.leave("tag", self.ada.tag)
        self.untagged = True

    def tell(self) -> None:
        while self.db.write_now(INSTALLATION, telling.tell, payloads.of_event):
            pass

    def hook(self, event: str, about: int | str | None, owner: Owner | None = None) -> Webhook:
        needs = NEEDS[event]
        made: Webhook = self.db.write_now(
            (owner or self.ada).id,
            webhooks.create,
            event,
            "https://example.com/in",
            subject=needs[0] if needs else None,
            subject_id=about if isinstance(about, int) else None,
            value=about if isinstance(about, str) else None,
        )
        return made

    def told(self, webhook: Webhook) -> list[dict[str, Any]]:
        found = rows(self.db, "SELECT body FROM notices WHERE webhook_id = :id ORDER BY id", id=webhook.id)
        return [json.loads(str(body)) for (body,) in found]


@pytest.fixture
def world(db: Database, cast: Cast, clock: Clock) -> World:
    return World(db, cast, clock)


# For each event: what it is about here, what else it might be about, and what brings it about, twice.
CASES: dict[str, tuple[Callable[[Owner], int | str | None], int | str | None, Doing]] = {
    "subscriber_activate": (lambda _: None, None, lambda w: w.join("form", w.ada.plain)),
    "subscriber_unsubscribe": (
        lambda _: None,
        None,
        lambda w: (w.join("tag", w.ada.vip), w.verb(signup.unsubscribe, EMAIL, API)),
    ),
    "subscriber_bounce": (lambda _: None, None, lambda w: w.become("bounced")),
    "subscriber_complain": (lambda _: None, None, lambda w: w.become("complained")),
    "form_subscribe": (lambda o: o.plain, 999, lambda w: w.join("form", w.ada.plain)),
    "course_subscribe": (lambda o: o.sequence, 999, lambda w: w.join("sequence", w.ada.sequence)),
    "course_complete": (lambda o: o.sequence, 999, lambda w: w.complete()),
    "tag_add": (lambda o: o.tag, 999, lambda w: w.join("tag", w.ada.tag)),
    "tag_remove": (lambda o: o.tag, 999, lambda w: w.untag()),
    "link_click": (lambda _: URLS[0] + "?utm_source=x#y", "https://example.com/z", lambda w: w.click()),
    "product_purchase": (lambda _: 71, 72, lambda w: w.buy()),
    "purchase_create": (lambda _: None, None, lambda w: w.buy()),
}


def test_every_event_has_its_case() -> None:
    assert set(CASES) == set(events.NAMES)


@pytest.mark.parametrize("event", CASES)
def test_each_event_is_told_once_for_what_is_new_and_not_for_what_is_not(world: World, event: str) -> None:
    about, other, bring = CASES[event]
    hook = world.hook(event, about(world.ada))
    others = [world.hook(event, other)] if other is not None else []
    others.append(world.hook(event, about(world.ada), world.cast.eve))
    others += [
        world.hook(name, CASES[name][0](world.ada))
        for name in ("subscriber_complain", "subscriber_bounce")
        if name != event
    ]
    bring(world)
    world.tell()
    (first,) = world.told(hook)
    bring(world)
    world.tell()
    assert world.told(hook) == [first]
    assert [world.told(one) for one in others] == [[] for _ in others]
    if event == "purchase_create":
        assert (first["transaction_id"], first["products"][0]["pid"]) == ("t-1", "71")
    else:
        assert set(first) == {"subscriber"}
        assert set(first["subscriber"]) == {
            "id", "first_name", "email_address", "state", "created_at", "fields",
        }  # fmt: skip


def test_what_is_told_is_the_person_and_the_purchase_as_they_were(world: World) -> None:
    tagged, bought = world.hook("tag_add", world.ada.tag), world.hook("purchase_create", None)
    join(world.db, world.ada, "tag", world.ada.tag, EMAIL, "Nia", {"city": "Rome"})
    world.buy()
    order = Order(transaction_id="t-1", email=EMAIL, status="refunded", products=[])
    world.verb(purchases.record, order, API)
    who = world.db.read_now(world.ada.id, subscribers.find, EMAIL)
    assert who is not None
    world.verb(subscribers.update, who.id, email="new@example.com", first_name="Zoe", fields={"city": None})
    world.tell()
    (person,) = world.told(tagged)
    said = person["subscriber"]
    assert (said["first_name"], said["email_address"]) == ("Nia", EMAIL)
    assert said["fields"] == {"last_name": None, "city": "Rome"}
    (purchase,) = world.told(bought)
    assert (purchase["status"], len(purchase["products"])) == ("paid", 2)


def test_events_that_nobody_waits_for_are_told_from_the_start(world: World) -> None:
    world.join("tag", world.ada.tag)
    assert not world.db.read_now(INSTALLATION, telling.any_untold)
    hook = world.hook("tag_add", world.ada.vip)
    world.join("tag", world.ada.vip)
    assert world.db.read_now(INSTALLATION, telling.any_untold)
    world.tell()
    assert len(world.told(hook)) == 1
    world.verb(webhooks.delete, hook.id)
    world.leave("tag", world.ada.vip)
    world.join("tag", world.ada.vip)
    assert not world.db.read_now(INSTALLATION, telling.any_untold)


def test_two_that_tell_at_once_tell_each_event_once(world: World, open_db: Callable[[], Database]) -> None:
    hook = world.hook("tag_add", world.ada.tag)
    for n in range(60):
        join(world.db, world.ada, "tag", world.ada.tag, f"p{n}@example.com")
    both = (world.db, open_db())

    async def check() -> None:
        while any(
            await asyncio.gather(
                *(one.write(INSTALLATION, telling.tell, payloads.of_event, 7) for one in both)
            )
        ):
            pass

    asyncio.run(check())
    assert len({one["subscriber"]["id"] for one in world.told(hook)}) == len(world.told(hook)) == 60


def test_a_shaper_that_fails_tells_nothing_and_loses_nothing(world: World) -> None:
    hook = world.hook("tag_add", world.ada.tag)
    world.join("tag", world.ada.tag)

    def broken(event: Event) -> str:
        raise RuntimeError(event.name)

    with pytest.raises(RuntimeError):
        world.db.write_now(INSTALLATION, telling.tell, broken)
    assert world.told(hook) == []
    world.tell()
    assert len(world.told(hook)) == 1
