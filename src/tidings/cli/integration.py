"""`tidings integration …`: keys of the whole installation."""

import argparse

from tidings.cli.ground import chosen, database, name_of, say, table, when
from tidings.core import accounts
from tidings.core.accounts import INSTALLATION


def create(args: argparse.Namespace) -> int:
    """Make an integration key and print it."""
    name = name_of(args.name)
    with database(chosen(args)) as db:
        key = db.write_now(
            INSTALLATION, accounts.create_integration, name, key=args.key, rate_limit=args.rate_limit
        )
    say(f"integration_key: {key}")
    say("The key is shown only now.")
    return 0


def show_all(args: argparse.Namespace) -> int:
    """List the integrations."""
    with database(chosen(args)) as db:
        found = db.read_now(INSTALLATION, accounts.all_integrations)
    if not found:
        say("there is no integration yet; run: tidings integration create")
    rows = []
    for one in found:
        limit = "general limit" if one.rate_limit is None else f"{one.rate_limit} in 60 s"
        state = f"revoked {when(one.revoked_at)}" if one.revoked_at else f"since {when(one.created_at)}"
        rows.append((str(one.id), one.name, limit, state))
    table(rows)
    return 0


def revoke(args: argparse.Namespace) -> int:
    """Let an integration key open nothing any more."""
    with database(chosen(args)) as db:
        db.write_now(INSTALLATION, accounts.revoke_integration, args.id)
    say(f"integration {args.id} is revoked")
    return 0
