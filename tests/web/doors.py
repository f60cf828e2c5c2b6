"""A house on a real SQLite database for the tests of the HTML doors: an account, its forms, its mail."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from tests.web.asgi import Answer, call
from tidings.core import accounts, compose, forms, outbox, signup, subscribers
from tidings.core.deliveries import Delivery
from tidings.core.events import Origin
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Rx
from tidings.tokens import Links
from tidings.web.house import House

BASE = "http://tidings.test"
KEY = b"a master key of at least 32 octets"
START_MS = 1_760_000_000_000


class Rooms:
    """The house and its clock (`now`, epoch ms), with short ways to fill and to look at it."""

    def __init__(self, folder: Path, *, base: str = BASE, rate_limit: int = 0) -> None:
        self.now = START_MS
        self.db = Database(f"sqlite:///{folder}/tidings.db", clock=lambda: self.now, pepper=KEY)
        migrate.migrate(self.db)
        self.account_id = self.account("Ada's letters", "ada@example.com")
        self.house = House(self.db, Links(base, KEY), rate_limit, sends_nothing=True)

    def account(self, name: str, email: str) -> int:
        return self.db.write_now(0, accounts.create, name, email).account_id

    def form(self, name: str = "Letters", **settings: Any) -> forms.Form:
        form_id = self.db.write_now(self.account_id, forms.create, forms.FormSettings(name=name, **settings))
        return self.db.read_now(self.account_id, forms.find, form_id)

    def sign_up(self, form: forms.Form, email: str, first_name: str | None = None) -> int:
        person = subscribers.person(email, first_name)
        joined, _ = self.db.write_now(
            self.account_id, signup.sign_up, "form", form.id, person, signup.Also(), Origin(door="form")
        )
        return joined.id

    def person(self, email: str) -> subscribers.Subscriber | None:
        return self.db.read_now(self.account_id, subscribers.find, email)

    def deliver(self, subscription_id: int) -> int:
        """Compose the confirmation of a subscription and keep it; return the id of the kept mail."""
        occasion = f"confirm:{subscription_id}:1"
        question = "SELECT id, subscriber_id, created_at FROM deliveries WHERE occasion = :occasion"
        row = self.rows(question, occasion=occasion)[0]
        delivery = Delivery(self.account_id, row[0], occasion, row[1], 1, 1, row[2])
        letter = self.db.read_now(self.account_id, compose.letter, delivery, self.house.links)
        return self.keep(letter.data, letter.subject, delivery_id=row[0], to=letter.rcpt_to)

    def keep(
        self, raw: bytes, subject: str = "Hello", *, delivery_id: int = 1, to: str = "bea@example.com"
    ) -> int:
        self.db.write_now(self.account_id, outbox.keep, delivery_id, to, subject, raw)
        return int(self.rows("SELECT MAX(id) FROM outbox")[0][0])

    def rows(self, sql: str, **names: Any) -> list[tuple[Any, ...]]:
        def question(rx: Rx) -> list[tuple[Any, ...]]:
            return rx.all(sql, **names)

        return self.db.read_now(self.account_id, question)

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        tables = self.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {name: self.rows(f"SELECT * FROM {name}") for (name,) in tables}  # noqa: S608


@contextmanager
def rooms(folder: Path, **options: Any) -> Iterator[Rooms]:
    made = Rooms(folder, **options)
    try:
        yield made
    finally:
        made.db.close()


def ask(
    app: ASGIApp,
    method: str,
    path: str,
    body: bytes | Mapping[str, str] = b"",
    headers: Mapping[str, str] | None = None,
    client: str = "192.0.2.7",
) -> Answer:
    """One request, in a loop of its own."""
    return asyncio.run(call(app, method, path, headers, body, client))
