"""`tidings import`: people of a file, or of another account, brought in beside a working server."""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator

from tidings import app, failpoints
from tidings.cli.ground import Said, account_of, chosen, database, plain, say, say_json
from tidings.core.importing import Tally, Wishes
from tidings.moving import course, formats, kit
from tidings.moving.course import Opened
from tidings.moving.formats import FIELD, Wrong
from tidings.moving.source import Unreadable
from tidings.store.db import Database

KINDS = ("tag", "form", "sequence")
_MAKING = "; --create-things makes what is missing"
# How often a terminal is told.
SHOWN_S = 0.2


def people(args: argparse.Namespace) -> int:
    """Bring in the people of a file, or say what that would do; `kit` is another account."""
    if args.file == "kit":
        return _kit(args)
    wishes = Wishes(
        mapped=dict(args.map or []),
        state=args.state or "",
        also=tuple(
            (kind, name) for kind in ("tag", "form", "sequence") for name in getattr(args, kind) or ()
        ),
        create_fields=args.create_fields,
        create_things=args.create_things,
        aloud=args.events,
    )
    with _opened(args) as (db, account_id), _told():
        file = course.opened(args.file, wishes)
        if not args.json:
            _describe(file, wishes)
        shown = _Shown()
        if args.dry_run:
            tried = course.trial(db, account_id, file, wishes, shown)
            shown.end()
            return _report(args, "would be", tried.tally, tried.unknown, sorted(tried.missing))
        one, unknown = course.run(db, account_id, file, wishes, shown)
        shown.end()
    code = _report(args, "are", one.tally, unknown, [])
    if one.tally.rejected and not args.json:
        say(f"what was rejected, with lines and reasons: {plain(args.file)}.rejected.csv")
    return code


def _kit(args: argparse.Namespace) -> int:
    """Pull an account from an address that speaks v3."""
    if not args.api_secret:
        raise Said("say whose account it is with --api-secret; a file of this name is ./kit")
    shown = _Shown()
    allow = chosen(args).webhook_allow
    with (
        _opened(args) as (db, account_id),
        _told(),
        kit.Remote(args.url, args.api_secret, allow=allow) as remote,
    ):
        one, left = kit.pull(db, account_id, remote, args.url, shown)
    shown.end()
    for line in left:
        say(plain(f"left out: {line}"))
    return _report(args, "are", one.tally, set(), [])


@contextlib.contextmanager
def _opened(args: argparse.Namespace) -> Iterator[tuple[Database, int]]:
    """Open the database, with the master key: who is suppressed is asked with it."""
    using = chosen(args)
    failpoints.arm(using.failpoint)
    with database(using) as db:
        db.pepper = app.master_key(using, db)
        yield db, account_of(db, args.account)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (Unreadable, Wrong) as problem:
        raise Said(str(problem)) from problem


def _describe(file: Opened, wishes: Wishes) -> None:
    """Say how the file is understood."""
    found = f"an export of {file.columns.format}" if file.columns.format else "a table"
    say(f"{plain(file.source.path)}: {found}, {file.source.encoding}")
    columns = list(zip(file.columns.labels, file.columns.roles, strict=True))
    fields = [label for label, role in columns if role == FIELD and label]
    nothing = [label for label, role in columns if role == formats.NOTHING and label]
    if fields:
        how = "made where missing" if wishes.create_fields else "left out where missing: --create-fields"
        say(plain(f"custom fields ({how}): {', '.join(fields)}"))
    if nothing:
        say(plain(f"left out: {', '.join(nothing)}"))


def _report(
    args: argparse.Namespace,
    verb: str,
    tally: Tally,
    unknown: set[tuple[str, str]],
    made: list[tuple[str, str]],
) -> int:
    """Say what became of the records."""
    if args.json:
        say_json({"dry_run": args.dry_run, "tally": tally, "unknown": sorted(unknown), "made": made})
        return 0
    say(
        f"{tally.made:,} {verb} new, {tally.changed:,} changed, {tally.same:,} as before,"
        f" {tally.kept:,} kept in the state they have, {tally.rejected:,} rejected"
    )
    for kind, name in sorted(unknown):
        say(plain(f"there is no {kind} {name}: nobody joined it{'' if kind == 'tag' else _MAKING}"))
    for kind in KINDS:
        named = [name for one, name in made if one == kind]
        if named:
            say(plain(f"{kind}s that would be made: {', '.join(named[:50])}"))
    return 0


class _Shown:
    """The progress on a terminal: one line that is written over, with the time left."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._last = 0.0
        self._start: tuple[int, int] | None = None
        self._wide = sys.stderr.isatty()

    def __call__(self, tally: Tally, done: int, size: int) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if not self._wide or now - self._last < SHOWN_S:
            return
        self._last = now
        if self._start is None:
            # What was done before, when an import goes on, says nothing of its speed.
            self._start = (done, tally.records)
            return
        took = now - self._began
        left = took * (size - done) / max(done - self._start[0], 1)
        rate = (tally.records - self._start[1]) / took
        self._write(f"{done / size:.0%}, {tally.records:,} records, {rate:,.0f}/s, {left:,.0f} s left")

    def end(self) -> None:
        """Clear the line."""
        if self._wide:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
