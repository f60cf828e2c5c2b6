"""Where somebody is and how they stand: what a sequence asks about many people at once."""

import msgspec

from tidings.errors import NotFound
from tidings.store.tx import Rx, Tx

# So many people are asked for at once; few sizes, so that few statements serve all.
SIZES = (10, 100, 500)
ZONE_MAX = 64


class Standing(msgspec.Struct, frozen=True):
    """A person's state, and the name of their time zone where it is known."""

    state: str
    time_zone: str | None


def standing(tx: Tx, ids: list[int]) -> dict[int, Standing]:
    """Return how these people (at most 500) stand, and keep their rows until the commit.

    Who is being changed by somebody else at this moment is left out: waiting for them,
    with rows of theirs in hand, would be a deadlock.
    """
    if not ids:
        return {}
    size, names = named(ids)
    rows = tx.all(
        "SELECT id, state, time_zone FROM subscribers WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND id IN ({', '.join(f':id{at}' for at in range(size))}) ORDER BY id"
        " {skip_locked}",
        account_id=tx.account_id,
        **names,
    )
    return {row[0]: Standing(row[1], row[2]) for row in rows}


def time_zone(rx: Rx, subscriber_id: int) -> str | None:
    """Return the name of a person's time zone, if it is known; raise NotFound for nobody."""
    row = rx.one(
        "SELECT time_zone FROM subscribers WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=subscriber_id,
    )
    if row is None:
        raise NotFound("subscriber")
    return row[0] if row[0] is None else str(row[0])


def place(tx: Tx, subscriber_id: int, name: str | None) -> None:
    """Note a person's time zone by its name in the tz database; None forgets it.

    A name that this system does not know is kept, and read as the account's zone.
    """
    changed = tx.run(
        "UPDATE subscribers SET time_zone = :name WHERE account_id = :account_id AND id = :id",
        name=name.replace("\0", "")[:ZONE_MAX] if name else None,
        account_id=tx.account_id,
        id=subscriber_id,
    )
    if not changed:
        raise NotFound("subscriber")


def named(ids: list[int]) -> tuple[int, dict[str, int]]:
    """Name ids (at most 500, at least one) for one of the few statements that serve every number of them."""
    size = next(size for size in SIZES if len(ids) <= size)
    return size, {f"id{at}": one for at, one in enumerate(ids + ids[-1:] * (size - len(ids)))}
