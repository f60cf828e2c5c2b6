"""Reports: numbers of the whole installation, for who watches it. Owns no table and may read every one.

What is asked here is answered from indexes and sums of few rows: at 1,000,000 subscribers with a
broadcast on its way it takes some 50 ms, in a thread.
"""

import msgspec

from tidings.store.tx import Rx

# Events and notices beyond these are counted as so many: an index of millions is not walked for a number.
COUNTED_MOST = 100_000
_FAILING = "SELECT 1 FROM webhooks WHERE failing_since_at IS NOT NULL AND disabled_at IS NULL LIMIT :most"
_ENDS = ("sent", "kept", "failed", "uncertain", "suppressed")


class Figure(msgspec.Struct, frozen=True):
    """One number with the labels that tell it from its siblings; `name` has no unit but what it says."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


def figures(rx: Rx) -> list[Figure]:
    """Return the numbers of all accounts together."""
    return [*_people(rx), *_mail(rx), *_notices(rx), *_engine(rx)]


def _people(rx: Rx) -> list[Figure]:
    rows = rx.all(
        "SELECT state, SUM(n) FROM counters WHERE account_id IN (SELECT account_id FROM accounts)"
        " AND kind = 'subscribers' AND ref_id = 0 AND bucket = -1 GROUP BY state"
    )
    return [Figure("subscribers", (("state", state),), n) for state, n in rows]


def _mail(rx: Rx) -> list[Figure]:
    found = [
        Figure("deliveries_waiting", (("lane", lane), ("state", state)), n)
        for lane, state, n in rx.all(
            "SELECT lane, state, SUM(n) FROM ("
            "SELECT lane, state, COUNT(*) AS n FROM deliveries WHERE state IN ('queued', 'deferred')"
            " AND broadcast_id IS NULL GROUP BY lane, state"
            " UNION ALL SELECT 'bulk', state, COUNT(*) FROM deliveries WHERE state IN ('queued', 'deferred')"
            " AND broadcast_id IS NOT NULL GROUP BY state"
            " UNION ALL SELECT lane, state, COUNT(*) FROM deliveries WHERE state IN ('claimed', 'handed')"
            " GROUP BY lane, state) AS parts GROUP BY lane, state"
        )
    ]
    sums = rx.one(f"SELECT {', '.join(f'SUM({one})' for one in _ENDS)} FROM broadcasts")  # noqa: S608 (ours)
    found += [
        Figure("broadcast_mails_total", (("end", end),), n or 0)
        for end, n in zip(_ENDS, sums or (), strict=False)
    ]
    found += [
        Figure("broadcasts", (("status", status),), n)
        for status, n in rx.all("SELECT status, COUNT(*) FROM broadcasts GROUP BY status")
    ]
    paused = rx.one("SELECT COUNT(*) FROM broadcasts WHERE paused_at IS NOT NULL AND status = 'sending'")
    return [*found, Figure("broadcasts_paused", (), paused[0] if paused else 0)]


def _notices(rx: Rx) -> list[Figure]:
    asked = (
        ("events_untold", "SELECT 1 FROM events WHERE told_at IS NULL LIMIT :most"),
        ("notices_waiting", "SELECT 1 FROM notices WHERE state = 'queued' LIMIT :most"),
        ("rule_runs_due", "SELECT 1 FROM rule_runs WHERE state = 'due' LIMIT :most"),
        ("webhooks_failing", _FAILING),
        ("webhooks_disabled", "SELECT 1 FROM webhooks WHERE disabled_at IS NOT NULL LIMIT :most"),
        ("owner_notes_waiting", "SELECT 1 FROM owner_notes WHERE state = 'queued' LIMIT :most"),
    )
    found = []
    for name, sql in asked:
        row = rx.one(f"SELECT COUNT(*) FROM ({sql}) AS waiting", most=COUNTED_MOST)  # noqa: S608 (ours)
        found.append(Figure(name, (), row[0] if row else 0))
    return found


def _engine(rx: Rx) -> list[Figure]:
    rows = rx.all("SELECT name, beat_at FROM heartbeats")
    return [
        Figure("engine_silent_seconds", (("name", name),), max(0, rx.now - at) / 1_000) for name, at in rows
    ]
