"""What `app` hands to every door: the database, the links, the limits, as values."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from time import monotonic

from tidings.core.exporting import Wanted
from tidings.core.limits import Windows
from tidings.store.db import Database
from tidings.tokens import Links

# Writes the people of an account that are wanted, as csv or jsonl.
Export = Callable[[int, str, Wanted], AsyncIterator[bytes]]


@dataclass(slots=True)
class House:
    """One per web process. `rate_limit` is requests in 60 s for each key, 0 for no limit."""

    db: Database
    links: Links
    rate_limit: int
    sends_nothing: bool
    windows: Windows = field(default_factory=Windows)
    # The hour in which each key was last noted as used, by the key's hash.
    used: dict[str, int] = field(default_factory=dict)
    export: Export | None = None
    # How many exports this process writes at the moment.
    exports: int = 0
    # The folder that the engine writes backups to, and whether it does so by itself.
    backups: str = ""
    backs_up: bool = False
    # When this process began, by `time.monotonic`.
    began_s: float = field(default_factory=monotonic)
