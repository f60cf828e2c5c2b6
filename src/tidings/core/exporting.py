"""Exporting: the people of an account and all that its owner made, read slice by slice.

Owns no table. Secrets, keys and signed links are no part of it: what is read is what the owner typed
and what people said and did.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from tidings.core import (
    automations,
    broadcasts,
    custom_fields,
    forms,
    purchases,
    sequences,
    snippets,
    tags,
    webhooks,
)
from tidings.store.tx import Rx

# People of one slice: some 20 ms of reading, which keeps no writer waiting.
SLICE = 5_000
_PEOPLE = (
    "SELECT id, email, first_name, state, created_at, fields, activated_at, cancelled_at, bounced_at,"
    " complained_at FROM subscribers WHERE account_id = :account_id AND id > :after_id ORDER BY id"
    " LIMIT :limit"
)
_JOINED = (
    "SELECT subscriber_id, tag_id, form_id, sequence_id FROM subscriptions WHERE account_id = :account_id"
    " AND subscriber_id > :after_id AND subscriber_id <= :until_id AND ended_at IS NULL"
    " ORDER BY subscriber_id"
)
_SINCE: Mapping[str, int] = {"active": 6, "cancelled": 7, "bounced": 8, "complained": 9}
_FIELDS = msgspec.json.Decoder(dict[str, str])


class Exported(msgspec.Struct, frozen=True, gc=False):
    """One person; times in epoch ms, `state_at` is since when they have their state, where it is known.

    `fields` are values by the id of the field; the ids of what they are in are sorted.
    """

    id: int
    email: str
    first_name: str | None
    state: str
    created_at: int
    state_at: int | None
    fields: dict[str, str]
    tags: tuple[int, ...] = ()
    forms: tuple[int, ...] = ()
    sequences: tuple[int, ...] = ()


class Wanted(msgspec.Struct, frozen=True):
    """Who is exported: by ids of what they are in (any of each kind), and by their state ("": any)."""

    tags: frozenset[int] = frozenset()
    forms: frozenset[int] = frozenset()
    sequences: frozenset[int] = frozenset()
    state: str = ""

    def has(self, one: Exported) -> bool:
        """Say whether somebody is wanted."""
        return (
            (not self.state or one.state == self.state)
            and (not self.tags or not self.tags.isdisjoint(one.tags))
            and (not self.forms or not self.forms.isdisjoint(one.forms))
            and (not self.sequences or not self.sequences.isdisjoint(one.sequences))
        )


class Hearing(msgspec.Struct, frozen=True):
    """A webhook without what belongs to its keys."""

    id: int
    event: str
    subject: str | None
    subject_id: int | None
    value: str | None
    target_url: str


def people(rx: Rx, after_id: int) -> list[Exported]:
    """Return the people behind an id, at most `SLICE`, in the order of their ids."""
    rows = rx.all(_PEOPLE, account_id=rx.account_id, after_id=after_id, limit=SLICE)
    if not rows:
        return []
    joined: dict[int, tuple[list[int], list[int], list[int]]] = {}
    for row_id, *refs in rx.all(_JOINED, account_id=rx.account_id, after_id=after_id, until_id=rows[-1][0]):
        lists = joined.get(row_id)
        if lists is None:
            lists = joined[row_id] = ([], [], [])
        for at, ref_id in enumerate(refs):
            if ref_id is not None:
                lists[at].append(ref_id)
    nothing: tuple[list[int], list[int], list[int]] = ([], [], [])
    found = []
    for row in rows:
        tag_ids, form_ids, sequence_ids = joined.get(row[0], nothing)
        fields = {} if row[5] == "{}" else _FIELDS.decode(row[5])
        since = row[_SINCE[row[3]]] if row[3] in _SINCE else None
        found.append(
            Exported(
                row[0],
                row[1],
                row[2],
                row[3],
                row[4],
                since,
                fields,
                _in_order(tag_ids),
                _in_order(form_ids),
                _in_order(sequence_ids),
            )
        )
    return found


def made(rx: Rx) -> Iterator[tuple[str, msgspec.Struct]]:
    """Yield what the owner made, but for broadcasts, with what it is, in an order that can be read in."""
    for field in custom_fields.all_fields(rx):
        yield "custom_field", field
    for tag in tags.all_tags(rx).values():
        yield "tag", tag
    for form in forms.all_forms(rx).values():
        yield "form", form
    for sequence in sequences.all_sequences(rx).values():
        yield "sequence", sequence
        for email in sequences.emails(rx, sequence.id):
            yield "sequence_email", email
    for snippet in snippets.all_snippets(rx).values():
        yield "snippet", snippet
    for rule in automations.all_rules(rx):
        yield "rule", rule
    for one in webhooks.all_webhooks(rx):
        yield "webhook", Hearing(one.id, one.event, one.subject, one.subject_id, one.value, one.target_url)


def pages(rx: Rx, kind: str, number: int) -> Sequence[msgspec.Struct]:
    """Return one page of broadcasts or purchases, the first being 1; nothing after the last."""
    if kind == "broadcast":
        return broadcasts.page(rx, newest_first=False, number=number)
    return purchases.page(rx, number)[1]


def _in_order(ids: list[int]) -> tuple[int, ...]:
    return tuple(sorted(ids)) if len(ids) > 1 else tuple(ids)
