"""Profile: what a person's page shows beside the timeline, in as many questions for anybody.

What is long is shown by its newest rows only: the timeline and the export have the rest.
"""

from collections.abc import Mapping

import msgspec

from tidings.core import forms, sequences, subscribers, suppressions, tags
from tidings.core.deliveries.report import Attempt
from tidings.core.history import batches, words
from tidings.core.history.sources import Cursor, Found
from tidings.core.history.words import CONSENTS, Moment
from tidings.core.subscribers import Subscriber
from tidings.errors import NotFound
from tidings.mail import address
from tidings.store.tx import Rx

JOINED_MAX = 500
JOURNEYS_MAX = 50
BOUGHT_MAX = 10
CONSENTS_MAX = 20
MAILS_PAGE = 25

_TIMES = "created_at, updated_at, activated_at, cancelled_at, bounced_at, complained_at, time_zone"
_OF_PERSON = " WHERE account_id = :account_id AND subscriber_id = :id"
_JOINED = (
    "SELECT form_id, sequence_id, tag_id, created_at, ended_at, confirmed_at, source FROM subscriptions"  # noqa: S608
    f"{_OF_PERSON} ORDER BY id DESC LIMIT :limit"
)
_JOURNEYS = (
    "SELECT sequence_id, state, next_at, had, created_at, completed_at, ended_at FROM entries"  # noqa: S608
    f"{_OF_PERSON} ORDER BY id DESC LIMIT :limit"
)
_NUMBERS = (
    "SELECT SUM(CASE WHEN state = 'sent' THEN 1 ELSE 0 END), COUNT(opened_at), COUNT(clicked_at),"  # noqa: S608
    f" COUNT(*) FROM deliveries{_OF_PERSON}"
)
_BOUGHT = (
    "SELECT id, transaction_at, total, currency, status, transaction_id FROM purchases"  # noqa: S608
    f"{_OF_PERSON} ORDER BY transaction_at DESC, id DESC LIMIT :limit"
)
_CONSENTED = (
    "SELECT id, created_at, name, subject_id, value, cause FROM events"  # noqa: S608 (our names)
    f"{_OF_PERSON} AND name IN ({', '.join(repr(name) for name in CONSENTS)}) ORDER BY id DESC LIMIT :limit"
)
_MAILS = (
    "SELECT id, occasion, state, attempts, reply, created_at, handed_at, settled_at, opened_at, clicked_at,"  # noqa: S608
    f" machine_opened_at, machine_clicked_at FROM deliveries{_OF_PERSON} AND id < :before_id"
    " ORDER BY id DESC LIMIT :limit"
)


class Times(msgspec.Struct, frozen=True):
    """When a person was made, changed, and put into each state; and their time zone, where it is known."""

    created_at: int
    updated_at: int
    activated_at: int | None
    cancelled_at: int | None
    bounced_at: int | None
    complained_at: int | None
    time_zone: str | None


class Joined(msgspec.Struct, frozen=True):
    """One form, sequence or tag of a person, and since when; `ended_at` is when they left it."""

    kind: str
    ref_id: int
    name: str
    joined_at: int
    ended_at: int | None
    confirmed_at: int | None
    source: str | None


class Journey(msgspec.Struct, frozen=True):
    """One time through a sequence: inside, held, ended or left; `had` is how many emails it gave."""

    sequence_id: int
    name: str
    state: str
    next_at: int | None
    had: int
    began_at: int
    completed_at: int | None
    ended_at: int | None


class Mail(msgspec.Struct, frozen=True):
    """One mail to a person and what became of it; `tries` are those that did not simply succeed."""

    id: int
    title: str
    state: str
    attempts: int
    reply: str | None
    created_at: int
    handed_at: int | None
    settled_at: int | None
    opened_at: int | None
    clicked_at: int | None
    machine_opened_at: int | None
    machine_clicked_at: int | None
    tries: list[Attempt]


class Bought(msgspec.Struct, frozen=True):
    """One purchase; `products` are names and quantities."""

    id: int
    at: int
    total: str
    currency: str
    status: str
    transaction_id: str
    products: list[tuple[str, int]]


class Numbers(msgspec.Struct, frozen=True):
    """How many mails a person was sent, opened and clicked in, and how many there are in all."""

    sent: int
    opened: int
    clicked: int
    mails: int


class Profile(msgspec.Struct, frozen=True):
    """A person whole; `held_since` is since when their mailbox is suppressed."""

    who: Subscriber
    times: Times
    joined: list[Joined]
    journeys: list[Journey]
    numbers: Numbers
    bought: list[Bought]
    consents: list[Moment]
    held_since: int | None


def of(rx: Rx, subscriber_id: int) -> Profile:
    """Return a person's profile, or raise NotFound: ten questions, whatever they have."""
    who = subscribers.get(rx, subscriber_id)
    row = rx.one(
        f"SELECT {_TIMES} FROM subscribers WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=subscriber_id,
    )
    if row is None:
        raise NotFound("subscriber")
    return Profile(
        who,
        Times(*row),
        _joined(rx, subscriber_id),
        _journeys(rx, subscriber_id),
        _numbers(rx, subscriber_id),
        _bought(rx, subscriber_id),
        _consents(rx, subscriber_id),
        _held_since(rx, who.email),
    )


def mails(rx: Rx, subscriber_id: int, *, before_id: int = 2**62) -> tuple[list[Mail], int | None]:
    """Return one page of a person's mails, newest first, and where the next one begins."""
    rows = rx.all(
        _MAILS, account_id=rx.account_id, id=subscriber_id, before_id=before_id, limit=MAILS_PAGE + 1
    )
    shown = rows[:MAILS_PAGE]
    found = [Found(Cursor(row[5], 0, row[0]), "mail", row[1:4]) for row in shown]
    batch = batches.ask(rx, found)
    names = words.Names(rx, batch)
    listed = [Mail(*(row[0], names.occasion(row[1]), *row[2:], batch.tries.get(row[0], []))) for row in shown]
    return listed, shown[-1][0] if len(rows) > MAILS_PAGE else None


def _joined(rx: Rx, subscriber_id: int) -> list[Joined]:
    known: dict[str, Mapping[int, forms.Form | sequences.Sequence | tags.Tag]] = {
        "form": forms.all_forms(rx),
        "sequence": sequences.all_sequences(rx),
        "tag": tags.all_tags(rx),
    }
    listed = []
    for form_id, sequence_id, tag_id, *rest in rx.all(
        _JOINED, account_id=rx.account_id, id=subscriber_id, limit=JOINED_MAX
    ):
        for kind, ref_id in (("form", form_id), ("sequence", sequence_id), ("tag", tag_id)):
            thing = known[kind].get(ref_id)
            # A tag that was deleted is taken off people slice by slice: it is gone for whoever looks.
            if ref_id is not None and (thing or kind != "tag"):
                listed.append(Joined(kind, ref_id, thing.name if thing else f"{ref_id} (gone)", *rest))
    return listed


def _journeys(rx: Rx, subscriber_id: int) -> list[Journey]:
    known = sequences.all_sequences(rx)
    return [
        Journey(
            sequence_id,
            known[sequence_id].name if sequence_id in known else f"{sequence_id} (gone)",
            state,
            next_at,
            len(had.split(",")) if had else 0,
            *rest,
        )
        for sequence_id, state, next_at, had, *rest in rx.all(
            _JOURNEYS, account_id=rx.account_id, id=subscriber_id, limit=JOURNEYS_MAX
        )
    ]


def _numbers(rx: Rx, subscriber_id: int) -> Numbers:
    row = rx.one(_NUMBERS, account_id=rx.account_id, id=subscriber_id)
    return Numbers(*(int(one or 0) for one in row)) if row else Numbers(0, 0, 0, 0)


def _bought(rx: Rx, subscriber_id: int) -> list[Bought]:
    rows = rx.all(_BOUGHT, account_id=rx.account_id, id=subscriber_id, limit=BOUGHT_MAX)
    lines = batches.of(rx, {"products": {row[0] for row in rows}}).products
    return [Bought(*(*row, lines.get(row[0], [])[: batches.PRODUCTS_MAX])) for row in rows]


def _consents(rx: Rx, subscriber_id: int) -> list[Moment]:
    """Return what says that this person wants mail, newest first."""
    rows = rx.all(_CONSENTED, account_id=rx.account_id, id=subscriber_id, limit=CONSENTS_MAX)
    found = [Found(Cursor(row[1], 0, row[0]), "event", row[2:]) for row in rows]
    names = words.Names(rx, batches.ask(rx, found))
    return [names.moment(one) for one in found]


def _held_since(rx: Rx, email: str) -> int | None:
    mailbox = address.parse(email).mailbox if email else ""
    return suppressions.since(rx, mailbox) if suppressions.holds(rx, mailbox) else None
