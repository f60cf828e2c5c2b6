"""What each command does. Each returns its exit code; what it raises, `main` says in one line."""

import argparse
import contextlib
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NoReturn

import msgspec

from tidings import __version__, app, declare, settings
from tidings import doctor as examining
from tidings.core import accounts
from tidings.core import outbox as kept_mail
from tidings.core.accounts import INSTALLATION
from tidings.settings import Settings
from tidings.store import health
from tidings.store import migrate as migrations
from tidings.store.db import Database

FILE_MAX = 16 * 1_048_576
NAME_MAX = 255
# getaddrinfo cuts higher numbers to 16 bits without a word.
PORT_MAX = 65_535


class Said(Exception):
    """A command cannot do what it was asked for; the text is for a person."""


def serve(args: argparse.Namespace) -> int:
    """Run web and engine."""
    chosen = _settings(args)
    _refuse_port_in_use(chosen)
    health.opened(chosen.database).close()
    # The supervised engine is told of these by its environment; its links need them.
    os.environ.update(_given(args))
    return _until_stopped(lambda: app.serve(chosen, demo=args.demo, config=getattr(args, "config", None)))


def web(args: argparse.Namespace) -> int:
    """Run one web process."""
    chosen = _settings(args)
    with _database(chosen):
        _refuse_port_in_use(chosen)
    return _until_stopped(lambda: app.serve_web(chosen))


def engine(args: argparse.Namespace) -> int:
    """Run one engine."""
    chosen = _settings(args)
    with _database(chosen):
        pass
    return app.run_engine(chosen, supervised=args.supervised)


def migrate(args: argparse.Namespace) -> int:
    """Bring the database to this version."""
    with contextlib.closing(health.opened(_settings(args).database)) as db:
        ran = migrations.migrate(db, _say)
    _say(f"{ran} migrations ran" if ran else "the database is of this version already")
    return 0


def apply(args: argparse.Namespace) -> int:
    """Make and change what a file declares."""
    chosen = _settings(args)
    text = _text_of(args.file)
    name = "standard input" if args.file == "-" else plain(args.file)
    with _database(chosen, makes=True) as db:
        declare.apply_text(db, _account(db, args.account), text, _say, name=name)
    return 0


def sign_in(args: argparse.Namespace) -> int:
    """Print a one-time sign-in link."""
    chosen = _settings(args)
    with _database(chosen) as db:
        _say(app.sign_in_address(db, chosen, _account(db, args.account)))
    return 0


def outbox(args: argparse.Namespace) -> int:
    """List the newest mail kept in the Outbox."""
    with _database(_settings(args)) as db:
        found = db.read_now(_account(db, args.account), kept_mail.newest)
    if not found:
        _say("the Outbox is empty")
    _table([(str(one.id), _when(one.created_at), one.recipient, one.subject) for one in found])
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Check settings, database and DNS; 1 when something fails."""
    chosen = _settings(args)
    patient = examining.Patient(
        chosen.database, chosen.master_key, chosen.smtp_url, chosen.base_url, args.dkim_selector
    )
    failed = False
    for finding in examining.examine(patient, examining.resolver()):
        _say(plain(finding.line()))
        failed = failed or finding.word == "fail"
    return 1 if failed else 0


def version(_: argparse.Namespace) -> int:
    """Print the version."""
    _say(f"tidings {__version__}")
    return 0


def create_account(args: argparse.Namespace) -> int:
    """Make an account and print its keys."""
    name = _name(args.name)
    with _database(_settings(args), makes=True) as db:
        keys = db.write_now(
            INSTALLATION, accounts.create, name, args.email, api_key=args.api_key, api_secret=args.api_secret
        )
    if args.json:
        _say_json(keys)
        return 0
    _say(f"account:    {keys.account_id}\napi_key:    {keys.api_key}\napi_secret: {keys.api_secret}")
    _say("The secret is shown only now.")
    return 0


def list_accounts(args: argparse.Namespace) -> int:
    """List the accounts."""
    with _database(_settings(args)) as db:
        found = db.read_now(INSTALLATION, accounts.all_accounts)
    if args.json:
        _say_json(found)
        return 0
    if not found:
        _say("there is no account yet; run: tidings account create")
    _table([(str(one.id), one.name, one.primary_email, one.plan, one.api_key) for one in found])
    return 0


def rotate(args: argparse.Namespace) -> int:
    """Give an account a fresh secret and print it."""
    with _database(_settings(args)) as db:
        account_id = _account(db, args.account)
        secret = db.write_now(account_id, accounts.rotate_secret)
    if args.json:
        _say_json({"account_id": account_id, "api_secret": secret})
        return 0
    _say(f"api_secret: {secret}")
    _say("The secret is shown only now; the one before works for another 24 hours.")
    return 0


def create_integration(args: argparse.Namespace) -> int:
    """Make an integration key and print it."""
    name = _name(args.name)
    with _database(_settings(args)) as db:
        key = db.write_now(
            INSTALLATION, accounts.create_integration, name, key=args.key, rate_limit=args.rate_limit
        )
    _say(f"integration_key: {key}")
    _say("The key is shown only now.")
    return 0


def list_integrations(args: argparse.Namespace) -> int:
    """List the integrations."""
    with _database(_settings(args)) as db:
        found = db.read_now(INSTALLATION, accounts.all_integrations)
    if not found:
        _say("there is no integration yet; run: tidings integration create")
    rows = []
    for one in found:
        limit = "general limit" if one.rate_limit is None else f"{one.rate_limit} in 60 s"
        state = f"revoked {_when(one.revoked_at)}" if one.revoked_at else f"since {_when(one.created_at)}"
        rows.append((str(one.id), one.name, limit, state))
    _table(rows)
    return 0


def revoke_integration(args: argparse.Namespace) -> int:
    """Let an integration key open nothing any more."""
    with _database(_settings(args)) as db:
        db.write_now(INSTALLATION, accounts.revoke_integration, args.id)
    _say(f"integration {args.id} is revoked")
    return 0


def plain(text: str) -> str:
    """Return text that cannot steer a terminal: whatever is not printable becomes a question mark."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _given(args: argparse.Namespace) -> dict[str, str]:
    """Return the settings that were typed, under the names of the environment."""
    names = ("host", "port", "database")
    found = {name: getattr(args, name, None) for name in names}
    return {f"TIDINGS_{name.upper()}": value for name, value in found.items() if value is not None}


def _settings(args: argparse.Namespace) -> Settings:
    """Return the settings: what was typed wins over the environment, that over the file."""
    return settings.load({**os.environ, **_given(args)}, getattr(args, "config", None))


@contextlib.contextmanager
def _database(chosen: Settings, *, makes: bool = False) -> Iterator[Database]:
    """Open a migrated database; with `makes`, an empty one is migrated first."""
    missing = health.absent(chosen.database)
    if missing is not None and not makes:
        raise Said(f"there is no database {missing} yet; run: tidings migrate")
    with contextlib.closing(health.opened(chosen.database)) as db:
        if makes and health.is_empty(db):
            migrations.migrate(db)
        migrations.check(db)
        yield db


def _account(db: Database, given: int | None) -> int:
    """Return the account that is meant: the one given, or the only one."""
    ids = [one.id for one in db.read_now(INSTALLATION, accounts.all_accounts)]
    if given is not None:
        if given not in ids:
            raise Said(f"there is no account {given}; see: tidings account list")
        return given
    if not ids:
        raise Said("there is no account yet; run: tidings account create")
    if len(ids) > 1:
        raise Said(f"there are {len(ids)} accounts; choose one with --account ID")
    return ids[0]


def _name(given: str) -> str:
    name = given.strip()
    if not name or not name.isprintable() or len(name) > NAME_MAX:
        raise Said(f"the name must be one line of 1 to {NAME_MAX} printable characters")
    return name


def _text_of(file: str) -> str:
    """Return the text of a file or of standard input."""
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(FILE_MAX + 1)
        else:
            with open(file, "rb") as opened:
                raw = opened.read(FILE_MAX + 1)
    except OSError as problem:
        raise Said(f"{plain(file)} cannot be read: {problem.strerror}") from problem
    if len(raw) > FILE_MAX:
        raise Said(f"{plain(file)} is larger than {FILE_MAX // 1_048_576} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise Said(f"{plain(file)} is not UTF-8 text (byte {problem.start})") from problem


def _refuse_port_in_use(chosen: Settings) -> None:
    """Say in words what the web server would only log: that it cannot listen there."""
    if chosen.port > PORT_MAX:
        raise Said(f"there is no port {chosen.port}: the highest is {PORT_MAX}")
    try:
        found = socket.getaddrinfo(chosen.host, chosen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as trying:
            trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trying.bind(where)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise Said(
                f"port {chosen.port} of {chosen.host} is in use; choose another with --port"
            ) from problem
        said = problem.strerror or str(problem)
        raise Said(f"cannot listen on {plain(chosen.host)} port {chosen.port}: {said}") from problem


def _until_stopped(run: Callable[[], int]) -> int:
    """Run until Ctrl-C or SIGTERM, both of which are a good end.

    The web server stops at the signal and raises it again afterwards: as an exception it
    leaves through every `finally`, so that the engine is ended and the database closed.
    """
    signal.signal(signal.SIGTERM, _stop)
    try:
        return run()
    except KeyboardInterrupt:
        return 0


def _stop(*_: object) -> NoReturn:
    raise SystemExit(0)


def _when(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns."""
    shown = [tuple(map(plain, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _say_json(value: object) -> None:
    _say(json.dumps(msgspec.to_builtins(value), indent=2))


def _say(text: str) -> None:
    print(text, flush=True)
