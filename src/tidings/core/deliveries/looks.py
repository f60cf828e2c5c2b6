"""Looks: what waits and why, what was refused and what failed lately, for a page.

Every question is bounded by a number of rows, whatever the account has: more is told as "so many and more".
"""

import re

import msgspec

from tidings.store.tx import Rx

# Rows that are counted, and rows of which the newest tell why they wait.
COUNTED_MOST = 5_000
TOLD_MOST = 500
# The newest tries that did not simply succeed: some 20 ms, whatever was refused.
REFUSALS_MOST = 10_000
UNSENT = 20
REASONS = 4

# What a reply begins with where it holds the server's own words.
_CODE = re.compile(r"([245]\d\d)(?:[ -]+([245]\.\d{1,3}\.\d{1,3})(?![.\d]))?")

# As much of a reply as holds both codes: replies are alike so far, and behind it hardly ever.
_HEAD = (
    "CASE WHEN substr(reply, 1, 10) = 'given up: ' THEN substr(reply, 11, 13)"
    " WHEN substr(reply, 1, 20) = 'the server answered ' THEN substr(reply, 21, 13)"
    " ELSE substr(reply, 1, 13) END"
)


class Waiting(msgspec.Struct, frozen=True):
    """How much mail of a lane is in a state, broadcasts apart; `n` is `COUNTED_MOST` for that and more."""

    lane: str
    state: str
    n: int


class Reason(msgspec.Struct, frozen=True):
    """Why mail waits, in the words of the last try, and when the first of it is tried again."""

    said: str
    n: int
    due_at: int


class Refusal(msgspec.Struct, frozen=True):
    """How often a server said no with a code (blank: there was no answer); `state` is what followed."""

    code: str
    enhanced: str
    state: str
    verdict: str
    n: int
    example: str


class Refusals(msgspec.Struct, frozen=True):
    """Refusals since a time; `whole` is False where only the newest `REFUSALS_MOST` are counted."""

    found: list[Refusal]
    whole: bool


class Unsent(msgspec.Struct, frozen=True):
    """A mail that failed or is uncertain, as it is now."""

    id: int
    subscriber_id: int
    occasion: str
    state: str
    reply: str
    settled_at: int


_COUNT = {
    lane: (
        "SELECT state, COUNT(*) FROM (SELECT state FROM deliveries WHERE account_id = :account_id"  # noqa: S608
        f" AND lane = '{lane}' AND broadcast_id IS NULL AND state IN ('queued', 'deferred') LIMIT :most)"
        " AS waiting GROUP BY state ORDER BY state DESC"
    )
    for lane in ("now", "bulk")
}
_WAITS = {
    True: "account_id = :account_id AND broadcast_id = :ref AND state IN ('queued', 'deferred')",
    False: (
        "account_id = :account_id AND lane = :ref AND broadcast_id IS NULL"
        " AND state IN ('queued', 'deferred')"
    ),
}
# What is put off, the first that is tried again first; then the last that was given back untried.
_LATER = "due_at > :now ORDER BY due_at, id LIMIT :most"
_BACK = "due_at > 0 AND due_at <= :now ORDER BY due_at DESC, id DESC LIMIT :most"
_WHY = {
    (of_broadcast, part): (
        "SELECT reply, COUNT(*), MIN(due_at) FROM (SELECT reply, due_at FROM deliveries WHERE"  # noqa: S608
        f" {_WAITS[of_broadcast]} AND {part}) AS told WHERE reply IS NOT NULL AND reply <> ''"
        " GROUP BY reply ORDER BY COUNT(*) DESC, reply LIMIT 50"
    )
    for of_broadcast in (True, False)
    for part in (_LATER, _BACK)
}


def waiting(rx: Rx) -> list[Waiting]:
    """Return what waits beside broadcasts, and what is in the hands of workers at this moment."""
    found = [
        Waiting(lane, state, n)
        for lane, sql in _COUNT.items()
        for state, n in rx.all(sql, account_id=rx.account_id, most=COUNTED_MOST)
    ]
    # By the index of what is held, some thousand rows of all accounts: without the plus SQLite goes through
    # every mail of the account, 0.8 s of a million.
    rows = rx.all(
        "SELECT lane, state, COUNT(*) FROM deliveries WHERE +account_id = :account_id"
        " AND state IN ('claimed', 'handed') GROUP BY lane, state ORDER BY lane DESC, state",
        account_id=rx.account_id,
    )
    return [*found, *(Waiting(*row) for row in rows)]


def put_off(rx: Rx, broadcast_id: int) -> int:
    """Return how much of a broadcast's mail is put off, `COUNTED_MOST` for that and more."""
    row = rx.one(
        "SELECT COUNT(*) FROM (SELECT 1 FROM deliveries WHERE account_id = :account_id"
        " AND broadcast_id = :broadcast_id AND state IN ('queued', 'deferred') AND due_at > :now"
        " LIMIT :most) AS later",
        account_id=rx.account_id,
        broadcast_id=broadcast_id,
        now=rx.now,
        most=COUNTED_MOST,
    )
    return int(row[0]) if row else 0


def reasons(rx: Rx, *, broadcast_id: int | None = None, lane: str = "bulk") -> list[Reason]:
    """Return why mail of a broadcast, or of a lane beside broadcasts, waits: the most frequent first."""
    counted: dict[str, Reason] = {}
    for part in (_LATER, _BACK):
        rows = rx.all(
            _WHY[broadcast_id is not None, part],
            account_id=rx.account_id,
            ref=lane if broadcast_id is None else broadcast_id,
            now=rx.now,
            most=TOLD_MOST,
        )
        for said, n, due_at in rows:
            before = counted.get(said)
            counted[said] = Reason(said, n + (before.n if before else 0), before.due_at if before else due_at)
    return sorted(counted.values(), key=lambda one: (-one.n, one.said))[:REASONS]


def refusals(rx: Rx, since_at: int) -> Refusals:
    """Return how often mail was refused since a time, by the server's code; reads up to 10,000 rows."""
    rows = rx.all(
        f"SELECT {_HEAD} AS head, state, verdict, COUNT(*), MAX(reply) FROM"  # noqa: S608 (ours)
        " (SELECT state, verdict, reply, at FROM attempts WHERE account_id = :account_id"
        " ORDER BY id DESC LIMIT :most) AS newest WHERE at >= :since_at AND state <> 'sent'"
        " GROUP BY head, state, verdict",
        account_id=rx.account_id,
        since_at=since_at,
        most=REFUSALS_MOST,
    )
    counted: dict[tuple[str, str, str, str], Refusal] = {}
    total = 0
    for head, state, verdict, n, example in rows:
        code, enhanced = _code(head)
        key = (code, enhanced, state, verdict)
        before = counted.get(key)
        counted[key] = Refusal(*key, n + (before.n if before else 0), example)
        total += n
    found = sorted(counted.values(), key=lambda one: (-one.n, one.code, one.enhanced, one.state))
    return Refusals(found, total < REFUSALS_MOST)


def unsent(rx: Rx) -> list[Unsent]:
    """Return the newest mails that failed or are uncertain still, by their last tries."""
    rows = rx.all(
        "SELECT id, subscriber_id, occasion, state, COALESCE(reply, ''), COALESCE(settled_at, created_at)"
        " FROM deliveries WHERE account_id = :account_id AND state IN ('failed', 'uncertain') AND id IN"
        " (SELECT delivery_id FROM (SELECT id, delivery_id, state FROM attempts"
        " WHERE account_id = :account_id ORDER BY id DESC LIMIT :most) AS newest"
        " WHERE state IN ('failed', 'uncertain')"
        " ORDER BY id DESC LIMIT :limit)",
        account_id=rx.account_id,
        most=REFUSALS_MOST,
        limit=UNSENT,
    )
    return sorted((Unsent(*row) for row in rows), key=lambda one: (-one.settled_at, -one.id))


def _code(head: str) -> tuple[str, str]:
    """Return the code and the enhanced code (RFC 3463) that a reply begins with."""
    found = _CODE.match(head)
    return (found[1], found[2] or "") if found else ("", "")
