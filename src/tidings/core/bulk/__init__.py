"""Bulk changes: one act on many people, asked for once and done slice by slice.

Owns `bulk_changes`; the row is the job. Who is meant is fixed by the highest id at the asking, and each
slice acts in one transaction with the place where the next one begins: nobody is acted on twice, and
a kill loses nothing. The acts are the verbs that the API has for one person, with all their events.
"""

from collections.abc import Callable

import msgspec

from tidings.core import audience, subscribers, subscriptions, tags
from tidings.core.bulk import choosing
from tidings.core.bulk.choosing import IDS_MAX, Chosen, Counted, count
from tidings.core.events import Origin
from tidings.core.subscribers import Subscriber
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.tx import Rx, Tx

__all__ = [
    "ACTS", "IDS_MAX", "Change", "Chosen", "Counted", "Slice", "ask", "cancel", "count", "do", "due", "fail",
    "find", "look", "newest",
]  # fmt: skip

ACTS = ("tag", "untag", "unsubscribe")
# People who are acted on in one transaction: 10 ms of SQLite's write lock.
SLICE = 100
# More of them at once in one account are a mistake, or a page that was sent again and again.
WAITING_MAX = 20
SAID_MAX = 500
LISTED = 20

_COLUMNS = (
    "account_id, id, act, tag_id, chosen, asked_by, expected, until_id, after_id, matched, changed, state,"
    " said, created_at, updated_at, ended_at"
)


class Change(msgspec.Struct, frozen=True):
    """One change of many people; `matched` of them were met so far, and `changed` were not so already.

    `after_id` is the last id that was looked at; `state` is waiting, done, cancelled or failed.
    """

    account_id: int
    id: int
    act: str
    tag_id: int | None
    chosen: Chosen
    asked_by: str
    expected: int
    until_id: int
    after_id: int
    matched: int
    changed: int
    state: str
    said: str | None
    created_at: int
    updated_at: int
    ended_at: int | None


class Slice(msgspec.Struct, frozen=True):
    """The next people of a change, and up to which id they are all; `ended` where nobody is behind it."""

    change: Change
    ids: list[int]
    until_id: int
    ended: bool


def ask(
    tx: Tx, act: str, chosen: Chosen, *, asked_by: str, expected: int, tag_id: int | None = None
) -> Change:
    """Queue a change of everybody who is chosen now; `expected` is how many its asker was told of."""
    if act not in ACTS:
        raise Invalid("act", f"must be one of {', '.join(ACTS)}")
    if act != "unsubscribe":
        if tag_id is None:
            raise Invalid("Tag", "must be chosen")
        tags.find(tx, tag_id)
    choosing.check(tx, chosen)
    waiting = tx.one(
        "SELECT COUNT(*) FROM bulk_changes WHERE account_id = :account_id AND state = 'waiting'",
        account_id=tx.account_id,
    )
    if waiting and waiting[0] >= WAITING_MAX:
        raise Conflict(f"{WAITING_MAX} changes wait already; wait until one of them is done")
    row = tx.one(
        "INSERT INTO bulk_changes (account_id, act, tag_id, chosen, asked_by, expected, until_id, after_id,"
        " matched, changed, state, created_at, updated_at) VALUES (:account_id, :act,"
        " CAST(:tag_id AS BIGINT), :chosen, :asked_by, :expected, :until_id, 0, 0, 0, 'waiting', :now, :now)"
        " RETURNING id",
        account_id=tx.account_id,
        act=act,
        tag_id=None if act == "unsubscribe" else tag_id,
        chosen=choosing.packed(chosen),
        asked_by=asked_by,
        expected=expected,
        until_id=audience.highest_id(tx),
        now=tx.now,
    )
    assert row is not None  # noqa: S101 (RETURNING)
    tx.wake()
    return find(tx, row[0])


def find(rx: Rx, change_id: int) -> Change:
    """Return one change, or raise NotFound."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM bulk_changes WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=change_id,
    )
    if row is None:
        raise NotFound("change")
    return _change(row)


def newest(rx: Rx) -> list[Change]:
    """Return the account's newest changes, newest first."""
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM bulk_changes WHERE account_id = :account_id"  # noqa: S608
        " ORDER BY id DESC LIMIT :limit",
        account_id=rx.account_id,
        limit=LISTED,
    )
    return [_change(row) for row in rows]


def cancel(tx: Tx, change_id: int) -> Change:
    """End a change where it is; what was done stays. One that has ended stays as it is."""
    find(tx, change_id)
    _end(tx, change_id, "cancelled", None)
    return find(tx, change_id)


def fail(tx: Tx, change_id: int, why: str) -> None:
    """Give a change up, and say why."""
    _end(tx, change_id, "failed", why[:SAID_MAX])


def due(rx: Rx, after_account: int = 0) -> Change | None:
    """Return the oldest change that waits of the next account behind this one; else of the first."""
    for behind in dict.fromkeys((after_account, 0)):
        row = rx.one(
            f"SELECT {_COLUMNS} FROM bulk_changes WHERE state = 'waiting' AND account_id > :after_account"  # noqa: S608
            " ORDER BY account_id, id LIMIT 1",
            after_account=behind,
        )
        if row is not None:
            return _change(row)
    return None


def look(rx: Rx, change: Change) -> Slice:
    """Return the next people of a change; reads up to 500 rows, so in a thread."""
    ids, until_id = choosing.after(rx, change.chosen, change.after_id, change.until_id, SLICE)
    return Slice(change, ids, change.until_id if until_id is None else until_id, until_id is None)


def do(tx: Tx, found: Slice) -> bool:
    """Act on a slice and move on; False when somebody else was faster, or the change has ended."""
    change = found.change
    moved = tx.run(
        "UPDATE bulk_changes SET after_id = :until_id, updated_at = :now WHERE account_id = :account_id"
        " AND id = :id AND state = 'waiting' AND after_id = :after_id",
        until_id=found.until_id,
        now=tx.now,
        account_id=tx.account_id,
        id=change.id,
        after_id=change.after_id,
    )
    if not moved:
        return False
    people = subscribers.by_ids(tx, found.ids)
    acted = _act(tx, change, [people[one] for one in found.ids if one in people])
    tx.run(
        "UPDATE bulk_changes SET matched = matched + :matched, changed = changed + :changed"
        " WHERE account_id = :account_id AND id = :id",
        matched=len(people),
        changed=acted,
        account_id=tx.account_id,
        id=change.id,
    )
    if found.ended:
        _end(tx, change.id, "done", None)
    return True


def _act(tx: Tx, change: Change, people: list[Subscriber]) -> int:
    """Do the act for each; return for how many it changed something."""
    origin = Origin("dashboard", source=f"bulk:{change.id}")
    acts: dict[str, Callable[[list[Subscriber], Origin], int]] = {
        "tag": lambda all_, by: _tag(tx, change.tag_id or 0, all_, by),
        "untag": lambda all_, by: sum(
            subscriptions.leave(tx, one, "tag", change.tag_id or 0, by) for one in all_
        ),
        "unsubscribe": lambda all_, by: sum(
            subscriptions.unsubscribe(tx, one, by).state != one.state for one in all_
        ),
    }
    return acts[change.act](people, origin)


def _tag(tx: Tx, tag_id: int, people: list[Subscriber], origin: Origin) -> int:
    tags.find(tx, tag_id)
    have = subscriptions.having(tx, "tag", [tag_id], [one.id for one in people])
    without = [one for one in people if one.id not in have]
    for one in without:
        subscriptions.start(tx, one, "tag", tag_id, origin)
    return len(without)


def _end(tx: Tx, change_id: int, state: str, said: str | None) -> None:
    tx.run(
        "UPDATE bulk_changes SET state = :state, said = CAST(:said AS TEXT), ended_at = :now,"
        " updated_at = :now WHERE account_id = :account_id AND id = :id AND state = 'waiting'",
        state=state,
        said=said,
        now=tx.now,
        account_id=tx.account_id,
        id=change_id,
    )


def _change(row: tuple[object, ...]) -> Change:
    named = dict(zip(Change.__struct_fields__, row, strict=True))
    return Change(**{**named, "chosen": choosing.unpacked(str(named["chosen"]))})  # type: ignore[arg-type]
