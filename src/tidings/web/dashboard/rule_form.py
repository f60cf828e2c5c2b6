"""The form of a rule: what was filled in, as a wish, with each error beside its field; and back again.

Its rows are numbered: `if1_kind`, `then2_subject` …; a button that changes the rows posts the whole form
as a `step`, gets it again, and nothing is saved.
"""

from typing import Final

from tidings.core import automations, subscribers
from tidings.core.automations import Action, Condition, Rule, Trigger, Wish
from tidings.core.automations.checking import ACTIONS_MAX, CONDITIONS_MAX, DAYS_MAX, HTML_MAX
from tidings.errors import Invalid, Problem
from tidings.store.tx import Rx
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.picks import Picks

WHEN: Final = (
    ("form_subscribe", "subscribes to a form"),
    ("tag_add", "gets a tag"),
    ("tag_remove", "loses a tag"),
    ("course_subscribe", "joins a sequence"),
    ("course_complete", "has had every email of a sequence"),
    ("link_click", "clicks a link"),
    ("product_purchase", "buys a product"),
    ("purchase_create", "buys anything"),
    ("field_change", "gets another value in a field"),
    ("date_arrives", "has a date in a field that comes"),
    ("goes_quiet", "shows no sign of life for a while"),
    ("subscriber_activate", "becomes active"),
    ("subscriber_unsubscribe", "unsubscribes from everything"),
)
IF: Final = (
    ("tag", "has a tag"),
    ("form", "is in a form"),
    ("sequence", "is in a sequence"),
    ("field", "has a field that"),
    ("state", "has the state"),
    ("bought", "has bought"),
)
THEN: Final = (
    ("add_tag", "Add a tag"),
    ("remove_tag", "Remove a tag"),
    ("add_to_sequence", "Put into a sequence"),
    ("remove_from_sequence", "Take out of a sequence"),
    ("add_to_form", "Put into a form"),
    ("remove_from_form", "Take out of a form"),
    ("set_field", "Set a field"),
    ("send_email", "Send an email"),
    ("unsubscribe", "Unsubscribe from everything"),
    ("post", "Post to an address"),
    ("tell_owner", "Mail the owner"),
)
HOWS: Final = (("equals", "is exactly"), ("contains", "contains"), ("set", "has any value"))
SIDES: Final = (("on", "on the day"), ("before", "days before"), ("after", "days after"))
NOT: Final = (("", "holds"), ("1", "does not hold"))
STATES: Final = tuple((one, one) for one in subscribers.STATES)

_ROW: Final = (
    *("kind", "tag", "form", "sequence", "field", "value", "url", "pid", "how", "not", "state"),
    *("subject", "html", "text", "preheader"),
)
_NAMED: Final = ("tag", "form", "sequence", "field")
_MOST: Final = {"if": CONDITIONS_MAX, "then": ACTIONS_MAX}
_FIRST: Final = {"if": "tag", "then": "add_tag"}
_A: Final = {"tag": "a tag", "form": "a form", "sequence": "a sequence", "field": "a field"}

Row = dict[str, str]


def rows(given: Given, part: str) -> list[Row]:
    """Return the rows of a part, `if` or `then`, as they were filled in."""
    numbers = (n for n in range(1, _MOST[part] + 1) if f"{part}{n}_kind" in given.values)
    return [{name: given.value(f"{part}{n}_{name}") for name in _ROW} for n in numbers]


def step(given: Given) -> bool:
    """Do what a button of the form asks for; False where it asks to save."""
    word, _, rest = given.value("step", "save").partition("-")
    part, _, n = rest.partition("-")
    if word in ("save", ""):
        return False
    if part not in _MOST:
        return True
    found = rows(given, part)
    at = int(n) - 1 if n.isascii() and n.isdigit() and len(n) < 3 else -1
    if word == "add" and len(found) < _MOST[part]:
        found.append({"kind": _FIRST[part]})
    elif word == "drop" and 0 <= at < len(found):
        del found[at]
    elif word == "up" and 0 < at < len(found):
        found[at - 1], found[at] = found[at], found[at - 1]
    _put(given, part, found)
    return True


def fresh() -> Given:
    """Return the form of a new rule."""
    return Given({"name": "", "when_kind": "form_subscribe", "then1_kind": "add_tag", "on": "1"})


def of_rule(rule: Rule, picks: Picks) -> Given:
    """Return the form of a rule that is there."""
    trigger = rule.trigger
    side = "on" if trigger.days == 0 else "before" if trigger.days < 0 else "after"
    need = automations.TRIGGERS[trigger.kind]
    given = Given(
        {
            "name": rule.name,
            "when_kind": trigger.kind,
            "when_value": trigger.value or "" if need == "field" else "",
            "when_url": trigger.value or "" if need == "url" else "",
            "when_pid": trigger.value or "" if need == "pid" else "",
            "when_days": str(abs(trigger.days)),
            "when_side": side,
            "when_hour": str(trigger.hour),
            "when_yearly": "1" if trigger.yearly else "",
        }
    )
    if need in _NAMED:
        given.values[f"when_{need}"] = picks.value(need, trigger.ref_id)
    _put(given, "if", [_of_condition(one, picks) for one in rule.conditions])
    _put(given, "then", [_of_action(one, picks) for one in rule.actions])
    return given


def wish(rx: Rx, given: Given, picks: Picks) -> Wish:
    """Return the rule that was filled in; what is wrong with it stands in `given`."""
    name = given.text("name", "Name", needed=True, most=255)
    trigger = _trigger(rx, given, picks)
    conditions = []
    for n in range(1, len(rows(given, "if")) + 1):
        condition = _condition(given, f"if{n}", picks)
        if not _errors_of(given, f"if{n}_"):
            _try(given, f"if{n}_kind", lambda one=condition: automations.checked_condition(rx, one))
        conditions.append(condition)
    actions = []
    for n in range(1, len(rows(given, "then")) + 1):
        action = _action(given, f"then{n}", picks)
        if not _errors_of(given, f"then{n}_"):
            where = f"then{n}_url" if action.kind == "post" else f"then{n}_kind"
            _try(given, where, lambda one=action: automations.checked_action(rx, one))
        actions.append(action)
    found = Wish(name, trigger, tuple(conditions), tuple(actions))
    if given.ok:
        try:
            automations.checked(rx, found)
        except Problem as problem:
            blame(given, problem)
    return found


def blame(given: Given, problem: Problem) -> None:
    """Say what is wrong with a rule as a whole."""
    given.blame(problem, "name" if isinstance(problem, Invalid) and problem.field == "Name" else "")


def _try(given: Given, name: str, check: object) -> None:
    try:
        check()  # type: ignore[operator]
    except Problem as problem:
        given.blame(problem, name)


def _errors_of(given: Given, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in given.errors)


def _trigger(rx: Rx, given: Given, picks: Picks) -> Trigger:
    kind = given.choice("when_kind", automations.TRIGGERS)
    need = automations.TRIGGERS.get(kind, "")
    ref_id = _picked(given, f"when_{need}", need, picks) if need in _NAMED else None
    value, days, hour, yearly = None, 0, 9, False
    if kind == "field_change":
        value = given.text("when_value", "The value", most=65_535) or None
    elif need == "url":
        value = given.text("when_url", "The address of the link", needed=True, most=8_192)
    elif need == "pid":
        value = given.text("when_pid", "The product", needed=True, most=1_000)
    if kind in ("date_arrives", "goes_quiet"):
        least = 1 if kind == "goes_quiet" else 0
        days = given.number("when_days", "Days", least=least, most=DAYS_MAX) or 0
        at = given.number("when_hour", "The hour", most=23)
        hour = 9 if at is None else at
        if kind == "goes_quiet" and not days:
            given.wrong("when_days", "After how many days?")
    if kind == "date_arrives":
        side = given.choice("when_side", dict(SIDES), "on")
        days = {"on": 0, "before": -days, "after": days}[side]
        yearly = given.flag("when_yearly")
    trigger = Trigger(kind, ref_id, value, days, hour, yearly)
    if not _errors_of(given, "when_"):
        where = "when_url" if need == "url" else "when_kind"
        _try(given, where, lambda: automations.checked_trigger(rx, trigger))
    return trigger


def _condition(given: Given, at: str, picks: Picks) -> Condition:
    kind = given.choice(f"{at}_kind", automations.CONDITIONS)
    negated = given.flag(f"{at}_not")
    if kind == "state":
        return Condition(kind, value=given.choice(f"{at}_state", dict(STATES)), negated=negated)
    if kind == "bought":
        return Condition(
            kind, value=given.text(f"{at}_pid", "The product", most=1_000) or None, negated=negated
        )
    ref_id = _picked(given, f"{at}_{kind}", kind, picks) if kind in _NAMED else None
    if kind != "field":
        return Condition(kind, ref_id, negated=negated)
    how = given.choice(f"{at}_how", automations.HOWS, "equals")
    value = given.text(f"{at}_value", "The value", most=65_535, needed=how == "contains")
    return Condition(kind, ref_id, value if how != "set" else None, how, negated)


def _action(given: Given, at: str, picks: Picks) -> Action:
    kind = given.choice(f"{at}_kind", automations.ACTIONS)
    need = automations.ACTIONS.get(kind, "")
    if need in _NAMED:
        ref_id = _picked(given, f"{at}_{need}", need, picks)
        value = given.text(f"{at}_value", "The value", most=65_535) or None if need == "field" else None
        return Action(kind, ref_id, value)
    if need == "url":
        return Action(kind, value=given.text(f"{at}_url", "The address", needed=True, most=2_048))
    if need not in ("email", "note"):
        return Action(kind)
    subject = given.text(f"{at}_subject", "The subject", needed=True, most=998)
    text = given.text(f"{at}_text", "The text", most=HTML_MAX) or None
    if need == "note":
        return Action(kind, subject=subject, text=text)
    html = given.text(f"{at}_html", "The email", most=HTML_MAX)
    if not html and not text:
        given.wrong(f"{at}_html", "Write the email, as HTML or as text.")
    preheader = given.text(f"{at}_preheader", "The preheader", most=998)
    return Action(kind, subject=subject, html=html, text=text, preheader=preheader)


def _picked(given: Given, name: str, need: str, picks: Picks) -> int | None:
    text = given.text(name, most=300)
    found = picks.find(need, text) if text else None
    if found is None:
        given.wrong(name, f"There is no {need} of this name." if text else f"Choose {_A[need]}.")
    return found


def _put(given: Given, part: str, found: list[Row]) -> None:
    """Write the rows of a part, numbered anew."""
    names = {f"{part}{n}_{name}" for n in range(1, _MOST[part] + 1) for name in _ROW}
    for name in names & given.values.keys():
        del given.values[name]
    for n, row in enumerate(found, 1):
        given.values.update({f"{part}{n}_{name}": value for name, value in row.items() if value})


def _of_condition(one: Condition, picks: Picks) -> Row:
    row = {"kind": one.kind, "not": "1" if one.negated else ""}
    if one.kind in _NAMED:
        row[one.kind] = picks.value(one.kind, one.ref_id)
    if one.kind == "field":
        return row | {"how": one.how, "value": one.value or ""}
    return row | {"state" if one.kind == "state" else "pid": one.value or ""}


def _of_action(one: Action, picks: Picks) -> Row:
    need = automations.ACTIONS[one.kind]
    row = {"kind": one.kind, "subject": one.subject, "html": one.html, "preheader": one.preheader}
    if need in _NAMED:
        row[need] = picks.value(need, one.ref_id)
    return row | {"text": one.text or "", "url" if need == "url" else "value": one.value or ""}
