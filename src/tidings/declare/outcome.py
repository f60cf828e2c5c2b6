"""What became of an entry, and what all steps share: whose a given id is, what a name stands for."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

from tidings.core import forms, sequences, tags
from tidings.declare.tables import Ref
from tidings.errors import Problem
from tidings.store.tx import Rx

T = TypeVar("T")
Outcome = Literal["made", "changed", "left"]


class Odd(Problem):
    """An entry cannot be applied to this account; `key` is the one that says so, or "" for the whole.

    `line` is its line where the key stands in a table within the entry.
    """

    def __init__(self, key: str, reason: str, *, line: int | None = None) -> None:
        super().__init__(reason)
        self.key = key
        self.line = line


class Report(msgspec.Struct):
    """How many entries of each kind were made, changed, or left as they are; and what is worth a note."""

    counts: dict[str, dict[Outcome, int]] = {}
    notes: list[str] = []

    def count(self, kind: str, outcome: Outcome) -> None:
        """Count one entry."""
        counts = self.counts.setdefault(kind, {})
        counts[outcome] = counts.get(outcome, 0) + 1

    def total(self, outcome: Outcome) -> int:
        """Return how many entries of all kinds ended so."""
        return sum(counts.get(outcome, 0) for counts in self.counts.values())

    def lines(self) -> list[str]:
        """Say it, a line for each kind, then the notes."""
        said = []
        for kind, counts in self.counts.items():
            shown = ", ".join(f"{n} {_SAID[outcome]}" for outcome, n in counts.items())
            said.append(f"{kind.replace('_', ' ')}: {shown}")
        return said + self.notes


_SAID: Mapping[Outcome, str] = {"made": "made", "changed": "changed", "left": "left as it is"}


class Known:
    """The forms, sequences and tags of the account by id and name, once all of them are made."""

    def __init__(self, rx: Rx) -> None:
        self._names: Mapping[str, dict[int, str]] = {
            "form": {one.id: one.name for one in forms.all_forms(rx).values()},
            "sequence": {one.id: one.name for one in sequences.all_sequences(rx).values()},
            "tag": {one.id: one.name for one in tags.all_tags(rx).values()},
        }

    def id_of(self, kind: str, ref: Ref, key: str) -> int:
        """Return the id that an id or a name stands for, or raise `Odd`."""
        names = self._names[kind]
        if isinstance(ref, int):
            if ref not in names:
                raise Odd(key, f"{key} names {ref}, but the account has no {kind} with this id")
            return ref
        found = [one for one, name in names.items() if name == ref]
        if not found:
            raise Odd(key, f'{key} names "{ref}", but the account has no {kind} of this name')
        if len(found) > 1:
            raise Odd(key, f'{key} names "{ref}", which {len(found)} of the account are called; give the id')
        return found[0]

    def ids(self, kind: str, refs: Sequence[Ref], key: str) -> list[int]:
        """Return the ids that ids and names stand for, each once."""
        return list(dict.fromkeys(self.id_of(kind, ref, key) for ref in refs))


def only(found: list[T], key: str, what: str, name: str) -> T | None:
    """Return the one thing of a name, None for none; more than one is `Odd`."""
    if len(found) > 1:
        raise Odd(key, f'more than one of the {what} is called "{name}"; give the id')
    return found[0] if found else None


def refuse_taken(given: int | None, *, taken: bool) -> None:
    """Refuse to make something under an id that another account's has."""
    if given is not None and taken:
        raise Odd("id", f"the id {given} belongs to another account")


def refuse_other_id(given: int | None, held: int | None, what: str) -> None:
    """Refuse to declare one thing under a second id."""
    if given is not None and held is not None and given != held:
        raise Odd("id", f"{what} is there already, with the id {held}")
