"""Sending: the verbs of the engine, each with all its effects. Owns no table.

What a delivery comes to is written to the ledger, counted on its broadcast, and felt by its
subscriber only where a refusal proves something about the mailbox.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from tidings.core import (
    accounts,
    broadcasts,
    deliveries,
    entries,
    events,
    snippets,
    subscribers,
    subscriptions,
)
from tidings.core.broadcasts import course
from tidings.core.deliveries import Delivery, Outcome, Settled, Source, Timing
from tidings.core.events import Origin
from tidings.core.sequences import numbers
from tidings.errors import NotFound, Problem
from tidings.store.tx import Rx, Tx

ORIGIN = Origin("engine")
# Three mails refused over a week say that a mailbox is gone, one says nothing.
SOFT = ("soft", "mailbox-full")
SOFT_MOST = 3
SOFT_OVER_MS = 7 * 86_400_000
SOFT_SINCE_MS = 60 * 86_400_000


def sources(rx: Rx, *, lane: str) -> list[Source]:
    """Return where mail of a lane comes from now; paused broadcasts are no source."""
    return deliveries.due_sources(rx, lane=lane) + (course.sending(rx) if lane == "bulk" else [])


def claim(
    tx: Tx, given: list[tuple[Source, int]], *, lane: str, lease: int, alone: bool, timing: Timing
) -> list[Delivery]:
    """Claim from each source up to its share; `alone` takes a single row that has seen a crash."""
    claimed: list[Delivery] = []
    for source, share in given:
        claimed += deliveries.claim(
            tx, source, lane=lane, limit=share, lease=lease, alone=alone, timing=timing
        )
        if alone and claimed:
            break
    arrived: set[tuple[int, int]] = set()
    for account_id, theirs in groupby(sorted(claimed, key=_account), key=_account):
        proved = deliveries.proved(tx, list(theirs))
        arrived |= {(account_id, one.id) for one in proved}
        _tally(
            tx.for_account(account_id),
            [Settled(account_id, one.broadcast_id, "sent", occasion=one.occasion) for one in proved],
        )
    return [one for one in claimed if (one.account_id, one.id) not in arrived]


def hand(tx: Tx, claimed: list[Delivery]) -> list[Delivery]:
    """Take the last look at consent and at each broadcast; return what is handed."""
    handed: list[Delivery] = []
    for (account_id, broadcast_id, lease, wanted), group in groupby(sorted(claimed, key=_look), key=_look):
        own, theirs = tx.for_account(account_id), list(group)
        standing = course.standing(own, broadcast_id) if broadcast_id else "go"
        if standing == "go":
            left = [one for one in theirs if not _still_inside(own, one)]
            names = {"account_id": account_id, "lease": lease, "now": tx.now}
            _tally(own, deliveries.suppress(own, [one.id for one in left], names, "left the sequence"))
            staying = [one for one in theirs if one not in left] if left else theirs
            gone, settled = deliveries.hand(own, staying, wanted=wanted)
            handed += gone
        elif standing == "paused":
            settled = []
            deliveries.unclaim(own, account_id, [one.id for one in theirs], lease)
        else:
            names = {"account_id": account_id, "lease": lease, "now": tx.now}
            settled = deliveries.suppress(
                own, [one.id for one in theirs], names, "the broadcast was cancelled"
            )
        _tally(own, settled)
    return handed


def settle(tx: Tx, outcomes: list[Outcome], timing: Timing) -> None:
    """Write how tries ended, with what that means for broadcasts and subscribers.

    Of an `unknown` end the account's policy says what it becomes.
    """
    for account_id, group in groupby(sorted(outcomes, key=_account_of), key=_account_of):
        own = tx.for_account(account_id)
        policy = accounts.ambiguity(own)
        theirs = [
            deliveries.after_ambiguity(one.delivery, one.reply, tx.now, policy=policy, timing=timing)
            if one.state == "unknown"
            else one
            for one in group
        ]
        _tally(own, deliveries.settle(own, theirs))
        for one in theirs:
            if one.verdict == "mailbox" or (one.verdict in SOFT and one.state == "failed"):
                _refused(own, one)


def release(tx: Tx, timing: Timing) -> int:
    """Take back what silent workers held; return how many rows."""
    rows = deliveries.lapsed(tx)
    for one in rows:
        own = tx.for_account(one.account_id)
        if one.state == "claimed":
            state = deliveries.release(own, one)
            if state == "failed":
                _tally(own, [Settled(one.account_id, one.broadcast_id, state)])
            continue
        said = "the worker ended before the provider's answer was known"
        policy = accounts.ambiguity(own)
        ended = deliveries.after_ambiguity(one.delivery, said, tx.now, policy=policy, timing=timing)
        settle(tx, [ended], timing)
    if rows:
        tx.wake()
    return len(rows)


def call_off(tx: Tx, broadcast_id: int) -> int:
    """Keep back a slice of what a cancelled broadcast has waiting; return how many mails."""
    done = deliveries.suppress_slice(tx, broadcast_id, "the broadcast was cancelled", course.SLICE)
    broadcasts.count(tx, broadcast_id, suppressed=done, settled=done)
    return done


class NotReady(Problem):
    """A broadcast that cannot begin; the message says what to do."""


def start(tx: Tx, broadcast_id: int, *, outbox: bool) -> bool:
    """Freeze a due broadcast and let it begin; raise NotReady where something is missing."""
    # Nobody changes it between the reading and the freezing.
    course.lock(tx, broadcast_id)
    return course.start(tx, broadcast_id, freeze(tx, broadcast_id, outbox=outbox))


def freeze(rx: Rx, broadcast_id: int, *, outbox: bool) -> course.Frozen:
    """Return what a broadcast would send if it began now, or raise NotReady.

    With `outbox` no mail leaves this machine, so the postal address may be missing.
    """
    one = as_it_stands(rx, broadcast_id)
    if not one.subject:
        raise NotReady("The broadcast has no subject: give it one, then resume it")
    if not one.html and not one.text:
        raise NotReady("The broadcast has no content: give it some, then resume it")
    if not (one.postal_address or outbox):
        raise NotReady(
            "The account has no postal address, which every bulk mail must show: give it one with"
            " `tidings account update --address`, then resume the broadcast"
        )
    return one


def as_it_stands(rx: Rx, broadcast_id: int) -> course.Frozen:
    """Return what `freeze` does, whatever is missing."""
    one = broadcasts.find(rx, broadcast_id)
    account = accounts.get(rx)
    return course.Frozen(
        subject=one.subject or "",
        html=one.content or "",
        text=one.text,
        preheader=one.preheader,
        layout=one.email_layout_template,
        from_name=one.from_name or account.name,
        from_address=account.primary_email,
        reply_to=one.reply_to,
        postal_address=account.postal_address or "",
        sender_name=account.name or account.primary_email,
        snippets=snippets.named_in(rx, one.subject, one.content, one.text, one.preheader),
        lang=accounts.language(rx),
    )


def _tally(tx: Tx, settled: Iterable[Settled]) -> None:
    """Count what has come to its end on its broadcast, or on its email of a sequence."""
    counts: dict[int, Counter[str]] = {}
    for one in settled:
        if one.broadcast_id is not None:
            changes = counts.setdefault(one.broadcast_id, Counter())
            more = -1 if one.undone else 1
            changes["kept" if one.kept else one.state] += more
            changes["settled"] += more
        elif one.state == "sent":
            numbers.count(tx, one.occasion, sent=1)
    for broadcast_id, changes in counts.items():
        broadcasts.count(tx, broadcast_id, **changes)


def _refused(tx: Tx, one: Outcome) -> None:
    """A refusal that proves something about the mailbox: its person is mailed no more."""
    try:
        who = subscribers.get(tx, one.delivery.subscriber_id)
    except NotFound:
        return
    # Who has left stays so.
    if who.state not in ("active", "inactive"):
        return
    if one.verdict in SOFT:
        since = tx.now - SOFT_SINCE_MS
        mails, first_at = deliveries.soft_refusals(tx, who.id, since, besides=one.delivery.id)
        if mails + 1 < SOFT_MOST or tx.now - first_at < SOFT_OVER_MS:
            return
    gone = subscriptions.turn(tx, who, "bounced")
    events.record(tx, "subscriber_bounce", gone, who.id, ORIGIN, value=one.reply[:200])


def _still_inside(rx: Rx, one: Delivery) -> bool:
    """Whether a mail of a sequence may go: who left it in the same moment as it was queued gets none."""
    kind, _, rest = one.occasion.partition(":")
    entry = rest.partition(":")[2]
    return kind != "sequence-email" or not entry.isdecimal() or entries.may_have(rx, int(entry))


def _account(one: Delivery) -> int:
    return one.account_id


def _account_of(one: Outcome) -> int:
    return one.delivery.account_id


def _look(one: Delivery) -> tuple[int, int, int, str]:
    wanted = "inactive" if one.occasion.startswith("confirm:") else "active"
    return one.account_id, one.broadcast_id or 0, one.lease, wanted
