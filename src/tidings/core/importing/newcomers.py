"""Newcomers of an import, written in sets from the table of the slice: rows, what they join, one event each.

Ids are taken first and added to a row's place in the table; the counters are added up here.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from tidings.core import counters, events
from tidings.core.importing.rows import Incoming, begun
from tidings.core.importing.staging import Staged
from tidings.store.tx import Tx

# Rows of the table that lie beside each other and have ids that do: first, end, and what their ids are above.
Run = tuple[int, int, int]

_NUMBER = "UPDATE import_people SET id = n + :above WHERE n >= :first AND n < :end"
_PEOPLE = (
    "INSERT INTO subscribers (id, account_id, email, email_key, first_name, state, fields, created_at,"
    " updated_at, activated_at, cancelled_at, bounced_at, complained_at)"
    " SELECT COALESCE(id, n + :above), :account_id, email, word, first_name, state, fields, created_at, :now,"
    " CASE WHEN state = 'active' THEN stated_at END, CASE WHEN state = 'cancelled' THEN stated_at END,"
    " CASE WHEN state = 'bounced' THEN stated_at END, CASE WHEN state = 'complained' THEN stated_at END"
    " FROM import_people"
)
_EVENTS = (
    "INSERT INTO events (account_id, name, subscriber_id, snapshot, cause, created_at, told_at)"
    " SELECT :account_id, :name, person_id, '{\"id\":' || person_id || ',' || said, :begun || cause, :now,"
    " CAST(:told_at AS BIGINT) FROM (SELECT COALESCE(id, n + :above) AS person_id, said, cause"
    " FROM import_people WHERE state = :state) AS people"
)
# The things of a person are looked up from the person (CROSS JOIN), so that rows come in the order of people.
_PAIRS = " FROM import_people AS p CROSS JOIN import_things AS t WHERE t.combo = p.combo"
_JOINED = (
    "INSERT INTO subscriptions (id, account_id, subscriber_id, form_id, sequence_id, tag_id,"
    " subscriber_state, source, confirmations, created_at) SELECT p.entry + t.k + :base, :account_id,"
    " COALESCE(p.id, p.n + :above), t.form_id, t.sequence_id, t.tag_id, p.state, :source, 0, p.created_at"
    f"{_PAIRS} AND p.entry + t.k >= :first AND p.entry + t.k < :end"
)
# As somebody who has been through it: an import mails nobody.
_ENTRIES = (
    "INSERT INTO entries (account_id, sequence_id, subscriber_id, n, position, had, since_at, state,"
    " created_at, updated_at, completed_at, ended_at) SELECT :account_id, t.sequence_id,"
    " COALESCE(p.id, p.n + :above), 1, 0, '', :now, 'ended', :now, :now, :now, :now"
    f"{_PAIRS} AND t.sequence_id IS NOT NULL"
)
# One text for each kind: the names stand here, never outside.
_JOININGS = {
    kind: (
        "INSERT INTO events (account_id, name, subscriber_id, subject_id, snapshot, cause, created_at)"  # noqa: S608
        " SELECT :account_id, :name, person_id, ref_id, '{\"id\":' || person_id || ',' || said,"
        " :begun || cause, :now FROM (SELECT COALESCE(p.id, p.n + :above) AS person_id,"
        f" t.{kind}_id AS ref_id, p.said, p.cause{_PAIRS} AND t.{kind}_id IS NOT NULL) AS people"
    )
    for kind in ("form", "sequence", "tag")
}
# What an import says of somebody by their state; of who waits for a confirmation it says nothing.
BY_STATE = {
    "active": "subscriber_activate",
    "cancelled": "subscriber_unsubscribe",
    "bounced": "subscriber_bounce",
    "complained": "subscriber_complain",
}
_BY_KIND = {"form": "form_subscribe", "sequence": "course_subscribe", "tag": "tag_add"}


class Told:
    """How the events of an import are recorded: told already, unless somebody asked to be told.

    `name` is what the import is called in a person's history.
    """

    def __init__(self, tx: Tx, name: str, *, aloud: bool) -> None:
        self.heard = events.listened(tx) if aloud else frozenset[str]()
        self.name = name
        self.begun = begun(name)

    def told_at(self, name: str, now: int) -> int | None:
        """Return when an event of this name was told: never, where somebody waits for it."""
        return None if name in self.heard else now


def write(tx: Tx, people: Sequence[Incoming], staged: Staged, told: Told) -> None:
    """Write the people of the table, whom nobody knows, and let them join their things."""
    runs = _runs(tx.fresh_ids("subscribers", len(people)))
    above = runs[0][2]
    if len(runs) > 1:
        for first, end, base in runs:
            tx.run(_NUMBER, above=base, first=first, end=end)
    tx.run(_PEOPLE, above=above, account_id=tx.account_id, now=tx.now)
    for state in sorted(set(staged.states) & set(BY_STATE)):
        tx.run(
            _EVENTS,
            account_id=tx.account_id,
            name=BY_STATE[state],
            begun=told.begun,
            now=tx.now,
            told_at=told.told_at(BY_STATE[state], tx.now),
            above=above,
            state=state,
        )
    _count_people(tx, people, runs)
    join(tx, staged, told, above=above)


def join(tx: Tx, staged: Staged, told: Told, *, above: int = 0) -> None:
    """Let the people of the table join what they are not in yet; with no id theirs is that place `above`."""
    size = staged.entries[-1]
    if not size:
        return
    runs = _runs(tx.fresh_ids("subscriptions", size))
    for first, end, base in runs:
        tx.run(
            _JOINED,
            base=base,
            account_id=tx.account_id,
            above=above,
            source=told.name,
            first=first,
            end=end,
        )
    kinds = {kind for combo in staged.combos for kind, _ in combo}
    if "sequence" in kinds:
        tx.run(_ENTRIES, account_id=tx.account_id, above=above, now=tx.now)
    for kind in sorted(kinds):
        if _BY_KIND[kind] in told.heard:
            names = {"account_id": tx.account_id, "name": _BY_KIND[kind], "begun": told.begun}
            tx.run(_JOININGS[kind], now=tx.now, above=above, **names)
    _count_joined(tx, staged, runs)


def _runs(ids: Sequence[int]) -> list[Run]:
    """Cut ids, which rise, into runs without a gap: on PostgreSQL others take numbers in between."""
    if isinstance(ids, range):
        return [(0, len(ids), ids[0])]
    found: list[Run] = []
    first = 0
    for at in range(1, len(ids) + 1):
        if at == len(ids) or ids[at] != ids[at - 1] + 1:
            found.append((first, at, ids[first] - first))
            first = at
    return found


def _pieces(runs: Sequence[Run], bits: int) -> Iterator[tuple[int, int, int]]:
    """Cut runs where a bucket of ids ends; yield first, end, and an id of the bucket."""
    for first, end, above in runs:
        at = first
        while at < end:
            until = min(((at + above >> bits) + 1 << bits) - above, end)
            yield at, until, at + above
            at = until


def _count_people(tx: Tx, people: Sequence[Incoming], runs: Sequence[Run]) -> None:
    """Count newcomers as `subscribers` does, a sum for each line of the counters."""
    states = [one.state for one in people]
    days = [one.created_at // counters.DAY_MS for one in people]
    for first, end, row_id in _pieces(runs, counters.BITS):
        for state, n in Counter(states[first:end]).items():
            counters.count(tx, "subscribers", 0, state, row_id, n)
    for first, end, row_id in _pieces(runs, counters.DATED_BITS):
        for state, n in Counter(states[first:end]).items():
            counters.count_dated(tx, "subscribers.updated", state, row_id, tx.now, n)
        dated = Counter(zip(states[first:end], days[first:end], strict=True))
        for (state, day), n in dated.items():
            counters.count_dated(tx, "subscribers.created", state, row_id, day * counters.DAY_MS, n)
    if "cancelled" in states:
        gone = Counter(one.stated_at // counters.DAY_MS for one in people if one.state == "cancelled")
        for day, n in gone.items():
            counters.count_by_day(tx, "subscribers.cancelled", day * counters.DAY_MS, n)


def _count_joined(tx: Tx, staged: Staged, runs: Sequence[Run]) -> None:
    """Count subscriptions by thing, state and bucket: people who lie whole in a bucket together."""
    entries, numbers, states = staged.entries, staged.numbers, staged.states
    people = len(numbers)
    for first, end, row_id in _pieces(runs, counters.BITS):
        begins = bisect_left(entries, first, hi=people)
        ends = begins
        if begins < people:
            ends = max(begins, bisect_left(entries, end + 1, lo=begins) - 1)
        together = Counter(zip(numbers[begins:ends], states[begins:ends], strict=True))
        for (number, state), n in together.items():
            for kind, ref_id in staged.combos[number]:
                counters.count(tx, kind, ref_id, state, row_id, n)
        # Those before and after are partly in this bucket and partly in its neighbours.
        for at in {begins - 1, ends} - {-1, people}:
            combo = staged.combos[numbers[at]]
            for k in range(max(first - entries[at], 0), min(end - entries[at], len(combo))):
                counters.count(tx, *combo[k], states[at], row_id, 1)
