"""What a sink accepted, written down before it says so."""

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

_MESSAGE_ID = re.compile(rb"(?im)^message-id:[ \t]*(\S+)")


class Record:
    """A file with one line of JSON for each accepted message: queue_id, message_id, rcpt, sha256, at.

    `at` is when the message had come in whole, in seconds of the wall clock.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._fsync = fsync
        self._kept = 0
        self._safe = 0
        self._one_at_a_time = asyncio.Lock()

    async def keep(self, queue_id: str, rcpt: Sequence[str], data: bytes) -> None:
        """Write one line and return once it is as safe as asked; waiting ones share an fsync."""
        found = _MESSAGE_ID.search(data.partition(b"\r\n\r\n")[0])
        line = {
            "queue_id": queue_id,
            "message_id": found[1].decode("latin-1") if found else "",
            "rcpt": list(rcpt),
            "sha256": hashlib.sha256(data).hexdigest(),
            "at": time.time(),
        }
        os.write(self._file, json.dumps(line).encode() + b"\n")
        self._kept += 1
        mine = self._kept
        if self._fsync:
            async with self._one_at_a_time:
                if self._safe < mine:
                    safe = self._kept
                    await asyncio.to_thread(os.fsync, self._file)
                    self._safe = safe

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)
