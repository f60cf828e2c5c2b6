"""`tidings person …`: one subscriber's history, all that is kept of them, and their erasure."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import msgspec

from tidings import app
from tidings.cli.ground import Said, account_of, chosen, database, plain, say, say_json, when
from tidings.core import erasure, history, subscribers
from tidings.core.events import Origin
from tidings.core.history import Cursor
from tidings.core.subscribers import Subscriber
from tidings.store.db import Database

ORIGIN = Origin("command")


def show(args: argparse.Namespace) -> int:
    """Show one page of a person's history, newest first."""
    before = _place(args.before) if args.before else None
    with _person(args) as (db, account_id, who):
        found = db.read_now(account_id, history.page, who.id, before=before)
    if args.json:
        say_json({"subscriber": who, "moments": found.moments, "older": _written(found.older)})
        return 0
    say(plain(f"subscriber {who.id}: {who.email}, {who.first_name or 'no name'}, {who.state}"))
    for key, value in who.fields.items():
        if value is not None:
            say(plain(f"  {key}: {value}"))
    for one in found.moments:
        cause = f" (by {one.cause})" if one.cause else ""
        detail = f": {one.detail}" if one.detail else ""
        say(f"{when(one.at)}  {plain(f'{one.kind:8} {one.title}{detail}{cause}')}")
    if found.older:
        say(f"older: tidings person show {plain(args.email)} --before {_written(found.older)}")
    return 0


def export(args: argparse.Namespace) -> int:
    """Write all that is kept of a person as JSON, a slice in memory at a time."""
    with _person(args) as (db, account_id, who):
        if args.file in (None, "-"):
            _write(db, account_id, who.id, sys.stdout)
            return 0
        try:
            # Nobody else's to read, and nothing of ours is overwritten.
            made = os.open(args.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as problem:
            raise Said(f"{plain(args.file)} is there already") from problem
        with os.fdopen(made, "w", encoding="utf-8") as file:
            _write(db, account_id, who.id, file)
    say(f"{plain(args.file)} holds all that is kept of subscriber {who.id}")
    return 0


def erase(args: argparse.Namespace) -> int:
    """Erase a person, but for a keyed hash that keeps them from being mailed again."""
    with _person(args) as (db, account_id, who):
        if not args.yes:
            raise Said(
                f"subscriber {who.id} ({plain(who.email)}) would be erased for ever; export them first if"
                " they asked for it, then add --yes"
            )
        erasure_id = db.write_now(account_id, erasure.erase, who.id, ORIGIN)
        while db.write_now(account_id, erasure.step, erasure_id):
            pass
        clean = db.scrub(erasure.TABLES)
    say(f"subscriber {who.id} is erased, and will not be mailed again unless they confirm that they want to")
    minutes = erasure.LATE_MS // 60_000
    left = "" if clean else "; somebody is reading the database, so its log is emptied then"
    say(f"the engine looks once more in {minutes} minutes for what was on its way{left}")
    return 0


@contextlib.contextmanager
def _person(args: argparse.Namespace) -> Iterator[tuple[Database, int, Subscriber]]:
    """Open the database, with the master key, for the person that is meant."""
    using = chosen(args)
    with database(using) as db:
        db.pepper = app.master_key(using, db)
        account_id = account_of(db, args.account)
        who = db.read_now(account_id, subscribers.find, args.email)
        if who is None:
            raise Said(f"nobody has the address {plain(args.email)}")
        yield db, account_id, who


def _write(db: Database, account_id: int, subscriber_id: int, to: TextIO) -> None:
    """Write an export, part by part."""
    whole = db.read_now(account_id, history.person, subscriber_id)
    to.write("{\n")
    for name, value in whole.items():
        to.write(f"{json.dumps(name)}: {_json(value)},\n")
    for part in history.PARTS:
        to.write(f"{json.dumps(part)}: [")
        after_id, mark = 0, "\n"
        while rows := db.read_now(account_id, history.export_slice, subscriber_id, part, after_id):
            for row in rows:
                to.write(f"{mark}{_json(row)}")
                mark = ",\n"
            after_id = rows[-1]["id"]
        to.write("]\n" if part == history.PARTS[-1] else "],\n")
    to.write("}\n")


def _json(value: Any) -> str:
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=True)


def _written(place: Cursor | None) -> str | None:
    return f"{place.at}.{place.rank}.{place.id}" if place else None


def _place(typed: str) -> Cursor:
    """Read what `_written` wrote."""
    parts = typed.split(".")
    # 15 digits stay far within 64 bits.
    if len(parts) != 3 or not all(one.isascii() and one.isdigit() and len(one) <= 15 for one in parts):
        raise Said("--before must be what the page before ends with")
    return Cursor(*map(int, parts))
