"""One request of the v3 API as its endpoint sees it, and v3's way of reading parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from tidings.core.counters import DAY_MS
from tidings.core.events import Origin
from tidings.errors import Invalid, Missing
from tidings.store.tx import Rx, Tx
from tidings.web import params
from tidings.web.house import House

P = ParamSpec("P")
T = TypeVar("T")

# The vendor's word for subscriptions made through the API, which clients read back.
SOURCE = "API::V3::SubscriptionsController (external)"
# No list is longer: 10^12 pages of 50 lie beyond every id, and the product fits 64 bits.
PAGE_MOST = 10**12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Call:
    """A request whose caller is known. `ids` are those of the path; `secret` says what was shown."""

    house: House
    params: dict[str, object]
    ids: list[int]
    account_id: int
    secret: bool
    client: str
    integration_id: int | None = None
    integration: str | None = None

    async def read(self, question: Callable[Concatenate[Rx, P], T], *args: P.args, **options: P.kwargs) -> T:
        """Ask a question for the caller's account."""
        return await self.house.db.read(self.account_id, question, *args, **options)

    async def write(self, verb: Callable[Concatenate[Tx, P], T], *args: P.args, **options: P.kwargs) -> T:
        """Run a verb for the caller's account; answered after the durable commit."""
        return await self.house.db.write(self.account_id, verb, *args, **options)

    @property
    def origin(self) -> Origin:
        """Where changes of this request come from."""
        return Origin(door="api", address=self.client, source=SOURCE)

    def text(self, *names: str) -> str | None:
        """Return the first of these parameters that is not blank."""
        return params.text(self.params, *names)

    def email(self) -> str:
        """Return the address, or raise Missing; one that is not text is as good as malformed."""
        try:
            email = self.text("email", "email_address")
        except params.BadValue as problem:
            raise Invalid("Email address", "is invalid") from problem
        if email is None:
            raise Missing("Subscriber email is required")
        return email

    def table(self, name: str) -> dict[str, Any]:
        """Return a parameter that is an object, or an empty one."""
        value = self.params.get(name)
        return value if isinstance(value, dict) else {}

    def fields(self) -> dict[str, object]:
        """Return custom field values: under `fields`, or by their `ck_field_…` names."""
        own = {name: value for name, value in self.params.items() if name.startswith("ck_field_")}
        return {**own, **self.table("fields")}

    def page(self) -> tuple[int, int]:
        """Return the page as asked, to be echoed, and as it can be looked up."""
        asked = params.integer(self.params.get("page")) or 1
        return asked, min(asked, PAGE_MOST)

    def newest_first(self) -> bool:
        """Return whether `sort_order` is desc; asc is the default."""
        order = self.text("sort_order")
        if order is not None and order.lower() not in ("asc", "desc"):
            raise Invalid("sort_order", "must be asc or desc")
        return order is not None and order.lower() == "desc"

    def days(self, first: str, last: str) -> tuple[int, int] | None:
        """Return a date filter as UTC days, both included; None when neither is given."""
        start, end = self._day(first), self._day(last)
        if start is None and end is None:
            return None
        return (start if start is not None else -(10**6), end if end is not None else 10**6)

    def _day(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        text = value.strip()
        try:
            # Python also reads ISO weeks, such as 2026-W09-6, which are as long.
            if len(text) != len("yyyy-mm-dd") or "W" in text:
                raise ValueError(text)
            return (date.fromisoformat(text) - date(1970, 1, 1)).days
        except ValueError as problem:
            raise Invalid(name, "must be a date such as 2026-02-28") from problem

    def time(self, name: str, value: object = None) -> int | None:
        """Return a time in epoch ms from `YYYY-MM-DD HH:MM:SS` (UTC) or ISO 8601; None when blank."""
        text = params.text({name: self.params.get(name) if value is None else value}, name)
        if text is None:
            return None
        try:
            at = datetime.fromisoformat(text.strip())
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
            seconds = (at - _EPOCH).total_seconds()
        except (ValueError, OverflowError) as problem:
            raise Invalid(name, "must be a time such as 2026-12-01 09:00:00") from problem
        # Years 1 to 9999 are what the answer can be written in.
        if not -719_162 * DAY_MS <= seconds * 1_000 < 2_932_897 * DAY_MS:
            raise Invalid(name, "must be a time such as 2026-12-01 09:00:00")
        return int(seconds * 1_000)
