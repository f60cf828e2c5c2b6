"""Telling: an event becomes what follows from it, notices for webhooks and runs of rules.

Owns no table. Events are claimed and all their rows written in one transaction, so that each
event is told once whoever is killed meanwhile; posting and acting come later, from the rows.
"""

from collections.abc import Callable
from itertools import groupby

from tidings.core import automations, events, notices, webhooks
from tidings.core.events import Event
from tidings.core.webhooks import Webhook
from tidings.store.tx import Rx, Tx

# The payload of an event, as v3 shows it: JSON text made of the event's own snapshot.
Shape = Callable[[Event], str]
# By (event, id or value that it is about; None: any).
_Index = dict[tuple[str, int | str | None], list[Webhook]]


def any_untold(rx: Rx) -> bool:
    """Say whether there is anything to tell."""
    return events.any_untold(rx)


def tell(tx: Tx, shape: Shape, limit: int = events.CLAIM) -> int:
    """Tell a slice of the events that wait, of all accounts; return how many it was."""
    claimed = events.claim_untold(tx, limit)
    for account_id, theirs in groupby(sorted(claimed, key=_account), key=_account):
        _tell(tx.for_account(account_id), list(theirs), shape)
    return len(claimed)


def _account(event: Event) -> int:
    return event.account_id


def _tell(tx: Tx, theirs: list[Event], shape: Shape) -> None:
    """Tell the events of one account, in the order of their ids."""
    index = tx.remember(_index)
    for event in theirs:
        hearing = _hearing(index, event)
        body = shape(event) if hearing else ""
        for webhook in hearing:
            notices.queue(tx, webhook, event.name, body, event_id=event.id, subscriber_id=event.subscriber_id)
        automations.triggered(tx, event)


def _index(rx: Rx) -> _Index:
    found: _Index = {}
    for one in webhooks.all_hearing(rx):
        about: int | str | None = one.subject_id
        if one.event == "link_click":
            about = automations.normal_url(one.value or "")
        elif one.event == "product_purchase":
            # v3 has the product's id as a number, a purchase has it as text.
            about = one.value if one.subject_id is None else str(one.subject_id)
        found.setdefault((one.event, about), []).append(one)
    return found


def _hearing(index: _Index, event: Event) -> list[Webhook]:
    """Return the webhooks that an event is told to."""
    about: int | str | None = event.subject_id
    if event.name == "link_click":
        about = automations.normal_url(event.value or "")
    elif event.name == "product_purchase":
        about = event.value
    elif not webhooks.NEEDS.get(event.name, ()):
        about = None
    return index.get((event.name, about), [])
