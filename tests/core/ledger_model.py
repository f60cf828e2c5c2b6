"""What the model of a ledger's history remembers."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.core.cast import DAY
from tests.core.ledger import TIMING
from tidings.core import deliveries
from tidings.core.deliveries import Delivery, Outcome

# Broadcast and subscriber.
Key = tuple[int, int]
PEOPLE_MOST = 6
BROADCASTS_MOST = 3
# `vanished`: taken, and the answer was lost.
ENDS = ("sent", "kept", "failed", "mailbox", "deferred", "untried", "unknown", "vanished", "vanished")
LIVES = ("vip", "vip", "active", "active", "active", "active", "cancelled", "bounced", "complained")
AUDIENCES = ("all", "vip", "not vip")
STEERS = ("resume", "resume", "retry", "retry", "pause", "pause", "cancel")
# What comes between a claim and the last look, or between that and the provider's answer.
BETWEEN = ("", "", "", "", "", "", "pause", "cancelled", "lapse", "second", "second")
WAITS = (0, 1_000, TIMING.lease_ms, TIMING.uncertain_ms, TIMING.uncertain_ms, DAY)
which = st.integers(0, 99)
WORK = st.fixed_dictionaries(
    {
        "ms": st.sampled_from(WAITS),
        "limit": st.integers(1, 4),
        "alone": st.sampled_from((False, False, True)),
        "far": st.sampled_from((0, 1, 1, 2)),
        "endings": st.lists(st.sampled_from(ENDS), min_size=4, max_size=4),
        "between": st.tuples(st.sampled_from(BETWEEN), st.sampled_from(BETWEEN)),
        "one": which,
    }
)
# Runs and steps: in make test, make proof, and before a release.
LENGTHS = {
    "sqlite": {"test": (60, 30), "ci": (500, 50), "release": (10_000, 100)},
    "postgres": {"test": (25, 30), "ci": (500, 50), "release": (10_000, 100)},
}


@dataclass
class Sent:
    """One broadcast as the model has it."""

    audience: str
    status: str = "scheduled"
    paused: bool = False
    cancelled: bool = False
    highest: int = 0
    cursor: int = 0
    fanned: bool = False
    recipients: set[int] = field(default_factory=set)


@dataclass
class OnWire:
    """One mail that a worker is handing over: `taken` once the provider has it."""

    delivery: Delivery
    until: int
    taken: bool = False


def key_of(one: Delivery) -> Key:
    """Name what a person should have one copy of."""
    return one.broadcast_id or 0, one.subscriber_id


def outcome_of(one: Delivery, ending: str, now: int) -> Outcome:
    """Return what a provider's ending is in our words."""
    match ending:
        case "kept":
            return Outcome(one, "sent", "kept", kept=True)
        case "mailbox":
            return Outcome(one, "failed", "550 5.1.1", verdict="mailbox")
        case "deferred":
            at = deliveries.retry_at(now, one)
            return Outcome(one, "deferred", "451", at) if at else Outcome(one, "deferred", "451", now)
        case "untried":
            return Outcome(one, "queued", "no connection", now, untried=True)
        case _:
            return Outcome(one, ending, f"said {ending}")
