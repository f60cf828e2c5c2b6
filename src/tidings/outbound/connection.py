"""One connection to the other side, and a count of all: what it may send us is bounded here."""

import asyncio
from typing import Any

from aiohttp.client_proto import ResponseHandler

# Octets of one answer, heads of 1xx before it and framing included: 64 KiB are for them, 64 KiB for the
# body. The parser beneath bounds a header to 8 KiB and their number to 128, but not the 1xx before.
ANSWER_MAX = 131_072


class Overlong(OSError):
    """The answer is longer than any we read."""


class Count:
    """How many connections are open, and from how many on none is kept for the next request."""

    def __init__(self, kept_max: int) -> None:
        self.kept_max = kept_max
        self.open = 0


class Bounded(ResponseHandler):
    """Cuts the connection where the octets of one answer exceed `most`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: Count, most: int = ANSWER_MAX) -> None:
        super().__init__(loop)
        self._count = count
        self._most = self._left = most
        self._overlong = False
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self._count.open += 1
        self._counted = True
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it no more; say so when we cut it ourselves."""
        # A TLS handshake that fails is lost without having been made.
        self._count.open -= self._counted
        self._counted = False
        super().connection_lost(Overlong("the answer is too long") if self._overlong else exc)

    @property
    def should_close(self) -> bool:
        """Tell whether it is over after this answer: also when too many are open to keep it."""
        return super().should_close or self._count.open > self._count.kept_max

    def set_response_params(self, **options: Any) -> None:
        """A request begins: its answer has the whole room again."""
        self._left = self._most
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Hand on what is within the bounds."""
        if self._overlong:
            return
        self._left -= len(data)
        if self._left >= 0:
            super().data_received(data)
            return
        self._overlong = True
        transport = self.transport
        # The reader gets what there is before it hears of the end.
        super().data_received(data[: self._left])
        self.force_close()
        if transport is not None:
            transport.abort()
