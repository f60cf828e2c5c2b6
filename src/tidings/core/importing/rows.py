"""What an import hands over: people who were read and checked, in slices."""

from collections.abc import Sequence

import msgspec

# People that one slice may hold, and known ones among them that it may change. 2,000 newcomers with two
# tags hold SQLite's write lock some 40 ms; 300 changes of state some 30 ms.
SLICE = 2_000
CHANGES_MAX = 300
# No suppression, no reason to come back: the higher, the less mail.
_HARM = {"active": 0, "inactive": 0, "cancelled": 1, "bounced": 2, "complained": 3}


class Incoming(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One person of a file; times in epoch ms.

    `record` counts the file's records from 1 and `line` its lines. `fields` are the values by the id of
    the field; `things` says by number which of the slice's `combos` they join. `stated_at` is since when
    they have their state; `proof` is what the file says of their consent, and `address` the IP address.
    """

    record: int
    line: int
    email: str
    key: str
    mailbox: str
    first_name: str | None
    state: str
    fields: dict[str, str]
    created_at: int
    stated_at: int
    things: int = 0
    proof: str = ""
    address: str = ""
    referrer: str = ""


class Slice(msgspec.Struct, frozen=True):
    """Some records of a file: people with different keys, in the order of their records.

    `combos` are sets of (kind, id) that people join; `until` is the last record it covers, `rejected` are
    those that were refused before, and `repeated` those that named somebody of this slice again.
    """

    people: Sequence[Incoming]
    combos: Sequence[Sequence[tuple[str, int]]]
    until: int
    rejected: Sequence[int] = ()
    repeated: Sequence[int] = ()


class Tally(msgspec.Struct):
    """What became of records: `kept` are known people whose state the file could not better."""

    made: int = 0
    changed: int = 0
    same: int = 0
    kept: int = 0
    rejected: int = 0

    def add(self, other: "Tally") -> None:
        """Add another tally."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def records(self) -> int:
        """How many records this is about."""
        return self.made + self.changed + self.same + self.kept + self.rejected


class Taken(msgspec.Struct, frozen=True):
    """How far a slice came: the last record done, and what became of the records."""

    place: int
    tally: Tally


def next_state(there: str, said: str) -> str:
    """Return the state of a known person of whom a file says another: never one that revives.

    Who waits for a confirmation becomes active when the file says that they are.
    """
    if _HARM[said] > _HARM[there] or (there, said) == ("inactive", "active"):
        return said
    return there
