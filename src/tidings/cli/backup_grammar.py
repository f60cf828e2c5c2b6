"""What may be typed to keep a database safe: backup, restore, resume, check, move."""

import argparse
from collections.abc import Callable
from typing import Protocol

from tidings.cli import backup, moving
from tidings.cli.options import as_json as _json

Command = Callable[[argparse.Namespace], int]


class Grammar(Protocol):
    """Adds a command (see `grammar`)."""

    def command(self, name: str, command: Command, text: str, example: str) -> argparse.ArgumentParser: ...


def add(grammar: Grammar) -> None:
    """Add the commands."""
    made = grammar.command(
        "backup", backup.back_up, "write the whole database to a file, while it serves", "backups/monday.db"
    )
    made.add_argument("file", metavar="FILE", help="a new file, which only its owner can read")
    made.add_argument("--force", action="store_true", help="write over a file that is there")
    text = "write the master key beside it, to FILE.key: who has both can sign in and sign mail"
    made.add_argument("--with-key", action="store_true", help=text)
    text = "make the database from a backup, where nothing is; no mail leaves until you say: tidings resume"
    made = grammar.command(
        "restore", backup.restore, text, "backups/monday.db --database sqlite:///data/tidings.db"
    )
    made.add_argument("file", metavar="FILE", help="what `tidings backup` has written")
    grammar.command("resume", backup.resume, "let mail leave again after a restore", "")
    made = grammar.command("check", backup.check, "look whether the database is sound; 1 when it is not", "")
    _json(made)
    text = "first set wrong counts to what there is; whoever writes waits for some seconds"
    made.add_argument("--repair-counters", action="store_true", help=text)
    made = grammar.command(
        "move",
        moving.move,
        "copy everything into another, empty database, while nothing runs",
        "--to postgresql://tidings@db/tidings",
    )
    text = "where to: postgresql://… or sqlite:///FILE"
    made.add_argument("--to", metavar="URL", required=True, help=text)
