"""Erasure: a person leaves no trace but a keyed hash, which keeps them from being mailed again.

Owns `erasures`, which hold no personal data. Alone it may delete from every table, so that what
is deleted stands in one place: whoever adds a table with people in it adds it here (a test holds
the two against each other). The order matters. The person's row is locked first: whatever points
at it by a foreign key, and a subscription, which is written by who holds that row, is then either
seen here or refused. What does not is written by who holds a row that is deleted here before it.
What a worker has in its hands at that moment finds no row afterwards and is dropped; a second
sweep, later, takes what slipped through.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from tidings.core import (
    broadcasts,
    confirmations,
    counters,
    outbox,
    purchases,
    search,
    subscribers,
    subscriptions,
    suppressions,
    trials,
)
from tidings.core.events import Origin
from tidings.core.subscribers import forgetting
from tidings.errors import NotFound
from tidings.mail import address
from tidings.store.tx import Rx, Tx

# Rows of each table in one slice: 20,000 rows in all hold SQLite's write lock 0.3 s at worst.
SLICE = 2_000
# No worker keeps a row in its hands so long without the row's lease being renewed or lapsing, and
# no connection stays open so long without a word.
LATE_MS = 5 * 60_000
# Where rows of people lie, for what the storage itself must forget.
TABLES = (
    "subscribers", "subscriptions", "entries", "deliveries", "attempts", "outbox", "hits", "leaves",
    "purchases", "purchase_products", "events", "notices", "notice_attempts", "rule_runs",
    "owner_notes", "confirmation_caps", "search_pairs", "search_changes", "trials",
)  # fmt: skip

_FINAL = ("sent", "failed", "uncertain", "suppressed")
_SIZES = (100, 10, 1)
_IDS = {size: ", ".join(f":id{at}" for at in range(size)) for size in _SIZES}
# What hangs on a mail, and what hangs on a notice: without a person's id of their own.
_COPIES = {
    size: f"DELETE FROM outbox WHERE account_id = :account_id AND delivery_id IN ({ids})"  # noqa: S608 (our names)
    for size, ids in _IDS.items()
}
_ANSWERS = {
    size: f"DELETE FROM notice_attempts WHERE account_id = :account_id AND notice_id IN ({ids})"  # noqa: S608 (our names)
    for size, ids in _IDS.items()
}
_TAKE = " WHERE account_id = :account_id AND subscriber_id = :id ORDER BY id LIMIT :limit)"
_MAILS = (
    "DELETE FROM deliveries WHERE account_id = :account_id AND id IN (SELECT id FROM deliveries"  # noqa: S608
    f"{_TAKE} RETURNING id, broadcast_id, state"
)
_NOTICES = (
    "DELETE FROM notices WHERE account_id = :account_id AND id IN (SELECT id FROM notices"  # noqa: S608
    f"{_TAKE} RETURNING id"
)
_JOINED = (
    "DELETE FROM subscriptions WHERE account_id = :account_id AND subscriber_id = :id AND id IN (SELECT id"  # noqa: S608
    f" FROM subscriptions{_TAKE} RETURNING id, form_id, sequence_id, tag_id, subscriber_state"
)
# Before the events: who writes an event without the person's lock holds one of these rows.
_ENTRIES = f"DELETE FROM entries WHERE account_id = :account_id AND id IN (SELECT id FROM entries{_TAKE}"  # noqa: S608
_HITS = f"DELETE FROM hits WHERE account_id = :account_id AND id IN (SELECT id FROM hits{_TAKE}"  # noqa: S608
_TRIES = f"DELETE FROM attempts WHERE account_id = :account_id AND id IN (SELECT id FROM attempts{_TAKE}"  # noqa: S608
_LEAVES = f"DELETE FROM leaves WHERE account_id = :account_id AND id IN (SELECT id FROM leaves{_TAKE}"  # noqa: S608
_EVENTS = f"DELETE FROM events WHERE account_id = :account_id AND id IN (SELECT id FROM events{_TAKE}"  # noqa: S608
_RUNS = f"DELETE FROM rule_runs WHERE account_id = :account_id AND id IN (SELECT id FROM rule_runs{_TAKE}"  # noqa: S608
_TRIALS = (
    "DELETE FROM trials WHERE account_id = :account_id AND id IN (SELECT id FROM trials"  # noqa: S608
    f"{_TAKE} RETURNING id"
)
_ORPHANS = (
    "DELETE FROM notice_attempts WHERE account_id = :account_id AND at = :at AND NOT EXISTS (SELECT 1"
    " FROM notices WHERE notices.account_id = notice_attempts.account_id"
    " AND notices.id = notice_attempts.notice_id)"
)


class Erasure(msgspec.Struct, frozen=True):
    """One erasure that is not finished: in `rows`, `late` (to be swept again) or `storage`."""

    account_id: int
    id: int
    subscriber_id: int
    state: str
    created_at: int


def erase(tx: Tx, subscriber_id: int, origin: Origin) -> int:
    """Erase a person, or raise NotFound; return the number of the erasure.

    From the commit on nobody can be mailed by what was known of them. What other verbs of the same
    group have collected, and of a person with more than `SLICE` rows of a kind the rest, goes by `step`;
    until then an empty row stands for who has so many.
    """
    subscribers.times(tx, subscriber_id)
    who = subscribers.get(tx, subscriber_id)
    mailbox = address.parse(who.email).mailbox
    suppressions.add(tx, mailbox, f"erased by {origin.door}")
    confirmations.forget(tx, mailbox)
    _forget_notes(tx, who.email)
    search.forget(tx, subscriber_id, who.email, who.first_name)
    _forget_trials(tx, who.email)
    more = _sweep(tx, subscriber_id)
    if more:
        if who.state != "cancelled":
            subscriptions.turn(tx, who, "cancelled")
        forgetting.hollow(tx, subscriber_id)
    else:
        forgetting.forget(tx, subscriber_id)
    row = tx.one(
        "INSERT INTO erasures (account_id, subscriber_id, state, created_at)"
        " VALUES (:account_id, :id, 'rows', :now) RETURNING id",
        account_id=tx.account_id,
        id=subscriber_id,
        now=tx.now,
    )
    assert row is not None  # noqa: S101 (RETURNING)
    tx.wake()
    return int(row[0])


def step(tx: Tx, erasure_id: int) -> bool:
    """Do the next slice of an erasure's rows; return whether another one waits now.

    Each sweep goes on until it finds nothing. After the last one, `LATE_MS` after the erasure, the
    storage is next.
    """
    row = tx.one(
        "SELECT account_id, id, subscriber_id, state, created_at FROM erasures"
        " WHERE account_id = :account_id AND id = :id AND state IN ('rows', 'late') {for_update}",
        account_id=tx.account_id,
        id=erasure_id,
    )
    if row is None:
        return False
    one = Erasure(*row)
    # An answer that was collected in the group of the erasure came after its notice had gone.
    tx.run(_ORPHANS, account_id=tx.account_id, at=one.created_at)
    if _sweep(tx, one.subscriber_id):
        return True
    if one.state == "rows":
        forgetting.forget(tx, one.subscriber_id)
        _move(tx, one.id, "late")
    elif one.created_at <= tx.now - LATE_MS:
        _move(tx, one.id, "storage")
    return False


def waiting(rx: Rx) -> Erasure | None:
    """Return the oldest erasure, over all accounts, for which `step` has something to do now."""
    row = rx.one(
        "SELECT account_id, id, subscriber_id, state, created_at FROM erasures WHERE done_at IS NULL"
        " AND (state = 'rows' OR (state = 'late' AND created_at <= :before)) ORDER BY created_at LIMIT 1",
        before=rx.now - LATE_MS,
    )
    return Erasure(*row) if row else None


def unscrubbed(rx: Rx) -> list[Erasure]:
    """Return erasures, over all accounts, of which only the storage still has something."""
    rows = rx.all(
        "SELECT account_id, id, subscriber_id, state, created_at FROM erasures WHERE done_at IS NULL"
        " AND state = 'storage' ORDER BY created_at LIMIT 1000"
    )
    return [Erasure(*row) for row in rows]


def scrubbed(tx: Tx, done: Sequence[Erasure]) -> None:
    """Note that these erasures have come to their end."""
    for one in done:
        tx.run(
            "UPDATE erasures SET state = 'done', done_at = :now WHERE account_id = :account_id AND id = :id"
            " AND state = 'storage'",
            now=tx.now,
            account_id=one.account_id,
            id=one.id,
        )


def find(rx: Rx, erasure_id: int) -> tuple[str, int | None]:
    """Return the state of an erasure and when it was done, or raise NotFound."""
    row = rx.one(
        "SELECT state, done_at FROM erasures WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=erasure_id,
    )
    if row is None:
        raise NotFound("erasure")
    return row[0], row[1]


def keep_unless_erased(tx: Tx, mails: Sequence[tuple[int, str, str, bytes]]) -> None:
    """Keep mails in the Outbox (see `outbox.keep_all`), but for those whose delivery is gone meanwhile."""
    there = [
        one
        for one in mails
        # Notes to the owner are no deliveries: their numbers are negative.
        if one[0] < 0
        or tx.one(
            "SELECT id FROM deliveries WHERE account_id = :account_id AND id = :id {for_update}",
            account_id=tx.account_id,
            id=one[0],
        )
    ]
    if there:
        outbox.keep_all(tx, there)


def _sweep(tx: Tx, subscriber_id: int) -> bool:
    """Delete up to `SLICE` rows of each kind; return whether there may be more."""
    names = {"account_id": tx.account_id, "id": subscriber_id, "limit": SLICE}
    most = _sweep_mails(tx, names)
    for sql in (_TRIES, _ENTRIES, _HITS, _LEAVES):
        most = max(most, tx.run(sql, **names))
    rows = tx.all(_JOINED, **names)
    most = max(most, len(rows))
    for row_id, form_id, sequence_id, tag_id, state in rows:
        for kind, ref_id in (("form", form_id), ("sequence", sequence_id), ("tag", tag_id)):
            if ref_id is not None:
                counters.count(tx, kind, ref_id, state, row_id, -1)
    most = max(most, purchases.let_go(tx, subscriber_id, SLICE), tx.run(_EVENTS, **names))
    told = [row[0] for row in tx.all(_NOTICES, **names)]
    _each(tx, _ANSWERS, told)
    tried = [row[0] for row in tx.all(_TRIALS, **names)]
    _each(tx, _COPIES, [trials.number(one) for one in tried])
    return max(most, len(told), len(tried), tx.run(_RUNS, **names)) >= SLICE


def _sweep_mails(tx: Tx, names: dict[str, int]) -> int:
    """Delete a person's mails with their copies; their broadcasts' numbers stay.

    What was still to be sent is counted as kept back: a broadcast ends when all its mails have.
    """
    rows = tx.all(_MAILS, **names)
    ids = [row[0] for row in rows]
    _each(tx, _COPIES, ids)
    kept_back = Counter(row[1] for row in rows if row[1] is not None and row[2] not in _FINAL)
    for broadcast_id, n in sorted(kept_back.items()):
        broadcasts.count(tx, broadcast_id, suppressed=n, settled=n)
    return len(rows)


def _each(tx: Tx, statements: dict[int, str], ids: list[int]) -> None:
    """Run a statement for all of these ids, in few round trips."""
    at = 0
    while at < len(ids):
        size = next(size for size in _SIZES if size <= len(ids) - at)
        some = {f"id{n}": one for n, one in enumerate(ids[at : at + size])}
        tx.run(statements[size], account_id=tx.account_id, **some)
        at += size


def _forget_notes(tx: Tx, email: str) -> None:
    """Delete notes to the owner that name this address."""
    sign = "!"
    like = email.replace(sign, sign * 2).replace("%", sign + "%").replace("_", sign + "_")
    tx.run(
        "DELETE FROM owner_notes WHERE account_id = :account_id"
        " AND (LOWER(text) LIKE LOWER(:like) ESCAPE '!' OR LOWER(subject) LIKE LOWER(:like) ESCAPE '!')",
        account_id=tx.account_id,
        like=f"%{like}%",
    )


def _forget_trials(tx: Tx, email: str) -> None:
    """Delete trials that went to this address, with their copies."""
    rows = tx.all(
        "DELETE FROM trials WHERE account_id = :account_id AND LOWER(address) = LOWER(:email) RETURNING id",
        account_id=tx.account_id,
        email=email,
    )
    _each(tx, _COPIES, [trials.number(row[0]) for row in rows])


def _move(tx: Tx, erasure_id: int, state: str) -> None:
    tx.run(
        "UPDATE erasures SET state = :state WHERE account_id = :account_id AND id = :id",
        state=state,
        account_id=tx.account_id,
        id=erasure_id,
    )
