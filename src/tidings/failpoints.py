"""Failpoints: places where a rig may have the process killed, or stopped, on purpose.

Nothing is armed unless `TIDINGS_FAILPOINT` says so, as `name` or `name:n` (at the n-th pass),
with `stop:` in front to be stopped instead of killed.
"""

import os
import signal

_armed: dict[str, int] = {}
_signal = signal.SIGKILL


def arm(said: str) -> None:
    """Arm what the setting names; an empty one disarms all."""
    global _signal
    _armed.clear()
    _signal = signal.SIGSTOP if said.startswith("stop:") else signal.SIGKILL
    name, _, count = said.removeprefix("stop:").partition(":")
    if name:
        _armed[name] = int(count or 1)


def at(name: str) -> None:
    """Pass a place; the armed one ends the process here."""
    if _armed and name in _armed:
        _armed[name] -= 1
        if _armed[name] == 0:
            os.kill(os.getpid(), _signal)
