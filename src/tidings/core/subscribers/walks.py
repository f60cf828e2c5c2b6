"""Walks over the active people of an account, in the order of their ids."""

from collections.abc import Mapping

import msgspec

from tidings.store.tx import Rx


class Walked(msgspec.Struct, frozen=True):
    """One active person: since when, and their fields by the id of the field, as text."""

    id: int
    since_at: int
    fields: Mapping[str, str]


_FIELDS = msgspec.json.Decoder(dict[str, str])


def active_after(rx: Rx, after_id: int, limit: int) -> list[Walked]:
    """Return the active people behind an id, in the order of their ids: one index, slice by slice."""
    rows = rx.all(
        "SELECT id, COALESCE(activated_at, created_at), fields FROM subscribers"
        " WHERE account_id = :account_id AND state = 'active' AND id > :after_id ORDER BY id LIMIT :limit",
        account_id=rx.account_id,
        after_id=after_id,
        limit=limit,
    )
    return [Walked(row[0], row[1], {} if row[2] == "{}" else _FIELDS.decode(row[2])) for row in rows]
