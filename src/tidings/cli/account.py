"""`tidings account …`: accounts, their secret, and what holds for all their mail."""

import argparse

from tidings.cli.ground import (
    Said,
    account,
    account_of,
    chosen,
    database,
    name_of,
    plain,
    say,
    say_json,
    table,
)
from tidings.core import accounts, slots
from tidings.core.accounts import INSTALLATION
from tidings.store.tx import Rx, Tx


def create(args: argparse.Namespace) -> int:
    """Make an account and print its keys."""
    name = name_of(args.name)
    with database(chosen(args), makes=True) as db:
        keys = db.write_now(
            INSTALLATION, accounts.create, name, args.email, api_key=args.api_key, api_secret=args.api_secret
        )
    if args.json:
        say_json(keys)
        return 0
    say(f"account:    {keys.account_id}\napi_key:    {keys.api_key}\napi_secret: {keys.api_secret}")
    say("The secret is shown only now.")
    return 0


def show_all(args: argparse.Namespace) -> int:
    """List the accounts."""
    with database(chosen(args)) as db:
        found = db.read_now(INSTALLATION, accounts.all_accounts)
    if args.json:
        say_json(found)
        return 0
    if not found:
        say("there is no account yet; run: tidings account create")
    table([(str(one.id), one.name, one.primary_email, one.plan, one.api_key) for one in found])
    return 0


def show(args: argparse.Namespace) -> int:
    """Show an account with what holds for its mail."""
    with account(args) as (db, account_id):
        facts = db.read_now(account_id, _facts)
    if args.json:
        say_json(facts)
        return 0
    for name, value in facts.items():
        shown = "on" if value is True else "off" if value is False else value or "none"
        say(f"{name.replace('_', ' ') + ':':16}{plain(', '.join(str(shown).splitlines()))}")
    if facts["postal_address"] is None:
        say("Without a postal address no broadcast is sent by SMTP; see: tidings account update --address")
    return 0


def update(args: argparse.Namespace) -> int:
    """Change an account; what is not given stays."""
    names = ("name", "email", "address", "time_zone", "language", "ambiguity", "track_opens", "track_clicks")
    if all(getattr(args, name) is None for name in names):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise Said(f"say what is to change: {options}")
    if args.name is not None:
        args.name = name_of(args.name)
    if args.address is not None:
        args.address = _address(args.address)
    if args.time_zone is not None and not slots.known(args.time_zone):
        raise Said(f"there is no time zone {plain(args.time_zone)}; write it such as Europe/Berlin")
    with account(args) as (db, account_id):
        db.write_now(account_id, _update, args)
    say(f"account {account_id} is changed; what is being sent keeps the name and address that it began with")
    return 0


def rotate(args: argparse.Namespace) -> int:
    """Give an account a fresh secret and print it."""
    with database(chosen(args)) as db:
        account_id = account_of(db, args.account)
        secret = db.write_now(account_id, accounts.rotate_secret)
    if args.json:
        say_json({"account_id": account_id, "api_secret": secret})
        return 0
    say(f"api_secret: {secret}")
    say("The secret is shown only now; the one before works for another 24 hours.")
    return 0


def _facts(rx: Rx) -> dict[str, object]:
    one = accounts.get(rx)
    opens, clicks = accounts.tracking(rx)
    return {
        "account": one.id,
        "name": one.name,
        "email": one.primary_email,
        "plan": one.plan,
        "api_key": one.api_key,
        "postal_address": one.postal_address,
        "time_zone": accounts.time_zone(rx),
        "language": accounts.language(rx),
        "ambiguity": accounts.ambiguity(rx),
        "track_opens": opens,
        "track_clicks": clicks,
    }


def _update(tx: Tx, args: argparse.Namespace) -> None:
    """Change all that was given, or nothing."""
    accounts.describe(tx, name=args.name, primary_email=args.email, postal_address=args.address)
    if args.time_zone is not None:
        accounts.set_time_zone(tx, args.time_zone)
    if args.language is not None:
        accounts.set_language(tx, args.language)
    if args.ambiguity is not None:
        accounts.set_ambiguity(tx, args.ambiguity)
    opens, clicks = accounts.tracking(tx)
    if args.track_opens is not None:
        opens = args.track_opens == "on"
    if args.track_clicks is not None:
        clicks = args.track_clicks == "on"
    accounts.set_tracking(tx, opens=opens, clicks=clicks)


def _address(typed: str) -> str:
    """Return a postal address as it is kept: lines that can be shown."""
    lines = [line.strip() for line in typed.strip().splitlines()]
    address = "\n".join(lines)
    if not address or len(address) > accounts.POSTAL_MAX or not all(line.isprintable() for line in lines):
        raise Said(f"the postal address must be 1 to {accounts.POSTAL_MAX} printable characters")
    return address
