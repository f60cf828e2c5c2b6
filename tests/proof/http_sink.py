"""A receiver of webhooks as a process of its own: `python -m tests.proof.http_sink --record FILE`.

It listens on two ports of loopback and says them: what comes to the first is answered 200, to the second
500. Each request is in the record, on its way to the disk, before its answer is begun: a line of JSON with
the port's answer, `webhook-id`, timestamp, signatures and body.
"""

import argparse
import asyncio
import json
import os

# Ours is the only client: what it never sends need not be understood.
HEAD_MAX = 65_536


async def serve(record: int, status: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            one = {
                "status": status,
                "path": head[0].split(" ")[1],
                "id": headers.get("webhook-id", ""),
                "timestamp": headers.get("webhook-timestamp", ""),
                "signature": headers.get("webhook-signature", ""),
                "body": body.decode(),
            }
            os.write(record, (json.dumps(one) + "\n").encode())
            writer.write(b"HTTP/1.1 %d Said\r\ncontent-length: 4\r\n\r\nsaid" % status)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def listen(record: int) -> None:
    """Listen on both ports until killed."""
    servers = []
    for status in (200, 500):
        server = await asyncio.start_server(
            lambda reader, writer, status=status: serve(record, status, reader, writer),
            "127.0.0.1",
            0,
            limit=HEAD_MAX,
            backlog=2_000,
        )
        servers.append(server)
    print(" ".join(str(one.sockets[0].getsockname()[1]) for one in servers), flush=True)
    await asyncio.gather(*(one.serve_forever() for one in servers))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", required=True)
    chosen = parser.parse_args()
    opened = os.open(chosen.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    asyncio.run(listen(opened))
