"""Advance: whoever is due in a sequence gets its next email, or comes to its end.

Owns no table. Each look at an entry finds the first published email behind its place that
it has not had, sends it when it is due and notes when to look again. All of a slice is one
transaction: repeated or done by two at once, nothing is done twice.
"""

from collections.abc import Iterable
from datetime import tzinfo
from itertools import groupby

import msgspec

from tidings.core import accounts, deliveries, entries, events, sequences, slots, subscribers, subscriptions
from tidings.core.entries import AGAIN_MS, Entry
from tidings.core.events import Origin
from tidings.core.sequences import Sequence, Step
from tidings.core.subscribers import zones
from tidings.core.subscribers.zones import Standing
from tidings.store.tx import Rx, Tx

# Some 20 ms of SQLite's write lock: sign-ups never wait long for a sequence.
SLICE = 500
ORIGIN = Origin("engine")


class _Course(msgspec.Struct, frozen=True):
    """One sequence as this slice goes through it; `excluded` are the people it passes over."""

    sequence: Sequence
    steps: list[Step]
    excluded: set[int]
    account_zone: str

    def zone(self, person: Standing) -> tzinfo:
        own = person.time_zone if self.sequence.zone == "subscriber" else None
        return slots.zone_of(own, self.account_zone)

    def next(self, entry: Entry) -> Step | None:
        behind = (one for one in self.steps if one.position > entry.position)
        return next((one for one in behind if not entry.has_had(one.id)), None)


def any_due(rx: Rx) -> bool:
    """Say whether a tick would find anything to do: one look at each of two indexes."""
    return entries.any_due(rx) or sequences.any_to_replan(rx)


def tick(tx: Tx, limit: int = SLICE) -> int:
    """Look at who is due, over all accounts, and at who is inside a sequence that was changed.

    At most 500 entries; returns how many, and so 0 when there is nothing to do now.
    """
    limit = min(limit, SLICE)
    due = entries.claim_due(tx, limit)
    for account_id, theirs in groupby(sorted(due, key=_account), key=_account):
        _advance(tx.for_account(account_id), list(theirs))
    # Not both in one transaction: a replan waits for others, who may wait for what is due.
    done = len(due) or _replan(tx, limit)
    if done:
        tx.wake()
    return done


def _replan(tx: Tx, limit: int) -> int:
    """Look at the next entries of one sequence that was changed; return at least 1 if there is one."""
    changed = sequences.next_to_replan(tx)
    if changed is None:
        return 0
    account_id, sequence_id = changed
    own = tx.for_account(account_id)
    after_id = sequences.take_replan(own, sequence_id)
    if after_id is None:
        return 1
    inside = entries.claim_after(own, sequence_id, after_id, limit)
    _advance(own, inside)
    sequences.replanned(own, sequence_id, inside[-1].id if len(inside) == limit else None)
    return max(len(inside), 1)


def _account(entry: Entry) -> int:
    return entry.account_id


def _advance(tx: Tx, claimed: list[Entry]) -> None:
    """Move the claimed entries of one account on."""
    standing = zones.standing(tx, sorted({one.subscriber_id for one in claimed}))
    courses = {one: _course(tx, one, claimed) for one in {one.sequence_id for one in claimed}}
    moved = [_look(tx, one, standing.get(one.subscriber_id), courses[one.sequence_id]) for one in claimed]
    entries.move(tx, moved)
    both = zip(claimed, moved, strict=True)
    _tell(tx, [after for before, after in both if after.completed_at != before.completed_at])


def _course(tx: Tx, sequence_id: int, claimed: Iterable[Entry]) -> _Course:
    inside = sorted({one.subscriber_id for one in claimed if one.sequence_id == sequence_id})
    excluded = sequences.exclusions(tx, sequence_id)
    return _Course(
        sequences.find(tx, sequence_id),
        sequences.steps(tx, sequence_id),
        subscriptions.having(tx, "tag", excluded.tags, inside)
        | subscriptions.having(tx, "form", excluded.forms, inside),
        accounts.time_zone(tx),
    )


def _look(tx: Tx, entry: Entry, person: Standing | None, course: _Course) -> Entry:
    """Return where an entry is after this look, with its next email queued if that is due."""
    if person is None:
        return msgspec.structs.replace(entry, state="inside", next_at=tx.now + AGAIN_MS)
    if person.state != "active":
        return msgspec.structs.replace(entry, next_at=None)
    if course.sequence.archived_at is not None:
        return msgspec.structs.replace(entry, next_at=None)
    if entry.subscriber_id in course.excluded:
        return msgspec.structs.replace(entry, state="left", next_at=None, ended_at=tx.now)
    zone = course.zone(person)
    step = course.next(entry)
    if step is not None and step.slot.due_at(entry.since_at, tx.now, zone) <= tx.now:
        deliveries.queue(tx, entries.occasion(step.id, entry.id), entry.subscriber_id, lane="bulk")
        entry = entry.given(step.id, step.position, tx.now)
        step = course.next(entry)
    if step is None:
        return _at_the_end(entry, course.sequence, tx.now)
    due_at = step.slot.due_at(entry.since_at, tx.now, zone)
    return msgspec.structs.replace(entry, state="inside", next_at=due_at)


def _at_the_end(entry: Entry, sequence: Sequence, now: int) -> Entry:
    """Return an entry that nothing follows for: held or ended, but waiting if it never had anything."""
    if entry.email_id is None:
        return msgspec.structs.replace(entry, state="inside", next_at=None)
    held = sequence.at_end == "hold"
    return msgspec.structs.replace(
        entry,
        state="held" if held else "ended",
        next_at=None,
        completed_at=entry.completed_at or now,
        ended_at=None if held else now,
    )


def _tell(tx: Tx, completed: list[Entry]) -> None:
    """Record that these have had all of their sequence: once for each entry, however often it goes on."""
    for at in range(0, len(completed), subscribers.PAGE):
        some = completed[at : at + subscribers.PAGE]
        people = subscribers.by_ids(tx, [one.subscriber_id for one in some])
        for one in some:
            who = people[one.subscriber_id]
            events.record(tx, "course_complete", who, who.id, ORIGIN, subject_id=one.sequence_id)
