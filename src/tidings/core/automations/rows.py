"""Runs of rules as rows: one rule, one person, one occasion. Owns the rows of `rule_runs`.

An occasion is `event:{id}`, `date:{rule}:{yyyy-mm-dd}` or `quiet:{rule}:{ms of the last sign of
life}`; the same one a second time changes nothing.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tidings.core import subscribers
from tidings.store.tx import Collected, Rx, Tx

# Accounts that are looked at in one round.
ACCOUNTS_MOST = 1_000
PAGE = 50
# Runs whose ends are counted for a page: some 10 ms, whatever a rule has done.
LATELY = 10_000
SAID_MAX = 2_000
QUIET = "quiet:"

_QUEUE = Collected(
    "INSERT INTO rule_runs (account_id, rule_id, subscriber_id, occasion, event_id, depth, state, due_at,"
    " said, created_at) VALUES (:account_id, :rule_id, :subscriber_id, :occasion, :event_id,"
    " :depth, 'due', :due_at, '', :created_at)"
    " ON CONFLICT (account_id, rule_id, occasion, subscriber_id) DO NOTHING",
    ("account_id", "rule_id", "subscriber_id", "occasion", "event_id", "depth", "due_at", "created_at"),
)
_COLUMNS = (
    "id, rule_id, subscriber_id, occasion, event_id, depth, state, due_at, said, created_at, settled_at"
)


class Run(msgspec.Struct, frozen=True):
    """One run; `state` is due, done, skipped, cut or failed, `said` tells what was done and what not.

    `depth` counts the rules that led to it, itself included.
    """

    id: int
    rule_id: int
    subscriber_id: int
    occasion: str
    event_id: int | None
    depth: int
    state: str
    due_at: int
    said: str
    created_at: int
    settled_at: int | None


class Due(msgspec.Struct, frozen=True):
    """A run that waits; `key` sorts it among others in a group: the mailbox of its person."""

    account_id: int
    id: int
    key: str


def queue(
    tx: Tx, rule_id: int, subscriber_id: int, occasion: str, *, depth: int = 1, event_id: int | None = None
) -> None:
    """Let a rule run for somebody; a second time for the same occasion changes nothing."""
    row = (tx.account_id, rule_id, subscriber_id, occasion, event_id, depth, tx.now, tx.now)
    tx.append(_QUEUE, row)
    tx.wake()


def due(rx: Rx, limit: int, *, after: int = -1) -> list[Due]:
    """Return runs that are due, each account its share, oldest first: none starves another.

    The accounts behind `after` come first, for when there are more of them than `limit`.
    """
    accounts = _accounts_due(rx)
    accounts = [one for one in accounts if one > after] + [one for one in accounts if one <= after]
    share = max(1, limit // max(1, len(accounts)))
    found: list[Due] = []
    for account_id in accounts[:limit]:
        own = rx.for_account(account_id)
        rows = own.all(
            "SELECT id, subscriber_id FROM rule_runs WHERE account_id = :account_id AND state = 'due'"
            " AND due_at <= :now ORDER BY due_at, id LIMIT :limit",
            account_id=account_id,
            now=rx.now,
            limit=share,
        )
        keys = _keys(own, [row[1] for row in rows])
        found += [Due(account_id, row[0], keys.get(row[1], "")) for row in rows]
    return found


def take(tx: Tx, run_id: int) -> Run | None:
    """Keep a due run to oneself until the commit; None when somebody else has it, or had it."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM rule_runs WHERE account_id = :account_id AND id = :id"  # noqa: S608
        " AND state = 'due' {skip_locked}",
        account_id=tx.account_id,
        id=run_id,
    )
    return Run(*row) if row else None


def settle(tx: Tx, run_id: int, state: str, said: str) -> bool:
    """Write how a run ended; say whether it had not before."""
    changed = tx.run(
        "UPDATE rule_runs SET state = :state, said = :said, settled_at = :now"
        " WHERE account_id = :account_id AND id = :id AND state = 'due'",
        state=state,
        said=said[:SAID_MAX],
        now=tx.now,
        account_id=tx.account_id,
        id=run_id,
    )
    return bool(changed)


def put_off(tx: Tx, run_id: int, wait_ms: int) -> None:
    """Let others come first."""
    tx.run(
        "UPDATE rule_runs SET due_at = :later WHERE account_id = :account_id AND id = :id AND state = 'due'",
        later=tx.now + wait_ms,
        account_id=tx.account_id,
        id=run_id,
    )


def created_at(rx: Rx, subscriber_id: int, back: int) -> int | None:
    """Return when the run of a person was made before which `back` newer ones were; None for fewer."""
    row = rx.one(
        "SELECT created_at FROM rule_runs WHERE account_id = :account_id AND subscriber_id = :subscriber_id"
        " ORDER BY id DESC LIMIT 1 OFFSET :back",
        account_id=rx.account_id,
        subscriber_id=subscriber_id,
        back=back,
    )
    return int(row[0]) if row else None


def quiet_since(rx: Rx, rule_id: int, subscriber_id: int) -> int:
    """Return the latest last sign of life that a rule has run for; -1 for none."""
    # By the runs of the person: the plus, and a column that no index holds, keep both databases from
    # going through all runs of the rule, of which there may be millions.
    found = rx.all(
        "SELECT occasion, created_at FROM rule_runs WHERE account_id = :account_id"
        " AND subscriber_id = :subscriber_id AND +rule_id = :rule_id"
        " AND substr(occasion, 1, 6) = :quiet LIMIT 1000",
        account_id=rx.account_id,
        subscriber_id=subscriber_id,
        rule_id=rule_id,
        quiet=QUIET,
    )
    return max((int(row[0].rpartition(":")[2]) for row in found), default=-1)


def counts(rx: Rx, rule_id: int) -> Mapping[str, int]:
    """Return how many runs of a rule are in each state; reads them all."""
    return dict(
        rx.all(
            "SELECT state, COUNT(*) FROM rule_runs WHERE account_id = :account_id AND rule_id = :rule_id"
            " GROUP BY state ORDER BY state",
            account_id=rx.account_id,
            rule_id=rule_id,
        )
    )


def lately(rx: Rx, rule_id: int) -> Mapping[str, int]:
    """Return how many of a rule's newest `LATELY` runs are in each state."""
    return dict(
        rx.all(
            "SELECT state, COUNT(*) FROM (SELECT state FROM rule_runs WHERE account_id = :account_id"
            " AND rule_id = :rule_id ORDER BY id DESC LIMIT :most) AS newest GROUP BY state ORDER BY state",
            account_id=rx.account_id,
            rule_id=rule_id,
            most=LATELY,
        )
    )


def latest(rx: Rx, rule_ids: Sequence[int]) -> dict[int, Run]:
    """Return the newest run of each of these rules, 50 at most; one look at an index for each."""
    if not rule_ids:
        return {}
    names = {f"id{at}": one for at, one in enumerate(([*rule_ids] + [rule_ids[-1]] * PAGE)[:PAGE])}
    found = rx.all(
        f"SELECT {_COLUMNS} FROM rule_runs WHERE account_id = :account_id AND id IN ("  # noqa: S608 (our names)
        "SELECT (SELECT run.id FROM rule_runs AS run WHERE run.account_id = rules.account_id"
        " AND run.rule_id = rules.id ORDER BY run.id DESC LIMIT 1) FROM rules"
        f" WHERE rules.account_id = :account_id AND rules.id IN ({', '.join(':' + name for name in names)}))",
        account_id=rx.account_id,
        **names,
    )
    return {row[1]: Run(*row) for row in found}


def page(rx: Rx, rule_id: int, *, before: int | None = None, limit: int = PAGE) -> list[Run]:
    """Return runs of a rule, newest first, those before the id `before`."""
    found = rx.all(
        f"SELECT {_COLUMNS} FROM rule_runs WHERE account_id = :account_id AND rule_id = :rule_id"  # noqa: S608
        " AND id < :before ORDER BY id DESC LIMIT :limit",
        account_id=rx.account_id,
        rule_id=rule_id,
        before=_LAST_ID if before is None else before,
        limit=limit,
    )
    return [Run(*row) for row in found]


def fold(tx: Tx, before_at: int, limit: int) -> int:
    """Delete up to `limit` runs of the account that ended before `before_at`; return how many.

    What a rule did because somebody was quiet stays: it keeps the same silence from counting again.
    """
    return tx.run(
        "DELETE FROM rule_runs WHERE account_id = :account_id AND id IN (SELECT id FROM rule_runs"
        " WHERE account_id = :account_id AND settled_at < :before_at AND substr(occasion, 1, 6) <> :quiet"
        " ORDER BY id LIMIT :limit)",
        account_id=tx.account_id,
        before_at=before_at,
        quiet=QUIET,
        limit=limit,
    )


_LAST_ID = 2**63 - 1


def _accounts_due(rx: Rx) -> list[int]:
    """Return the accounts that have a run due; one look at an index for each."""
    found: list[int] = []
    after = -1
    while len(found) < ACCOUNTS_MOST:
        row = rx.one(
            "SELECT account_id, due_at FROM rule_runs WHERE state = 'due' AND account_id > :after"
            " ORDER BY account_id, due_at LIMIT 1",
            after=after,
        )
        if row is None:
            break
        after = row[0]
        if row[1] <= rx.now:
            found.append(after)
    return found


def _keys(rx: Rx, ids: list[int]) -> dict[int, str]:
    """Return by what verbs about these people are sorted."""
    found: dict[int, str] = {}
    distinct = list(dict.fromkeys(ids))
    for at in range(0, len(distinct), subscribers.PAGE):
        people = subscribers.by_ids(rx, distinct[at : at + subscribers.PAGE])
        found.update((one.id, subscribers.sort_key(one.email)) for one in people.values())
    return found
