"""The first page's answers: how the list grows, what goes out, what wants the owner's eye. Owns no table."""

import msgspec

from tidings.core import accounts, counters, forms, heartbeats, webhooks
from tidings.core.broadcasts import upcoming
from tidings.core.broadcasts.upcoming import Sent, Upcoming
from tidings.store.tx import Rx

STATES = ("active", "inactive", "cancelled", "bounced", "complained")
# The engine beats every few seconds; after a minute of silence nothing goes out.
SILENT_MS = 60_000
# Refusals of a broadcast are told on the first page for a week: until then they can be tried again.
REFUSED_MS = 7 * 86_400_000
# What a first start names the account before its owner does.
UNNAMED = "you@example.com"


class Day(msgspec.Struct, frozen=True):
    """People who came and who unsubscribed on one UTC day (counted from the epoch)."""

    day: int
    new: int
    left: int

    @property
    def net(self) -> int:
        """By how many the list grew."""
        return self.new - self.left


class Steps(msgspec.Struct, frozen=True):
    """What a new owner has done already."""

    form: bool
    sender: bool
    postal_address: bool
    subscriber: bool
    broadcast: bool

    @property
    def all_done(self) -> bool:
        """Whether nothing of it is left."""
        return all((self.form, self.sender, self.postal_address, self.subscriber, self.broadcast))


class Overview(msgspec.Struct, frozen=True):
    """All but the growth, in a fixed number of queries."""

    people: dict[str, int]
    upcoming: list[Upcoming]
    lately: list[Sent]
    steps: Steps
    failing: list[webhooks.Webhook]
    disabled: list[webhooks.Webhook]
    refused: list[Sent]
    held: str
    engine_at: int | None


def overview(rx: Rx) -> Overview:
    """Return the numbers and warnings of the account."""
    people = {state: counters.total(rx, "subscribers", state=state) for state in STATES}
    hooks = webhooks.all_hearing(rx)
    account = accounts.get(rx)
    last = heartbeats.last(rx, "engine")
    ended = upcoming.lately(rx)
    coming = upcoming.upcoming(rx)
    return Overview(
        people=people,
        upcoming=coming,
        lately=ended,
        steps=Steps(
            form=any(one.archived_at is None for one in forms.all_forms(rx).values()),
            sender=account.primary_email != UNNAMED,
            postal_address=bool(account.postal_address),
            subscriber=sum(people.values()) > 0,
            broadcast=counters.total(rx, "broadcasts") > 0,
        ),
        failing=[one for one in hooks if one.failing_since_at is not None and one.disabled_at is None],
        disabled=[one for one in webhooks.all_webhooks(rx, of_rules=True) if one.disabled_at is not None],
        refused=[one for one in ended if one.failed and one.completed_at > rx.now - REFUSED_MS],
        held=heartbeats.held(rx.for_account(accounts.INSTALLATION)),
        engine_at=last[1] if last else None,
    )


def growth(rx: Rx, days: int) -> list[Day]:
    """Return the last days up to today, oldest first; for a thread (see `counters.by_day`)."""
    today = counters.day_of(rx.now)
    first = today - days + 1
    new = counters.by_day(rx, "subscribers.created", first, today)
    left = counters.by_own_day(rx, "subscribers.cancelled", first, today)
    return [Day(day, new.get(day, 0), left.get(day, 0)) for day in range(first, today + 1)]
