"""The sandbox: a throw-away Tidings for those who write for the ConvertKit API.

One process serves the whole of v3 from a private temporary folder and runs the engine beside it, on
one clock that a control address (`/sandbox`) turns. Mail is kept and never sent, and webhooks reach
loopback alone. It reads no setting: nothing of a real installation can lead it outside.
"""

from tidings.sandbox.serving import RATE_LIMIT, Ready, Wanted, run
from tidings.sandbox.world import API_KEY, API_SECRET

__all__ = ["API_KEY", "API_SECRET", "RATE_LIMIT", "Ready", "Wanted", "run"]
