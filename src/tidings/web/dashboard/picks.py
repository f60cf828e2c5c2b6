"""What forms let one pick: tags, forms, sequences and fields of the account, by name."""

from typing import Final

from tidings.core import custom_fields, forms, sequences, tags
from tidings.store.tx import Rx

# Up to so many stand in a select; of more, one types the name, with the first of them suggested.
SELECT_MOST: Final = 300
SUGGESTED_MOST: Final = 1_000
NOUNS: Final = {"tag": "tag", "form": "form", "sequence": "sequence", "field": "field"}


class Picks:
    """The account's things, by what is needed: tag, form, sequence or field."""

    def __init__(self, named: dict[str, dict[int, str]]) -> None:
        self._named = named

    def many(self, need: str) -> bool:
        """Whether there are so many that the name is typed."""
        return len(self._named[need]) > SELECT_MOST

    def options(self, need: str) -> list[tuple[str, str]]:
        """Return what a select offers: value and label, beginning with none."""
        offered = sorted(self._named[need].items(), key=lambda item: item[1].casefold())
        return [("", f"Choose a {NOUNS[need]}"), *((str(one), name) for one, name in offered)]

    def suggested(self, need: str) -> list[str]:
        """Return names that are suggested while one types."""
        return sorted(self._named[need].values(), key=str.casefold)[:SUGGESTED_MOST]

    def find(self, need: str, given: str) -> int | None:
        """Return what was picked: by its id in a select, by its name where one types."""
        known = self._named[need]
        if not self.many(need):
            return next((one for one in known if str(one) == given), None)
        found = [one for one, name in known.items() if name == given]
        return found[0] if found else next((one for one, name in known.items() if _same(name, given)), None)

    def value(self, need: str, ref_id: int | None) -> str:
        """Return how a form shows what is picked; blank for what is gone."""
        name = self._named[need].get(ref_id or 0)
        if name is None:
            return ""
        return name if self.many(need) else str(ref_id)


def load(rx: Rx) -> Picks:
    """Read what the account has; all of it is kept in memory."""
    return Picks(
        {
            "tag": {one.id: one.name for one in tags.all_tags(rx).values()},
            "form": {one.id: _named(one) for one in forms.all_forms(rx).values()},
            "sequence": {one.id: _named(one) for one in sequences.all_sequences(rx).values()},
            "field": {one.id: one.label for one in custom_fields.all_fields(rx)},
        }
    )


def _named(one: forms.Form | sequences.Sequence) -> str:
    return one.name if one.archived_at is None else f"{one.name} (archived)"


def _same(name: str, given: str) -> bool:
    return name.casefold() == given.strip().casefold()
