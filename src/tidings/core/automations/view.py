"""A person as one run of a rule finds them, with what its earlier actions have changed.

The same view serves a run and a try: a try notes in it what would be, a run what is.
"""

import msgspec

from tidings.core import entries, purchases, subscriptions
from tidings.core.events import Origin
from tidings.core.subscribers import Subscriber
from tidings.store.tx import Rx


class View:
    """Who it is about, and what they are in."""

    def __init__(self, rx: Rx, who: Subscriber) -> None:
        self.rx = rx
        self.who = who
        self._noted: dict[tuple[str, int], bool] = {}
        self._left = False

    @property
    def gone(self) -> bool:
        """Whether they have left or cannot be reached any more: no rule brings them back."""
        return self.who.state not in ("active", "inactive")

    def has(self, kind: str, ref_id: int) -> bool:
        """Say whether they are in a form or sequence, or have a tag."""
        noted = self._noted.get((kind, ref_id))
        if noted is not None or (self._left and kind != "tag"):
            return bool(noted)
        found = subscriptions.find(self.rx, self.who.id, kind, ref_id)
        return found is not None and found.ended_at is None

    def inside(self, sequence_id: int) -> bool:
        """Say whether they are on their way through a sequence, or held at its end."""
        noted = self._noted.get(("sequence", sequence_id))
        if noted is not None or self._left:
            return bool(noted)
        return self._entered(sequence_id, ("inside", "held"))

    def been_through(self, sequence_id: int) -> bool:
        """Say whether they have come to the end of a sequence."""
        return self._entered(sequence_id, ("ended",))

    def field(self, key: str) -> str | None:
        """Return the value of a custom field."""
        return self.who.fields.get(key) or None

    def bought(self, pid: str | None) -> bool:
        """Say whether they have bought a product, or (None) anything."""
        return purchases.bought(self.rx, self.who.id, pid)

    def note(self, kind: str, ref_id: int, *, inside: bool) -> None:
        """Take something for changed."""
        self._noted[kind, ref_id] = inside

    def note_left(self) -> None:
        """Take them for unsubscribed: out of every form and sequence."""
        self.who = msgspec.structs.replace(self.who, state="cancelled")
        self._left = True
        self._noted = {key: False if key[0] != "tag" else held for key, held in self._noted.items()}

    def _entered(self, sequence_id: int, states: tuple[str, ...]) -> bool:
        latest: str | None = None
        for entry in entries.of_subscriber(self.rx, self.who.id):
            if entry.sequence_id == sequence_id:
                latest = entry.state
        return latest in states


def origin(rule_id: int, *, depth: int, event_id: int | None) -> Origin:
    """Return the cause of what a rule does."""
    return Origin("rule", source=f"rule:{rule_id}", depth=depth, event=event_id or 0)
