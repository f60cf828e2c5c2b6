"""What a delivery looks like in a worker's hands."""

import msgspec


class Delivery(msgspec.Struct, frozen=True):
    """One claimed delivery; `lease` is the fencing number its owner must show.

    `ambiguous` counts the earlier tries of which nobody knows whether they arrived.
    """

    account_id: int
    id: int
    occasion: str
    subscriber_id: int
    attempts: int
    lease: int
    created_at: int
    broadcast_id: int | None = None
    ambiguous: int = 0
    crashes: int = 0

    @property
    def owner(self) -> str:
        """Whose content it is: the first two parts of its occasion."""
        return ":".join(self.occasion.split(":", 2)[:2])


class Outcome(msgspec.Struct, frozen=True):
    """How a try ended: `state`, what the provider said, and when to try again (epoch ms).

    The state `unknown` is no state of a row: the account's policy makes one of it.
    `verdict` is what a refusal proved (`mailbox`, `soft`, `policy`, `temporary`, `relay`); `ambiguous`
    that nobody knows whether the mail arrived; `untried` that it was never offered and does not count;
    `kept` that it went into the Outbox.
    """

    delivery: Delivery
    state: str
    reply: str = ""
    due_at: int = 0
    verdict: str = ""
    ambiguous: bool = False
    untried: bool = False
    kept: bool = False


class Timing(msgspec.Struct, frozen=True):
    """How long a claim holds without being renewed, and how long an ambiguous end waits (ms)."""

    lease_ms: int = 60_000
    uncertain_ms: int = 15 * 60_000


class Letter(msgspec.Struct, frozen=True):
    """A composed delivery, ready to be handed to a provider."""

    delivery: Delivery
    mail_from: str
    rcpt_to: str
    subject: str
    data: bytes
    smtputf8: bool = False


# Rows of one statement: a few texts serve every number of rows.
SIZES = (1, 8, 64, 320)


def size_for(length: int) -> int:
    """Return the smallest size that holds so many rows, or the largest."""
    return next((size for size in SIZES if length <= size), SIZES[-1])


def named(ids: list[int]) -> dict[str, int]:
    """Name ids for a statement of `size_for` their number; the last one fills the rest."""
    size = size_for(len(ids))
    return {f"id{at}": one for at, one in enumerate(ids + ids[-1:] * (size - len(ids)))}
