"""What somebody filled into a form: values read leniently, and what is wrong with them by field."""

import re
from collections.abc import Collection, Mapping
from typing import Final

from tidings.errors import Invalid, Problem
from tidings.web import params

TEXT_MAX: Final = 500
_LINE_ENDS: Final = re.compile(r"\r\n?")
# A field's name in our verbs, as a person reads it at the start of a sentence.
_UNDER: Final = str.maketrans("_", " ")


class Given:
    """The values of a posted form (or of none), and the errors to show beside its fields.

    `errors` maps a field's name to a whole sentence; what belongs to no field stands under "".
    """

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self.values: dict[str, object] = dict(values or {})
        self.errors: dict[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong so far."""
        return not self.errors

    def wrong(self, name: str, sentence: str) -> None:
        """Note what is wrong with a field; the first word counts."""
        self.errors.setdefault(name, sentence)

    def blame(self, problem: Problem, field: str | None = None) -> None:
        """Note a verb's refusal beside the field it names, or beside `field`, or for the whole form."""
        if isinstance(problem, Invalid):
            name = field if field is not None else problem.field
            said = f"{problem.field.translate(_UNDER).strip().capitalize()} {problem.reason}"
        else:
            name, said = field or "", problem.message or "This cannot be done."
        if name not in self.values:
            name = ""
        self.wrong(name, said[:1].upper() + said[1:].rstrip(".") + ".")

    def value(self, name: str, default: object = "") -> str:
        """Return a value as the form shows it again."""
        found = self.values.get(name, default)
        return found if isinstance(found, str) else "" if found is None else str(found)

    def text(self, name: str, label: str = "", *, most: int = TEXT_MAX, needed: bool = False) -> str:
        """Return a value trimmed, with plain line ends; blank where it was not given."""
        found = self.values.get(name)
        text = _LINE_ENDS.sub("\n", found).strip() if isinstance(found, str) else ""
        if needed and not text:
            self.wrong(name, f"{label or name} is needed.")
        if len(text) > most:
            self.wrong(name, f"{label or name} must have at most {most:,} characters.")
            return text[:most]
        if "\0" in text:
            self.wrong(name, f"{label or name} holds a character that cannot be kept.")
            return text.replace("\0", "")
        return text

    def choice(self, name: str, options: Collection[str], default: str = "") -> str:
        """Return a value that must be one of a few."""
        found = self.values.get(name, default)
        if isinstance(found, str) and found in options:
            return found
        self.wrong(name, "Choose one of the options.")
        return default

    def flag(self, name: str) -> bool:
        """Say whether a box is ticked."""
        return params.truthy(self.values.get(name))

    def number(self, name: str, label: str = "", *, least: int = 0, most: int = 10**9) -> int | None:
        """Return a whole number; None, with an error, for anything else that was given."""
        found = self.values.get(name)
        if isinstance(found, bool) or found in (None, ""):
            return None
        text = str(found).strip()
        if text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most:
            return int(text)
        self.wrong(name, f"{label or name} must be a whole number from {least:,} to {most:,}.")
        return None

    def ids(self, name: str) -> list[int]:
        """Return the ids of ticked boxes, each once; junk is ignored."""
        return list(dict.fromkeys(params.id_list(self.values.get(name))))
