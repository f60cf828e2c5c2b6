"""The log of a broadcast: its recipients by what became of them, and the refusals by their codes."""

import msgspec

from tidings.core.deliveries.report import COLUMNS, PAGE, Row
from tidings.store.tx import Rx

# Recipients that one page looks through for those it wants: some 40 ms. Who wants the ten that bounced
# of a million goes on from there.
LOOKED_MOST = 20_000
# Failures that are grouped by their codes; more of them say nothing else.
REFUSALS_LOOKED = 2_000
CODES_MOST = 50
_FATES = {
    "all": "",
    "waiting": " AND state IN ('queued', 'claimed', 'handed', 'deferred')",
    "sent": " AND state = 'sent'",
    "failed": " AND state = 'failed'",
    "uncertain": " AND state = 'uncertain'",
    "suppressed": " AND state = 'suppressed'",
    "opened": " AND opened_at IS NOT NULL",
    "clicked": " AND clicked_at IS NOT NULL",
    "unopened": " AND state = 'sent' AND opened_at IS NULL",
}
FATES = tuple(_FATES)
_UNSENT = ("failed", "uncertain")
_PAGES = {
    fate: f"SELECT {COLUMNS} FROM deliveries WHERE account_id = :account_id AND occasion = :occasion"  # noqa: S608 (constants)
    f" AND subscriber_id > :after_id AND subscriber_id <= :until_id{wanted}"
    " ORDER BY subscriber_id LIMIT :limit"
    for fate, wanted in _FATES.items()
}


class Leaf(msgspec.Struct, frozen=True):
    """One page; `next_id` is where the next one begins, None where nobody is left."""

    rows: list[Row]
    next_id: int | None


class Refusal(msgspec.Struct, frozen=True):
    """So many mails that ended alike: `code` is what the server said first, or empty; `example` one reply."""

    state: str
    code: str
    n: int
    example: str


def leaf(rx: Rx, broadcast_id: int, fate: str, *, after_id: int = 0) -> Leaf:
    """Return recipients of one fate, of `FATES`: by subscriber, or of those not sent by delivery.

    A page may have fewer rows than fit, even none, and others behind it.
    """
    if fate in _UNSENT:
        return _unsent(rx, broadcast_id, fate, after_id)
    names = {"account_id": rx.account_id, "occasion": f"broadcast:{broadcast_id}", "after_id": after_id}
    last = rx.one(
        "SELECT subscriber_id FROM deliveries WHERE account_id = :account_id AND occasion = :occasion"
        " AND subscriber_id > :after_id ORDER BY subscriber_id LIMIT 1 OFFSET :skip",
        skip=LOOKED_MOST - 1,
        **names,
    )
    until_id = int(last[0]) if last else 2**62
    found = [Row(*row) for row in rx.all(_PAGES[fate], until_id=until_id, limit=PAGE, **names)]
    if len(found) == PAGE:
        return Leaf(found, found[-1].subscriber_id)
    return Leaf(found, until_id if last else None)


def _unsent(rx: Rx, broadcast_id: int, state: str, after_id: int) -> Leaf:
    """Return a page of those that were not sent, by the index of them alone."""
    names = {"account_id": rx.account_id, "broadcast_id": broadcast_id, "after_id": after_id}
    last = rx.one(
        "SELECT id FROM deliveries WHERE account_id = :account_id AND broadcast_id = :broadcast_id"
        " AND state IN ('failed', 'uncertain') AND id > :after_id ORDER BY id LIMIT 1 OFFSET :skip",
        skip=LOOKED_MOST - 1,
        **names,
    )
    until_id = int(last[0]) if last else 2**62
    rows = rx.all(
        f"SELECT {COLUMNS} FROM deliveries WHERE account_id = :account_id"  # noqa: S608 (our columns)
        " AND broadcast_id = :broadcast_id AND state IN ('failed', 'uncertain') AND state = :state"
        " AND id > :after_id AND id <= :until_id ORDER BY id LIMIT :limit",
        state=state,
        until_id=until_id,
        limit=PAGE,
        **names,
    )
    found = [Row(*row) for row in rows]
    if len(found) == PAGE:
        return Leaf(found, found[-1].id)
    return Leaf(found, until_id if last else None)


def of_person(rx: Rx, broadcast_id: int, subscriber_id: int) -> Row | None:
    """Return what became of one person's mail of a broadcast; None for who was not to get it."""
    row = rx.one(
        f"SELECT {COLUMNS} FROM deliveries WHERE account_id = :account_id AND occasion = :occasion"  # noqa: S608 (our columns)
        " AND subscriber_id = :subscriber_id",
        account_id=rx.account_id,
        occasion=f"broadcast:{broadcast_id}",
        subscriber_id=subscriber_id,
    )
    return Row(*row) if row else None


def refusals(rx: Rx, broadcast_id: int) -> list[Refusal]:
    """Return how the mails ended that did not arrive for certain, the most frequent first.

    Of more than `REFUSALS_LOOKED` the first are grouped.
    """
    rows = rx.all(
        "SELECT state, SUBSTR(COALESCE(reply, ''), 1, 200) FROM deliveries WHERE account_id = :account_id"
        " AND broadcast_id = :broadcast_id AND state IN ('failed', 'uncertain') ORDER BY id LIMIT :looked",
        account_id=rx.account_id,
        broadcast_id=broadcast_id,
        looked=REFUSALS_LOOKED,
    )
    found: dict[tuple[str, str], list[str]] = {}
    for state, reply in rows:
        code = reply[:3] if reply[:3].isdecimal() else ""
        found.setdefault((state, code), []).append(reply)
    alike = [Refusal(state, code, len(said), said[0]) for (state, code), said in found.items()]
    return sorted(alike, key=lambda one: (-one.n, one.state, one.code))[:CODES_MOST]
