"""Declaring rules: `[[rules]]` with `when`, `if` and `then`, as they are read and applied.

In `when = { tag_add = "customer" }` one key says what it is and about what; its options stand
beside it. So it is with each table of `if` and `then`.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tidings.core import automations, custom_fields
from tidings.core.automations import Action, Condition, Trigger, Wish
from tidings.core.subscribers import STATES
from tidings.declare import checks
from tidings.declare.checks import Wrong
from tidings.declare.outcome import Known, Odd, Outcome, refuse_other_id, refuse_taken
from tidings.declare.tables import Entry, Keys, Numbered, Ref, Table
from tidings.store.tx import Tx

LINK_MAX = 8_192


class When(Entry, frozen=True, kw_only=True):
    """A trigger: one of its kinds, and options."""

    form_subscribe: Ref | None = None
    course_subscribe: Ref | None = None
    course_complete: Ref | None = None
    tag_add: Ref | None = None
    tag_remove: Ref | None = None
    link_click: str | None = None
    product_purchase: str | None = None
    purchase_create: bool | None = None
    field_change: Ref | None = None
    subscriber_activate: bool | None = None
    subscriber_unsubscribe: bool | None = None
    date_arrives: Ref | None = None
    goes_quiet: int | None = None
    value: str | None = None
    days: int = 0
    hour: int = 9
    yearly: bool = False


class If(Entry, frozen=True, kw_only=True):
    """A condition: one of its kinds, and options; `bought` is "" for anything."""

    tag: Ref | None = None
    form: Ref | None = None
    sequence: Ref | None = None
    field: Ref | None = None
    state: str | None = None
    bought: str | None = None
    equals: str | None = None
    contains: str | None = None
    set: bool | None = None
    negated: bool = False


class Then(Entry, frozen=True, kw_only=True):
    """An action: one of its kinds, and options."""

    add_tag: Ref | None = None
    remove_tag: Ref | None = None
    add_to_sequence: Ref | None = None
    remove_from_sequence: Ref | None = None
    add_to_form: Ref | None = None
    remove_from_form: Ref | None = None
    set_field: Ref | None = None
    send_email: str | None = None
    unsubscribe: bool | None = None
    post: str | None = None
    tell_owner: str | None = None
    value: str | None = None
    html: str = ""
    text: str | None = None
    preheader: str = ""


class Rule(Numbered, frozen=True, kw_only=True):
    """A rule; it is on unless the file says otherwise."""

    name: str
    when: When
    actions: list[Then]
    conditions: list[If] = msgspec.field(default_factory=list)
    enabled: bool | None = None


def _link(value: object) -> str:
    return checks.line(value, LINK_MAX)


def _yes(value: object) -> bool:
    if value is not True:
        raise Wrong("must be true")
    return True


def _days(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"must be a whole number of days, not {checks.kind(value)}")
    if abs(value) > checks.DELAY_DAYS_MAX:
        raise Wrong(f"must be at most {checks.DELAY_DAYS_MAX} days")
    return value


def _value(value: object) -> str:
    """A field's value: text, or what is kept as text."""
    return checks.fields({"it": value})["it"]


def _bought(value: object) -> str:
    return "" if value is True else checks.code(value)


_WHEN: Keys = {
    "form_subscribe": checks.reference,
    "course_subscribe": checks.reference,
    "course_complete": checks.reference,
    "tag_add": checks.reference,
    "tag_remove": checks.reference,
    "link_click": _link,
    "product_purchase": checks.code,
    "purchase_create": _yes,
    "field_change": checks.reference,
    "subscriber_activate": _yes,
    "subscriber_unsubscribe": _yes,
    "date_arrives": checks.reference,
    "goes_quiet": _days,
    "value": _value,
    "days": _days,
    "hour": checks.hour,
    "yearly": checks.flag,
}
_IF: Keys = {
    "tag": checks.reference,
    "form": checks.reference,
    "sequence": checks.reference,
    "field": checks.reference,
    "state": checks.one_of(*STATES),
    "bought": _bought,
    "equals": _value,
    "contains": _value,
    "set": _yes,
    "not": checks.flag,
}
_THEN: Keys = {
    "add_tag": checks.reference,
    "remove_tag": checks.reference,
    "add_to_sequence": checks.reference,
    "remove_from_sequence": checks.reference,
    "add_to_form": checks.reference,
    "remove_from_form": checks.reference,
    "set_field": checks.reference,
    "send_email": checks.subject,
    "unsubscribe": _yes,
    "post": checks.url,
    "tell_owner": checks.subject,
    "value": _value,
    "html": checks.text,
    "text": checks.text,
    "preheader": checks.line_or_blank,
}
TABLE = Table(
    "[[rules]]",
    Rule,
    {
        "id": checks.ident,
        "name": checks.line,
        "when": Table("when of [[rules]]", When, _WHEN, alone=True),
        "if": Table("if of [[rules]]", If, _IF, names={"not": "negated"}),
        "then": Table("then of [[rules]]", Then, _THEN),
        "enabled": checks.flag,
    },
    names={"if": "conditions", "then": "actions"},
)
# What may stand beside each kind; a kind that is not here stands alone.
_OPTIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "when": {
        "field_change": ("value",),
        "date_arrives": ("days", "hour", "yearly"),
        "goes_quiet": ("hour",),
    },
    "if": {"field": ("equals", "contains", "set")},
    "then": {
        "set_field": ("value",),
        "send_email": ("html", "text", "preheader"),
        "tell_owner": ("text",),
    },
}
_KINDS: Mapping[str, Sequence[str]] = {
    "when": tuple(automations.TRIGGERS),
    "if": ("tag", "form", "sequence", "field", "state", "bought"),
    "then": tuple(automations.ACTIONS),
}


def wrong(rule: Rule) -> tuple[int, str] | None:
    """Return the line of what makes no sense in a rule, and why; None when all does."""
    parts: list[tuple[str, Entry]] = [("when", rule.when)]
    parts += [("if", one) for one in rule.conditions]
    parts += [("then", one) for one in rule.actions]
    for place, entry in parts:
        given = [key for key in entry.lines if key in _KINDS[place]]
        if len(given) != 1:
            return entry.lines[""], f"{place} of [[rules]] needs one of: {', '.join(_KINDS[place])}"
        options = [*_OPTIONS[place].get(given[0], ()), *(["not"] if place == "if" else [])]
        for key in entry.lines:
            if key and key != given[0] and key not in options:
                return entry.lines[key], f"{key} does not stand beside {given[0]} in {place} of [[rules]]"
        if given[0] == "field" and sum(key in entry.lines for key in _OPTIONS["if"]["field"]) != 1:
            return entry.lines["field"], "a condition on a field needs one of: equals, contains, set"
    if not rule.actions:
        return rule.lines["then"], "then of [[rules]] must hold at least one action"
    return None


def rule(tx: Tx, want: Rule, known: Known) -> Outcome:
    """Make a rule, or change what differs in the one of this id or name."""
    there = [one.rule for one in automations.all_rules(tx)]
    key = automations.name_key(want.name)
    named = next((one for one in there if automations.name_key(one.name) == key), None)
    if named is not None:
        refuse_other_id(want.id, named.id, f'the rule "{want.name}"')
    held = next((one for one in there if one.id == want.id), None) or named
    wish = automations.checked(tx, _wish(tx, want, known))
    if held is None:
        refuse_taken(want.id, taken=want.id is not None and automations.taken(tx, want.id))
        automations.create(tx, wish, enabled=want.enabled is not False, given_id=want.id)
        return "made"
    same = held.wish == wish
    if not same:
        automations.change(tx, held.id, wish)
    if want.enabled is not None and want.enabled != (held.enabled_at is not None):
        automations.switch(tx, held.id, on=want.enabled)
        same = False
    return "left" if same else "changed"


def _wish(tx: Tx, want: Rule, known: Known) -> Wish:
    find = _Finding(tx, known)
    return Wish(
        want.name,
        find.trigger(want.when),
        tuple(find.condition(one) for one in want.conditions),
        tuple(find.action(one) for one in want.actions),
    )


class _Finding:
    """Turns names into ids."""

    def __init__(self, tx: Tx, known: Known) -> None:
        self._fields = custom_fields.all_fields(tx)
        self._known = known

    def trigger(self, given: When) -> Trigger:
        kind = _kind(given, "when")
        said = getattr(given, kind)
        ref_id, value = self._about(given, kind, automations.TRIGGERS[kind], said)
        days = said if kind == "goes_quiet" else given.days
        value = given.value if kind == "field_change" else value
        return Trigger(kind, ref_id, value, days, given.hour, given.yearly)

    def condition(self, given: If) -> Condition:
        kind = _kind(given, "if")
        said = getattr(given, kind)
        if kind == "state":
            return Condition(kind, value=said, negated=given.negated)
        if kind == "bought":
            return Condition(kind, value=said or None, negated=given.negated)
        ref_id, _ = self._about(given, kind, kind, said)
        how = next((one for one in ("equals", "contains", "set") if one in given.lines), "")
        value = given.equals if how == "equals" else given.contains
        return Condition(kind, ref_id, value if kind == "field" else None, how, given.negated)

    def action(self, given: Then) -> Action:
        kind = _kind(given, "then")
        said = getattr(given, kind)
        need = automations.ACTIONS[kind]
        if need in ("email", "note"):
            return Action(kind, subject=said, html=given.html, text=given.text, preheader=given.preheader)
        ref_id, value = self._about(given, kind, need, said)
        return Action(kind, ref_id, given.value if kind == "set_field" else value)

    def _about(self, entry: Entry, key: str, need: str, said: Ref) -> tuple[int | None, str | None]:
        """Return the id or the text that a kind's key stands for."""
        if need == "field":
            return self._field(entry, key, said), None
        if need in ("form", "sequence", "tag"):
            try:
                return self._known.id_of(need, said, key), None
            except Odd as problem:
                raise Odd(key, problem.message, line=entry.lines[key]) from problem
        return None, str(said) if need in ("url", "pid") else None

    def _field(self, entry: Entry, key: str, said: Ref) -> int:
        for one in self._fields:
            if said in (one.id, one.key, one.label):
                return one.id
        shown = said if isinstance(said, int) else f'"{said}"'
        reason = f"{key} names {shown}, but the account has no such custom field"
        raise Odd(key, reason, line=entry.lines[key])


def _kind(entry: Entry, place: str) -> str:
    return next(key for key in entry.lines if key in _KINDS[place])
