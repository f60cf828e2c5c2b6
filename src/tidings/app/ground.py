"""What every process of an installation begins with: its database, its name, its key, its addresses."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from tidings import tokens
from tidings.settings import Bad, Settings
from tidings.store.db import Database, wall_clock
from tidings.tokens import Links

MASTER_KEY_MIN = 32


def open_database(settings: Settings) -> Database:
    """Open the database of the settings; its owner closes it."""
    if settings.clock_speed == 1:
        db = Database(settings.database)
    else:
        # Every process counts from the same moment, the start of the day.
        db = Database(settings.database, clock=_hastened(settings.clock_speed))
    try:
        db.pepper = master_key(settings, db)
    except BaseException:
        db.close()
        raise
    return db


def _hastened(speed: int) -> Callable[[], int]:
    day = 86_400_000

    def now() -> int:
        real = wall_clock()
        return real - real % day + real % day * speed

    return now


def links(settings: Settings, db: Database) -> Links:
    """Return what signs and builds our addresses."""
    return Links(settings.base_url, db.pepper or master_key(settings, db))


def master_key(settings: Settings, db: Database) -> bytes:
    """Return the key that signs links: the setting, or a file beside the database, made once."""
    if settings.master_key:
        if len(settings.master_key) < MASTER_KEY_MIN:
            raise Bad(f"TIDINGS_MASTER_KEY must have at least {MASTER_KEY_MIN} characters")
        return settings.master_key.encode()
    path = Path(db.folder) / "master.key"
    try:
        # Made in one step with its mode: never readable by others, never half written.
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes().strip()
    else:
        key = tokens.fresh(32).encode()
        with os.fdopen(made, "wb") as file:
            file.write(key + b"\n")
            file.flush()
            os.fsync(file.fileno())
    if len(key) < MASTER_KEY_MIN:
        raise Bad(f"the file {path} does not hold a master key; restore it or set TIDINGS_MASTER_KEY")
    return key


def folder_of_backups(settings: Settings, db: Database) -> str:
    """Return where backups lie: the setting, or a folder beside the database."""
    return settings.backup or os.path.join(db.folder, "backups")


def folder_of_files(db: Database) -> str:
    """Return where copies of uploaded files may lie while they are worked on: /tmp may be memory."""
    return tempfile.gettempdir() if db.shared else db.folder


def installation(db: Database) -> str:
    """Return the name of this installation: a file beside the database, which a copy does not take along.

    PostgreSQL is asked for no file of ours; its own system has the name then.
    """
    if db.shared:
        return "shared"
    path = Path(db.folder) / "instance"
    try:
        with path.open("x") as file:
            file.write(tokens.fresh(16) + "\n")
    except FileExistsError:
        pass
    return path.read_text().strip()
