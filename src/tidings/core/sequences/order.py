"""The order of a sequence's emails: ranks with room between them, and which of two lists are the same.

Owns no table. A rank is a number that stays with an email while others come and go, so
that a reader's place in the sequence means the same before and after.
"""

import bisect
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")

# Between two neighbours 40 emails can come to lie, each at the same place, before ranks
# must be moved; 2^22 can be added at the end.
GAP = 2**40


def between(before: int, after: int) -> int | None:
    """Return a rank between two others (0 lies before the first), or None where no room is left."""
    middle = (before + after) // 2
    return middle if before < middle < after else None


def in_place(ranks: Sequence[int | None]) -> set[int]:
    """Return which places of a list may keep their ranks: as many as can, in rising order."""
    tails: list[int] = []
    tail_at: list[int] = []
    previous: dict[int, int | None] = {}
    for at, rank in enumerate(ranks):
        if rank is None:
            continue
        length = bisect.bisect_left(tails, rank)
        previous[at] = tail_at[length - 1] if length else None
        tails[length : length + 1] = [rank]
        tail_at[length : length + 1] = [at]
    kept: set[int] = set()
    at_last: int | None = tail_at[-1] if tail_at else None
    while at_last is not None:
        kept.add(at_last)
        at_last = previous[at_last]
    return kept


def pair(old: Sequence[T], new: Sequence[T], alike: Sequence[Callable[[T], Hashable]]) -> list[int | None]:
    """Return for each of `new` which of `old` it is, or None: by the first likeness that fits, each once.

    What is like nothing is taken for a new wording of what stood at its place, if that is
    not found elsewhere.
    """
    found: list[int | None] = [None] * len(new)
    free = set(range(len(old)))
    for likeness in alike:
        places: dict[Hashable, list[int]] = {}
        for at in sorted(free, reverse=True):
            places.setdefault(likeness(old[at]), []).append(at)
        for at, one in enumerate(new):
            if found[at] is None and places.get(likeness(one)):
                same = places[likeness(one)].pop()
                found[at] = same
                free.discard(same)
    for at in range(len(new)):
        if found[at] is None and at in free:
            found[at] = at
            free.discard(at)
    return found
