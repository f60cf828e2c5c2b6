"""Endpoints: how much may be on its way to each host and port, so that a bad one hurts only itself.

An endpoint that answers well may have `per_endpoint` posts on the wire, any other one. Second posts to an
endpoint use the first half of all connections only, and first posts to endpoints that are not known to be
well three quarters: one that is well always finds a connection, however many others hang.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from tidings.core.notices import Due, Notice, Share, Told

# What is claimed ahead of the wire, for an endpoint that answers at once: a commit for each would hold it up.
AHEAD_MOST = 256
FAST_MS = 500
# Webhooks of one claim: some 10 ms of SQLite's write lock. Who has waited least is not behind a thousand.
SHARES_MOST = 200
# What is remembered of endpoints with which nothing goes on.
KNOWN_MOST = 20_000
_PORTS = {"http": 80, "https": 443}


class Endpoint:
    """One host and port; `waiting` are claimed notices with the moment of their claim (s)."""

    __slots__ = ("ahead", "flying", "name", "waiting", "well", "width")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: deque[tuple[Notice, float]] = deque()
        self.flying = 0
        self.width = 1
        self.ahead = 1
        self.well = False

    @property
    def in_hand(self) -> int:
        """How many notices are claimed for it, on the wire or not yet."""
        return self.flying + len(self.waiting)


class Endpoints:
    """All endpoints of one notifier."""

    def __init__(self, at_once: int, per_endpoint: int) -> None:
        self._at_once = at_once
        self._per_endpoint = per_endpoint
        self._known: dict[str, Endpoint] = {}
        # Those for which something claimed is not yet on the wire.
        self._lined: dict[str, Endpoint] = {}
        self._served: dict[tuple[int, int], int] = {}
        self._turn = 0
        self.flying = 0
        self.in_hand = 0

    def of(self, url: str) -> Endpoint:
        """Return the endpoint of an address."""
        name = name_of(url)
        found = self._known.pop(name, None) or Endpoint(name)
        # The one used last stands last.
        self._known[name] = found
        if len(self._known) > KNOWN_MOST:
            self._forget()
        return found

    def shares(self, due: Iterable[Due], now: int) -> list[Share]:
        """Say how many of each webhook to claim: who was served longest ago comes first."""
        ready = [one for one in due if one.due_at <= now]
        ready.sort(key=lambda one: (self._served.get((one.account_id, one.webhook_id), 0), one.due_at))
        by_endpoint: dict[str, list[Due]] = {}
        shares: list[Share] = []
        for one in ready:
            if one.url:
                by_endpoint.setdefault(name_of(one.url), []).append(one)
            elif len(shares) < SHARES_MOST // 2:
                # What waits for a webhook that is gone is dropped, whatever else goes on.
                shares.append(Share(one.account_id, one.webhook_id, 1))
        free = self._at_once * 2 - self.in_hand
        beginning = self.flying
        for theirs in by_endpoint.values():
            if len(shares) >= SHARES_MOST:
                break
            endpoint = self.of(theirs[0].url)
            room = min(self._room(endpoint, beginning), free)
            if room > 0:
                beginning += endpoint.in_hand == 0
                free -= room
                shares += self._divided(theirs, room)
        self._remember(ready)
        return shares

    def _divided(self, theirs: list[Due], room: int) -> Iterator[Share]:
        """Divide what one endpoint may have among its webhooks; who gets nothing is first the next time."""
        some = theirs[:room]
        each, more = divmod(room, len(some))
        self._turn += 1
        for at, one in enumerate(some):
            self._served[(one.account_id, one.webhook_id)] = self._turn
            yield Share(one.account_id, one.webhook_id, each + (at < more))

    def _remember(self, ready: list[Due]) -> None:
        """Forget when those were served for whom nothing is due."""
        there = {(one.account_id, one.webhook_id) for one in ready}
        self._served = {place: turn for place, turn in self._served.items() if place in there}

    def _room(self, endpoint: Endpoint, flying: int) -> int:
        """Return how many more may be claimed for an endpoint, with so many on the wire."""
        if endpoint.in_hand == 0 and not self._may_begin(endpoint, flying):
            return 0
        # Few claims of many, not one after each answer.
        if endpoint.in_hand > endpoint.ahead // 2:
            return 0
        return endpoint.ahead - endpoint.in_hand

    def _may_begin(self, endpoint: Endpoint, flying: int) -> bool:
        if endpoint.flying:
            return flying < self._at_once // 2
        return flying < (self._at_once if endpoint.well else self._at_once * 3 // 4)

    def may_fly(self, endpoint: Endpoint) -> bool:
        """Whether one more post to it may begin now."""
        if not endpoint.waiting or endpoint.flying >= endpoint.width:
            return False
        return self._may_begin(endpoint, self.flying)

    def line(self, notice: Notice, at: float) -> None:
        """Let a notice that was claimed at a moment wait for its endpoint."""
        endpoint = self.of(notice.url)
        endpoint.waiting.append((notice, at))
        self._lined[endpoint.name] = endpoint
        self.in_hand += 1

    def take(self, endpoint: Endpoint) -> tuple[Notice, float]:
        """Return what has waited longest for an endpoint, and the moment of its claim."""
        first = endpoint.waiting.popleft()
        self.in_hand -= 1
        if not endpoint.waiting:
            self._lined.pop(endpoint.name, None)
        return first

    def take_all(self, endpoint: Endpoint) -> list[Notice]:
        """Return all that waits for an endpoint."""
        return [self.take(endpoint)[0] for _ in range(len(endpoint.waiting))]

    def began(self, endpoint: Endpoint) -> None:
        """Note that a post is on the wire."""
        self.in_hand += 1
        endpoint.flying += 1
        self.flying += 1

    def ended(self, endpoint: Endpoint, told: Told) -> list[Notice]:
        """Note how a post ended; return what is to be given back, since the endpoint is not well."""
        endpoint.flying -= 1
        self.flying -= 1
        self.in_hand -= 1
        if told.overloaded:
            endpoint.well, endpoint.width, endpoint.ahead = False, 1, 1
            return self.take_all(endpoint)
        # It answers: a 404 is the matter of one address.
        endpoint.well = True
        if told.fine:
            endpoint.width = min(endpoint.width * 2, self._per_endpoint)
            fast = told.took_ms <= FAST_MS
            endpoint.ahead = min(endpoint.ahead * 2, AHEAD_MOST) if fast else endpoint.width
        return []

    def lined(self) -> list[Endpoint]:
        """Return the endpoints for which something claimed is not yet on the wire."""
        return list(self._lined.values())

    def _forget(self) -> None:
        """Forget the half used longest ago, but for those with which something goes on."""
        names = list(self._known)[: KNOWN_MOST // 2]
        for name in names:
            if not self._known[name].in_hand:
                del self._known[name]


def name_of(url: str) -> str:
    """Return host and port of an address that was checked when it was kept."""
    parts = urlsplit(url)
    return f"{(parts.hostname or '').rstrip('.')}:{parts.port or _PORTS.get(parts.scheme, 0)}"


def signed_headers(message_id: str, timestamp_s: int, signatures: Iterable[str]) -> Mapping[str, str]:
    """Return the headers of Standard Webhooks 1.0 beside the content type."""
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }
