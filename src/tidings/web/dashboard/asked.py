"""One request to the dashboard, as its pages see it: who asks, what was given, and how to answer."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import quote

from starlette.types import Receive

from tidings.core import audit
from tidings.core.audit import Actor
from tidings.core.events import Origin
from tidings.core.users.sessions import Signed
from tidings.errors import NotFound
from tidings.store.tx import Rx, Tx
from tidings.web import params
from tidings.web.access import shorten
from tidings.web.dashboard import said as notices
from tidings.web.dashboard.given import Given
from tidings.web.house import House
from tidings.web.http import HTML_TYPE, Headers, Reply, header

P = ParamSpec("P")
T = TypeVar("T")

NO_STORE: Final = (b"cache-control", b"no-store")


@dataclass(slots=True)
class Streamed:
    """An answer whose body is sent piece by piece; `pieces` is closed whatever happens."""

    pieces: AsyncIterator[bytes]
    content_type: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    status: int = 200


@dataclass(slots=True)
class Shell:
    """What every page of an account shows around its content."""

    account_name: str
    zone: str
    accounts: list[tuple[int, str]]


@dataclass(slots=True)
class Asked:
    """A request. `who`, `seal` and `shell` are there on every route but those for anybody."""

    house: House
    method: str
    path: str
    headers: Headers
    query: dict[str, object]
    given: Given
    holes: dict[str, str]
    client: str
    receive: Receive
    who: Signed | None = None
    secret: str = ""
    seal: str = ""
    shell: Shell | None = None

    # -- who ------------------------------------------------------------------------

    @property
    def signed(self) -> Signed:
        """Who is signed in; only on routes that need it."""
        assert self.who is not None  # noqa: S101 (the door has seen to it)
        return self.who

    @property
    def account_id(self) -> int:
        """The account that is shown."""
        return self.signed.account_id

    @property
    def actor(self) -> Actor:
        """Who acts, for the audit log."""
        return Actor(self.signed.user_id, self.signed.email, shorten(self.client))

    @property
    def origin(self) -> Origin:
        """Where a change comes from, for the history of people."""
        return Origin(door="dashboard", address=self.client)

    @property
    def fragment(self) -> bool:
        """Whether a script of ours asks for a part of a page."""
        return header(self.headers, b"hx-request") == b"true"

    # -- what -----------------------------------------------------------------------

    def id(self, name: str = "id") -> int:
        """Return an id of the path; one beyond 64 bits is not found."""
        number = params.integer(self.holes.get(name))
        if number is None:
            raise NotFound("page")
        return number

    def asks(self, name: str, default: str = "") -> str:
        """Return a parameter of the address as text, trimmed and bounded."""
        found = self.query.get(name)
        return found.strip()[:500].replace("\0", "") if isinstance(found, str) else default

    def asks_id(self, name: str) -> int | None:
        """Return a parameter of the address as an id."""
        return params.integer(self.query.get(name))

    @property
    def page_number(self) -> int:
        """The page of a list that is asked for, from 1."""
        return min(self.asks_id("page") or 1, 10**9)

    # -- the database ------------------------------------------------------------------

    async def read(self, question: Callable[Concatenate[Rx, P], T], *args: P.args, **options: P.kwargs) -> T:
        """Answer a question of the account about a few rows."""
        return await self.house.db.read(self.account_id, question, *args, **options)

    async def scan(self, question: Callable[Concatenate[Rx, P], T], *args: P.args, **options: P.kwargs) -> T:
        """Answer a question that reads many rows, in a thread."""
        return await self.house.db.scan(self.account_id, question, *args, **options)

    async def do(
        self,
        act: str,
        subject: str,
        verb: Callable[Concatenate[Tx, P], T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """Run a verb for the account and note it in the audit log, in one transaction.

        `act` is noun.verb, `subject` what it is done to, in words, without secrets.
        """
        return await self.house.db.write(
            self.account_id, audit.acted, self.actor, act, subject, verb, *args, **options
        )

    async def do_sorted(
        self,
        key: str,
        act: str,
        subject: str,
        verb: Callable[Concatenate[Tx, P], T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """As `do`, for a verb that locks the rows of the mailbox `key` (see `Database.write_sorted`)."""
        return await self.house.db.write_sorted(
            key, self.account_id, audit.acted, self.actor, act, subject, verb, *args, **options
        )

    # -- the answer --------------------------------------------------------------------

    def see(self, place: str, said: str = "", *, wrong: bool = False, headers: Any = ()) -> Reply:
        """Send the browser to another of our pages, which then says `said` once."""
        added = [notices.cookie(self.house, said, wrong=wrong)] if said else []
        target = quote(place, safe="/?&=#%:@+,;~-._").encode()
        location = (b"hx-redirect", target) if self.fragment else (b"location", target)
        status = 200 if self.fragment else 303
        return Reply(status, b"", HTML_TYPE, [location, NO_STORE, *added, *headers])
