"""What a notice looks like in a notifier's hands, and how a try ended."""

from collections.abc import Callable

import msgspec

from tidings.core.events import Event

# How much of an answer is kept, and of what went wrong.
ANSWER_MAX = 1_024
ERROR_MAX = 500
# What has come to its end.
FINAL = ("told", "failed", "dropped")

# Makes of an event what is posted: the JSON text of the API.
Shape = Callable[[Event], str]


class Notice(msgspec.Struct, frozen=True):
    """One claimed notice with the address and the keys of its webhook; `lease` is its fencing number.

    `attempts` counts the tries before this one; `signers` are the numbers of the keys that sign.
    """

    account_id: int
    id: int
    webhook_id: int
    name: str
    body: str
    attempts: int
    due_at: int
    lease: int
    created_at: int
    url: str
    signers: tuple[int, ...] = (1,)
    failing_since_at: int | None = None

    @property
    def message_id(self) -> str:
        """The `webhook-id`: the same at every try, in every process and at a replay.

        With the time of its making: a restored database gives the same numbers to other events.
        """
        return f"msg_{self.account_id:x}_{self.id:x}_{self.created_at:x}"


class Told(msgspec.Struct, frozen=True):
    """What came back: the status, or None with `error` in plain words; at most 1,024 octets of body."""

    status: int | None
    error: str = ""
    body: bytes = b""
    retry_after_s: int | None = None
    took_ms: int = 0

    @property
    def fine(self) -> bool:
        """Whether the other side has taken it. A redirect is a failure: nobody follows it."""
        return self.status is not None and 200 <= self.status <= 299

    @property
    def overloaded(self) -> bool:
        """Whether the whole endpoint seems unwell, not only this address: no answer, 429, 5xx."""
        return self.status is None or self.status == 429 or self.status >= 500


class Outcome(msgspec.Struct, frozen=True):
    """How a try ended: the state that follows, when it is due again (epoch ms), what came back.

    Without `told` it was never tried and is given back.
    """

    notice: Notice
    state: str
    due_at: int
    told: Told | None = None
