"""Sending: where mail goes, how fast, what waits and why, what was refused, and whether the engine lives."""

import asyncio
from typing import Final, NamedTuple

from tidings.core import checking, heartbeats, pacing, subscribers, users
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import shown
from tidings.core.broadcasts.shown import UnderWay
from tidings.core.deliveries import looks
from tidings.core.deliveries.looks import Reason, Refusals, Unsent, Waiting
from tidings.core.pacing import Limits, Pace, Rest
from tidings.core.pacing.windows import LENGTHS_MS
from tidings.errors import Forbidden
from tidings.store import room
from tidings.store.room import Free
from tidings.store.tx import Rx, Tx
from tidings.web.dashboard import occasions, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.occasions import Why
from tidings.web.dashboard.routing import OWNER, VIEWER, Route
from tidings.web.house import House
from tidings.web.http import Reply

HERE: Final = "sending"
TABS: Final = [
    ("/sending", "Sending", "sending"),
    ("/sending/keys", "Signatures", "keys"),
    ("/sending/suppressions", "Suppressions", "suppressions"),
]
DAYS: Final = 30
_DAY_MS: Final = 86_400_000
# The engine beats every quarter of a lease, 15 s by default; three may be missed.
SILENT_MS: Final = 90_000
RESTS_MOST: Final = 20
_NOT_ALL: Final = (
    "It lets the mail of every account of this installation go, and you do not own all of them."
    " Ask who runs it."
)


class Used(NamedTuple):
    """One of the owner's limits: what was given in the last second, minute, hour or day, and the most."""

    window: str
    taken: int
    most: int


class Speed(NamedTuple):
    """How the provider is treated now; `rate` is 0 where nothing is held up."""

    rate: int
    measured: float
    slowed_at: int
    used: list[Used]


class Sent(NamedTuple):
    """A broadcast under way with what holds its mail up."""

    broadcast: UnderWay
    put_off: int
    reasons: list[Reason]


class Looked(NamedTuple):
    """What the account's rows say."""

    waiting: list[Waiting]
    reasons: dict[str, list[Reason]]
    broadcasts: list[Sent]
    refusals: Refusals
    unsent: list[Unsent]
    why: dict[int, Why]
    people: dict[int, str]


class Installed(NamedTuple):
    """What the installation's rows say: why it is held, the last beat, the pace, the domains that rest."""

    held: str
    beat_at: int | None
    pace: Pace | None
    rests: list[Rest]


async def show(asked: Asked) -> Reply:
    """GET /sending"""
    house = asked.house
    installed = await house.db.read(INSTALLATION, _installed, house.provider.limits)
    now = house.db.clock()
    return pages.page(
        asked,
        200,
        "sending/show.html",
        here=HERE,
        tabs_of=TABS,
        provider=house.provider,
        installed=installed,
        silent=installed.beat_at is None or now - installed.beat_at > SILENT_MS,
        now=now,
        speed=_speed(installed.pace, house.provider.limits),
        disk=await _disk(house),
        # They are the whole installation's: another account's owner is told nothing of them.
        repeated=await house.db.scan(INSTALLATION, checking.unsent)
        if installed.held and await _may_release(asked)
        else None,
        looked=await asked.scan(_looked),
        counted_most=looks.COUNTED_MOST,
        refusals_most=looks.REFUSALS_MOST,
        days=DAYS,
    )


async def resume(asked: Asked) -> Reply:
    """POST /sending/resume: let mail leave a restored copy, of every account."""
    if not await _may_release(asked):
        raise Forbidden(_NOT_ALL)
    released = await asked.do("sending.resume", "the installation", _release)
    if not released:
        return asked.see("/sending", "Nothing was held.")
    return asked.see(
        "/sending", "Mail and webhooks leave again. Broadcasts that are held wait until they are resumed."
    )


async def _may_release(asked: Asked) -> bool:
    return asked.signed.role == "owner" and await asked.house.db.read(
        INSTALLATION, users.owns_everything, asked.signed.user_id
    )


def _release(tx: Tx) -> bool:
    return heartbeats.release(tx)


def _installed(rx: Rx, limits: Limits | None) -> Installed:
    beat = heartbeats.last(rx, "engine")
    resting = [one for one in pacing.resting(rx).values() if one.rest_ms]
    pace = pacing.look(rx, limits) if limits is not None and not limits.free else None
    rests = sorted(resting, key=lambda one: (-one.until_at, one.domain))[:RESTS_MOST]
    return Installed(heartbeats.held(rx), beat[1] if beat else None, pace, rests)


def _speed(pace: Pace | None, limits: Limits | None) -> Speed | None:
    if pace is None or limits is None:
        return None
    used = [
        Used(name, pace.windows[name].taken, most)
        for name, most in limits.windows().items()
        if name in LENGTHS_MS
    ]
    return Speed(pace.rate if limits.ramps else 0, pace.measured(), pace.slowed_at, used)


async def _disk(house: House) -> Free | None:
    """Return how full the disk is, where that holds up mail."""
    if not house.free_space:
        return None
    # A disk that does not answer holds up a thread, and not every request.
    return await asyncio.get_running_loop().run_in_executor(
        None, room.look, house.db.folder, house.free_space
    )


def _looked(rx: Rx) -> Looked:
    unsent = looks.unsent(rx)
    broadcasts = [
        Sent(one, looks.put_off(rx, one.id), looks.reasons(rx, broadcast_id=one.id))
        for one in shown.under_way(rx)
    ]
    people = subscribers.by_ids(rx, list({one.subscriber_id for one in unsent}))
    return Looked(
        looks.waiting(rx),
        {lane: looks.reasons(rx, lane=lane) for lane in ("now", "bulk")},
        broadcasts,
        looks.refusals(rx, rx.now - DAYS * _DAY_MS),
        unsent,
        occasions.words(rx, {one.id: one.occasion for one in unsent}),
        {one.id: one.email for one in people.values()},
    )


ROUTES: Final = (
    Route("GET", "/sending", VIEWER, show),
    Route("POST", "/sending/resume", OWNER, resume, 16_384),
)
