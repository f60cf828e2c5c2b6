"""Windows: how many mails were taken in the last second, minute, hour and day.

Not from the full second or hour on, but back from any moment: twice a limit around midnight would be
twice what the provider allows.
"""

import msgspec

# Mails that were taken within this part of a window are one entry, which ages with the last of them:
# at most 1.7 % is given away, and a window is at most some hundred entries.
_PARTS = 60
LENGTHS_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
# The last ten seconds: no limit, but how fast it really goes.
MEASURED = "measured"
MEASURED_MS = 10_000


class Entry(msgspec.Struct, array_like=True):
    """Mails that were taken between two moments (epoch ms)."""

    first_at: int
    last_at: int
    n: int


class Window(msgspec.Struct):
    """The mails of the last `length_ms`, oldest first."""

    length_ms: int
    entries: list[Entry]

    def age(self, now: int) -> bool:
        """Forget what is past; return whether a clock was set back, and what lay ahead counts as of now."""
        self.entries = [one for one in self.entries if one.last_at > now - self.length_ms]
        ahead = [one for one in self.entries if one.last_at > now]
        for one in ahead:
            one.first_at, one.last_at = min(one.first_at, now), now
        return bool(ahead)

    @property
    def taken(self) -> int:
        """How many mails are in it."""
        return sum(one.n for one in self.entries)

    def add(self, n: int, now: int) -> None:
        """Count mails that are taken now."""
        last = self.entries[-1] if self.entries else None
        if last is not None and now - last.first_at < self.length_ms // _PARTS:
            last.n += n
            last.last_at = now
        else:
            self.entries.append(Entry(now, now, n))

    def give_back(self, n: int) -> None:
        """Uncount the newest of what was taken and not used."""
        while n > 0 and self.entries:
            last = self.entries[-1]
            fewer = min(n, last.n)
            last.n -= fewer
            n -= fewer
            if not last.n:
                self.entries.pop()

    def wait_ms(self, surplus: int, now: int) -> int:
        """Return after how long `surplus` mails have aged out of it."""
        for one in self.entries:
            surplus -= one.n
            if surplus <= 0:
                return max(one.last_at + self.length_ms - now, 1)
        return self.length_ms


Windows = dict[str, Window]


def decode(text: str, names: list[str]) -> Windows:
    """Read the windows of these names; those not counted so far begin empty."""
    known = msgspec.json.decode(text, type=dict[str, list[Entry]])
    lengths = {**LENGTHS_MS, MEASURED: MEASURED_MS}
    return {name: Window(lengths[name], known.get(name, [])) for name in names}


def encode(windows: Windows) -> str:
    """Write windows as `decode` reads them."""
    return msgspec.json.encode({name: one.entries for name, one in windows.items()}).decode()
