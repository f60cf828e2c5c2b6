"""The cast by name, the clock that stands, and the words that tests say often."""

from dataclasses import dataclass

from tidings.core import accounts, custom_fields, forms, sequences, signup, subscribers, subscriptions, tags
from tidings.core.events import Event, Origin, of_subscriber
from tidings.core.signup import Also
from tidings.core.subscribers import Subscriber
from tidings.core.subscriptions import Subscription
from tidings.store.db import Database
from tidings.store.tx import Tx

SECOND = 1_000
HOUR = 3_600_000
DAY = 24 * HOUR
# Noon UTC: an hour either way stays within the day.
NOON = 1_785_585_600_000
API = Origin("api", "203.0.113.7")


class Clock:
    """A clock that moves only when told to; epoch ms, UTC."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def move(self, ms: int) -> None:
        """Let so many milliseconds pass."""
        self.now += ms


@dataclass(frozen=True)
class Owner:
    """An account and what it has: ids of two forms, a sequence, two tags and two fields."""

    id: int
    api_key: str
    api_secret: str
    double: int
    plain: int
    sequence: int
    tag: int
    vip: int
    last_name: int
    city: int


@dataclass(frozen=True)
class Cast:
    """Ada's newsletter with Bea (active), Cal (unconfirmed) and Dee (bounced); and Eve's account."""

    ada: Owner
    eve: Owner
    bea: int
    cal: int
    dee: int


def open_account(tx: Tx, name: str) -> Owner:
    """Make an account with forms, a sequence, tags and fields, in one verb."""
    keys = accounts.create(tx, f"{name}'s newsletter", f"{name.lower()}@example.com")
    own = tx.for_account(keys.account_id)
    tag, vip = tags.create(own, ["customer", "vip"])
    last_name, city = custom_fields.create(own, ["Last name", "City"])
    return Owner(
        keys.account_id,
        keys.api_key,
        keys.api_secret,
        forms.create(own, forms.FormSettings(name="Double")),
        forms.create(own, forms.FormSettings(name="Plain", confirmation="none")),
        sequences.create(own, "Onboarding"),
        tag.id,
        vip.id,
        last_name.id,
        city.id,
    )


def engage(tx: Tx) -> Cast:
    """Make the whole cast, in one verb."""
    ada, eve = open_account(tx, "Ada"), open_account(tx, "Eve")
    own = tx.for_account(ada.id)
    bea = _sign_up(own, ada.plain, "bea@example.com", "Bea")
    cal = _sign_up(own, ada.double, "cal@example.com", "Cal")
    dee = _sign_up(own, ada.plain, "dee@example.com", "Dee")
    subscriptions.turn(own, dee, "bounced")
    return Cast(ada, eve, bea.id, cal.id, dee.id)


def _sign_up(tx: Tx, form_id: int, email: str, name: str) -> subscribers.Subscriber:
    _, who = signup.sign_up(tx, "form", form_id, subscribers.person(email, name), Also(), API)
    return who


def join(
    db: Database,
    owner: Owner,
    kind: str,
    ref_id: int,
    email: str,
    first_name: str | None = None,
    fields: dict[str, object] | None = None,
    also: Also | None = None,
) -> tuple[Subscription, Subscriber]:
    """Sign somebody up through the API."""
    person = subscribers.person(email, first_name, fields)
    return db.write_now(owner.id, signup.sign_up, kind, ref_id, person, also or Also(), API)


def told(db: Database, owner: Owner, subscriber_id: int) -> list[Event]:
    """Return a person's events, oldest first."""
    return db.read_now(owner.id, of_subscriber, subscriber_id)


def names(db: Database, owner: Owner, subscriber_id: int) -> list[str]:
    """Return the names of a person's events, oldest first."""
    return [event.name for event in told(db, owner, subscriber_id)]


def rows(db: Database, sql: str, **params: object) -> list[tuple[object, ...]]:
    """Ask the database itself."""
    return db.read_now(accounts.INSTALLATION, lambda rx: rx.all(sql, **params))
