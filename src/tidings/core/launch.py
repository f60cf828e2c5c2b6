"""Launch: a draft goes out as it was looked at, with a moment in which it can be taken back.

Owns no table. Asking twice sends once: the second time finds it under way.
"""

from tidings.core import broadcasts, sending
from tidings.core.broadcasts import Broadcast, course, shown
from tidings.core.broadcasts.writing import Changed
from tidings.errors import Conflict, Invalid
from tidings.store.tx import Tx

# For this long after "Send" a broadcast can be taken back whole.
UNDO_MS = 10_000
FURTHEST_MS = 366 * 86_400_000


class AnotherAudience(Conflict):
    """Whom it goes to was changed since its sender looked at it."""


def send_off(
    tx: Tx, broadcast_id: int, *, version: int, audience: str, send_at: int | None = None, outbox: bool
) -> Broadcast:
    """Send a draft in `UNDO_MS`, or at a time; one that is scheduled moves to another time.

    `version` and `audience` (`shown.fingerprint`) are what the sender has seen; `outbox` that no mail
    leaves this machine. What is under way already is returned as it is. Raises `Changed`,
    `AnotherAudience`, `sending.NotReady`, and Invalid for a time.
    """
    course.lock(tx, broadcast_id)
    current = broadcasts.find(tx, broadcast_id)
    moves = current.status == "scheduled" and send_at is not None and current.send_at != send_at
    if current.status != "draft" and not moves:
        return current
    if current.version != version:
        raise Changed(current)
    if shown.fingerprint(shown.parts(tx, broadcast_id)) != audience:
        raise AnotherAudience("Somebody else has changed whom this broadcast goes to since you looked")
    if send_at is not None and send_at <= tx.now:
        raise Invalid("send_at", "is past: choose a time that is still to come")
    if send_at is not None and send_at > tx.now + FURTHEST_MS:
        raise Invalid("send_at", "is more than a year away")
    sending.freeze(tx, broadcast_id, outbox=outbox)
    return course.schedule(tx, broadcast_id, send_at if send_at is not None else tx.now + UNDO_MS)
