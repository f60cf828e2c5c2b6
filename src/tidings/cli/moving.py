"""The command that moves everything to another database."""

import argparse
import contextlib

from tidings.cli import backup as showing
from tidings.cli.ground import Said, chosen, database, plain, say, table
from tidings.core import checking, heartbeats
from tidings.core.accounts import INSTALLATION
from tidings.store import backup, health
from tidings.store.copying import Counted

MOVED = "it was moved to another database"


def move(args: argparse.Namespace) -> int:
    """Copy everything into another, empty database, while nothing runs."""
    using = chosen(args)
    source, target = using.database, str(args.to)
    missing = health.absent(source)
    if missing is not None:
        raise Said(f"there is no database {plain(missing)}")
    if source == target:
        raise Said("--to is where the database is already")
    if backup.in_use(source):
        raise Said("Tidings works on this database; stop `tidings serve`, web and engine processes first")
    backup.refuse_taken(target)
    with database(using):
        pass
    with backup.read_only(source), showing.progress() as said:
        counted = backup.transfer(source, target, said)
    # Whoever is started on the old one by mistake sends nothing.
    with contextlib.closing(health.opened(source)) as db:
        db.write_now(INSTALLATION, heartbeats.hold, MOVED)
    with contextlib.closing(health.opened(target)) as db:
        db.write_now(INSTALLATION, heartbeats.hold, MOVED)
        db.write_now(INSTALLATION, heartbeats.release)
        held = db.read_now(INSTALLATION, checking.unsent).broadcasts
    _say_moved(counted, target, held)
    return 0


def _say_moved(counted: list[Counted], target: str, broadcasts: int) -> None:
    table(
        [("table", "here", "there")]
        + [(one.table, f"{one.source:,}", f"{one.target:,}") for one in counted if one.source]
    )
    rows = sum(one.target for one in counted)
    say(f"{len(counted)} tables, {rows:,} rows: counted on both sides, and the same")
    # An address of a server may hold a password.
    shown = target if backup.file_of(target) else "the address that you gave"
    say(f"Now set TIDINGS_DATABASE to {plain(shown)}, keep the same master key (TIDINGS_MASTER_KEY, or")
    say("the file master.key beside the new database) and start Tidings.")
    say("The old database stays as it was and sends nothing more; `tidings resume` there would let it.")
    if broadcasts:
        say(f"{broadcasts} broadcasts that were under way are held: tidings broadcast resume ID")
