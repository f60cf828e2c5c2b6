"""The commands that look: sign-in, outbox, doctor, version."""

import argparse

from tidings import __version__, app
from tidings import doctor as examining
from tidings.cli.ground import account, account_of, chosen, database, plain, say, table, when
from tidings.core import outbox as kept_mail


def sign_in(args: argparse.Namespace) -> int:
    """Print a one-time sign-in link."""
    using = chosen(args)
    with database(using) as db:
        say(app.sign_in_address(db, using, account_of(db, args.account)))
    return 0


def outbox(args: argparse.Namespace) -> int:
    """List the newest mail kept in the Outbox."""
    with account(args) as (db, account_id):
        found = db.read_now(account_id, kept_mail.newest)
    if not found:
        say("the Outbox is empty")
    table([(str(one.id), when(one.created_at), one.recipient, one.subject) for one in found])
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Check settings, database and DNS; 1 when something fails."""
    using = chosen(args)
    patient = examining.Patient(
        using.database, using.master_key, using.smtp_url, using.base_url, args.dkim_selector
    )
    failed = False
    for finding in examining.examine(patient, examining.resolver()):
        say(plain(finding.line()))
        failed = failed or finding.word == "fail"
    return 1 if failed else 0


def version(_: argparse.Namespace) -> int:
    """Print the version."""
    say(f"tidings {__version__}")
    return 0
