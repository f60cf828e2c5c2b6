"""Automations: rules that act. When something happens, if conditions hold, then do this.

Owns `rules` and `rule_runs`. `parts` are the values a rule is made of, `definitions` how it is
made, `triggers` and `walks` what starts it, `conditions` and `actions` what it asks and does,
`runs` how one run is done. Invariants: a rule runs once for a person and an occasion; all that
a run does and its end are one transaction; rules start one another at most `DEPTH_MAX` deep.
"""

from tidings.core.automations.actions import KINDS as ACTIONS
from tidings.core.automations.actions import OCCASION, Shape, Step
from tidings.core.automations.actions import words as action_words
from tidings.core.automations.chains import Chain, chain
from tidings.core.automations.checking import checked, checked_action, checked_condition, checked_trigger
from tidings.core.automations.conditions import HOWS, Checked
from tidings.core.automations.conditions import KINDS as CONDITIONS
from tidings.core.automations.conditions import words as condition_words
from tidings.core.automations.definitions import (
    LISTED,
    RULES_MAX,
    all_rules,
    change,
    create,
    delete,
    email_of,
    find,
    listed,
    name_key,
    show,
    switch,
    taken,
)
from tidings.core.automations.parts import Action, Condition, Rule, Shown, Trigger, Wish
from tidings.core.automations.rows import (
    LATELY,
    PAGE,
    Due,
    Run,
    counts,
    due,
    fold,
    lately,
    latest,
    page,
    put_off,
)
from tidings.core.automations.runs import CHAINED_MOST, DEPTH_MAX, Would, do, fail, would
from tidings.core.automations.triggers import NEEDS as TRIGGERS
from tidings.core.automations.triggers import normal_url, triggered
from tidings.core.automations.words import trigger_words

__all__ = [
    "ACTIONS",
    "CHAINED_MOST",
    "CONDITIONS",
    "DEPTH_MAX",
    "HOWS",
    "LATELY",
    "LISTED",
    "OCCASION",
    "PAGE",
    "RULES_MAX",
    "TRIGGERS",
    "Action",
    "Chain",
    "Checked",
    "Condition",
    "Due",
    "Rule",
    "Run",
    "Shape",
    "Shown",
    "Step",
    "Trigger",
    "Wish",
    "Would",
    "action_words",
    "all_rules",
    "chain",
    "change",
    "checked",
    "checked_action",
    "checked_condition",
    "checked_trigger",
    "condition_words",
    "counts",
    "create",
    "delete",
    "do",
    "due",
    "email_of",
    "fail",
    "find",
    "fold",
    "lately",
    "latest",
    "listed",
    "name_key",
    "normal_url",
    "page",
    "put_off",
    "show",
    "switch",
    "taken",
    "trigger_words",
    "triggered",
    "would",
]
