"""The commands that keep the data safe: backup, restore, resume, check."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tidings.cli.ground import Said, chosen, database, plain, say, say_json
from tidings.core import checking, heartbeats
from tidings.core.accounts import INSTALLATION
from tidings.core.checking import Looked, Unsent
from tidings.settings import Settings
from tidings.store import backup, snapshot
from tidings.store.copying import Progress
from tidings.store.db import Database

DAY_MS = 86_400_000
RESTORED = "restored from a backup"
# Between two lines of progress, in seconds.
_OFTEN_S = 0.2


def back_up(args: argparse.Namespace) -> int:
    """Write a backup."""
    using = chosen(args)
    file: str = args.file
    with database(using) as db:
        key = db.pepper
    if args.with_key and not args.force and os.path.lexists(file + ".key"):
        raise Said(f"{plain(file)}.key is there already; give --force to write over it")
    if not args.force and os.path.lexists(file):
        raise Said(f"{plain(file)} is there already; give --force to write over it")
    with progress() as said:
        size = backup.back_up(using.database, file, said, replace=args.force)
    say(f"{plain(file)} holds the whole database ({size / 1_000_000:,.1f} MB)")
    if args.with_key:
        _write_key(file + ".key", key)
        say(f"{plain(file)}.key holds the master key: keep it apart, who has both can sign in and sign mail")
        return 0
    where = "TIDINGS_MASTER_KEY" if using.master_key else f"the file {_key_file(using)}"
    say(f"THE MASTER KEY IS NOT IN IT: keep {where} too. Without it links in mails that were sent,")
    say("webhook secrets and DKIM keys are lost, and who was erased is not recognised any more.")
    say("(--with-key writes it beside the backup.)")
    return 0


def restore(args: argparse.Namespace) -> int:
    """Make the database from a backup, where nothing is."""
    using = chosen(args)
    if not os.path.exists(args.file):
        raise Said(f"there is no file {plain(args.file)}")
    with progress() as said:
        waiting, counted = backup.restore(args.file, using.database, _prepare, said)
    if counted:
        rows = sum(one.target for one in counted)
        say(f"{len(counted)} tables were restored, {rows:,} rows: each counted twice, and the same")
    else:
        say(f"the database was restored to {plain(backup.file_of(using.database))}")
    _bring_key(using, args.file)
    _say_held(waiting)
    return 0


def resume(args: argparse.Namespace) -> int:
    """Let mail leave again."""
    with database(chosen(args)) as db:
        waiting = db.read_now(INSTALLATION, checking.unsent)
        released = db.write_now(INSTALLATION, heartbeats.release)
    say("mail and webhooks leave again" if released else "nothing was held")
    if waiting.broadcasts:
        say(f"{waiting.broadcasts} broadcasts are held, each until you say: tidings broadcast resume ID")
    return 0


def check(args: argparse.Namespace) -> int:
    """Look whether the database is sound."""
    using = chosen(args)
    with database(using) as db:
        repaired = db.write_now(INSTALLATION, checking.repair) if args.repair_counters else 0
        found = [Looked("storage, and rows that others refer to", tuple(backup.faults(using.database)))]
        keep_ms = using.keep_deliveries * DAY_MS
        folded_before_at = db.clock() - keep_ms if keep_ms else 0
        found += db.read_now(INSTALLATION, checking.look, folded_before_at=folded_before_at)
    wrong = sum(len(one.wrong) for one in found)
    if args.json:
        say_json({"ok": not wrong, "repaired": repaired, "looked_at": found})
        return 1 if wrong else 0
    if args.repair_counters:
        say(f"{repaired:,} counts were wrong and are set right")
    for one in found:
        say(f"{'WRONG' if one.wrong else 'fine':<6} {one.what}")
        for line in one.wrong:
            say(f"       {plain(line)}")
    say("the database is sound" if not wrong else f"{wrong} things are wrong")
    return 1 if wrong else 0


@contextlib.contextmanager
def progress() -> Iterator[Callable[[Progress], None]]:
    """Show how far a copy is, in one line on a terminal; elsewhere nothing."""
    shown = sys.stderr.isatty()
    last_s = 0.0

    def said(one: Progress) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if shown and now_s - last_s >= _OFTEN_S:
            last_s = now_s
            part = 100 * one.done // max(one.total, 1)
            left = f", {one.left_s:.0f} s left" if one.left_s else ""
            print(f"\r\x1b[K{part} % ({one.table}){left}", end="", file=sys.stderr, flush=True)

    try:
        yield said
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _prepare(db: Database) -> Unsent:
    """Hold what may have been sent since; say how much that is."""
    waiting = db.read_now(INSTALLATION, checking.unsent)
    held = db.write_now(INSTALLATION, heartbeats.hold, RESTORED)
    return Unsent(held, waiting.queued, waiting.steps, waiting.people, waiting.notices)


def _say_held(waiting: Unsent) -> None:
    say("")
    say("NO MAIL LEAVES UNTIL YOU SAY SO. What was sent after the backup was made, it does not know.")
    say(f"Repeated may be up to {waiting.most:,} mails and {waiting.notices:,} webhook posts:")
    say(f"  {waiting.queued:,} mails that were queued, {waiting.steps:,} due emails of sequences,")
    say(f"  up to {waiting.people:,} recipients that broadcasts still had to get.")
    say("Who was erased, unsubscribed or signed up after the backup is as before: do that again first.")
    say("When you have looked:   tidings resume")
    if waiting.broadcasts:
        say(f"{waiting.broadcasts} broadcasts are held beside it, each until:   tidings broadcast resume ID")


def _key_file(using: Settings) -> Path:
    """Return where the master key lies: beside the database file, or in this folder."""
    return Path(backup.file_of(using.database)).parent / "master.key"


def _bring_key(using: Settings, file: str) -> None:
    """Put the master key that lies beside a backup where it belongs; say so when there is none."""
    if using.master_key:
        say("the master key is TIDINGS_MASTER_KEY: it must be the one of the backup")
        return
    beside, place = Path(file + ".key"), _key_file(using)
    if place.exists():
        say(f"the master key is {plain(str(place))}: it must be the one of the backup")
    elif beside.exists():
        _write_key(str(place), beside.read_bytes().strip())
        say(f"the master key was put at {plain(str(place))}")
    else:
        say(f"THE MASTER KEY IS MISSING: put it at {plain(str(place))} before you start, or another is made")
        say("and links in mails that were sent, webhook secrets and DKIM keys are lost, and who was erased")
        say("is not recognised any more.")


def _write_key(file: str, key: bytes) -> None:
    with snapshot.whole(file, replace=True) as part:
        Path(part).write_bytes(key + b"\n")
