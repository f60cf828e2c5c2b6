"""Sources: where the moments of a person lie, each asked for its newest before a place.

A place in the timeline is a time, the rank of the source, and the id within it; so pages neither
repeat nor leave out anything, also where many things happened in one millisecond.
"""

from typing import Any

import msgspec

from tidings.store.tx import Rx

_NO_ID = 2**62


class Cursor(msgspec.Struct, frozen=True):
    """A place in a timeline: epoch ms, the source's rank, the id in it."""

    at: int
    rank: int
    id: int

    @property
    def order(self) -> tuple[int, int, int]:
        """What places are compared by."""
        return self.at, self.rank, self.id


class Found(msgspec.Struct, frozen=True):
    """One row of a source, at its place; what `row` holds is the source's matter."""

    place: Cursor
    source: str
    row: tuple[Any, ...]


class Source(msgspec.Struct, frozen=True):
    """One kind of rows; `sql` answers id, time, and what `words` makes sentences of."""

    name: str
    rank: int
    sql: str


_OF_PERSON = " WHERE account_id = :account_id AND subscriber_id = :subscriber_id"
# The time of a mail is when it came to its end, or went over the wire, or was queued.
_MAIL_AT = "COALESCE(settled_at, handed_at, created_at)"
_TAILS = {
    column: (
        f" AND ({column} < :at OR ({column} = :at AND id < :before_id))"
        f" ORDER BY {column} DESC, id DESC LIMIT :limit"
    )
    for column in ("created_at", "at", "transaction_at", _MAIL_AT)
}
SOURCES = (
    Source(
        "event",
        7,
        "SELECT id, created_at, name, subject_id, value, cause FROM events"  # noqa: S608 (constants)
        f"{_OF_PERSON}{_TAILS['created_at']}",
    ),
    Source(
        "mail",
        6,
        f"SELECT id, {_MAIL_AT}, occasion, state, attempts, reply, created_at, handed_at FROM deliveries"  # noqa: S608 (constants)
        f"{_OF_PERSON}{_TAILS[_MAIL_AT]}",
    ),
    Source(
        "hit",
        5,
        "SELECT id, at, delivery_id, link_id, machine, agent, address FROM hits"  # noqa: S608 (constants)
        f"{_OF_PERSON}{_TAILS['at']}",
    ),
    Source(
        "purchase",
        4,
        "SELECT id, transaction_at, transaction_id, status, currency, total, integration FROM purchases"  # noqa: S608 (constants)
        f"{_OF_PERSON}{_TAILS['transaction_at']}",
    ),
    Source(
        "notice",
        3,
        "SELECT id, created_at, webhook_id, name, state, attempts FROM notices"  # noqa: S608 (constants)
        f"{_OF_PERSON}{_TAILS['created_at']}",
    ),
    Source(
        "rule",
        2,
        "SELECT id, created_at, rule_id, occasion, state, said FROM rule_runs"  # noqa: S608 (constants)
        f"{_OF_PERSON}{_TAILS['created_at']}",
    ),
    Source(
        "leave",
        1,
        "SELECT id, created_at, delivery_id, way, state_before, undone_at FROM leaves"  # noqa: S608 (constants)
        f"{_OF_PERSON}{_TAILS['created_at']}",
    ),
)


def newest(rx: Rx, source: Source, subscriber_id: int, before: Cursor | None, limit: int) -> list[Found]:
    """Return the newest rows of a source before a place."""
    at, before_id = _NO_ID, _NO_ID
    if before is not None:
        at = before.at
        # At the very time of the place: all of a lower rank is behind it, nothing of a higher one.
        before_id = _NO_ID if source.rank < before.rank else 0
        if source.rank == before.rank:
            before_id = before.id
    rows = rx.all(
        source.sql,
        account_id=rx.account_id,
        subscriber_id=subscriber_id,
        at=at,
        before_id=before_id,
        limit=limit,
    )
    return [Found(Cursor(row[1], source.rank, row[0]), source.name, row[2:]) for row in rows]
