"""Broadcasts that are on their way, or will be: what the first page tells."""

import msgspec

from tidings.store.tx import Rx

MOST = 6


class Upcoming(msgspec.Struct, frozen=True):
    """A broadcast that is sending or scheduled; `settled` of `recipients` are done."""

    id: int
    subject: str | None
    status: str
    send_at: int | None
    paused_at: int | None
    paused_why: str | None
    recipients: int
    settled: int


class Sent(msgspec.Struct, frozen=True):
    """A broadcast that has ended: opens and clicks of people, once each; `failed` were refused for good."""

    id: int
    subject: str | None
    completed_at: int
    delivered: int
    opens: int
    clicks: int
    unsubscribes: int
    failed: int


def upcoming(rx: Rx) -> list[Upcoming]:
    """Return what is sending, then what is scheduled next; at most `MOST`."""
    sending = rx.all(
        "SELECT id, subject, status, send_at, paused_at, paused_why, recipients, settled FROM broadcasts"
        " WHERE account_id = :account_id AND status = 'sending' ORDER BY id LIMIT :most",
        account_id=rx.account_id,
        most=MOST,
    )
    scheduled = rx.all(
        "SELECT id, subject, status, send_at, paused_at, paused_why, recipients, settled FROM broadcasts"
        " WHERE account_id = :account_id AND status = 'scheduled' ORDER BY send_at, id LIMIT :most",
        account_id=rx.account_id,
        most=MOST - len(sending),
    )
    return [Upcoming(*row) for row in (*sending, *scheduled)]


def lately(rx: Rx, most: int = 5) -> list[Sent]:
    """Return the broadcasts that ended last, newest first."""
    rows = rx.all(
        "SELECT id, subject, COALESCE(completed_at, updated_at), sent + kept, opens, clicks, unsubscribes,"
        " failed FROM broadcasts WHERE account_id = :account_id AND status = 'completed' ORDER BY id DESC"
        " LIMIT :most",
        account_id=rx.account_id,
        most=most,
    )
    return [Sent(*row) for row in rows]
