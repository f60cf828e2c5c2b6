"""One life of a sandbox, from the seed to the next reset: its database, its web application, its engine."""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from tidings import app, declare
from tidings.app.metrics import Metrics
from tidings.core import accounts, counters, forms, sequences, subscribers, tags
from tidings.core.accounts import INSTALLATION
from tidings.core.limits import Windows
from tidings.sandbox import mails
from tidings.sandbox.clock import Clock
from tidings.sandbox.engine import Engine
from tidings.sandbox.faults import Faults
from tidings.sandbox.outside import Outside
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Rx
from tidings.tokens import Links
from tidings.web.api_v3 import payloads, shapes
from tidings.web.house import House
from tidings.web.http import Edge, Reply, html_reply, normalise

# The same in every sandbox, so that they can be written into a test. They open nothing else.
API_KEY = "sandbox-api-key"
API_SECRET = "sandbox-api-secret"  # noqa: S105 (it guards nothing)
# What signs links and webhooks: the same every time, so that a test may hold a secret.
_KEY = b"the key of every sandbox, no secret"
_NAME, _EMAIL = "Sandbox", "you@example.com"
_ADDRESS = "Sandbox\n1 Example Street\nSampletown"


class Named(msgspec.Struct, frozen=True):
    """A form, a tag or a sequence."""

    id: int
    name: str


class State(msgspec.Struct, frozen=True):
    """What is there: people by state, and what they can join."""

    subscribers: dict[str, int]
    forms: list[Named]
    sequences: list[Named]
    tags: list[Named]


class World:
    """One life; `account_id` is the only account's, mail up to `seed_mail_id` is the seed's own."""

    def __init__(
        self, path: str, base_url: str, clock: Clock, outside: Outside, faults: Faults, *, rate_limit: int
    ) -> None:
        self.db = _opened(path, clock)
        links = Links(base_url, _KEY)
        self._house = House(self.db, links, rate_limit, sends_nothing=True, payload=payloads.of_event)
        # Without a token nobody is told any figures.
        self._web = app.Web(self._house, Metrics(self.db, ""))
        self.edge = Edge(
            faults.around(self._web),
            log=logging.getLogger("tidings.access"),
            trusted_proxies=(),
            error_reply=_error_of,
            client_shown_as=str,
        )
        self.engine = Engine(self.db, links, outside, clock)
        self.account_id = self.db.read_now(INSTALLATION, accounts.all_accounts)[0].id
        self.seed_mail_id = self.db.read_now(self.account_id, mails.last_id)

    def forget_requests(self) -> None:
        """Begin the rate limit's minute anew: it is counted by the machine's clock, not by ours."""
        self._house.windows = Windows()

    async def close(self) -> None:
        """End it: what is on its way ends, and the database is closed."""
        await self.engine.close()
        await self._web({"type": "lifespan"}, _shutdown, _to_nobody)
        # In a thread, which may wait for the last group of this loop.
        await asyncio.to_thread(self.db.close)


async def seeded(path: str, base_url: str, clock: Clock, seed: tuple[str, str]) -> None:
    """Make a database file with the seed (its text and its name) in it; raise Refused for a bad one.

    What the seed sets going has come to rest in it; none of it left, not to loopback either.
    """
    text, name = seed
    db = _opened(path, clock)
    try:
        migrate.migrate(db)
        keys = db.write_now(
            INSTALLATION, accounts.create, _NAME, _EMAIL, api_key=API_KEY, api_secret=API_SECRET
        )
        # Without one no letter could be sent; a seed may have its own.
        db.write_now(keys.account_id, accounts.describe, postal_address=_ADDRESS)
        declare.apply_text(db, keys.account_id, text, lambda _: None, name=name)
    finally:
        db.close()
    world = World(path, base_url, clock, Outside(clock), Faults(), rate_limit=0)
    try:
        await world.engine.quiet()
    finally:
        await world.close()


def state(rx: Rx) -> State:
    """Say what is there."""
    people = {one: counters.total(rx, "subscribers", 0, one) for one in subscribers.STATES}
    return State(
        people,
        [Named(one.id, one.name) for one in forms.all_forms(rx).values()],
        [Named(one.id, one.name) for one in sequences.all_sequences(rx).values()],
        [Named(one.id, one.name) for one in tags.all_tags(rx).values()],
    )


def _opened(path: str, clock: Clock) -> Database:
    return Database(f"sqlite:///{path}", clock=clock, pepper=_KEY)


def _error_of(path: str) -> Callable[[int, str, str], Reply]:
    """Return how an error is said to who asked for a path."""
    return shapes.error if normalise(path).startswith(("/v3/", "/api/v3/")) else _page


def _page(status: int, title: str, message: str) -> Reply:
    return html_reply(status, f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{message}</p>")


async def _shutdown() -> dict[str, str]:
    return {"type": "lifespan.shutdown"}


async def _to_nobody(_message: object) -> None:
    """Nobody waits for the answer."""
