"""Filters: who is asked for, as it stands in an address and in a form, and in words."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from tidings.core import forms, sequences, tags
from tidings.core.bulk import IDS_MAX, Chosen
from tidings.core.finding import Query
from tidings.core.search.grams import TYPED_MAX
from tidings.core.subscribers import STATES
from tidings.store.tx import Rx
from tidings.web import params
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given

KINDS: Final = ("form", "sequence", "tag")
# A list to choose from; who has more finds them on their own pages.
OFFERED_MAX: Final = 500


class Filter(msgspec.Struct, frozen=True):
    """What is filtered by; `within` is kind-id, such as tag-5, and "" for everybody."""

    text: str = ""
    state: str = ""
    within: str = ""

    @property
    def query(self) -> Query:
        """The question to the core."""
        kind, ref_id = self.thing
        return Query(text=self.text, state=self.state or None, kind=kind, ref_id=ref_id)

    @property
    def thing(self) -> tuple[str | None, int]:
        """The kind and the id of what people are in; None for all."""
        kind, _, ref = self.within.partition("-")
        return (kind, int(ref)) if kind and ref else (None, 0)

    @property
    def chosen(self) -> Chosen:
        """Everybody whom the filter finds."""
        kind, ref_id = self.thing
        return Chosen(text=self.text, state=self.state or None, kind=kind, ref_id=ref_id)

    def at(self, path: str = "/subscribers", **more: str | int | None) -> str:
        """Return an address with this filter; what is named here wins, and None leaves a part out."""
        parts: dict[str, str | int | None] = {"q": self.text, "state": self.state, "in": self.within, **more}
        query = urlencode({name: one for name, one in parts.items() if one not in ("", None)})
        return f"{path}?{query}" if query else path


class Thing(msgspec.Struct, frozen=True):
    """A form, a sequence or a tag to choose."""

    value: str
    name: str


def of_address(asked: Asked) -> Filter:
    """Read the filter of an address; what is none of ours is left out."""
    return _filter(asked.asks("q"), asked.asks("state"), asked.asks("in"))


def of_form(given: Given) -> Filter:
    """Read the filter of a form's hidden fields."""
    return _filter(given.value("q"), given.value("state"), given.value("in"))


def ids_of(value: object) -> list[int]:
    """Return the ids of ticked boxes, each once."""
    return list(dict.fromkeys(params.id_list(value)))[:IDS_MAX]


def things(rx: Rx, within: str = "") -> dict[str, list[Thing]]:
    """Return what people can be in, by kind in the plural; the one that is chosen is always there."""
    known = {
        "Forms": [("form", one.id, one.name) for one in forms.all_forms(rx).values()],
        "Tags": [("tag", one.id, one.name) for one in tags.all_tags(rx).values()],
        "Sequences": [("sequence", one.id, one.name) for one in sequences.all_sequences(rx).values()],
    }
    offered = {}
    for group, listed in known.items():
        every = [Thing(f"{kind}-{ref_id}", name) for kind, ref_id, name in listed]
        offered[group] = every[:OFFERED_MAX] + [one for one in every[OFFERED_MAX:] if one.value == within]
    return {group: listed for group, listed in offered.items() if listed}


def words(rx: Rx, one: Filter) -> str:
    """Say whom a filter finds, to stand behind a number: "active people with the tag customer"."""
    kind, ref_id = one.thing
    said = f"{one.state} people" if one.state else "people"
    if kind is not None:
        known: Mapping[str, Mapping[int, forms.Form | sequences.Sequence | tags.Tag]] = {
            "form": forms.all_forms(rx),
            "sequence": sequences.all_sequences(rx),
            "tag": tags.all_tags(rx),
        }
        thing = known[kind].get(ref_id)
        way = "with the tag" if kind == "tag" else f"of the {kind}"
        said += f" {way} {thing.name if thing else ref_id}"
    return f"{said} found by “{one.text}”" if one.text else said


def _filter(text: str, state: str, within: str) -> Filter:
    kind, _, ref = within.partition("-")
    there = kind in KINDS and params.integer(ref) is not None
    return Filter(
        text.replace("\0", "").strip()[:TYPED_MAX],
        state if state in STATES else "",
        f"{kind}-{int(ref)}" if there else "",
    )
