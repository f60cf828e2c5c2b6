"""`tidings broadcast …`: sending, stopping, and what became of it."""

import argparse

from tidings import app
from tidings.cli import broadcast_shown
from tidings.cli.broadcast_shown import standing
from tidings.cli.ground import Said, account, chosen, people, plain, say, say_json, table, when
from tidings.core import audience as audiences
from tidings.core import broadcasts, rehearsal
from tidings.core.broadcasts import Broadcast, course
from tidings.core.broadcasts.course import Part
from tidings.declare.outcome import Known
from tidings.store.db import Database
from tidings.store.tx import Rx, Tx

NOTHING_LEAVES = "No mail leaves this machine: it is kept in the Outbox, and not sent later either."


def show_all(args: argparse.Namespace) -> int:
    """List the newest broadcasts."""
    with account(args) as (db, account_id):
        found = db.read_now(account_id, broadcasts.page, newest_first=True, number=args.page)
    if args.json:
        say_json([{"status": standing(one), **broadcast_shown.line(one)} for one in found])
        return 0
    if not found:
        say("there is no broadcast" + (" on this page" if args.page > 1 else " yet"))
    table([(str(one.id), standing(one), _progress(one), one.subject or "(no subject)") for one in found])
    return 0


def show(args: argparse.Namespace) -> int:
    """Show a broadcast with its numbers."""
    limits = app.limits_of(chosen(args))
    with account(args) as (db, account_id):
        shown = db.read_now(account_id, broadcast_shown.whole, args.id, limits)
    if args.json:
        say_json(shown)
    else:
        for line in shown.lines():
            say(plain(line))
        if shown.broadcast.status != "completed" and chosen(args).smtp_url == app.OUTBOX:
            say(NOTHING_LEAVES)
    return 0


def send(args: argparse.Namespace) -> int:
    """Send a broadcast now or at a time."""
    outbox = chosen(args).smtp_url == app.OUTBOX
    with account(args) as (db, account_id):
        remarks = _rehearsed(args, db, account_id, outbox=outbox)
        one = db.write_now(account_id, course.schedule, args.id, args.at)
        number = db.read_now(account_id, audiences.count, args.id)
    for remark in remarks:
        say(f"note: {plain(remark)}")
    if one.send_at is not None and one.send_at > db.clock():
        say(f"broadcast {one.id} goes out at {when(one.send_at)}, to {people(number)} as things stand")
    else:
        say(f"broadcast {one.id} goes out as soon as the engine runs, to {people(number)}")
    if outbox:
        say(NOTHING_LEAVES)
    return 0


def pause(args: argparse.Namespace) -> int:
    """Stop a broadcast until it is resumed."""
    with account(args) as (db, account_id):
        db.write_now(account_id, course.pause, args.id)
    say(f"broadcast {args.id} is paused; mail that is on the wire still arrives")
    return 0


def resume(args: argparse.Namespace) -> int:
    """Let a paused broadcast go on."""
    with account(args) as (db, account_id):
        db.write_now(account_id, course.resume, args.id)
    say(f"broadcast {args.id} goes on")
    return 0


def cancel(args: argparse.Namespace) -> int:
    """End a broadcast."""
    with account(args) as (db, account_id):
        one = db.write_now(account_id, course.cancel, args.id)
    if one.status == "draft":
        say(f"broadcast {one.id} is a draft again")
    else:
        say(f"broadcast {one.id} is cancelled: nobody else gets it")
    return 0


def retry(args: argparse.Namespace) -> int:
    """Try again those who failed."""
    again = 0
    with account(args) as (db, account_id):
        failed = db.read_now(account_id, broadcasts.find, args.id).failed
        # No more than failed at first: some fail again while we are at it.
        while more := db.write_now(account_id, course.retry, args.id):
            again += more
            if again >= failed:
                break
    say(f"tried again: {again:,} of broadcast {args.id}")
    return 0


def recipients(args: argparse.Namespace) -> int:
    """List what became of each recipient."""
    with account(args) as (db, account_id):
        found = db.read_now(
            account_id, broadcast_shown.recipients, args.id, after=args.after, unsent=args.unsent
        )
    if args.json:
        say_json(found)
        return 0
    if not found:
        say("there is nobody" + (" else" if args.after else ""))
    for line in broadcast_shown.table_of(found):
        say(line)
    if len(found) == broadcast_shown.PAGE:
        last = found[-1].delivery_id if args.unsent else found[-1].subscriber_id
        say(f"more: --after {last}")
    return 0


def audience(args: argparse.Namespace) -> int:
    """Choose whom a broadcast goes to, or show it."""
    given = [*(args.include or []), *(args.exclude or [])]
    if args.everyone and given:
        raise Said("--everyone cannot stand beside --include and --exclude")
    with account(args) as (db, account_id):
        if args.everyone or given:
            db.write_now(account_id, _choose, args.id, args.include or [], args.exclude or [])
        said, number = db.read_now(account_id, _audience, args.id)
    say(f"broadcast {args.id} goes to {plain(said)}: {people(number)} as things stand")
    return 0


def _rehearsed(args: argparse.Namespace, db: Database, account_id: int, *, outbox: bool) -> list[str]:
    """Make the mail once for nobody, so that what cannot be sent is refused now and not when it is due."""
    links = app.links(chosen(args), db)
    try:
        return db.read_now(account_id, rehearsal.rehearse, args.id, links, outbox=outbox).remarks()
    except ValueError as problem:
        raise Said(f"the content cannot be made into a mail: {problem}") from problem


def _choose(tx: Tx, broadcast_id: int, included: list[str], excluded: list[str]) -> None:
    known = Known(tx)
    parts = [_part(known, word, excluded=False) for word in included]
    parts += [_part(known, word, excluded=True) for word in excluded]
    course.set_audience(tx, broadcast_id, list(dict.fromkeys(parts)))


def _part(known: Known, word: str, *, excluded: bool) -> Part:
    """Read `tag:12` or `form:Newsletter`."""
    kind, _, ref = word.partition(":")
    number = ref.isascii() and ref.isdigit() and len(ref) < 16
    return Part(kind, known.id_of(kind, int(ref) if number else ref, "the audience"), excluded)


def _audience(rx: Rx, broadcast_id: int) -> tuple[str, int]:
    broadcasts.find(rx, broadcast_id)
    return broadcast_shown.audience(rx, broadcast_id), audiences.count(rx, broadcast_id)


def _progress(one: Broadcast) -> str:
    return f"{one.progress:.1f} %" if one.status == "sending" else ""
