"""One file of a posted form, read as it comes (multipart/form-data, RFC 7578).

Whatever is sent, a piece and a little is in memory. Fields that stand before the file are read, for the
seal must be known before the file is taken; what stands after it is dropped.
"""

import re
from collections.abc import AsyncIterator
from typing import Final

from starlette.types import Receive

from tidings.web.http import ClientGone, Headers, TooLarge, header
from tidings.web.params import BOUNDARY_MAX, PART_HEADERS_MAX, BadBody

# A seal and a choice or two.
FIELDS_MAX: Final = 20
FIELD_MAX: Final = 4_096
# What may stand before the first boundary, where browsers put nothing, and after the file.
AROUND_MAX: Final = 65_536
NAME_MAX: Final = 1_000

_BOUNDARY: Final = re.compile(r'\bboundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_NAME: Final = re.compile(rb'[; ]name="([^"]*)"', re.IGNORECASE)
_FILE: Final = re.compile(rb'[; ]filename="([^"]*)"', re.IGNORECASE)
_CUT: Final = "The file did not arrive whole. Send it again"


class Parts:
    """A posted form with one file of at most `most` bytes: first `begin`, then `pieces` of `size` bytes.

    Raises `TooLarge`, `ClientGone`, and `BadBody` with a sentence for what is no such form.
    """

    def __init__(self, receive: Receive, headers: Headers, *, most: int, size: int) -> None:
        kind = header(headers, b"content-type").decode("latin-1")
        found = _BOUNDARY.search(kind)
        boundary = (found[1] or found[2]).encode("utf-8", "replace") if found else b""
        if not kind.lower().startswith("multipart/form-data") or not 0 < len(boundary) <= BOUNDARY_MAX:
            raise BadBody("This is no form with a file")
        announced = header(headers, b"content-length")
        if len(announced) > 18 or (announced.isdigit() and int(announced) > most + 2 * AROUND_MAX):
            raise TooLarge
        self._receive = receive
        self._most = most
        self._size = size
        self._mark = b"\r\n--" + boundary
        # The first boundary has no line before it.
        self._held = bytearray(b"\r\n")
        self._whole = False

    async def begin(self) -> tuple[dict[str, str], str]:
        """Return the fields before the file, and the file's name, "" where none was chosen."""
        fields: dict[str, str] = {}
        await self._until(self._mark, AROUND_MAX)
        while len(fields) < FIELDS_MAX:
            if (await self._until(b"\r\n", PART_HEADERS_MAX)).startswith(b"--"):
                return fields, ""
            # A part without headers has an empty line at once.
            self._held[:0] = b"\r\n"
            head = await self._until(b"\r\n\r\n", PART_HEADERS_MAX)
            if file := _FILE.search(head):
                return fields, _text(file[1][:NAME_MAX])
            if name := _NAME.search(head):
                fields[_text(name[1])] = _text(await self._until(self._mark, FIELD_MAX))
            else:
                await self._until(self._mark, FIELD_MAX)
        raise BadBody("The form has more fields than it should")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the file; each piece but the last has the size asked for."""
        held, came, looked = self._held, 0, 0
        while (end := held.find(self._mark, looked)) < 0:
            # What may be the beginning of the mark stays.
            safe = len(held) - len(self._mark)
            while safe >= self._size:
                came = self._counted(came, self._size)
                yield bytes(held[: self._size])
                del held[: self._size]
                safe -= self._size
            looked = max(safe, 0)
            await self._more()
        while end > 0:
            size = min(end, self._size)
            came = self._counted(came, size)
            yield bytes(held[:size])
            del held[:size]
            end -= size
        await self._finish()

    def _counted(self, came: int, size: int) -> int:
        if came + size > self._most:
            raise TooLarge
        return came + size

    async def _finish(self) -> None:
        """Drop what comes after the file."""
        dropped = 0
        while not self._whole:
            dropped += len(self._held)
            self._held.clear()
            if dropped > AROUND_MAX:
                raise BadBody("The form has more after its file than it should")
            await self._more()

    async def _until(self, mark: bytes, most: int) -> bytes:
        """Return what stands before a mark, and take both away."""
        while (at := self._held.find(mark, 0, most + len(mark))) < 0:
            if len(self._held) > most + len(mark):
                raise BadBody("The form cannot be read")
            await self._more()
        found = bytes(self._held[:at])
        del self._held[: at + len(mark)]
        return found

    async def _more(self) -> None:
        """Take what comes next."""
        if self._whole:
            raise BadBody(_CUT)
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._held += message.get("body", b"")
        self._whole = not message.get("more_body", False)


def _text(octets: bytes) -> str:
    """Read a name or a value; WHATWG HTML, 4.10.22.8: a name escapes only these three."""
    plain = octets.replace(b"%22", b'"').replace(b"%0D", b"\r").replace(b"%0A", b"\n")
    return plain.decode("utf-8", "replace")
