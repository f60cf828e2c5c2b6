"""Heartbeats: when the engine last lived, and in which installation. Owns `heartbeats`.

A database that wakes after a long gap, or beside another installation's file, is perhaps an old copy:
what was due meanwhile may have been sent by the newer one. While an installation is held, nothing leaves it.
"""

from tidings.core.broadcasts import course
from tidings.store.tx import Rx, Tx

# A laptop that slept over lunch wakes without ceremony.
GAP_MS = 6 * 3_600_000


def beat(tx: Tx, name: str, instance: str) -> None:
    """Note that the engine lives."""
    tx.run(
        "INSERT INTO heartbeats (account_id, name, instance, beat_at) VALUES (0, :name, :instance, :now)"
        " ON CONFLICT (account_id, name) DO UPDATE SET instance = excluded.instance,"
        " beat_at = excluded.beat_at",
        name=name,
        instance=instance,
        now=tx.now,
    )


def last(rx: Rx, name: str) -> tuple[str, int] | None:
    """Return instance and time of the last beat; None before the first."""
    row = rx.one("SELECT instance, beat_at FROM heartbeats WHERE account_id = 0 AND name = :name", name=name)
    return (str(row[0]), int(row[1])) if row else None


def wake(tx: Tx, name: str, instance: str) -> int:
    """Begin to live: after a long gap, or as another installation, hold what is overdue.

    Returns how many broadcasts were held. A clock that was set back holds them too.
    """
    before = last(tx, name)
    beat(tx, name, instance)
    if before is None:
        return 0
    known, beat_at = before
    if known == instance and abs(tx.now - beat_at) <= GAP_MS:
        return 0
    # However late it is: the file may be an hour old and know nothing of what was sent since.
    return course.hold_overdue(tx, tx.now)


def hold(tx: Tx, why: str) -> int:
    """Let nothing leave until `release`: this is a restored copy, or the one that was moved away from.

    Whichever installation wakes next counts as another one. Returns how many broadcasts were held.
    """
    beat(tx, "engine", why)
    beat(tx, _HELD, why)
    tx.for_account(0).redefine()
    # What began in this very millisecond too.
    return course.hold_overdue(tx, tx.now + 1)


def held(rx: Rx) -> str:
    """Return why nothing may leave, from memory; empty when it may. For the installation's account only."""
    return rx.remember(_held)


def release(tx: Tx) -> bool:
    """Let mail and notices leave again; False when nothing was held. Held broadcasts stay paused."""
    gone = tx.run("DELETE FROM heartbeats WHERE account_id = 0 AND name = :name", name=_HELD)
    tx.for_account(0).redefine()
    tx.wake()
    return bool(gone)


def _held(rx: Rx) -> str:
    found = last(rx, _HELD)
    return found[0] if found else ""


_HELD = "held"
