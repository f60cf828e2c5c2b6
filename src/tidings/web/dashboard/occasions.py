"""Occasions in words: why a mail was made, with the page of what it belongs to."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tidings.core import automations, forms, sequences, subscriptions
from tidings.core.broadcasts import shown
from tidings.errors import NotFound
from tidings.store.tx import Rx


class Why(NamedTuple):
    """Why a mail was made, in a few words; `href` is blank where no page tells more."""

    said: str
    href: str = ""


_OTHER: Final = Why("a single mail")


class _Known(NamedTuple):
    """What the occasions of a page are about: subjects, sequences of emails, what is confirmed."""

    subjects: dict[int, str]
    emails: dict[int, int]
    joined: dict[int, tuple[str, int]]


def words(rx: Rx, occasions: Mapping[int, str]) -> dict[int, Why]:
    """Say of each delivery why it was made; a fixed number of questions for a page of them."""
    parts = {one: occasion.split(":") for one, occasion in occasions.items()}
    known = _Known(
        shown.subjects(rx, _second(parts.values(), "broadcast")),
        sequences.of_emails(rx, _second(parts.values(), "sequence-email")),
        subscriptions.about(rx, _second(parts.values(), "confirm")),
    )
    return {one: _why(rx, part, known) for one, part in parts.items()}


def _why(rx: Rx, part: list[str], known: _Known) -> Why:
    kind, ref_id = part[0], int(part[1]) if len(part) > 1 and part[1].isdigit() else 0
    match kind:
        case "broadcast":
            subject = known.subjects.get(ref_id)
            return Why(
                f"broadcast “{subject}”" if subject else f"broadcast {ref_id}", f"/broadcasts/{ref_id}"
            )
        case "sequence-email":
            sequence = sequences.all_sequences(rx).get(known.emails.get(ref_id, 0))
            if sequence is None:
                return Why("sequence")
            return Why(f"sequence “{sequence.name}”", f"/sequences/{sequence.id}")
        case "confirm":
            about, form_id = known.joined.get(ref_id, ("", 0))
            form = forms.all_forms(rx).get(form_id) if about == "form" else None
            return Why(f"confirmation of “{form.name}”", f"/forms/{form.id}") if form else Why("confirmation")
        case automations.OCCASION:
            try:
                return Why(f"rule “{automations.find(rx, ref_id).name}”", f"/rules/{ref_id}")
            except NotFound:
                return Why("a rule that is gone")
    return _OTHER


def _second(parts: Iterable[list[str]], kind: str) -> list[int]:
    """Return the ids that stand behind a kind of occasion, each once."""
    found = (int(one[1]) for one in parts if one[0] == kind and len(one) > 1 and one[1].isdigit())
    return list(dict.fromkeys(found))
