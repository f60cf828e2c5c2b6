"""Grams: the letters of names and addresses, three in a row, and who of a block has them.

Nothing here asks the database. A text is folded: small letters without accents, the address and
the name each ended by a line feed, so that every two letters have a third behind them. Who has
three letters is kept as text, which both databases load and copy alike: places in the block, each
as one character by its distance from the one before, or as a map of bits where that is shorter.
"""

import base64
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

# What a person types: more words and letters than these are not asked for.
WORDS_MAX = 5
TYPED_MAX = 100
# A distance is written as the character behind the marks below it; surrogates begin at 55,296.
PEOPLE_MAX = 50_000
_FIRST = 32
_BETWEEN = "\x1f"
_LIST, _MAP = "l", "m"
# A map of 8,192 bits has 1,280 signs; a list has a character of one or two bytes a place.
_DENSE = 8
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


def fold(text: str) -> str:
    """Return a text as it is looked for: `José` and `JOSE` are the same."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join([sign for sign in apart if not unicodedata.combining(sign)]).casefold()


def folded(email: str, first_name: str | None) -> str:
    """Return what is looked for in a person."""
    address, name = fold(email), fold(first_name or "")
    if not (address.isprintable() and name.isprintable()):
        address, name = _UNPRINTABLE.sub(" ", address), _UNPRINTABLE.sub(" ", name)
    return f"{address}\n{name}\n"


def words_of(typed: str) -> list[str]:
    """Return the words that somebody typed, folded; none where all are of one letter."""
    words = fold(typed.replace("\x00", " ")[:TYPED_MAX]).split()[:WORDS_MAX]
    return list(dict.fromkeys(words)) if any(len(word) > 1 for word in words) else []


def has_all(text: str, words: Iterable[str]) -> bool:
    """Whether a folded text has all of these words."""
    return all(word in text for word in words)


def grams(text: str) -> set[str]:
    """Return every three letters in a row."""
    return {text[at : at + 3] for at in range(len(text) - 2)}


def build(texts: Sequence[str]) -> dict[str, str]:
    """Return, by each two letters, the places of whoever has them with each third letter: 10 us a text."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for at, text in enumerate(texts):
        for gram in grams(text):
            places[gram].append(at)
    by_pair: defaultdict[str, list[str]] = defaultdict(list)
    for gram, found in sorted(places.items()):
        by_pair[gram[:2]].append(gram[2] + _packed(found, len(texts)))
    return {pair: _BETWEEN.join(entries) for pair, entries in by_pair.items()}


def without(packed: str, third: str, place: int) -> str:
    """Return the places of two letters without one that has this third letter."""
    entries = packed.split(_BETWEEN)
    for at, entry in enumerate(entries):
        if entry.startswith(third):
            left = [one for one in _places(entry[1:]) if one != place]
            if left:
                entries[at] = third + _packed(left, left[-1] + 1)
            else:
                del entries[at]
            break
    return _BETWEEN.join(entries)


def entry_of(packed: str, third: str) -> str:
    """Return the entry of who has two letters with this third one behind them; "" for nobody."""
    start = 0
    if not packed.startswith(third):
        start = packed.find(_BETWEEN + third) + 1
        if not start:
            return ""
    end = packed.find(_BETWEEN, start)
    return packed[start + 1 : end if end >= 0 else len(packed)]


def anybody(packed: str) -> list[int]:
    """Return the places of who has two letters, whatever comes behind them."""
    found: set[int] = set()
    for entry in packed.split(_BETWEEN) if packed else []:
        found.update(_places(entry[1:]))
    return sorted(found)


def everywhere(entries: Iterable[str]) -> list[int]:
    """Return the places that stand in each of these entries."""
    shortest, *others = sorted(entries, key=len)
    found = _places(shortest) if shortest else []
    for entry in others:
        if not found:
            break
        if entry[0] == _MAP:
            bits = base64.b85decode(entry[1:])
            size = len(bits) * 8
            found = [one for one in found if one < size and bits[one >> 3] >> (one & 7) & 1]
        else:
            there = set(_places(entry))
            found = [one for one in found if one in there]
    return found


def _packed(places: Sequence[int], size: int) -> str:
    if len(places) * _DENSE > size:
        bits = bytearray(size // 8 + 1)
        for place in places:
            bits[place >> 3] |= 1 << (place & 7)
        return _MAP + base64.b85encode(bits).decode()
    before = -1
    signs = []
    for place in places:
        signs.append(chr(place - before + _FIRST))
        before = place
    return _LIST + "".join(signs)


def _places(entry: str) -> list[int]:
    if entry[0] == _LIST:
        return list(accumulate([ord(sign) - _FIRST for sign in entry[1:]], initial=-1))[1:]
    bits = base64.b85decode(entry[1:])
    return [at * 8 + bit for at, byte in enumerate(bits) if byte for bit in _BITS[byte]]


_BITS = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]


def pack_ids(ids: Iterable[int]) -> str:
    """Write rising ids as text: the distance from the one before, and how many follow it without a gap."""
    runs: list[list[int]] = []
    last = 0
    for one in ids:
        if runs and one == last + 1:
            runs[-1][1] += 1
        else:
            runs.append([one - last, 0])
        last = one
    return ",".join([f"{gap}+{more}" if more else str(gap) for gap, more in runs])


def unpack_ids(text: str) -> list[int]:
    """Read what `pack_ids` wrote."""
    ids: list[int] = []
    last = 0
    for run in text.split(",") if text else []:
        gap, _, more = run.partition("+")
        first = last + int(gap)
        last = first + int(more or 0)
        ids.extend(range(first, last + 1))
    return ids
