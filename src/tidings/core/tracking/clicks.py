"""Clicks: judged in memory mail by mail, then written as what has changed.

A burst is seen only at its third link; the two before it are then taken back. So each
number changes by the difference between what the clicks of a mail said before and say now.
"""

import msgspec

from tidings.core import deliveries, events, subscribers
from tidings.core.deliveries import Mark, Reached
from tidings.core.events import Origin
from tidings.core.tracking import hits, machines
from tidings.core.tracking.hits import CLICKS_KEPT, Click, Hit
from tidings.store.tx import Collected, Tx

# Nobody opens three links of one mail within two seconds.
BURST_LINKS = 3
BURST_MS = 2_000
# The address of a link that no person sees; who follows it reads code.
HONEY_URL = ""

_COUNTED = {
    column: Collected(
        f"UPDATE links SET {column} = {column} + :n WHERE account_id = :account_id AND id = :id",  # noqa: S608
        ("account_id", "id", "n"),
        merged=True,
    )
    for column in ("clicks", "unique_clicks", "machine_clicks")
}


def record(tx: Tx, given: list[Hit], *, keep: bool, opens: bool) -> list[bool]:
    """Keep and count clicks; return for each whether its link belongs to its mail."""
    looked = {
        (hit.delivery_id, hit.subscriber_id): Mark(hit.delivery_id, hit.subscriber_id, hit.at)
        for hit in given
    }
    deliveries.mark_clicked(tx, list(looked.values()), keep=False)
    verdicts = []
    fitting: dict[int, tuple[Reached, list[Hit]]] = {}
    for hit in given:
        reached = looked[hit.delivery_id, hit.subscriber_id].reached
        assert hit.link is not None  # noqa: S101 (a click)
        fits = reached is None or hits.owner_of(reached.occasion) == hit.link.owner
        verdicts.append(fits)
        if reached is not None and fits and keep:
            fitting.setdefault(hit.delivery_id, (reached, []))[1].append(hit)
    kept = hits.clicks_kept(tx, sorted(fitting))
    told: list[Hit] = []
    new: list[Hit] = []
    marks: list[Mark] = []
    for delivery_id, (reached, theirs) in fitting.items():
        clicks = kept[delivery_id]
        for hit in theirs:
            _judge(clicks, hit, reached)
        new += [_as_judged(one) for one in clicks if one.hit is not None]
        told += _count(tx, clicks)
        marks += _marks(tx, clicks, theirs[0], reached)
        if opens and any(one.machine is None and one.hit is not None for one in clicks):
            _open_proved(tx, theirs[0], reached)
    # A call has one mark for each delivery: people's first, then machines'.
    deliveries.mark_clicked(tx, [mark for mark in marks if mark.machine is None])
    deliveries.mark_clicked(tx, [mark for mark in marks if mark.machine is not None])
    hits.keep(tx, new)
    _tell(tx, told)
    return verdicts


def _judge(clicks: list[Click], hit: Hit, reached: Reached) -> None:
    """Add a click to those of its mail, and say what it makes of those just before."""
    assert hit.link is not None  # noqa: S101 (a click)
    if len(clicks) >= CLICKS_KEPT:
        return
    near = [one for one in clicks if abs(hit.at - one.at) <= BURST_MS]
    links = {hit.link.id} | {one.link_id for one in near}
    honey = hit.link.url == HONEY_URL
    burst = honey or len(links) >= BURST_LINKS or any(one.machine == machines.HONEY for one in near)
    if honey:
        machine: str | None = machines.HONEY
    else:
        machine = hit.machine or hits.early(reached, hit.at) or (machines.BURST if burst else None)
    clicks.append(Click(hit.link.id, hit.at, machine, hit=hit))
    if burst:
        for one in near:
            one.machine = one.machine or machines.BURST


def _count(tx: Tx, clicks: list[Click]) -> list[Hit]:
    """Count for each link how the clicks of a mail differ from before; return people's first ones."""
    for one in clicks:
        if one.id and one.machine is not None and one.machine != one.before:
            hits.judge(tx, one.id, one.machine)
    told = []
    # Only links that were clicked now, or taken back, differ.
    for link_id in sorted({one.link_id for one in clicks if not one.id or one.machine != one.before}):
        mine = [one for one in clicks if one.link_id == link_id]
        had = sum(bool(one.id) and one.before is None for one in mine)
        has = sum(one.machine is None for one in mine)
        added = sum(not one.id for one in mine)
        _change(tx, "clicks", link_id, has - had)
        _change(tx, "machine_clicks", link_id, added - (has - had))
        _change(tx, "unique_clicks", link_id, (has > 0) - (had > 0))
        if has and not had:
            told += [one.hit for one in mine if one.machine is None and one.hit is not None][:1]
    return told


def _marks(tx: Tx, clicks: list[Click], hit: Hit, reached: Reached) -> list[Mark]:
    """Count how the mail itself differs for its broadcast; return what to mark of its delivery."""
    people = [one.at for one in clicks if one.machine is None]
    by_machine = [one.at for one in clicks if one.machine is not None]
    before = sum(bool(one.id) and one.before is None for one in clicks)
    won = bool(people) and reached.clicked_at is None
    lost = reached.clicked_at is not None and not people and before > 0
    marks = []
    if won:
        marks.append(Mark(hit.delivery_id, hit.subscriber_id, min(people), reached=reached))
    won_by_machine = bool(by_machine) and reached.machine_clicked_at is None
    if won_by_machine or lost:
        names = (hit.delivery_id, hit.subscriber_id, min(by_machine))
        marks.append(Mark(*names, machines.BURST, moves=lost, reached=reached))
    hits.count(
        tx,
        reached,
        clicks=int(won) - int(lost),
        total_clicks=len(people) - before,
        machine_clicks=int(won_by_machine),
    )
    return marks


def _open_proved(tx: Tx, hit: Hit, reached: Reached) -> None:
    """Take an open that came too soon for a person's after all: a person's click followed it."""
    if reached.machine_opened_at is None or reached.opened_at is not None:
        return
    at, others = hits.redeem(tx, hit.delivery_id)
    if at is not None:
        mark = Mark(hit.delivery_id, hit.subscriber_id, at, moves=not others, reached=reached)
        deliveries.mark_opened(tx, [mark])
        hits.count(tx, reached, opens=1, machine_opens=-int(mark.moves))


def _tell(tx: Tx, told: list[Hit]) -> None:
    """Record people's first clicks as events."""
    people = subscribers.by_ids(tx, sorted({hit.subscriber_id for hit in told}))
    for hit in told:
        who = people.get(hit.subscriber_id)
        if who is not None and hit.link is not None:
            origin = Origin(door="link", address=hit.address, source="click")
            events.record(tx, "link_click", who, who.id, origin, subject_id=hit.link.id, value=hit.link.url)


def _change(tx: Tx, column: str, link_id: int, n: int) -> None:
    if n:
        tx.append(_COUNTED[column], (tx.account_id, link_id, n))


def _as_judged(click: Click) -> Hit:
    assert click.hit is not None  # noqa: S101 (a new one)
    if click.hit.machine == click.machine:
        return click.hit
    return msgspec.structs.replace(click.hit, machine=click.machine)
