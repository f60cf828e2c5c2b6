"""What may be typed: every command with its options, its help and an example."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from tidings.cli import commands

Command = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line on stderr, and ends with 2."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        """Print one line and end."""
        line = " ".join(message.split())
        self.exit(2, f"tidings: {line} (see: {self.prog} --help)\n")


def parser() -> Parser:
    """Return the whole grammar."""
    everywhere = _everywhere()
    top = Parser(
        prog="tidings",
        parents=[everywhere],
        description="Self-hosted email marketing that speaks the ConvertKit API v3.",
        epilog="example:\n  tidings serve --port 8080\n\neach command has its own: tidings COMMAND --help",
    )
    names = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    grammar = _Grammar(names, "tidings", everywhere)
    _running(grammar)
    _keeping(grammar)
    _looking(grammar)
    _accounts(grammar.group("account", "make and list accounts, rotate their secret"))
    _integrations(grammar.group("integration", "make, list and revoke integration keys"))
    return top


class _Grammar:
    """Adds commands to one level of names."""

    def __init__(self, names: Any, prog: str, everywhere: argparse.ArgumentParser) -> None:
        self._names = names
        self._prog = prog
        self._everywhere = everywhere

    def command(self, name: str, command: Command, text: str, example: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = self._names.add_parser(
            name,
            parents=[self._everywhere],
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example:\n  {self._prog} {name}{' ' if example else ''}{example}",
        )
        made.set_defaults(command=command)
        return made

    def group(self, name: str, text: str) -> "_Grammar":
        prog = f"{self._prog} {name}"
        made = self._names.add_parser(
            name, parents=[self._everywhere], help=text, epilog=f"example:\n  {prog} list"
        )
        names = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
        return _Grammar(names, prog, self._everywhere)


def _everywhere() -> argparse.ArgumentParser:
    """What every command takes. Without a default: a command's would overwrite what stands before it."""
    given = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    given.add_argument("--database", metavar="URL", help="sqlite:///FILE or postgresql://…; TIDINGS_DATABASE")
    given.add_argument("--config", metavar="FILE", help="a TOML file with settings (docs/settings.md)")
    return given


def _running(grammar: _Grammar) -> None:
    serve = grammar.command(
        "serve",
        commands.serve,
        "serve web pages and API, and run the engine that sends mail",
        "--host 127.0.0.1 --port 8080 --database sqlite:///data/tidings.db",
    )
    web = grammar.command("web", commands.web, "run one web process, without an engine", "--port 8080")
    for one in (serve, web):
        one.add_argument("--host", metavar="HOST", help="the address to listen on; TIDINGS_HOST")
        one.add_argument("--port", metavar="PORT", help="the port to listen on; TIDINGS_PORT")
    text = "on the first start, put a demonstration into the first account"
    serve.add_argument("--demo", action="store_true", help=text)
    engine = grammar.command(
        "engine",
        commands.engine,
        "run one engine, which sends mail",
        "--database postgresql://tidings@db/tidings",
    )
    engine.add_argument("--supervised", action="store_true", help="end when standard input ends")


def _keeping(grammar: _Grammar) -> None:
    grammar.command("migrate", commands.migrate, "bring the database to this version", "")
    apply = grammar.command(
        "apply",
        commands.apply,
        "make and change what a TOML file declares; applying it twice changes nothing",
        "examples/newsletter.toml --account 1",
    )
    apply.add_argument("file", metavar="FILE.toml", help="the file; - for standard input")
    _account(apply)


def _looking(grammar: _Grammar) -> None:
    _account(
        grammar.command("sign-in", commands.sign_in, "print a fresh one-time sign-in link", "--account 1")
    )
    _account(
        grammar.command("outbox", commands.outbox, "list the newest mail kept in the Outbox", "--account 1")
    )
    doctor = grammar.command(
        "doctor", commands.doctor, "check settings, database and DNS", "--dkim-selector mail"
    )
    doctor.add_argument("--dkim-selector", metavar="NAME", help="look for the DKIM key of this selector too")
    grammar.command("version", commands.version, "print the version", "")


def _accounts(grammar: _Grammar) -> None:
    create = grammar.command(
        "create",
        commands.create_account,
        "make an account and print its keys, the secret for the only time",
        '--name "Acme Corp." --email you@example.com',
    )
    create.add_argument("--name", required=True, help="the name that readers see")
    create.add_argument("--email", required=True, help="the address that mail is sent from")
    create.add_argument("--api-key", metavar="K", help="use this public key, for tests and moves")
    create.add_argument("--api-secret", metavar="S", help="use this secret, for tests and moves")
    _json(create)
    _json(grammar.command("list", commands.list_accounts, "list the accounts", ""))
    rotate = grammar.command(
        "rotate",
        commands.rotate,
        "give an account a fresh secret; the one before works for another 24 hours",
        "--account 1",
    )
    rotate.add_argument("--account", metavar="ID", type=_positive, required=True, help="the account")
    _json(rotate)


def _integrations(grammar: _Grammar) -> None:
    create = grammar.command(
        "create",
        commands.create_integration,
        "make an integration key for the whole installation and print it, for the only time",
        "--name Stripe --rate-limit 600",
    )
    create.add_argument("--name", required=True, help="whose key it is")
    create.add_argument("--key", metavar="K", help="use this key instead of a fresh one")
    text = "requests in any 60 seconds; without it TIDINGS_RATE_LIMIT counts"
    create.add_argument("--rate-limit", metavar="N", type=_positive, help=text)
    grammar.command("list", commands.list_integrations, "list the integrations", "")
    revoke = grammar.command("revoke", commands.revoke_integration, "let a key open nothing any more", "2")
    revoke.add_argument("id", metavar="ID", type=_positive, help="the number that `integration list` shows")


def _account(command: argparse.ArgumentParser) -> None:
    command.add_argument("--account", metavar="ID", type=_positive, help="the account; default: the only one")


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def _positive(text: str) -> int:
    # 15 digits stay far within 64 bits.
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text[:40]!r}")
    return int(text)
