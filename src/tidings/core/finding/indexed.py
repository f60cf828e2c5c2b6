"""Indexed: who may have some words, newest first: those behind the index one by one, then by its blocks."""

from collections.abc import Iterator, Sequence

from tidings.core import search
from tidings.core.search import blocks, grams
from tidings.core.subscribers import walks
from tidings.core.subscribers.walks import Named
from tidings.store.tx import Rx

# The newest people who are not in the index yet are looked through up to so many: 40 ms. There are
# more only for minutes, after an import or where an installation becomes a new version.
TAIL_MAX = 3 * blocks.BLOCK
TAIL_SLICES = (1_000, blocks.BLOCK)
# Changed people are looked at whatever the index says; the engine keeps them far fewer.
CHANGED_MAX = 2_000
# A word that many have is in the newest blocks already; then as many at a time as one question takes.
WINDOWS = (2, 30, blocks.WINDOW_MAX)
# The rarest grams of the words leave hardly anybody whom a further one would take out.
GRAMS_MAX = 3
# People who are compared at once.
AT_ONCE = 100


def candidates(rx: Rx, words: Sequence[str], before_id: int) -> Iterator[list[Named]]:
    """Return people who may have these words, newest first; whoever asks compares and stops."""
    until_id = search.cursor(rx).until_id
    yield from _tail(rx, until_id, before_id)
    if until_id == 0:
        return
    before_id = min(before_id, until_id + 1)
    noted = search.changed(rx, before_id, CHANGED_MAX)
    due: list[int] = []
    for first_id, ids in _hits(rx, words, before_id):
        again = [one for one in noted if one >= first_id]
        noted = noted[len(again) :]
        due += sorted({*again, *(one for one in ids if one < before_id)}, reverse=True)
        while len(due) >= AT_ONCE:
            yield walks.named(rx, due[:AT_ONCE])
            del due[:AT_ONCE]
    due += noted
    for at in range(0, len(due), walks.NAMED_MAX):
        yield walks.named(rx, due[at : at + walks.NAMED_MAX])


def whole(rx: Rx) -> bool:
    """Say whether a search looks at everybody: no more people wait for the index than it looks through."""
    return walks.nth_after(rx, search.cursor(rx).until_id, TAIL_MAX + 1) is None


def _tail(rx: Rx, after_id: int, before_id: int) -> Iterator[list[Named]]:
    """Return people behind the index, at most `TAIL_MAX`."""
    looked = 0
    while looked < TAIL_MAX:
        limit = TAIL_SLICES[min(looked, 1)]
        some = walks.named_before(rx, after_id, before_id, limit)
        if some:
            yield some
        if len(some) < limit:
            return
        looked += len(some)
        before_id = some[-1].id


def _hits(rx: Rx, words: Sequence[str], before_id: int) -> Iterator[tuple[int, list[int]]]:
    """Return, block by block, where each begins and who of it may have the words; those with nobody too."""
    wanted = _grams(words)
    at = 0
    while True:
        window = WINDOWS[min(at, len(WINDOWS) - 1)]
        firsts = blocks.firsts(rx, before_id, window)
        pairs = sorted({gram[:2] for gram in wanted})
        packed = blocks.places(rx, before_id, window, pairs) if firsts else {}
        found = {first_id: _common(packed.get(first_id, {}), wanted) for first_id in firsts}
        full = [first_id for first_id in firsts if found[first_id]]
        ids: dict[int, list[int]] = {}
        for first_id in firsts:
            if found[first_id] and first_id not in ids:
                place = full.index(first_id)
                ids = blocks.ids_of(rx, full[place : place + blocks.IDS_MAX])
            own = ids.get(first_id, [])
            yield first_id, [own[one] for one in found[first_id] if one < len(own)]
        if len(firsts) < window:
            return
        before_id, at = firsts[-1], at + 1
        wanted = _rarest(packed, wanted)


def _grams(words: Sequence[str]) -> list[str]:
    """Return what to ask the index for; of words of two letters these, where there is nothing longer."""
    found = sorted({gram for word in words for gram in grams.grams(word)})
    return found[: blocks.PAIRS_MAX] if found else [word for word in words if len(word) == 2]


def _common(packed: dict[str, str], wanted: Sequence[str]) -> list[int]:
    """Return the places of a block where all of the grams are."""
    entries = []
    short: list[set[int]] = []
    for gram in wanted:
        places = packed.get(gram[:2], "")
        if len(gram) > 2:
            entry = grams.entry_of(places, gram[2])
            if not entry:
                return []
            entries.append(entry)
        else:
            short.append(set(grams.anybody(places)))
    if entries:
        return grams.everywhere(entries)
    return sorted(set.intersection(*short))


def _rarest(packed: dict[int, dict[str, str]], wanted: Sequence[str]) -> list[str]:
    """Return the few grams that fewest people of these blocks have."""

    def size(gram: str) -> int:
        third = gram[2:]
        return sum(
            len(grams.entry_of(places.get(gram[:2], ""), third)) if third else 0 for places in packed.values()
        )

    return sorted(wanted, key=size)[:GRAMS_MAX]
