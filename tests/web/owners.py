"""Somebody signed in to the dashboard, for the tests of its pages: a browser's cookies, seal and forms."""

import html
import re
from collections.abc import Mapping

from tests.web.asgi import Answer
from tests.web.doors import Rooms, ask
from tidings.core import users
from tidings.core.users import sessions
from tidings.web.dashboard.door import Door

OURS = {"sec-fetch-site": "same-origin"}


class Browser:
    """One browser at the dashboard of `here`; `email` None is the account's owner."""

    def __init__(
        self, here: Rooms, email: str | None = None, role: str = "owner", account_id: int | None = None
    ) -> None:
        self.here = here
        self.door = Door(here.house)
        self.account_id = account_id or here.account_id
        if email is None:
            self.user_id = here.db.write_now(self.account_id, users.owner_of).id
        else:
            self.user_id = here.db.write_now(self.account_id, users.admit, email, role).id
        self.secret = here.db.write_now(self.account_id, sessions.begin, self.user_id, agent="Firefox/9")
        self.cookies = {"tidings": self.secret}

    @property
    def headers(self) -> dict[str, str]:
        """What it sends with every request."""
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} | OURS

    @property
    def seal(self) -> str:
        """The seal of its session, as a page shows it."""
        found = re.search(r'name="seal" content="([0-9a-f]{64})"', self.get("/settings/you").text)
        assert found
        return found[1]

    def get(self, path: str) -> Answer:
        """Look at a page."""
        return ask(self.door, "GET", path, headers=self.headers)

    def post(self, path: str, values: Mapping[str, str] | None = None, *, seal: str | None = None) -> Answer:
        """Send a form, with the seal unless told otherwise."""
        filled = {"seal": self.seal if seal is None else seal, **(values or {})}
        answer = ask(self.door, "POST", path, filled, self.headers)
        said = answer.headers.get("set-cookie", "")
        if said.startswith("tidings-said="):
            self.cookies["tidings-said"] = said.partition(";")[0].partition("=")[2]
        return answer

    def follow(self, answer: Answer) -> str:
        """Go where an answer sends; return the page's text as a person reads it."""
        assert answer.status == 303, answer.text
        page = self.get(answer.headers["location"])
        self.cookies.pop("tidings-said", None)
        assert page.status == 200
        return html.unescape(page.text)
