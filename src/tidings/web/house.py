"""What `app` hands to every door: the database, the links, the limits, as values."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from time import monotonic

from tidings.core.events import Event
from tidings.core.exporting import Wanted
from tidings.core.limits import Windows
from tidings.core.pacing import Limits
from tidings.mail.press import Press
from tidings.store.db import Database
from tidings.tokens import Links

# Writes the people of an account that are wanted, as csv or jsonl.
Export = Callable[[int, str, Wanted], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Provider:
    """Where mail goes, as pages may show it: no user, no password. `host` is blank for the Outbox.

    `security` says in words how the connection is protected, `signs_in` whether with a user.
    """

    host: str = ""
    port: int = 0
    security: str = ""
    signs_in: bool = False
    connections: int = 0
    limits: Limits | None = None


def _snapshot(event: Event) -> str:
    return event.snapshot


@dataclass(slots=True)
class House:
    """One per web process. `rate_limit` is requests in 60 s for each key, 0 for no limit.

    `payload` makes of an event what webhooks are posted; `free_space` is how many bytes of the disk bulk
    mail leaves free, 0 for any.
    """

    db: Database
    links: Links
    rate_limit: int
    sends_nothing: bool
    windows: Windows = field(default_factory=Windows)
    # Renders previews as the engine renders letters; its process starts with the first of them.
    press: Press = field(default_factory=Press)
    # Whose key was presented when (epoch ms), by the key's hash, until it is noted.
    used: dict[str, tuple[int, int]] = field(default_factory=dict)
    export: Export | None = None
    # How many exports this process writes at the moment.
    exports: int = 0
    # The folder that the engine writes backups to, and whether it does so by itself.
    backups: str = ""
    backs_up: bool = False
    # When this process began, by `time.monotonic`.
    began_s: float = field(default_factory=monotonic)
    provider: Provider = Provider()
    payload: Callable[[Event], str] = _snapshot
    free_space: int = 0
