"""Walks: once a day over the active people, for the triggers that no event starts.

A slice is looked at without holding up any writer; its runs and how far the walk has come are
then written together, unless somebody else was faster. A walk belongs to one day of the account's
time zone; days that the engine slept through are made up for, at most `LATE_DAYS` of them.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo

import msgspec

from tidings.core import accounts, custom_fields, events, slots
from tidings.core.automations import rows
from tidings.core.automations.definitions import trigger_of
from tidings.core.automations.parts import Trigger
from tidings.core.automations.rows import Run
from tidings.core.deliveries import signs
from tidings.core.deliveries.signs import Signs
from tidings.core.subscribers import walks as people
from tidings.core.subscribers.walks import Walked
from tidings.errors import NotFound
from tidings.store.tx import Rx, Tx

SLICE = 1_000
LATE_DAYS = 3
DAY_MS = 86_400_000
# `scan_id` of a walk that has come to its end.
ENDED = -1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# A date with a time and an offset is shorter.
_DATE_MAX = 40


class Walk(msgspec.Struct, frozen=True):
    """One walk that is due; `day` counts from the year 1, `before_*` is what the row says."""

    account_id: int
    rule_id: int
    trigger: Trigger
    day: int
    after_id: int
    before_day: int
    before_id: int


class Found(msgspec.Struct, frozen=True):
    """What a slice of a walk has found: people and occasions, and where the next slice begins."""

    walk: Walk
    until_id: int
    occasions: list[tuple[int, str]]


def due(rx: Rx) -> list[Walk]:
    """Return the walks that have something left to do now, over all accounts."""
    found = []
    for account_id, rule_id, kind, ref_id, value, enabled_at, scan_day, scan_id in rx.all(
        "SELECT account_id, id, trigger, trigger_id, trigger_value, enabled_at, scan_day, scan_id FROM rules"
        " WHERE trigger IN ('date_arrives', 'goes_quiet') AND enabled_at IS NOT NULL ORDER BY account_id, id"
    ):
        own = rx.for_account(account_id)
        trigger = trigger_of(kind, ref_id, value)
        zone = slots.zone_of(accounts.time_zone(own))
        day, after = _next(trigger, enabled_at, scan_day, scan_id, rx.now, zone)
        if day is not None:
            before = -1 if scan_day is None else scan_day
            found.append(Walk(account_id, rule_id, trigger, day, after, before, scan_id))
    return found


def look(rx: Rx, walk: Walk) -> Found:
    """Look at the next slice of a walk. Reads some thousand rows: not in the event loop."""
    slice_ = people.active_after(rx, walk.after_id, SLICE)
    if walk.trigger.kind == "date_arrives":
        occasions = _dated(rx, walk, slice_)
    else:
        occasions = _quiet(rx, walk, slice_)
    until = slice_[-1].id if len(slice_) == SLICE else ENDED
    return Found(walk, until, occasions)


def keep(tx: Tx, found: Found) -> bool:
    """Queue what a slice has found and move the walk on; False when somebody else was faster."""
    walk = found.walk
    moved = tx.run(
        "UPDATE rules SET scan_day = :day, scan_id = :until WHERE account_id = :account_id AND id = :id"
        " AND enabled_at IS NOT NULL AND COALESCE(scan_day, -1) = :before_day AND scan_id = :before_id",
        day=walk.day,
        until=found.until_id,
        account_id=tx.account_id,
        id=walk.rule_id,
        before_day=walk.before_day,
        before_id=walk.before_id,
    )
    if not moved:
        return False
    for subscriber_id, occasion in found.occasions:
        rows.queue(tx, walk.rule_id, subscriber_id, occasion)
    return True


def is_over(rx: Rx, run: Run) -> bool:
    """Say whether somebody who was quiet when a run was queued has shown a sign of life since."""
    if not run.occasion.startswith(rows.QUIET):
        return False
    since = int(run.occasion.rpartition(":")[2])
    return _lived(rx, run.subscriber_id - 1, run.subscriber_id).get(run.subscriber_id, 0) > since


def moment(day: date, hour: int, zone: tzinfo) -> int:
    """Return an hour of a day in epoch ms; one that does not exist moves on with the clock (PEP 495)."""
    wall = datetime(day.year, day.month, day.day, hour, tzinfo=zone)
    return (wall.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


def day_of(value: str, zone: tzinfo) -> date | None:
    """Return the day that a field's value names: a date, or a time that has an offset or has none."""
    value = value.strip()
    if len(value) > _DATE_MAX or not _DATE.match(value):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at.date() if at.tzinfo is None else at.astimezone(zone).date()


def _next(
    trigger: Trigger, enabled_at: int, scan_day: int | None, scan_id: int, now: int, zone: tzinfo
) -> tuple[int | None, int]:
    """Return the day of the walk to be made now and after whom to go on; None when none is due."""
    today = _local(now, zone)
    if scan_day is not None and scan_id != ENDED:
        return scan_day, scan_id
    if scan_day is None and trigger.kind == "goes_quiet":
        return today.toordinal(), 0
    if scan_day is None:
        first = _local(enabled_at, zone)
        # The hour had passed when it was switched on: that day is none of its days.
        if moment(first, trigger.hour, zone) < enabled_at:
            first += timedelta(days=1)
        day = first.toordinal()
    else:
        day = scan_day + 1
    late = LATE_DAYS if trigger.kind == "date_arrives" else 0
    day = max(day, today.toordinal() - late)
    if day > today.toordinal() or now < moment(date.fromordinal(day), trigger.hour, zone):
        return None, 0
    return day, 0


def _dated(rx: Rx, walk: Walk, slice_: Iterable[Walked]) -> list[tuple[int, str]]:
    """Return whose date lies as many days before this day as the trigger says."""
    try:
        field = custom_fields.find(rx, walk.trigger.ref_id or 0)
    except NotFound:
        return []
    zone = slots.zone_of(accounts.time_zone(rx))
    try:
        wanted = date.fromordinal(walk.day - walk.trigger.days)
    except ValueError:
        return []
    occasion = f"date:{walk.rule_id}:{date.fromordinal(walk.day).isoformat()}"
    found = []
    for one in slice_:
        value = one.fields.get(str(field.id))
        on = day_of(value, zone) if value else None
        if on is not None and (on == wanted or (walk.trigger.yearly and _comes_round(on, wanted))):
            found.append((one.id, occasion))
    return found


def _comes_round(on: date, wanted: date) -> bool:
    """Say whether a date comes round on a day; who was born on 29 February has the 28th in other years."""
    if on > wanted:
        return False
    if (on.month, on.day) == (wanted.month, wanted.day):
        return True
    leap_day = (on.month, on.day) == (2, 29) and (wanted.month, wanted.day) == (2, 28)
    return leap_day and (wanted + timedelta(days=1)).day == 1


def _quiet(rx: Rx, walk: Walk, slice_: list[Walked]) -> list[tuple[int, str]]:
    """Return who was mailed within the days of the trigger and showed no sign of life in them."""
    if not slice_:
        return []
    edge = rx.now - walk.trigger.days * DAY_MS
    first, last = slice_[0].id - 1, slice_[-1].id
    mailed = signs.mailed(rx, first, last)
    old = [one for one in slice_ if one.since_at <= edge and mailed.get(one.id, _NONE).mailed_at >= edge]
    if not old:
        return []
    lived = _lived(rx, first, last)
    found = []
    for one in old:
        since = max(one.since_at, lived.get(one.id, 0))
        if since <= edge and since > rows.quiet_since(rx, walk.rule_id, one.id):
            found.append((one.id, f"{rows.QUIET}{walk.rule_id}:{since}"))
    return found


def _lived(rx: Rx, after_id: int, until_id: int) -> dict[int, int]:
    """Return when these people last opened, clicked, subscribed or bought, by themselves."""
    found = events.last_acts(rx, after_id, until_id)
    for subscriber_id, one in signs.mailed(rx, after_id, until_id).items():
        found[subscriber_id] = max(found.get(subscriber_id, 0), one.lived_at)
    return found


_NONE = Signs(0, 0)


def _local(at: int, zone: tzinfo) -> date:
    return (_EPOCH + timedelta(milliseconds=at)).astimezone(zone).date()
