"""The limit without HTTP: the same questions and verbs, asked in a loop of this process."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable

from bench.fill import Filled
from tidings.core import signup, subscribers, subscriptions
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.core.subscribers import lists
from tidings.store.db import Database

Act = Callable[[], Awaitable[object]]
WORKERS = 32


class Direct:
    """Asks each question from one loop, and gives each verb from 32 at once, as the server does."""

    def __init__(self, db: Database, filled: Filled, seconds: float) -> None:
        self._db = db
        self._filled = filled
        self._seconds = seconds
        self._account = filled.keys.account_id
        self._random = random.Random(2)
        self._numbers = itertools.count()

    def run(self) -> dict[str, float]:
        """Return operations a second by the name of the measurement."""
        return asyncio.run(self._all())

    async def _all(self) -> dict[str, float]:
        late = max(1, self._filled.people // 50 * 95 // 100)
        tag, plain, double = self._filled.tags[0], self._filled.plain, self._filled.double
        acts: dict[str, Act] = {
            "GET /subscribers/{id}": lambda: self._read(subscribers.get, self._person()),
            "GET /subscribers?email_address=": lambda: self._read(
                subscribers.find, f"person{self._person()}@example.com"
            ),
            "GET /subscribers, first page": lambda: self._read(lists.page, lists.Query()),
            "GET /subscribers, page at 95 %": lambda: self._read(lists.page, lists.Query(number=late)),
            "GET /subscribers?from=, page at 47 %": lambda: self._read(
                lists.page, lists.Query(number=late // 2, created=(19_875, 10**6))
            ),
            "GET /tags/{id}/subscriptions, first page": lambda: self._subscriptions(tag, 1),
            "GET /tags/{id}/subscriptions, page at 95 %": lambda: self._subscriptions(tag, late),
            "POST subscribe, new": lambda: self._sign_up(plain, Also()),
            "POST subscribe, new, double opt-in": lambda: self._sign_up(double, Also()),
            "POST subscribe, new, two tags": lambda: self._sign_up(plain, Also(tags=self._filled.tags[1:])),
            "POST subscribe, known": lambda: self._sign_up(plain, Also(), f"person{self._person()}"),
        }
        return {what: await self._rate(act) for what, act in acts.items()}

    async def _rate(self, act: Act) -> float:
        until = time.perf_counter() + self._seconds
        began, done = time.perf_counter(), 0

        async def worker() -> None:
            nonlocal done
            while time.perf_counter() < until:
                await act()
                done += 1

        await asyncio.gather(*(worker() for _ in range(WORKERS)))
        return done / (time.perf_counter() - began)

    def _person(self) -> int:
        return self._random.randint(1, self._filled.people)

    async def _read(self, question: Callable[..., object], *args: object) -> object:
        return await self._db.read(self._account, question, *args)

    async def _subscriptions(self, tag: int, number: int) -> object:
        return await self._db.read(
            self._account, subscriptions.page, "tag", tag, state=None, newest_first=False, number=number
        )

    async def _sign_up(self, form: int, also: Also, name: str = "") -> object:
        person = subscribers.person(f"{name or f'direct{next(self._numbers)}'}@example.com")
        origin = Origin(door="api", address="127.0.0.1")
        key = f"{person.address.mailbox}\0{person.address.key}"
        return await self._db.write_sorted(
            key, self._account, signup.sign_up, "form", form, person, also, origin
        )
