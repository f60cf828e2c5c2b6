"""Signs of life: when people last got mail, and when they last opened or clicked any."""

import msgspec

from tidings.store.tx import Rx


class Signs(msgspec.Struct, frozen=True):
    """Of one person, in epoch ms, 0 for never: the last mail that reached them, the last open or click."""

    mailed_at: int
    lived_at: int


def mailed(rx: Rx, after_id: int, until_id: int) -> dict[int, Signs]:
    """Return the signs of the people of these ids who were ever mailed; reads all their deliveries."""
    rows = rx.all(
        "SELECT subscriber_id, MAX(CASE WHEN state IN ('sent', 'uncertain')"
        " THEN COALESCE(handed_at, settled_at) END), MAX(opened_at), MAX(clicked_at) FROM deliveries"
        " WHERE account_id = :account_id AND subscriber_id > :after_id AND subscriber_id <= :until_id"
        " GROUP BY subscriber_id",
        account_id=rx.account_id,
        after_id=after_id,
        until_id=until_id,
    )
    return {row[0]: Signs(row[1] or 0, max(row[2] or 0, row[3] or 0)) for row in rows}
