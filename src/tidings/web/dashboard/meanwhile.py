"""Two people at one thing: what the other has saved since this form was opened, so that nothing is lost."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tidings.web.dashboard.given import Given

SHOWN_MAX = 20_000


class Other(NamedTuple):
    """One value that somebody else has saved and that differs from what was given here."""

    label: str
    text: str


def differences(given: Given, labels: Sequence[tuple[str, str]], saved: Mapping[str, object]) -> list[Other]:
    """Return what is saved where it is not what was given, by the fields' names and labels."""
    found = []
    for name, label in labels:
        theirs = "" if saved.get(name) is None else str(saved[name])
        if theirs.split() != given.value(name).split():
            found.append(Other(label, theirs[:SHOWN_MAX] or "(empty)"))
    return found


def overtaken(given: Given, version: int, what: str) -> None:
    """Say that somebody else was quicker; saving once more then goes over what is there now."""
    given.wrong(
        "",
        f"Somebody else has changed {what} since you opened it. Nothing was saved yet, and what you wrote is"
        " below. Take over what you need of theirs, then save: it replaces what they saved.",
    )
    given.values["version"] = str(version)
