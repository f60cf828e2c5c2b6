"""Checking: what the database says in two places, held against each other. Owns no table.

Every comparison is one statement and so of one moment, also beside a working server; it reads a table once,
in sets.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tidings.core import counters
from tidings.store.tx import Rx, Tx

# Differences of one kind that are told; who has more reads the first ones and asks for help.
TOLD = 20
_ALL = 2**31


@dataclass(frozen=True, slots=True)
class Looked:
    """One thing that was looked at, and a sentence for whatever is wrong with it, `TOLD` at most."""

    what: str
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsent:
    """What may leave when an old copy goes on, and may have left before: `most` counts mails to people.

    `queued` are mails in the ledger that have no end, `steps` are sequence emails that were due, `people` are
    the recipients that broadcasts have still to get.
    """

    broadcasts: int
    queued: int
    steps: int
    people: int
    notices: int

    @property
    def most(self) -> int:
        return self.queued + self.steps + self.people


def look(rx: Rx, *, folded_before_at: int = 0) -> list[Looked]:
    """Look at everything; rows of mail that ended before `folded_before_at` may be gone by right."""
    kinds: tuple[tuple[str, Callable[[Rx], list[str]]], ...] = (
        ("counts of subscribers", lambda one: _counters(one, _SUBSCRIBERS)),
        ("counts of subscribers by day", lambda one: _counters(one, _DATED)),
        ("counts of cancelled subscribers", lambda one: _counters(one, _CANCELLED)),
        ("counts of forms, sequences and tags", lambda one: _counters(one, _SUBSCRIPTIONS)),
        ("counts of purchases", lambda one: _counters(one, _PURCHASES)),
        ("counts of broadcasts", lambda one: _counters(one, _BROADCASTS)),
        ("states of subscribers in their subscriptions", _states),
        ("subscriptions of somebody in something", _lost),
        ("numbers of broadcasts", lambda one: _ledger(one, folded_before_at)),
        ("who listens to which events", _listeners),
    )
    return [Looked(what, tuple(ask(rx))) for what, ask in kinds]


def repair(tx: Tx) -> int:
    """Set every counter to its recount; return how many were wrong. Others who write wait for it.

    They are changed by their difference, as everybody does, so that no change of another process is lost.
    """
    wrong = 0
    for sql in (_SUBSCRIBERS, _DATED, _CANCELLED, _SUBSCRIPTIONS, _PURCHASES, _BROADCASTS):
        for account, kind, ref_id, state, bucket, day, kept, counted in tx.all(sql, told=_ALL):
            counters.correct(tx, (account, kind, ref_id, state, bucket, day), int(counted) - int(kept))
            wrong += 1
    return wrong


def unsent(rx: Rx) -> Unsent:
    """Count over all accounts what waits to leave and may have left from a newer copy of this database."""

    def number(sql: str) -> int:
        row = rx.one(sql, now=rx.now)
        return int(row[0] or 0) if row else 0

    return Unsent(
        broadcasts=number(_HELD),
        queued=number(_QUEUED),
        steps=number(_STEPS),
        people=number(_PEOPLE),
        notices=number(_NOTICES),
    )


def _counters(rx: Rx, sql: str) -> list[str]:
    return [
        f"account {account}: {_named(kind, ref_id, state, bucket, day)} is kept as {kept} and is {counted}"
        for account, kind, ref_id, state, bucket, day, kept, counted in rx.all(sql, told=TOLD)
    ]


def _named(kind: str, ref_id: int, state: str, bucket: int, day: int) -> str:
    """Name one counter in words."""
    words = [kind, str(ref_id) if ref_id else "", state, "" if bucket == -1 else f"bucket {bucket}"]
    return "the count of " + " ".join([word for word in words if word] + ([f"day {day}"] if day else []))


def _states(rx: Rx) -> list[str]:
    return [
        f"account {account}: subscription {row_id} says {said}, subscriber {who} is {state}"
        for account, row_id, said, who, state in rx.all(
            "SELECT o.account_id, o.id, o.subscriber_state, s.id, s.state FROM subscriptions AS o"
            " JOIN subscribers AS s ON s.account_id = o.account_id AND s.id = o.subscriber_id"
            " WHERE o.subscriber_state <> s.state ORDER BY o.account_id, o.id LIMIT :told",
            told=TOLD,
        )
    ]


def _lost(rx: Rx) -> list[str]:
    return [
        f"account {account}: subscription {row_id} is about {kind} {ref_id}, which is not there"
        for account, row_id, kind, ref_id in rx.all(_LOST, told=TOLD)
    ]


def _ledger(rx: Rx, folded_before_at: int) -> list[str]:
    return [
        f"account {account}: broadcast {row_id} says {', '.join(map(str, kept))} (recipients, settled, sent,"
        f" failed, uncertain, suppressed) and its mails are {', '.join(map(str, counted))}"
        for account, row_id, *numbers in rx.all(_LEDGER, told=TOLD, before=folded_before_at)
        for kept, counted in ((numbers[:6], numbers[6:]),)
    ]


def _listeners(rx: Rx) -> list[str]:
    return [
        f"account {account}: {kept} are noted to listen to {name} and {counted} do"
        for account, name, kept, counted in rx.all(_LISTENERS, told=TOLD)
    ]


# What no foreign key says (decision 0013).
_LOST = (
    "SELECT o.account_id, o.id, 'subscriber', o.subscriber_id FROM subscriptions AS o WHERE NOT EXISTS"
    " (SELECT 1 FROM subscribers AS t WHERE t.account_id = o.account_id AND t.id = o.subscriber_id) UNION ALL"
    " SELECT o.account_id, o.id, 'form', o.form_id FROM subscriptions AS o WHERE o.form_id IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM forms AS t WHERE t.account_id = o.account_id AND t.id = o.form_id)"
    " UNION ALL SELECT o.account_id, o.id, 'sequence', o.sequence_id FROM subscriptions AS o"
    " WHERE o.sequence_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sequences AS t"
    " WHERE t.account_id = o.account_id AND t.id = o.sequence_id) UNION ALL"
    " SELECT o.account_id, o.id, 'tag', o.tag_id FROM subscriptions AS o WHERE o.tag_id IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM tags AS t WHERE t.account_id = o.account_id AND t.id = o.tag_id)"
    " ORDER BY 1, 2 LIMIT :told"
)
# Kept and counted anew side by side: a counter of zero is as good as none.
_DIFFERENT = (
    " SELECT account_id, kind, ref_id, state, bucket, day, SUM(kept), SUM(counted) FROM ("
    "SELECT account_id, kind, ref_id, state, bucket, day, n AS kept, 0 AS counted FROM counters"
    " WHERE kind IN ({}) UNION ALL {}) AS both_sides GROUP BY account_id, kind, ref_id, state, bucket, day"
    " HAVING SUM(kept) <> SUM(counted) ORDER BY 1, 2, 3, 4, 5, 6 LIMIT :told"
)
# Rows by bucket, from which the totals are added up (see core/counters.py for buckets and days).
_BUCKETS_AND_TOTALS = (
    "SELECT account_id, kind, ref_id, state, bucket, 0 AS day, 0, n FROM counted"
    " UNION ALL SELECT account_id, kind, ref_id, state, -1, 0, 0, SUM(n) FROM counted"
    " GROUP BY account_id, kind, ref_id, state"
)
# Days are rounded down, also before 1970, where both databases round up.
_DAY = "(({0} - (({0} % 86400000 + 86400000) % 86400000)) / 86400000)"


def _plain(kinds: str, rows: str) -> str:
    """Compare counters of these kinds with the rows that a SELECT gives by bucket."""
    return f"WITH counted AS MATERIALIZED ({rows})" + _DIFFERENT.format(kinds, _BUCKETS_AND_TOTALS)


_SUBSCRIBERS = _plain(
    "'subscribers'",
    "SELECT account_id, 'subscribers' AS kind, 0 AS ref_id, state, id >> 12 AS bucket, COUNT(*) AS n"
    " FROM subscribers GROUP BY account_id, state, id >> 12",
)
_PURCHASES = _plain(
    "'purchases'",
    "SELECT account_id, 'purchases' AS kind, 0 AS ref_id, '' AS state, id >> 12 AS bucket, COUNT(*) AS n"
    " FROM purchases GROUP BY account_id, id >> 12",
)
_BROADCASTS = _plain(
    "'broadcasts'",
    "SELECT account_id, 'broadcasts' AS kind, 0 AS ref_id, '' AS state, id >> 12 AS bucket, COUNT(*) AS n"
    " FROM broadcasts GROUP BY account_id, id >> 12",
)
_SUBSCRIPTIONS = _plain(
    "'form', 'sequence', 'tag'",
    " UNION ALL ".join(
        f"SELECT account_id, '{kind}' AS kind, {kind}_id AS ref_id, subscriber_state AS state,"  # noqa: S608
        f" id >> 12 AS bucket, COUNT(*) AS n FROM subscriptions WHERE {kind}_id IS NOT NULL"
        f" GROUP BY account_id, {kind}_id, subscriber_state, id >> 12"
        for kind in ("form", "sequence", "tag")
    ),
)
_DATED = _DIFFERENT.format(
    "'subscribers.created', 'subscribers.updated'",
    " UNION ALL ".join(
        f"SELECT account_id, 'subscribers.{name}', 0, state, id >> 14, {_DAY.format(name + '_at')}, 0,"  # noqa: S608
        " COUNT(*)"
        f" FROM subscribers GROUP BY account_id, state, id >> 14, {_DAY.format(name + '_at')}"
        for name in ("created", "updated")
    ),
)
_CANCELLED = _plain(
    "'subscribers.cancelled'",
    f"SELECT account_id, 'subscribers.cancelled' AS kind, 0 AS ref_id, '' AS state,"  # noqa: S608 (constants)
    f" {_DAY.format('cancelled_at')} AS bucket, COUNT(*) AS n FROM subscribers WHERE cancelled_at IS NOT NULL"
    f" GROUP BY account_id, {_DAY.format('cancelled_at')}",
)
# The rows of mail go in time, and with an erased person, while the numbers stay: there may be fewer rows
# then, but never more, and each number is the sum of its parts.
_LEDGER = (
    "SELECT b.account_id, b.id, b.recipients, b.settled, b.sent + b.kept, b.failed, b.uncertain,"
    " b.suppressed, COALESCE(d.n, 0), COALESCE(d.sent + d.failed + d.uncertain + d.suppressed, 0),"
    " COALESCE(d.sent, 0), COALESCE(d.failed, 0), COALESCE(d.uncertain, 0), COALESCE(d.suppressed, 0)"
    " FROM broadcasts AS b LEFT JOIN (SELECT account_id, broadcast_id, COUNT(*) AS n,"
    " SUM(CASE WHEN state = 'sent' THEN 1 ELSE 0 END) AS sent,"
    " SUM(CASE WHEN state = 'failed' THEN 1 ELSE 0 END) AS failed,"
    " SUM(CASE WHEN state = 'uncertain' THEN 1 ELSE 0 END) AS uncertain,"
    " SUM(CASE WHEN state = 'suppressed' THEN 1 ELSE 0 END) AS suppressed"
    " FROM deliveries WHERE broadcast_id IS NOT NULL GROUP BY account_id, broadcast_id) AS d"
    " ON d.account_id = b.account_id AND d.broadcast_id = b.id"
    " WHERE b.settled <> b.sent + b.kept + b.failed + b.uncertain + b.suppressed OR b.settled > b.recipients"
    " OR d.n > b.recipients OR d.sent > b.sent + b.kept OR d.failed > b.failed OR d.uncertain > b.uncertain"
    " OR d.suppressed > b.suppressed"
    " OR (COALESCE(b.started_at, 0) >= :before AND b.started_at IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM erasures AS e WHERE e.account_id = b.account_id)"
    " AND (COALESCE(d.n, 0) <> b.recipients OR COALESCE(d.sent, 0) <> b.sent + b.kept"
    " OR COALESCE(d.failed, 0) <> b.failed OR COALESCE(d.uncertain, 0) <> b.uncertain"
    " OR COALESCE(d.suppressed, 0) <> b.suppressed))"
    " ORDER BY b.account_id, b.id LIMIT :told"
)
_LISTENERS = (
    "SELECT account_id, name, SUM(kept), SUM(counted) FROM ("
    "SELECT account_id, name, n AS kept, 0 AS counted FROM listeners UNION ALL"
    " SELECT account_id, event, 0, 1 FROM webhooks WHERE disabled_at IS NULL AND rule_id IS NULL UNION ALL"
    " SELECT account_id, trigger, 0, 1 FROM rules WHERE enabled_at IS NOT NULL"
    " AND trigger NOT IN ('date_arrives', 'goes_quiet')) AS both_sides"
    " GROUP BY account_id, name HAVING SUM(kept) <> SUM(counted) ORDER BY account_id, name LIMIT :told"
)
_OPEN = "state IN ('queued', 'claimed', 'handed', 'deferred')"
_HELD = (
    "SELECT COUNT(*) FROM broadcasts WHERE paused_at IS NOT NULL AND cancelled_at IS NULL"
    " AND status IN ('scheduled', 'sending') AND substr(paused_why, 1, 5) = 'held:'"
)
_QUEUED = f"SELECT COUNT(*) FROM deliveries WHERE {_OPEN}"  # noqa: S608 (constants)
_STEPS = "SELECT COUNT(*) FROM entries WHERE state = 'inside' AND next_at <= :now"
# Who still gets a broadcast is known when it is resumed: until then, everybody active behind its place.
_PEOPLE = (
    "SELECT COUNT(*) FROM broadcasts AS b JOIN subscribers AS s ON s.account_id = b.account_id"
    " AND s.state = 'active' AND s.id > b.cursor_id AND (b.highest_id = 0 OR s.id <= b.highest_id)"
    " WHERE b.cancelled_at IS NULL AND b.fanned_at IS NULL"
    " AND (b.status = 'sending' OR (b.status = 'scheduled' AND b.send_at < :now))"
)
_NOTICES = "SELECT COUNT(*) FROM notices WHERE state IN ('queued', 'claimed')"
