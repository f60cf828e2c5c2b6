"""Running: one rule for one person, in one verb, exactly once.

Conditions, actions and the end of the run are one transaction: who comes second finds nothing
due, who fails leaves nothing behind.
"""

import msgspec

from tidings.core import subscribers
from tidings.core.automations import actions, conditions, definitions, rows, walks
from tidings.core.automations.actions import Doing, Shape, Step
from tidings.core.automations.conditions import Checked
from tidings.core.automations.parts import Rule
from tidings.core.automations.rows import Run
from tidings.core.automations.view import View
from tidings.errors import NotFound
from tidings.store.tx import Collected, Rx, Tx

# So many rules may stand between the world and a rule: behind that, rules go round in a circle.
DEPTH_MAX = 8
# What rules do among themselves for one person in an hour: a rule with twenty actions could
# otherwise start twenty, and each of them twenty more.
CHAINED_MOST = 200
HOUR_MS = 3_600_000

_RAN = Collected(
    "UPDATE rules SET ran = ran + :n, last_ran_at = :at WHERE account_id = :account_id AND id = :id",
    ("account_id", "id", "at", "n"),
    merged=True,
)


class Would(msgspec.Struct, frozen=True):
    """What a rule would do for somebody now, as if it had just been triggered."""

    enabled: bool
    conditions: list[Checked]
    steps: list[Step]

    @property
    def acts(self) -> bool:
        """Whether the conditions hold."""
        return all(one.holds for one in self.conditions)


def would(rx: Rx, rule_id: int, subscriber_id: int) -> Would:
    """Say what a rule would do for somebody; changes nothing. Raises NotFound for neither."""
    rule = definitions.find(rx, rule_id)
    view = View(rx, subscribers.get(rx, subscriber_id))
    checked = [conditions.check(view, one) for one in rule.conditions]
    steps: list[Step] = []
    for action in rule.actions:
        step = actions.plan(view, action)
        if not step.skipped:
            actions.foresee(view, action)
        steps.append(step)
    return Would(rule.enabled_at is not None, checked, steps)


def do(tx: Tx, run_id: int, shape: Shape) -> str:
    """Do a due run; return the state that it ends in, "" when it is somebody else's.

    Raises a Problem where an action cannot be done at all; then nothing of the run is done.
    """
    run = rows.take(tx, run_id)
    if run is None:
        return ""
    state, said = _outcome(tx, run, shape)
    rows.settle(tx, run.id, state, said)
    if state == "done":
        tx.append(_RAN, (tx.account_id, run.rule_id, tx.now, 1))
    return state


def fail(tx: Tx, run_id: int, why: str) -> bool:
    """End a run that cannot be done; say whether it was still due."""
    run = rows.take(tx, run_id)
    if run is None:
        return False
    definitions.note_problem(tx, run.rule_id, f"a run failed: {why}"[: rows.SAID_MAX])
    return rows.settle(tx, run_id, "failed", why)


def _outcome(tx: Tx, run: Run, shape: Shape) -> tuple[str, str]:
    try:
        rule = definitions.find(tx, run.rule_id)
    except NotFound:
        return "skipped", "the rule is gone"
    if rule.enabled_at is None:
        return "skipped", "the rule is switched off"
    if why := _cut(tx, run):
        definitions.note_problem(tx, rule.id, why)
        return "cut", why
    try:
        who = subscribers.get(tx, run.subscriber_id)
    except NotFound:
        return "skipped", "the person is gone"
    if walks.is_over(tx, run):
        return "skipped", "they are not quiet any more"
    view = View(tx, who)
    for condition in rule.conditions:
        checked = conditions.check(view, condition)
        if not checked.holds:
            return "skipped", f"not so: {checked.said}"
    return "done", _act(Doing(tx, rule, run.id, run.event_id, run.depth, shape), view, rule)


def _cut(tx: Tx, run: Run) -> str:
    """Return why a run goes no further; "" when it does."""
    if run.depth > DEPTH_MAX:
        return f"cut: rules start one another in a circle, more than {DEPTH_MAX} deep"
    if run.depth > 1:
        before = rows.created_at(tx, run.subscriber_id, CHAINED_MOST)
        if before is not None and before > tx.now - HOUR_MS:
            return f"cut: rules ran more than {CHAINED_MOST} times for one person within an hour"
    return ""


def _act(doing: Doing, view: View, rule: Rule) -> str:
    said = []
    for action in rule.actions:
        step = actions.plan(view, action)
        if not step.skipped:
            actions.act(doing, view, action)
        said.append(step.line)
    return "; ".join(said)
