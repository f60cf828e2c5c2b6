"""What a sink's script may hold: replies and faults, step by step."""

import enum
from collections.abc import Mapping, Sequence


class Fault(enum.Enum):
    """What can go wrong besides a refusal."""

    FIN = "closes"
    RST = "resets"
    STALL = "says nothing"
    GARBAGE = "says what is no reply"
    LONG = "says a line without end"
    HALF = "says half a reply and closes"
    HALF_STALL = "says half a reply and nothing more"
    HALF_LINES = "says one line of several and closes"
    DRIP = "says a byte now and then"


Act = str | bytes | Fault
Script = Mapping[str, Act | Sequence[Act | None]]

SAYS = {
    Fault.GARBAGE: b"hello there\r\n",
    Fault.LONG: b"250 " + b"x" * 100_000,
    Fault.HALF: b"25",
    Fault.HALF_STALL: b"25",
    Fault.HALF_LINES: b"250-first\r\n",
}


def read_script(given: object) -> Script:
    """Read a script from JSON: a fault is written by its name, as "RST"."""
    names = {fault.name: fault for fault in Fault}

    def act(one: object) -> Act | None:
        return None if one is None else names.get(str(one), str(one))

    assert isinstance(given, dict), "a script is an object of step and act"
    return {
        step: [act(each) for each in one] if isinstance(one, list) else act(one) or ""
        for step, one in given.items()
    }
