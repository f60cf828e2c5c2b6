"""A file of people as lines of text: its packing, encoding and separator found out, its size bounded.

Whatever a file holds, a line at a time is in memory, and what is wrong with it is a sentence.
"""

import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

# A row of 125 fields of 64 KiB is not met; a megabyte for one line is generous, and four for a record
# whose quoted fields go over many lines.
LINE_MAX = 1_048_576
RECORD_MAX = 4 * LINE_MAX
# What custom_fields.VALUE_MAX allows, and some more, so that a single value too long is one row's fault.
FIELD_MAX = 262_144
COLUMNS_MAX = 1_000
# Text packs 3 to 20 times; rows of one repeated address 200 times.
RATIO_MAX = 300
RATIO_FROM = 64 * 1_048_576
SEPARATORS = (",", ";", "\t", "|")
_PIECE = 1_048_576
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Unreadable(Exception):
    """The file cannot be read as a table; the text is for a person."""


class Source(msgspec.Struct, frozen=True):
    """A file that was looked through once: `size` in bytes as read, unpacked; `digest` of it as it lies."""

    path: str
    packed: bool
    encoding: str
    digest: str
    size: int


def look(path: str, *, most: int = 0) -> Source:
    """Look through a file once: its digest, packing and encoding; raise Unreadable or OSError.

    It may unpack to `most` bytes; 0 for no end.
    """
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        start = file.read(4)
        if start.startswith(_ZIP):
            raise Unreadable("the file is a zip archive; unpack it first")
        file.seek(0)
        while piece := file.read(_PIECE):
            hashed.update(piece)
    packed = start.startswith(_GZIP)
    encoding, size = _encoding(path, packed=packed, most=most)
    if size == 0:
        raise Unreadable("the file is empty")
    return Source(path, packed, encoding, hashed.hexdigest(), size)


def lines(source: Source) -> Iterator[tuple[str, int]]:
    """Yield each line with its end, and how many bytes were read so far; raise Unreadable."""
    with _opened(source.path, packed=source.packed) as raw:
        text = io.TextIOWrapper(raw, encoding=source.encoding, errors="strict", newline="")
        number = 0
        try:
            while line := text.readline(LINE_MAX + 1):
                number += 1
                if len(line) > LINE_MAX:
                    raise Unreadable(f"line {number} is longer than {LINE_MAX // 1_048_576} MiB")
                if "\0" in line:
                    raise Unreadable(f"line {number} holds a NUL: this is no text file")
                yield line, raw.done
        except UnicodeError as problem:
            raise Unreadable(f"line {number + 1} is not {source.encoding} text") from problem


def separator(header: str) -> str:
    """Return what separates the columns of a header line."""
    counts = dict.fromkeys(SEPARATORS, 0)
    quoted = False
    for sign in header:
        if sign == '"':
            quoted = not quoted
        elif not quoted and sign in counts:
            counts[sign] += 1
    return max(SEPARATORS, key=lambda one: counts[one])


class _Bounded(io.RawIOBase):
    """Reads a file, unpacked, and counts; ends what unpacks to more than text can."""

    def __init__(self, file: BinaryIO, *, packed: bool, most: int) -> None:
        self._file = file
        self._most = most
        self._unpacked = gzip.GzipFile(fileobj=file) if packed else None
        self.done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Read as the standard library asks."""
        try:
            piece = (self._unpacked or self._file).read(len(into))
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise Unreadable("the file is damaged: it cannot be unpacked to its end") from problem
        into[: len(piece)] = piece
        self.done += len(piece)
        if self._unpacked and self.done > RATIO_FROM and self.done > RATIO_MAX * self._file.tell():
            raise Unreadable(f"the file unpacks to more than {RATIO_MAX} times its size; unpack it first")
        if self._most and self.done > self._most:
            raise Unreadable(f"the file unpacks to more than {self._most // 1_000_000:,} MB")
        return len(piece)

    def close(self) -> None:
        """Close the file too."""
        if not self.closed:
            self._file.close()
        super().close()


class _Reading(io.BufferedReader):
    """A bounded file with a buffer; `done` counts what was read."""

    def __init__(self, raw: _Bounded) -> None:
        super().__init__(raw, _PIECE)
        self._bounded = raw

    @property
    def done(self) -> int:
        """Bytes read so far, unpacked."""
        return self._bounded.done


def _opened(path: str, *, packed: bool, most: int = 0) -> _Reading:
    return _Reading(_Bounded(open(path, "rb"), packed=packed, most=most))


def _encoding(path: str, *, packed: bool, most: int) -> tuple[str, int]:
    """Return the encoding and the size: by its mark, else UTF-8 where all of it is, else Windows-1252.

    Latin-1 files of today are Windows-1252; the five bytes that it leaves out make it Latin-1.
    """
    utf8: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
    latin = False
    found = ""
    size = 0
    with _opened(path, packed=packed, most=most) as file:
        while piece := file.read(_PIECE):
            if size == 0:
                found = _by_start(piece)
            size += len(piece)
            if not found:
                latin = latin or any(byte in piece for byte in (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d"))
                utf8 = _still(utf8, piece)
    if found:
        return found, size
    if utf8 is not None and _still(utf8, b"", final=True):
        return "utf-8", size
    return ("latin-1" if latin else "cp1252"), size


def _still(
    decoder: codecs.IncrementalDecoder | None, piece: bytes, *, final: bool = False
) -> codecs.IncrementalDecoder | None:
    """Return the decoder while it could read everything."""
    if decoder is None:
        return None
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError:
        return None
    return decoder


def _by_start(piece: bytes) -> str:
    for mark, name in _BOMS:
        if piece.startswith(mark):
            return name
    # UTF-16 without a mark: the header's letters are ASCII, so every second byte is zero.
    start = piece[:64]
    if len(start) > 3 and not any(start[1::2]) and all(start[::2]):
        return "utf-16-le"
    if len(start) > 3 and not any(start[::2]) and all(start[1::2]):
        return "utf-16-be"
    return ""
