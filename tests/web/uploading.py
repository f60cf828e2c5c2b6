"""A form with a file, sent as a browser sends it: whole, in pieces, or cut off."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from tests.web.asgi import Answer
from tests.web.owners import Browser

BOUNDARY = "----tidings7MA4YWxk"


def multipart(
    data: bytes, *, seal: str = "", name: str = "people.csv", boundary: str = BOUNDARY, end: bytes = b"--\r\n"
) -> bytes:
    """Return the body of a form with a seal and a file."""
    mark = b"--" + boundary.encode()
    head = b'\r\nContent-Disposition: form-data; name="seal"\r\n\r\n' + seal.encode() + b"\r\n"
    about = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    file = f"\r\n{about}\r\nContent-Type: text/csv\r\n\r\n"
    return mark + head + mark + file.encode() + data + b"\r\n" + mark + end


def cut(body: bytes, size: int) -> list[bytes]:
    """Cut a body into pieces."""
    return [body[at : at + size] for at in range(0, len(body), size)]


def send(
    who: Browser,
    path: str,
    pieces: Iterable[bytes],
    *,
    breaks: bool = False,
    kind: str = f"multipart/form-data; boundary={BOUNDARY}",
    length: int | None = None,
) -> Answer | None:
    """Post pieces; with `breaks` the connection is gone after them, and there may be no answer."""
    sent = {"host": "tidings.test", "content-type": kind, **who.headers}
    sent |= {"content-length": str(length)} if length is not None else {"transfer-encoding": "chunked"}
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "client": ("192.0.2.7", 50_000),
        "headers": [(key.encode(), value.encode()) for key, value in sent.items()],
        "tidings.client": "192.0.2.7",
    }  # fmt: skip
    waiting = iter(pieces)
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        piece = next(waiting, None)
        if piece is not None:
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.disconnect"} if breaks else {"type": "http.request", "more_body": False}

    async def out(message: Any) -> None:
        messages.append(message)

    asyncio.run(who.door(scope, receive, out))
    if not messages:
        return None
    got = {name.decode("latin-1"): value.decode("latin-1") for name, value in messages[0]["headers"]}
    return Answer(messages[0]["status"], got, b"".join(one.get("body", b"") for one in messages[1:]))


def sizes() -> Sequence[int]:
    """Pieces of all kinds: those that part a mark, and those of a real connection."""
    return (1, 2, 3, 7, 40, 65_536)
