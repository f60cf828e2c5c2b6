"""What may be typed about webhooks."""

import argparse
from collections.abc import Callable
from typing import Protocol

from tidings.cli import webhook
from tidings.cli.options import account, as_json, moment, positive

Command = Callable[[argparse.Namespace], int]


class Level(Protocol):
    """One level of names, to which commands are added."""

    def command(self, name: str, command: Command, text: str, example: str) -> argparse.ArgumentParser: ...


def add(grammar: Level) -> None:
    """Add the commands about webhooks."""
    every = grammar.command("list", webhook.show_all, "list the webhooks, rules' own included", "")
    account(every)
    as_json(every)
    _of_one(grammar, "show", webhook.show, "show a webhook, what waits for it and its last tries")
    _of_one(grammar, "secret", webhook.secret, "print the secret that signs for a webhook")
    text = "give a webhook a fresh secret and print it; the one before signs too for 24 hours"
    _of_one(grammar, "rotate", webhook.rotate, text)
    _of_one(grammar, "enable", webhook.enable, "let a disabled webhook hear again from now on")
    _of_one(grammar, "disable", webhook.disable, "let a webhook hear nothing, and drop what waits for it")
    _of_one(grammar, "test", webhook.test, "post a sample of the webhook's event, about nobody")
    log = _of_one(
        grammar, "log", webhook.log, "list the tries of the last 30 days, newest first", "7 --failed"
    )
    log.add_argument("--failed", action="store_true", help="only those that failed")
    text = "go on before the number that the page before ends with"
    log.add_argument("--before", metavar="N", type=positive, help=text)
    _replay(grammar)


def _replay(grammar: Level) -> None:
    replay = grammar.command(
        "replay",
        webhook.replay,
        "post one notice again, or all of a webhook from a time on, under the same webhook-id",
        "--webhook 7 --since 2026-12-01T09:00 --failed",
    )
    replay.add_argument(
        "notice", metavar="NOTICE", nargs="?", type=positive, help="as `webhook log` shows it"
    )
    replay.add_argument("--webhook", metavar="ID", type=positive, help="all that this webhook was to be told")
    text = "from this time on: UTC, or with an offset such as 2026-12-01T09:00+01:00"
    replay.add_argument("--since", metavar="TIME", type=moment, help=text)
    replay.add_argument("--until", metavar="TIME", type=moment, help="up to this time; without it, now")
    text = "only what was never told: failed, or dropped while the webhook was disabled"
    replay.add_argument("--failed", action="store_true", help=text)
    account(replay)
    as_json(replay)


def _of_one(
    grammar: Level, name: str, command: Command, text: str, example: str = "7"
) -> argparse.ArgumentParser:
    """Add a command about one webhook."""
    made = grammar.command(name, command, text, example)
    made.add_argument("id", metavar="ID", type=positive, help="the webhook, as `webhook list` shows it")
    account(made)
    as_json(made)
    return made
