"""`tidings doctor`: is everything in order for data to be kept, and mail to be sent and believed?

It looks and changes nothing. It knows no settings: it is handed their values.
"""

import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tidings.core import accounts, signing
from tidings.core.accounts import INSTALLATION
from tidings.doctor import domain
from tidings.doctor.domain import Lookup, resolver
from tidings.doctor.finding import Finding
from tidings.mail import address, provider
from tidings.store import health, migrate
from tidings.store.db import Database

__all__ = ["Finding", "Lookup", "Patient", "examine", "resolver"]

OUTBOX = "outbox:"
MASTER_KEY_MIN = 32
FREE_FAIL = 100 * 1_048_576
FREE_WARN = 1_024 * 1_048_576
# More sending domains than this are not asked for: a minute of look-ups at the worst.
DOMAINS_MAX = 20


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at: the settings' values, and the selector of the DKIM key if there is one."""

    database: str
    master_key: str
    smtp_url: str
    base_url: str
    dkim_selector: str | None = None


def examine(patient: Patient, lookup: Lookup) -> Iterator[Finding]:
    """Give one finding after the other: settings, database, key, domains."""
    yield from _settings(patient)
    missing = health.absent(patient.database)
    if missing is not None:
        yield Finding("fail", "database", f"there is no file {missing}", "run: tidings migrate")
        return
    try:
        db = health.opened(patient.database)
    except health.CannotOpen as problem:
        yield Finding("fail", "database", str(problem), "see TIDINGS_DATABASE in docs/settings.md")
        return
    try:
        yield Finding("ok", "database", db.version())
        yield from _kept(db)
        yield _master_key(patient, db)
        migrated = _migrated(db)
        yield migrated
        if migrated.word == "ok":
            yield from _domains(db, patient.dkim_selector, lookup)
            yield from _accounts(db, lookup, sends=patient.smtp_url != OUTBOX)
    finally:
        db.close()


def _settings(patient: Patient) -> Iterator[Finding]:
    yield Finding("ok", "settings", f"people reach this installation at {patient.base_url}")
    host = urlsplit(patient.base_url).hostname or ""
    local = host in ("127.0.0.1", "localhost", "::1")
    if patient.smtp_url == OUTBOX:
        to_do = "set TIDINGS_SMTP_URL to send it"
        yield Finding("warn", "mail", "is kept in the Outbox: nothing leaves this machine", to_do)
        return
    try:
        provider.Settings.from_url(patient.smtp_url)
    except ValueError as problem:
        yield Finding("fail", "mail", f"TIDINGS_SMTP_URL cannot be used: {problem}", "see docs/settings.md")
        return
    yield Finding("ok", "mail", "goes out by SMTP")
    if local:
        to_do = "set TIDINGS_BASE_URL"
        yield Finding("warn", "links", "in mails lead to this machine, which readers cannot reach", to_do)
    elif not patient.base_url.startswith("https:"):
        yield Finding("warn", "links", "in mails are not encrypted", "set TIDINGS_BASE_URL to https://…")


def _kept(db: Database) -> Iterator[Finding]:
    """Look at what durability rests on, and for files at the disk they lie on."""
    for fact in health.durability(db):
        to_do = "" if fact.fine else "an acknowledged write can be lost in a power cut; change it"
        yield Finding("ok" if fact.fine else "fail", f"database {fact.name}", fact.value, to_do)
    if db.shared:
        return
    free = shutil.disk_usage(db.folder).free
    said = f"{free // 1_048_576} MiB free"
    if free < FREE_FAIL:
        yield Finding("fail", "disk", said, "make room: a full disk refuses every write")
    elif free < FREE_WARN:
        yield Finding("warn", "disk", said, "make room soon")
    else:
        yield Finding("ok", "disk", said)


def _migrated(db: Database) -> Finding:
    try:
        migrate.check(db)
    except (migrate.Behind, migrate.Newer) as problem:
        return Finding("fail", "migrations", str(problem))
    return Finding("ok", "migrations", f"all {len(migrate.known())} have run")


def _master_key(patient: Patient, db: Database) -> Finding:
    """Look for the key that signs links, in the setting or beside the database."""
    if patient.master_key:
        if len(patient.master_key) < MASTER_KEY_MIN:
            said = f"TIDINGS_MASTER_KEY has less than {MASTER_KEY_MIN} characters"
            return Finding("fail", "master key", said, "give it a longer one")
        return Finding("ok", "master key", "set by TIDINGS_MASTER_KEY")
    path = Path(db.folder) / "master.key"
    try:
        mode, key = path.stat().st_mode, path.read_bytes().strip()
    except FileNotFoundError:
        if db.shared:
            to_do = "set TIDINGS_MASTER_KEY when several machines share the database"
            return Finding("warn", "master key", f"there is no {path} yet", to_do)
        return Finding("warn", "master key", f"there is no {path} yet", "the first start makes it")
    except OSError as problem:
        return Finding("fail", "master key", f"{path} cannot be read: {problem.strerror}", "restore it")
    if len(key) < MASTER_KEY_MIN:
        to_do = "restore it or set TIDINGS_MASTER_KEY"
        return Finding("fail", "master key", f"{path} does not hold a key", to_do)
    if stat.S_IMODE(mode) & 0o077:
        return Finding("fail", "master key", f"others can read {path}", f"run: chmod 600 {path}")
    return Finding("ok", "master key", f"in {path}")


def _domains(db: Database, selector: str | None, lookup: Lookup) -> Iterator[Finding]:
    """Look at each domain that an account sends from."""
    names: dict[str, None] = {}
    for account in db.read_now(INSTALLATION, accounts.all_accounts):
        names.setdefault(address.with_ascii_domain(account.primary_email).rpartition("@")[2].lower())
    if not names:
        yield Finding("warn", "accounts", "there is none yet", "run: tidings account create")
    for name in list(names)[:DOMAINS_MAX]:
        yield from domain.check(name, selector, lookup)
    if len(names) > DOMAINS_MAX:
        yield Finding("warn", "domains", f"only {DOMAINS_MAX} of {len(names)} were looked at")


def _accounts(db: Database, lookup: Lookup, *, sends: bool) -> Iterator[Finding]:
    """Look at what each account needs for bulk mail: its postal address, and its keys in the DNS."""
    for account in db.read_now(INSTALLATION, accounts.all_accounts)[:DOMAINS_MAX]:
        what = f"account {account.id}"
        if sends and not account.postal_address:
            to_do = f"run: tidings account update --account {account.id} --address TEXT"
            yield Finding("warn", what, "has no postal address, so no broadcast is sent", to_do)
        sending = address.with_ascii_domain(account.primary_email).rpartition("@")[2].lower()
        keys = db.read_now(account.id, signing.keys)
        for key in keys:
            if key.domain != sending:
                said = f"signs nothing: account {account.id} sends from {sending}"
                to_do = f"run: tidings dkim create --account {account.id} --domain {sending}"
                yield Finding("warn", f"DKIM key {key.selector} of {key.domain}", said, to_do)
            else:
                yield domain.published(key.domain, key.selector, key.record, lookup)
