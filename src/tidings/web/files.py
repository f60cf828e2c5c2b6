"""The static files of all doors, held in memory and found by name alone.

Our style sheets lie in `static/`, our scripts in `scripts/`, and what the set-up built of other
people's in `static/vendor/`, which goes before a script of the same name. A page names a file by
`address`, whose hash changes with the file, so that a browser may keep it for good.
"""

import gzip
from functools import cache
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

PREFIX: Final = "/static/"
_TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".txt": b"text/plain; charset=utf-8",
}
# Later ones win.
_FOLDERS: Final = (("scripts",), ("static",), ("static", "vendor"))
# A smaller one fits into one packet as it is.
_GZIP_FROM: Final = 1_400


class File(NamedTuple):
    """One file; `packed` is it in gzip, or nothing where that saves nothing."""

    body: bytes
    packed: bytes
    version: str
    content_type: bytes


@cache
def load() -> dict[str, File]:
    """Return every file by its name."""
    found = {}
    for folder in _FOLDERS:
        place = resources.files("tidings.web").joinpath(*folder)
        # Where the set-up did not run, pages do without scripts.
        for entry in place.iterdir() if place.is_dir() else ():
            content_type = _TYPES.get(entry.name[entry.name.rfind(".") :])
            if content_type and entry.is_file():
                found[entry.name] = _read(entry, content_type)
    return found


def address(name: str) -> str:
    """Return the address of a file, with its hash; that of an unknown name answers 404."""
    file = load().get(name)
    return f"{PREFIX}{name}?v={file.version}" if file else f"{PREFIX}{name}"


def _read(entry: Traversable, content_type: bytes) -> File:
    body = entry.read_bytes()
    packed = gzip.compress(body, 6, mtime=0) if len(body) >= _GZIP_FROM else b""
    return File(body, packed if len(packed) < len(body) else b"", sha256(body).hexdigest()[:20], content_type)
