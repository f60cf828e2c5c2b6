"""Writing: several people at one draft, each change over what its author has seen."""

from collections.abc import Mapping

import msgspec

from tidings.core import broadcasts
from tidings.core.broadcasts import Broadcast, Draft, course, shown
from tidings.errors import Conflict, Invalid
from tidings.store.tx import Tx

# Half a megabyte of words is a book; what images weigh is not in it.
WORDS_MAX = 500_000


class Changed(Conflict):
    """Somebody else has saved meanwhile; `current` is what stands now, and nothing was written."""

    def __init__(self, current: Broadcast) -> None:
        super().__init__("Somebody else has changed this broadcast since you opened it")
        self.current = current


def save(tx: Tx, broadcast_id: int, given: Mapping[str, object], sender: str, *, version: int) -> Broadcast:
    """Change these values (names of `Draft`) of a draft that still is as its author saw it.

    Raises `Changed` where it is not, and Conflict for what is no draft any more. What is the same
    already changes nothing, the version neither.
    """
    for name in ("content", "source", "text"):
        value = given.get(name)
        if isinstance(value, str) and len(value) > WORDS_MAX:
            raise Invalid(name, f"is too long (maximum is {WORDS_MAX:,} characters)")
    course.lock(tx, broadcast_id)
    current = broadcasts.find(tx, broadcast_id)
    if all(_same(getattr(current, name), value) for name, value in given.items()):
        return current
    if current.status != "draft":
        raise Conflict("Only a draft can be changed: this broadcast is on its way, or was sent")
    if current.version != version:
        raise Changed(current)
    return broadcasts.revise(tx, broadcast_id, given, sender)


def duplicate(tx: Tx, broadcast_id: int, sender: str) -> Broadcast:
    """Write a draft with the words and the audience of another broadcast, whatever became of that."""
    held = broadcasts.find(tx, broadcast_id)
    own = {name: getattr(held, name) for name in Draft.__struct_fields__ if name not in _OF_ONE_TIME}
    made = broadcasts.create(tx, msgspec.convert(own, Draft), sender)
    course.set_audience(tx, made.id, shown.parts(tx, broadcast_id))
    return made


_OF_ONE_TIME = ("send_at", "published_at", "email_address")


def _same(held: object, given: object) -> bool:
    return held == given or (held in (None, "") and given in (None, ""))
