"""Actions: what a rule does for somebody, each by the one verb that has all its effects.

`plan` looks and says, `act` does what was planned. Nobody who has left, bounced or complained is
brought back by a rule, and nobody who is not active is mailed.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from tidings.core import (
    custom_fields,
    deliveries,
    notices,
    owner_notes,
    sequences,
    subscribers,
    subscriptions,
    webhooks,
)
from tidings.core.automations.conditions import name_of
from tidings.core.automations.parts import Action, Rule
from tidings.core.automations.view import View, origin
from tidings.core.events import Origin
from tidings.core.subscribers import Subscriber
from tidings.store.tx import Rx, Tx

# What each action needs beside its name.
KINDS = {
    "add_tag": "tag",
    "remove_tag": "tag",
    "add_to_sequence": "sequence",
    "remove_from_sequence": "sequence",
    "add_to_form": "form",
    "remove_from_form": "form",
    "set_field": "field",
    "send_email": "email",
    "unsubscribe": "",
    "post": "url",
    "tell_owner": "note",
}
OCCASION = "rule-email"
# What is posted says so in its log: no event of v3 has this name.
NOTICE = "rule"

# Makes of a person what is posted: JSON text.
Shape = Callable[[Subscriber], str]


class Step(NamedTuple):
    """One action in words, and why nothing is done where that is so."""

    said: str
    skipped: str = ""

    @property
    def line(self) -> str:
        """The whole, in one line."""
        return f"{self.said}: skipped, {self.skipped}" if self.skipped else self.said


class Doing(NamedTuple):
    """Which run it is that acts."""

    tx: Tx
    rule: Rule
    run_id: int
    event_id: int | None
    depth: int
    shape: Shape

    @property
    def origin(self) -> Origin:
        """The cause of all that it does."""
        return origin(self.rule.id, depth=self.depth, event_id=self.event_id)


def plan(view: View, action: Action) -> Step:
    """Say what an action would do for somebody as they are now."""
    return Step(words(view.rx, action), _obstacle(view, action))


def words(rx: Rx, action: Action) -> str:
    """Say an action in words."""
    need = KINDS[action.kind]
    named = name_of(rx, need, action.ref_id) or f"#{action.ref_id}"
    match action.kind:
        case "set_field":
            value = action.value
            return f'set the field "{named}" to "{value}"' if value else f'clear the field "{named}"'
        case "send_email":
            return f'send the email "{action.subject}"'
        case "unsubscribe":
            return "unsubscribe"
        case "post":
            return f"post to {action.value}"
        case "tell_owner":
            return f'tell the owner "{action.subject}"'
    # Such as "add to the sequence", and "add the tag".
    way = action.kind.replace("_", " ").removesuffix(need).strip()
    return f'{way} the {need} "{named}"'


def act(doing: Doing, view: View, action: Action) -> None:
    """Do an action that nothing stands against, and note it in the view."""
    tx, who, ref_id = doing.tx, view.who, action.ref_id or 0
    match action.kind:
        case "add_tag" | "add_to_form":
            subscriptions.start(tx, who, KINDS[action.kind], ref_id, doing.origin)
        case "add_to_sequence":
            again = sequences.repeats(tx, ref_id)
            subscriptions.start(tx, who, "sequence", ref_id, doing.origin, again=again)
        case "remove_tag" | "remove_from_sequence" | "remove_from_form":
            subscriptions.leave(tx, who, KINDS[action.kind], ref_id, doing.origin)
        case "set_field":
            fields = {custom_fields.find(tx, ref_id).key: action.value or None}
            subscribers.update(tx, who.id, email=None, first_name=None, fields=fields, origin=doing.origin)
        case "send_email":
            deliveries.queue(tx, f"{OCCASION}:{doing.rule.id}:{doing.run_id}", who.id, lane="bulk")
        case "unsubscribe":
            subscriptions.unsubscribe(tx, who, doing.origin)
        case "post":
            _post(doing, who, ref_id)
        case "tell_owner":
            text = _note(doing.rule, who, action)
            owner_notes.tell(tx, f"rule:{doing.rule.id}:{doing.run_id}", action.subject, text)
    foresee(view, action)


def foresee(view: View, action: Action) -> None:
    """Note in the view what is changed once an action is done."""
    kind, ref_id = action.kind, action.ref_id or 0
    if kind in ("add_tag", "add_to_form", "add_to_sequence"):
        view.note(KINDS[kind], ref_id, inside=True)
    elif kind in ("remove_tag", "remove_from_form", "remove_from_sequence"):
        view.note(KINDS[kind], ref_id, inside=False)
    elif kind == "set_field":
        key = custom_fields.find(view.rx, ref_id).key
        view.who = msgspec.structs.replace(view.who, fields={**view.who.fields, key: action.value or None})
    elif kind == "unsubscribe":
        view.note_left()


def _obstacle(view: View, action: Action) -> str:
    """Return why an action does nothing for somebody; "" when it does something."""
    need, ref_id = KINDS[action.kind], action.ref_id or 0
    if need in ("tag", "form", "sequence", "field") and name_of(view.rx, need, ref_id) is None:
        return f"there is no such {need} any more"
    if need in ("tag", "form", "sequence"):
        return _already(view, action.kind, need, ref_id)
    match action.kind:
        case "set_field":
            held = view.field(custom_fields.find(view.rx, ref_id).key)
            return "it is so already" if held == (action.value or None) else ""
        case "send_email":
            return "" if view.who.state == "active" else f"they are {view.who.state}, not active"
        case "unsubscribe":
            return f"they are {view.who.state} already" if view.gone else ""
        case "post":
            hook = webhooks.seen(view.rx, ref_id)
            return "" if hook is not None and hook.disabled_at is None else "the address is switched off"
    return ""


def _already(view: View, kind: str, need: str, ref_id: int) -> str:
    """Return why somebody is not put into something, or not taken out of it."""
    inside = view.has(need, ref_id)
    if kind.startswith("remove_"):
        inside = inside or (need == "sequence" and view.inside(ref_id))
        return "" if inside else "they do not have it" if need == "tag" else "they are not in it"
    if need == "tag":
        return "they have it already" if inside else ""
    if view.gone:
        return f"they are {view.who.state}"
    if need == "form":
        return "they are in it already" if inside else ""
    if view.inside(ref_id):
        return "they are in it already"
    through = view.been_through(ref_id) and not sequences.repeats(view.rx, ref_id)
    return "they have been through it" if through else ""


def _post(doing: Doing, who: Subscriber, webhook_id: int) -> None:
    body = doing.shape(subscribers.get(doing.tx, who.id))
    hook = webhooks.find(doing.tx, webhook_id)
    notices.queue(doing.tx, hook, NOTICE, body, event_id=doing.event_id, subscriber_id=who.id)


def _note(rule: Rule, who: Subscriber, action: Action) -> str:
    person = f"{who.first_name} <{who.email}>" if who.first_name else who.email
    said = f"{action.text.strip()}\n\n" if action.text else ""
    return f'{said}The rule "{rule.name}" ran for {person}.\n'
