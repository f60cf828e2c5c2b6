"""What a rule may say: checked when it is made, so that a run meets only what has changed since."""

import re
from collections import Counter

from tidings.core import custom_fields, subscribers, webhooks
from tidings.core.automations.actions import KINDS as ACTIONS
from tidings.core.automations.conditions import HOWS, KINDS, name_of
from tidings.core.automations.parts import Action, Condition, Trigger, Wish
from tidings.core.automations.triggers import NEEDS
from tidings.errors import Invalid, NotFound
from tidings.store.tx import Rx

NAME_MAX = 255
CONDITIONS_MAX = 20
ACTIONS_MAX = 20
URL_MAX = 8_192
PID_MAX = 1_000
SUBJECT_MAX = 998
HTML_MAX = 1_048_576
DAYS_MAX = 3_650
HOUR_LAST = 23
# Their occasions name the run and nothing within it.
ONCE = ("send_email", "tell_owner")
_NAMED = ("tag", "form", "sequence", "field")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
# What neither database keeps, or what no text needs.
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def checked(rx: Rx, wish: Wish) -> Wish:
    """Return a wish as it is kept: nothing in it that means nothing; raise Invalid or NotFound."""
    name = _line("Name", wish.name, NAME_MAX)
    if len(wish.conditions) > CONDITIONS_MAX:
        raise Invalid("Conditions", f"are too many (maximum is {CONDITIONS_MAX})")
    if not wish.actions:
        raise Invalid("Actions", "are missing: a rule does at least one thing")
    if len(wish.actions) > ACTIONS_MAX:
        raise Invalid("Actions", f"are too many (maximum is {ACTIONS_MAX})")
    conditions = tuple(checked_condition(rx, one) for one in wish.conditions)
    actions = tuple(checked_action(rx, one) for one in wish.actions)
    kinds = Counter(one.kind for one in actions)
    for kind in ONCE:
        if kinds[kind] > 1:
            raise Invalid("Actions", f"may hold {kind} once")
    urls = Counter(one.value for one in actions if one.kind == "post")
    if urls and max(urls.values()) > 1:
        raise Invalid("Actions", "may post to one address once")
    return Wish(name, checked_trigger(rx, wish.trigger), conditions, actions)


def checked_trigger(rx: Rx, given: Trigger) -> Trigger:
    """Return a trigger as it is kept; raise Invalid or NotFound."""
    need = NEEDS.get(given.kind)
    if need is None:
        raise Invalid("Trigger", f"must be one of: {', '.join(NEEDS)}")
    if given.kind == "date_arrives":
        _field(rx, given.ref_id)
        return Trigger(
            given.kind,
            given.ref_id,
            days=_within("days", given.days, -DAYS_MAX, DAYS_MAX),
            hour=_within("hour", given.hour, 0, HOUR_LAST),
            yearly=given.yearly,
        )
    if given.kind == "goes_quiet":
        hour = _within("hour", given.hour, 0, HOUR_LAST)
        return Trigger(given.kind, days=_within("days", given.days, 1, DAYS_MAX), hour=hour)
    if need in _NAMED:
        _find(rx, need, given.ref_id)
        value = given.value
        if need == "field" and value is not None:
            value = _line("The value of the trigger", value, custom_fields.VALUE_MAX, control=_NOT_TEXT)
        return Trigger(given.kind, given.ref_id, value if need == "field" else None)
    if need == "url":
        url = _line("The URL of the trigger", given.value or "", URL_MAX)
        return Trigger(given.kind, value=url)
    if need == "pid":
        return Trigger(given.kind, value=_line("The product of the trigger", given.value or "", PID_MAX))
    return Trigger(given.kind)


def checked_condition(rx: Rx, given: Condition) -> Condition:
    """Return a condition as it is kept; raise Invalid or NotFound."""
    kind, no = given.kind, given.negated
    if kind not in KINDS:
        raise Invalid("Condition", f"must be one of: {', '.join(KINDS)}")
    if kind == "state":
        if given.value not in subscribers.STATES:
            raise Invalid("Condition", f"state must be one of: {', '.join(subscribers.STATES)}")
        return Condition(kind, value=given.value, negated=no)
    if kind == "bought":
        pid = given.value
        return Condition(kind, value=None if pid is None else _line("bought", pid, PID_MAX), negated=no)
    _find(rx, kind, given.ref_id)
    if kind != "field":
        return Condition(kind, given.ref_id, negated=no)
    if given.how not in HOWS:
        raise Invalid("Condition", f"on a field must be one of: {', '.join(HOWS)}")
    value = None
    if given.how == "contains":
        value = _line("contains", given.value or "", custom_fields.VALUE_MAX, control=_NOT_TEXT)
    elif given.how == "equals":
        value = _text("equals", given.value or "", custom_fields.VALUE_MAX)
    return Condition(kind, given.ref_id, value, given.how, no)


def checked_action(rx: Rx, given: Action) -> Action:
    """Return an action as it is kept; raise Invalid or NotFound."""
    need = ACTIONS.get(given.kind)
    if need is None:
        raise Invalid("Action", f"must be one of: {', '.join(ACTIONS)}")
    if need in ("tag", "form", "sequence"):
        _find(rx, need, given.ref_id)
        return Action(given.kind, given.ref_id)
    if need == "field":
        _field(rx, given.ref_id)
        value = None if not given.value else _text("The value", given.value, custom_fields.VALUE_MAX)
        return Action(given.kind, given.ref_id, value or None)
    if need == "url":
        url = (given.value or "").strip()
        webhooks.check_target(url)
        return Action(given.kind, value=url)
    if need == "":
        return Action(given.kind)
    subject = _line("Subject", given.subject, SUBJECT_MAX)
    text = None if not given.text else _text("Text", given.text, HTML_MAX)
    if need == "note":
        return Action(given.kind, subject=subject, text=text)
    html = _text("HTML", given.html, HTML_MAX)
    if not html.strip() and not (text or "").strip():
        raise Invalid("Action", "send_email needs html or text")
    preheader = _text("Preheader", given.preheader, SUBJECT_MAX)
    return Action(given.kind, subject=subject, html=html, text=text, preheader=preheader)


def _find(rx: Rx, kind: str, ref_id: int | None) -> None:
    if name_of(rx, kind, ref_id) is None:
        raise NotFound("custom field" if kind == "field" else kind)


def _field(rx: Rx, ref_id: int | None) -> None:
    _find(rx, "field", ref_id)


def _within(field: str, number: int, lowest: int, highest: int) -> int:
    if not lowest <= number <= highest:
        raise Invalid(field, f"must be between {lowest} and {highest}")
    return number


def _line(field: str, words: str, longest: int, *, control: re.Pattern[str] = _CONTROL) -> str:
    clean = words.strip()
    if not clean:
        raise Invalid(field, "can't be blank")
    if control.search(clean):
        raise Invalid(field, "must not contain control characters")
    if len(clean) > longest:
        raise Invalid(field, f"is too long (maximum is {longest} characters)")
    return clean


def _text(field: str, words: str, longest: int) -> str:
    if _NOT_TEXT.search(words):
        raise Invalid(field, "must not contain control characters")
    if len(words) > longest:
        raise Invalid(field, f"is too long (maximum is {longest} characters)")
    return words
