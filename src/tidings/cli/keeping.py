"""The commands that keep the database as it should be: migrate, apply."""

import argparse
import contextlib
import sys

from tidings import declare
from tidings.cli.ground import Said, account_of, chosen, database, plain, say
from tidings.store import health
from tidings.store import migrate as migrations

FILE_MAX = 16 * 1_048_576


def migrate(args: argparse.Namespace) -> int:
    """Bring the database to this version."""
    with contextlib.closing(health.opened(chosen(args).database)) as db:
        ran = migrations.migrate(db, say)
    say(f"{ran} migrations ran" if ran else "the database is of this version already")
    return 0


def apply(args: argparse.Namespace) -> int:
    """Make and change what a file declares."""
    using = chosen(args)
    text = _text_of(args.file)
    name = "standard input" if args.file == "-" else plain(args.file)
    with database(using, makes=True) as db:
        declare.apply_text(db, account_of(db, args.account), text, say, name=name)
    return 0


def _text_of(file: str) -> str:
    """Return the text of a file or of standard input."""
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(FILE_MAX + 1)
        else:
            with open(file, "rb") as opened:
                raw = opened.read(FILE_MAX + 1)
    except OSError as problem:
        raise Said(f"{plain(file)} cannot be read: {problem.strerror}") from problem
    if len(raw) > FILE_MAX:
        raise Said(f"{plain(file)} is larger than {FILE_MAX // 1_048_576} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise Said(f"{plain(file)} is not UTF-8 text (byte {problem.start})") from problem
