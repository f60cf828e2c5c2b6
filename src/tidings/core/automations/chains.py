"""Chains: which rules what a rule does may start, so that its owner sees a circle before it is cut."""

from collections.abc import Mapping

import msgspec

from tidings.store.tx import Rx

# The event that follows from an action, by name; its subject is the action's.
_FOLLOWS = {
    "add_tag": "tag_add",
    "remove_tag": "tag_remove",
    "add_to_form": "form_subscribe",
    "add_to_sequence": "course_subscribe",
    "set_field": "field_change",
    "unsubscribe": "subscriber_unsubscribe",
}


class Link(msgspec.Struct, frozen=True):
    """A rule as others may start it, or be started by it."""

    id: int
    name: str
    on: bool


class Chain(msgspec.Struct, frozen=True):
    """Which rules a rule may start, which may start it, and whether it may come round to itself."""

    starts: list[Link]
    started_by: list[Link]
    circles: bool


class _Act(msgspec.Struct, frozen=True):
    kind: str
    ref_id: int | None = None


class _Known(msgspec.Struct, frozen=True):
    link: Link
    next_ids: frozenset[int]


_ACTS = msgspec.json.Decoder(list[_Act])


def chain(rx: Rx, rule_id: int) -> Chain:
    """Return what a rule may start and be started by, as far as triggers tell; from memory."""
    known = rx.remember(_load)
    starts = sorted(known[rule_id].next_ids) if rule_id in known else []
    return Chain(
        [known[one].link for one in starts],
        [one.link for one in known.values() if rule_id in one.next_ids],
        _comes_round(known, rule_id),
    )


def _comes_round(known: Mapping[int, _Known], rule_id: int) -> bool:
    """Say whether rules that are on lead from a rule that is on back to it."""
    reached: set[int] = set()
    waiting = [rule_id]
    while waiting:
        one = known.get(waiting.pop())
        for next_id in one.next_ids if one is not None and one.link.on else ():
            if next_id == rule_id:
                return True
            if next_id not in reached:
                reached.add(next_id)
                waiting.append(next_id)
    return False


def _load(rx: Rx) -> dict[int, _Known]:
    rows = rx.all(
        "SELECT id, name, enabled_at, trigger, trigger_id, actions FROM rules WHERE account_id = :account_id"
        " ORDER BY id",
        account_id=rx.account_id,
    )
    by_trigger: dict[tuple[str, int | None], set[int]] = {}
    for rule_id, _, _, trigger, ref_id, _ in rows:
        by_trigger.setdefault((trigger, ref_id), set()).add(rule_id)
    found = {}
    for rule_id, name, enabled_at, _, _, actions in rows:
        after: set[int] = set()
        for act in _ACTS.decode(actions):
            if act.kind in _FOLLOWS:
                after |= by_trigger.get((_FOLLOWS[act.kind], act.ref_id), set())
        found[rule_id] = _Known(Link(rule_id, name, enabled_at is not None), frozenset(after))
    return found
