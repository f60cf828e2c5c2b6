"""Blame: of whom a passing refusal speaks, the provider or the recipient's domain.

A relay's 4xx rarely says it plainly. Where the enhanced code (RFC 3463) tells, it decides; else both
are treated with care: the provider is given less, and a domain that puts off five in a row rests.
"""

import enum
import re

_REPLY = re.compile(r"(?:given up: |the server answered )?(4\d\d)(?:[ -]+4\.(\d{1,3})\.\d{1,3}(?![.\d]))?")
# RFC 3463, 3.2 and 3.3: the address and the mailbox; 3.5: the way to the domain.
_MAILBOX, _WAY = (1, 2), 4
# 3.4 and 3.6: the system that we speak with, and the protocol with it.
_PROVIDER = (3, 5)
_CLOSING = 421


class Felt(enum.IntEnum):
    """How a provider took a batch: nothing to say, some of it put off, or so much that it throttles."""

    NOTHING = 0
    DEFERRED = 1
    THROTTLED = 2


def blame(reply: str) -> tuple[bool, bool]:
    """Return whether a 4xx, with its code, may speak of the provider, and whether of the domain."""
    found = _REPLY.match(reply)
    if found is None:
        return False, False
    if int(found[1]) == _CLOSING:
        return True, False
    subject = int(found[2]) if found[2] else None
    if subject in _MAILBOX:
        return False, False
    return subject != _WAY, subject not in _PROVIDER
