"""What several pages of broadcasts say alike: a name, a state, an audience in words."""

from collections.abc import Mapping
from typing import Final

from tidings.core import forms, sequences, tags
from tidings.core.broadcasts import Broadcast
from tidings.core.broadcasts.course import Part
from tidings.store.tx import Rx

# The three steps of a draft, in the order in which they are taken.
STEPS: Final = (("write", "Write"), ("audience", "Audience"), ("review", "Review and send"))
KINDS: Final = ("tag", "form", "sequence")


def named(one: Broadcast) -> str:
    """Return what a broadcast is called in a sentence."""
    return f"“{one.subject}”" if one.subject else "The broadcast without a subject"


def standing(one: Broadcast) -> str:
    """Return the state of a broadcast in a word."""
    if one.cancelled_at is not None:
        return "cancelled"
    if one.paused_at is not None:
        return "paused"
    return "sent" if one.status == "completed" else one.status


def steps(one: Broadcast, role: str) -> list[tuple[str, str, str]]:
    """Return the steps of a draft as tabs: address, words, name; who may only look sees how it is."""
    mine = STEPS[-1:] if role == "viewer" else STEPS
    return [(f"/broadcasts/{one.id}/{name}", said, name) for name, said in mine]


def names_of(rx: Rx) -> dict[str, dict[int, str]]:
    """Return the names of all that an audience can be made of, by kind and id."""
    return {
        "tag": {one.id: one.name for one in tags.all_tags(rx).values()},
        "form": {one.id: one.name for one in forms.all_forms(rx).values()},
        "sequence": {one.id: one.name for one in sequences.all_sequences(rx).values()},
    }


def audience(parts: list[Part], names: Mapping[str, Mapping[int, str]]) -> str:
    """Return whom a broadcast goes to, in words."""
    included = [_part(one, names) for one in parts if not one.excluded]
    excluded = [_part(one, names) for one in parts if one.excluded]
    words = f"Everybody with {_or(included)}" if included else "Everybody who is active"
    return words + (f", but not with {_or(excluded)}" if excluded else "")


def _part(one: Part, names: Mapping[str, Mapping[int, str]]) -> str:
    return f"the {one.kind} “{names[one.kind].get(one.ref_id, 'that is gone')}”"


def _or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
