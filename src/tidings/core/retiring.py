"""Retiring: a tag or a custom field taken away for good, once nothing of the owner's needs it.

Owns no table. A broadcast to people without the tag would go to them all once it is gone, and a rule
would stand still: so whoever deletes is told what to change first.
"""

import msgspec

from tidings.core import automations, custom_fields, sequences, tags
from tidings.core.broadcasts import uses as audiences
from tidings.errors import Conflict
from tidings.store.tx import Rx, Tx


class Use(msgspec.Struct, frozen=True):
    """Something that needs a tag or field; `kind` is rule, broadcast or sequence."""

    kind: str
    id: int
    name: str


def uses_of_tag(rx: Rx, tag_id: int) -> list[Use]:
    """Return what needs a tag: rules, sequences that pass over its people, broadcasts not yet sent."""
    return [
        *_rules(rx, "tag", tag_id),
        *(Use("sequence", one, name) for one, name in sequences.passing_over(rx, tag_id).items()),
        *(Use("broadcast", one, name) for one, name in audiences.unfinished(rx, "tag", tag_id).items()),
    ]


def uses_of_field(rx: Rx, field_id: int) -> list[Use]:
    """Return the rules that need a custom field."""
    return _rules(rx, "field", field_id)


def delete_tag(tx: Tx, tag_id: int) -> None:
    """Delete a tag and take it off everybody; raise Conflict while something needs it."""
    tags.find(tx, tag_id)
    if uses_of_tag(tx, tag_id):
        raise Conflict("this tag is still used: change what uses it first")
    tags.delete(tx, tag_id)


def delete_field(tx: Tx, field_id: int) -> None:
    """Delete a custom field with everybody's values; raise Conflict while a rule needs it."""
    custom_fields.find(tx, field_id)
    if uses_of_field(tx, field_id):
        raise Conflict("this field is still used: change what uses it first")
    custom_fields.delete(tx, field_id)


def _rules(rx: Rx, kind: str, ref_id: int) -> list[Use]:
    found = []
    for shown in automations.all_rules(rx):
        rule = shown.rule
        named = [(automations.TRIGGERS.get(rule.trigger.kind), rule.trigger.ref_id)]
        named += [(one.kind, one.ref_id) for one in rule.conditions]
        named += [(automations.ACTIONS.get(one.kind), one.ref_id) for one in rule.actions]
        if (kind, ref_id) in named:
            found.append(Use("rule", rule.id, rule.name))
    return found
