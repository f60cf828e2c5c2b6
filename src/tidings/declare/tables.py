"""What a table of the file is: its keys, each with a check, and the class that it makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from tidings.declare.checks import Check

Ref = int | str
Keys = Mapping[str, "Check | Table"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the file; `lines` holds the line of each key, and of the table itself under ""."""

    lines: Mapping[str, int]


class Numbered(Entry, frozen=True, kw_only=True):
    """A table that may give the id of what it declares."""

    id: int | None = None


@dataclass(frozen=True)
class Table:
    """The keys of a table: each has a check, or is a list of tables itself, or (`alone`) one table.

    `names` are those of `makes` for keys that Python does not take as names.
    """

    shown: str
    makes: type[Entry]
    keys: Keys
    alone: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
