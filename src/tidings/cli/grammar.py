"""What may be typed: every command with its options, its help and an example."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from tidings.cli import (
    account,
    backup_grammar,
    broadcast,
    dkim,
    integration,
    keeping,
    looking,
    moving_grammar,
    person,
    rule,
    running,
    sandbox,
    webhook_grammar,
)
from tidings.cli.options import account as _account
from tidings.cli.options import as_json as _json
from tidings.cli.options import moment
from tidings.cli.options import positive as _positive
from tidings.mail import phrases

# What a broadcast's audience is made of.
KINDS = ("tag", "form", "sequence")
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
    sandbox.add(grammar)
    _keeping(grammar)
    backup_grammar.add(grammar)
    _looking(grammar)
    moving_grammar.add(grammar)
    accounts = grammar.group("account", "make, show and change accounts, rotate their secret")
    _accounts(accounts)
    _account_update(accounts)
    broadcasts = grammar.group("broadcast", "send broadcasts, stop them, and see what became of them")
    _broadcasts(broadcasts)
    _broadcast_people(broadcasts)
    _signing(grammar.group("dkim", "make, list and retire the keys that sign mail"))
    _people(grammar.group("person", "show, export and erase one subscriber", "show bea@example.com"))
    _integrations(grammar.group("integration", "make, list and revoke integration keys"))
    webhook_grammar.add(grammar.group("webhook", "see what webhooks are told, sign, test and replay"))
    _rules(grammar.group("rule", "switch rules on and off, try them, and see what they did"))
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

    def group(self, name: str, text: str, example: str = "list") -> "_Grammar":
        prog = f"{self._prog} {name}"
        made = self._names.add_parser(
            name, parents=[self._everywhere], help=text, epilog=f"example:\n  {prog} {example}"
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
        running.serve,
        "serve web pages and API, and run the engine that sends mail",
        "--host 127.0.0.1 --port 8080 --database sqlite:///data/tidings.db",
    )
    web = grammar.command("web", running.web, "run one web process, without an engine", "--port 8080")
    for one in (serve, web):
        one.add_argument("--host", metavar="HOST", help="the address to listen on; TIDINGS_HOST")
        one.add_argument("--port", metavar="PORT", help="the port to listen on; TIDINGS_PORT")
    text = "on the first start, put a demonstration into the first account"
    serve.add_argument("--demo", action="store_true", help=text)
    engine = grammar.command(
        "engine",
        running.engine,
        "run one engine, which sends mail",
        "--database postgresql://tidings@db/tidings",
    )
    engine.add_argument("--supervised", action="store_true", help="end when standard input ends")


def _keeping(grammar: _Grammar) -> None:
    grammar.command("migrate", keeping.migrate, "bring the database to this version", "")
    apply = grammar.command(
        "apply",
        keeping.apply,
        "make and change what a TOML file declares; applying it twice changes nothing",
        "examples/newsletter.toml --account 1",
    )
    apply.add_argument("file", metavar="FILE.toml", help="the file; - for standard input")
    _account(apply)


def _looking(grammar: _Grammar) -> None:
    _account(
        grammar.command("sign-in", looking.sign_in, "print a fresh one-time sign-in link", "--account 1")
    )
    _account(
        grammar.command("outbox", looking.outbox, "list the newest mail kept in the Outbox", "--account 1")
    )
    doctor = grammar.command(
        "doctor", looking.doctor, "check settings, database and DNS", "--dkim-selector mail"
    )
    doctor.add_argument("--dkim-selector", metavar="NAME", help="look for the DKIM key of this selector too")
    grammar.command("version", looking.version, "print the version", "")


def _accounts(grammar: _Grammar) -> None:
    create = grammar.command(
        "create",
        account.create,
        "make an account and print its keys, the secret for the only time",
        '--name "Acme Corp." --email you@example.com',
    )
    create.add_argument("--name", required=True, help="the name that readers see")
    create.add_argument("--email", required=True, help="the address that mail is sent from")
    create.add_argument("--api-key", metavar="K", help="use this public key, for tests and moves")
    create.add_argument("--api-secret", metavar="S", help="use this secret, for tests and moves")
    _json(create)
    _json(grammar.command("list", account.show_all, "list the accounts", ""))
    rotate = grammar.command(
        "rotate",
        account.rotate,
        "give an account a fresh secret; the one before works for another 24 hours",
        "--account 1",
    )
    rotate.add_argument("--account", metavar="ID", type=_positive, required=True, help="the account")
    _json(rotate)


def _account_update(grammar: _Grammar) -> None:
    show = grammar.command("show", account.show, "show an account and what holds for its mail", "--account 1")
    _account(show)
    _json(show)
    update = grammar.command(
        "update",
        account.update,
        "change an account; what is not given stays",
        '--address "Acme Corp., 1 Main Street, Springfield" --time-zone Europe/Berlin',
    )
    _account(update)
    update.add_argument("--name", help="the name that readers see")
    update.add_argument("--email", help="the address that mail is sent from")
    update.add_argument("--address", metavar="TEXT", help="the postal address that every bulk mail shows")
    text = "whose clock sequences go by, such as Europe/Berlin"
    update.add_argument("--time-zone", metavar="ZONE", help=text)
    text = "the language of our own words to readers: footers, confirmations, the pages of links"
    update.add_argument("--language", choices=phrases.LANGUAGES, help=text)
    text = "when nobody knows whether a mail arrived: send it once more after 15 minutes, or never"
    update.add_argument("--ambiguity", choices=("retry-once", "hold"), help=text)
    for what in ("opens", "clicks"):
        text = f"keep who {what.rstrip('s')}s, or nothing of it"
        update.add_argument(f"--track-{what}", choices=("on", "off"), help=text)


def _broadcasts(grammar: _Grammar) -> None:
    every = grammar.command("list", broadcast.show_all, "list broadcasts, newest first", "--page 2")
    every.add_argument("--page", metavar="N", type=_positive, default=1, help="50 are on a page")
    _account(every)
    _json(every)
    show = _of_one(grammar, "show", broadcast.show, "show a broadcast with its numbers and its links")
    _json(show)
    send = _of_one(
        grammar, "send", broadcast.send, "send a broadcast now or at a time", "7 --at 2026-12-01T09:00"
    )
    text = "when: UTC, or with an offset such as 2026-12-01T09:00+01:00; without it, now"
    send.add_argument("--at", metavar="TIME", type=moment, help=text)
    _of_one(grammar, "pause", broadcast.pause, "stop a broadcast until it is resumed")
    _of_one(grammar, "resume", broadcast.resume, "let a paused broadcast go on")
    _of_one(
        grammar,
        "cancel",
        broadcast.cancel,
        "end a broadcast: a scheduled one is a draft again, of one being sent nobody else gets it",
    )
    _of_one(grammar, "retry", broadcast.retry, "try again those who failed for good, and nobody else")


def _broadcast_people(grammar: _Grammar) -> None:
    people = _of_one(
        grammar, "recipients", broadcast.recipients, "list what became of each recipient", "7 --unsent"
    )
    people.add_argument("--unsent", action="store_true", help="only who failed or is uncertain")
    text = "go on after the number that the page before ends with"
    people.add_argument("--after", metavar="N", type=_positive, default=0, help=text)
    _json(people)
    audience = _of_one(
        grammar,
        "audience",
        broadcast.audience,
        "choose whom a broadcast goes to, or show it",
        "7 --include tag:customer,form:2765139 --exclude tag:workshop",
    )
    text = "who gets it: tag:, form: or sequence: with an id or a name, joined by commas"
    audience.add_argument("--include", metavar="LIST", type=_parts, action="extend", help=text)
    text = "who does not, whatever else they are in"
    audience.add_argument("--exclude", metavar="LIST", type=_parts, action="extend", help=text)
    audience.add_argument("--everyone", action="store_true", help="everybody active, as at first")


def _signing(grammar: _Grammar) -> None:
    create = grammar.command(
        "create",
        dkim.create,
        "make a key that signs the mail of a domain, and print its DNS record",
        "--domain example.com --selector tidings",
    )
    _account(create)
    create.add_argument("--domain", required=True, help="the domain of the address that mail is sent from")
    text = "the key's name in the DNS; default: tidings, for ed25519 tidings-ed"
    create.add_argument("--selector", metavar="NAME", help=text)
    text = "rsa (2048 bits) is understood everywhere; ed25519 stands beside it"
    create.add_argument("--kind", choices=("rsa", "ed25519"), default="rsa", help=text)
    _account(grammar.command("list", dkim.show_all, "list the keys that sign, with their DNS records", ""))
    retire = grammar.command("retire", dkim.retire, "let a key sign no more", "2")
    _account(retire)
    retire.add_argument("id", metavar="ID", type=_positive, help="the number that `dkim list` shows")


def _people(grammar: _Grammar) -> None:
    show = _of_person(
        grammar, "show", person.show, "show what happened to a person and by whom, newest first"
    )
    show.add_argument("--before", metavar="PLACE", help="go on with what the page before ends with")
    _json(show)
    export = _of_person(
        grammar,
        "export",
        person.export,
        "write all that is kept of a person as JSON",
        "bea@example.com bea.json",
    )
    export.add_argument("file", metavar="FILE", nargs="?", help="a new file; without it, standard output")
    erase = _of_person(
        grammar,
        "erase",
        person.erase,
        "erase a person for ever, and keep them from being mailed again",
        "bea@example.com --yes",
    )
    erase.add_argument("--yes", action="store_true", help="yes, for ever")


def _of_person(
    grammar: _Grammar, name: str, command: Command, text: str, example: str = "bea@example.com"
) -> argparse.ArgumentParser:
    """Add a command about one person."""
    made = grammar.command(name, command, text, example)
    made.add_argument("email", metavar="EMAIL", help="the address that they signed up with")
    _account(made)
    return made


def _of_one(
    grammar: _Grammar, name: str, command: Command, text: str, example: str = "7"
) -> argparse.ArgumentParser:
    """Add a command about one broadcast."""
    made = grammar.command(name, command, text, example)
    made.add_argument("id", metavar="ID", type=_positive, help="the broadcast, as `broadcast list` shows it")
    _account(made)
    return made


def _integrations(grammar: _Grammar) -> None:
    create = grammar.command(
        "create",
        integration.create,
        "make an integration key for the whole installation and print it, for the only time",
        "--name Stripe --rate-limit 600",
    )
    create.add_argument("--name", required=True, help="whose key it is")
    create.add_argument("--key", metavar="K", help="use this key instead of a fresh one")
    text = "requests in any 60 seconds; without it TIDINGS_RATE_LIMIT counts"
    create.add_argument("--rate-limit", metavar="N", type=_positive, help=text)
    grammar.command("list", integration.show_all, "list the integrations", "")
    revoke = grammar.command("revoke", integration.revoke, "let a key open nothing any more", "2")
    revoke.add_argument("id", metavar="ID", type=_positive, help="the number that `integration list` shows")


def _rules(grammar: _Grammar) -> None:
    every = grammar.command("list", rule.show_all, "list the rules", "")
    _account(every)
    _json(every)
    _json(_of_rule(grammar, "show", rule.show, "show a rule, what it does and what it did"))
    _of_rule(grammar, "on", rule.on, "switch a rule on: it acts on what happens from then")
    _of_rule(grammar, "off", rule.off, "switch a rule off")
    text = "say what a rule would do for somebody, and do nothing"
    trial = _of_rule(grammar, "try", rule.try_one, text, "7 arya@example.com")
    trial.add_argument("email", metavar="EMAIL", help="the address of the person")
    _json(trial)
    done = _of_rule(grammar, "runs", rule.runs, "list for whom a rule ran and what it did, newest first")
    text = "go on before the number that the page before ends with"
    done.add_argument("--before", metavar="N", type=_positive, help=text)
    _json(done)
    _of_rule(grammar, "delete", rule.delete, "delete a rule; what it did stays")


def _of_rule(
    grammar: _Grammar, name: str, command: Command, text: str, example: str = "7"
) -> argparse.ArgumentParser:
    """Add a command about one rule."""
    made = grammar.command(name, command, text, example)
    made.add_argument("id", metavar="ID", type=_positive, help="the rule, as `rule list` shows it")
    _account(made)
    return made


def _parts(text: str) -> list[str]:
    """Read `tag:12,form:Newsletter`."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        kind, colon, ref = word.partition(":")
        if kind not in KINDS or not colon or not ref.strip():
            raise argparse.ArgumentTypeError(
                f"must be such as tag:12 or form:Newsletter ({', '.join(KINDS)}), not {word[:40]!r}"
            )
    return words
