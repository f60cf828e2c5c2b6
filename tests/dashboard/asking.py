"""Asks a dashboard's door as one of the users of the world, and names who they are."""

import asyncio
import hmac
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tests.dashboard.world import World
from tests.web.asgi import Answer, call
from tests.web.doors import KEY
from tidings.web.dashboard.door import Door
from tidings.web.http import TooLarge

OURS: Final = {"sec-fetch-site": "same-origin"}
# What the browser says of a POST that another site caused.
FOREIGN: Final = (
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": "http://tidings.test"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://tidings.test.evil.example"},
    {"host": "evil.example"},
)
# A role's rank as RANKS has it; who is not let in at all has none.
ROLES: Final = ("viewer", "editor", "owner")
OUTSIDE: Final = ("nobody", "ended", "dismissed", "junk")


class Who(NamedTuple):
    """One who asks: their cookie's secret, and whose account they see."""

    name: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return {"cookie": f"tidings={self.secret}"} if self.secret else {}

    @property
    def seal(self) -> str:
        """The seal that their forms would bear: an HMAC of the secret (session.py)."""
        return hmac.digest(KEY, b"form seal\0" + self.secret.encode(), "sha256").hex()


class Asking:
    """A door of a world; use it as a context."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._runner = asyncio.Runner()
        self.door = Door(world.house)

    def __enter__(self) -> "Asking":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def who(self, name: str) -> Who:
        """Return a user by role; of Ada's account, or with `eve.` before it of Eve's."""
        if name == "nobody":
            return Who(name, "")
        if name == "junk":
            return Who(name, "j" * 32)
        account = self.world.eve if name.startswith("eve.") else self.world.ada
        return Who(name, account.secrets[name.removeprefix("eve.")])

    def ask(
        self,
        method: str,
        path: str,
        who: Who | None = None,
        body: bytes | Mapping[str, str] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request."""
        sent = {**(who.headers if who else {}), **(headers or {})}
        try:
            return self._runner.run(call(self.door, method, path, sent, body))
        except TooLarge:
            # The edge around all doors says so.
            return Answer(413, {}, b"")

    def post(self, path: str, who: Who, given: Mapping[str, str] | None = None) -> Answer:
        """Post a form as its page would."""
        return self.ask("POST", path, who, {"seal": who.seal, **(given or {})}, OURS)


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Return the tables whose rows differ."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def sent_to_sign_in(answer: Answer) -> bool:
    """Whether an answer asks to sign in."""
    return answer.status == 401 or (
        answer.status == 303 and answer.headers["location"].startswith("/sign-in")
    )


def labels(routes: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{method} {pattern}" for method, pattern in routes]
