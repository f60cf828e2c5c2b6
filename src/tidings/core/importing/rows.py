"""What an import hands over: people who were read and checked, in slices."""

from collections.abc import Mapping, Sequence

import msgspec

from tidings.core.events import Origin

# People that one slice may hold, and known ones among them that it may change. 4,000 newcomers with two
# tags hold SQLite's write lock some 40 ms; 300 changes of state some 30 ms.
SLICE = 4_000
CHANGES_MAX = 300
# No suppression, no reason to come back: the higher, the less mail.
_HARM = {"active": 0, "inactive": 0, "cancelled": 1, "bounced": 2, "complained": 3}
_encode = msgspec.json.Encoder().encode


class Incoming(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One person of a file as they are written down; times in epoch ms, see `incoming`.

    `record` counts the file's records from 1 and `line` its lines. `fields` is the JSON object of values by
    the id of the field. `stated_at` is since when they have their state. `said` and `cause` are the ends of
    JSON texts: of how an event shows them, and of where they came from.
    """

    record: int
    line: int
    email: str
    key: str
    mailbox: str
    first_name: str | None
    state: str
    fields: str
    created_at: int
    stated_at: int
    said: str
    cause: str


class Slice(msgspec.Struct, frozen=True):
    """Some records of a file: people with different keys, those after whom the import stands at.

    `combos` are sets of (kind, id) that people join, `things` says by number which of them each does. `until`
    is the last record of the window, which is done with its `last` slice; that counts also the `rejected`
    records of the window and those `repeated` that named somebody of it again.
    """

    people: Sequence[Incoming]
    things: Sequence[int]
    combos: Sequence[Sequence[tuple[str, int]]]
    until: int
    last: bool = True
    rejected: int = 0
    repeated: int = 0


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


class Place(msgspec.Struct, frozen=True):
    """How far an import is: records before its window, and people of the window, in order, who are done."""

    record: int = 0
    within: int = 0


class Taken(msgspec.Struct, frozen=True):
    """What became of a slice: where the import stands now, how many of its people are done, the tally."""

    place: Place
    done: int
    tally: Tally


class _Shown(msgspec.Struct, frozen=True, gc=False):
    email: str
    first_name: str | None
    state: str
    created_at: int
    fields: Mapping[str, str | None]


def said(
    email: str, first_name: str | None, state: str, created_at: int, fields: Mapping[str, str | None]
) -> str:
    """Return how an event shows somebody, after the id; fields by their keys."""
    return _encode(_Shown(email, first_name, state, created_at, fields)).decode()[1:]


def cause(line: int, proof: str = "", address: str = "", referrer: str = "") -> str:
    """Return where somebody came from, an `events.Origin`, after the name of the import: see `begun`.

    `proof` is what the file says of their consent, and `address` the IP address.
    """
    source = f", line {line}; {proof}" if proof else f", line {line}"
    text = _encode(source).decode()[1:]
    if address:
        text += f',"address":{_encode(address).decode()}'
    if referrer:
        text += f',"referrer":{_encode(referrer).decode()}'
    return text + "}"


def begun(name: str) -> str:
    """Return how the cause of everybody of an import begins."""
    return _encode(Origin("command", source=name)).decode().removesuffix('"}')


def next_state(there: str, said: str) -> str:
    """Return the state of a known person of whom a file says another: never one that revives.

    Who waits for a confirmation becomes active when the file says that they are.
    """
    if _HARM[said] > _HARM[there] or (there, said) == ("inactive", "active"):
        return said
    return there
