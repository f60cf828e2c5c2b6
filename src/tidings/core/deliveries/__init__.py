"""Deliveries: one email to one subscriber, from queued to settled: the ledger.

Owns `deliveries` and `attempts`. A delivery is unique by occasion and subscriber, so asking
twice sends once. `queued → claimed → handed → sent | deferred | failed | uncertain |
suppressed`: a row that was claimed but not handed is certainly not sent; only `handed` is
ambiguous. A claim has a lease, whose number fences off an owner that slept past its time.
"""

from tidings.core.deliveries.claims import (
    BROADCAST_IS_DUE,
    BROADCAST_WAITS,
    CRASHES_MOST,
    Lapsed,
    Source,
    any_lapsed,
    claim,
    due_sources,
    keep_lease,
    lapsed,
    release,
    unclaim,
)
from tidings.core.deliveries.marks import Mark, Reached, mark_clicked, mark_opened
from tidings.core.deliveries.queueing import queue, queue_slice, suppress_queued, suppress_slice
from tidings.core.deliveries.report import (
    Attempt,
    Row,
    attempts_of,
    attempts_of_many,
    of_broadcast,
    of_subscriber,
    origins,
    retry_failed,
    soft_refusals,
)
from tidings.core.deliveries.rows import Delivery, Letter, Outcome, Timing
from tidings.core.deliveries.settling import (
    Settled,
    after_ambiguity,
    hand,
    proved,
    retry_at,
    settle,
    suppress,
)

__all__ = [
    "BROADCAST_IS_DUE",
    "BROADCAST_WAITS",
    "CRASHES_MOST",
    "Attempt",
    "Delivery",
    "Lapsed",
    "Letter",
    "Mark",
    "Outcome",
    "Reached",
    "Row",
    "Settled",
    "Source",
    "Timing",
    "after_ambiguity",
    "any_lapsed",
    "attempts_of",
    "attempts_of_many",
    "claim",
    "due_sources",
    "hand",
    "keep_lease",
    "lapsed",
    "mark_clicked",
    "mark_opened",
    "of_broadcast",
    "of_subscriber",
    "origins",
    "proved",
    "queue",
    "queue_slice",
    "release",
    "retry_at",
    "retry_failed",
    "settle",
    "soft_refusals",
    "suppress",
    "suppress_queued",
    "suppress_slice",
    "unclaim",
]
