"""The smallest client of an ASGI application: one request, one answer, in process."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlencode

from starlette.types import ASGIApp

FORM = "application/x-www-form-urlencoded"


class Answer(NamedTuple):
    """What came back; header names are in lower case, the last of several wins."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | Mapping[str, str] = b"",
    client: str = "192.0.2.7",
) -> Answer:
    """Send a request; a body of pairs goes as a form. `path` may hold a query string."""
    sent = {"host": "tidings.test", **(headers or {})}
    if isinstance(body, Mapping):
        body = urlencode(body).encode()
        sent.setdefault("content-type", FORM)
    if body:
        sent["content-length"] = str(len(body))
    plain, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(plain),
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
        "client": (client, 50_000),
        "tidings.client": client,
    }
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start = messages[0]
    got = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], got, b"".join(one.get("body", b"") for one in messages[1:]))
