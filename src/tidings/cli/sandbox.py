"""The command that runs a sandbox, and what may be typed about it."""

import argparse
import errno
import json
from collections.abc import Callable
from typing import Protocol

import msgspec

from tidings import sandbox
from tidings.cli.ground import Said, say
from tidings.cli.options import as_json

PORT = 8080
PORT_MAX = 65_535
Command = Callable[[argparse.Namespace], int]


class Level(Protocol):
    """One level of names, to which commands are added."""

    def command(self, name: str, command: Command, text: str, example: str) -> argparse.ArgumentParser: ...


def add(grammar: Level) -> None:
    """Add the command."""
    made = grammar.command(
        "sandbox",
        run,
        "serve a throw-away Tidings to test against: fixed keys, nothing is kept, nothing leaves",
        "--port 8080",
    )
    text = f"the port to listen on, {PORT} without it; 0 takes a free one"
    made.add_argument("--port", metavar="PORT", type=_port, default=PORT, help=text)
    text = "what is there at first, as `tidings apply` takes it; without it a demonstration"
    made.add_argument("--seed", metavar="FILE.toml", help=text)
    text = "answer as many requests as come; without it 120 in 60 seconds, as in production"
    made.add_argument("--no-rate-limit", action="store_true", help=text)
    made.add_argument("--supervised", action="store_true", help="end when standard input ends")
    as_json(made)


def run(args: argparse.Namespace) -> int:
    """Run a sandbox until it is stopped."""
    for name in ("database", "config"):
        if getattr(args, name, None) is not None:
            raise Said(f"a sandbox has its own database and no settings; leave out --{name}")
    wanted = sandbox.Wanted(
        port=args.port,
        seed=args.seed,
        rate_limit=0 if args.no_rate_limit else sandbox.RATE_LIMIT,
        supervised=args.supervised,
    )
    try:
        return sandbox.run(wanted, _say_json if args.json else _say)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise Said(f"port {args.port} is in use; choose another with --port") from problem
        raise


def _say(ready: sandbox.Ready) -> None:
    say(
        f"A Tidings sandbox is at {ready.base_url}/ (stop with Ctrl-C)\n"
        "Nothing is kept, no mail leaves, and webhooks reach this machine alone.\n\n"
        f"  export API_KEY={ready.api_key}\n"
        f"  export API_SECRET={ready.api_secret}\n\n"
        f"Give a ConvertKit client {ready.base_url}/v3 in place of https://api.convertkit.com/v3, such as:\n"
        f'  curl "{ready.base_url}/v3/forms?api_key={ready.api_key}"\n'
        f"Turn its clock, see its mail, have it fail: {ready.base_url}/sandbox (docs/sandbox.md)"
    )


def _say_json(ready: sandbox.Ready) -> None:
    say(json.dumps(msgspec.to_builtins(ready)))


def _port(typed: str) -> int:
    if not typed.isascii() or not typed.isdigit() or len(typed) > 5 or int(typed) > PORT_MAX:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to {PORT_MAX:,}, not {typed[:40]!r}")
    return int(typed)
