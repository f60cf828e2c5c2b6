"""Audience: who a broadcast goes to, and who may have mail at the last look.

Owns no table and writes nothing: it lends its SELECTs to the fan-out and to counts.
"""

from tidings.store.tx import Rx

# A person once, however many ways lead to them: they are the rows, the ways only conditions.
OF_BROADCAST = (
    "FROM subscribers AS person WHERE person.account_id = :account_id AND person.state = 'active'"
    " AND (NOT EXISTS (SELECT 1 FROM broadcast_audiences AS part WHERE part.account_id = :account_id"
    " AND part.broadcast_id = :broadcast_id AND part.excluded = 0)"
    " OR EXISTS (SELECT 1 FROM broadcast_audiences AS part JOIN subscriptions AS its"
    " ON its.account_id = part.account_id AND its.subscriber_id = person.id"
    " AND COALESCE(its.tag_id, 0) = part.tag_id"
    " WHERE part.account_id = :account_id AND part.broadcast_id = :broadcast_id AND part.excluded = 0"
    " AND its.ended_at IS NULL)"
    " OR EXISTS (SELECT 1 FROM broadcast_audiences AS part JOIN subscriptions AS its"
    " ON its.account_id = part.account_id AND its.subscriber_id = person.id"
    " AND COALESCE(its.tag_id, 0) = 0 AND COALESCE(its.form_id, 0) = part.form_id"
    " WHERE part.account_id = :account_id AND part.broadcast_id = :broadcast_id AND part.excluded = 0"
    " AND its.ended_at IS NULL)"
    " OR EXISTS (SELECT 1 FROM broadcast_audiences AS part JOIN subscriptions AS its"
    " ON its.account_id = part.account_id AND its.subscriber_id = person.id"
    " AND COALESCE(its.tag_id, 0) = 0 AND COALESCE(its.form_id, 0) = 0"
    " AND COALESCE(its.sequence_id, 0) = part.sequence_id WHERE part.account_id = :account_id"
    " AND part.broadcast_id = :broadcast_id AND part.excluded = 0 AND its.ended_at IS NULL))"
    " AND NOT EXISTS (SELECT 1 FROM broadcast_audiences AS part JOIN subscriptions AS its"
    " ON its.account_id = part.account_id AND its.subscriber_id = person.id"
    " AND COALESCE(its.tag_id, 0) = part.tag_id"
    " WHERE part.account_id = :account_id AND part.broadcast_id = :broadcast_id AND part.excluded = 1"
    " AND its.ended_at IS NULL)"
    " AND NOT EXISTS (SELECT 1 FROM broadcast_audiences AS part JOIN subscriptions AS its"
    " ON its.account_id = part.account_id AND its.subscriber_id = person.id"
    " AND COALESCE(its.tag_id, 0) = 0 AND COALESCE(its.form_id, 0) = part.form_id"
    " WHERE part.account_id = :account_id AND part.broadcast_id = :broadcast_id AND part.excluded = 1"
    " AND its.ended_at IS NULL)"
    " AND NOT EXISTS (SELECT 1 FROM broadcast_audiences AS part JOIN subscriptions AS its"
    " ON its.account_id = part.account_id AND its.subscriber_id = person.id"
    " AND COALESCE(its.tag_id, 0) = 0 AND COALESCE(its.form_id, 0) = 0"
    " AND COALESCE(its.sequence_id, 0) = part.sequence_id WHERE part.account_id = :account_id"
    " AND part.broadcast_id = :broadcast_id AND part.excluded = 1 AND its.ended_at IS NULL)"
)
# The last look: whether the person of a delivery still is as the mail needs them to be. Not by
# EXISTS: before its first statistics PostgreSQL began with all active people of the account.
IS_IN_STATE = (
    "(SELECT person.state FROM subscribers AS person WHERE person.account_id = deliveries.account_id"
    " AND person.id = deliveries.subscriber_id) = :wanted"
)


def slice_end(rx: Rx, after_id: int, highest_id: int, size: int) -> int | None:
    """Return the last id of the next slice of active people; None when nobody is left."""
    row = rx.one(
        "SELECT id FROM subscribers WHERE account_id = :account_id AND state = 'active' AND id > :after_id"
        " AND id <= :highest_id ORDER BY id LIMIT 1 OFFSET :skip",
        account_id=rx.account_id,
        after_id=after_id,
        highest_id=highest_id,
        skip=size - 1,
    )
    if row is not None:
        return int(row[0])
    more = rx.one(
        "SELECT id FROM subscribers WHERE account_id = :account_id AND state = 'active' AND id > :after_id"
        " AND id <= :highest_id ORDER BY id LIMIT 1",
        account_id=rx.account_id,
        after_id=after_id,
        highest_id=highest_id,
    )
    return highest_id if more is not None else None


def highest_id(rx: Rx) -> int:
    """Return the highest id of the account's subscribers, 0 for none."""
    row = rx.one(
        "SELECT id FROM subscribers WHERE account_id = :account_id ORDER BY id DESC LIMIT 1",
        account_id=rx.account_id,
    )
    return int(row[0]) if row else 0


def count(rx: Rx, broadcast_id: int) -> int:
    """Return how many people a broadcast would go to now; reads everybody, so in a thread."""
    row = rx.one(f"SELECT COUNT(*) {OF_BROADCAST}", account_id=rx.account_id, broadcast_id=broadcast_id)
    return int(row[0]) if row else 0
