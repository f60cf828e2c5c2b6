"""What every command stands on: its settings, its database, its account, and how it says things."""

import argparse
import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from tidings import app, settings
from tidings.core import accounts
from tidings.core.accounts import INSTALLATION
from tidings.settings import Settings
from tidings.store import health
from tidings.store import migrate as migrations
from tidings.store.db import Database

NAME_MAX = 255


class Said(Exception):
    """A command cannot do what it was asked for; the text is for a person."""


def chosen(args: argparse.Namespace) -> Settings:
    """Return the settings: what was typed wins over the environment, that over the file."""
    return settings.load({**os.environ, **given(args)}, getattr(args, "config", None))


def given(args: argparse.Namespace) -> dict[str, str]:
    """Return the settings that were typed, under the names of the environment."""
    names = ("host", "port", "database")
    found = {name: getattr(args, name, None) for name in names}
    return {f"TIDINGS_{name.upper()}": value for name, value in found.items() if value is not None}


@contextlib.contextmanager
def database(using: Settings, *, makes: bool = False) -> Iterator[Database]:
    """Open a migrated database; with `makes`, an empty one is migrated first."""
    missing = health.absent(using.database)
    if missing is not None and not makes:
        raise Said(f"there is no database {missing} yet; run: tidings migrate")
    with contextlib.closing(health.opened(using.database)) as db:
        if makes and health.is_empty(db):
            migrations.migrate(db)
        migrations.check(db)
        db.pepper = app.master_key(using, db)
        yield db


@contextlib.contextmanager
def account(args: argparse.Namespace) -> Iterator[tuple[Database, int]]:
    """Open the database for the account that is meant: the one given, or the only one."""
    with database(chosen(args)) as db:
        yield db, account_of(db, args.account)


def account_of(db: Database, typed: int | None) -> int:
    """Return the account that is meant: the one given, or the only one."""
    ids = [one.id for one in db.read_now(INSTALLATION, accounts.all_accounts)]
    if typed is not None:
        if typed not in ids:
            raise Said(f"there is no account {typed}; see: tidings account list")
        return typed
    if not ids:
        raise Said("there is no account yet; run: tidings account create")
    if len(ids) > 1:
        raise Said(f"there are {len(ids)} accounts; choose one with --account ID")
    return ids[0]


def name_of(typed: str) -> str:
    """Return a name as it is kept: one line that can be shown."""
    name = typed.strip()
    if not name or not name.isprintable() or len(name) > NAME_MAX:
        raise Said(f"the name must be one line of 1 to {NAME_MAX} printable characters")
    return name


def plain(text: str) -> str:
    """Return text that cannot steer a terminal: whatever is not printable becomes a question mark."""
    return "".join(one if one.isprintable() else "?" for one in text)


def when(at: int) -> str:
    """Return a time in epoch ms as people read it."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def people(number: int) -> str:
    """Return how many people, in words."""
    return "1 person" if number == 1 else f"{number:,} people"


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns."""
    shown = [tuple(map(plain, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def say_json(value: object) -> None:
    """Print a value as JSON."""
    say(json.dumps(msgspec.to_builtins(value), indent=2))


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)
