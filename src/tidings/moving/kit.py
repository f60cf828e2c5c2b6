"""Pulling an account from an address that speaks the ConvertKit API v3, page by page.

Every page of a list is one slice, so a pull that was stopped goes on with the next page, and one that
is run again reads each list from its newest end until a page brings nothing new, and all who changed since
the day of the last one. The address is asked by the guarded client: one of this machine or a private network
only where it is allowed, as for webhooks.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Self, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from tidings.core import custom_fields, events, forms, importing, purchases, sequences, tags
from tidings.core.events import Origin
from tidings.core.importing import Import, Incoming, Slice, Tally
from tidings.errors import Problem
from tidings.mail import address
from tidings.moving import kit_things, names
from tidings.moving.kit_things import Refs
from tidings.moving.people import clean_value, moment, packed
from tidings.moving.source import Unreadable
from tidings.outbound.addresses import Network
from tidings.outbound.client import Outbound
from tidings.outbound.target import Refused, checked
from tidings.store.db import Database

T = TypeVar("T")
# What ConvertKit allows in a minute.
PER_MINUTE = 120
ANSWER_MAX = 32 * 1_048_576
TIMEOUT_S = 60
TRIES = 6
DAY_MS = 86_400_000
# Pages of one list; the place of a pull is the list times this, and the page.
PAGES_MAX = 1_000_000
_LISTS = {"form": "forms", "sequence": "sequences", "tag": "tags"}


class Person(msgspec.Struct):
    """A subscriber as v3 shows them."""

    email_address: str
    state: str = "active"
    first_name: str | None = None
    created_at: str = ""
    fields: dict[str, str | int | float | None] = {}


class Subscribed(msgspec.Struct):
    """A subscription as v3 shows it."""

    subscriber: Person
    state: str = "active"


class Thing(msgspec.Struct):
    """A form, sequence, tag or custom field."""

    id: int
    name: str = ""
    label: str = ""
    archived: bool = False


class Bought(msgspec.Struct):
    """A purchase as v3 shows it."""

    transaction_id: str
    email_address: str
    status: str = "paid"
    currency: str = "USD"
    transaction_time: str = ""
    subtotal: Decimal = Decimal(0)
    discount: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    shipping: Decimal = Decimal(0)
    total: Decimal = Decimal(0)
    products: list[dict[str, object]] = []


class Page(msgspec.Struct):
    """Whatever a list answers; only what it is about is filled."""

    total_pages: int = 1
    subscribers: list[Person] = []
    subscriptions: list[Subscribed] = []
    purchases: list[Bought] = []
    forms: list[Thing] = []
    courses: list[Thing] = []
    tags: list[Thing] = []
    custom_fields: list[Thing] = []


class Walk(msgspec.Struct, frozen=True):
    """One list to be read: its path, what its people join; a `whole` one is read to its end each time."""

    path: str
    thing: tuple[str, int] | None = None
    params: dict[str, str] = {}
    whole: bool = False


class Remote:
    """Asks an address, within `PER_MINUTE`; waits when it is told to, and tries again what is passing."""

    def __init__(
        self,
        url: str,
        secret: str,
        sleep: Callable[[float], None] = time.sleep,
        *,
        allow: Sequence[Network] = (),
    ) -> None:
        try:
            self._host = checked(url, allow).raw_host
        except Refused as problem:
            raise Unreadable(f"{problem}; private ones only where TIDINGS_WEBHOOK_ALLOW says so") from problem
        self._url = url.rstrip("/")
        self._secret = secret
        self._sleep = sleep
        self._said = ""
        self._asked: deque[float] = deque()
        self._decoder = msgspec.json.Decoder(Page, strict=False)
        self._outbound = Outbound(allow=allow, total_s=TIMEOUT_S, connections=1, answer_max=ANSWER_MAX)
        self._loop = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._outbound.close())
        self._loop.close()

    def get(self, path: str, **params: str) -> Page:
        """Return one page; raise Unreadable when the address does not answer as v3 does."""
        return self.ask(path, self._decoder, params)

    def ask(self, path: str, decoder: msgspec.json.Decoder[T], params: dict[str, str]) -> T:
        """Return an answer as `decoder` reads it; raises as `get` does."""
        wait, status = 1.0, 0
        for last in (False,) * (TRIES - 1) + (True,):
            self._take_turn()
            status, after, body = self._ask(path, params)
            if status == 200:
                try:
                    return decoder.decode(body)
                except msgspec.DecodeError as problem:
                    raise Unreadable(f"the answer to {path} is none of the API v3: {problem}") from problem
            if last or not (status in (0, 429) or status >= 500):
                break
            self._sleep(min(max(wait, after), 120))
            wait *= 2
        said = {0: self._said or "no answer", 401: "the secret is refused", 404: "not found"}.get(
            status, f"status {status}"
        )
        raise Unreadable(f"{self._host}: {path}: {said}; what came before is in, try again later")

    def _take_turn(self) -> None:
        now = time.monotonic()
        if len(self._asked) == PER_MINUTE:
            self._sleep(max(self._asked.popleft() + 60 - now, 0))
        self._asked.append(time.monotonic())

    def _ask(self, path: str, params: dict[str, str]) -> tuple[int, float, bytes]:
        """Return the status (0: none), how long to wait, and the body."""
        query = urlencode({**params, "api_secret": self._secret})
        answer = self._loop.run(self._outbound.get(f"{self._url}/v3/{path}?{query}"))
        if answer.error and answer.status is not None:
            raise Unreadable(f"the answer to {path}: {answer.error}")
        self._said = answer.error
        return answer.status or 0, answer.retry_after_s or 0, answer.body


def pull(
    db: Database, account_id: int, remote: Remote, url: str, shown: Callable[[Tally, int, int], None]
) -> tuple[Import, list[str]]:
    """Bring an account in, go on with it, or bring what is new; return the import, and what was left out."""
    digest = f"kit {urlsplit(url).netloc} {account_id}"
    done_before = [
        one.created_at
        for one in db.read_now(account_id, importing.latest)
        if one.digest == digest and one.state == "done"
    ]
    again = bool(done_before)
    refs: Refs = {}
    walks = list(_define(db, account_id, remote, refs))
    if done_before:
        # The day before, for the clocks of two machines.
        since = datetime.fromtimestamp((max(done_before) - DAY_MS) / 1_000, UTC).date().isoformat()
        walks.append(Walk("subscribers", None, {"updated_from": since}, whole=True))
    one = db.write_now(account_id, importing.begin, urlsplit(url).netloc, digest, "{}")
    place, tally = one.place, one.tally
    done = place.record
    keys = {field.key: str(field.id) for field in db.write_now(account_id, custom_fields.all_fields)}
    for number, walk in enumerate(walks):
        page = max(done - number * PAGES_MAX, 0) + 1
        pages = page
        while page <= pages:
            order = {"sort_order": "desc"} if again else {}
            found = remote.get(walk.path, page=str(page), **{**walk.params, **order})
            pages = min(found.total_pages, PAGES_MAX - 1)
            until = number * PAGES_MAX + page
            given = _slice(found, walk, keys, until, one.created_at)
            if until > done:
                taken = db.write_now(account_id, importing.take, one.id, place, given)
                place, done = taken.place, until
                tally.add(taken.tally)
                shown(tally, number, len(walks))
                if again and not walk.whole and not (taken.tally.made or taken.tally.changed):
                    break
            page += 1
    left = _purchases(db, account_id, remote, again=again)
    left += kit_things.broadcasts_of(db, account_id, remote)
    left += kit_things.webhooks_of(db, account_id, remote, refs)
    return db.write_now(account_id, importing.finish, one.id), left


def _define(db: Database, account_id: int, remote: Remote, refs: Refs) -> Iterator[Walk]:
    """Make what the account there has and this one has not, and yield the lists to be read."""
    labels = {field.key for field in db.write_now(account_id, custom_fields.all_fields)}
    for field in remote.get("custom_fields").custom_fields:
        if custom_fields.key_of(field.label) not in labels:
            db.write_now(account_id, custom_fields.create, [field.label])
    known = {
        "form": {one.name: one.id for one in db.write_now(account_id, forms.all_forms).values()},
        "sequence": {one.name: one.id for one in db.write_now(account_id, sequences.all_sequences).values()},
        "tag": {one.name.casefold(): one.id for one in db.write_now(account_id, tags.all_tags).values()},
    }
    for kind, path in _LISTS.items():
        page = remote.get(path)
        for thing in page.forms or page.courses or page.tags:
            name = thing.name.casefold() if kind == "tag" else thing.name
            if name not in known[kind]:
                known[kind][name] = db.write_now(account_id, names.make, kind, thing.name)
            refs[kind, thing.id] = known[kind][name]
            yield Walk(f"{path}/{thing.id}/subscriptions", (kind, known[kind][name]))
    yield Walk("subscribers")
    yield Walk("subscribers", None, {"sort_field": "cancelled_at"})


def _slice(found: Page, walk: Walk, keys: dict[str, str], until: int, now: int) -> Slice:
    """Return the people of a page; who has left a form or a sequence does not join it."""
    people: dict[str, Incoming] = {}
    things: dict[str, int] = {}
    rejected = 0
    listed = [(one, 0) for one in found.subscribers]
    for one in found.subscriptions:
        ended = one.state == "cancelled" and walk.thing is not None and walk.thing[0] != "tag"
        listed.append((one.subscriber, 0 if ended else 1))
    for person, joins in listed:
        try:
            who = address.parse(person.email_address)
        except ValueError:
            rejected += 1
            continue
        created_at = min(moment(person.created_at) or now, now)
        fields = {
            keys[key]: clean_value(str(value))
            for key, value in person.fields.items()
            if key in keys and value not in (None, "")
        }
        since = created_at if person.state == "active" else now
        name = (person.first_name or "")[:255] or None
        shown = {key: fields.get(row_id) for key, row_id in keys.items()}
        people[who.key] = Incoming(
            until, until, who.email, who.key, who.mailbox, name, person.state, packed(fields), created_at,
            since, importing.said(who.email, name, person.state, created_at, shown), importing.cause(until),
        )  # fmt: skip
        things[who.key] = joins
    combos = [[], [walk.thing] if walk.thing else []]
    return Slice(list(people.values()), list(things.values()), combos, until, rejected=rejected)


def _purchases(db: Database, account_id: int, remote: Remote, *, again: bool) -> list[str]:
    """Bring purchases in, the newest first; return what was left out.

    A purchase that is recorded is told to whoever listens, so where somebody does none is brought.
    """
    if db.write_now(account_id, events.listened) & {"purchase_create", "product_purchase"}:
        return ["purchases: a webhook or a rule of this account would be told of each; switch it off first"]
    page = pages = 1
    while page <= pages:
        found = remote.get("purchases", page=str(page))
        pages = min(found.total_pages, PAGES_MAX)
        for one in found.purchases:
            if db.read_now(account_id, purchases.by_transaction, one.transaction_id) is not None:
                if again:
                    return []
                continue
            try:
                db.write_now(account_id, purchases.record, _order(one), Origin("command"))
            except Problem as problem:
                return [f"purchase {one.transaction_id}: {problem}"]
        page += 1
    return []


def _order(one: Bought) -> purchases.Order:
    return purchases.Order(
        transaction_id=one.transaction_id,
        email=one.email_address,
        currency=one.currency,
        status=one.status,
        subtotal=str(one.subtotal),
        discount=str(one.discount),
        tax=str(one.tax),
        shipping=str(one.shipping),
        total=str(one.total),
        transaction_at=moment(one.transaction_time),
        products=one.products,
    )
