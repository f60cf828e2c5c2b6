"""Static files: the style sheets beside the doors, held in memory, found by name alone."""

from hashlib import sha256
from importlib import resources
from typing import Final

from tidings.web.http import Reply
from tidings.web.public import pages

PREFIX: Final = "/static/"
_CACHE: Final = (b"cache-control", b"public, max-age=3600")
_NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")


def load() -> dict[str, tuple[bytes, bytes]]:
    """Return body and ETag of every style sheet by its name."""
    found = {}
    for entry in resources.files("tidings.web").joinpath("static").iterdir():
        if entry.name.endswith(".css") and entry.is_file():
            body = entry.read_bytes()
            found[entry.name] = (body, b'"%b"' % sha256(body).hexdigest()[:32].encode())
    return found


def serve(files: dict[str, tuple[bytes, bytes]], name: str, if_none_match: bytes) -> Reply:
    """Return a file, 304 where the caller has it (RFC 9110, 13.1.2), or 404."""
    if name not in files:
        return pages.message(404, "Not found", "There is no such file here.")
    body, etag = files[name]
    headers = [(b"etag", etag), _CACHE, _NO_SNIFF]
    known = {one.strip().removeprefix(b"W/") for one in if_none_match.split(b",")}
    if etag in known or b"*" in known:
        return Reply(304, b"", b"text/css; charset=utf-8", headers)
    return Reply(200, body, b"text/css; charset=utf-8", headers)
