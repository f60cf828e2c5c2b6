"""Paces: what one provider may be given now, by the owner's limits and by how it takes it.

A relay that is not this machine is offered 10 mails a second at first; the rate doubles every ten
seconds while it is what holds the mail up and nothing is deferred, and halves when the provider
throttles. The lane `now` counts like all, but only the owner's limits hold it up.
"""

import msgspec

from tidings.core.pacing import windows as counted
from tidings.core.pacing.blame import Felt
from tidings.core.pacing.windows import MEASURED, Windows
from tidings.mail import provider
from tidings.store.tx import Row, Rx, Tx

RATE_FIRST = 10
RATE_LEAST = 1
RATE_MOST = 100_000
CHANGE_MS = 10_000
# Somebody else has the row in hand, for one commit.
BUSY_MS = 15
# So long bulk mail leaves room for mail of the lane `now` that found the windows full.
AWAITED_MS = 5_000
AWAITED_MOST = 8
NOW = "now"


class Limits(msgspec.Struct, frozen=True):
    """The owner's limits for a provider; 0 is no limit. `ramps`: it begins slowly."""

    provider: str = ""
    per_second: int = 0
    per_minute: int = 0
    per_hour: int = 0
    per_day: int = 0
    ramps: bool = False

    @property
    def free(self) -> bool:
        """Whether nothing is limited, so that nothing needs to be counted."""
        return not (self.ramps or self.windows())

    def windows(self) -> dict[str, int]:
        """Return the most mails of each window that is limited."""
        given = {name: getattr(self, f"per_{name}") for name in counted.LENGTHS_MS}
        return {name: most for name, most in given.items() if most}


class Pace(msgspec.Struct):
    """How a provider is treated now; times in epoch ms. `rate` is 0 where it does not begin slowly."""

    rate: int
    raised_at: int
    slowed_at: int
    deferred_at: int
    awaited: int
    awaited_at: int
    windows: Windows

    def measured(self) -> float:
        """Return how many mails a second were given in the last ten seconds, of a pace that was looked at."""
        return self.windows[MEASURED].taken * 1_000 / counted.MEASURED_MS


class Allowed(msgspec.Struct):
    """What may be claimed now, and after how long to ask again if that is nothing."""

    n: int
    wait_ms: int
    lane: str
    wanted: int
    provider: str = ""
    pace: Pace | None = None
    changed: bool = False


def limits_of(settings: provider.Settings) -> Limits:
    """Return the limits that an SMTP URL sets; only this machine's own relay begins at full speed."""
    return Limits(
        provider=f"{settings.host.lower()}:{settings.port}",
        per_second=settings.per_second,
        per_minute=settings.per_minute,
        per_hour=settings.per_hour,
        per_day=settings.per_day,
        ramps=not provider.is_loopback(settings.host),
    )


def allow(
    tx: Tx, limits: Limits, wanted: int, *, lane: str, felt: Felt = Felt.NOTHING, unused: int = 0
) -> Allowed:
    """Return how many of `wanted` mails may be claimed now; `spend` says how many were.

    `felt` is how the provider took the mail since the last time, `unused` how many of what was spent
    never went to it. The row stays locked until the commit.
    """
    pace = _locked(tx, limits)
    if pace is None:
        return Allowed(0, BUSY_MS, lane, wanted)
    asked = Allowed(0, 0, lane, wanted, limits.provider, pace)
    for window in pace.windows.values():
        asked.changed |= window.age(tx.now)
        if unused:
            window.give_back(unused)
            asked.changed = True
    if limits.ramps:
        asked.changed |= _feel(pace, felt, tx.now) or _raise(pace, limits, wanted, lane, tx.now)
    rooms = _rooms(pace, limits, lane, tx.now)
    asked.n = max(min([wanted, *rooms.values()]), 0)
    if not asked.n:
        full = [(pace.windows[name], room) for name, room in rooms.items() if room < 1]
        asked.wait_ms = max((window.wait_ms(1 - room, tx.now) for window, room in full), default=0)
    return asked


def spend(tx: Tx, allowed: Allowed, n: int) -> None:
    """Count what was claimed of what was allowed in the same transaction."""
    pace = allowed.pace
    if pace is None:
        return
    if n:
        for window in pace.windows.values():
            window.add(n, tx.now)
    if allowed.lane == NOW:
        _await(pace, allowed, n, tx.now)
    if not (n or allowed.changed):
        return
    tx.run(
        "UPDATE paces SET rate = :rate, raised_at = :raised_at, slowed_at = :slowed_at,"
        " deferred_at = :deferred_at, windows = :windows, awaited = :awaited, awaited_at = :awaited_at"
        " WHERE account_id = 0 AND provider = :provider",
        rate=pace.rate,
        raised_at=pace.raised_at,
        slowed_at=pace.slowed_at,
        deferred_at=pace.deferred_at,
        windows=counted.encode(pace.windows),
        awaited=pace.awaited,
        awaited_at=pace.awaited_at,
        provider=allowed.provider,
    )


def look(rx: Rx, limits: Limits) -> Pace | None:
    """Return how a provider is treated, as of now; None for one that was never asked for."""
    row = rx.one(_LOOK, provider=limits.provider)
    if row is None:
        return None
    pace = _pace(row, limits)
    for window in pace.windows.values():
        window.age(rx.now)
    return pace


_LOOK = (
    "SELECT rate, raised_at, slowed_at, deferred_at, awaited, awaited_at, windows FROM paces"
    " WHERE account_id = 0 AND provider = :provider"
)


def _locked(tx: Tx, limits: Limits) -> Pace | None:
    """Return the provider's pace, made at the first time; None while another process has it."""
    # Not waited for: who waits here holds what the other one may need.
    row = tx.one(_LOOK + " {skip_locked}", provider=limits.provider)
    if row is None:
        row = tx.one(
            "INSERT INTO paces (account_id, provider, rate, raised_at, slowed_at, deferred_at, windows,"
            " awaited, awaited_at) VALUES (0, :provider, :rate, :now, 0, 0, '{}', 0, 0)"
            " ON CONFLICT (account_id, provider) DO NOTHING"
            " RETURNING rate, raised_at, slowed_at, deferred_at, awaited, awaited_at, windows",
            provider=limits.provider,
            rate=RATE_FIRST,
            now=tx.now,
        )
    return _pace(row, limits) if row else None


def _pace(row: Row, limits: Limits) -> Pace:
    names = {**limits.windows(), MEASURED: 0, **({"second": 0} if limits.ramps else {})}
    rate, raised_at, slowed_at, deferred_at, awaited, awaited_at, text = row
    windows = counted.decode(text, list(names))
    return Pace(rate, raised_at, slowed_at, deferred_at, awaited, awaited_at, windows)


def _feel(pace: Pace, felt: Felt, now: int) -> bool:
    """Slow down if the provider throttles, once in ten seconds; return whether anything changed."""
    if felt is Felt.NOTHING:
        return False
    pace.deferred_at = now
    if felt is Felt.THROTTLED and not 0 <= now - pace.slowed_at < CHANGE_MS:
        pace.rate = max(pace.rate // 2, RATE_LEAST)
        pace.slowed_at = now
    return True


def _await(pace: Pace, allowed: Allowed, n: int, now: int) -> None:
    """Note whether mail of the lane `now` had to stay, and for how many bulk mail leaves room."""
    stayed = n == allowed.n < allowed.wanted
    awaited = min(allowed.wanted - allowed.n, AWAITED_MOST) if stayed else 0
    if awaited != pace.awaited or (awaited and now - pace.awaited_at > AWAITED_MS // 4):
        pace.awaited, pace.awaited_at = awaited, now
        allowed.changed = True


def _raise(pace: Pace, limits: Limits, wanted: int, lane: str, now: int) -> bool:
    """Double the rate if it is what holds bulk mail up, and all went well for ten seconds."""
    most = min(limits.per_second or RATE_MOST, RATE_MOST)
    last_at = max(pace.raised_at, pace.slowed_at, pace.deferred_at)
    if lane == NOW or pace.rate >= most or 0 <= now - last_at < CHANGE_MS:
        return False
    others = min([wanted, *_rooms(pace, limits, NOW, now).values()])
    if pace.rate - pace.windows["second"].taken >= others:
        return False
    pace.rate, pace.raised_at = min(pace.rate * 2, most), now
    return True


def _rooms(pace: Pace, limits: Limits, lane: str, now: int) -> dict[str, int]:
    """Return how many mails fit into each window; below 0 where a limit was lowered since."""
    most = limits.windows()
    if limits.ramps and lane != NOW:
        most["second"] = min(pace.rate, most.get("second", pace.rate))
    left = pace.awaited if lane != NOW and 0 <= now - pace.awaited_at < AWAITED_MS else 0
    return {name: n - pace.windows[name].taken - left for name, n in most.items()}
