"""An in-process client of the v3 API: the whole edge and door, every answer held to the document.

`Api.ask` sends one request and returns the answer; an answer that the OpenAPI document does
not promise fails the test at once, whatever the test is about.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from starlette.types import ASGIApp

from tests.api_v3 import conformance
from tests.web.asgi import FORM, Answer, call
from tidings.store.db import Database
from tidings.tokens import Links
from tidings.web.api_v3 import shapes
from tidings.web.api_v3.door import Door
from tidings.web.house import House
from tidings.web.http import Edge

BASE = "https://tidings.example"
MASTER_KEY = b"a master key of at least 32 octets"
JSON = "application/json"
How = Literal["json", "form", "query"]
# A page for people, not part of the document.
UNDOCUMENTED = ("/docs",)


class Api:
    """The API over one database. `rate_limit` 0 is off, as in `House`."""

    def __init__(self, db: Database, *, rate_limit: int = 0) -> None:
        self.db = db
        self.house = House(db, Links(BASE, MASTER_KEY), rate_limit, sends_nothing=True)
        self.app: ASGIApp = Edge(
            Door(self.house),
            log=logging.getLogger("tidings.access"),
            trusted_proxies=(),
            error_reply=lambda _: shapes.error,
        )

    def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        how: How = "json",
        headers: Mapping[str, str] | None = None,
        client: str = "192.0.2.7",
    ) -> Answer:
        """Send parameters as JSON, as a form or in the query; `path` may hold a query too."""
        if not params:
            return self.send(method, path, headers=headers, client=client)
        if how == "query":
            joint = "&" if "?" in path else "?"
            return self.send(
                method, f"{path}{joint}{urlencode(bracketed(params))}", headers=headers, client=client
            )
        kind, body = (JSON, json.dumps(params)) if how == "json" else (FORM, urlencode(bracketed(params)))
        return self.send(method, path, body.encode(), {"content-type": kind, **(headers or {})}, client)

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        client: str = "192.0.2.7",
    ) -> Answer:
        """Send a request byte for byte."""
        answer = asyncio.run(call(self.app, method, path, headers, body, client))
        if path.partition("?")[0] not in UNDOCUMENTED:
            problems = conformance.check(method, path, answer.status, answer.headers, answer.body)
            assert not problems, f"{problems}\n{answer.text[:500]}"
        return answer


def bracketed(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Flat pairs as Rails writes them: `fields[city]`, `tags[]`, `tag[0][name]`."""
    return [pair for name, value in params.items() for pair in _pairs(name, value)]


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _pairs(f"{name}[{key}]", item)]
    if isinstance(value, list):
        # Objects need an index, or their keys would run together.
        steps = [f"[{at}]" if isinstance(item, Mapping) else "[]" for at, item in enumerate(value)]
        return [pair for step, item in zip(steps, value, strict=True) for pair in _pairs(name + step, item)]
    return [(name, str(value).lower() if isinstance(value, bool) else str(value))]


def said(answer: Answer) -> tuple[int, str, str]:
    """The status, `error` and `message` of a failure, whose body has exactly these two keys."""
    body = json.loads(answer.body)
    assert list(body) == ["error", "message"], body
    return answer.status, body["error"], body["message"]


def read(answer: Answer, status: int = 200) -> Any:
    """The JSON of an answer that has this status."""
    assert answer.status == status, f"{answer.status}: {answer.text[:500]}"
    return json.loads(answer.body)
