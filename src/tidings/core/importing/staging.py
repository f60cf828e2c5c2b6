"""Staging: the people of a slice in a table of this connection, from which they are written in sets.

So each row crosses from Python to the database once, whatever it becomes there: row by row and table by table
SQLite took 24 us a person, this way 9.
"""

from collections.abc import Sequence
from itertools import accumulate, repeat

import msgspec

from tidings.core.importing.rows import Incoming
from tidings.store.tx import Row, Tx

Combos = Sequence[Sequence[tuple[str, int]]]

_PEOPLE = ("n", "id", "email", "word", "first_name", "state", "fields", "created_at", "stated_at", "said",
           "cause", "combo", "entry")  # fmt: skip
_THINGS = ("combo", "k", "form_id", "sequence_id", "tag_id")
_KINDS = ("form", "sequence", "tag")
_MAKE_PEOPLE = (
    "CREATE TEMP TABLE IF NOT EXISTS import_people (n BIGINT, id BIGINT, email TEXT, word TEXT,"
    " first_name TEXT, state TEXT, fields TEXT, created_at BIGINT, stated_at BIGINT, said TEXT, cause TEXT,"
    " combo BIGINT, entry BIGINT) {until_commit}"
)
_MAKE_THINGS = (
    "CREATE TEMP TABLE IF NOT EXISTS import_things (combo BIGINT, k BIGINT, form_id BIGINT,"
    " sequence_id BIGINT, tag_id BIGINT, PRIMARY KEY (combo, k)) {until_commit}"
)
_INTO_PEOPLE = (
    "INSERT INTO import_people (n, id, email, word, first_name, state, fields, created_at, stated_at, said,"
    " cause, combo, entry) VALUES (:n, :id, :email, :word, :first_name, :state, :fields, :created_at,"
    " :stated_at, :said, :cause, :combo, :entry)"
)
_INTO_THINGS = (
    "INSERT INTO import_things (combo, k, form_id, sequence_id, tag_id)"
    " VALUES (:combo, :k, :form_id, :sequence_id, :tag_id)"
)
# A look for each by the index, in this order: as a join PostgreSQL read the index of everybody.
_KNOWN = (
    "SELECT n, id FROM (SELECT n, (SELECT subscribers.id FROM subscribers WHERE account_id = :account_id"
    " AND email_key = import_people.word) AS id FROM import_people) AS found WHERE id IS NOT NULL ORDER BY n"
)


class Staged(msgspec.Struct, frozen=True):
    """Who lies in the table: their states, the number of the combo that each joins, and the combos.

    `entries` says how many things were joined by those before each; the last is the sum of all.
    """

    states: Sequence[str]
    numbers: Sequence[int]
    combos: Combos
    entries: Sequence[int]


def stage(
    tx: Tx,
    people: Sequence[Incoming],
    things: Sequence[int],
    combos: Combos,
    *,
    ids: Sequence[int] = (),
    states: Sequence[str] = (),
) -> Staged:
    """Lay people into the table, alone; `ids` and `states` are those of people who are known."""
    numbers, whole = _numbered(states or [one.state for one in people], things, combos)
    sizes = [len(combo) for combo in whole]
    entries = [0, *accumulate([sizes[number] for number in numbers])]
    have = states or [one.state for one in people]
    rows: list[Row] = [
        (n, row_id, one.email, one.key, one.first_name, state, one.fields, one.created_at, one.stated_at,
         one.said, one.cause, number, entry)
        for n, (row_id, one, state, number, entry) in enumerate(
            zip(ids or repeat(None), people, have, numbers, entries, strict=False)
        )
    ]  # fmt: skip
    tx.run(_MAKE_PEOPLE)
    tx.run("DELETE FROM import_people")
    tx.load(_INTO_PEOPLE, _PEOPLE, rows)
    joined: list[Row] = [
        (number, k, *[ref_id if kind == one else None for one in _KINDS])
        for number, combo in enumerate(whole)
        for k, (kind, ref_id) in enumerate(combo)
    ]
    tx.run(_MAKE_THINGS)
    tx.run("DELETE FROM import_things")
    if joined:
        tx.load(_INTO_THINGS, _THINGS, joined)
    return Staged(have, numbers, whole, entries)


def known(tx: Tx) -> dict[int, int]:
    """Return the ids of those in the table whom the account has, by their place."""
    return dict(tx.all(_KNOWN, account_id=tx.account_id))


def _numbered(
    states: Sequence[str], things: Sequence[int], combos: Combos
) -> tuple[Sequence[int], list[Sequence[tuple[str, int]]]]:
    """Return what each joins, and the combos: who has left everything is in no form and no sequence."""
    whole = list(combos)
    if "cancelled" not in states:
        return things, whole
    only_tags: dict[int, int] = {}
    numbers = list(things)
    for at, state in enumerate(states):
        if state == "cancelled":
            number = only_tags.get(things[at])
            if number is None:
                number = only_tags[things[at]] = len(whole)
                whole.append([thing for thing in combos[things[at]] if thing[0] == "tag"])
            numbers[at] = number
    return numbers, whole
