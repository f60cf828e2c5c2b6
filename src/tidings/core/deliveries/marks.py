"""Marks: who opened and who clicked, on the deliveries themselves; first one wins."""

import msgspec

from tidings.store.tx import Tx


class Reached(msgspec.Struct, frozen=True):
    """A delivery as a hit finds it; times in epoch ms."""

    occasion: str
    handed_at: int | None
    settled_at: int | None
    opened_at: int | None
    clicked_at: int | None
    machine_opened_at: int | None
    machine_clicked_at: int | None


class Mark(msgspec.Struct):
    """An open or click of one delivery, at most one for each delivery in a call.

    `machine` is why it was no person; `moves` takes back what the other kind had marked.
    `mark_opened` and `mark_clicked` fill in `reached` (None: this person has no such
    delivery any more) and `first`.
    """

    delivery_id: int
    subscriber_id: int
    at: int
    machine: str | None = None
    moves: bool = False
    reached: Reached | None = None
    first: bool = False


def mark_opened(tx: Tx, marks: list[Mark], *, keep: bool = True) -> list[tuple[str, int]]:
    """Note who opened, first one wins; return occasion and subscriber of each person's win.

    With `keep` False the deliveries are only looked up, and locked.
    """
    _reach(tx, marks)
    return _mark(tx, marks, "opened_at", "machine_opened_at") if keep else []


def mark_clicked(tx: Tx, marks: list[Mark], *, keep: bool = True) -> list[tuple[str, int]]:
    """Note who clicked, as `mark_opened` does of opens."""
    _reach(tx, marks)
    return _mark(tx, marks, "clicked_at", "machine_clicked_at") if keep else []


# Rows of one statement: a few texts serve every number of rows.
_MARK_SIZES = (100, 10, 1)
_REACHED = (
    "id, subscriber_id, occasion, handed_at, settled_at, opened_at, clicked_at, machine_opened_at,"
    " machine_clicked_at"
)
_REACH = {
    size: (
        f"SELECT {_REACHED} FROM deliveries WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND id IN ({', '.join(f':id{at}' for at in range(size))}) ORDER BY id {{for_update}}"
    )
    for size in _MARK_SIZES
}
# Not by a join with VALUES: PostgreSQL read every delivery of the account for it, 50 ms a hundred.
_FIRST = {
    (column, size): (
        f"UPDATE deliveries SET {column} = CASE id "  # noqa: S608 (our names)
        + " ".join(f"WHEN :id{at} THEN CAST(:at{at} AS BIGINT)" for at in range(size))
        + f" END WHERE account_id = :account_id AND id IN ({', '.join(f':id{at}' for at in range(size))})"
        f" AND {column} IS NULL RETURNING id"
    )
    for column in ("opened_at", "clicked_at", "machine_opened_at", "machine_clicked_at")
    for size in _MARK_SIZES
}
_TAKE_BACK = {
    column: f"UPDATE deliveries SET {column} = NULL WHERE account_id = :account_id AND id = :id"  # noqa: S608
    for column in ("opened_at", "clicked_at", "machine_opened_at", "machine_clicked_at")
}


def _mark(tx: Tx, marks: list[Mark], people: str, machines: str) -> list[tuple[str, int]]:
    """Write the marks of people into one column, those of machines into the other."""
    won = []
    for column, other, by_machine in ((people, machines, False), (machines, people, True)):
        mine = {
            one.delivery_id: one
            for one in marks
            if one.reached is not None and (one.machine is not None) == by_machine
        }
        new = [one for one in mine.values() if getattr(one.reached, column) is None]
        for piece in _pieces(len(new)):
            some = new[piece]
            names = {f"id{at}": one.delivery_id for at, one in enumerate(some)}
            times = {f"at{at}": one.at for at, one in enumerate(some)}
            rows = tx.all(_FIRST[column, len(some)], account_id=tx.account_id, **names, **times)
            for row in rows:
                mine[row[0]].first = True
        for one in mine.values():
            if one.moves:
                tx.run(_TAKE_BACK[other], account_id=tx.account_id, id=one.delivery_id)
            if one.first and one.reached is not None and not by_machine:
                won.append((one.reached.occasion, one.subscriber_id))
    return won


def _reach(tx: Tx, marks: list[Mark]) -> None:
    """Look up the deliveries of marks that were not yet, and lock them in the order of their ids."""
    asked = [one for one in marks if one.reached is None]
    ids = sorted({one.delivery_id for one in asked})
    found: dict[int, tuple[int, Reached]] = {}
    for piece in _pieces(len(ids)):
        names = {f"id{at}": one for at, one in enumerate(ids[piece])}
        for row in tx.all(_REACH[len(names)], account_id=tx.account_id, **names):
            found[row[0]] = (row[1], Reached(*row[2:]))
    for one in asked:
        subscriber_id, reached = found.get(one.delivery_id, (0, None))
        one.reached = reached if subscriber_id == one.subscriber_id else None


def _pieces(length: int) -> list[slice]:
    """Cut a list of this length into pieces of the sizes that there are statements for."""
    pieces, at = [], 0
    while at < length:
        size = next(size for size in _MARK_SIZES if size <= length - at)
        pieces.append(slice(at, at + size))
        at += size
    return pieces
