"""Newcomers of an import, written in sets: rows, what they join, counters, and one event each.

Ids are taken first, so that every row is complete before it is written and nothing is read back.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tidings.core import counters, events
from tidings.core.events import Origin
from tidings.core.importing.rows import Incoming
from tidings.core.subscriptions import KINDS
from tidings.store.tx import Row, Tx

_PEOPLE = ("id", "account_id", "email", "email_key", "first_name", "state", "fields", "created_at",
           "updated_at", "activated_at")  # fmt: skip
_GONE = (*_PEOPLE, "cancelled_at", "bounced_at", "complained_at")
_ENTRIES = ("account_id", "sequence_id", "subscriber_id", "n", "position", "had", "since_at", "state",
            "created_at", "updated_at", "completed_at", "ended_at")  # fmt: skip
_EVENTS = ("account_id", "name", "subscriber_id", "subject_id", "snapshot", "cause", "created_at",
           "told_at")  # fmt: skip
_INSERT_PEOPLE = (
    "INSERT INTO subscribers (id, account_id, email, email_key, first_name, state, fields, created_at,"
    " updated_at, activated_at) VALUES (:id, :account_id, :email, :email_key, :first_name, :state, :fields,"
    " :created_at, :updated_at, :activated_at)"
)
_INSERT_GONE = (
    "INSERT INTO subscribers (id, account_id, email, email_key, first_name, state, fields, created_at,"
    " updated_at, activated_at, cancelled_at, bounced_at, complained_at) VALUES (:id, :account_id, :email,"
    " :email_key, :first_name, :state, :fields, :created_at, :updated_at, :activated_at, :cancelled_at,"
    " :bounced_at, :complained_at)"
)
# One text for each kind: the names come from KINDS, never from outside.
_JOINED = {
    kind: ("id", "account_id", "subscriber_id", f"{kind}_id", "subscriber_state", "source", "confirmations",
           "created_at")
    for kind in KINDS
}  # fmt: skip
_INSERT_JOINED = {
    kind: (
        f"INSERT INTO subscriptions (id, account_id, subscriber_id, {kind}_id, subscriber_state, source,"  # noqa: S608
        f" confirmations, created_at) VALUES (:id, :account_id, :subscriber_id, :{kind}_id,"
        " :subscriber_state, :source, :confirmations, :created_at)"
    )
    for kind in KINDS
}
_INSERT_ENTRIES = (
    "INSERT INTO entries (account_id, sequence_id, subscriber_id, n, position, had, since_at, state,"
    " created_at, updated_at, completed_at, ended_at) VALUES (:account_id, :sequence_id, :subscriber_id, :n,"
    " :position, :had, :since_at, :state, :created_at, :updated_at, :completed_at, :ended_at)"
)
_INSERT_EVENTS = (
    "INSERT INTO events (account_id, name, subscriber_id, subject_id, snapshot, cause, created_at, told_at)"
    " VALUES (:account_id, :name, :subscriber_id, :subject_id, :snapshot, :cause, :created_at, :told_at)"
)
# What an import says of somebody by their state; of who waits for a confirmation it says nothing.
BY_STATE = {
    "active": "subscriber_activate",
    "cancelled": "subscriber_unsubscribe",
    "bounced": "subscriber_bounce",
    "complained": "subscriber_complain",
}
_BY_KIND = {"form": "form_subscribe", "sequence": "course_subscribe", "tag": "tag_add"}
_NO_TIMES = (None, None, None, None)
_TIMES: dict[str, Callable[[int], Row]] = {
    "inactive": lambda _: _NO_TIMES,
    "cancelled": lambda at: (None, at, None, None),
    "bounced": lambda at: (None, None, at, None),
    "complained": lambda at: (None, None, None, at),
}
_encode = msgspec.json.Encoder().encode


class Told:
    """How the events of an import are recorded: told already, unless somebody asked to be told.

    `name` is what the import is called in a person's history; `keys` are the fields' keys by their ids.
    """

    def __init__(self, tx: Tx, name: str, *, aloud: bool, keys: dict[str, str]) -> None:
        self._heard = events.listened(tx) if aloud else frozenset[str]()
        self.name = name
        self.now = tx.now
        self.account_id = tx.account_id
        self._blank: dict[str, str | None] = dict.fromkeys(keys.values())
        self._keys = keys
        self._rows: list[Row] = []
        self._cause = _encode(Origin("command", source=f"{name}, line #")).decode().rpartition("#")

    def joined(self, kind: str) -> bool:
        """Say whether somebody waits to hear who joins things of this kind."""
        return _BY_KIND[kind] in self._heard

    def person(self, subscriber_id: int, one: Incoming) -> None:
        """Note in which state somebody came, with what proves their consent."""
        name = BY_STATE.get(one.state)
        if name is not None:
            self._note(name, subscriber_id, one, None)

    def join(self, subscriber_id: int, one: Incoming, kind: str, ref_id: int) -> None:
        """Note that somebody joined something."""
        self._note(_BY_KIND[kind], subscriber_id, one, ref_id)

    def _note(self, name: str, subscriber_id: int, one: Incoming, subject_id: int | None) -> None:
        fields = self._blank
        if one.fields:
            keys = self._keys
            fields = {**fields, **{keys[key]: value for key, value in one.fields.items() if key in keys}}
        snapshot = _encode(
            {"id": subscriber_id, "email": one.email, "first_name": one.first_name, "state": one.state,
             "created_at": one.created_at, "fields": fields}
        ).decode()  # fmt: skip
        told_at = None if name in self._heard else self.now
        row = (
            self.account_id,
            name,
            subscriber_id,
            subject_id,
            snapshot,
            self._origin(one),
            self.now,
            told_at,
        )
        self._rows.append(row)

    def _origin(self, one: Incoming) -> str:
        if not (one.proof or one.address or one.referrer):
            before, _, after = self._cause
            return f"{before}{one.line}{after}"
        said = f"; {one.proof}" if one.proof else ""
        origin = Origin("command", one.address, f"{self.name}, line {one.line}{said}", one.referrer)
        return _encode(origin).decode()

    def write(self, tx: Tx) -> None:
        """Write the events that were noted."""
        if self._rows:
            tx.load(_INSERT_EVENTS, _EVENTS, self._rows)
        if self._heard:
            tx.wake()


def write(tx: Tx, people: Sequence[Incoming], told: Told) -> Sequence[int]:
    """Write people whom nobody knows; return their ids, in their order."""
    ids = tx.fresh_ids("subscribers", len(people))
    account_id, now = tx.account_id, tx.now
    rows: list[Row] = []
    gone: list[Row] = []
    for row_id, one in zip(ids, people, strict=True):
        fields = _encode(one.fields).decode() if one.fields else "{}"
        row = (row_id, account_id, one.email, one.key, one.first_name, one.state, fields, one.created_at, now)
        if one.state == "active":
            rows.append((*row, one.stated_at))
        else:
            gone.append((*row, *_TIMES[one.state](one.stated_at)))
    if rows:
        tx.load(_INSERT_PEOPLE, _PEOPLE, rows)
    if gone:
        tx.load(_INSERT_GONE, _GONE, gone)
    for row_id, one in zip(ids, people, strict=True):
        told.person(row_id, one)
    _count_people(tx, zip(ids, people, strict=True))
    return ids


def join(
    tx: Tx,
    pairs: Sequence[tuple[int, str, Incoming]],
    combos: Sequence[Sequence[tuple[str, int]]],
    told: Told,
) -> None:
    """Let people (id, state, what came of them) join what the file says; none of them is in it yet."""
    by_thing: dict[tuple[str, int], list[tuple[int, str, Incoming]]] = {}
    for who in pairs:
        for thing in combos[who[2].things]:
            # Who has left everything is in no form and no sequence.
            if who[1] != "cancelled" or thing[0] == "tag":
                by_thing.setdefault(thing, []).append(who)
    account_id, now, source = tx.account_id, tx.now, told.name
    inside: list[Row] = []
    # A thing at a time: its rows lie beside each other in every index.
    for (kind, ref_id), whose in sorted(by_thing.items(), key=lambda item: item[0]):
        ids = tx.fresh_ids("subscriptions", len(whose))
        rows = [
            (row_id, account_id, subscriber_id, ref_id, state, source, 0, one.created_at)
            for row_id, (subscriber_id, state, one) in zip(ids, whose, strict=True)
        ]
        tx.load(_INSERT_JOINED[kind], _JOINED[kind], rows)
        counted = Counter([(row[4], row[0] >> counters.BITS) for row in rows])
        for (state, bucket), n in counted.items():
            counters.count(tx, kind, ref_id, state, bucket << counters.BITS, n)
        if kind == "sequence":
            # As somebody who has been through it: an import mails nobody.
            inside += [
                (account_id, ref_id, one[0], 1, 0, "", now, "ended", now, now, now, now) for one in whose
            ]
        if told.joined(kind):
            for subscriber_id, _, one in whose:
                told.join(subscriber_id, one, kind, ref_id)
    if inside:
        tx.load(_INSERT_ENTRIES, _ENTRIES, inside)


def _count_people(tx: Tx, people: Iterable[tuple[int, Incoming]]) -> None:
    """Count newcomers as `subscribers` does, a sum for each line of the counters."""
    buckets: Counter[tuple[str, int]] = Counter()
    dated: Counter[tuple[str, int, int]] = Counter()
    updated: Counter[tuple[str, int]] = Counter()
    gone: Counter[int] = Counter()
    for row_id, one in people:
        state, bucket = one.state, row_id >> counters.DATED_BITS
        buckets[state, row_id >> counters.BITS] += 1
        dated[state, bucket, one.created_at // counters.DAY_MS] += 1
        updated[state, bucket] += 1
        if state == "cancelled":
            gone[one.stated_at // counters.DAY_MS] += 1
    for (state, bucket), n in buckets.items():
        counters.count(tx, "subscribers", 0, state, bucket << counters.BITS, n)
    for (state, bucket, day), n in dated.items():
        row_id = bucket << counters.DATED_BITS
        counters.count_dated(tx, "subscribers.created", state, row_id, day * counters.DAY_MS, n)
    for (state, bucket), n in updated.items():
        counters.count_dated(tx, "subscribers.updated", state, bucket << counters.DATED_BITS, tx.now, n)
    for day, n in gone.items():
        counters.count_by_day(tx, "subscribers.cancelled", day * counters.DAY_MS, n)
