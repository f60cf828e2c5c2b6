"""Recounts every counter from the tables, as core/counters.py describes them, and broadcasts' own."""

from collections import Counter

from tests.core.cast import rows
from tidings.core import counters
from tidings.core.counters import DAY_MS, TOTAL
from tidings.store.db import Database

Key = tuple[int, str, int, str, int, int]
SETTLED = ("sent", "failed", "uncertain", "suppressed")


def recount(db: Database) -> None:
    """Fail unless every counter equals what its table says."""
    assert differences(db) == []


def differences(db: Database) -> list[str]:
    """Return a line for every counter that differs, by account, kind, ref, state, bucket and day.

    Counters of zero are as good as none. Then come the broadcasts whose numbers differ.
    """
    kept = {
        (account, kind, ref_id, state, bucket, day): n
        for account, kind, ref_id, state, bucket, day, n in rows(
            db, "SELECT account_id, kind, ref_id, state, bucket, day, n FROM counters"
        )
        if n
    }
    counted = dict(counted_anew(db))
    return [
        f"{key}: kept {kept.get(key, 0)}, counted {counted.get(key, 0)}"
        for key in sorted(kept.keys() | counted.keys())
        if kept.get(key, 0) != counted.get(key, 0)
    ] + of_broadcasts(db)


def of_broadcasts(db: Database, account_id: int = 0) -> list[str]:
    """Return a line for every broadcast (of one account, or all) whose numbers are not its deliveries'.

    One without deliveries never began, or they were folded away.
    """
    counted: dict[tuple[object, object], Counter[str]] = {}
    for account, broadcast, state, n in rows(
        db,
        "SELECT account_id, broadcast_id, state, COUNT(*) FROM deliveries WHERE broadcast_id IS NOT NULL"
        " AND (account_id = :account_id OR :account_id = 0) GROUP BY account_id, broadcast_id, state",
        account_id=account_id,
    ):
        counted.setdefault((account, broadcast), Counter())[str(state)] = int(str(n))
    wrong = []
    for account, broadcast, *numbers in rows(
        db,
        "SELECT account_id, id, recipients, settled, sent + kept, failed, uncertain, suppressed"
        " FROM broadcasts WHERE account_id = :account_id OR :account_id = 0",
        account_id=account_id,
    ):
        found = counted.get((account, broadcast))
        if found is not None:
            settled = [found[state] for state in SETTLED]
            right = [found.total(), sum(settled), *settled]
            if numbers != right:
                wrong.append(f"broadcast {broadcast} of {account}: kept {numbers}, counted {right}")
    return wrong


def counted_anew(db: Database) -> Counter[Key]:
    """Return every counter as the rows have it."""
    found: Counter[Key] = Counter()
    _people(db, found)
    for account, row_id, form, sequence, tag, state in rows(
        db, "SELECT account_id, id, form_id, sequence_id, tag_id, subscriber_state FROM subscriptions"
    ):
        for kind, ref_id in (("form", form), ("sequence", sequence), ("tag", tag)):
            if ref_id is not None:
                _count(found, account, kind, ref_id, state, row_id)
    for account, row_id in rows(db, "SELECT account_id, id FROM purchases"):
        _count(found, account, "purchases", 0, "", row_id)
    for account, row_id in rows(db, "SELECT account_id, id FROM broadcasts"):
        _count(found, account, "broadcasts", 0, "", row_id)
    return found


def _people(db: Database, found: Counter[Key]) -> None:
    for account, row_id, state, created_at, updated_at, cancelled_at in rows(
        db, "SELECT account_id, id, state, created_at, updated_at, cancelled_at FROM subscribers"
    ):
        _count(found, account, "subscribers", 0, state, row_id)
        bucket = row_id >> counters.DATED_BITS
        found[account, "subscribers.created", 0, state, bucket, created_at // DAY_MS] += 1
        found[account, "subscribers.updated", 0, state, bucket, updated_at // DAY_MS] += 1
        assert (state == "cancelled") == (cancelled_at is not None)
        if cancelled_at is not None:
            found[account, "subscribers.cancelled", 0, "", TOTAL, 0] += 1
            found[account, "subscribers.cancelled", 0, "", cancelled_at // DAY_MS, 0] += 1


def _count(found: Counter[Key], account: int, kind: str, ref_id: int, state: str, row_id: int) -> None:
    found[account, kind, ref_id, state, TOTAL, 0] += 1
    found[account, kind, ref_id, state, row_id >> counters.BITS, 0] += 1
