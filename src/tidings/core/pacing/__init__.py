"""Pacing: how much mail a provider is given, and which domains are left alone for a while.

Owns `paces` and `domain_rests`. Invariants: in no second, minute, hour or day are more mails claimed
than the owner's limits for the provider allow, over restarts and over all engine processes; of a
domain that rests at most one mail is tried, when its rest ends. A provider that is free of limits has
no row and costs nothing.
"""

from tidings.core.pacing.blame import Felt, blame
from tidings.core.pacing.forecast import Finishing, finishing
from tidings.core.pacing.paces import Allowed, Limits, Pace, allow, limits_of, look, spend
from tidings.core.pacing.rests import Rest, learn, put_off, resting, sweep

__all__ = [
    "Allowed",
    "Felt",
    "Finishing",
    "Limits",
    "Pace",
    "Rest",
    "allow",
    "blame",
    "finishing",
    "learn",
    "limits_of",
    "look",
    "put_off",
    "resting",
    "spend",
    "sweep",
]
