"""Counts again, from the rows themselves, everything that `counters` claims."""

from tidings.core.counters import BITS, DATED_BITS, DAY_MS
from tidings.store.db import Database
from tidings.store.tx import Rx

Counts = dict[tuple[object, ...], int]


def differences(db: Database) -> list[str]:
    """Return a line for every counter that differs from its recount."""
    kept, counted = db.read_now(0, _kept), db.read_now(0, _counted)
    return [
        f"{key}: kept {kept.get(key, 0)}, counted {counted.get(key, 0)}"
        for key in sorted(kept.keys() | counted.keys(), key=str)
        if kept.get(key, 0) != counted.get(key, 0)
    ]


def _kept(rx: Rx) -> Counts:
    rows = rx.all("SELECT account_id, kind, ref_id, state, bucket, day, n FROM counters")
    return {tuple(row[:-1]): row[-1] for row in rows if row[-1]}


def _counted(rx: Rx) -> Counts:
    counts: Counts = {}

    def add(account: int, kind: str, ref: int, state: str, bucket: int, day: int = 0) -> None:
        key = (account, kind, ref, state, bucket, day)
        counts[key] = counts.get(key, 0) + 1

    def listed(account: int, kind: str, ref: int, state: str, row_id: int) -> None:
        add(account, kind, ref, state, -1)
        add(account, kind, ref, state, row_id >> BITS)

    for account, row_id, state, created, updated, cancelled in rx.all(
        "SELECT account_id, id, state, created_at, updated_at, cancelled_at FROM subscribers"
    ):
        listed(account, "subscribers", 0, state, row_id)
        add(account, "subscribers.created", 0, state, row_id >> DATED_BITS, created // DAY_MS)
        add(account, "subscribers.updated", 0, state, row_id >> DATED_BITS, updated // DAY_MS)
        if state == "cancelled":
            add(account, "subscribers.cancelled", 0, "", -1)
            add(account, "subscribers.cancelled", 0, "", cancelled // DAY_MS)
    states = {(row[0], row[1]): row[2] for row in rx.all("SELECT account_id, id, state FROM subscribers")}
    for account, row_id, who, form, sequence, tag in rx.all(
        "SELECT account_id, id, subscriber_id, form_id, sequence_id, tag_id FROM subscriptions"
    ):
        kind = "form" if form else "sequence" if sequence else "tag"
        listed(account, kind, form or sequence or tag, states[account, who], row_id)
    for kind in ("purchases", "broadcasts"):
        for account, row_id in rx.all(f"SELECT account_id, id FROM {kind}"):  # noqa: S608 (two tables of ours)
            listed(account, kind, 0, "", row_id)
    return counts
