"""From a `Plan` to rows: one verb, all or nothing, that touches only what differs."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tidings.core import accounts
from tidings.declare import letters, people, rules, things
from tidings.declare.outcome import Known, Odd, Outcome, Report
from tidings.declare.reading import Refused
from tidings.declare.tables import Entry, Numbered
from tidings.declare.wanted import Plan
from tidings.errors import Problem
from tidings.store.tx import Tx

E = TypeVar("E", bound=Entry)


def declare(tx: Tx, plan: Plan) -> Report:
    """Bring the account at hand to what the plan says; raise `Refused` with the line of what cannot be."""
    accounts.get(tx)
    report = Report()
    if plan.account is not None:
        _run(report, plan, "account", [plan.account], lambda one: things.account(tx, one))
    _run(report, plan, "custom_fields", plan.custom_fields, lambda one: things.custom_field(tx, one))
    _run(report, plan, "tags", plan.tags, lambda one: things.tag(tx, one))
    _run(report, plan, "snippets", plan.snippets, lambda one: things.snippet(tx, one))
    _run(report, plan, "forms", plan.forms, lambda one: things.form(tx, one))
    _run(report, plan, "sequences", plan.sequences, lambda one: things.sequence(tx, one))
    known = Known(tx)
    notes = report.notes
    _run(report, plan, "subscribers", plan.subscribers, lambda one: people.subscriber(tx, one, known, notes))
    _run(report, plan, "broadcasts", plan.broadcasts, lambda one: letters.broadcast(tx, one, known))
    _run(report, plan, "purchases", plan.purchases, lambda one: people.purchase(tx, one))
    _run(report, plan, "webhooks", plan.webhooks, lambda one: things.webhook(tx, one, known))
    # After the people: what a file says of them is not what its rules wait for.
    _run(report, plan, "rules", plan.rules, lambda one: rules.rule(tx, one, known))
    return report


def _run(report: Report, plan: Plan, kind: str, entries: Sequence[E], step: Callable[[E], Outcome]) -> None:
    """Apply the entries of a kind; those with ids first, so that no fresh id takes theirs."""
    for entry in sorted(entries, key=lambda one: isinstance(one, Numbered) and one.id is None):
        try:
            report.count(kind, step(entry))
        except Odd as problem:
            line = problem.line or entry.lines.get(problem.key, entry.lines[""])
            raise Refused(plan.name, line, problem.message) from problem
        except Problem as problem:
            shown = "[account]" if kind == "account" else f"[[{kind}]]"
            raise Refused(plan.name, entry.lines[""], f"{shown}: {problem.message}") from problem
