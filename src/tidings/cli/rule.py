"""`tidings rule …`: rules on and off, what they did, and what one would do for somebody."""

import argparse
from typing import Any

from tidings.cli.ground import Said, account, plain, say, say_json, table, when
from tidings.core import automations, subscribers
from tidings.core.automations import Rule, Run, Shown, Would
from tidings.store.tx import Rx

Json = dict[str, Any]


def show_all(args: argparse.Namespace) -> int:
    """List the rules."""
    with account(args) as (db, account_id):
        found = db.read_now(account_id, _listed)
    if args.json:
        say_json([_facts(one, said) for one, said in found])
        return 0
    if not found:
        say("there is no rule yet; declare one in a file and run: tidings apply FILE.toml")
    table([(str(one.rule.id), _state(one), f"ran {one.ran:,}", one.rule.name, said) for one, said in found])
    return 0


def show(args: argparse.Namespace) -> int:
    """Show a rule, what it does and what it did."""
    with account(args) as (db, account_id):
        facts = db.read_now(account_id, _whole, args.id)
    if args.json:
        say_json(facts)
        return 0
    say(f"rule {facts['id']}: {plain(facts['name'])} ({facts['state']})")
    say(f"when somebody {plain(facts['when'])}")
    for condition in facts["if"]:
        say(f"  if that person {plain(condition)}")
    for at, action in enumerate(facts["then"], 1):
        say(f"  {at}. {plain(action)}")
    last = facts["last_ran_at"]
    say(f"ran {facts['ran']:,} times" + (f", last at {when(last)}" if last else ""))
    for state, n in facts["runs"].items():
        say(f"  {state}: {n:,}")
    if facts["problem"]:
        say(f"problem: {plain(facts['problem'])}")
    return 0


def on(args: argparse.Namespace) -> int:
    """Switch a rule on."""
    return _switch(args, on=True)


def off(args: argparse.Namespace) -> int:
    """Switch a rule off."""
    return _switch(args, on=False)


def try_one(args: argparse.Namespace) -> int:
    """Say what a rule would do for somebody, and do nothing."""
    with account(args) as (db, account_id):
        found = db.read_now(account_id, _would, args.id, args.email)
    if args.json:
        say_json(_would_facts(found))
        return 0
    for said, holds in found.conditions:
        say(f"{'yes' if holds else 'no '}  {plain(said)}")
    if not found.acts:
        say("nothing would happen: a condition does not hold")
        return 0
    say("this would happen:")
    for at, step in enumerate(found.steps, 1):
        say(f"  {at}. {plain(step.line)}")
    if not found.enabled:
        say("the rule is switched off")
    return 0


def runs(args: argparse.Namespace) -> int:
    """List a rule's runs, newest first."""
    with account(args) as (db, account_id):
        found = db.read_now(account_id, _runs, args.id, args.before)
    if args.json:
        say_json([{**_run_facts(one), "email_address": email} for one, email in found])
        return 0
    if not found:
        say("there is no run" + (" before it" if args.before else " yet"))
    table([(str(one.id), when(one.created_at), one.state, email, one.said) for one, email in found])
    if len(found) == automations.PAGE:
        say(f"more: --before {found[-1][0].id}")
    return 0


def delete(args: argparse.Namespace) -> int:
    """Delete a rule."""
    with account(args) as (db, account_id):
        db.write_now(account_id, automations.delete, args.id)
    say(f"rule {args.id} is deleted; what it did stays")
    return 0


def _switch(args: argparse.Namespace, *, on: bool) -> int:
    with account(args) as (db, account_id):
        one = db.write_now(account_id, automations.switch, args.id, on=on)
    if on:
        say(f"rule {one.id} is on: it acts on what happens from now")
    else:
        say(f"rule {one.id} is off: it does nothing, also for whom it had still to act")
    return 0


def _listed(rx: Rx) -> list[tuple[Shown, str]]:
    found = automations.all_rules(rx)
    return [(one, f"when somebody {automations.trigger_words(rx, one.rule.trigger)}") for one in found]


def _whole(rx: Rx, rule_id: int) -> Json:
    one = automations.show(rx, rule_id)
    facts = _facts(one, automations.trigger_words(rx, one.rule.trigger))
    facts["if"] = [automations.condition_words(rx, each) for each in one.rule.conditions]
    facts["then"] = [automations.action_words(rx, each) for each in one.rule.actions]
    facts["webhooks"] = [each.ref_id for each in one.rule.actions if each.kind == "post"]
    facts["runs"] = automations.counts(rx, rule_id)
    return facts


def _facts(one: Shown, said: str) -> Json:
    return {
        "id": one.rule.id,
        "name": one.rule.name,
        "state": _on(one.rule),
        "when": said.removeprefix("when somebody "),
        "ran": one.ran,
        "last_ran_at": one.last_ran_at,
        "problem": one.problem,
    }


def _would(rx: Rx, rule_id: int, email: str) -> Would:
    automations.find(rx, rule_id)
    who = subscribers.find(rx, email)
    if who is None:
        raise Said(f"nobody has the address {plain(email)[:254]}")
    return automations.would(rx, rule_id, who.id)


def _would_facts(found: Would) -> Json:
    return {
        "enabled": found.enabled,
        "acts": found.acts,
        "conditions": [{"said": said, "holds": holds} for said, holds in found.conditions],
        "actions": [{"said": one.said, "skipped": one.skipped or None} for one in found.steps],
    }


def _runs(rx: Rx, rule_id: int, before: int | None) -> list[tuple[Run, str]]:
    automations.find(rx, rule_id)
    found = automations.page(rx, rule_id, before=before)
    people = subscribers.by_ids(rx, [one.subscriber_id for one in found])
    return [(one, people[one.subscriber_id].email if one.subscriber_id in people else "") for one in found]


def _run_facts(one: Run) -> Json:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def _on(rule: Rule) -> str:
    return "on" if rule.enabled_at is not None else "off"


def _state(one: Shown) -> str:
    return f"{_on(one.rule)}, with a problem" if one.problem else _on(one.rule)
