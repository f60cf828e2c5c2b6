"""A trigger in words, for those who look at rules."""

from tidings.core.automations.conditions import name_of
from tidings.core.automations.parts import Trigger
from tidings.core.automations.triggers import NEEDS
from tidings.store.tx import Rx

_WHEN = {
    "form_subscribe": 'subscribes to the form "{}"',
    "course_subscribe": 'joins the sequence "{}"',
    "course_complete": 'finishes the sequence "{}"',
    "tag_add": 'is tagged "{}"',
    "tag_remove": 'loses the tag "{}"',
    "link_click": "clicks {}",
    "product_purchase": 'buys the product "{}"',
    "purchase_create": "buys anything",
    "subscriber_activate": "becomes active",
    "subscriber_unsubscribe": "unsubscribes",
}


def trigger_words(rx: Rx, trigger: Trigger) -> str:
    """Say a trigger in words, as they stand behind "when somebody"."""
    need = NEEDS[trigger.kind]
    named = trigger.value or ""
    if need in ("form", "sequence", "tag", "field"):
        named = name_of(rx, need, trigger.ref_id) or f"#{trigger.ref_id}"
    if trigger.kind == "field_change":
        becomes = "changes" if trigger.value is None else f'becomes "{trigger.value}"'
        return f'has a field "{named}" that {becomes}'
    if trigger.kind == "date_arrives":
        return f'{_offset(trigger)} the date in their field "{named}" at {trigger.hour}:00' + (
            ", every year" if trigger.yearly else ""
        )
    if trigger.kind == "goes_quiet":
        return f"shows no sign of life for {_days(trigger.days)}"
    return _WHEN[trigger.kind].format(named)


def _offset(trigger: Trigger) -> str:
    if trigger.days == 0:
        return "comes to"
    return f"is {_days(abs(trigger.days))} {'before' if trigger.days < 0 else 'after'}"


def _days(n: int) -> str:
    return "1 day" if n == 1 else f"{n} days"
