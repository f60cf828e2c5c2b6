"""`tidings webhook …`: who is told of what, with which secret, and what became of it."""

import argparse
from typing import Any

from tidings import app
from tidings.cli.ground import Said, account, chosen, plain, say, say_json, table, when
from tidings.core import notices, webhooks
from tidings.core.notices import Attempt
from tidings.core.webhooks import Webhook, keys
from tidings.store.tx import Rx
from tidings.web.api_v3 import payloads

WHY = "disabled by its owner"
SHOWN = 5
PAGE = 50


def show_all(args: argparse.Namespace) -> int:
    """List the webhooks."""
    with account(args) as (db, account_id):
        found = db.read_now(account_id, _every)
    if args.json:
        say_json([_line(one) for one in found])
        return 0
    if not found:
        say("there is no webhook yet")
    table([(str(one.id), _state(one), _hears(one), one.target_url) for one in found])
    return 0


def show(args: argparse.Namespace) -> int:
    """Show a webhook, what waits for it and its last tries."""
    with account(args) as (db, account_id):
        one = db.read_now(account_id, webhooks.find, args.id)
        waiting = db.read_now(account_id, notices.queued, args.id)
        tried = db.read_now(account_id, notices.log, args.id, limit=SHOWN)
    if args.json:
        say_json({**_line(one), "waiting": waiting, "attempts": tried})
        return 0
    say(f"webhook {one.id}: {_hears(one)}")
    say(plain(f"posts to: {one.target_url}"))
    say(plain(f"state: {_state(one)}{f', {one.disabled_why}' if one.disabled_why else ''}"))
    if one.disabled_at is not None:
        say(f"disabled: {when(one.disabled_at)}")
    elif one.failing_since_at is not None:
        say(f"no success since: {when(one.failing_since_at)}")
    say(f"waiting: {waiting:,}")
    _say_tries(tried)
    return 0


def secret(args: argparse.Namespace) -> int:
    """Print the secret that signs for a webhook."""
    with account(args) as (db, account_id):
        one = db.read_now(account_id, webhooks.find, args.id)
        master = app.links(chosen(args), db).key
        _say_secret(args, account_id, one, master, db.clock())
    return 0


def rotate(args: argparse.Namespace) -> int:
    """Give a webhook a fresh secret and print it."""
    with account(args) as (db, account_id):
        master = app.links(chosen(args), db).key
        one = db.write_now(account_id, webhooks.rotate, args.id)
        _say_secret(args, account_id, one, master, db.clock())
    return 0


def enable(args: argparse.Namespace) -> int:
    """Let a webhook hear again."""
    with account(args) as (db, account_id):
        changed = db.write_now(account_id, webhooks.enable, args.id)
        one = db.read_now(account_id, webhooks.find, args.id)
    if args.json:
        say_json(_line(one))
    elif changed:
        say(f"webhook {args.id} hears again from now on")
        say(f"what it has missed: tidings webhook replay --webhook {args.id} --since TIME --failed")
    else:
        say(f"webhook {args.id} was enabled already")
    return 0


def disable(args: argparse.Namespace) -> int:
    """Let a webhook hear nothing."""
    with account(args) as (db, account_id):
        changed = db.write_now(account_id, webhooks.disable, args.id, WHY)
        one = db.read_now(account_id, webhooks.find, args.id)
    if args.json:
        say_json(_line(one))
    else:
        say(f"webhook {args.id} " + ("hears nothing from now on" if changed else "was disabled already"))
    return 0


def test(args: argparse.Namespace) -> int:
    """Queue a sample of a webhook's event."""
    with account(args) as (db, account_id):
        notice_id = db.write_now(account_id, notices.test, args.id, payloads.of_event)
    if args.json:
        say_json({"notice": notice_id})
        return 0
    say(f"notice {notice_id} is posted as soon as the engine runs; see: tidings webhook log {args.id}")
    return 0


def log(args: argparse.Namespace) -> int:
    """List the tries of a webhook."""
    with account(args) as (db, account_id):
        db.read_now(account_id, webhooks.find, args.id)
        tried = db.read_now(
            account_id, notices.log, args.id, before_id=args.before, failed=args.failed, limit=PAGE
        )
    if args.json:
        say_json(tried)
        return 0
    if not tried:
        say("there is no try" + (" before" if args.before else " of the last 30 days"))
    _say_tries(tried)
    if len(tried) == PAGE:
        say(f"more: --before {tried[-1].id}")
    return 0


def replay(args: argparse.Namespace) -> int:
    """Post one notice again, or a range of them."""
    if (args.notice is None) == (args.webhook is None):
        raise Said("say which: a NOTICE, or --webhook ID with --since TIME")
    if args.notice is not None and (args.since is not None or args.until is not None or args.failed):
        raise Said("--since, --until and --failed belong to --webhook")
    if args.webhook is not None and args.since is None:
        raise Said("--webhook needs --since TIME")
    with account(args) as (db, account_id):
        if args.notice is not None:
            db.write_now(account_id, notices.replay, args.notice)
            number = 1
        else:
            until = db.clock() if args.until is None else args.until
            number, after = 0, 0
            while True:
                part = db.write_now(
                    account_id,
                    notices.replay_range,
                    args.webhook,
                    args.since,
                    until,
                    after_id=after,
                    failed=args.failed,
                )
                number += part.n
                if part.last_id is None:
                    break
                after = part.last_id
    if args.json:
        say_json({"replayed": number})
    else:
        say(f"posted again as soon as the engine runs: {number:,}")
    return 0


def _every(rx: Rx) -> list[Webhook]:
    return webhooks.all_webhooks(rx, of_rules=True)


def _say_secret(args: argparse.Namespace, account_id: int, one: Webhook, master: bytes, now: int) -> None:
    """Print what signs now: the newest secret, and the one before while it signs too."""
    shown = [keys.shown(keys.secret(master, account_id, one.id, n)) for n in one.signers(now)]
    until = one.key_until_at if len(shown) > 1 else None
    if args.json:
        say_json({"secret": shown[0], "former_secret": shown[1] if until else None, "former_until_at": until})
        return
    say(f"secret: {shown[0]}")
    if until is not None:
        say(f"former secret, which signs too until {when(until)}: {shown[1]}")


def _line(one: Webhook) -> dict[str, Any]:
    """Return what is shown of a webhook as JSON: no secret."""
    names = ("id", "event", "subject", "subject_id", "value", "target_url", "rule_id")
    times = ("failing_since_at", "disabled_at", "disabled_why")
    return {name: getattr(one, name) for name in names} | {
        "state": _state(one),
        **{name: getattr(one, name) for name in times},
    }


def _state(one: Webhook) -> str:
    if one.disabled_at is not None:
        return "disabled"
    return "enabled" if one.failing_since_at is None else "failing"


def _hears(one: Webhook) -> str:
    """Return what a webhook hears, in a few words."""
    if one.rule_id is not None:
        return f"posts of rule {one.rule_id}"
    about = one.subject_id if one.subject_id is not None else one.value
    return one.event + (f" {one.subject}={about}" if one.subject else "")


def _say_tries(tried: list[Attempt]) -> None:
    rows = []
    for one in tried:
        said = "no answer" if one.status is None else str(one.status)
        first = (one.error or one.answer).strip().splitlines()[:1]
        rows.append(
            (
                when(one.at),
                f"notice {one.notice_id}",
                f"try {one.n}",
                said,
                f"{one.took_ms:,} ms",
                one.name or "",
                (first[0] if first else "")[:60],
            )
        )
    table(rows)
