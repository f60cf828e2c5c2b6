"""Conditions: what must hold for somebody before a rule does anything."""

from typing import NamedTuple

from tidings.core import custom_fields, forms, sequences, tags
from tidings.core.automations.parts import Condition
from tidings.core.automations.view import View
from tidings.errors import NotFound
from tidings.store.tx import Rx

KINDS = ("tag", "form", "sequence", "field", "state", "bought")
HOWS = ("equals", "contains", "set")


class Checked(NamedTuple):
    """One condition in words, and whether it holds."""

    said: str
    holds: bool


def check(view: View, condition: Condition) -> Checked:
    """Say whether a condition holds; one about something that is gone does not, negated or not."""
    said = words(view.rx, condition)
    if not there(view.rx, condition):
        return Checked(f"{said}: there is no such {condition.kind} any more", False)
    return Checked(said, _holds(view, condition) != condition.negated)


def there(rx: Rx, condition: Condition) -> bool:
    """Say whether what a condition is about exists."""
    return name_of(rx, condition.kind, condition.ref_id) is not None if condition.ref_id is not None else True


def words(rx: Rx, condition: Condition) -> str:
    """Say a condition in words, as they stand behind "if"."""
    named = name_of(rx, condition.kind, condition.ref_id) or f"#{condition.ref_id}"
    value, no = condition.value or "", condition.negated
    match condition.kind:
        case "tag":
            return f'has {"not " if no else ""}the tag "{named}"'
        case "form" | "sequence":
            return f'is {"not " if no else ""}in the {condition.kind} "{named}"'
        case "state":
            return f"is {'not ' if no else ''}{value}"
        case "bought":
            return f"has {'not ' if no else ''}bought " + (f'the product "{value}"' if value else "anything")
    how = {"equals": f'is "{value}"', "contains": f'contains "{value}"'}.get(condition.how, "is set")
    return f'the field "{named}" {how}' if not no else f'it is not so that the field "{named}" {how}'


def name_of(rx: Rx, kind: str, ref_id: int | None) -> str | None:
    """Return the name of a tag, form, sequence or field; None for what is gone."""
    if ref_id is None:
        return None
    if kind == "tag":
        tag = tags.all_tags(rx).get(ref_id)
        return tag.name if tag else None
    if kind == "form":
        form = forms.all_forms(rx).get(ref_id)
        return form.name if form else None
    if kind == "sequence":
        sequence = sequences.all_sequences(rx).get(ref_id)
        return sequence.name if sequence else None
    try:
        return custom_fields.find(rx, ref_id).label
    except NotFound:
        return None


def _holds(view: View, condition: Condition) -> bool:
    ref_id = condition.ref_id or 0
    match condition.kind:
        case "tag" | "form":
            return view.has(condition.kind, ref_id)
        case "sequence":
            return view.inside(ref_id)
        case "state":
            return view.who.state == condition.value
        case "bought":
            return view.bought(condition.value)
    held = view.field(custom_fields.find(view.rx, ref_id).key)
    wanted = condition.value or ""
    if condition.how == "equals":
        return (held or "") == wanted
    if condition.how == "contains":
        return wanted.casefold() in (held or "").casefold()
    return held is not None
