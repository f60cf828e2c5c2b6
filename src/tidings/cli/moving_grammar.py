"""What may be typed to bring people in and to take them out."""

import argparse
from collections.abc import Callable
from typing import Protocol

from tidings.cli import exporting, importing
from tidings.cli.options import account, as_json
from tidings.core.subscribers import STATES


class Grammar(Protocol):
    """Where commands are added."""

    def command(
        self, name: str, command: Callable[[argparse.Namespace], int], text: str, example: str
    ) -> argparse.ArgumentParser: ...


def add(grammar: Grammar) -> None:
    """Add the commands that move people."""
    made = grammar.command(
        "import",
        importing.people,
        "bring in the people of a CSV file; it mails nobody, and goes on where it was stopped",
        "people.csv --dry-run --tag customer --create-fields",
    )
    made.add_argument("file", metavar="FILE.csv", help="the file, gzip too; any separator and encoding")
    text = "with FILE kit: the secret of the account to be pulled over the API v3"
    made.add_argument("--api-secret", metavar="S", help=text)
    made.add_argument("--url", default="https://api.convertkit.com", help="where it is; default: %(default)s")
    made.add_argument("--dry-run", action="store_true", help="count what would happen, and change nothing")
    for kind in ("tag", "form", "sequence"):
        more = "; a tag is made where it is missing" if kind == "tag" else ""
        more = "; as somebody who has been through it" if kind == "sequence" else more
        text = f"let everybody join this {kind}, by its name or #ID{more}"
        made.add_argument(f"--{kind}", metavar="NAME", action="append", help=text)
    text = "say what a column is: email, first_name, state, tags, created_at …, a field, or - for nothing"
    made.add_argument("--map", metavar="COLUMN=FIELD", type=_pair, action="append", help=text)
    made.add_argument("--state", choices=STATES, help="the state of everybody, whatever the file says")
    made.add_argument("--create-fields", action="store_true", help="make the custom fields that are missing")
    text = "make forms and sequences that are missing: forms that ask to confirm, sequences without emails"
    made.add_argument("--create-things", action="store_true", help=text)
    made.add_argument("--events", action="store_true", help="tell webhooks and rules of every newcomer")
    account(made)
    as_json(made)
    _export(grammar)


def _export(grammar: Grammar) -> None:
    made = grammar.command(
        "export",
        exporting.whole,
        "write the people of an account, or all of it, to a file",
        "people.csv --tag customer",
    )
    made.add_argument("file", metavar="FILE", nargs="?", help="a new file; without it, standard output")
    text = "subscribers, or all: what the owner made too, without secrets"
    made.add_argument("--what", choices=("subscribers", "all"), default="subscribers", help=text)
    for kind in ("tag", "form", "sequence"):
        text = f"only who is in this {kind}, by its name or #ID"
        made.add_argument(f"--{kind}", metavar="NAME", action="append", help=text)
    made.add_argument("--state", choices=STATES, help="only who is in this state")
    text = "csv, which import reads and no spreadsheet runs, or jsonl, an object a line"
    made.add_argument("--format", choices=("csv", "jsonl"), help=text)
    account(made)


def _pair(text: str) -> tuple[str, str]:
    column, equals, field = text.rpartition("=")
    if not equals or not column:
        raise argparse.ArgumentTypeError(f"must be such as 'Surname=last_name', not {text[:40]!r}")
    return column, field
