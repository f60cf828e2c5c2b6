"""`tidings export`: the people of an account, or all of it, as a file."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from tidings.cli.ground import Said, account, plain, say
from tidings.core.exporting import Wanted
from tidings.moving import names, outward
from tidings.moving.outward import KINDS
from tidings.store.db import Database


def whole(args: argparse.Namespace) -> int:
    """Write people, or everything, to a new file or to standard output."""
    everything = args.what == "all"
    form = args.format or ("jsonl" if everything else "csv")
    if everything and form == "csv":
        raise Said("a table holds people alone; take --format jsonl for all of an account")
    with account(args) as (db, account_id):
        wanted = _wanted(args, db, account_id)
        with _file(args.file) as to:
            if form == "csv":
                written = outward.as_csv(db, account_id, wanted, to)
            else:
                written = outward.as_lines(db, account_id, wanted, to, whole=everything)
    if args.file not in (None, "-"):
        say(f"{plain(args.file)}: {written:,} {'lines' if everything else 'people'}")
    return 0


def _wanted(args: argparse.Namespace, db: Database, account_id: int) -> Wanted:
    """Return who is meant: names, and #id, of what they are in."""
    known = names.Names(db, account_id, trial=True)
    ids: dict[str, frozenset[int]] = {}
    for kind in KINDS:
        given = tuple((kind, name) for name in getattr(args, kind) or ())
        found = known.of([(one,) for one in given])
        for (_, name), refs in zip(given, found, strict=True):
            # A trial gives what is not there a number below 0.
            if not refs or refs[0][1] < 0:
                raise Said(f"there is no {kind} {plain(name)}")
        ids[kind] = frozenset(ref_id for refs in found for _, ref_id in refs)
    return Wanted(ids["tag"], ids["form"], ids["sequence"], args.state or "")


@contextlib.contextmanager
def _file(path: str | None) -> Iterator[TextIO]:
    """Open a new file that nobody else may read, or standard output."""
    if path in (None, "-"):
        yield sys.stdout
        return
    assert path is not None  # noqa: S101 (looked at above)
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as problem:
        raise Said(f"{plain(path)} is there already") from problem
    try:
        with os.fdopen(made, "w", encoding="utf-8", newline="") as file:
            yield file
    except BaseException:
        # Half an export is taken for a whole one.
        os.unlink(path)
        raise
