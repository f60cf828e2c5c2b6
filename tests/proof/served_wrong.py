"""Runs one web process with a planted bug, for the rig of `test_fuzz.py`: `served_wrong.py PORT BUG`.

Each bug is one that a check must see; a rig that has never been red proves nothing.
"""

import os
import re
import sys
from collections.abc import Callable

from starlette.types import Receive, Scope

from tidings import app, settings
from tidings.core import counters
from tidings.web.api_v3.door import Door
from tidings.web.http import Reply, json_reply

Bug = Callable[[str, str, bytes, Reply], Reply]
ACCOUNT = {"name": "Ada", "plan_type": "creator", "primary_email_address": "ada@example.com"}


def crash(method: str, path: str, query: bytes, reply: Reply) -> Reply:
    """Fail on a value that is rare: a page beyond 32 bits."""
    page = re.search(rb"\bpage=([0-9]{1,18})\b", query)
    if path == "/v3/broadcasts" and page and int(page[1]) >= 2**31:
        raise OverflowError("page")
    return reply


def status(method: str, path: str, query: bytes, reply: Reply) -> Reply:
    """Answer with a status that no document knows."""
    return Reply(202) if (method, reply.status) == ("DELETE", 204) else reply


def content_type(method: str, path: str, query: bytes, reply: Reply) -> Reply:
    """Call JSON a page."""
    return Reply(200, reply.body, b"text/html; charset=utf-8") if path == "/v3/account" else reply


def location(method: str, path: str, query: bytes, reply: Reply) -> Reply:
    """Forget a header that is promised."""
    return Reply(201, reply.body) if reply.status == 201 else reply


def shape(method: str, path: str, query: bytes, reply: Reply) -> Reply:
    """Forget a key of an answer."""
    known = path == "/v3/account" and reply.status == 200
    return json_reply(200, {"name": "Ada", "plan_type": "creator"}) if known else reply


def whole(method: str, path: str, query: bytes, reply: Reply) -> Reply:
    """Answer percents without a fraction, which JSON Schema cannot tell from one with."""
    return Reply(200, reply.body.replace(b":0.0", b":0")) if path.endswith("/stats") else reply


def open_door(method: str, path: str, query: bytes, reply: Reply) -> Reply:
    """Let everybody in."""
    return json_reply(200, ACCOUNT) if path == "/v3/account" and reply.status == 401 else reply


def lost(method: str, path: str, query: bytes, reply: Reply) -> Reply:
    """Answer with an id that nothing has."""
    if method == "POST" and reply.status == 201:
        return Reply(201, re.sub(rb'"id":(\d+)', rb'"id":9\g<1>999', reply.body, count=1))
    return reply


def no_allow(method: str, path: str, query: bytes, reply: Reply) -> Reply:
    """Refuse a method without saying which are answered."""
    return Reply(405, reply.body) if reply.status == 405 else reply


BUGS = {bug.__name__: bug for bug in (crash, status, content_type, location, shape, whole, open_door, lost)}
BUGS["no_allow"] = no_allow


def _plant(name: str) -> None:
    right = Door._answer

    async def wrong(self: Door, scope: Scope, receive: Receive, method: str, path: str) -> Reply:
        if name == "undead" and method == "DELETE" and path.startswith("/v3/broadcasts/"):
            return Reply(204)  # it says that it is gone, and keeps it
        reply = await right(self, scope, receive, method, path)
        return BUGS[name](method, path, scope["query_string"], reply) if name in BUGS else reply

    Door._answer = wrong  # type: ignore[method-assign]
    if name == "uncounted":
        counters.count = lambda *_: None


if __name__ == "__main__":
    os.environ["TIDINGS_PORT"] = sys.argv[1]
    _plant(sys.argv[2])
    sys.exit(app.serve_web(settings.load()))
