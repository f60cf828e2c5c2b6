"""Browsers that are signed in, one for each role, with the seal that their forms need."""

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
    """Somebody at the dashboard of one account."""

    def __init__(self, here: Rooms, door: Door, role: str = "owner", account_id: int | None = None) -> None:
        self._door = door
        account = account_id or here.account_id
        if role == "owner":
            secret = here.db.write_now(account, sessions.link)
            answer = ask(door, "POST", f"/sign-in/{secret}", headers=OURS)
            cookie = answer.headers["set-cookie"].partition(";")[0]
        else:
            user = here.db.write_now(account, users.admit, f"{role}@example.com", role)
            begun = here.db.write_now(account, sessions.begin, user.id, agent="", address="192.0.2.0")
            cookie = f"tidings={begun}"
        self._headers = {"cookie": cookie, **OURS}
        found = re.search(r'name="seal" value="([0-9a-f]{64})"', self.get("/outbox").text)
        assert found
        self.seal = found[1]

    def get(self, path: str) -> Answer:
        return ask(self._door, "GET", path, headers=self._headers)

    def text(self, path: str) -> str:
        """What a page says, once its signs are read as a browser reads them."""
        answer = self.get(path)
        assert answer.status == 200, (path, answer.status)
        return html.unescape(answer.text)

    def post(self, path: str, fields: Mapping[str, str] | None = None, **headers: str) -> Answer:
        return ask(
            self._door,
            "POST",
            path,
            {"seal": self.seal, **(fields or {})},
            {**self._headers, **{name.replace("_", "-"): value for name, value in headers.items()}},
        )

    def said(self, answer: Answer) -> str:
        """The sentence that an answer leaves, as the page after it says it."""
        cookie = answer.headers["set-cookie"].partition(";")[0]
        headers = {**self._headers, "cookie": f"{self._headers['cookie']}; {cookie}"}
        page = ask(self._door, "GET", answer.headers["location"].partition("#")[0], headers=headers)
        found = re.search(r'role="(?:status|alert)"><p>(.*?)</p>', page.text)
        return html.unescape(found[1]) if found else ""


def wrong_at(answer: Answer) -> dict[str, str]:
    """What is said beside each field of a form that was refused."""
    found = re.findall(r'<p class="wrong" id="([\w-]+)-wrong">(.*?)</p>', answer.text)
    return {name: html.unescape(said) for name, said in found}
