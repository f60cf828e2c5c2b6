"""Rate limits: at most N requests of a key in any 60 seconds, counted exactly.

Owns `rate_windows`. One web process counts in memory; several that share a PostgreSQL
count in a locked row for each key. A refused request costs the key nothing.
"""

import time
from collections import OrderedDict, deque

from tidings.store.tx import Tx

WINDOW_MS = 60_000
# Names kept in memory: each holds at most its limit of times, some 4 KB at 120.
NAMES_KEPT = 20_000


class Windows:
    """The requests of the last minute, by name, in this process."""

    def __init__(self) -> None:
        self._stamps: OrderedDict[str, deque[int]] = OrderedDict()
        self._refused: OrderedDict[str, int] = OrderedDict()

    def admit(self, name: str, limit: int) -> int:
        """Count a request; return 0, or in how many ms the next one is admitted."""
        now = time.monotonic_ns() // 1_000_000
        stamps = self._stamps.get(name)
        if stamps is None:
            stamps = self._stamps[name] = deque()
            if len(self._stamps) > NAMES_KEPT:
                self._stamps.popitem(last=False)
        self._stamps.move_to_end(name)
        while stamps and stamps[0] <= now - WINDOW_MS:
            stamps.popleft()
        if len(stamps) >= limit:
            return stamps[-limit] + WINDOW_MS - now
        stamps.append(now)
        return 0

    def still_refused(self, name: str) -> int:
        """Return for how many ms more a name is refused without asking the database."""
        until = self._refused.get(name, 0)
        return max(0, until - time.monotonic_ns() // 1_000_000)

    def refuse(self, name: str, wait_ms: int) -> None:
        """Remember a refusal that the database gave."""
        self._refused[name] = time.monotonic_ns() // 1_000_000 + wait_ms
        self._refused.move_to_end(name)
        if len(self._refused) > NAMES_KEPT:
            self._refused.popitem(last=False)


def admit(tx: Tx, name: str, limit: int) -> int:
    """Count a request in the name's row; return 0, or in how many ms the next one is admitted."""
    tx.run(
        "INSERT INTO rate_windows (account_id, name, stamps, seen_at) VALUES (0, :name, '', :now)"
        " ON CONFLICT (account_id, name) DO NOTHING",
        name=name,
        now=tx.now,
    )
    row = tx.one(
        "SELECT stamps FROM rate_windows WHERE account_id = 0 AND name = :name {for_update}", name=name
    )
    stamps = [int(one) for one in row[0].split(",") if one] if row else []
    stamps = [one for one in stamps if tx.now - WINDOW_MS < one <= tx.now]
    if len(stamps) >= limit:
        return stamps[-limit] + WINDOW_MS - tx.now
    stamps.append(tx.now)
    tx.run(
        "UPDATE rate_windows SET stamps = :stamps, seen_at = :now WHERE account_id = 0 AND name = :name",
        stamps=",".join(map(str, stamps[-limit:])),
        now=tx.now,
        name=name,
    )
    return 0


def sweep(tx: Tx) -> int:
    """Remove rows of names that have been silent for an hour."""
    return tx.run(
        "DELETE FROM rate_windows WHERE account_id = 0 AND seen_at < :since", since=tx.now - 3_600_000
    )
