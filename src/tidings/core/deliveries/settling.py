"""Handing and settling: the last look before the wire, and how a try ended."""

from collections.abc import Iterable
from itertools import groupby

import msgspec

from tidings.core import audience
from tidings.core.deliveries.rows import SIZES, Delivery, Outcome, Timing, named, size_for
from tidings.store.tx import Collected, Tx

RETRY_FIRST_MS = 5 * 60_000
RETRY_MOST_MS = 4 * 3_600_000
# RFC 5321 4.5.4.1 asks for 4 to 5 days; a confirmation is worth nothing after its link has expired.
GIVE_UP_MS = 4 * 86_400_000
GIVE_UP_CONFIRMATION_MS = 24 * 3_600_000
REPLY_MAX = 500
FINAL = ("sent", "failed", "uncertain", "suppressed")

_IDS = {size: ", ".join(f":id{at}" for at in range(size)) for size in SIZES}
_HAND = {
    size: (
        "UPDATE deliveries SET state = 'handed', handed_at = :now WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND lease = :lease AND lease_until > :now AND state = 'claimed' AND id IN ({ids})"
        f" AND {audience.IS_IN_STATE} RETURNING id"
    )
    for size, ids in _IDS.items()
}
_SUPPRESS = {
    size: (
        "UPDATE deliveries SET state = 'suppressed', settled_at = :now, lease_until = NULL, reply = :why"  # noqa: S608 (our names)
        " WHERE account_id = :account_id AND lease = :lease AND lease_until > :now AND state = 'claimed'"
        f" AND id IN ({ids}) RETURNING id, broadcast_id"
    )
    for size, ids in _IDS.items()
}
# One letter a name, and types for the first row only: apsw keeps no statement of more than 16 KB
# prepared, and 320 rows written out took 4 ms to parse anew. The account is in each row: as one
# value, and before its first statistics, PostgreSQL looked for it alone and read all its deliveries.
_GIVEN = {
    size: ", ".join(
        [
            (
                "(CAST(:i0 AS BIGINT), CAST(:s0 AS TEXT), CAST(:r0 AS TEXT), CAST(:d0 AS BIGINT),"
                " CAST(:a0 AS BIGINT), CAST(:u0 AS BIGINT), CAST(:k AS BIGINT))"
            ),
            *(f"(:i{at}, :s{at}, :r{at}, :d{at}, :a{at}, :u{at}, :k)" for at in range(1, size)),
        ]
    )
    for size in SIZES
}
_SETTLE = {
    size: (
        "UPDATE deliveries SET state = given.column2, reply = given.column3, due_at = given.column4,"  # noqa: S608 (our names)
        " ambiguous = ambiguous + given.column5, attempts = attempts - given.column6, lease_until = NULL,"
        " settled_at = CASE WHEN given.column2 IN ('sent', 'failed', 'uncertain', 'suppressed') THEN :now END"
        f" FROM (VALUES {rows}) AS given WHERE deliveries.account_id = given.column7"
        " AND deliveries.id = given.column1 AND deliveries.lease = :lease"
        " AND deliveries.state IN ('claimed', 'handed') RETURNING deliveries.id"
    )
    for size, rows in _GIVEN.items()
}
_ATTEMPT = Collected(
    "INSERT INTO attempts (account_id, delivery_id, subscriber_id, n, state, verdict, reply, at)"
    " VALUES (:account_id, :delivery_id, :subscriber_id, :n, :state, :verdict, :reply, :at)",
    ("account_id", "delivery_id", "subscriber_id", "n", "state", "verdict", "reply", "at"),
)


class Settled(msgspec.Struct, frozen=True):
    """One delivery that has come to a final state."""

    account_id: int
    broadcast_id: int | None
    state: str
    kept: bool = False
    # It had come to this end before and has not any more.
    undone: bool = False
    occasion: str = ""


def hand(tx: Tx, claimed: list[Delivery], *, wanted: str) -> tuple[list[Delivery], list[Settled]]:
    """Take the last look and mark what may go as about to go over the wire.

    The deliveries are of one account and one lease; `wanted` is the state that their people must
    be in. Returns those that are handed, and those that are settled as suppressed instead. An owner
    that slept past its lease changes nothing.
    """
    if not claimed:
        return [], []
    by_id = {one.id: one for one in claimed}
    names = {"account_id": claimed[0].account_id, "lease": claimed[0].lease, "now": tx.now}
    handed: list[Delivery] = []
    refused: list[Settled] = []
    for some in _pieces(list(by_id)):
        given = named(some)
        rows = tx.all(_HAND[size_for(len(some))], wanted=wanted, **names, **given)
        handed += [by_id[row[0]] for row in rows]
        rest = sorted(set(some) - {row[0] for row in rows})
        if rest:
            refused += suppress(tx, rest, names, f"the subscriber is not {wanted} any more")
    return sorted(handed, key=lambda one: one.id), refused


def suppress(tx: Tx, ids: list[int], names: dict[str, int], why: str) -> list[Settled]:
    """Settle claimed deliveries as not to be sent; `names` are their account_id, lease and now."""
    settled = []
    for some in _pieces(ids):
        rows = tx.all(_SUPPRESS[size_for(len(some))], why=why, **names, **named(some))
        settled += [Settled(names["account_id"], row[1], "suppressed") for row in rows]
    return settled


def settle(tx: Tx, outcomes: Iterable[Outcome]) -> list[Settled]:
    """Write how tries ended; return what has come to its end.

    A lapsed lease changes nothing, but that a mail was taken is kept as evidence: a second try
    that waits is called off, and what was in doubt is sent.
    """
    settled: list[Settled] = []
    for _, group in groupby(sorted(outcomes, key=_owner), key=_owner):
        theirs = list(group)
        while theirs:
            size = next(size for size in reversed(SIZES) if size <= len(theirs))
            settled += _settle_some(tx, theirs[:size])
            del theirs[:size]
    return settled


def _settle_some(tx: Tx, some: list[Outcome]) -> list[Settled]:
    account_id, lease = some[0].delivery.account_id, some[0].delivery.lease
    names: dict[str, object] = {}
    for at, one in enumerate(some):
        names[f"i{at}"] = one.delivery.id
        names[f"s{at}"] = one.state
        # A provider's NUL must not keep what was sent from being settled: it would be sent again.
        names[f"r{at}"] = one.reply.replace("\0", "")[:REPLY_MAX]
        names[f"d{at}"] = one.due_at
        names[f"a{at}"] = int(one.ambiguous)
        names[f"u{at}"] = int(one.untried)
    rows = tx.all(_SETTLE[len(some)], k=account_id, lease=lease, now=tx.now, **names)
    won = {row[0] for row in rows}
    settled = []
    for one in some:
        delivery = one.delivery
        late = delivery.id not in won
        if late and not _there(tx, delivery):
            continue
        if (one.state != "sent" or late) and not one.untried:
            _note(tx, one, "late" if late and one.state == "sent" else one.verdict)
        if late:
            settled += _call_off(tx, one) if one.state == "sent" else []
        elif one.state in FINAL:
            settled.append(
                Settled(account_id, delivery.broadcast_id, one.state, one.kept, occasion=delivery.occasion)
            )
    return settled


def _there(tx: Tx, one: Delivery) -> bool:
    """Whether a mail's row is there still: of who was erased meanwhile nothing is written any more.

    The row is locked, so that an erasure which begins now deletes what is written here.
    """
    row = tx.one(
        "SELECT id FROM deliveries WHERE account_id = :account_id AND id = :id {for_update}",
        account_id=one.account_id,
        id=one.id,
    )
    return row is not None


def _note(tx: Tx, one: Outcome, verdict: str) -> None:
    """Keep a try that did not simply succeed."""
    own = one.delivery
    reply = one.reply.replace("\0", "")[:REPLY_MAX]
    row = (own.account_id, own.id, own.subscriber_id, own.attempts, one.state, verdict, reply, tx.now)
    tx.append(_ATTEMPT, row)


def _call_off(tx: Tx, one: Outcome) -> list[Settled]:
    """A worker that slept past its lease did send this mail: what waits to send it again does not.

    A second try on the wire cannot be called off; its own end counts.
    """
    own = one.delivery
    row = tx.one(
        "SELECT state FROM deliveries WHERE account_id = :account_id AND id = :id AND ambiguous > 0"
        " AND state NOT IN ('sent', 'handed') {for_update}",
        account_id=own.account_id,
        id=own.id,
    )
    if row is None:
        return []
    tx.run(
        "UPDATE deliveries SET state = 'sent', reply = :reply, settled_at = :now, lease_until = NULL"
        " WHERE account_id = :account_id AND id = :id",
        reply=one.reply.replace("\0", "")[:REPLY_MAX],
        now=tx.now,
        account_id=own.account_id,
        id=own.id,
    )
    settled = [Settled(own.account_id, own.broadcast_id, "sent", one.kept, occasion=own.occasion)]
    if row[0] in FINAL:
        settled.append(Settled(own.account_id, own.broadcast_id, row[0], undone=True))
    return settled


def proved(tx: Tx, deliveries: list[Delivery]) -> list[Delivery]:
    """Settle as sent what was ambiguous and has been opened or clicked since: it arrived."""
    return [
        one
        for one in deliveries
        if one.ambiguous
        and tx.run(
            "UPDATE deliveries SET state = 'sent', settled_at = :now, lease_until = NULL,"
            " reply = 'opened, so it had arrived' WHERE account_id = :account_id AND id = :id"
            " AND lease = :lease AND state = 'claimed' AND COALESCE(opened_at, clicked_at,"
            " machine_opened_at, machine_clicked_at) IS NOT NULL",
            now=tx.now,
            account_id=one.account_id,
            id=one.id,
            lease=one.lease,
        )
    ]


def after_ambiguity(delivery: Delivery, reply: str, now: int, *, policy: str, timing: Timing) -> Outcome:
    """Return what becomes of a mail of which nobody knows whether it arrived (RFC 1047).

    `retry-once` sends it once more with the same Message-ID, after a time in which an open may prove
    that it arrived; `hold` never.
    """
    confirmation = delivery.occasion.startswith("confirm:")
    if (policy == "retry-once" or confirmation) and delivery.ambiguous == 0:
        return Outcome(delivery, "deferred", reply, now + timing.uncertain_ms, ambiguous=True)
    return Outcome(delivery, "uncertain", reply, ambiguous=True)


def retry_at(now: int, delivery: Delivery) -> int | None:
    """Return when to try again after a passing failure, or None to give up.

    What counts is how long it has been tried, not when it was queued: a broadcast may have been
    paused for a week before.
    """
    waits = [min(RETRY_FIRST_MS * 2**n, RETRY_MOST_MS) for n in range(min(max(delivery.attempts, 1), 50))]
    wait = waits[-1]
    if delivery.occasion.startswith("confirm:"):
        given_up = now + wait > delivery.created_at + GIVE_UP_CONFIRMATION_MS
    else:
        given_up = sum(waits) > GIVE_UP_MS
    # Spread by the id, some 20 % either way: a provider that fails does so for many at once.
    spread = wait * ((delivery.id * 2_654_435_761) % 401 - 200) // 1_000
    return None if given_up else now + wait + spread


def _owner(one: Outcome) -> tuple[int, int]:
    return one.delivery.account_id, one.delivery.lease


def _pieces(ids: list[int]) -> list[list[int]]:
    most = SIZES[-1]
    return [ids[at : at + most] for at in range(0, len(ids), most)]
