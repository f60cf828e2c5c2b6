"""A render process with planted faults: what a person's first name says happens when their turn comes."""

import os
import sys
import tempfile
import time
from collections.abc import Callable

from tidings.mail import press
from tidings.mail.content import Compiled, Recipient

FAULTS: dict[str, Callable[[], object]] = {
    "hangs": lambda: time.sleep(3_600),
    "spins": lambda: any(False for _ in iter(int, 1)),
    "eats": lambda: [bytearray(2**20) for _ in range(4_096)],
    "eats at once": lambda: bytearray(2**40),
    "dies": lambda: os._exit(3),
    "aborts": os.abort,
    "writes": lambda: os.write(tempfile.mkstemp(dir=sys.argv[1])[0], b"x"),
    "fails": lambda: 1 / 0,
}
genuine = Compiled.message


def message(self: Compiled, person: Recipient) -> bytes:
    """Do as the name says, or write the message."""
    FAULTS.get(person.first_name or "", lambda: None)()
    return genuine(self, person)


if __name__ == "__main__":
    Compiled.message = message  # type: ignore[method-assign]
    press.main()
