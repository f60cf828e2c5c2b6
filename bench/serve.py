"""The servers that are measured: `bare` answers a constant, `tidings` is one web process."""

import sys
from typing import Any

import uvicorn

from tidings import app, settings
from tidings.web import server

BODY = b'{"subscriber":{"id":1,"state":"active"}}'


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request with a constant."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        uvicorn.Server(server.config(bare, host="127.0.0.1", port=int(sys.argv[2]))).run()
    else:
        sys.exit(app.serve_web(settings.load()))
