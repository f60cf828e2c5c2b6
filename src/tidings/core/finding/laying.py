"""Laying: the blocks of the index are made and mended, each read first and then kept in one transaction."""

import msgspec

from tidings.core import accounts, counters, search
from tidings.core.search import blocks, grams
from tidings.core.search.blocks import Block, Laid
from tidings.core.subscribers import walks
from tidings.store.tx import Rx, Tx


class Work(msgspec.Struct, frozen=True):
    """What the index of an account needs: a block that is `over` an old one or a new one, or a look."""

    account_id: int
    over: Block | None = None
    settled: Block | None = None
    unneeded: bool = False


def due(rx: Rx, after_account: int = 0) -> Work | None:
    """Return something to be done, of the next account behind this one that has it; then of the first."""
    everyone = [one.id for one in accounts.all_accounts(rx)]
    order = [one for one in everyone if one > after_account] + [
        one for one in everyone if one <= after_account
    ]
    for account_id in order:
        found = _due(rx.for_account(account_id))
        if found is not None:
            return found
    return None


def read(rx: Rx, work: Work) -> Laid | None:
    """Read a block, ready to be kept; None where there is nothing to lay any more."""
    over = work.over
    cursor = search.cursor(rx)
    first_id = over.first_id if over else cursor.until_id + 1
    if over is not None:
        last_id = over.last_id
    else:
        found = walks.nth_after(rx, cursor.until_id, blocks.BLOCK)
        if found is None:
            return None
        last_id = found
    changed = blocks.changes(rx, first_id, last_id)
    people = walks.named_between(rx, first_id, last_id, blocks.BLOCK_MOST + 1)
    if len(people) > blocks.BLOCK_MOST:
        people = people[: blocks.BLOCK]
        last_id = people[-1].id
        changed = {one: n for one, n in changed.items() if one <= last_id}
    texts = [grams.folded(one.email, one.first_name) for one in people]
    by_id = {one.id: text for one, text in zip(people, texts, strict=True) if one.id in changed}
    ids = [one.id for one in people]
    return Laid(first_id, last_id, ids, grams.build(texts), changed, by_id, cursor, rx.now, over)


def mend(tx: Tx, work: Work) -> None:
    """Note that a block is whole, or remove notes that nobody needs."""
    if work.settled is not None:
        blocks.settle(tx, work.settled)
    if work.unneeded:
        blocks.drop_unneeded(tx)


def _due(rx: Rx) -> Work | None:
    until_id = search.cursor(rx).until_id
    behind = counters.total(rx, "subscribers") >= blocks.BLOCK
    if behind and walks.nth_after(rx, until_id, blocks.BLOCK) is not None:
        return Work(rx.account_id)
    if until_id:
        late = blocks.unsettled(rx)
        if late is not None:
            # Erased people are counted out of a block; who is more than it has came late.
            more = walks.number_between(rx, late.first_id, late.last_id) > late.n
            return Work(rx.account_id, over=late) if more else Work(rx.account_id, settled=late)
        over = blocks.most_changed(rx)
        if over is not None:
            return Work(rx.account_id, over=over)
    return Work(rx.account_id, unneeded=True) if blocks.any_unneeded(rx) else None
