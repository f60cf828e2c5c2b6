"""`tidings dkim …`: the keys that sign mail, and the DNS records that prove them."""

import argparse

from tidings import app
from tidings.cli.ground import Said, account, chosen, say, table
from tidings.core import accounts, signing
from tidings.core.signing import Key
from tidings.errors import Conflict
from tidings.mail import address
from tidings.mail.dkim import make_key

# A selector of its own for each kind: receivers who do not know Ed25519 look for the other.
SELECTORS = {"rsa": "tidings", "ed25519": "tidings-ed"}


def create(args: argparse.Namespace) -> int:
    """Make a key for a domain and print its DNS record."""
    domain = _domain(args.domain)
    selector = args.selector or SELECTORS[args.kind]
    using = chosen(args)
    with account(args) as (db, account_id):
        links = app.links(using, db)
        try:
            pem = make_key(args.kind)
            key = db.write_now(account_id, signing.create, links, domain, selector, pem)
        except Conflict as problem:
            raise Said(f"{problem.message}; choose another with --selector") from problem
        sender = db.read_now(account_id, accounts.get).primary_email
    _print(key)
    say("\nPublish it at once: mail is signed from now on. Then look whether it can be seen: tidings doctor")
    if address.with_ascii_domain(sender).rpartition("@")[2].lower() != domain:
        say(f"This account sends as {sender}: the key signs nothing until it sends from {domain}.")
    return 0


def show_all(args: argparse.Namespace) -> int:
    """List the keys that sign, with their DNS records."""
    with account(args) as (db, account_id):
        keys = db.read_now(account_id, signing.keys)
    if not keys:
        say("no key signs this account's mail; run: tidings dkim create --domain DOMAIN")
    table([(str(one.id), one.domain, one.selector, one.kind) for one in keys])
    for one in keys:
        say("")
        _print(one)
    return 0


def retire(args: argparse.Namespace) -> int:
    """Let a key sign no more."""
    with account(args) as (db, account_id):
        db.write_now(account_id, signing.retire, args.id)
    say(f"key {args.id} signs no more; leave its DNS record for a week, for the mail that is on its way")
    return 0


def _print(key: Key) -> None:
    """Print a record as a DNS provider's page asks for it, and as a zone file has it."""
    say(f"type:  TXT\nname:  {key.name}\nvalue: {key.value}")
    say(f"as a line of a zone file:\n{key.name}. IN TXT {key.record}")


def _domain(typed: str) -> str:
    """Return a domain as mail has it: lower case, with A-labels."""
    try:
        found = address.with_ascii_domain(f"postmaster@{typed.strip().rstrip('.')}").rpartition("@")[2]
    except ValueError as problem:
        raise Said(f"the domain cannot be used: {problem}") from problem
    return found.lower()
