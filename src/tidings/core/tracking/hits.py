"""Raw hits: one row for each open and click, as it came. Owns the rows of `hits`.

A mail keeps a bounded number of them: whoever has its token could else fill the disk.
"""

from collections.abc import Sequence

import msgspec

from tidings.core import broadcasts
from tidings.core.deliveries import Reached
from tidings.core.sequences import numbers
from tidings.core.tracking import machines
from tidings.store.tx import Rx, Tx

# A scanner follows links before a person can have seen the mail.
EARLY_MS = 3_000
OPENS_KEPT = 100
CLICKS_KEPT = 500
AGENT_MAX = 200


class Link(msgspec.Struct, frozen=True):
    """One URL of a content; `owner` is such as "broadcast:7" or "sequence-email:3"."""

    id: int
    owner: str
    url: str


class Hit(msgspec.Struct, frozen=True):
    """An open (`link` is None) or a click, at `at` (epoch ms); `machine` is a reason of machines.REASONS."""

    delivery_id: int
    subscriber_id: int
    at: int
    link: Link | None = None
    machine: str | None = None
    agent: str = ""
    address: str = ""


class Click(msgspec.Struct):
    """A click as it is judged; `id` is 0 until it is a row, `before` what the row says of `machine`."""

    link_id: int
    at: int
    machine: str | None
    id: int = 0
    before: str | None = None
    hit: Hit | None = None


# Rows of one statement: a few texts serve every number of rows. Below 50 parameters, for psycopg
# parses longer texts anew each time, 0.4 ms for a hundred rows.
_KEEP_SIZES = (7, 1)
_KEEP = {
    size: (
        "INSERT INTO hits (account_id, delivery_id, subscriber_id, link_id, at, machine, agent, address)"  # noqa: S608
        " VALUES "
        + ", ".join(
            f"(:account_id, :delivery{at}, :subscriber{at}, CAST(:link{at} AS BIGINT), :at{at},"
            f" CAST(:machine{at} AS TEXT), :agent{at}, :address{at})"
            for at in range(size)
        )
    )
    for size in _KEEP_SIZES
}
# One SELECT for each mail, in one statement: for a list of ids PostgreSQL, asked first when the
# table was small, goes on reading every hit of the account.
_ASK_SIZES = (10, 1)
_OPENS = {
    size: " UNION ALL ".join(
        f"SELECT CAST(:delivery{at} AS BIGINT), COUNT(*) FROM hits WHERE account_id = :account_id"  # noqa: S608
        f" AND delivery_id = :delivery{at} AND link_id IS NULL"
        for at in range(size)
    )
    for size in _ASK_SIZES
}
_CLICKS = {
    size: " UNION ALL ".join(
        "SELECT delivery_id, link_id, at, machine, id FROM hits WHERE account_id = :account_id"  # noqa: S608
        f" AND delivery_id = :delivery{at} AND link_id IS NOT NULL"
        for at in range(size)
    )
    for size in _ASK_SIZES
}


def keep(tx: Tx, hits: Sequence[Hit]) -> None:
    """Write raw hits; later verbs of the same group read them."""
    for piece in _pieces(len(hits), _KEEP_SIZES):
        some = hits[piece]
        names: dict[str, object] = {}
        for at, hit in enumerate(some):
            names[f"delivery{at}"] = hit.delivery_id
            names[f"subscriber{at}"] = hit.subscriber_id
            names[f"link{at}"] = hit.link.id if hit.link else None
            names[f"at{at}"] = hit.at
            names[f"machine{at}"] = hit.machine
            names[f"agent{at}"] = hit.agent.replace("\0", "")[:AGENT_MAX]
            names[f"address{at}"] = hit.address
        tx.run(_KEEP[len(some)], account_id=tx.account_id, **names)


def opens_kept(rx: Rx, delivery_ids: Sequence[int]) -> dict[int, int]:
    """Return how many opens are kept of each of these mails."""
    counts: dict[int, int] = {}
    for piece in _pieces(len(delivery_ids), _ASK_SIZES):
        names = {f"delivery{at}": one for at, one in enumerate(delivery_ids[piece])}
        counts.update(rx.all(_OPENS[len(names)], account_id=rx.account_id, **names))
    return counts


def clicks_kept(rx: Rx, delivery_ids: Sequence[int]) -> dict[int, list[Click]]:
    """Return the clicks that are kept of each of these mails: at most CLICKS_KEPT of one."""
    found: dict[int, list[Click]] = {one: [] for one in delivery_ids}
    for piece in _pieces(len(delivery_ids), _ASK_SIZES):
        names = {f"delivery{at}": one for at, one in enumerate(delivery_ids[piece])}
        for delivery_id, link_id, at, machine, row_id in rx.all(
            _CLICKS[len(names)], account_id=rx.account_id, **names
        ):
            found[delivery_id].append(Click(link_id, at, machine, row_id, machine))
    return found


def judge(tx: Tx, row_id: int, machine: str) -> None:
    """Write another reason to a hit that is kept."""
    tx.run(
        "UPDATE hits SET machine = :machine WHERE account_id = :account_id AND id = :id",
        machine=machine,
        account_id=tx.account_id,
        id=row_id,
    )


def redeem(tx: Tx, delivery_id: int) -> tuple[int | None, bool]:
    """Take the early opens of a mail for a person's.

    Return when the first was, None for none, and whether other opens of machines remain.
    """
    names = {"account_id": tx.account_id, "delivery_id": delivery_id}
    rows = tx.all(
        "UPDATE hits SET machine = NULL WHERE account_id = :account_id AND delivery_id = :delivery_id"
        " AND link_id IS NULL AND machine = :early RETURNING at",
        early=machines.EARLY,
        **names,
    )
    others = tx.one(
        "SELECT 1 FROM hits WHERE account_id = :account_id AND delivery_id = :delivery_id"
        " AND link_id IS NULL AND machine IS NOT NULL LIMIT 1",
        **names,
    )
    return min((row[0] for row in rows), default=None), others is not None


def fold(tx: Tx, before_at: int, limit: int) -> int:
    """Delete up to `limit` hits older than `before_at`, over all accounts; the numbers stay.

    Deliveries older than that must be folded first: what says that a person clicked a link
    before is the hit itself.
    """
    return tx.run(
        "DELETE FROM hits WHERE (account_id, id) IN"
        " (SELECT account_id, id FROM hits WHERE at < :before_at ORDER BY at LIMIT :limit)",
        before_at=before_at,
        limit=limit,
    )


def early(reached: Reached, at: int) -> str | None:
    """Say that a hit came too soon after the hand-over: our 250, or before we had noted it."""
    settled = reached.settled_at
    arrived_at = settled if settled is not None and settled <= at else reached.handed_at
    return machines.EARLY if arrived_at is not None and 0 <= at - arrived_at < EARLY_MS else None


def owner_of(occasion: str) -> str:
    """Return whose links the mails of an occasion hold: its first two parts."""
    return ":".join(occasion.split(":", 2)[:2])


def count(tx: Tx, reached: Reached, **changes: int) -> None:
    """Change the numbers of the broadcast or of the sequence's email that a mail is of, if it is of one."""
    kind, _, ref = owner_of(reached.occasion).partition(":")
    if kind == "broadcast" and ref.isdecimal():
        broadcasts.count(tx, int(ref), **changes)
    elif kind == numbers.OCCASION:
        numbers.count(tx, reached.occasion, **changes)


def _pieces(length: int, sizes: tuple[int, ...]) -> list[slice]:
    """Cut a list of this length into pieces of the sizes that there are statements for."""
    pieces, at = [], 0
    while at < length:
        size = next(size for size in sizes if size <= length - at)
        pieces.append(slice(at, at + size))
        at += size
    return pieces
