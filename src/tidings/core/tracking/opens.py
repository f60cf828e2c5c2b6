"""Opens: a batch at a time, the first of a person and the first of a machine count."""

import msgspec

from tidings.core import deliveries
from tidings.core.deliveries import Mark
from tidings.core.tracking import hits
from tidings.core.tracking.hits import OPENS_KEPT, Hit
from tidings.store.tx import Tx


def record(tx: Tx, given: list[Hit]) -> None:
    """Keep and count opens; those of unknown deliveries change nothing."""
    looked = {
        (hit.delivery_id, hit.subscriber_id): Mark(hit.delivery_id, hit.subscriber_id, hit.at)
        for hit in given
    }
    deliveries.mark_opened(tx, list(looked.values()), keep=False)
    marks: dict[tuple[int, bool], Mark] = {}
    kept = []
    for hit in sorted(given, key=lambda one: one.at):
        reached = looked[hit.delivery_id, hit.subscriber_id].reached
        if reached is None:
            continue
        machine = hit.machine or hits.early(reached, hit.at)
        kept.append(hit if machine == hit.machine else msgspec.structs.replace(hit, machine=machine))
        key = (hit.delivery_id, machine is not None)
        if key not in marks:
            marks[key] = Mark(hit.delivery_id, hit.subscriber_id, hit.at, machine, reached=reached)
    hits.keep(tx, _within_bounds(tx, kept))
    # A call has one mark for each delivery: people's first, then machines'.
    for by_machine in (False, True):
        mine = [mark for key, mark in marks.items() if key[1] == by_machine]
        deliveries.mark_opened(tx, mine)
        for mark in mine:
            if mark.first and mark.reached is not None:
                hits.count(tx, mark.reached, **{"machine_opens" if by_machine else "opens": 1})


def _within_bounds(tx: Tx, given: list[Hit]) -> list[Hit]:
    """Leave out what one mail has had too often."""
    counts = hits.opens_kept(tx, sorted({hit.delivery_id for hit in given}))
    kept = []
    for hit in given:
        before = counts.get(hit.delivery_id, 0)
        counts[hit.delivery_id] = before + 1
        if before < OPENS_KEPT:
            kept.append(hit)
    return kept
