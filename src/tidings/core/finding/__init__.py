"""Finding: people by words of their name or address, by state, by form, tag or sequence; newest first.

Owns no table. Without words a page is found by its number, from counters. With words it goes on from
where the page before ended, and what is read for one page is bounded: a page that has not looked
at everybody says how far it came.
"""

from collections.abc import Iterator

import msgspec

from tidings.core import counters, subscribers, subscriptions
from tidings.core.finding import indexed
from tidings.core.search import grams
from tidings.core.subscribers import Subscriber, lists, walks
from tidings.core.subscribers.walks import Named
from tidings.core.subscriptions import walks as joined
from tidings.store.tx import Rx

PAGE = 50
# People compared with the words for one page: 10 ms. A filter that fewer have is walked instead.
LOOKED_MAX = 5_000
# Beyond every id.
NEWEST = 2**63 - 1


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked for; `text` as typed, `kind` is form, tag or sequence with its `ref_id`.

    A form or a sequence has everybody who ever joined it, as its counters do.
    """

    text: str = ""
    state: str | None = None
    kind: str | None = None
    ref_id: int = 0

    @property
    def words(self) -> list[str]:
        """The words to look for."""
        return grams.words_of(self.text)

    @property
    def everybody(self) -> bool:
        """Whether nothing is asked for."""
        return not self.words and self.state is None and self.kind is None


class Page(msgspec.Struct, frozen=True):
    """One page of people. `total` is None where nobody has counted them.

    `before_id` is where the next page of a search goes on, None at its end; `whole` is false where
    some of the newest are not in the index yet, so that this page may lack some of them.
    """

    people: list[Subscriber]
    total: int | None
    before_id: int | None = None
    whole: bool = True


def page(rx: Rx, query: Query, *, number: int = 1, before_id: int | None = None) -> Page:
    """Return one page; with words it reads many rows, so in a thread."""
    words = query.words
    if words:
        return _searched(rx, query, words, before_id or NEWEST)
    if query.kind is not None:
        total, listed = subscriptions.page(
            rx, query.kind, query.ref_id, state=query.state, newest_first=True, number=number
        )
        return Page([who for _, who in listed], total)
    if query.state is None:
        total, people = lists.everybody(rx, number)
    else:
        total, people = lists.page(rx, lists.Query(state=query.state, newest_first=True, number=number))
    return Page(people, total)


def total(rx: Rx, query: Query) -> int | None:
    """Return how many people are found, where counters know it; None for words."""
    if query.words:
        return None
    kind = query.kind or "subscribers"
    return counters.total(rx, kind, query.ref_id if query.kind else 0, query.state or counters.ANY)


def matches(rx: Rx, query: Query, people: list[Named]) -> list[Named]:
    """Return those of these people (at most 500) that a query asks for."""
    words = query.words
    found = [
        one
        for one in people
        if (query.state is None or one.state == query.state)
        and (not words or grams.has_all(grams.folded(one.email, one.first_name), words))
    ]
    if query.kind is None or not found:
        return found
    inside = joined.ever_in(rx, query.kind, query.ref_id, [one.id for one in found])
    return [one for one in found if one.id in inside]


def by_state(rx: Rx, query: Query) -> dict[str, int]:
    """Return how many people of a form, a tag or a sequence, or of all, there are in each state."""
    return counters.by_state(rx, query.kind or "subscribers", query.ref_id if query.kind else 0)


def count(rx: Rx, query: Query, most: int) -> tuple[int, bool]:
    """Compare up to `most` people with a query's words; return how many have them; is that all?"""
    found = looked = 0
    for some in _source(rx, query, query.words, NEWEST):
        for at in range(0, len(some), walks.NAMED_MAX):
            if looked >= most:
                return found, False
            piece = some[at : at + walks.NAMED_MAX]
            found, looked = found + len(matches(rx, query, piece)), looked + len(piece)
    return found, indexed.whole(rx)


def _searched(rx: Rx, query: Query, words: list[str], before_id: int) -> Page:
    found: list[Named] = []
    looked, last = 0, before_id
    source = _source(rx, query, words, before_id)
    ended = True
    for some in source:
        for at in range(0, len(some), walks.NAMED_MAX):
            piece = some[at : at + walks.NAMED_MAX]
            found += matches(rx, query, piece)
            looked, last = looked + len(piece), piece[-1].id
            ended = len(found) <= PAGE and looked < LOOKED_MAX
            if not ended:
                break
        if not ended:
            break
    shown = found[:PAGE]
    if len(found) > PAGE:
        last = shown[-1].id
    by_id = subscribers.by_ids(rx, [one.id for one in shown])
    people = [by_id[one.id] for one in shown if one.id in by_id]
    first = before_id == NEWEST
    return Page(people, len(people) if ended and first else None, None if ended else last, indexed.whole(rx))


def _source(rx: Rx, query: Query, words: list[str], before_id: int) -> Iterator[list[Named]]:
    """Return people to be compared, newest first: of what has fewest, so that little is read."""
    if query.kind is not None:
        size = counters.total(rx, query.kind, query.ref_id, query.state or counters.ANY)
        if size <= LOOKED_MAX:
            return _joined(rx, query.kind, query.ref_id, before_id)
    if query.state is not None and counters.total(rx, "subscribers", 0, query.state) <= LOOKED_MAX:
        return _in_state(rx, query.state, before_id)
    return indexed.candidates(rx, words, before_id)


def _joined(rx: Rx, kind: str, ref_id: int, before_id: int) -> Iterator[list[Named]]:
    while ids := joined.joined_before(rx, kind, ref_id, before_id, walks.NAMED_MAX):
        yield walks.named(rx, ids)
        before_id = ids[-1]


def _in_state(rx: Rx, state: str, before_id: int) -> Iterator[list[Named]]:
    while some := walks.named_in_state(rx, state, before_id, walks.NAMED_MAX):
        yield some
        before_id = some[-1].id
