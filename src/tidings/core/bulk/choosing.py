"""Choosing: who a bulk change is about, by a filter or one by one, and how many they are."""

from collections.abc import Mapping

import msgspec

from tidings.core import finding, forms, sequences, tags
from tidings.core.finding import Query
from tidings.core.subscribers import STATES, walks
from tidings.core.subscriptions import walks as joined
from tidings.errors import Invalid, NotFound
from tidings.store.tx import Rx

# Boxes that are checked on pages, one by one.
IDS_MAX = 500
# A search is compared with people one by one: so many at a time, 2 ms.
LOOKED = 500
# A count compares so many people, 40 ms; beyond them it says how many there are at least.
COUNTED_MAX = 10_000


class Chosen(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who is meant: everybody that a query finds, or those of `ids`."""

    text: str = ""
    state: str | None = None
    kind: str | None = None
    ref_id: int = 0
    ids: list[int] | None = None

    @property
    def query(self) -> Query:
        """The filter."""
        return Query(text=self.text, state=self.state, kind=self.kind, ref_id=self.ref_id)


class Counted(msgspec.Struct, frozen=True):
    """How many people are meant; at least so many where it is not `exact`."""

    n: int
    exact: bool


def packed(chosen: Chosen) -> str:
    """Write it as JSON."""
    return msgspec.json.encode(chosen).decode()


def unpacked(text: str) -> Chosen:
    """Read what `packed` wrote."""
    return msgspec.json.decode(text, type=Chosen)


def check(rx: Rx, chosen: Chosen) -> None:
    """Raise a Problem for a choice that cannot be meant."""
    if chosen.ids is not None:
        if not 0 < len(chosen.ids) <= IDS_MAX:
            raise Invalid("People", f"must be at least one and at most {IDS_MAX}")
        return
    if chosen.text.strip() and not chosen.query.words:
        raise Invalid("Search", "needs a word of at least two letters")
    if chosen.state is not None and chosen.state not in STATES:
        raise Invalid("State", f"must be one of {', '.join(STATES)}")
    if chosen.kind is not None:
        known: dict[str, Mapping[int, object]] = {
            "form": forms.all_forms(rx),
            "sequence": sequences.all_sequences(rx),
            "tag": tags.all_tags(rx),
        }
        if chosen.kind not in known or chosen.ref_id not in known[chosen.kind]:
            raise NotFound(chosen.kind if chosen.kind in known else "form")


def count(rx: Rx, chosen: Chosen) -> Counted:
    """Count who is meant: from counters; what is searched for by comparing, so in a thread."""
    if chosen.ids is not None:
        return Counted(len(walks.named(rx, chosen.ids[:IDS_MAX])), exact=True)
    total = finding.total(rx, chosen.query)
    if total is not None:
        return Counted(total, exact=True)
    n, exact = finding.count(rx, chosen.query, COUNTED_MAX)
    return Counted(n, exact)


def after(rx: Rx, chosen: Chosen, after_id: int, until_id: int, limit: int) -> tuple[list[int], int | None]:
    """Return the next people, at most `limit`, and up to which id they are all; None at the end."""
    if chosen.ids is not None:
        left = sorted(one for one in set(chosen.ids) if after_id < one <= until_id)
        return left[:limit], left[limit - 1] if len(left) > limit else None
    query = chosen.query
    most = LOOKED if query.words or query.kind else limit
    if query.kind is not None:
        theirs = joined.joined_after(rx, query.kind, query.ref_id, after_id, until_id, most)
        looked = [one for one, _ in theirs]
        found = [one for one, state in theirs if query.state in (None, state)]
    else:
        looked = found = walks.ids_after(rx, query.state, after_id, until_id, most)
    if query.words:
        # Who is in the thing is known here; asked again, they would be once more.
        narrowed = msgspec.structs.replace(query, kind=None)
        found = sorted(one.id for one in finding.matches(rx, narrowed, walks.named(rx, found)))
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    return found, looked[-1] if len(looked) == most else None
