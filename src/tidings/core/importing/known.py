"""People of an import whom the account knows already: what the file adds to them, and what it must not.

A file never makes anybody active who cancelled, bounced or complained; it may say that they did.
"""

from collections.abc import Sequence

import msgspec

from tidings.core import counters, entries, search, subscribers, subscriptions, suppressions
from tidings.core.importing import newcomers
from tidings.core.importing.newcomers import Told
from tidings.core.importing.rows import CHANGES_MAX, Incoming, Slice, Tally, next_state
from tidings.store.tx import Row, Rx, Tx

_KEYS = "CREATE TEMP TABLE IF NOT EXISTS import_keys (n BIGINT, word TEXT) {until_commit}"
_PAIRS = (
    "CREATE TEMP TABLE IF NOT EXISTS import_pairs (subscriber_id BIGINT, kind TEXT, ref_id BIGINT)"
    " {until_commit}"
)
_BY_KEY = (
    "SELECT import_keys.n, id, email, first_name, state, created_at, fields, updated_at FROM import_keys"
    " JOIN subscribers ON account_id = :account_id AND email_key = import_keys.word ORDER BY import_keys.n"
)
# One text for each kind: the names come from KINDS, never from outside.
_THERE = {
    kind: (
        f"SELECT import_pairs.subscriber_id, import_pairs.ref_id FROM import_pairs JOIN subscriptions"  # noqa: S608
        f" ON subscriptions.account_id = :account_id AND subscriptions.{kind}_id = import_pairs.ref_id"
        " AND subscriptions.subscriber_id = import_pairs.subscriber_id WHERE import_pairs.kind = :kind"
    )
    for kind in subscriptions.KINDS
}
# As an unsubscribing does: tags stay.
_END = (
    "UPDATE subscriptions SET ended_at = :now WHERE account_id = :account_id AND subscriber_id = :id"
    " AND tag_id IS NULL AND ended_at IS NULL"
)
_HELD = (
    "SELECT import_keys.n FROM import_keys JOIN suppressions ON account_id = :account_id"
    " AND digest = import_keys.word"
)
_FIELDS = msgspec.json.Decoder(dict[str, str])


class Known(msgspec.Struct, frozen=True):
    """Somebody of the file whom the account has: their row, and what the file says."""

    id: int
    email: str
    first_name: str | None
    state: str
    created_at: int
    fields: dict[str, str]
    updated_at: int
    said: Incoming


def find(tx: Tx, people: Sequence[Incoming]) -> dict[int, Known]:
    """Return who is known, by their place in the slice; their rows are locked one by one when changed."""
    _load_words(tx, [(n, one.key) for n, one in enumerate(people)])
    return {
        row[0]: Known(row[1], row[2], row[3], row[4], row[5], _FIELDS.decode(row[6]), row[7], people[row[0]])
        for row in tx.all(_BY_KEY, account_id=tx.account_id)
    }


def held(tx: Tx, people: Sequence[Incoming]) -> set[int]:
    """Return the places of those whose mailbox is suppressed; asks nothing where the account has none."""
    if not suppressed_any(tx):
        return set()
    _load_words(tx, [(n, suppressions.digest(tx, one.mailbox)) for n, one in enumerate(people)])
    return {row[0] for row in tx.all(_HELD, account_id=tx.account_id)}


def suppressed_any(rx: Rx) -> bool:
    """Say whether the account has any suppressed mailbox."""
    sql = "SELECT 1 FROM suppressions WHERE account_id = :account_id LIMIT 1"
    return rx.one(sql, account_id=rx.account_id) is not None


def renew(tx: Tx, known: Sequence[Known], given: Slice, told: Told, tally: Tally) -> int | None:
    """Bring known people to what the file says of them; return the record to stop before.

    None when all are done: else more of them change than one slice may hold.
    """
    done: list[tuple[int, str, Incoming]] = []
    changed: set[int] = set()
    unbettered: set[int] = set()
    stop = None
    for one in known:
        if len(changed) >= CHANGES_MAX:
            stop = one.said.record
            break
        state = next_state(one.state, one.said.state)
        if state != one.state:
            _turn(tx, one, state, told)
            changed.add(one.id)
        elif one.said.state != one.state and one.state != "inactive":
            unbettered.add(one.id)
        if _say(tx, one, state):
            changed.add(one.id)
        done.append((one.id, state, one.said))
    new = _not_yet(tx, done, given)
    newcomers.join(tx, *new, told)
    changed |= {row_id for row_id, _, _ in new[0]}
    tally.changed += len(changed)
    tally.kept += len(unbettered - changed)
    tally.same += len(done) - len(changed | unbettered)
    return stop


def _turn(tx: Tx, one: Known, state: str, told: Told) -> None:
    """Put a known person into the state that the file says."""
    who = subscribers.get(tx, one.id)
    subscriptions.turn(tx, who, state)
    if state == "cancelled":
        tx.run(_END, now=tx.now, account_id=tx.account_id, id=one.id)
        entries.leave_all(tx, one.id)
    told.person(one.id, one.said)


def _say(tx: Tx, one: Known, state: str) -> bool:
    """Write a name and values that differ; what the file leaves blank stays."""
    name = one.said.first_name or one.first_name
    fields = {**one.fields, **one.said.fields}
    if name == one.first_name and fields == one.fields:
        return False
    if name != one.first_name:
        search.note(tx, one.id, one.email, one.first_name)
    row = tx.one(
        "SELECT updated_at FROM subscribers WHERE account_id = :account_id AND id = :id {for_update}",
        account_id=tx.account_id,
        id=one.id,
    )
    tx.run(
        "UPDATE subscribers SET first_name = :name, fields = :fields, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        name=name,
        fields=msgspec.json.encode(fields).decode(),
        now=tx.now,
        account_id=tx.account_id,
        id=one.id,
    )
    if row is not None:
        counters.count_dated(tx, "subscribers.updated", state, one.id, row[0], -1)
        counters.count_dated(tx, "subscribers.updated", state, one.id, tx.now, +1)
    return True


def _not_yet(
    tx: Tx, done: list[tuple[int, str, Incoming]], given: Slice
) -> tuple[list[tuple[int, str, Incoming]], list[list[tuple[str, int]]]]:
    """Return who joins something that they are not in yet, and combos of only that.

    Who has left a form or a sequence stays out: their ended subscription is there.
    """
    wanted = [(row_id, kind, ref_id) for row_id, _, one in done for kind, ref_id in given.combos[one.things]]
    if not wanted:
        return [], []
    tx.run(_PAIRS)
    tx.run("DELETE FROM import_pairs")
    sql = "INSERT INTO import_pairs (subscriber_id, kind, ref_id) VALUES (:subscriber_id, :kind, :ref_id)"
    tx.load(sql, ("subscriber_id", "kind", "ref_id"), wanted)
    there = {
        (kind, *row)
        for kind in {kind for _, kind, _ in wanted}
        for row in tx.all(_THERE[kind], account_id=tx.account_id, kind=kind)
    }
    people: list[tuple[int, str, Incoming]] = []
    combos: list[list[tuple[str, int]]] = []
    for row_id, state, one in done:
        new = [(kind, ref) for kind, ref in given.combos[one.things] if (kind, row_id, ref) not in there]
        if new:
            people.append((row_id, state, msgspec.structs.replace(one, things=len(combos))))
            combos.append(new)
    return people, combos


def _load_words(tx: Tx, words: list[Row]) -> None:
    tx.run(_KEYS)
    tx.run("DELETE FROM import_keys")
    tx.load("INSERT INTO import_keys (n, word) VALUES (:n, :word)", ("n", "word"), words)
