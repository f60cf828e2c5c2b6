"""Audience: who a broadcast goes to, and who may have mail at the last look.

Owns no table and writes nothing: it lends its SELECTs to the fan-out and to counts.
"""

from typing import NamedTuple

from tidings.core import counters
from tidings.store.tx import Rx

# People whose membership is looked up one by one, 8 us each: where somebody waits for the exact number,
# and where a page must not wait.
EXACT_MOST = 50_000
QUICK_MOST = 3_000
# Of an audience; no broadcast has more.
PARTS_MOST = 200
# So many ranges of so many people are looked at where there are more.
SAMPLES = 80
SAMPLED = 60
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


class Size(NamedTuple):
    """How many people an audience has; `exact` False: as a sample of it says, within a percent or so."""

    people: int
    exact: bool


def size(rx: Rx, broadcast_id: int, *, most: int = EXACT_MOST) -> Size:
    """Return how many people a broadcast would go to now, within half a second whatever their number.

    From the counters where they know it (everybody, one tag); counted where at most `most` people come
    into question (`QUICK_MOST`: 25 ms); else by a sample. In a thread.
    """
    rows = rx.all(
        "SELECT form_id, sequence_id, tag_id, excluded FROM broadcast_audiences"
        " WHERE account_id = :account_id AND broadcast_id = :broadcast_id ORDER BY id LIMIT 200",
        account_id=rx.account_id,
        broadcast_id=broadcast_id,
    )
    active = counters.total(rx, "subscribers", 0, "active")
    if not rows:
        return Size(active, exact=True)
    included = [row for row in rows if not row[3]]
    if len(rows) == len(included) == 1 and included[0][2] is not None:
        return Size(counters.total(rx, "tag", int(included[0][2]), "active"), exact=True)
    # A form's and a sequence's counters hold who left it, too.
    candidates = sum(
        counters.total(rx, kind, int(ref_id), "active")
        for row in included
        for kind, ref_id in zip(_KINDS, row[:3], strict=True)
        if ref_id is not None
    )
    names = {"account_id": rx.account_id, "broadcast_id": broadcast_id}
    if included and candidates <= most:
        return Size(_of_parts(rx, names, included), exact=True)
    if active <= most:
        return Size(count(rx, broadcast_id), exact=True)
    return Size(_sampled(rx, names, active), exact=False)


def _sampled(rx: Rx, names: dict[str, int], active: int) -> int:
    """Estimate from ranges of neighbours that begin evenly over all ids: each stands for its share of them.

    As many active people may lie on few ids in one place and on many in another, a range counts by how
    many people its neighbourhood has.
    """
    first = rx.one(_LOWEST, account_id=rx.account_id)
    lowest, highest = first[0] - 1 if first else 0, highest_id(rx)
    starts = {f"start{n}": lowest + (highest - lowest) * n // SAMPLES for n in range(SAMPLES)}
    rows = rx.all(_SAMPLE, highest=highest, most=SAMPLED - 1, **names, **starts)
    spans = [(max(int(end) - int(start), 1), int(near), int(found)) for start, end, near, found in rows]
    density = sum(near / span for span, near, _ in spans)
    return round(active * sum(found / span for span, _, found in spans) / density) if density else 0


_LOWEST = "SELECT id FROM subscribers WHERE account_id = :account_id ORDER BY id LIMIT 1"
_STARTS = ", ".join(f"(CAST(:start{n} AS BIGINT))" for n in range(SAMPLES))
_NEAR = "FROM subscribers AS near WHERE near.account_id = :account_id AND near.state = 'active'"
_END = (
    f"COALESCE((SELECT near.id {_NEAR} AND near.id > one.column1 ORDER BY near.id LIMIT 1 OFFSET :most),"
    " CAST(:highest AS BIGINT))"
)
_SAMPLE = (
    f"SELECT one.column1, {_END}, (SELECT COUNT(*) {_NEAR} AND near.id > one.column1 AND near.id <= {_END}),"  # noqa: S608
    f" (SELECT COUNT(*) {OF_BROADCAST} AND person.id > one.column1 AND person.id <= {_END})"
    f" FROM (VALUES {_STARTS}) AS one"
)
# Who is in any part that is included, some of them twice. By name: joined with the parts, PostgreSQL read
# every tag of the account (0.3 s at a million). Few sizes, so that few statements serve every audience.
_IN_SIZES = (5, 50, PARTS_MOST)
_KINDS = ("form", "sequence", "tag")
_NOTHING = -1


_NAMES = {
    (kind, size): ", ".join(f":{kind}{n}" for n in range(size)) for kind in _KINDS for size in _IN_SIZES
}
_IN_PARTS = {
    size: " UNION ALL ".join(
        "SELECT its.subscriber_id FROM subscriptions AS its WHERE its.account_id = :account_id"  # noqa: S608 (our columns)
        f" AND its.{kind}_id IS NOT NULL AND its.{kind}_id IN ({_NAMES[kind, size]}) AND its.ended_at IS NULL"
        for kind in _KINDS
    )
    for size in _IN_SIZES
}
_OF_PARTS = {
    size: f"SELECT COUNT(*) {OF_BROADCAST} AND person.id IN ({_IN_PARTS[size]})" for size in _IN_SIZES
}


def _of_parts(rx: Rx, names: dict[str, int], included: list[tuple[int | None, ...]]) -> int:
    """Count among those who are in one of these parts (form, sequence or tag)."""
    size = next(size for size in _IN_SIZES if len(included) <= size)
    ids = {kind: [row[at] for row in included if row[at] is not None] for at, kind in enumerate(_KINDS)}
    refs = {
        f"{kind}{n}": given[n] if n < len(given) else _NOTHING
        for kind, given in ids.items()
        for n in range(size)
    }
    row = rx.one(_OF_PARTS[size], **names, **refs)
    return int(row[0]) if row else 0
