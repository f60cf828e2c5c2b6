"""Heartbeats: when the engine last lived, and in which installation. Owns `heartbeats`.

A database that wakes after a long gap, or beside another installation's file, is perhaps an old copy:
what was due meanwhile may have been sent by the newer one.
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
