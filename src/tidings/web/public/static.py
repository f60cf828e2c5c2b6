"""Static files over HTTP: for good where the address bears their hash, else for an hour."""

import re
from typing import Final

from tidings.web import files
from tidings.web.http import Reply, header
from tidings.web.public import pages

PREFIX: Final = files.PREFIX
_FOR_GOOD: Final = (b"cache-control", b"public, max-age=31536000, immutable")
_AN_HOUR: Final = (b"cache-control", b"public, max-age=3600")
_NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
_VARY: Final = (b"vary", b"accept-encoding")
_UNWANTED: Final = re.compile(rb"q=0(?:\.0*)?")


def serve(name: str, query: bytes, headers: list[tuple[bytes, bytes]]) -> Reply:
    """Return a file, 304 where the caller has it (RFC 9110, 13.1.2), or 404."""
    file = files.load().get(name)
    if file is None:
        return pages.message(404, "Not found", "There is no such file here.")
    packed = bool(file.packed) and _takes_gzip(header(headers, b"accept-encoding"))
    version = file.version.encode()
    # Two encodings are two representations (RFC 9110, 8.8.3.3).
    etag = b'"%b%b"' % (version, b"-gzip" if packed else b"")
    kept = _FOR_GOOD if query == b"v=" + version else _AN_HOUR
    answer = [(b"etag", etag), kept, _NO_SNIFF, _VARY]
    known = {one.strip().removeprefix(b"W/") for one in header(headers, b"if-none-match").split(b",")}
    if etag in known or b"*" in known:
        return Reply(304, b"", file.content_type, answer)
    if packed:
        return Reply(200, file.packed, file.content_type, [*answer, (b"content-encoding", b"gzip")])
    return Reply(200, file.body, file.content_type, answer)


def _takes_gzip(accepted: bytes) -> bool:
    for one in accepted.lower().split(b","):
        coding, _, weight = one.partition(b";")
        if coding.strip() == b"gzip":
            return _UNWANTED.fullmatch(weight.strip()) is None
    return False
